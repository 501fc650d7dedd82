//! The manifests: who may import whom, and which crate lives where.

use std::collections::BTreeSet;

use toml::{Table, Value};

use crate::tree::Tree;

/// Who may import whom: package, then its siblings in the program, then those of its tests. The table of DESIGN 3.
const STAR: [(&str, &[&str], &[&str]); 8] = [
    ("cloudnest-api", &[], &[]),
    ("cloudnest-raft", &[], &[]),
    ("cloudnest-storage", &[], &[]),
    (
        "cloudnest",
        &["cloudnest-api", "cloudnest-raft", "cloudnest-storage"],
        &["cloudnest-rig"],
    ),
    ("cloudnest-rig", &["cloudnest-api"], &[]),
    ("cloudnest-bench", &["cloudnest-api", "cloudnest-rig"], &[]),
    ("cloudnest-chaos", &["cloudnest-api", "cloudnest-rig"], &[]),
    // Not a part of the program, and a workspace of its own: it looks at the insides of all four.
    (
        "cloudnest-fuzz",
        &["cloudnest-api", "cloudnest-raft", "cloudnest-storage", "cloudnest"],
        &[],
    ),
];

/// Crates with a home: nobody else may have them. A name that ends with `*` stands for all that begin with it.
const HOMES: [(&str, &[&str]); 20] = [
    ("openraft*", &["cloudnest-raft"]),
    // The harness reads what nodes say to each other: its proxies hold the keys of both.
    ("tokio-rustls", &["cloudnest-raft", "cloudnest-api", "cloudnest-chaos"]),
    ("rustls", &["cloudnest-raft", "cloudnest-api", "cloudnest-chaos"]),
    ("rcgen", &["cloudnest-raft"]),
    ("redb", &["cloudnest-storage"]),
    ("tantivy*", &["cloudnest-storage"]),
    ("object_store", &["cloudnest-storage"]),
    ("imbl", &["cloudnest-storage"]),
    ("axum*", &["cloudnest-api"]),
    ("tower*", &["cloudnest-api"]),
    ("utoipa*", &["cloudnest-api"]),
    ("hyper", &["cloudnest-api", "cloudnest-rig"]),
    ("hyper-util", &["cloudnest-api", "cloudnest-rig"]),
    ("http", &["cloudnest-api", "cloudnest-rig"]),
    ("http-body*", &["cloudnest-api", "cloudnest-rig"]),
    ("tokio-tungstenite", &["cloudnest-api"]),
    // The harness writes documents as a client does.
    ("yrs", &["cloudnest", "cloudnest-chaos"]),
    ("cel*", &["cloudnest"]),
    ("clap*", &["cloudnest", "cloudnest-bench", "cloudnest-chaos"]),
    ("hdrhistogram", &["cloudnest-rig", "cloudnest-bench", "cloudnest-chaos"]),
];

/// A dependency of a package.
struct Dependency {
    manifest: String,
    package: String,
    name: String,
    /// Of tests and benches only.
    dev: bool,
}

/// Every package's imports of its siblings are those of [`STAR`].
pub(crate) fn star(tree: &Tree) -> Vec<String> {
    let mut findings = Vec::new();
    let ours: BTreeSet<_> = packages(tree).into_iter().map(|(_, name, _)| name).collect();
    for (manifest, name, _) in packages(tree) {
        if !STAR.iter().any(|(package, ..)| *package == name) {
            findings.push(format!(
                "{manifest}: the package {name} is not in the table of who may import whom"
            ));
        }
    }
    for Dependency {
        manifest,
        package,
        name,
        dev,
    } in dependencies(tree).into_iter().filter(|one| ours.contains(&one.name))
    {
        let Some((_, program, tests)) = STAR.iter().find(|(row, ..)| *row == package) else {
            continue;
        };
        let allowed = program.contains(&name.as_str()) || (dev && tests.contains(&name.as_str()));
        if !allowed {
            findings.push(format!("{manifest}: {package} may not import {name}"));
        }
    }
    findings
}

