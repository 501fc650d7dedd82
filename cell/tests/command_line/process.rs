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
struct Lines(Arc<(Mutex<Seen>, Condvar)>);

/// What a stream has said so far.
#[derive(Default)]
struct Seen {
    lines: Vec<String>,
    ended: bool,
}

impl Lines {
    fn follow(stream: impl Read + Send + 'static) -> Self {
        let lines = Self::default();
        let shared = lines.clone();
        std::thread::spawn(move || {
            for line in BufReader::new(stream).lines().map_while(Result::ok) {
                shared.0.0.lock().unwrap().lines.push(line);
                shared.0.1.notify_all();
            }
            shared.0.0.lock().unwrap().ended = true;
            shared.0.1.notify_all();
        });
        lines
    }

    fn all(&self) -> Vec<String> {
        self.0.0.lock().unwrap().lines.clone()
    }

    /// Waits until this holds; false: it did not in time.
    fn wait(&self, holds: impl Fn(&Seen) -> bool) -> bool {
        let (seen, changed) = &*self.0;
        let waited = changed.wait_timeout_while(seen.lock().unwrap(), DEADLINE, |seen| !holds(seen));
        !waited.unwrap().1.timed_out()
    }

    /// The first line after `skip` lines that contains `word`, and how many lines to skip to look behind it.
    fn find(&self, skip: usize, word: &str) -> Option<(String, usize)> {
        let place = |lines: &[String]| {
            lines
                .iter()
                .skip(skip)
                .position(|line| line.contains(word))
                .map(|at| at + skip)
        };
        self.wait(|seen| seen.ended || place(&seen.lines).is_some());
        let lines = self.all();
        place(&lines).map(|at| (lines[at].clone(), at + 1))
    }
}

fn command(arguments: &[&str]) -> Command {
    command_of(Path::new(env!("CARGO_BIN_EXE_cloudnest")), arguments)
}

fn command_of(program: &Path, arguments: &[&str]) -> Command {
    let mut command = nursery::command(program);
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
        std::thread::park_timeout(POLL);
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
        Self::start_program(Path::new(env!("CARGO_BIN_EXE_cloudnest")), arguments)
    }

    /// The same with another version of the program.
    pub(crate) fn start_program(program: &Path, arguments: &[&str]) -> Self {
        let mut command = command_of(program, arguments);
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
        match self.out.find(skip, word) {
            Some(found) => found,
            None => panic!(
                "no {word:?} in:\n{}\n---\n{}",
                self.out.all().join("\n"),
                self.err.all().join("\n")
            ),
        }
    }

    /// Waits for a line of standard output that contains `word`, or for the end. False: it ended without.
    pub(crate) fn says(&self, word: &str) -> bool {
        self.out.find(0, word).is_some()
    }

    /// Whether a line of standard error contains `word`, now.
    pub(crate) fn has_complained(&self, word: &str) -> bool {
        self.err.all().iter().any(|line| line.contains(word))
    }

    /// Waits for a line of standard error that contains `word`.
    #[track_caller]
    pub(crate) fn complaint(&self, word: &str) -> String {
        match self.err.find(0, word) {
            Some((line, _)) => line,
            None => panic!("no {word:?} in:\n{}", self.err.all().join("\n")),
        }
    }

    /// Waits for its end: that of its output, which ends with it.
    #[track_caller]
    pub(crate) fn ended(&mut self) -> ExitStatus {
        let ended = self.out.wait(|seen| seen.ended) && self.err.wait(|seen| seen.ended);
        assert!(ended, "it did not end:\n{}", self.err.all().join("\n"));
        self.child.wait().unwrap()
    }

    /// Asks it to end, and waits until it has.
    #[track_caller]
    pub(crate) fn stop(&mut self) -> ExitStatus {
        signal("TERM", self.pid());
        self.ended()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
