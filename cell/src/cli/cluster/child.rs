//! A node as a child process: its start, its log, its end.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::Context;
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};

use super::super::{Result, files};

/// A log that is longer than this when its node starts is set aside, in bytes. One older log is kept.
const LOG_BYTES: u64 = 16 * 1024 * 1024;
/// How much of a log is shown when its node ends unasked, in bytes.
const TAIL_BYTES: u64 = 2_048;
/// How many lines of it.
const TAIL_LINES: usize = 5;
/// Longest time for a node to end after SIGTERM. Longer than its own limit for draining.
const END: Duration = Duration::from_secs(35);

/// How to start a node.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    /// Its name.
    pub(super) name: String,
    /// The configuration, absolute.
    pub(super) config: PathBuf,
    /// Its data, absolute.
    pub(super) data: PathBuf,
    /// Its certificates, where the configuration has none.
    pub(super) tls: Option<PathBuf>,
    /// The level that it runs at, where it is not the newest.
    pub(super) level: Option<u32>,
    /// Variables besides this process's own.
    pub(super) environment: Vec<(String, String)>,
}

impl Plan {
    /// Starts the node. It dies with this process.
    pub(super) fn start(&self) -> Result<Child> {
        files::directory(&self.data)?;
        let log = self.open_log()?;
        let program = std::env::current_exe().context("find this program")?;
        let mut command = Command::new(program);
        command
            .arg("node")
            .arg("--config")
            .arg(&self.config)
            .arg("--node")
            .arg(&self.name)
            .arg("--data")
            .arg(&self.data);
        if let Some(tls) = &self.tls {
            command.arg("--tls").arg(tls);
        }
        if let Some(level) = self.level {
            command.arg("--compat-level").arg(level.to_string());
        }
        command.arg("--supervised").arg(std::process::id().to_string());
        command.envs(self.environment.iter().cloned());
        command
            .stdin(Stdio::null())
            .stdout(log.try_clone().context("share the log")?)
            .stderr(log);
        // A group of its own: Ctrl-C goes to the supervisor, which stops the nodes in its own way.
        command.process_group(0).kill_on_drop(true);
        Ok(command.spawn().with_context(|| format!("start the node {}", self.name))?)
    }

    /// Where the node logs.
    pub(super) fn log_path(&self) -> PathBuf {
        self.data.join("node.log")
    }

    fn open_log(&self) -> Result<File> {
        let path = self.log_path();
        if fs::metadata(&path).is_ok_and(|metadata| metadata.len() > LOG_BYTES) {
            fs::rename(&path, self.data.join("node.log.1")).with_context(|| format!("set {} aside", path.display()))?;
        }
        let opened = OpenOptions::new().append(true).create(true).mode(0o600).open(&path);
        Ok(opened.with_context(|| format!("open {}", path.display()))?)
    }

    /// The last lines of the node's log.
    pub(super) fn log_tail(&self) -> Vec<String> {
        tail(&self.log_path()).unwrap_or_default()
    }
}

fn tail(path: &Path) -> std::io::Result<Vec<String>> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(TAIL_BYTES)))?;
    let mut bytes = Vec::new();
    file.take(TAIL_BYTES).read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let lines: Vec<&str> = text.lines().collect();
    Ok(lines[lines.len().saturating_sub(TAIL_LINES)..]
        .iter()
        .map(|line| (*line).to_owned())
        .collect())
}

/// Ends a node: SIGTERM, and SIGKILL where that does not help in time or `hurry` resolves.
pub(super) async fn end(child: &mut Child, hurry: impl Future<Output = ()>) -> Option<ExitStatus> {
    if let Some(pid) = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw) {
        // Both fail only where the process is gone already; a stopped one must run in order to end.
        let _ = kill_process(pid, Signal::TERM);
        let _ = kill_process(pid, Signal::CONT);
    }
    tokio::select! {
        ended = child.wait() => return ended.ok(),
        () = tokio::time::sleep(END) => {}
        () = hurry => {}
    }
    child.kill().await.ok()?;
    child.wait().await.ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tail_of_a_log_is_its_last_lines() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("node.log");
        let text: String = (0..1_000).map(|line| format!("line {line}\n")).collect();
        fs::write(&path, text).expect("written");
        assert_eq!(
            tail(&path).expect("read"),
            ["line 995", "line 996", "line 997", "line 998", "line 999"]
        );
        fs::write(&path, "one\n").expect("written");
        assert_eq!(tail(&path).expect("read"), ["one"]);
    }
}