/// Crates with a home are imported there only.
pub(crate) fn homes(tree: &Tree) -> Vec<String> {
    let mut findings = Vec::new();
    for Dependency {
        manifest, package, name, ..
    } in dependencies(tree)
    {
        let matching = HOMES.iter().filter(|(pattern, _)| match pattern.strip_suffix('*') {
            Some(prefix) => name.starts_with(prefix),
            None => *pattern == name,
        });
        for (_, homes) in matching {
            if !homes.contains(&package.as_str()) {
                findings.push(format!("{manifest}: {name} may be imported by {} only", homes.join(", ")));
            }
        }
    }
    findings
}

/// openraft and bincode are pinned exactly; versions stand in the root manifest only.
pub(crate) fn pins(tree: &Tree) -> Vec<String> {
    let mut findings = Vec::new();
    let root = parse(tree.text("Cargo.toml"));
    let shared = root
        .get("workspace")
        .and_then(|workspace| workspace.get("dependencies"))
        .and_then(Value::as_table);
    for (name, entry) in shared.into_iter().flatten() {
        let version = entry.as_str().or_else(|| entry.get("version")?.as_str()).unwrap_or_default();
        let real = entry.get("package").and_then(Value::as_str).unwrap_or(name);
        if real.starts_with("openraft") && !version.starts_with("=0.10.0-alpha.") {
            findings.push(format!(
                "Cargo.toml: {real} {version:?} must be an exact version: =0.10.0-alpha.N"
            ));
        }
        if real == "bincode" && version != "=2.0.1" {
            findings.push(format!("Cargo.toml: bincode {version:?} must be =2.0.1: 3.0.0 holds nothing"));
        }
        if version.contains('*') {
            findings.push(format!("Cargo.toml: {real} {version:?} is any version"));
        }
    }
    for (manifest, _, table) in packages(tree) {
        for (section, name, entry) in sections(&table) {
            if entry.get("workspace").and_then(Value::as_bool) != Some(true) {
                findings.push(format!(
                    "{manifest}: [{section}] {name} must come from [workspace.dependencies]"
                ));
            }
        }
    }
    findings
}

fn parse(text: &str) -> Table {
    text.parse().unwrap_or_else(|error| panic!("a manifest is not TOML: {error}"))
}

/// Manifest, name and table of every package.
fn packages(tree: &Tree) -> Vec<(String, String, Table)> {
    let manifests = tree.files.iter().filter(|(path, _)| path.ends_with("/Cargo.toml"));
    let tables = manifests.map(|(path, text)| (path.clone(), parse(text)));
    let named = tables.filter_map(|(path, table)| {
        let name = table.get("package")?.get("name")?.as_str()?.to_owned();
        Some((path, name, table))
    });
    named.collect()
}

/// Section, name and entry of every dependency of a manifest, those for one target included.
fn sections(table: &Table) -> Vec<(&str, &String, &Value)> {
    let targets = table
        .get("target")
        .and_then(Value::as_table)
        .into_iter()
        .flatten()
        .filter_map(|(_, target)| target.as_table());
    let mut found = Vec::new();
    for part in std::iter::once(table).chain(targets) {
        for section in ["dependencies", "dev-dependencies", "build-dependencies"] {
            let entries = part.get(section).and_then(Value::as_table).into_iter().flatten();
            found.extend(entries.map(|(name, entry)| (section, name, entry)));
        }
    }
    found
}

/// Every dependency, under the real name of its package.
fn dependencies(tree: &Tree) -> Vec<Dependency> {
    let root = parse(tree.text("Cargo.toml"));
    let shared = root.get("workspace").and_then(|workspace| workspace.get("dependencies"));
    let renamed = |name: &str, entry: &Value| {
        let own = entry.get("package").or_else(|| shared?.get(name)?.get("package"));
        own.and_then(Value::as_str).unwrap_or(name).to_owned()
    };
    let mut found = Vec::new();
    for (manifest, package, table) in packages(tree) {
        for (section, name, entry) in sections(&table) {
            found.push(Dependency {
                manifest: manifest.clone(),
                package: package.clone(),
                name: renamed(name, entry),
                dev: section == "dev-dependencies",
            });
        }
    }
    found
}
