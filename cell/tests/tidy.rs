//! The rules that no compiler checks: who may import whom, which crate lives where, what apply may not touch, how long a file
//! may grow. A rule without a test dies, so each has a second test that breaks it in memory and wants it reported.
//!
//! How it works: [`tree::Tree`] reads every text file of the repository once. A rule is a function from the tree to a list of
//! findings, each with its file and what to do. [`source`] takes comments and strings out of Rust code first, so that prose
//! about a clock is not a clock.
//!
//! CAVEATS: this is not a compiler. It sees names, not what they resolve to.

#[path = "tidy/lengths.rs"]
mod lengths;
#[path = "tidy/lock.rs"]
mod lock;
#[path = "tidy/manifests.rs"]
mod manifests;
#[path = "tidy/source.rs"]
mod source;
#[path = "tidy/sources.rs"]
mod sources;
#[path = "tidy/tree.rs"]
mod tree;

use tree::Tree;

#[track_caller]
fn assert_tidy(rule: &str, findings: Vec<String>) {
    assert!(
        findings.is_empty(),
        "{rule}: {} findings\n  {}\n",
        findings.len(),
        findings.join("\n  ")
    );
}

/// Wants exactly one finding that contains each of `words`.
#[track_caller]
fn assert_reports(findings: &[String], words: &[&str]) {
    let hits = findings
        .iter()
        .filter(|finding| words.iter().all(|word| finding.contains(word)))
        .count();
    assert_eq!(hits, 1, "one finding with {words:?} is expected among {findings:#?}");
}

#[test]
fn the_crates_form_a_star() {
    assert_tidy("who may import whom (DESIGN 3)", manifests::star(&Tree::of_repository()));
}

#[test]
fn an_engine_has_one_home() {
    assert_tidy("which crate lives where (DESIGN 3)", manifests::homes(&Tree::of_repository()));
}

#[test]
fn versions_with_known_traps_are_pinned() {
    assert_tidy("exact versions (DEPENDENCIES 9)", manifests::pins(&Tree::of_repository()));
}

#[test]
fn the_lock_file_has_none_of_the_banned_crates() {
    assert_tidy("banned crates (DEPENDENCIES 9)", lock::bans(&Tree::of_repository()));
}

#[test]
fn apply_is_deterministic() {
    assert_tidy(
        "no clock, no randomness, no hash order in apply (STYLE 6)",
        sources::apply_is_pure(&Tree::of_repository()),
    );
}

#[test]
fn known_bugs_stay_where_they_are_fenced_in() {
    assert_tidy("mutants (docs/mutants.md)", sources::mutants(&Tree::of_repository()));
}

#[test]
fn crates_name_only_what_is_theirs() {
    assert_tidy("what a crate may never do (DESIGN 3)", sources::never(&Tree::of_repository()));
}

#[test]
fn domains_meet_only_through_machine_records_and_events() {
    assert_tidy(
        "domains do not import each other (DESIGN 3)",
        sources::domains(&Tree::of_repository()),
    );
}

#[test]
fn every_table_says_what_a_move_does_with_it() {
    assert_tidy("tables declare a kind (DESIGN 6)", sources::tables(&Tree::of_repository()));
}

#[test]
fn nothing_is_left_unfinished() {
    assert_tidy(
        "no stubs, no ignored tests, no sleeps in tests",
        sources::unfinished(&Tree::of_repository()),
    );
}

#[test]
fn no_machine_is_named() {
    assert_tidy(
        "no paths of a machine, no hosts of a registry",
        sources::machine_paths(&Tree::of_repository()),
    );
}

#[test]
fn files_and_functions_stay_short() {
    if std::env::var_os("TIDY_RATCHET").is_some_and(|value| value == "write") {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("..")
            .join(lengths::RATCHET);
        std::fs::write(path, lengths::render(&Tree::read_now())).expect("write the list");
    }
    assert_tidy(
        "300 lines a file, 70 a function (STYLE 22)",
        lengths::check(&Tree::of_repository()),
    );
}

mod a_broken_rule_is_reported {
    //! Each test breaks one rule in a copy of the tree that exists only in memory.

    use super::*;

    #[test]
    fn a_leaf_that_imports_a_leaf() {
        let tree = Tree::of_repository().with_line_after("storage/Cargo.toml", "[dependencies]", "raft.workspace = true");
        assert_reports(&manifests::star(&tree), &["storage/Cargo.toml", "raft"]);
    }

    #[test]
    fn a_crate_that_nobody_put_into_the_table() {
        let tree = Tree::of_repository().with("common/Cargo.toml", "[package]\nname = \"cloudnest-common\"\n");
        assert_reports(&manifests::star(&tree), &["common/Cargo.toml", "table"]);
    }

