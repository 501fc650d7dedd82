//! A data directory that a version of the level before has left (`data/keep.sh` made it): opened, written as that version would, taken back,
//! and brought up to this one's level, from where there is no way back.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value as Json;

use crate::dev::{self, Dev};
use crate::process::{eventually, run};

/// The arguments that make a program run as the level before.
const BEFORE: [&str; 2] = ["--compat-level", "1"];
/// This program.
const PROGRAM: &str = env!("CARGO_BIN_EXE_cloudnest");

/// Unpacks the directory; where it is, and what its tenant has.
fn unpack(to: &Path) -> (PathBuf, Vec<Json>) {
    let archive = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/level-1.tar.gz");
    let unpacked = Command::new("tar").arg("-xzf").arg(archive).arg("-C").arg(to).status();
    assert!(unpacked.expect("tar is there").success());
    let export = std::fs::read_to_string(to.join("level-1/export.jsonl")).unwrap();
    (to.join("level-1/data"), lines(&export))
}

/// Collections, tokens and records.
fn lines(export: &str) -> Vec<Json> {
    let lines = export.lines().map(|line| serde_json::from_str::<Json>(line).unwrap());
    lines
        .filter(|line| line["kind"] != "header" && line["kind"] != "trailer")
        .collect()
}

fn export(dev: &Dev) -> Vec<Json> {
    let said = run(&["tenant", "export", "demo", "--url", &dev.url, "--token", &dev.demo]);
    assert_eq!(said.code, 0, "{}", said.err);
    lines(&said.out)
}

/// Adds a note.
fn add(dev: &Dev, text: &str) {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("one.jsonl");
    std::fs::write(&file, format!("{{\"text\":\"{text}\",\"size\":7}}\n")).unwrap();
    let own = ["--url", &dev.url, "--token", &dev.demo];
    let said = run(&[&["records", "import", "demo", "notes", file.to_str().unwrap()][..], &own].concat());
    assert_eq!(said.code, 0, "{}", said.err);
}

fn end(mut dev: Dev) {
    assert!(dev.running.stop().success());
}

/// The levels of the directory and the cell.
fn levels(dev: &Dev) -> Vec<u64> {
    let cells = dev.json(&["cluster", "status", "--json"], &dev.operator)["cells"].clone();
    cells
        .as_array()
        .unwrap()
        .iter()
        .map(|cell| cell["level"].as_u64().unwrap())
        .collect()
}

#[test]
fn a_kept_directory_of_the_level_before_opens_goes_back_and_rises_once_for_good() {
    let dir = tempfile::tempdir().unwrap();
    let (data, was) = unpack(dir.path());

    let older = dev::start_as(Path::new(PROGRAM), &data, &BEFORE);
    assert_eq!(export(&older), was);
    add(&older, "written at level 1");
    assert_eq!(levels(&older), [1, 1]);
    end(older);

    // A version of the level before takes it back: the program that is named, or this one as that.
    let back = match std::env::var_os("CLOUDNEST_PREVIOUS_BIN") {
        Some(previous) => dev::start_as(Path::new(&previous), &data, &[]),
        None => dev::start_as(Path::new(PROGRAM), &data, &BEFORE),
    };
    assert_eq!(export(&back).len(), was.len() + 1);
    add(&back, "written by the version before");
    end(back);

    let newer = dev::start(&data);
    eventually("the new level", || levels(&newer) == [2, 2]);
    assert_eq!(export(&newer).len(), was.len() + 2);
    add(&newer, "written at level 2");
    end(newer);

    let said = run(&["dev", "--data", data.to_str().unwrap(), "--port", "0", BEFORE[0], BEFORE[1]]);
    assert_eq!(said.code, 1);
    assert!(
        said.err.contains("the state is of level 2, this node runs at level 1"),
        "{}",
        said.err
    );
    let again = dev::start(&data);
    assert_eq!(export(&again).len(), was.len() + 3);
    end(again);
}

#[test]
fn a_level_that_no_version_has_is_wrong_usage() {
    let said = run(&["dev", "--compat-level", "9"]);
    assert_eq!(said.code, 2);
    assert!(said.err.contains("9") && said.err.contains("1..=2"), "{}", said.err);
}
