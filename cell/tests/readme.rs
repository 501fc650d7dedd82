//! Runs what the README says, against the built binary, and looks for what it promises.
//!
//! Each `sh` block is run by one shell per chapter, so that variables live on. Ports and the binary are replaced by those of
//! this test; nothing else is.
#![allow(clippy::print_stdout, reason = "a test that could not run says so")]

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rig::ports::Ports;

/// How long a server has to be ready on a busy machine.
const READY: Duration = Duration::from_secs(120);

/// A line of a chapter with what its output must contain.
struct Step {
    script: String,
    expected: String,
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the workspace")
        .to_owned()
}

/// The steps of all blocks that open with a fence: text up to and with each line that has an expectation.
fn steps(fence: &str) -> Vec<Step> {
    let readme = fs::read_to_string(root().join("README.md")).expect("the README");
    let mut steps = Vec::new();
    let mut script = String::new();
    let mut inside = false;
    for line in readme.lines() {
        if inside && line == "```" {
            inside = false;
        } else if line == fence {
            inside = true;
        } else if inside {
            let (code, expected) = line
                .split_once("#=>")
                .map_or((line, None), |(code, text)| (code, Some(text.trim())));
            script.push_str(code.trim_end());
            script.push('\n');
            if let Some(expected) = expected {
                steps.push(Step {
                    script: std::mem::take(&mut script),
                    expected: expected.to_owned(),
                });
            }
        }
    }
    assert!(
        !steps.is_empty() && script.trim().is_empty(),
        "every block ends with a promise: {script}"
    );
    steps
}

/// A process that is ended with the test.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let pid = self.0.id().to_string();
        // A polite end first: it lets children end too.
        let _ = Command::new("kill").arg(&pid).status();
        let deadline = Instant::now() + Duration::from_secs(20);
        while Instant::now() < deadline {
            if self.0.try_wait().is_ok_and(|ended| ended.is_some()) {
                return;
            }
            std::thread::yield_now();
        }
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A directory in which the README's paths are right.
fn place() -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a directory");
    fs::create_dir_all(dir.path().join("target/release")).expect("directories");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_cloudnest"), dir.path().join("target/release/cloudnest")).expect("a link");
    dir
}

fn run(dir: &Path, script: &str) -> String {
    let output = Command::new("bash")
        .arg("-c")
        .arg(script)
        .current_dir(dir)
        .output()
        .expect("bash");
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

/// Runs steps one after the other. Each sees the assignments of those before it, and none of their output.
fn follow(dir: &Path, steps: &[Step], replace: impl Fn(&str) -> String) {
    let mut before = String::new();
    for step in steps {
        let script = replace(&step.script);
        let output = run(dir, &format!("{before}{script}"));
        assert!(
            output.contains(&step.expected),
            "after\n{script}\nthe output must contain {:?}:\n{output}",
            step.expected
        );
        for line in script.lines().filter(|line| is_assignment(line)) {
            before.push_str(line);
            before.push('\n');
        }
    }
}

fn is_assignment(line: &str) -> bool {
    let line = line.strip_prefix("export ").unwrap_or(line);
    let name = line.split('=').next().unwrap_or("");
    line.contains('=') && !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_')
}

/// Starts a server and waits for a line of its output.
fn start(dir: &Path, arguments: &[&str], ready: &str) -> (Ended, String) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_cloudnest"))
        .args(arguments)
        .current_dir(dir)
        .env_remove("CLOUDNEST_TOKEN")
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .expect("the binary");
    let output = child.stdout.take().expect("its output");
    let child = Ended(child);
    let (sender, lines) = std::sync::mpsc::sync_channel(1_024);
    std::thread::spawn(move || {
        BufReader::new(output)
            .lines()
            .map_while(Result::ok)
            .try_for_each(|line| sender.send(line))
    });
    let deadline = Instant::now() + READY;
    let mut seen = String::new();
    while let Ok(line) = lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
        seen.push_str(&line);
        seen.push('\n');
        if line.contains(ready) {
            return (child, seen);
        }
    }
    panic!("{arguments:?} did not say {ready:?} in time:\n{seen}");
}

fn has_curl() -> bool {
    let found = Command::new("curl").arg("--version").output().is_ok();
    assert!(found || std::env::var_os("CI").is_none(), "CI installs curl");
    if !found {
        println!("SKIPPED: curl is not installed, so the README's commands were NOT run");
    }
    found
}

#[test]
fn five_minutes_work_as_they_are_written() {
    if !has_curl() {
        return;
    }
    let dir = place();
    let (_server, said) = start(dir.path(), &["dev", "--port", "0"], "curl ");
    let url = said
        .split_whitespace()
        .find(|word| word.starts_with("http://"))
        .expect("a URL")
        .to_owned();
    let line = said
        .lines()
        .find(|line| line.trim_start().starts_with("curl "))
        .expect("a curl line");
    assert!(
        run(dir.path(), &line.replace("curl ", "curl -s ")).contains("\"items\":"),
        "the printed line works: {line}"
    );
    let replace = |script: &str| {
        format!(
            "export CLOUDNEST_URL={url}\n{}",
            script.replace("http://127.0.0.1:7400", &url)
        )
    };
    follow(dir.path(), &steps("```sh"), replace);
}

#[test]
fn a_cluster_works_as_it_is_written() {
    if !has_curl() {
        return;
    }
    let dir = place();
    let mut config = fs::read_to_string(root().join("cluster.toml")).expect("cluster.toml");
    let written = ["7411", "7412", "7413", "17411", "17412", "17413"];
    let kept = Ports::keep(written.len()).expect("free ports");
    let ports: Vec<_> = written.into_iter().zip(kept.addresses().expect("their addresses")).collect();
    for (port, free) in &ports {
        config = config.replace(&format!("\"127.0.0.1:{port}\""), &format!("\"{free}\""));
    }
    fs::write(dir.path().join("cluster.toml"), config).expect("write cluster.toml");
    let mut steps = steps("```sh cluster");
    // The first line goes to the background; the test does that itself, to end it.
    let up = steps.remove(0);
    let arguments: Vec<&str> = up.script.trim().trim_end_matches('&').split_whitespace().skip(1).collect();
    let (_cluster, _) = start(dir.path(), &arguments, &up.expected);
    let replace = |script: &str| {
        ports.iter().fold(script.to_owned(), |script, (port, free)| {
            script.replace(&format!(":{port}"), &format!(":{}", free.port()))
        })
    };
    follow(dir.path(), &steps, replace);
}
