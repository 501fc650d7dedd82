//! The page at the root, in a browser without a window: that its script runs under its policy and shows every call.
//!
//! CAVEAT: where no chromium is installed this says NOT COVERED and passes; the continuous integration installs it.
#![allow(clippy::print_stdout, reason = "a test that could not run says so")]

use std::process::{Command, Output, Stdio};
use std::time::Duration;

use crate::dev;

/// After this much of its own time the page is written down; what it waits for is not counted.
const PAGE_TIME: Duration = Duration::from_secs(20);

/// The page as it is after its script has run, and what the browser said; none where there is no browser.
fn browse(url: &str) -> Option<Output> {
    let profile = tempfile::tempdir().unwrap();
    let browser = Command::new("chromium")
        .args([
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--no-first-run",
        ])
        .args([
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--disable-quic",
        ])
        .args(["--enable-logging=stderr", "--dump-dom"])
        .arg(format!("--virtual-time-budget={}", PAGE_TIME.as_millis()))
        .arg(format!("--user-data-dir={}", profile.path().display()))
        .arg(url)
        .stdin(Stdio::null())
        .output();
    match browser {
        Ok(output) => Some(output),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        Err(error) => panic!("start chromium: {error}"),
    }
}

#[test]
fn the_page_shows_every_call_and_breaks_no_policy() {
    let dir = tempfile::tempdir().unwrap();
    let dev = dev::start(dir.path());
    let Some(output) = browse(&format!("{}/#record_create", dev.url)) else {
        println!("NOT COVERED: the page at / in a browser (there is no `chromium` on the PATH)");
        return;
    };
    let (page, said) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert!(output.status.success(), "{said}");
    // Broken scripts and what the policy forbids are told on the console.
    let complaints: Vec<&str> = said.lines().filter(|line| line.contains("CONSOLE")).collect();
    assert!(complaints.is_empty(), "{complaints:#?}");
    let document: serde_json::Value = serde_json::from_str(include_str!("../../../api/openapi.json")).unwrap();
    let verbs = ["get", "put", "post", "patch", "delete"];
    let operations: Vec<&serde_json::Value> = document["paths"]
        .as_object()
        .unwrap()
        .values()
        .flat_map(|path| verbs.iter().filter_map(|verb| path.get(verb)))
        .collect();
    assert!(
        page.contains(&format!("data-calls=\"{}\"", operations.len())),
        "not every call is there: {said}"
    );
    for operation in operations {
        let id = operation["operationId"].as_str().unwrap();
        assert!(page.contains(&format!("href=\"#{id}\"")), "no link to {id}");
    }
    let opened = page.split("id=\"record_create\"").nth(1).unwrap();
    assert!(
        opened[..40].contains("open"),
        "the call that the address names is open: {}",
        &opened[..40]
    );
    assert!(
        page.contains(&format!("URL={}/v1/tenants/demo", dev.url)),
        "the quick start names this server"
    );
}
