//! Exit codes and messages of commands that need no server.

use crate::process::{run, run_with};

#[test]
fn help_and_version_are_answers_and_wrong_usage_is_not() {
    for good in [
        &["--help"][..],
        &["--version"],
        &["version"],
        &["cluster", "up", "--help"],
        &["completions", "zsh"],
        &["template", "list"],
        &["template", "list", "--json"],
    ] {
        let said = run(good);
        assert_eq!((said.code, said.err.as_str()), (0, ""), "{good:?}");
        assert!(!said.out.is_empty(), "{good:?}");
    }
    for bad in [
        &[][..],
        &["nonsense"],
        &["node"],
        &["dev", "--port", "x"],
        &["tenant", "show", "Bad_Slug"],
        &["whoami"],
        &["template", "apply", "acme", "nothing", "--token", "cnt_x"],
    ] {
        let said = run(bad);
        assert_eq!((said.code, said.out.as_str()), (2, ""), "{bad:?}: {}", said.err);
        assert!(!said.err.is_empty(), "{bad:?}");
    }
}

#[test]
fn a_server_that_is_not_there_is_named_with_what_to_do() {
    let said = run(&["tenant", "list", "--url", "http://127.0.0.1:1", "--token", "cno_x"]);
    assert_eq!(said.code, 1);
    assert!(
        said.err.contains("no answer from http://127.0.0.1:1") && said.err.contains("cloudnest dev"),
        "{}",
        said.err
    );
    let said = run(&["tenant", "list", "--url", "localhost:7400"]);
    assert_eq!(said.code, 2, "{}", said.err);
    let said = run_with(
        &["records", "import", "demo", "tasks", "-", "--url", "http://127.0.0.1:1"],
        b"{}\n",
    );
    assert_eq!(said.code, 1, "{}", said.err);
}

#[test]
fn a_configuration_is_checked_with_all_its_mistakes() {
    let example = concat!(env!("CARGO_MANIFEST_DIR"), "/../cluster.toml");
    let said = run(&["cluster", "check", "--config", example]);
    assert_eq!(said.code, 0, "{}", said.err);
    assert!(said.out.contains("is sound: regions 3, nodes 9, cells 3"), "{}", said.out);

    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("cluster.toml");
    let text = std::fs::read_to_string(example)
        .unwrap()
        .replace("127.0.0.1:7422", "127.0.0.1:7421")
        .replace("kind =", "knd =");
    std::fs::write(&path, text).unwrap();
    let path = path.to_str().unwrap();
    let said = run(&["cluster", "check", "--config", path]);
    assert_eq!(said.code, 1);
    assert!(
        said.err.contains("node.api: the address 127.0.0.1:7421 is used in line"),
        "{}",
        said.err
    );
    assert_eq!(said.err.matches("did you mean \"kind\"?").count(), 3, "{}", said.err);
    let said = run(&["cluster", "check", "--config", path, "--json"]);
    let report: serde_json::Value = serde_json::from_str(&said.out).unwrap();
    assert_eq!((said.code, report["errors"].as_array().map(Vec::len)), (1, Some(4)));
    for starts in [
        &["cluster", "up", "--config", path, "--data"][..],
        &["node", "--node", "eu-west-1a", "--config", path, "--data"],
    ] {
        let said = run(&[starts, &[dir.path().join("data").to_str().unwrap()]].concat());
        assert_eq!(said.code, 1);
        assert!(said.err.contains("has 4 mistakes"), "{}", said.err);
    }
}

#[test]
fn a_node_or_region_that_the_configuration_does_not_know_is_wrong_usage() {
    let example = concat!(env!("CARGO_MANIFEST_DIR"), "/../cluster.toml");
    let said = run(&["node", "--config", example, "--node", "mars-1a"]);
    assert_eq!(said.code, 2);
    assert!(
        said.err.contains("has no node \"mars-1a\"; there are: us-east-1a,"),
        "{}",
        said.err
    );
    let said = run(&["cluster", "up", "--config", example, "--region", "mars-1"]);
    assert_eq!(said.code, 2);
    assert!(said.err.contains("has no region \"mars-1\""), "{}", said.err);
}

#[test]
fn certificates_are_made_for_every_node() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("tls");
    let example = concat!(env!("CARGO_MANIFEST_DIR"), "/../cluster.toml");
    let create = [
        "certs",
        "create",
        "--config",
        example,
        "--out",
        out.to_str().unwrap(),
        "--json",
    ];
    for done in ["made", "kept"] {
        let said = run(&create);
        assert_eq!(said.code, 0, "{}", said.err);
        let lines: Vec<serde_json::Value> = serde_json::from_str(&said.out).unwrap();
        assert!(
            lines.len() == 9 && lines.iter().all(|line| line["done"] == done),
            "{}",
            said.out
        );
    }
    let (one, authority) = (out.join("ap-southeast-1c.pem"), out.join("authority.pem"));
    let said = run(&["certs", "show", one.to_str().unwrap(), authority.to_str().unwrap()]);
    assert_eq!(said.code, 0, "{}", said.err);
    for words in ["CN=node 9", "ap-southeast-1 ", "CN=cloudnest cluster cloudnest", "396"] {
        assert!(said.out.contains(words), "{words}: {}", said.out);
    }
    let said = run(&["certs", "show", "/nowhere/x.pem", one.to_str().unwrap(), "--json"]);
    assert_eq!(said.code, 1);
    assert!(
        said.err.contains("/nowhere/x.pem") && said.out.contains("\"region\": \"ap-southeast-1\""),
        "{}",
        said.err
    );
}

#[test]
fn the_doctor_prints_a_line_a_check() {
    let dir = tempfile::tempdir().unwrap();
    let said = run(&["doctor", "--data", dir.path().to_str().unwrap(), "--json"]);
    let findings: Vec<serde_json::Value> = serde_json::from_str(&said.out).unwrap();
    assert!(findings.len() >= 8, "{}", said.out);
    assert_eq!(
        said.code,
        i32::from(findings.iter().any(|finding| finding["verdict"] == "fail"))
    );
}
