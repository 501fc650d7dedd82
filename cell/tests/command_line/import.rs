//! `records import`: files, standard input, bad lines, a second run, a leader that is killed on the way.

use std::io::Write;

use crate::cluster::{self, Up};
use crate::dev;
use crate::process::{Running, eventually, run, run_with, signal};

fn packed(text: &str) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn a_file_is_stored_once_however_often_it_is_imported() {
    let dir = tempfile::tempdir().unwrap();
    let dev = dev::start(&dir.path().join("data"));
    let file = dir.path().join("tasks.jsonl.gz");
    let text: String = (1..=2_500)
        .map(|n| format!("{{\"summary\":\"task {n}\",\"secret\":1}}\n"))
        .collect();
    std::fs::write(&file, packed(&text)).unwrap();
    let words = [
        "records",
        "import",
        "demo",
        "tasks",
        file.to_str().unwrap(),
        "--map",
        "title=summary",
        "--map",
        "=secret",
        "--json",
    ];
    let first = dev.json(&words, &dev.demo);
    assert_eq!((first["imported"].as_u64(), first["failed"].as_u64()), (Some(2_500), Some(0)));
    let again = dev.json(&words, &dev.demo);
    assert_eq!(again["position"], first["position"], "the second run stores nothing");
    let other = dev.json(&[&words[..], &["--import-id", "another"]].concat(), &dev.demo);
    assert_eq!(
        other["position"].as_u64(),
        first["position"].as_u64().map(|position| position + 2_500)
    );
}

#[test]
fn bad_lines_are_reported_with_their_numbers_and_stop_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let dev = dev::start(dir.path());
    let input = b"{\"title\":\"a\"}\nnot json\n\n{\"nope\":1}\n{\"title\":\"b\"}";
    let arguments = [
        "records", "import", "demo", "tasks", "-", "--url", &dev.url, "--token", &dev.demo,
    ];
    let said = run_with(&arguments, input);
    assert_eq!(said.code, 1);
    assert!(said.out.starts_with("imported 2, failed 2, position "), "{}", said.out);
    assert!(
        said.err.contains("line 2: malformed_body: ") && said.err.contains("line 4: invalid_fields: "),
        "{}",
        said.err
    );
    let said = run_with(&[&arguments[..], &["--json"]].concat(), input);
    let lines: Vec<serde_json::Value> = said.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(
        (lines.len(), lines[0]["line"].as_u64(), lines[2]["failed"].as_u64()),
        (3, Some(2), Some(2))
    );
    let said = run(&[
        "records",
        "import",
        "demo",
        "tasks",
        "/nowhere.jsonl",
        "--url",
        &dev.url,
        "--token",
        &dev.demo,
    ]);
    assert_eq!(said.code, 1);
    assert!(said.err.contains("open /nowhere.jsonl"), "{}", said.err);
}

#[test]
fn csv_is_imported_and_what_is_refused_is_mended_and_imported_again() {
    let dir = tempfile::tempdir().unwrap();
    let dev = dev::start(&dir.path().join("data"));
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let (file, failed) = (path("tasks.csv.gz"), path("failed.csv"));
    let text = "Summary,points,labels,Internal\nfirst,3,\"a,b\",x\nsecond,many,,x\n\"two\nlines\",5,,x\nragged,1\nlast,8,c,x\n";
    std::fs::write(&file, packed(text)).unwrap();
    let words = [
        "records",
        "import",
        "demo",
        "tasks",
        &file,
        "--map",
        "title=Summary",
        "--map",
        "=Internal",
    ];
    let server = ["--url", &dev.url, "--token", &dev.demo];
    let said = run(&[&words[..], &["--failed", &failed], &server].concat());
    assert!(
        said.code == 1 && said.out.starts_with("imported 3, failed 2, position "),
        "{} {}",
        said.out,
        said.err
    );
    assert!(said.err.contains("record 2: invalid_fields: /points"), "{}", said.err);
    assert!(
        said.err.contains("record 4: malformed_body: ") && said.err.contains("2 refused lines are in "),
        "{}",
        said.err
    );
    let report = std::fs::read_to_string(&failed).unwrap();
    let lines: Vec<&str> = report.lines().collect();
    assert_eq!((lines.len(), lines[0]), (3, "_line,_code,_message,title,points,labels"));
    assert!(
        lines[1].starts_with("2,invalid_fields,\"/points: ") && lines[1].ends_with(",second,many,"),
        "{report}"
    );
    assert!(
        lines[2].starts_with("4,malformed_body,\"the record has 2 cells") && lines[2].ends_with(",ragged,1"),
        "{report}"
    );

    let again = run(&[&words[..], &["--failed", &failed, "--import-id", "x"], &server].concat());
    assert!(again.code == 1 && again.err.contains("is there already"), "{}", again.err);
    std::fs::write(
        &failed,
        report.replace("second,many,", "second,13,").replace("ragged,1", "ragged,1,"),
    )
    .unwrap();
    let mended = dev.json(&["records", "import", "demo", "tasks", &failed, "--json"], &dev.demo);
    assert_eq!((mended["imported"].as_u64(), mended["failed"].as_u64()), (Some(2), Some(0)));
    let exported = run(&["tenant", "export", "demo", "--url", &dev.url, "--token", &dev.demo]).out;
    for wanted in [
        "\"title\":\"two\\nlines\"",
        "\"title\":\"second\"",
        "\"title\":\"ragged\"",
        "\"labels\":[\"a\",\"b\"]",
        "\"points\":13",
    ] {
        assert_eq!(exported.matches(wanted).count(), 1, "{wanted}");
    }
    // Under another name it is JSON unless it is said what it is, and the first run tells of what it cannot know.
    let plain = path("tasks.txt");
    std::fs::write(&plain, "title\nfrom a text file\n").unwrap();
    let said = dev.json(
        &["records", "import", "demo", "tasks", &plain, "--format", "csv", "--json"],
        &dev.demo,
    );
    assert_eq!(said["imported"], 1);
    let said = run(&[
        &["records", "import", "demo", "tasks", &file, "--map", "title=Sumary"][..],
        &server,
    ]
    .concat());
    assert!(said.code == 1 && said.err.contains("no column \"Sumary\""), "{}", said.err);
    let said = run(&[&words[..], &server].concat());
    assert!(
        said.code == 1 && said.err.contains("2 more were refused and told of earlier"),
        "{}",
        said.err
    );
}

