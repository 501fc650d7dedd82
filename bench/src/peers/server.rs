//! A server of another program: a child process that ends when this value does, and that the kernel ends when we are killed.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::Duration;

use anyhow::{Context, Result};
use rig::cluster::poll;
use rig::nursery;
use rustix::process::{Pid, Signal, kill_process};

use super::files::tail;

/// How long a server may take to end when it is asked to; then it is killed.
const END_WITHIN: Duration = Duration::from_secs(10);

/// One process.
#[derive(Debug)]
pub(super) struct Server {
    child: Child,
    end: Signal,
    log: PathBuf,
}

impl Server {
    /// Starts a command that [`nursery`] made. What it says goes to `log`; `end` is the signal that ends it, all its children, and
    /// what it shares with them.
    pub(super) fn start(mut command: Command, log: &Path, end: Signal) -> Result<Self> {
        let file = File::create(log).with_context(|| format!("create {}", log.display()))?;
        let errors = file.try_clone().context("share a log")?;
        command.stdin(std::process::Stdio::null()).stdout(file).stderr(errors);
        Ok(Self {
            child: nursery::spawn(command)?,
            end,
            log: log.to_owned(),
        })
    }

    /// Its process id.
    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits until it serves: `ready` is asked again and again. An error where it ends, or takes longer than `within`.
    pub(super) fn wait_ready(&mut self, within: Duration, mut ready: impl FnMut() -> bool) -> Result<()> {
        let mut ended = None;
        let child = &mut self.child;
        let served = poll(within, || {
            ended = child.try_wait().ok().flatten();
            ended.is_some() || ready()
        });
        anyhow::ensure!(
            served && ended.is_none(),
            "a server {}; its log ends with\n{}",
            match ended {
                Some(status) => format!("ended with {status}"),
                None => format!("does not serve after {within:?}"),
            },
            tail(&self.log)
        );
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // The child is not waited for yet, so its id is nobody else's. One that has ended already takes the signal as a zombie.
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        if let Some(pid) = pid {
            let _ = kill_process(pid, self.end);
        }
        let child = &mut self.child;
        if !poll(END_WITHIN, || !matches!(child.try_wait(), Ok(None))) {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

#[cfg(test)]
mod tests {
    use rig::cluster::is_alive;

    use super::*;

    fn start(script: &str, directory: &Path) -> Server {
        let mut command = nursery::command(Path::new("/bin/sh"));
        command.args(["-c", script]);
        Server::start(command, &directory.join("log"), Signal::TERM).unwrap()
    }

    #[test]
    fn a_server_ends_with_its_value() {
        let root = tempfile::tempdir().unwrap();
        let mut server = start("echo up; exec sleep 60", root.path());
        let log = root.path().join("log");
        server.wait_ready(Duration::from_secs(60), || tail(&log) == "up").unwrap();
        let pid = server.pid();
        assert!(is_alive(pid));
        drop(server);
        assert!(!is_alive(pid));
    }

    #[test]
    fn one_that_ends_by_itself_is_an_error_with_what_it_said() {
        let root = tempfile::tempdir().unwrap();
        let mut server = start("echo no such option; exit 3", root.path());
        let error = server.wait_ready(Duration::from_secs(60), || false).unwrap_err().to_string();
        assert!(
            error.contains("exit status: 3") && error.contains("no such option"),
            "{error}"
        );
    }
}
