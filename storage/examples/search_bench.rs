//! How many questions a second an index answers by itself, without requests, rows or rights. Reads what `cloudnest-bench search-speed --write DIR` wrote
//! (`docs.csv`, `questions.txt`), indexes it in commits as a node does, and asks. Prints; asserts nothing.
//!
//! `cargo run --release -p cloudnest-storage --example search_bench -- DIR [commits] [rounds]`

#![allow(clippy::print_stdout, reason = "a measurement is printed")]

use std::path::Path;
use std::time::Instant;

use storage::Space;
use storage::search::{Clause, Indexed, Language, Part, Pattern, Question, SearchIndex, SpaceMark, words};

/// As in the binary.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const SPACE: Space = Space(7);
/// What a page of ten asks the index for.
const WANTED: usize = 60;

type Failure = Box<dyn std::error::Error>;

fn main() -> Result<(), Failure> {
    let mut arguments = std::env::args().skip(1);
    let directory = arguments.next().ok_or("say where docs.csv and questions.txt are")?;
    let commits: usize = arguments.next().map_or(Ok(12), |text| text.parse())?;
    let rounds: usize = arguments.next().map_or(Ok(3), |text| text.parse())?;
    let read = |name: &str| std::fs::read_to_string(Path::new(&directory).join(name));
    let (documents, questions) = (read("docs.csv")?, read("questions.txt")?);
    let language = Language::of("en").ok_or("English is known")?;
    let place = tempfile::tempdir()?;
    let started = Instant::now();
    let index = filled(&place.path().join("search"), &documents, commits, language)?;
    let (records, segments) = index.size();
    println!(
        "{records} documents in {segments} segments, indexed in {:.2?}",
        started.elapsed()
    );
    for _ in 0..rounds {
        asked(&index, &questions, language)?;
    }
    Ok(())
}

fn filled(directory: &Path, documents: &str, commits: usize, language: Language) -> Result<SearchIndex, Failure> {
    let (index, _) = SearchIndex::open(directory)?;
    let mut writer = index.writer()?;
    let lines: Vec<&str> = documents.lines().collect();
    for (round, batch) in lines.chunks(lines.len().div_ceil(commits.max(1)).max(1)).enumerate() {
        for line in batch {
            let (number, text) = line.split_once(',').ok_or("a line is a number and a text")?;
            writer.put(&Indexed {
                space: SPACE,
                collection: 1,
                id: number.parse::<u128>()?.to_be_bytes(),
                language,
                texts: vec![(Part::Title, text.into())],
            })?;
        }
        let mark = SpaceMark {
            position: round as u64 + 1,
            ..SpaceMark::default()
        };
        writer.mark(SPACE, &mark)?;
        writer.commit(round as u64)?;
    }
    writer.close()?;
    Ok(index)
}

fn asked(index: &SearchIndex, questions: &str, language: Language) -> Result<(), Failure> {
    let (mut times, mut matches) = (Vec::new(), 0);
    let started = Instant::now();
    for text in questions.lines() {
        let began = Instant::now();
        let words: Vec<_> = words(text, language).collect();
        let pattern = |(place, word)| match place + 1 == words.len() {
            true => Pattern::loose(word).prefix(),
            false => Pattern::loose(word),
        };
        let mut question = Question {
            space: SPACE,
            needed: words.iter().enumerate().map(pattern).map(Clause::Word).collect(),
            excluded: Vec::new(),
            collections: Some(vec![1]),
            by_rarity: true,
        };
        matches += index.find(&mut question, None, WANTED, &mut || false)?.matches;
        times.push(began.elapsed());
    }
    let seconds = started.elapsed().as_secs_f64();
    times.sort();
    let at = |share: usize| times[times.len() * share / 100];
    println!(
        "{:.0} questions/s, p50 {:.1?}, p95 {:.1?}, p99 {:.1?}, {} matches a question",
        times.len() as f64 / seconds,
        at(50),
        at(95),
        at(99),
        matches / times.len() as u64
    );
    Ok(())
}
