//! The sources: what may not be named where.

use std::collections::BTreeSet;

use crate::source::{Surrounding, code, line_of, surrounding, test_modules, without_tests, words};
use crate::tree::Tree;

/// What apply may not name: text that ends a word, and why not.
const IMPURE: [(&str, &str); 11] = [
    ("SystemTime", "time arrives in the command"),
    ("Instant::now", "time arrives in the command"),
    ("Zoned::now", "time arrives in the command"),
    ("now_micros", "time arrives in the command"),
    ("Timestamp::now", "time arrives in the command"),
    ("rand", "chance arrives in the command"),
    ("now_v7", "ids arrive in the command"),
    ("new_v4", "ids arrive in the command"),
    ("HashMap", "its order differs between replicas; use BTreeMap"),
    ("HashSet", "its order differs between replicas; use BTreeSet"),
    ("thread_rng", "chance arrives in the command"),
];

/// Directory, what may not be named below it, and why not. Test modules may.
const NEVER: [(&str, &str, &str); 13] = [
    ("api/src/", "std::fs", "the contract touches no disk"),
    ("api/src/", "tokio::fs", "the contract touches no disk"),
    ("storage/src/", "SystemTime", "storage reads no clock"),
    ("storage/src/", "tokio", "storage is synchronous"),
    ("raft/src/", "serde_json", "no JSON in entries or peer messages"),
    ("raft/src/", "axum", "raft knows no HTTP"),
    ("cell/src/", "axum", "HTTP is the business of api"),
    ("cell/src/", "hyper", "HTTP is the business of api"),
    ("cell/src/", "openraft", "consensus is the business of raft"),
    ("cell/src/", "redb", "the disk's format is the business of storage"),
    ("cell/src/", "tantivy", "search indexes are the business of storage"),
    ("cell/src/", "object_store", "blobs are the business of storage"),
    ("", "unbounded_channel", "a limit on everything"),
];

/// Folders of `cell/src` that are domains: they meet only through `machine`, `records` and events. `access` is not among them: the
/// form of secrets is the gate's, and who asks for what concerns every domain.
const DOMAINS: [&str; 14] = [
    "documents",
    "directory",
    "placement",
    "fair",
    "search",
    "files",
    "live",
    "people",
    "audit",
    "keys",
    "effects",
    "usage",
    "slo",
    "reports",
];

/// The frame of every command, and every module that has an apply, is free of clocks, chance and hash order.
pub(crate) fn apply_is_pure(tree: &Tree) -> Vec<String> {
    let mut findings = Vec::new();
    for (path, text) in tree.rust("cell/src/").filter(|(path, _)| !is_test_file(path)) {
        let code = without_tests(&code(text));
        let applies = code.contains("fn apply(") || code.contains("fn apply<");
        if !path.starts_with("cell/src/machine/") && !applies {
            continue;
        }
        for (name, why) in IMPURE {
            findings.extend(places(&code, name).map(|line| format!("{path}:{line}: {name} in apply: {why}")));
        }
    }
    findings
}

/// Known bugs that can be put back live in four files. Apply may call cell's; what it may not do stands there only in the module
/// that the feature compiles, and no build has the feature unless it asks.
pub(crate) fn mutants(tree: &Tree) -> Vec<String> {
    const APPLY: &str = "cell/src/mutant.rs";
    let (feature, module) = (
        concat!("feature = ", "\"mutants\""),
        concat!("#[cfg(feature = ", "\"mutants\")]\nmod chosen {"),
    );
    let mut findings = Vec::new();
    for (path, text) in tree.rust("") {
        let home = ["api", "raft", "storage", "cell"]
            .iter()
            .any(|home| path == format!("{home}/src/mutant.rs"));
        if !home && text.contains(feature) {
            findings.push(format!(
                "{path}: the feature mutants is asked for in the files mutant.rs only"
            ));
        }
        // Places stay, since code becomes blanks.
        let ends = text
            .find(module)
            .map(|at| (at, text[at..].find("\n}\n").map_or(text.len(), |end| at + end)));
        let (start, end) = ends.unwrap_or((text.len(), text.len()));
        let code = code(text);
        let outside = [&code[..start], &code[end..]];
        for (name, why) in IMPURE.iter().filter(|_| path == APPLY) {
            if outside.iter().any(|part| places(part, name).next().is_some()) {
                findings.push(format!("{path}: {name} outside of what only the feature compiles: {why}"));
            }
        }
    }
    for (path, text) in tree.files.iter().filter(|(path, _)| path.ends_with("Cargo.toml")) {
        let on = text
            .lines()
            .any(|line| line.starts_with("default") && line.contains("mutants"));
        if on
            || text
                .lines()
                .any(|line| line.contains("features = [") && line.contains("mutants"))
        {
            findings.push(format!("{path}: the feature mutants must be off unless a build asks for it"));
        }
    }
    findings
}

/// Crates keep to what is theirs.
pub(crate) fn never(tree: &Tree) -> Vec<String> {
    let mut findings = Vec::new();
    for (below, name, why) in NEVER {
        for (path, text) in tree.rust(below).filter(|(path, _)| !is_test_file(path)) {
            let code = without_tests(&code(text));
            findings.extend(places(&code, name).map(|line| format!("{path}:{line}: {name}: {why}")));
        }
    }
    findings
}

/// No domain imports another.
pub(crate) fn domains(tree: &Tree) -> Vec<String> {
    let mut findings = Vec::new();
    for own in DOMAINS {
        for (path, text) in tree.rust(&format!("cell/src/{own}/")) {
            let code = code(text);
            for other in DOMAINS.iter().filter(|other| **other != own) {
                let import = format!("crate::{other}");
                let lines = places(&code, &import);
                findings.extend(lines.map(|line| {
                    format!("{path}:{line}: the domain {own} imports {other}: go through machine, records or events")
                }));
            }
        }
    }
    findings
}