    #[test]
    fn an_engine_away_from_home_even_under_another_name() {
        let tree = Tree::of_repository().with_line_after("cell/Cargo.toml", "[dependencies]", "redb.workspace = true");
        assert_reports(&manifests::homes(&tree), &["cell/Cargo.toml", "redb", "storage"]);
        let hidden = "log = { package = \"openraft\", version = \"=0.10.0-alpha.37\" }";
        let tree = Tree::of_repository().with_line_after("api/Cargo.toml", "[dev-dependencies]", hidden);
        assert_reports(&manifests::homes(&tree), &["api/Cargo.toml", "openraft", "raft"]);
    }

    #[test]
    fn an_engine_whose_version_may_drift() {
        let tree = Tree::of_repository().replacing("Cargo.toml", "version = \"=0.10.0", "version = \"0.10.0");
        assert_reports(&manifests::pins(&tree), &["openraft", "exact"]);
        let tree = Tree::of_repository().replacing(
            "Cargo.toml",
            "bincode = { version = \"=2.0.1\"",
            "bincode = { version = \"3\"",
        );
        assert_reports(&manifests::pins(&tree), &["bincode", "=2.0.1"]);
    }

    #[test]
    fn a_banned_crate_and_a_second_version() {
        let lock = |extra: &str| Tree::of_repository().with_end("Cargo.lock", extra);
        let openssl = "\n[[package]]\nname = \"openssl\"\nversion = \"0.10.1\"\n";
        assert_reports(&lock::bans(&lock(openssl)), &["openssl"]);
        let axum = "[[package]]\nname = \"axum\"\nversion = \"0.7.9\"\n\n[[package]]\nname = \"axum\"\nversion = \"0.8.9\"\n";
        let two = lock::bans(&Tree::default().with("Cargo.lock", axum));
        assert_reports(&two, &["axum", "0.7.9", "two versions"]);
        let hyper = "\n[[package]]\nname = \"hyper\"\nversion = \"0.14.30\"\n";
        assert_reports(&lock::bans(&lock(hyper)), &["hyper", "0.14.30", "banned"]);
        let elsewhere = "\n[[package]]\nname = \"x\"\nversion = \"1.0.0\"\nsource = \"registry+https://example.org/index\"\n";
        assert_reports(&lock::bans(&lock(elsewhere)), &["x 1.0.0", "example.org"]);
        let user = "\n[[package]]\nname = \"jwt\"\nversion = \"1.0.0\"\ndependencies = [\n \"ring\",\n]\n\n[[package]]\nname = \"ring\"\nversion = \"0.17.14\"\n";
        assert_reports(&lock::bans(&Tree::default().with("Cargo.lock", user)), &["ring", "jwt"]);
    }

    #[test]
    fn a_clock_in_apply() {
        for (name, code) in [
            ("SystemTime", "fn stamp() { let _ = std::time::SystemTime::now(); }"),
            ("Instant::now", "fn age() { let _ = Instant::now(); }"),
            ("HashMap", "use std::collections::HashMap;"),
            ("now_v7", "fn id() { Uuid::now_v7(); }"),
            ("rand", "fn toss() { rand::random(); }"),
        ] {
            let tree = Tree::default().with("cell/src/machine/probe.rs", code);
            assert_reports(&sources::apply_is_pure(&tree), &["cell/src/machine/probe.rs:1", name]);
            let elsewhere = format!("{code}\nfn apply() {{}}\n");
            let tree = Tree::default().with("cell/src/records/probe.rs", &elsewhere);
            assert_reports(&sources::apply_is_pure(&tree), &["cell/src/records/probe.rs:1", name]);
            let free = Tree::default().with("cell/src/node/probe.rs", code);
            assert_eq!(sources::apply_is_pure(&free), Vec::<String>::new());
        }
        let prose = "/// Never SystemTime.\nfn apply() { refuse(\"HashMap\") }\n#[cfg(test)]\nmod tests { use std::collections::HashMap; }\n";
        assert_eq!(
            sources::apply_is_pure(&Tree::default().with("cell/src/machine/x.rs", prose)),
            Vec::<String>::new()
        );
    }

    #[test]
    fn a_known_bug_that_gets_out() {
        let asked = format!("#[cfg(feature = {:?})]\nfn lose() {{}}\n", "mutants");
        let tree = Tree::default().with("cell/src/x.rs", &asked);
        assert_reports(&sources::mutants(&tree), &["cell/src/x.rs", "mutant.rs only"]);
        let fenced = format!(
            "#[cfg(feature = {:?})]\nmod chosen {{\n    fn stamp() {{ now_micros() }}\n}}\n",
            "mutants"
        );
        let tree = Tree::default().with("cell/src/mutant.rs", &fenced);
        assert_eq!(sources::mutants(&tree), Vec::<String>::new());
        let tree = tree.with_end("cell/src/mutant.rs", "fn stamp() { now_micros() }\n");
        assert_reports(&sources::mutants(&tree), &["cell/src/mutant.rs", "now_micros"]);
        let tree = Tree::of_repository().with_line_after("cell/Cargo.toml", "[features]", "default = [\"mutants\"]");
        assert_reports(&sources::mutants(&tree), &["cell/Cargo.toml", "off"]);
    }

