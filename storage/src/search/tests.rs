use std::fs;
use std::path::Path;

use super::*;

const ACME: Space = Space(7);
const GLOBEX: Space = Space(8);

fn id(number: u32) -> [u8; 16] {
    u128::from(number).to_be_bytes()
}

fn record(space: Space, number: u32, title: &str, body: &str) -> Indexed<'static> {
    Indexed {
        space,
        collection: 1 + number % 2,
        id: id(number),
        language: Language::of("en").expect("a language"),
        texts: vec![(Part::Title, title.to_owned().into()), (Part::Body, body.to_owned().into())],
    }
}

/// What a text asks: words that may be meant loosely, `"` around a phrase, `-` before what must not be there, `*` after a beginning.
fn question(space: Space, text: &str) -> Question {
    let language = Language::of("en").expect("a language");
    let mut question = Question {
        space,
        needed: Vec::new(),
        excluded: Vec::new(),
        collections: None,
        by_rarity: true,
    };
    for term in text.split(' ') {
        let (list, term) = match term.strip_prefix('-') {
            Some(term) => (&mut question.excluded, term),
            None => (&mut question.needed, term),
        };
        let words: Vec<_> = words(term, language).collect();
        let pairs = words.len() > 1 && words.iter().any(|word| word.cut == Cut::Pair);
        let words = &words[..words.len() - usize::from(pairs)];
        list.push(match words {
            [word] if term.ends_with('*') => Clause::Word(Pattern::loose(word).prefix()),
            [word] => Clause::Word(Pattern::loose(word)),
            words => Clause::Phrase(words.iter().map(Pattern::exact).collect()),
        });
    }
    question
}

fn find(index: &SearchIndex, space: Space, text: &str) -> Vec<u32> {
    let found = index
        .find(&mut question(space, text), None, 100, &mut || false)
        .expect("found");
    assert_eq!(found.matches, found.ranks.len() as u64, "{text}");
    let number = |rank: &Rank| u32::try_from(u128::from_be_bytes(rank.id)).expect("a number");
    found.ranks.iter().map(number).collect()
}

fn filled(directory: &Path, records: &[Indexed<'_>]) -> SearchIndex {
    let (index, why) = SearchIndex::open(directory).expect("opened");
    assert!(why.is_some(), "there was none");
    let mut writer = index.writer().expect("a writer");
    for record in records {
        writer.add(record).expect("added");
    }
    writer.commit(1).expect("committed");
    index
}

fn library() -> Vec<Indexed<'static>> {
    vec![
        record(
            ACME,
            1,
            "Replication stalls",
            "The follower stops after an election and never catches up.",
        ),
        record(ACME, 2, "Election storms", "Two leaders run replication against each other."),
        record(ACME, 3, "CN-12 crash on start", "panic in the flush thread; user_id is nil"),
        record(ACME, 4, "東京都の天気", "雨"),
        record(ACME, 5, "Running late", "nothing of note"),
        record(GLOBEX, 1, "Replication secret", "zebra election"),
    ]
}

#[test]
fn words_are_found_however_they_are_written() {
    let directory = tempfile::tempdir().expect("a directory");
    let index = filled(directory.path(), &library());
    for (text, found) in [
        ("replication", &[1, 2][..]),
        ("Replicatoin", &[1, 2]),
        ("election leaders", &[2]),
        ("elections", &[2, 1]),
        ("runs", &[5, 2]),
        ("cn-12", &[3]),
        ("12", &[3]),
        ("cn-13", &[]),
        ("flush-thread", &[3]),
        ("thread-flush", &[]),
        ("user-id", &[3]),
        ("fol*", &[1]),
        ("replication -leaders", &[1]),
        ("replication -replication", &[]),
        ("東京", &[4]),
        ("京都", &[4]),
        ("東", &[4]),
        ("気", &[4]),
        ("東都", &[]),
        ("zebra", &[]),
    ] {
        assert_eq!(find(&index, ACME, text), found, "{text}");
    }
}

