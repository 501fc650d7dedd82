//! `dev`, and the client commands against it.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::process::{Running, run};

/// A development server, with the tokens of its directory.
pub(crate) struct Dev {
    pub(crate) running: Running,
    pub(crate) url: String,
    pub(crate) operator: String,
    pub(crate) demo: String,
}

pub(crate) fn start(data: &Path) -> Dev {
    start_as(Path::new(env!("CARGO_BIN_EXE_cloudnest")), data, &[])
}

/// The same with another version of the program, or further arguments.
pub(crate) fn start_as(program: &Path, data: &Path, more: &[&str]) -> Dev {
    let own = ["dev", "--data", data.to_str().unwrap(), "--port", "0"];
    let running = Running::start_program(program, &[&own, more].concat());
    let (line, _) = running.line(0, "CloudNest serves http://127.0.0.1:");
    let url = line
        .split_whitespace()
        .find(|word| word.starts_with("http://"))
        .unwrap()
        .to_owned();
    running.line(0, "curl ");
    let tokens = std::fs::read_to_string(data.join("dev.tokens")).unwrap();
    let token = |name: &str| tokens.lines().find_map(|line| line.strip_prefix(name)).unwrap().to_owned();
    Dev {
        running,
        url,
        operator: token("operator="),
        demo: token("demo="),
    }
}

impl Dev {
    /// Runs a client command with the operator's token and reads its JSON.
    #[track_caller]
    pub(crate) fn json(&self, words: &[&str], token: &str) -> serde_json::Value {
        let said = run(&[words, &["--url", &self.url, "--token", token]].concat());
        assert_eq!(said.code, 0, "{words:?}: {}", said.err);
        serde_json::from_str(&said.out).unwrap_or_else(|error| panic!("{words:?}: {error}: {}", said.out))
    }
}