    #[test]
    fn a_crate_that_leaves_its_place() {
        let tree = Tree::default().with("api/src/x.rs", "fn load() { std::fs::read(\"x\"); }");
        assert_reports(&sources::never(&tree), &["api/src/x.rs:1", "std::fs"]);
        let tree = Tree::default().with("storage/src/x.rs", "\nuse std::time::SystemTime;");
        assert_reports(&sources::never(&tree), &["storage/src/x.rs:2", "SystemTime"]);
        let tree = Tree::default().with("cell/src/x.rs", "use axum::Router;");
        assert_reports(&sources::never(&tree), &["cell/src/x.rs:1", "axum"]);
    }

    #[test]
    fn a_domain_that_imports_another() {
        let tree = Tree::default().with(
            "cell/src/placement/x.rs",
            "use crate::directory::rows::Row;\nuse crate::machine::World;",
        );
        assert_reports(&sources::domains(&tree), &["cell/src/placement/x.rs:1", "directory"]);
    }

    #[test]
    fn a_table_without_a_kind_and_a_tag_given_twice() {
        let table = |entry: &str| {
            Tree::default().with(
                "storage/src/table.rs",
                &format!("tables! {{\n    A = 0x01 \"a\" Carried {{}}\n    {entry}\n}}\n"),
            )
        };
        assert_eq!(sources::tables(&table("B = 0x02 \"b\" Local {}")), Vec::<String>::new());
        assert_reports(&sources::tables(&table("B = 0x02 \"b\" {}")), &["B", "kind"]);
        assert_reports(&sources::tables(&table("B = 0x01 \"b\" Derived {}")), &["B", "0x01", "twice"]);
        let tree = table("").with("cell/src/x.rs", "impl Table for Mine {}");
        assert_reports(&sources::tables(&tree), &["cell/src/x.rs", "table.rs"]);
    }

    #[test]
    fn a_stub_and_a_sleep() {
        let code = format!("fn a() {{ {}!() }}\n#[test]\n#[{}]\nfn b() {{}}\n", "todo", "ignore");
        let findings = sources::unfinished(&Tree::default().with("cell/src/x.rs", &code));
        assert_reports(&findings, &["cell/src/x.rs:1", "todo"]);
        assert_reports(&findings, &["cell/src/x.rs:3", "ignore"]);
        let sleep = "fn wait() { std::thread::sleep(second) }\n";
        assert_reports(
            &sources::unfinished(&Tree::default().with("raft/tests/x.rs", sleep)),
            &["raft/tests/x.rs:1", "sleep"],
        );
        let module = format!("fn wait() {{}}\n#[cfg(test)]\nmod tests {{\n{sleep}}}\n");
        assert_reports(
            &sources::unfinished(&Tree::default().with("raft/src/x.rs", &module)),
            &["raft/src/x.rs:4", "sleep"],
        );
        let polling = "fn wait() { while !done() { std::thread::sleep(step) } }\n";
        assert_eq!(
            sources::unfinished(&Tree::default().with("raft/tests/x.rs", polling)),
            Vec::<String>::new()
        );
        assert_eq!(
            sources::unfinished(&Tree::default().with("raft/src/x.rs", sleep)),
            Vec::<String>::new()
        );
    }

    #[test]
    fn a_path_of_a_machine() {
        let path = ["see /ho", "me/me/notes"].concat();
        assert_reports(
            &sources::machine_paths(&Tree::default().with("docs/x.md", &path)),
            &["docs/x.md:1"],
        );
    }

    #[test]
    fn a_file_or_function_that_is_too_long_or_has_grown() {
        let long = format!("fn long() {{\n{}}}\n", "    step();\n".repeat(80));
        let tree = Tree::default().with("api/src/x.rs", &long);
        assert_reports(&lengths::check(&tree), &["api/src/x.rs::long", "82 lines"]);
        let ratchet = |number: usize| {
            tree.clone()
                .with(lengths::RATCHET, &format!("function {number} api/src/x.rs::long\n"))
        };
        assert_eq!(lengths::check(&ratchet(82)), Vec::<String>::new());
        assert_reports(&lengths::check(&ratchet(81)), &["82 lines", "81"]);
        assert_reports(&lengths::check(&ratchet(150)), &["lower", "82"]);

        let tests = format!("fn a() {{}}\n#[cfg(test)]\nmod tests {{\n{}}}\n", "    // line\n".repeat(400));
        assert_eq!(
            lengths::check(&Tree::default().with("api/src/x.rs", &tests)),
            Vec::<String>::new()
        );
        let file = "const A: u8 = 0;\n".repeat(301);
        assert_reports(
            &lengths::check(&Tree::default().with("api/src/x.rs", &file)),
            &["api/src/x.rs", "301 lines"],
        );
        let gone = Tree::default().with(lengths::RATCHET, "file 400 api/src/gone.rs\n");
        assert_reports(&lengths::check(&gone), &["api/src/gone.rs", "take it off"]);
    }
}