#[test]
fn what_fits_better_comes_first() {
    let directory = tempfile::tempdir().expect("a directory");
    let records = [
        record(
            ACME,
            1,
            "about something",
            "a form among many other words that say little of it",
        ),
        record(ACME, 2, "the form", ""),
        record(ACME, 3, "the from", ""),
        record(ACME, 4, "the formation", ""),
    ];
    let index = filled(directory.path(), &records);
    assert_eq!(find(&index, ACME, "form*"), [2, 4, 1, 3]);
    assert_eq!(find(&index, ACME, "form"), [2, 1, 3]);
}

#[test]
fn nothing_of_another_space_shows() {
    let directory = tempfile::tempdir().expect("a directory");
    let index = filled(directory.path(), &library());
    assert_eq!(find(&index, GLOBEX, "replication"), [1]);
    assert_eq!(find(&index, GLOBEX, "zebra"), [1]);
    assert_eq!(find(&index, GLOBEX, "follower"), Vec::<u32>::new());
    assert_eq!(find(&index, Space(9), "replication"), Vec::<u32>::new());
    // Neither do its figures: what another space writes changes no worth.
    let before = index
        .find(&mut question(ACME, "replication election"), None, 10, &mut || false)
        .expect("found");
    let mut writer = index.writer().expect("a writer");
    for number in 10..200 {
        let text = "replication election replicas elections";
        writer.add(&record(GLOBEX, number, text, text)).expect("added");
    }
    writer.commit(2).expect("committed");
    assert_eq!(
        index
            .find(&mut question(ACME, "replication election"), None, 10, &mut || false)
            .expect("found"),
        before
    );
}

#[test]
fn an_order_depends_on_the_documents_alone() {
    let (one, other) = (
        tempfile::tempdir().expect("a directory"),
        tempfile::tempdir().expect("a directory"),
    );
    let text = |number: u32| {
        let many = "election ".repeat(1 + number as usize % 3);
        (format!("leader {many}"), "word ".repeat(number as usize % 50) + "follower")
    };
    let records: Vec<_> = (0..300)
        .map(|number| record(ACME, number, &text(number).0, &text(number).1))
        .collect();
    let straight = filled(one.path(), &records);
    // The same records by many commits, with others that are deleted again, in another order.
    let (crooked, _) = SearchIndex::open(other.path()).expect("opened");
    let mut writer = crooked.writer().expect("a writer");
    for (round, batch) in records.chunks(20).rev().enumerate() {
        for record in batch {
            let stale = Indexed {
                texts: vec![(Part::Body, "leader follower follower election gone".into())],
                ..record.clone()
            };
            writer.add(&stale).expect("added");
        }
        writer.commit(round as u64).expect("committed");
        batch.iter().for_each(|record| writer.put(record).expect("put"));
        for number in 1_000..1_030 {
            writer.put(&record(ACME, number, "leader election", "follower")).expect("put");
        }
    }
    (1_000..1_030).for_each(|number| writer.remove(ACME, 1 + number % 2, id(number)));
    writer.commit(99).expect("committed");
    for text in ["leader", "election follower", "leader -word", "elect* follower", "folower"] {
        let (mut after, mut pages) = (None, Vec::new());
        loop {
            let page = straight
                .find(&mut question(ACME, text), after, 17, &mut || false)
                .expect("found");
            assert_eq!(
                crooked
                    .find(&mut question(ACME, text), after, 17, &mut || false)
                    .expect("found"),
                page,
                "{text}"
            );
            after = page.ranks.last().copied();
            pages.extend(page.ranks);
            if after.is_none() {
                break;
            }
        }
        let whole = straight
            .find(&mut question(ACME, text), None, 1_000, &mut || false)
            .expect("found");
        assert_eq!(pages, whole.ranks, "{text}: pages are the whole, cut");
        assert!(!pages.is_empty(), "{text}");
        assert!(pages.is_sorted_by(|one, next| one > next), "{text}: no rank comes twice");
    }
}