#[test]
fn refused_lines_are_kept_as_objects_and_nothing_is_kept_where_none_was_refused() {
    let dir = tempfile::tempdir().unwrap();
    let dev = dev::start(&dir.path().join("data"));
    let failed = dir.path().join("failed.jsonl");
    let name = failed.to_str().unwrap();
    let words = [
        "records", "import", "demo", "tasks", "-", "--failed", name, "--url", &dev.url, "--token", &dev.demo,
    ];
    let said = run_with(
        &words,
        b"{\"title\":\"a\"}\n{\"title\":\"b\",\"points\":\"x\"}\nnot json\n{\"title\":\"c\"}\n",
    );
    assert_eq!(said.code, 1, "{}", said.err);
    let report = std::fs::read_to_string(&failed).unwrap();
    let lines: Vec<serde_json::Value> = report.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(
        (lines.len(), lines[0]["_line"].as_u64(), lines[1]["_line"].as_u64()),
        (2, Some(2), Some(3))
    );
    assert_eq!(
        (lines[0]["title"].as_str(), lines[1]["_text"].as_str()),
        (Some("b"), Some("not json"))
    );
    assert!(lines[0]["_message"].as_str().unwrap().starts_with("/points: "), "{report}");
    let mended = report
        .replace("\"points\":\"x\"", "\"points\":2")
        .replace("\"not json\"", "\"{\\\"title\\\":\\\"d\\\"}\"");
    let input = dir.path().join("mended.jsonl");
    std::fs::write(&input, mended).unwrap();
    std::fs::remove_file(&failed).unwrap();
    let words = [
        "records",
        "import",
        "demo",
        "tasks",
        input.to_str().unwrap(),
        "--failed",
        name,
        "--json",
    ];
    let said = dev.json(&words, &dev.demo);
    assert_eq!((said["imported"].as_u64(), said["failed"].as_u64()), (Some(2), Some(0)));
    assert!(!failed.exists());
}

#[test]
fn an_import_survives_its_leader() {
    let dir = tempfile::tempdir().unwrap();
    let up = Up::start(dir.path(), "one", 3);
    let urls = up.urls.join(",");
    let created = run(&[
        "tenant",
        "create",
        "acme",
        "--template",
        "workspace",
        "--json",
        "--url",
        &urls,
        "--token",
        &up.token,
    ]);
    let created: serde_json::Value = serde_json::from_str(&created.out).unwrap_or_else(|_| panic!("{}", created.err));
    let admin = created["admin_token"].as_str().unwrap();

    // The first lines go over a connection that dies with its node; the rest is read only afterwards.
    let leader = cluster::leader(&up);
    let at = up.nodes.iter().position(|node| *node == leader).unwrap();
    let mut order = up.urls.clone();
    order.rotate_left(at);
    let (mut import, mut stdin) = Running::start_piped(&[
        "records",
        "import",
        "acme",
        "tasks",
        "-",
        "--json",
        "--url",
        &order.join(","),
        "--token",
        admin,
    ]);
    let lines = |range: std::ops::RangeInclusive<u32>| range.map(|n| format!("{{\"title\":\"task {n}\"}}\n")).collect::<String>();
    stdin.write_all(lines(1..=6_000).as_bytes()).unwrap();
    stdin.flush().unwrap();
    let stored = || {
        let said = run(&["cluster", "status", "--json", "--url", &urls, "--token", &up.token]);
        let report: serde_json::Value = serde_json::from_str(&said.out).unwrap_or_default();
        let cells = report["cells"].as_array().cloned().unwrap_or_default();
        cells
            .iter()
            .any(|cell| cell["kind"] == "shared" && cell["last_log"].as_u64() > Some(3))
    };
    eventually("the first lines are stored", stored);
    signal("KILL", up.pid(&leader));
    stdin.write_all(lines(6_001..=9_000).as_bytes()).unwrap();
    drop(stdin);
    assert!(import.ended().success());
    let (summary, _) = import.line(0, "imported");
    let summary: serde_json::Value = serde_json::from_str(&summary).unwrap();
    assert_eq!(
        (summary["imported"].as_u64(), summary["failed"].as_u64()),
        (Some(9_000), Some(0))
    );

    let export = run(&["tenant", "export", "acme", "--url", &urls, "--token", admin]);
    assert_eq!(export.code, 0, "{}", export.err);
    let mut titles: Vec<&str> = export
        .out
        .lines()
        .filter_map(|line| line.split("\"title\":\"").nth(1)?.split('"').next())
        .collect();
    titles.sort_unstable();
    titles.dedup();
    assert_eq!(
        titles.iter().filter(|title| title.starts_with("task ")).count(),
        9_000,
        "each is there"
    );
    assert_eq!(export.out.matches("\"kind\":\"record\"").count(), 9_000, "and once");
}
