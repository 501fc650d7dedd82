use super::*;
use crate::ending::{CallAt, Hearing};
use crate::invariants::stories::Story;

const CHECKER: Presence = Presence;
const SECOND: u64 = 1_000_000;

fn visitor(session: &str, mark: &str) -> Visitor {
    Visitor {
        session: session.to_owned(),
        mark: mark.to_owned(),
    }
}

/// One listens for two minutes; another comes, says something else, and drops its connection after ten seconds, which is heard after twenty.
fn story() -> Story {
    let mut story = Story::new();
    let listener = Sitting {
        topic: "tasks".to_owned(),
        said: vec![("one".to_owned(), 0)],
        ended_us: 120 * SECOND,
        by: "left".to_owned(),
        heard_us: 119 * SECOND,
        heard: vec![
            Hearing {
                at_us: SECOND,
                all: Some(vec![visitor("a", "one")]),
                ..Hearing::default()
            },
            Hearing {
                at_us: 2 * SECOND,
                came: vec![visitor("b", "two")],
                ..Hearing::default()
            },
            Hearing {
                at_us: 4 * SECOND,
                came: vec![visitor("b", "three")],
                ..Hearing::default()
            },
            Hearing {
                at_us: 20 * SECOND,
                went: vec!["b".to_owned()],
                ..Hearing::default()
            },
        ],
    };
    let other = Sitting {
        topic: "tasks".to_owned(),
        said: vec![("two".to_owned(), 2 * SECOND), ("three".to_owned(), 3 * SECOND)],
        ended_us: 10 * SECOND,
        by: "dropped the connection".to_owned(),
        ..Sitting::default()
    };
    let tenant = &mut story.ending.tenants[0];
    tenant.sittings = vec![listener, other];
    let said = ["five", "four"].map(str::to_owned).to_vec();
    let at = |node: &str| CallAt {
        node: node.to_owned(),
        heard: said.clone(),
        there: said.clone(),
        ..CallAt::default()
    };
    tenant.calls = vec![Call {
        topic: "tasks".to_owned(),
        said: ["four", "five"].map(str::to_owned).to_vec(),
        nodes: ["n1", "n2"].map(at).into(),
    }];
    story
}

fn listener(story: &mut Story) -> &mut Sitting {
    &mut story.ending.tenants[0].sittings[0]
}

fn at(story: &mut Story) -> &mut CallAt {
    &mut story.ending.tenants[0].calls[0].nodes[1]
}

#[test]
fn who_comes_and_goes_as_it_is_said_is_green() {
    story().assert_damage_is_found(&CHECKER);
    Story::new().assert_no_damage(&CHECKER);
    assert_eq!(at_last(listener(&mut story())), ["one"]);
}

#[test]
fn what_nobody_says_or_not_yet_or_elsewhere_is_found() {
    let mut nobody = story();
    listener(&mut nobody).heard[1].came[0].mark = "zwei".to_owned();
    nobody.assert_finds(&CHECKER, &["\"zwei\" was heard at tasks, and nobody says that"]);
    let mut early = story();
    listener(&mut early).heard[1].at_us = 2 * SECOND - 1;
    early.assert_finds(&CHECKER, &["two was heard at tasks at 1999999 us, and said at 2000000 us"]);
    let mut elsewhere = story();
    elsewhere.ending.tenants[0].sittings[1].topic = "notes".to_owned();
    elsewhere.assert_finds(&CHECKER, &["two was heard at tasks, and said at notes"]);
    let mut foreign = story();
    let other = foreign.ending.tenants[0].sittings.remove(1);
    foreign.ending.tenants[1].sittings.push(other);
    foreign.assert_finds(&CHECKER, &["acme: \"two\" was heard", "nobody says that"]);
}

#[test]
fn whoever_stays_after_having_gone_is_found() {
    let stays = |at_us: u64| {
        let mut story = story();
        listener(&mut story).heard[3].at_us = at_us;
        story
    };
    stays(10 * SECOND + GONE_WITHIN_US).assert_green(&CHECKER);
    stays(10 * SECOND + GONE_WITHIN_US + 1).assert_finds(&CHECKER, &["three was shown at tasks until", "dropped the connection"]);
    let mut ever = story();
    listener(&mut ever).heard.pop();
    ever.assert_finds(
        &CHECKER,
        &["three was shown at tasks until 119000000 us, and had gone at 10000000 us"],
    );
    // Whoever hears nothing any more shows nothing.
    listener(&mut ever).heard_us = 5 * SECOND;
    ever.assert_green(&CHECKER);
    // The whole list says who is there, and who is not.
    let mut whole = story();
    listener(&mut whole).heard[3] = Hearing {
        at_us: 20 * SECOND,
        all: Some(vec![visitor("a", "one")]),
        ..Hearing::default()
    };
    whole.assert_green(&CHECKER);
    listener(&mut whole).heard[3].all = Some(vec![visitor("a", "one"), visitor("b", "three")]);
    whole.assert_finds(&CHECKER, &["three was shown"]);
}

#[test]
fn who_is_not_seen_or_is_still_seen_when_all_is_quiet_is_found() {
    let mut before = story();
    at(&mut before).before.push("three".to_owned());
    before.assert_finds(&CHECKER, &["n2 shows [\"three\"]", "they have gone"]);
    let mut heard = story();
    at(&mut heard).heard.pop();
    heard.assert_finds(&CHECKER, &["the visitor at n2 hears of [\"five\"]"]);
    let mut there = story();
    at(&mut there).there.push("six".to_owned());
    there.assert_finds(&CHECKER, &["n2 shows [\"five\", \"four\", \"six\"]"]);
    let mut after = story();
    at(&mut after).after.push("four".to_owned());
    after.assert_finds(&CHECKER, &["n2 still shows [\"four\"]", "all have gone"]);
}
