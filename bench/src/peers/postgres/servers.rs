//! The three servers: made, started, asked with `psql`, and ended with their data.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rig::nursery;
use rig::ports::Ports;
use rustix::process::Signal;

use super::super::files;
use super::super::server::Server;

/// How long a server may take to serve, and a standby to follow.
pub(super) const READY_WITHIN: Duration = Duration::from_secs(60);
/// The user who may do everything in the database.
const ADMIN: &str = "postgres";
/// Who runs the servers where we are root.
const RUNNER: &str = "postgres";
/// The primary and its standbys.
const NAMES: [&str; 3] = ["s1", "s2", "s3"];
/// Set up like a small server of production. Nothing here makes a commit less durable.
const SETTINGS: &str = "listen_addresses = '127.0.0.1'
unix_socket_directories = ''
max_connections = 500
shared_buffers = 512MB
effective_cache_size = 4GB
max_wal_size = 4GB
max_wal_senders = 10
wal_keep_size = 512MB
hot_standby = on
jit = off
fsync = on
synchronous_commit = on
";

/// A primary and two standbys.
pub(super) struct Servers {
    /// Where its programs are.
    programs: PathBuf,
    user: Option<&'static str>,
    /// The primary first; it ends last.
    running: Vec<Server>,
    addresses: Vec<SocketAddr>,
    _ports: Ports,
    /// Goes away last.
    directory: tempfile::TempDir,
}

/// As whom the servers run: `None` as ourselves. The inner error says who is missing.
pub(super) fn user() -> Result<Result<Option<&'static str>, String>> {
    if !rustix::process::geteuid().is_root() {
        return Ok(Ok(None));
    }
    let known = Command::new("id")
        .args(["-u", RUNNER])
        .output()
        .context("run id")?
        .status
        .success();
    Ok(match known {
        true => Ok(Some(RUNNER)),
        false => Err(format!(
            "it does not run as root, and there is no user `{RUNNER}`: install postgresql, or run as another user"
        )),
    })
}

impl Servers {
    /// Makes a primary and two copies of it, starts all, and asks for a standby's confirmation of each commit.
    pub(super) fn start(programs: PathBuf, user: Option<&'static str>) -> Result<Self> {
        let directory = files::temporary("postgres")?;
        let ports = Ports::keep(NAMES.len()).context("find free ports")?;
        let mut servers = Self {
            programs,
            user,
            running: Vec::new(),
            addresses: ports.addresses().context("look at the ports")?,
            _ports: ports,
            directory,
        };
        servers.own_directory()?;
        let data = servers.data(0);
        let initdb = ["-A", "trust", "-U", ADMIN, "-E", "UTF8", "--locale=C.UTF-8", "-D"];
        servers.once("initdb", &initdb, &data)?;
        servers.configure(0, SETTINGS)?;
        servers.run(0)?;
        for (standby, name) in NAMES.iter().enumerate().skip(1) {
            let primary = servers.addresses[0];
            let follow = format!(
                "host={} port={} user={ADMIN} application_name={name}",
                primary.ip(),
                primary.port()
            );
            let copy = ["-d", &follow, "-R", "-X", "stream", "-c", "fast", "-D"];
            servers.once("pg_basebackup", &copy, &servers.data(standby))?;
            servers.configure(standby, "")?;
            servers.run(standby)?;
        }
        servers.sql("alter system set synchronous_standby_names = 'ANY 1 (s2,s3)'")?;
        servers.sql("select pg_reload_conf()")?;
        Ok(servers)
    }

    /// The process ids of the servers, without those of their children.
    pub(super) fn pids(&self) -> Vec<u32> {
        self.running.iter().map(Server::pid).collect()
    }

    /// Where temporary files of a run may go.
    pub(super) fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// One of its programs that connects to the primary; it ends with us.
    pub(super) fn client(&self, program: &str) -> Command {
        let mut command = nursery::command(&self.programs.join(program));
        let primary = self.addresses[0];
        command.args([
            "-h",
            &primary.ip().to_string(),
            "-p",
            &primary.port().to_string(),
            "-U",
            ADMIN,
        ]);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// What the primary answers to a statement: values without ornament.
    pub(super) fn sql(&self, statement: &str) -> Result<String> {
        self.ask(0, statement)
    }

    fn ask(&self, which: usize, statement: &str) -> Result<String> {
        let mut command = self.client("psql");
        command.args(["-p", &self.addresses[which].port().to_string(), "-d", ADMIN]);
        command.args(["-q", "-A", "-t", "-X", "-v", "ON_ERROR_STOP=1", "-c", statement]);
        let output = output(command)?;
        Ok(output.trim().to_owned())
    }

    fn data(&self, which: usize) -> PathBuf {
        self.directory.path().join(NAMES[which])
    }

    /// Gives the directory to who runs the servers.
    fn own_directory(&self) -> Result<()> {
        let Some(user) = self.user else { return Ok(()) };
        let number = |flag: &str| -> Result<u32> {
            let output = Command::new("id").args([flag, user]).output().context("run id")?;
            let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
            text.parse().with_context(|| format!("read the number {text:?} of {user}"))
        };
        std::os::unix::fs::chown(self.directory.path(), Some(number("-u")?), Some(number("-g")?))
            .context("give the temporary directory to the servers' user")
    }

    /// Runs one of its programs to its end, over a directory of data.
    fn once(&self, program: &str, arguments: &[&str], data: &Path) -> Result<()> {
        let mut command = nursery::command_as(self.user, "KILL", &self.programs.join(program));
        command.args(arguments).arg(data).current_dir(self.directory.path());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        output(command).map(drop)
    }

    /// Appends settings, and the port.
    fn configure(&self, which: usize, settings: &str) -> Result<()> {
        let file = self.data(which).join("postgresql.conf");
        let text = std::fs::read_to_string(&file).with_context(|| format!("read {}", file.display()))?;
        let port = self.addresses[which].port();
        std::fs::write(&file, format!("{text}\n{settings}port = {port}\n")).with_context(|| format!("write {}", file.display()))
    }

    /// Starts a server and waits until it answers. `SIGQUIT` ends a server at once with all its children, and frees the memory that they share.
    fn run(&mut self, which: usize) -> Result<()> {
        let mut command = nursery::command_as(self.user, "QUIT", &self.programs.join("postgres"));
        command.arg("-D").arg(self.data(which)).current_dir(self.directory.path());
        let log = self.directory.path().join(format!("{}.log", NAMES[which]));
        let mut server = Server::start(command, &log, Signal::QUIT)?;
        let ready = server.wait_ready(READY_WITHIN, || self.ask(which, "select 1").is_ok_and(|one| one == "1"));
        self.running.push(server);
        ready.with_context(|| format!("start the Postgres server {}", NAMES[which]))
    }
}

impl Drop for Servers {
    fn drop(&mut self) {
        // The standbys first: a primary that ends would have them look for it.
        while self.running.pop().is_some() {}
    }
}

/// Runs a command that the nursery made, and returns what it printed.
pub(super) fn output(command: Command) -> Result<String> {
    let program = format!("{command:?}");
    let output = nursery::spawn(command)?
        .wait_with_output()
        .with_context(|| format!("run {program}"))?;
    ensure!(
        output.status.success(),
        "{program} ended with {}: {}",
        output.status,
        String::from_utf8_lossy(&output.stderr).trim()
    );
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
