//! Certificates between nodes: made, shown, refused, and replaced while a cluster runs.

use std::io::{Read, Write};
use std::path::Path;

use rig::layout::Layout;
use serde_json::Value;

use crate::cluster::Up;
use crate::process::{Said, eventually, run, signal};

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn json(said: &Said) -> Value {
    serde_json::from_str(&said.out).unwrap_or_else(|error| panic!("{error}: {} {}", said.out, said.err))
}

/// The end of a node's certificate as a file has it, RFC 3339.
fn end_in(file: &Path) -> String {
    let said = run(&["certs", "show", text(file), "--json"]);
    assert_eq!(said.code, 0, "{}", said.err);
    json(&said)[0]["not_after"].as_str().unwrap().to_owned()
}

/// What a node answers to `GET /metrics`.
fn metrics(url: &str) -> String {
    let address = url.strip_prefix("http://").unwrap();
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    write!(
        stream,
        "GET /metrics HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n"
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn nodes_take_new_certificates_while_they_run() {
    let dir = tempfile::tempdir().unwrap();
    let mut up = Up::start(dir.path(), "one", 3);
    let (config, tls) = (text(&up.config), up.data.join("tls"));
    let shown = json(&run(&[
        "certs",
        "show",
        "--config",
        config,
        "--data",
        text(&up.data),
        "--json",
    ]));
    let shown = shown.as_array().unwrap();
    assert_eq!(shown.len(), 4, "{shown:?}");
    let regions: Vec<_> = shown.iter().filter_map(|one| one["region"].as_str()).collect();
    assert_eq!(regions, ["one"; 3]);

    let made = run(&[
        "certs",
        "create",
        "--config",
        config,
        "--out",
        text(&tls),
        "--renew",
        "--days",
        "10",
    ]);
    assert_eq!(made.code, 0, "{}", made.err);
    let logged = |node: &str, words: &[&str]| {
        let text = std::fs::read_to_string(up.data.join(node).join("node.log")).unwrap_or_default();
        text.lines().any(|line| words.iter().all(|word| line.contains(word)))
    };
    for node in &up.nodes {
        signal("HUP", up.pid(node));
        eventually("the new certificate is taken", || {
            logged(node, &["took the new certificate for other nodes"])
        });
        eventually("its end is spoken of", || {
            logged(
                node,
                &["certificate for other nodes ends in 9 days", "cloudnest certs create"],
            )
        });
    }
    let end = end_in(&tls.join("onea.pem"));
    let seconds = end.parse::<jiff::Timestamp>().unwrap().as_second();
    let metric = format!("cloudnest_certificate_expiry_seconds{{kind=\"peer\"}} {seconds}");
    assert!(metrics(&up.urls[0]).contains(&metric), "{metric}");

    // One that starts anew meets the others with nothing but the new ones.
    let (first, skip) = up.next_pid("oneb", 0);
    signal("KILL", first);
    up.next_pid("oneb", skip);
    let status = || run(&["cluster", "status", "--json", "--config", config, "--data", text(&up.data)]);
    let ends = [("onea", &end), ("oneb", &end_in(&tls.join("oneb.pem")))].map(|(node, end)| (node, end.clone()));
    eventually("all to have met", || {
        let said = status();
        let Ok(report) = serde_json::from_str::<Value>(&said.out) else {
            return false;
        };
        let nodes = report["nodes"].as_array().cloned().unwrap_or_default();
        let met = nodes.iter().all(|node| node["reachable"] == true);
        let found = |(name, end): &(&str, String)| {
            nodes
                .iter()
                .any(|node| node["name"] == *name && node["certificate_expires_at"] == end.as_str())
        };
        nodes.len() == 3 && met && ends.iter().all(found)
    });
    let said = status();
    assert!(
        said.err.contains("the certificate of onea for other nodes ends in 9 days"),
        "{}",
        said.err
    );

    std::fs::write(tls.join("onea.pem"), "nonsense").unwrap();
    signal("HUP", up.pid("onea"));
    eventually("the bad one is reported", || {
        logged("onea", &["onea.pem", "met with what was there before"])
    });
    assert!(metrics(&up.urls[0]).contains(&metric), "it changes nothing");
    let doctor = run(&["doctor", "--config", config, "--data", text(&up.data), "--json"]);
    let finding = json(&doctor)
        .as_array()
        .unwrap()
        .iter()
        .find(|one| one["check"] == "certificates")
        .cloned();
    assert_eq!(finding.unwrap()["verdict"], "fail");
    assert!(up.running.stop().success());
}

#[test]
fn a_node_does_not_start_with_a_certificate_of_another_region() {
    let dir = tempfile::tempdir().unwrap();
    let tls = dir.path().join("tls");
    let write = |region: &str| {
        let config = dir.path().join(format!("{region}.toml"));
        std::fs::write(&config, Layout::new(&[(region, 1)]).unwrap().to_toml()).unwrap();
        config
    };
    let made = run(&["certs", "create", "--config", text(&write("one")), "--out", text(&tls)]);
    assert_eq!(made.code, 0, "{}", made.err);
    for end in ["pem", "key"] {
        std::fs::rename(tls.join(format!("onea.{end}")), tls.join(format!("twoa.{end}"))).unwrap();
    }
    // As on the node's own machine, where nobody can make another.
    std::fs::remove_file(tls.join("authority.key")).unwrap();
    let data = dir.path().join("twoa");
    let said = run(&[
        "node",
        "--config",
        text(&write("two")),
        "--node",
        "twoa",
        "--data",
        text(&data),
        "--tls",
        text(&tls),
    ]);
    assert_eq!(said.code, 1);
    assert!(
        said.err
            .contains("in the region one, but the configuration has that node in two"),
        "{}",
        said.err
    );
}