/// All tables stand in one file; each has a kind and a tag of its own.
pub(crate) fn tables(tree: &Tree) -> Vec<String> {
    const HOME: &str = "storage/src/table.rs";
    let mut findings = Vec::new();
    let mut tags = BTreeSet::new();
    let Some((_, list)) = tree
        .files
        .get(HOME)
        .and_then(|text| text.split_once("\ntables! {").or_else(|| text.split_once("tables! {")))
    else {
        return vec![format!("{HOME}: there is no list of tables (tables! {{ … }})")];
    };
    for line in list.lines() {
        let words: Vec<_> = line.split_ascii_whitespace().collect();
        let [name, "=", tag, text, rest @ ..] = &words[..] else {
            continue;
        };
        if !tag.starts_with("0x") || !text.starts_with('"') {
            continue;
        }
        if !rest
            .first()
            .is_some_and(|kind| ["Carried", "Derived", "Local"].contains(kind))
        {
            findings.push(format!("{HOME}: {name} has no kind: Carried, Derived or Local"));
        }
        if !tags.insert(tag.to_ascii_lowercase()) {
            findings.push(format!("{HOME}: {name}: the tag {tag} is given twice"));
        }
    }
    if tags.is_empty() {
        findings.push(format!("{HOME}: no table was found: has the form of the list changed?"));
    }
    for (path, text) in tree.rust("").filter(|(path, _)| *path != HOME && !path.contains("/tests/")) {
        let code = without_tests(&code(text));
        findings.extend(places(&code, "impl Table for").map(|line| format!("{path}:{line}: a table outside of {HOME}")));
    }
    findings
}

/// No stubs anywhere, no tests that do not run, no tests that sleep but between two looks at a condition.
pub(crate) fn unfinished(tree: &Tree) -> Vec<String> {
    let mut findings = Vec::new();
    for (path, text) in tree.rust("") {
        let code = code(text);
        for name in ["todo!", "unimplemented!", "dbg!"] {
            findings.extend(places(&code, name).map(|line| format!("{path}:{line}: {name}")));
        }
        for name in ["#[ignore]", "#[ignore "] {
            let found = code.match_indices(name).map(|(at, _)| line_of(&code, at));
            findings.extend(found.map(|line| format!("{path}:{line}: {}: a test that does not run", name.trim_end())));
        }
        // `pause` is what tests call their own sleep.
        for name in ["thread::sleep", "time::sleep", "pause()"] {
            let tests = test_modules(&code);
            let at = code
                .match_indices(name)
                .map(|(at, _)| at)
                .filter(|at| !code[..*at].ends_with("fn "));
            let in_tests = at.filter(|at| is_test_file(path) || tests.iter().any(|range| range.contains(at)));
            let idle =
                in_tests.filter(|at| !matches!(surrounding(&code, *at), Surrounding::Loop | Surrounding::Function("pause")));
            findings.extend(idle.map(|at| {
                let line = line_of(&code, at);
                format!("{path}:{line}: {name} in a test outside of a loop: wait for a condition, with a deadline")
            }));
        }
    }
    findings
}

/// No directory of somebody's machine, and no registry but the public one.
pub(crate) fn machine_paths(tree: &Tree) -> Vec<String> {
    // In two parts each, so that this file does not report itself.
    let directories = [
        ("/wo", "rk/"),
        ("/fa", "rm/"),
        ("/ho", "me/"),
        ("/ro", "ot/"),
        ("/Us", "ers/"),
        ("/tmp/bash", "_jobs"),
    ];
    let registries = [
        ("sparse", "+http"),
        ("[sour", "ce."),
        ("replace", "-with"),
        ("index-", "url"),
        ("extra-", "index"),
    ];
    let mut findings = Vec::new();
    for (path, text) in &tree.files {
        for (number, line) in text.lines().enumerate().map(|(at, line)| (at + 1, line)) {
            for name in directories.map(|(one, two)| format!("{one}{two}")) {
                let starts = |at: usize| !line[..at].ends_with(|c: char| c.is_alphanumeric() || "_-./}>*".contains(c));
                if line.match_indices(&name).any(|(at, _)| starts(at)) {
                    findings.push(format!("{path}:{number}: {name}… is a directory of one machine"));
                }
            }
            for name in registries.map(|(one, two)| format!("{one}{two}")) {
                if line.contains(&name) {
                    findings.push(format!("{path}:{number}: {name}… is the configuration of a registry"));
                }
            }
        }
    }
    findings
}

/// Files that are tests as a whole.
pub(crate) fn is_test_file(path: &str) -> bool {
    path.ends_with("/tests.rs") || path.contains("/tests/") || path.starts_with("tests/") || path.ends_with("_tests.rs")
}

/// The lines where `name` stands as a whole: no letter, digit or underscore before it or, where it ends with one, behind it.
fn places<'a>(code: &'a str, name: &'a str) -> impl Iterator<Item = usize> + 'a {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    let whole = move |at: &usize| {
        let (before, after) = (&code[..*at], &code[at + name.len()..]);
        let inside = before.ends_with(is_part) || (name.ends_with(is_part) && after.starts_with(is_part));
        !inside
    };
    debug_assert!(words(name).next().is_some());
    code.match_indices(name)
        .map(|(at, _)| at)
        .filter(whole)
        .map(|at| line_of(code, at))
        .collect::<BTreeSet<_>>()
        .into_iter()
}
