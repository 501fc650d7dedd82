use std::path::Path;

use super::*;

/// Runs a target over its seeds, so that all of it is held without a fuzzer too.
fn seeds(target: &str, run: impl Fn(&[u8])) {
    let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus-seed").join(target);
    let mut count = 0;
    for entry in std::fs::read_dir(&seeds).expect("the seeds of the target") {
        let path = entry.expect("a seed").path();
        eprintln!("{}", path.display());
        run(&std::fs::read(&path).expect("a seed"));
        count += 1;
    }
    assert!(count > 0, "{target} has no seeds");
}

#[test]
fn every_target_holds_over_its_seeds() {
    seeds("import_line", line);
    seeds("schema", schema);
    seeds("config", config);
    seeds("entry", entry);
    seeds("rows", rows);
    seeds("search", search);
}

#[test]
fn whatever_is_typed_an_excerpt_is_a_part_of_the_text() {
    const PIECES: [&str; 16] = [
        "a", "form", "forms", "\"", "-", " ", "*", "<b>", "&", "東京", "都", "é", "e\u{301}", "x1", "'", "\u{1}",
    ];
    let mut hasher = blake3::Hasher::new();
    for number in 0..400u64 {
        let mut bytes = [0; 80];
        hasher.update(&number.to_le_bytes()).finalize_xof().fill(&mut bytes);
        let piece = |byte: &u8| PIECES[usize::from(*byte) % PIECES.len()];
        let (question, text) = bytes.split_at(4 + number as usize % 8);
        let question: String = question.iter().map(piece).collect();
        let text: String = text.iter().map(piece).collect();
        search(format!("{question}\n{text}").as_bytes());
        search(format!("{question}\n{}", text.repeat(20)).as_bytes());
    }
}

#[test]
fn every_target_with_a_store_holds_over_its_seeds() {
    let kept = tempfile::tempdir().expect("a directory");
    seeds("list", |data| list(data, kept.path()));
    seeds("commands", |data| {
        let dir = tempfile::tempdir().expect("a directory");
        commands(data, dir.path());
    });
}

#[test]
fn a_space_and_its_copy_hold_the_same_whatever_it_takes() {
    seeds("moving", |data| {
        let dir = tempfile::tempdir().expect("a directory");
        moving(data, dir.path());
    });
    seeds("commands", |data| {
        for copied_after in [0, 7, 20] {
            let dir = tempfile::tempdir().expect("a directory");
            moving(&[&[copied_after], data].concat(), dir.path());
        }
    });
    // Bytes of a die that is always thrown alike.
    let mut hasher = blake3::Hasher::new();
    for number in 0..24u64 {
        let mut data = vec![0; 3_000];
        hasher.update(&number.to_le_bytes()).finalize_xof().fill(&mut data);
        let dir = tempfile::tempdir().expect("a directory");
        moving(&data, dir.path());
    }
}

#[test]
fn a_space_and_what_is_made_of_its_archive_hold_the_same_whatever_it_took() {
    seeds("archive", archive);
    let mut hasher = blake3::Hasher::new();
    let (mut derived, mut changing) = (0, 0);
    for number in 0..64u64 {
        let mut data = vec![0; 2_000];
        hasher.update(&number.to_le_bytes()).finalize_xof().fill(&mut data);
        archive(&data);
        let dir = tempfile::tempdir().expect("a directory");
        let (rows, under_way) = archived(&data, dir.path());
        derived += rows;
        changing += under_way;
    }
    assert!(
        derived > 200 && changing > 20,
        "lives that hold something: {derived} derived rows, {changing} operations"
    );
    seeds("archived", |data| {
        let dir = tempfile::tempdir().expect("a directory");
        archived(data, dir.path());
    });
}

#[test]
fn expressions_hold_over_their_seeds() {
    // How long they take is for the bench: here it would depend on who else uses the machine.
    seeds("expression", |data| {
        let _ = expression(data);
    });
}

#[test]
fn the_worst_expressions_are_evaluated_or_refused() {
    for text in ["title + title == 'x'", "meta.k1 == 1", "labels.all(l, l == 'x')"] {
        expression::measure(text, false, 1).expect(text);
    }
}
