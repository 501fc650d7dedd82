//! Children that do not outlive us.
//!
//! `setpriv --pdeathsig KILL` makes the kernel kill a child when the *thread* that started it ends. So all children of the
//! process are started by one thread that lives as long as the process: a caller's thread may come and go.

use std::io;
use std::process::{Child, Command};
use std::sync::OnceLock;
use std::sync::mpsc::{SyncSender, sync_channel};

use anyhow::{Context, Result};

/// Starts that wait for the nursery's thread. Raised: nothing gained. Lowered: callers wait for each other.
const QUEUE_REQUESTS: usize = 16;

struct Request {
    command: Command,
    answer: SyncSender<io::Result<Child>>,
}

fn thread() -> Result<&'static SyncSender<Request>> {
    static SENDER: OnceLock<Option<SyncSender<Request>>> = OnceLock::new();
    SENDER
        .get_or_init(|| {
            let (sender, receiver) = sync_channel::<Request>(QUEUE_REQUESTS);
            let run = move || {
                for mut request in receiver {
                    // A caller that is gone leaves its child to nobody: end it.
                    if let Err(orphan) = request.answer.send(request.command.spawn())
                        && let Ok(mut child) = orphan.0
                    {
                        let _ = child.kill();
                        let _ = child.wait();
                    }
                }
            };
            std::thread::Builder::new()
                .name("nursery".to_owned())
                .spawn(run)
                .ok()
                .map(|_| sender)
        })
        .as_ref()
        .context("start the nursery's thread")
}

/// A command that runs `program` so that it dies with this process. The program keeps the process id of the child.
pub fn command(program: &std::path::Path) -> Command {
    command_as(None, "KILL", program)
}

/// The same, as another user (which root alone can become) and with another signal than SIGKILL at our end, such as `QUIT`: for a
/// program that has to take away what it shares with its own children.
pub fn command_as(user: Option<&str>, signal: &str, program: &std::path::Path) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", signal]);
    if let Some(user) = user {
        command.args(["--reuid", user, "--regid", user, "--clear-groups"]);
    }
    command.arg("--").arg(program);
    command
}

/// Starts it. Use [`command`] or [`command_as`] to make it.
pub fn spawn(command: Command) -> Result<Child> {
    let program = command.get_args().skip_while(|argument| *argument != "--").nth(1);
    let what = program.unwrap_or_default().to_string_lossy().into_owned();
    let (answer, child) = sync_channel(1);
    thread()?
        .send(Request { command, answer })
        .ok()
        .context("reach the nursery's thread")?;
    child
        .recv()
        .context("reach the nursery's thread")?
        .with_context(|| format!("start {what} under setpriv (package util-linux)"))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn a_child_outlives_the_thread_that_asked_for_it() {
        let mut child = std::thread::spawn(|| {
            let mut command = command(Path::new("/bin/sleep"));
            command.arg("60");
            spawn(command).unwrap()
        })
        .join()
        .unwrap();
        // The asking thread has ended: had it been the parent, the kernel would have sent SIGKILL by now.
        assert!(child.try_wait().unwrap().is_none());
        child.kill().unwrap();
        child.wait().unwrap();
    }

    #[test]
    fn a_child_runs_as_the_user_who_is_named() {
        if !rustix::process::geteuid().is_root() {
            eprintln!("SKIPPED: only root can become another user");
            return;
        }
        let mut command = command_as(Some("daemon"), "TERM", Path::new("/usr/bin/id"));
        command.arg("-un").stdout(std::process::Stdio::piped());
        let output = spawn(command).unwrap().wait_with_output().unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "daemon");
    }

    #[test]
    fn a_missing_program_is_reported_by_its_exit() {
        let mut child = spawn(command(Path::new("/nowhere/cloudnest"))).unwrap();
        assert!(!child.wait().unwrap().success());
    }
}