#[test]
fn collections_and_rarity_can_be_left_out() {
    let directory = tempfile::tempdir().expect("a directory");
    let index = filled(directory.path(), &library());
    let of = |collections: Option<Vec<u32>>, by_rarity| {
        let mut question = Question {
            collections,
            by_rarity,
            ..question(ACME, "replication")
        };
        index.find(&mut question, None, 10, &mut || false).expect("found")
    };
    assert_eq!(of(Some(vec![1]), true).matches, 1);
    assert_eq!(of(Some(vec![]), true).matches, 0);
    let plain = of(None, false);
    let mut writer = index.writer().expect("a writer");
    for number in 10..90 {
        writer
            .add(&record(ACME, number, "other", "replicas of other things"))
            .expect("added");
    }
    writer.commit(2).expect("committed");
    assert_eq!(
        of(None, false).ranks[..2],
        plain.ranks[..2],
        "what is not counted cannot be told"
    );
}

#[test]
fn deletions_take_one_record_a_collection_or_a_space() {
    let directory = tempfile::tempdir().expect("a directory");
    let index = filled(directory.path(), &library());
    let mut writer = index.writer().expect("a writer");
    writer
        .mark(
            ACME,
            &SpaceMark {
                position: 5,
                stamp: 6,
                shape: 7,
            },
        )
        .expect("marked");
    writer.remove(ACME, 2, id(1));
    writer.commit(2).expect("committed");
    assert_eq!(find(&index, ACME, "replication"), [2]);
    writer.remove_collection(ACME, 1);
    writer.commit(3).expect("committed");
    assert_eq!(find(&index, ACME, "replication"), Vec::<u32>::new());
    assert_eq!(find(&index, ACME, "crash"), [3]);
    assert_eq!(index.mark(ACME).expect("read").map(|mark| mark.position), Some(5));
    writer.remove_space(ACME);
    writer.commit(4).expect("committed");
    assert_eq!(find(&index, ACME, "crash"), Vec::<u32>::new());
    assert_eq!(index.mark(ACME).expect("read"), None);
    assert_eq!(find(&index, GLOBEX, "replication"), [1]);
}

#[test]
fn what_was_not_committed_is_gone_and_its_mark_with_it() {
    let directory = tempfile::tempdir().expect("a directory");
    let mark = |position| SpaceMark {
        position,
        stamp: position * 2,
        shape: 1,
    };
    let index = filled(directory.path(), &library());
    let mut writer = index.writer().expect("a writer");
    writer.mark(ACME, &mark(1)).expect("marked");
    writer.mark(ACME, &mark(2)).expect("marked");
    writer.commit(20).expect("committed");
    writer.put(&record(ACME, 9, "kangaroo", "")).expect("put");
    writer.mark(ACME, &mark(3)).expect("marked");
    assert!(index.writer().is_err(), "there is one writer");
    drop(writer);
    let (again, why) = SearchIndex::open(directory.path()).expect("opened");
    assert_eq!(why, None);
    assert_eq!(
        (again.mark(ACME).expect("read"), again.mark(GLOBEX).expect("read")),
        (Some(mark(2)), None)
    );
    assert_eq!(again.covered().expect("read"), 20);
    assert_eq!(find(&again, ACME, "kangaroo"), Vec::<u32>::new());
    assert_eq!(find(&again, ACME, "replication"), [1, 2]);
}