fn export(dev: &Dev) -> Vec<serde_json::Value> {
    let said = run(&["tenant", "export", "demo", "--url", &dev.url, "--token", &dev.demo]);
    assert_eq!(said.code, 0, "{}", said.err);
    said.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn records(lines: &[serde_json::Value], collection: &str) -> usize {
    lines
        .iter()
        .filter(|line| line["kind"] == "record" && line["collection"] == collection)
        .count()
}

#[test]
fn the_first_start_makes_a_tenant_and_every_start_shows_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let mut first = start(dir.path());
    let lines = export(&first);
    assert_eq!(
        [
            records(&lines, "projects"),
            records(&lines, "tasks"),
            records(&lines, "comments")
        ],
        [1, 5, 1]
    );
    for name in ["dev.tokens", "operator.token", "tls/local.key"] {
        let mode = std::fs::metadata(dir.path().join(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
    assert!(first.running.stop().success(), "SIGTERM drains");

    let mut second = start(dir.path());
    assert_eq!((&second.operator, &second.demo), (&first.operator, &first.demo));
    assert_eq!(records(&export(&second), "tasks"), 5, "samples are added once");
    assert!(second.running.stop().success());

    let config = dir.path().join("cluster.toml");
    let data = dir.path().to_str().unwrap();
    let mut node = Running::start(&[
        "node",
        "--config",
        config.to_str().unwrap(),
        "--node",
        "local",
        "--data",
        data,
    ]);
    node.complaint("serving");
    assert_eq!(
        records(&export(&second), "tasks"),
        5,
        "`node` opens the same data under the same address"
    );
    assert!(node.stop().success());
}

#[test]
fn a_second_server_says_what_is_taken() {
    let dir = tempfile::tempdir().unwrap();
    let other = tempfile::tempdir().unwrap();
    let dev = start(dir.path());
    let port = dev.url.rsplit(':').next().unwrap();
    let said = run(&["dev", "--data", dir.path().to_str().unwrap(), "--port", "0"]);
    assert_eq!(said.code, 1);
    assert!(said.err.contains("another `cloudnest dev` uses"), "{}", said.err);
    let said = run(&["dev", "--data", other.path().to_str().unwrap(), "--port", port]);
    assert_eq!(said.code, 1);
    assert!(
        said.err.contains(&format!("port {port}")) && said.err.contains("--port 0"),
        "{}",
        said.err
    );
}

#[test]
fn the_life_of_a_tenant_on_the_command_line() {
    let dir = tempfile::tempdir().unwrap();
    let dev = start(dir.path());
    let created = dev.json(
        &[
            "tenant",
            "create",
            "acme",
            "--template",
            "workspace",
            "--plan",
            "team",
            "--json",
        ],
        &dev.operator,
    );
    assert_eq!(
        (created["region"].as_str(), created["plan"].as_str()),
        (Some("local"), Some("team"))
    );
    let admin = created["admin_token"].as_str().unwrap();
    assert_eq!(
        dev.json(&["tenant", "show", "acme", "--json"], &dev.operator)["id"],
        created["id"]
    );
    let listed = run(&["tenant", "list", "--url", &dev.url, "--token", &dev.operator]);
    assert!(listed.out.contains("acme") && listed.out.contains("demo"), "{}", listed.out);

    let me = dev.json(&["whoami", "acme", "--json"], admin);
    assert_eq!(me["tenant"], "acme");
    let key = dev.json(
        &["token", "create", "acme", "--name", "ci", "--role", "guest", "--json"],
        admin,
    );
    let secret = key["secret"].as_str().unwrap();
    assert_eq!(dev.json(&["whoami", "acme", "--json"], secret)["role"], "guest");
    assert_eq!(
        dev.json(&["token", "list", "acme", "--json"], admin).as_array().map(Vec::len),
        Some(2)
    );
    let id = key["id"].as_str().unwrap();
    assert_eq!(
        run(&["token", "revoke", "acme", id, "--url", &dev.url, "--token", admin]).code,
        0
    );
    let refused = run(&["whoami", "acme", "--url", &dev.url, "--token", secret]);
    assert_eq!(refused.code, 1, "a revoked key is refused");

    let status = run(&["cluster", "status", "--url", &dev.url, "--token", &dev.operator]);
    assert!(
        status.out.contains("local-shared") && status.out.contains("not replicated"),
        "{}",
        status.out
    );
    let deleted = run(&["tenant", "delete", "acme", "--url", &dev.url, "--token", &dev.operator]);
    assert_eq!(
        (deleted.code, deleted.out.as_str()),
        (0, "acme is deleted"),
        "{}",
        deleted.err
    );
    assert_eq!(
        run(&["tenant", "show", "acme", "--url", &dev.url, "--token", &dev.operator]).code,
        1
    );
}

#[test]
fn a_refused_token_is_told_from_a_missing_one() {
    let dir = tempfile::tempdir().unwrap();
    let dev = start(dir.path());
    let missing = run(&["tenant", "list", "--url", &dev.url]);
    assert_eq!(missing.code, 1);
    assert!(
        missing.err.contains("give one with --token or CLOUDNEST_TOKEN"),
        "{}",
        missing.err
    );
    let tenants = run(&["tenant", "list", "--url", &dev.url, "--token", &dev.demo]);
    assert_eq!(tenants.code, 1);
    assert!(tenants.err.contains("operator's token, not a tenant's"), "{}", tenants.err);
    let unknown = dev.operator.replace("cno_", "cno_x");
    let wrong = run(&["tenant", "list", "--url", &dev.url, "--token", &unknown]);
    assert_eq!(wrong.code, 1);
    assert!(wrong.err.contains("check --token"), "{}", wrong.err);
    let exists = run(&["tenant", "create", "demo", "--url", &dev.url, "--token", &dev.operator]);
    assert_eq!(exists.code, 1);
    assert!(exists.err.contains("already_exists"), "{}", exists.err);
}
