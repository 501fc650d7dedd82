//! How long the worst expressions take that the limits let through, over a small record and over those that are as large as it may be to be
//! looked at; and what a rule of three clauses costs. Prints a table, and fails where one evaluation takes longer than 10 ms.
//!
//!     cargo run --release -p cloudnest --features fuzzing --example expression_bench
#![allow(clippy::print_stdout, reason = "it prints its table")]

use std::process::ExitCode;
use std::time::Duration;

use cell::fuzzing::expression::measure;

/// The longest that one evaluation may take.
const LIMIT: Duration = Duration::from_millis(10);

/// So many of a part, between others.
fn joined(part: &str, by: &str, times: usize) -> String {
    vec![part; times].join(by)
}

/// The longest expression of a form that compiles: `make` says what it looks like with so many parts.
fn most(rule: bool, make: impl Fn(usize) -> String) -> (usize, String) {
    let compiles = |times: usize| measure(&make(times), rule, 1).is_ok();
    let times = (1..=200).rev().find(|times| compiles(*times)).unwrap_or(0);
    (times, make(times))
}

/// What is known to be slow, grown until the limits stop it.
fn worst() -> Vec<(&'static str, usize, String)> {
    let mut cases = Vec::new();
    let mut add = |name: &'static str, make: &dyn Fn(usize) -> String| {
        let (times, text) = most(false, make);
        cases.push((name, times, text));
    };
    add("texts one after the other", &|n| {
        format!("{} == 'x'", joined("title", " + ", n))
    });
    add("texts, to the right", &|n| {
        format!("{}title{} == 'x'", "title + (".repeat(n), ")".repeat(n))
    });
    add("texts, each searched", &|n| joined("title.contains('y')", " || ", n));
    add("texts, each counted", &|n| joined("size(title) == 1", " || ", n));
    add("texts, searched for themselves", &|n| {
        joined("title.contains(title + 'y')", " || ", n)
    });
    add("documents, each asked", &|n| joined("meta.k1 == 1", " || ", n));
    add("documents, each has", &|n| joined("has(meta.nothing)", " || ", n));
    add("documents compared", &|n| joined("meta == meta && meta != 1", " && ", n));
    add("documents in lists", &|n| format!("[{}] == [1]", joined("meta", ", ", n)));
    add("lists of documents", &|n| {
        format!("list.all(x, {})", joined("x != 1", " && ", n))
    });
    add("documents built", &|n| {
        format!("list.map(x, [{}]) == []", joined("x", ", ", n))
    });
    add("texts of a document, added up", &|n| {
        format!("texts.all(x, {} != 'x')", joined("x", " + ", n))
    });
    add("texts of a document, searched", &|n| {
        format!("texts.all(x, {})", joined("!x.contains('z')", " && ", n))
    });
    add("tags, each with a text", &|n| {
        format!(
            "labels.all(l, {})",
            joined("!l.contains(auth_free)", " && ", n).replace("auth_free", "created_by")
        )
    });
    add("tags, added up", &|n| {
        format!("labels.all(l, {} != 'x')", joined("l", " + ", n))
    });
    add("tags, a list for each", &|n| {
        format!("labels.all(l, !(l in [{}]))", joined("'a'", ", ", n))
    });
    add("tags mapped and mapped", &|n| {
        format!("labels{} == []", ".map(l, l + l)".repeat(n))
    });
    add("lists doubled and doubled", &|n| {
        format!("[labels]{} == []", ".map(l, l + l)".repeat(n))
    });
    add("lists nested and nested", &|n| {
        format!("labels{} == []", ".map(l, [l, l])".repeat(n))
    });
    add("filters in a row", &|n| {
        format!("list{} == []", ".filter(l, l != 1)".repeat(n))
    });
    add("lists one after the other", &|n| {
        format!("{} == []", joined("labels", " + ", n))
    });
    add("a list in a list", &|n| joined("'z' in labels", " || ", n));
    add("conversions", &|n| joined("int(weight) == 1", " || ", n));
    add("sums", &|n| format!("{} == 1", joined("points", " + ", n)));
    add("sides of a choice", &|n| {
        format!("{}done{}", "done ? done : (".repeat(n), ")".repeat(n))
    });
    add("minus", &|n| format!("{}points{} == 1", "-(".repeat(n), ")".repeat(n)));
    cases
}

fn main() -> ExitCode {
    let mut slow = 0;
    println!("| expression | parts | small record | large records |\n|---|---|---|---|");
    for (name, times, text) in worst() {
        match measure(&text, false, 3) {
            Ok([(small, _), (large, _)]) => {
                let mark = if small.max(large) > LIMIT { " TOO SLOW" } else { "" };
                slow += usize::from(!mark.is_empty());
                println!("| {name} | {times} | {small:.1?} | {large:.1?}{mark} |");
            }
            Err(error) => println!("| {name} | {times} | refused: {error} | |"),
        }
    }
    println!("\n| rule | an evaluation |\n|---|---|");
    for text in [
        "record.created_by == auth.id",
        r#"record.created_by == auth.id || auth.role == "admin" || record.status == "done""#,
        r#"record.status != "done" && record.points >= 3 && record.title != null"#,
        r#"auth.role == "member" && record.owner == auth.id && record.due_on >= today"#,
    ] {
        match measure(text, true, 20_000) {
            Ok([(small, holds), _]) => println!("| `{text}` ({holds}) | {small:.0?} |"),
            Err(error) => println!("| `{text}` | refused: {error} |"),
        }
    }
    if slow == 0 {
        return ExitCode::SUCCESS;
    }
    println!("\n{slow} expressions take longer than {LIMIT:?}");
    ExitCode::FAILURE
}
