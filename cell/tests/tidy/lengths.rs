//! How long files and functions may be, and the ratchet for those that are longer already.
//!
//! `docs/tidy-ratchet.txt` lists what exceeds a limit, with its number: `file N PATH` or `function N PATH::NAME`. Nothing may
//! exceed the number that is listed; a number that is more than [`SLACK`] too high must be lowered, and what exceeds no limit
//! any more must be taken off. Tests do not count. `TIDY_RATCHET=write` writes the list anew, for whoever has split something.

use std::collections::BTreeMap;

use crate::source::{code, functions, test_modules};
use crate::sources::is_test_file;
use crate::tree::Tree;

/// The list of what is longer than it may be.
pub(crate) const RATCHET: &str = "docs/tidy-ratchet.txt";
/// Most lines of a file, its test modules left out.
const FILE_LINES: usize = 300;
/// Most lines of a file with everything in it, and of a file of tests: above it, split it by subject. No ratchet for this.
const WHOLE_FILE_LINES: usize = 600;
/// Most lines of a function: a screen.
const FUNCTION_LINES: usize = 70;
/// How far a listed number may lie above the real one.
const SLACK: usize = 15;

/// Files and functions that exceed a limit and the ratchet, and lines of the ratchet that are not needed any more.
pub(crate) fn check(tree: &Tree) -> Vec<String> {
    let mut findings = Vec::new();
    let listed = ratchet(tree, &mut findings);
    let excess = excess(tree, &mut findings);
    for ((kind, name), lines) in &excess {
        match listed.get(&(kind.clone(), name.clone())) {
            None => findings.push(format!(
                "{name} has {lines} lines: split it ({kind}: at most {})",
                limit(kind)
            )),
            Some(number) if lines > number => findings.push(format!(
                "{name} has grown to {lines} lines; {RATCHET} allows {number}, and it may only shrink"
            )),
            Some(number) if lines + SLACK < *number => {
                findings.push(format!("{RATCHET}: lower the number of {name} from {number} to {lines}"))
            }
            Some(_) => {}
        }
    }
    for (kind, name) in listed.keys().filter(|key| !excess.contains_key(*key)) {
        findings.push(format!(
            "{RATCHET}: {kind} {name} is not too long any more, or gone: take it off"
        ));
    }
    findings
}

/// The list as it would have to be now.
pub(crate) fn render(tree: &Tree) -> String {
    let head = format!(
        "# What is longer than it may be ({FILE_LINES} lines a file without its tests, {FUNCTION_LINES} a function), with its number.\n\
         # It may only shrink: cell/tests/tidy/lengths.rs compares.\n"
    );
    let lines = excess(tree, &mut Vec::new());
    let lines = lines.iter().map(|((kind, name), lines)| format!("{kind} {lines} {name}\n"));
    head + &lines.collect::<String>()
}

fn limit(kind: &str) -> usize {
    if kind == "file" { FILE_LINES } else { FUNCTION_LINES }
}

/// Everything that exceeds a limit: (`file` or `function`, name) and its lines.
fn excess(tree: &Tree, findings: &mut Vec<String>) -> BTreeMap<(String, String), usize> {
    let mut found = BTreeMap::new();
    for (path, text) in tree.rust("") {
        let whole = text.lines().count();
        if whole > WHOLE_FILE_LINES {
            findings.push(format!(
                "{path} has {whole} lines with its tests: split it by subject (at most {WHOLE_FILE_LINES})"
            ));
        }
        if is_test_file(path) {
            continue;
        }
        let code = code(text);
        let mut kept = code.clone();
        let mut tests = 0;
        for range in test_modules(&code).into_iter().rev() {
            tests += code[range.clone()].lines().count();
            kept.replace_range(range, "");
        }
        if whole - tests > FILE_LINES {
            found.insert(("file".to_owned(), path.to_owned()), whole - tests);
        }
        for (name, lines) in functions(&kept).into_iter().filter(|(_, lines)| *lines > FUNCTION_LINES) {
            // Two long functions of one name in one file count as the longer one.
            let longest = found.entry(("function".to_owned(), format!("{path}::{name}"))).or_default();
            *longest = lines.max(*longest);
        }
    }
    found
}

fn ratchet(tree: &Tree, findings: &mut Vec<String>) -> BTreeMap<(String, String), usize> {
    let mut listed = BTreeMap::new();
    let text = tree.files.get(RATCHET).map_or("", String::as_str);
    for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let words: Vec<_> = line.split(' ').collect();
        match words[..] {
            [kind @ ("file" | "function"), number, name] if number.parse::<usize>().is_ok() => {
                listed.insert((kind.to_owned(), name.to_owned()), number.parse().unwrap_or_default());
            }
            _ => findings.push(format!(
                "{RATCHET}: {line:?} is neither `file N PATH` nor `function N PATH::NAME`"
            )),
        }
    }
    listed
}