#[test]
fn what_is_damaged_or_of_another_version_is_made_anew() {
    for harm in ["byte", "cut", "meta", "gone", "version"] {
        let directory = tempfile::tempdir().expect("a directory");
        drop(filled(directory.path(), &library()));
        let files = || {
            fs::read_dir(directory.path())
                .expect("listed")
                .map(|entry| entry.expect("an entry").path())
        };
        let ends = |end: &str| files().find(|path| path.to_string_lossy().ends_with(end)).expect("a file");
        match harm {
            "byte" => {
                let mut bytes = fs::read(ends(".idx")).expect("read");
                let middle = bytes.len() / 2;
                bytes[middle] ^= 0x55;
                fs::write(ends(".idx"), bytes).expect("written");
            }
            "cut" => fs::write(ends(".fast"), b"").expect("written"),
            "meta" => fs::write(directory.path().join("meta.json"), b"{").expect("written"),
            "gone" => fs::remove_file(ends(".term")).expect("removed"),
            _ => {
                let path = directory.path().join("meta.json");
                let meta = fs::read_to_string(&path).expect("read");
                fs::write(&path, meta.replace("\"1 1\"", "\"9 1\"")).expect("written");
            }
        }
        let (opened, why) = SearchIndex::open(directory.path()).expect("opened");
        let found = opened.check();
        assert!(why.is_some() || found.is_err(), "{harm}");
        let index = match found {
            Ok(()) => opened,
            Err(_) => SearchIndex::create(directory.path()).expect("made anew"),
        };
        assert_eq!(find(&index, ACME, "replication"), Vec::<u32>::new(), "{harm}");
        let mut writer = index.writer().expect("a writer");
        writer.add(&library()[0]).expect("added");
        writer.commit(2).expect("committed");
        assert_eq!(find(&index, ACME, "replication"), [1], "{harm}");
    }
}

#[test]
fn a_question_ends_at_its_budget() {
    let directory = tempfile::tempdir().expect("a directory");
    let records: Vec<_> = (0..5_000).map(|number| record(ACME, number, "same words", "")).collect();
    let index = filled(directory.path(), &records);
    let hurried = index.find(&mut question(ACME, "same words"), None, 10, &mut || true);
    assert!(matches!(hurried, Err(SearchError::TimedOut)));
    assert_eq!(
        index
            .find(&mut question(ACME, "same words"), None, 10, &mut || false)
            .expect("found")
            .matches,
        5_000
    );
}

#[test]
fn what_many_have_is_no_typo_and_what_few_have_may_be_one() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut records: Vec<_> = (0..99).map(|number| record(ACME, number, "a form", "")).collect();
    records.extend([
        record(ACME, 200, "from here", ""),
        record(ACME, 201, "folower", ""),
        record(ACME, 202, "the follower", ""),
    ]);
    // Others of the space next door are none of its business.
    records.extend((0..200).map(|number| record(GLOBEX, number, "from a folower", "")));
    let index = filled(directory.path(), &records);
    let meant = |text: &str, by_rarity| {
        let mut question = Question {
            by_rarity,
            ..question(ACME, text)
        };
        let found = index.find(&mut question, None, 1_000, &mut || false).expect("found");
        let from = words("from follower", Language::default());
        let patterns = question.needed[0].patterns();
        let fits: Vec<_> = from.map(|word| patterns[0].fits(&word)).collect();
        (found.matches, fits)
    };
    assert_eq!(meant("form", true), (100, vec![true, false]), "99 have it: it may be a typo");
    assert_eq!(meant("folower", true), (2, vec![false, true]));
    let mut writer = index.writer().expect("a writer");
    writer.add(&record(ACME, 100, "other forms", "")).expect("added");
    writer.commit(2).expect("committed");
    let known = (100, vec![false, false]);
    assert_eq!(
        meant("form", true),
        known,
        "100 have it in some form, and what is near is not even marked"
    );
    assert_eq!(meant("for*", true).0, 100, "all of them begin so");
    assert_eq!(
        meant("form", false).0,
        101,
        "who may not read everything does not learn how many have it"
    );
    writer.remove(ACME, 1, id(0));
    writer.commit(3).expect("committed");
    assert_eq!(
        meant("form", true),
        (100, vec![true, false]),
        "what is deleted does not count"
    );
}
