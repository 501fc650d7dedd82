//! The lock file: what must not be linked, whoever asked for it.

use std::collections::BTreeMap;

use toml::{Table, Value};

use crate::tree::Tree;

/// Crate, versions (a prefix; empty: all) and why not.
const BANNED: [(&str, &str, &str); 16] = [
    ("openssl", "", "TLS is rustls with aws-lc-rs"),
    ("openssl-sys", "", "TLS is rustls with aws-lc-rs"),
    ("native-tls", "", "TLS is rustls with aws-lc-rs"),
    ("curl", "", "HTTP is hyper"),
    ("curl-sys", "", "HTTP is hyper"),
    ("rsa", "", "RUSTSEC-2023-0071: its timing tells the key"),
    ("protobuf", "2.", "RUSTSEC-2024-0437: a message can exhaust the stack"),
    ("paste", "", "RUSTSEC-2024-0436: not maintained"),
    ("rustls-pemfile", "", "not maintained; rustls-pki-types reads PEM"),
    ("fs2", "", "not maintained"),
    ("atty", "", "not maintained"),
    ("hyper", "0.", "there is one hyper, and it is 1"),
    ("http", "0.", "there is one http, and it is 1"),
    ("rustls", "0.22.", "there is one rustls, and it is 0.23"),
    ("rustls", "0.21.", "there is one rustls, and it is 0.23"),
    ("reqwest", "0.12.", "a second HTTP client"),
];

/// Heavy crates that may be there in one version only.
const SINGLE: [&str; 10] = [
    "axum",
    "axum-core",
    "hyper",
    "http",
    "rustls",
    "tokio",
    "arrow",
    "object_store",
    "redb",
    "tantivy",
];

/// The only place that packages come from.
const SOURCE: &str = "registry+https://github.com/rust-lang/crates.io-index";

/// Banned packages, second versions, other sources, and a cryptography provider that is really used.
pub(crate) fn bans(tree: &Tree) -> Vec<String> {
    let lock: Table = tree.text("Cargo.lock").parse().expect("Cargo.lock is TOML");
    let packages: Vec<_> = lock.get("package").and_then(Value::as_array).into_iter().flatten().collect();
    let text = |package: &Value, key: &str| package.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    let mut findings = Vec::new();
    let mut versions: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for package in packages {
        let (name, version, source) = (text(package, "name"), text(package, "version"), text(package, "source"));
        for (banned, prefix, why) in BANNED {
            if name == banned && version.starts_with(prefix) {
                findings.push(format!("Cargo.lock: {name} {version} is banned: {why}"));
            }
        }
        if !source.is_empty() && source != SOURCE {
            findings.push(format!("Cargo.lock: {name} {version} comes from {source}"));
        }
        let needed = package
            .get("dependencies")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .filter_map(Value::as_str);
        // rustls-webpki names ring in a weak feature (`ring?/alloc`), and quinn-proto is of an optional part of reqwest that nobody asks for:
        // cargo locks it for them and builds it never.
        if !["rustls-webpki", "quinn-proto"].contains(&name.as_str())
            && needed.into_iter().any(|one| one.split(' ').next() == Some("ring"))
        {
            findings.push(format!(
                "Cargo.lock: ring is banned (aws-lc-rs is the one provider), and {name} {version} uses it"
            ));
        }
        versions.entry(name).or_default().push(version);
    }
    for (name, versions) in versions {
        if SINGLE.contains(&name.as_str()) && versions.len() > 1 {
            findings.push(format!(
                "Cargo.lock: {name} is there in two versions or more: {}",
                versions.join(", ")
            ));
        }
    }
    findings
}
