//! A server of S3 for tests: moto's, on loopback, which looks at signatures and conditions as S3 does.
//!
//! `CLOUDNEST_MOTO` names a virtual environment of Python with it, which `.ci/s3` makes; then it has to be there. Where it is not named,
//! nothing of this is covered, and the test says so.
#![allow(dead_code, reason = "each of the tests that share this uses a part of it")]

use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use rig::nursery;
use rig::ports::Ports;
use rig::wait::until;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// The bucket that is there.
pub(crate) const BUCKET: &str = "cloudnest";
/// Names the virtual environment.
const MOTO: &str = "CLOUDNEST_MOTO";
/// What is asked for before keys count: a bucket, a user, their policy and key.
const OPEN_REQUESTS: &str = "4";

/// The virtual environment. What is written this way is seen although the test passes.
pub(crate) fn moto(what: &str) -> Option<PathBuf> {
    let named = std::env::var_os(MOTO).map(PathBuf::from);
    if named.is_none() {
        let told =
            format!("\nNOT COVERED: {what} in S3. {MOTO} names no server of it; `.ci/s3` installs one and runs this test.\n");
        std::io::stderr().write_all(told.as_bytes()).expect("said");
    }
    named
}

/// A server of S3, with a bucket and a key to it.
pub(crate) struct Bucket {
    server: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    /// Where it is.
    pub(crate) address: SocketAddr,
    _port: Ports,
    python: PathBuf,
    /// The id of the key.
    pub(crate) key: String,
    /// Its secret.
    pub(crate) secret: String,
}

impl Drop for Bucket {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

fn script() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/shared/s3.py")
}

impl Bucket {
    /// Starts one.
    pub(crate) async fn start(moto: &Path) -> Self {
        let kept = Ports::keep(1).expect("a port");
        let address = kept.addresses().expect("its address")[0];
        let python = moto.join("bin/python");
        let mut command = nursery::command(&python);
        command.arg(script()).args(["serve", &format!("http://{address}")]);
        command.env("INITIAL_NO_AUTH_ACTION_COUNT", OPEN_REQUESTS);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut server = nursery::spawn(command).expect("a server of S3");
        let (input, output) = server.stdin.take().zip(server.stdout.take()).expect("ways to it");
        let mut bucket = Self {
            server,
            input,
            output: BufReader::new(output),
            address,
            _port: kept,
            python,
            key: String::new(),
            secret: String::new(),
        };
        until("the server of S3", async || {
            let ended = bucket.server.try_wait().expect("a look at it");
            assert!(ended.is_none(), "moto's server has ended: {ended:?}");
            TcpStream::connect(bucket.address).await.ok()
        })
        .await;
        let made = bucket.ask("setup", &[]);
        let (key, secret) = made.trim().split_once(' ').expect("a key and its secret");
        (bucket.key, bucket.secret) = (key.to_owned(), secret.to_owned());
        bucket
    }

    /// What the script says.
    fn ask(&self, what: &str, rest: &[&str]) -> String {
        let mut command = Command::new(&self.python);
        command
            .arg(script())
            .arg(what)
            .arg(format!("http://{}", self.address))
            .args(rest);
        let output = command.output().expect("python runs");
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{what}: {told}");
        String::from_utf8(output.stdout).expect("text")
    }

    /// The objects below folders of a name.
    pub(crate) fn names(&self, folder: &str) -> Vec<String> {
        let told = self.ask("names", &[&self.key, &self.secret, folder]);
        told.lines().map(str::to_owned).collect()
    }

    /// Turns a bit of each object over.
    pub(crate) fn turn(&self, names: &[String]) {
        let rest: Vec<&str> = [&self.key, &self.secret]
            .into_iter()
            .chain(names)
            .map(String::as_str)
            .collect();
        self.ask("turn", &rest);
    }

    /// Has all objects be two days older; how many they are.
    pub(crate) fn age(&mut self) -> usize {
        self.input.write_all(b"age\n").expect("asked");
        let mut line = String::new();
        self.output.read_line(&mut line).expect("answered");
        line.trim().parse().expect("a count")
    }

    /// Stops the server where it is, or has it go on: what is asked of it meanwhile hangs.
    pub(crate) fn hang(&self, hangs: bool) {
        let signal = if hangs { "-STOP" } else { "-CONT" };
        let sent = Command::new("kill").arg(signal).arg(self.server.id().to_string()).status();
        assert!(sent.expect("kill runs").success());
    }
}

/// A way to the server that can be closed: the bucket is away.
pub(crate) struct Way {
    /// Where it begins.
    pub(crate) address: SocketAddr,
    /// Whether it is open.
    pub(crate) open: watch::Sender<bool>,
}

impl Way {
    /// An open one.
    pub(crate) async fn to(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("its address");
        let (open, seen) = watch::channel(true);
        tokio::spawn(async move {
            while let Ok((mut here, _)) = listener.accept().await {
                let mut seen = seen.clone();
                tokio::spawn(async move {
                    if !*seen.borrow() {
                        return;
                    }
                    let Ok(mut there) = TcpStream::connect(server).await else {
                        return;
                    };
                    tokio::select! {
                        _ = copy_bidirectional(&mut here, &mut there) => {}
                        _ = seen.wait_for(|open| !open) => {}
                    }
                });
            }
        });
        Self { address, open }
    }
}
