//! Processes of the built binary.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use rig::nursery;

/// Longest time for anything: many tests share a slow machine.
pub(crate) const DEADLINE: Duration = Duration::from_secs(120);
/// Between two looks at something that nobody announces.
const POLL: Duration = Duration::from_millis(20);

/// What a command that ended said.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

/// A process that runs.
pub(crate) struct Running {
    child: Child,
    out: Lines,
    err: Lines,
}

/// Lines as they come.
#[derive(Clone, Default)]
struct Lines(Arc<(Mutex<Vec<String>>, Condvar)>);

impl Lines {
    fn follow(stream: impl Read + Send + 'static) -> Self {
        let lines = Self::default();
        let shared = lines.clone();
        std::thread::spawn(move || {
            for line in BufReader::new(stream).lines().map_while(Result::ok) {
                shared.0.0.lock().unwrap().push(line);
                shared.0.1.notify_all();
            }
        });
        lines
    }

    fn all(&self) -> Vec<String> {
        self.0.0.lock().unwrap().clone()
    }

    /// The first line after `skip` lines that fits, and how many lines to skip to look behind it.
    fn wait(&self, skip: usize, fits: impl Fn(&str) -> bool) -> Option<(String, usize)> {
        let until = Instant::now() + DEADLINE;
        let mut lines = self.0.0.lock().unwrap();
        loop {
            if let Some(at) = lines.iter().skip(skip).position(|line| fits(line)) {
                return Some((lines[skip + at].clone(), skip + at + 1));
            }
            let left = until.checked_duration_since(Instant::now())?;
            lines = self.0.1.wait_timeout(lines, left).unwrap().0;
        }
    }
}

fn command(arguments: &[&str]) -> Command {
    let mut command = nursery::command(Path::new(env!("CARGO_BIN_EXE_cloudnest")));
    command.args(arguments);
    for name in [
        "CLOUDNEST_URL",
        "CLOUDNEST_TOKEN",
        "CLOUDNEST_OPERATOR_TOKEN",
        "CLOUDNEST_LOG",
    ] {
        command.env_remove(name);
    }
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Runs a command to its end.
#[track_caller]
pub(crate) fn run(arguments: &[&str]) -> Said {
    run_with(arguments, b"")
}

/// Runs a command to its end with this on its standard input.
#[track_caller]
pub(crate) fn run_with(arguments: &[&str], input: &[u8]) -> Said {
    let (mut running, mut stdin) = Running::start_piped(arguments);
    stdin.write_all(input).unwrap();
    drop(stdin);
    let code = running.ended().code().expect("it was not killed");
    // The readers end with the pipes, which end with the process.
    running.drained();
    Said {
        code,
        out: running.out.all().join("\n"),
        err: running.err.all().join("\n"),
    }
}

/// Waits until a condition holds.
#[track_caller]
pub(crate) fn eventually(what: &str, holds: impl Fn() -> bool) {
    let until = Instant::now() + DEADLINE;
    while !holds() {
        assert!(Instant::now() < until, "{what} did not happen");
        std::thread::sleep(POLL);
    }
}

/// Whether a process exists and is no zombie.
pub(crate) fn lives(pid: u32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
}

/// Sends a signal, such as `TERM`, to one process.
#[track_caller]
pub(crate) fn signal(name: &str, pid: u32) {
    assert!(
        Command::new("kill")
            .args([&format!("-{name}"), &pid.to_string()])
            .status()
            .unwrap()
            .success()
    );
}

impl Running {
    pub(crate) fn start(arguments: &[&str]) -> Self {
        let mut command = command(arguments);
        command.stdin(Stdio::null());
        Self::spawn(command)
    }

    pub(crate) fn start_piped(arguments: &[&str]) -> (Self, ChildStdin) {
        let mut command = command(arguments);
        command.stdin(Stdio::piped());
        let mut running = Self::spawn(command);
        let stdin = running.child.stdin.take().unwrap();
        (running, stdin)
    }

    fn spawn(command: Command) -> Self {
        let mut child = nursery::spawn(command).unwrap();
        let out = Lines::follow(child.stdout.take().unwrap());
        let err = Lines::follow(child.stderr.take().unwrap());
        Self { child, out, err }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// A line of standard output that contains `word`, the first after `skip` lines; with the number of lines up to it.
    #[track_caller]
    pub(crate) fn line(&self, skip: usize, word: &str) -> (String, usize) {
        match self.out.wait(skip, |line| line.contains(word)) {
            Some(found) => found,
            None => panic!(
                "no {word:?} in:\n{}\n---\n{}",
                self.out.all().join("\n"),
                self.err.all().join("\n")
            ),
        }
    }

    /// Waits for a line of standard error that contains `word`.
    #[track_caller]
    pub(crate) fn complaint(&self, word: &str) -> String {
        match self.err.wait(0, |line| line.contains(word)) {
            Some((line, _)) => line,
            None => panic!("no {word:?} in:\n{}", self.err.all().join("\n")),
        }
    }

    /// Waits for its end.
    #[track_caller]
    pub(crate) fn ended(&mut self) -> ExitStatus {
        let until = Instant::now() + DEADLINE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < until, "it did not end:\n{}", self.err.all().join("\n"));
            std::thread::sleep(POLL);
        }
    }

    /// Asks it to end, and waits until it has.
    #[track_caller]
    pub(crate) fn stop(&mut self) -> ExitStatus {
        signal("TERM", self.pid());
        self.ended()
    }

    /// Waits until everything that it wrote has been read.
    fn drained(&self) {
        eventually("the end of its output", || {
            [&self.out, &self.err].iter().all(|lines| Arc::strong_count(&lines.0) == 1)
        });
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
