//! A node whose disk is full says so, goes on answering, loses nothing, and works again once there is room.
//!
//! The disk is a file system of the test's own, which needs root and `mount`; where they are missing the test says that it did
//! not run.
#![allow(clippy::print_stdout, reason = "a test that could not run says so")]

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use api::body::record::{ListQuery, NewRecord};
use api::client::Client;
use api::service::Consistency;
use serde_json::json;

/// The longest that anything here may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(90);

/// A small file system that goes away with the test.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn mount(at: &Path, mebibytes: u32) -> Option<Self> {
        let size = format!("size={mebibytes}M");
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &size, "tmpfs"])
            .arg(at)
            .status();
        mounted.is_ok_and(|status| status.success()).then(|| Self(at.to_owned()))
    }

    fn grow(&self, mebibytes: u32) {
        let size = format!("remount,size={mebibytes}M");
        let grown = Command::new("mount")
            .args(["-o", &size])
            .arg(&self.0)
            .status()
            .expect("mount");
        assert!(grown.success(), "the disk grows");
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: whatever still holds a file of it must not keep it.
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

struct Server(Child);

impl Server {
    /// Starts `dev` and waits for its address.
    fn start(data: &Path) -> (Self, String) {
        let mut child = Command::new(env!("CARGO_BIN_EXE_cloudnest"))
            .args(["dev", "--port", "0", "--data"])
            .arg(data)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the binary");
        let mut output = BufReader::new(child.stdout.take().expect("its output"))
            .lines()
            .map_while(Result::ok);
        let mut words = |line: String| {
            line.split_whitespace()
                .find(|word| word.starts_with("http://"))
                .map(str::to_owned)
        };
        let url = output.find_map(&mut words);
        // All that it has to say: a closed pipe would end it.
        assert!(
            output.any(|line| line.trim_start().starts_with("curl ")),
            "it prints its curl line"
        );
        (Self(child), url.expect("it says where it serves"))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn token(data: &Path) -> String {
    let text = std::fs::read_to_string(data.join("dev.tokens")).expect("dev.tokens");
    text.lines()
        .find_map(|line| line.strip_prefix("demo="))
        .expect("the demo token")
        .to_owned()
}

fn task() -> NewRecord {
    let fields = json!({"title": "t", "description": "x".repeat(60_000)});
    NewRecord {
        id: None,
        fields: fields.as_object().expect("an object").clone(),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_is_said_and_costs_nothing_that_was_answered() {
    let dir = tempfile::tempdir().expect("a directory");
    let Some(disk) = SmallDisk::mount(dir.path(), 128) else {
        println!("SKIPPED: mounting a file system needs root, so the full disk was NOT tried");
        return;
    };
    let data = dir.path().join("data");
    let (server, url) = Server::start(&data);
    let client = Client::new(&url, &token(&data)).expect("a client").with_timeout(PATIENCE);
    let deadline = Instant::now() + PATIENCE;
    let mut answered = Vec::new();
    let said = loop {
        assert!(
            Instant::now() < deadline,
            "128 MiB are full after {} records of 60 kB",
            answered.len()
        );
        match client.record_create("demo", "tasks", &task(), None).await {
            Ok(written) => answered.push(written.body.id),
            Err(error) if error.code() == Some("storage_full") => break error,
            // The log refuses before the store is full: it says that it is busy until it knows better.
            Err(error) => assert_eq!(error.status(), Some(503), "{error}"),
        }
    };
    assert_eq!(said.status(), Some(507));
    client.livez().await.expect("the process lives on");
    drop(server);

    disk.grow(400);
    let (_server, url) = Server::start(&data);
    let client = Client::new(&url, &token(&data)).expect("a client").with_timeout(PATIENCE);
    for id in &answered {
        client
            .record("demo", "tasks", *id, Consistency::Strong)
            .await
            .expect("it was answered, so it is there");
    }
    client
        .record_create("demo", "tasks", &task(), None)
        .await
        .expect("there is room again");
    let all = ListQuery {
        limit: 1,
        count: true,
        ..ListQuery::default()
    };
    let count = client
        .records("demo", "tasks", &all, Consistency::Strong)
        .await
        .expect("a list")
        .body
        .count;
    assert!(count >= Some(answered.len() as u64 + 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_full_of_files_says_so_and_still_takes_records() {
    let dir = tempfile::tempdir().expect("a directory");
    let Some(_disk) = SmallDisk::mount(dir.path(), 320) else {
        println!("SKIPPED: mounting a file system needs root, so the full disk was NOT tried");
        return;
    };
    let data = dir.path().join("data");
    let (_server, url) = Server::start(&data);
    let client = Client::new(&url, &token(&data)).expect("a client").with_timeout(PATIENCE);
    let content = |number: u64| -> Vec<u8> {
        let mut hasher = blake3::Hasher::new();
        let mut bytes = vec![0; 4 << 20];
        hasher.update(&number.to_be_bytes()).finalize_xof().fill(&mut bytes);
        bytes
    };
    let mut answered = Vec::new();
    let said = loop {
        let number = answered.len() as u64;
        assert!(number < 80, "320 MiB are full after as many files of 4 MiB");
        let made = client
            .file_create("demo", "x.bin", "text/plain", None, content(number), None)
            .await;
        match made {
            Ok(made) => answered.push(made.body.id),
            Err(error) => break error,
        }
    };
    assert_eq!((said.status(), said.code()), (Some(507), Some("storage_full")));
    client
        .record_create("demo", "tasks", &task(), None)
        .await
        .expect("files have left room for records");
    for (number, id) in answered.iter().enumerate() {
        let mut stream = client.file_content("demo", *id, None).await.expect("its content");
        let mut bytes = Vec::new();
        while let Some(piece) = stream.next().await.expect("a piece") {
            bytes.extend_from_slice(&piece);
        }
        assert!(bytes == content(number as u64), "file {number} was answered, so it is there");
    }
}
