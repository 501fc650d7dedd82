use std::collections::BTreeMap;

use super::*;
use crate::ending::KeptVersion;
use crate::invariants::stories::Story;
use crate::invariants::stories::{filed, peek, shelve};

const CHECKER: Files = Files;

/// A file of two versions, the second of which came in pieces, and one that is deleted.
fn story() -> Story {
    let mut story = Story::new();
    story.ok(0, 10, shelve("f", Deed::Create(filed("acme-f1"))));
    story.ok(20, 30, peek("f", None, Some("acme-f1")));
    story.ok(40, 50, shelve("f", Deed::Renew(filed("acme-f2"))));
    story.ok(60, 70, peek("f", None, Some("acme-f2")));
    story.ok(60, 70, peek("f", Some(1), Some("acme-f1")));
    story.ok(80, 90, shelve("f", Deed::Attach("p".to_owned())));
    story.ok(0, 10, shelve("g", Deed::Upload(filed("acme-g1"))));
    story.ok(20, 30, shelve("g", Deed::Delete));
    story.ok(40, 50, peek("g", None, None));
    story.keeps("f", &["acme-f1", "acme-f2"]);
    story.ending.tenants[0].files[0].attached = Some("p".to_owned());
    story
}

fn version(story: &mut Story, number: u64) -> &mut KeptVersion {
    let versions = &mut story.ending.tenants[0].files[0].versions;
    versions.iter_mut().find(|version| version.version == number).unwrap()
}

#[test]
fn what_was_acknowledged_and_is_there_is_green() {
    story().assert_damage_is_found(&CHECKER);
    Story::new().assert_no_damage(&CHECKER);
}

#[test]
fn what_is_lost_or_other_than_it_was_is_found() {
    let mut lost = story();
    lost.ending.tenants[0].files.clear();
    lost.assert_finds(&CHECKER, &["f is gone"]);
    let mut other = story();
    version(&mut other, 1).seen.insert("n2".to_owned(), None);
    other.assert_finds(&CHECKER, &["version 1 of f is None at n2"]);
    let mut mixed = story();
    version(&mut mixed, 2).digest = filed("acme-f1").digest();
    mixed.assert_finds(&CHECKER, &["said to be another one"]);
    let mut few = story();
    version(&mut few, 2).disks = 1;
    few.assert_finds(&CHECKER, &["lay on 1 disks, it needs 2"]);
    let mut fewer = story();
    fewer.ending.tenants[0].files[0].versions.pop();
    fewer.assert_finds(&CHECKER, &["has the versions"]);
    let mut twice = story();
    twice.keeps("f", &["acme-f1"]);
    twice.assert_finds(&CHECKER, &["there are 2 files f"]);
    let mut loose = story();
    loose.ending.tenants[0].files[0].attached = None;
    loose.assert_finds(&CHECKER, &["is attached to None"]);
}

#[test]
fn what_nobody_made_or_what_was_deleted_is_found() {
    let mut phantom = story();
    phantom.keeps("h", &["acme-h1"]);
    phantom.assert_finds(&CHECKER, &["nobody made the file h"]);
    let mut back = story();
    back.keeps("g", &["acme-g1"]);
    back.assert_finds(&CHECKER, &["g is there, and was deleted"]);
    let mut ghost = story();
    ghost.ending.tenants[0].ghosts.push("g at n1".to_owned());
    ghost.assert_finds(&CHECKER, &["given out: g at n1"]);
    let mut recounted = story();
    let change = recounted.ok(100, 110, shelve("f", Deed::Restore(1)));
    if let Action::Shelve { version, .. } = &mut change.action {
        *version = Some(4);
    }
    recounted.assert_finds(&CHECKER, &["told to have version 4, it is 3"]);
}

#[test]
fn a_read_gives_what_was_current_meanwhile_and_nothing_else() {
    for (from, to, mark, is_right) in [
        (11, 12, Some("acme-f1"), true),
        (41, 42, Some("acme-f1"), true),
        (41, 42, Some("acme-f2"), true),
        (51, 52, Some("acme-f1"), false),
        (31, 32, Some("acme-f2"), false),
        (51, 52, Some("zeta-f2"), false),
        (51, 52, None, false),
        (0, 5, None, true),
    ] {
        let mut story = story();
        story.ok(from, to, peek("f", None, mark));
        match is_right {
            true => story.assert_green(&CHECKER),
            false => story.assert_finds(&CHECKER, &["which is none of"]),
        }
    }
    let mut wrong = story();
    wrong.ok(100, 110, peek("f", Some(1), Some("acme-f2")));
    wrong.assert_finds(&CHECKER, &["version Some(1)"]);
    let mut part = story();
    let bytes = filed("acme-f2").make();
    let seen = |bytes: &[u8]| Glimpse {
        bytes: bytes.len() as u64,
        digest: content::digest(bytes),
    };
    for (range, seen, is_right) in [
        ((3, 9), seen(&bytes[3..10]), true),
        ((90, 900), seen(&bytes[90..]), true),
        ((3, 9), seen(&bytes[4..11]), false),
    ] {
        let mut action = peek("f", None, None);
        if let Action::Peek {
            range: of, seen: was, ..
        } = &mut action
        {
            (*of, *was) = (Some(range), Some(seen));
        }
        part.ok(100, 110, action);
        match is_right {
            true => part.assert_green(&CHECKER),
            false => part.assert_finds(&CHECKER, &["which is none of"]),
        }
    }
}

#[test]
fn what_nobody_knows_the_end_of_is_there_or_not() {
    for kept in [&["acme-f1", "acme-f2"][..], &["acme-f1", "acme-f2", "acme-f3"]] {
        let mut story = story();
        story.ending.tenants[0].files.clear();
        story.keeps("f", kept);
        story.ending.tenants[0].files[0].attached = Some("p".to_owned());
        story.unknown(100, 110, shelve("f", Deed::Replace(filed("acme-f3"))));
        story.assert_green(&CHECKER);
    }
    let mut gone = story();
    gone.unknown(100, 110, shelve("f", Deed::Delete));
    gone.assert_green(&CHECKER);
    gone.ending.tenants[0].files.clear();
    gone.assert_green(&CHECKER);
    let mut never = Story::new();
    never.unknown(0, 10, shelve("n", Deed::Create(filed("acme-n"))));
    never.assert_green(&CHECKER);
    never.keeps("n", &["acme-n"]);
    never.assert_green(&CHECKER);
    let seen: BTreeMap<_, _> = BTreeMap::from([("n1".to_owned(), None)]);
    never.ending.tenants[0].files[0].versions[0].seen = seen;
    never.assert_finds(&CHECKER, &["is None at n1"]);
}
