//! `files`: up, in versions, and down again.

use crate::dev;
use crate::process::run;

#[test]
fn a_file_goes_up_in_versions_and_comes_down_as_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let dev = dev::start(&dir.path().join("data"));
    let (source, back) = (dir.path().join("report.bin"), dir.path().join("back.bin"));
    let content: Vec<u8> = (0..3_000_000_u32).map(|at| (at % 253) as u8).collect();
    std::fs::write(&source, &content).unwrap();
    let path = source.to_str().unwrap();
    let made = dev.json(
        &["files", "put", "demo", path, "--type", "application/x-report", "--json"],
        &dev.demo,
    );
    let id = made["id"].as_str().unwrap().to_owned();
    assert_eq!(
        (made["name"].as_str(), made["size"].as_u64()),
        (Some("report.bin"), Some(3_000_000))
    );
    assert_eq!(made["blake3"].as_str().unwrap(), blake3::hash(&content).to_string());
    std::fs::write(&source, b"shorter").unwrap();
    let again = dev.json(&["files", "put", "demo", path, "--file", &id, "--json"], &dev.demo);
    assert_eq!(
        (again["id"].as_str(), again["version"].as_u64()),
        (Some(id.as_str()), Some(2))
    );
    let server = ["--url", &dev.url, "--token", &dev.demo];
    let done = |words: &[&str]| {
        let said = run(&[words, &server[..]].concat());
        assert_eq!(said.code, 0, "{words:?}: {}", said.err);
        said.out
    };
    let output = back.to_str().unwrap();
    done(&["files", "get", "demo", &id, "--version", "1", "--output", output]);
    assert!(std::fs::read(&back).unwrap() == content, "another content than went up");
    assert_eq!(done(&["files", "get", "demo", &id]), "shorter");
    let versions = done(&["files", "versions", "demo", &id]);
    assert!(
        versions.contains("2 (current)") && versions.contains("application/x-report"),
        "{versions}"
    );
    assert!(done(&["files", "list", "demo"]).contains("report.bin"));
    done(&["files", "delete", "demo", &id]);
    let gone = run(&[&["files", "get", "demo", &id, "--output", output], &server[..]].concat());
    assert_eq!(gone.code, 1);
    assert!(gone.err.contains("there is no file"), "{}", gone.err);
}
