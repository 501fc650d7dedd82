use super::*;
use crate::ending::PageSought;
use crate::history::Stroke::{Append, Erase, Insert};
use crate::invariants::stories::{Story, scribe};

const CHECKER: Documents = Documents;
const TEXT: &str = "one four three five ";

/// Two clients write one document; one of the marks is taken away, of one nobody knows.
fn story() -> Story {
    let mut story = Story::new();
    story.ok(0, 10, scribe("p", 5, "one", Append));
    story.ok(0, 12, scribe("p", 6, "two", Append));
    story.ok(20, 30, scribe("p", 5, "three", Append));
    story.ok(22, 30, scribe("p", 6, "four", Insert));
    story.ok(40, 50, scribe("p", 6, "two", Erase));
    story.unknown(60, 61, scribe("p", 6, "six", Append));
    story.ok(60, 70, scribe("p", 5, "five", Append));
    let page = story.page("p", TEXT);
    for (mark, found) in [("four", &["p"][..]), ("two", &[])] {
        page.sought.push(PageSought {
            node: "n1".to_owned(),
            mark: mark.to_owned(),
            found: found.iter().map(|id| (*id).to_owned()).collect(),
        });
    }
    story
}

/// The document says something else everywhere.
fn says(text: &str) -> Story {
    let mut story = story();
    let page = page(&mut story);
    for copy in &mut page.copies {
        (copy.text, copy.shown) = (text.to_owned(), Some(text.to_owned()));
    }
    page.scribes[0].text = text.to_owned();
    story
}

fn page(story: &mut Story) -> &mut Page {
    &mut story.ending.tenants[0].pages[0]
}

#[test]
fn a_document_that_is_what_was_written_is_green() {
    story().assert_damage_is_found(&CHECKER);
    Story::new().assert_no_damage(&CHECKER);
    // What nobody knows of may be there, and what may have been taken away need not.
    says("one four three six five ").assert_green(&CHECKER);
    let mut perhaps = says("one four three ");
    perhaps.unknown(80, 81, scribe("p", 5, "five", Erase));
    perhaps.assert_green(&CHECKER);
    let mut neither = story();
    neither.unknown(80, 81, scribe("p", 5, "five", Erase));
    neither.assert_green(&CHECKER);
    // A mark that may have been taken away is none by whose loss a checker can be tried.
    neither.unknown(80, 81, scribe("p", 5, "one", Erase));
    neither.assert_damage_is_found(&CHECKER);
}

#[test]
fn what_is_lost_what_came_back_and_what_nobody_wrote_is_found() {
    for (text, why) in [
        ("one four three ", "lost: five was acknowledged"),
        ("one four three five two ", "two was taken away, and is there"),
        ("one four three five one ", "one is there twice"),
        ("one four three five six six ", "six is there twice"),
        ("one four three five zeta ", "nobody wrote zeta"),
        ("one fo ur three five ", "nobody wrote fo"),
        ("one four five three ", "client 5 appended five behind three"),
    ] {
        says(text).assert_finds(&CHECKER, &["acme: p at n1", why]);
    }
    // Another document's mark, and another tenant's.
    let mut foreign = says("one four three five other ");
    foreign.ok(0, 10, scribe("q", 5, "other", Append));
    foreign.assert_finds(&CHECKER, &["acme: p at n1", "nobody wrote other"]);
    let mut neighbour = says("one four three five other ");
    neighbour.ok(0, 10, scribe("p", 5, "other", Append)).tenant = 1;
    neighbour.assert_finds(&CHECKER, &["acme: p at n1", "nobody wrote other"]);
}

#[test]
fn documents_that_are_gone_or_were_not_read_are_found() {
    let mut gone = story();
    page(&mut gone).copies.clear();
    gone.assert_finds(&CHECKER, &["acme: p is gone, and was written"]);
    let mut unread = story();
    unread.ending.tenants[0].pages.clear();
    unread.assert_finds(&CHECKER, &["acme: nobody has read p"]);
    let mut never = Story::new();
    never.unknown(0, 10, scribe("p", 5, "one", Append));
    never.assert_green(&CHECKER);
}

#[test]
fn nodes_that_differ_and_records_that_show_another_text_are_found() {
    let mut text = story();
    page(&mut text).copies[1].text = "one four three five six ".to_owned();
    text.assert_finds(&CHECKER, &["n2 gives another document than n1", "six"]);
    let mut clocks = story();
    page(&mut clocks).copies[1].clocks.insert(6, 1);
    clocks.assert_finds(&CHECKER, &["n2 gives another document than n1"]);
    for shown in [None, Some("one four three".to_owned())] {
        let mut story = story();
        page(&mut story).copies[1].shown = shown;
        story.assert_finds(&CHECKER, &["the record at n2 shows"]);
    }
}

#[test]
fn searches_that_find_something_else_are_found() {
    let mut lost = story();
    page(&mut lost).sought[0].found.clear();
    lost.assert_finds(&CHECKER, &["n1 finds four in []", "[\"p\"]"]);
    let mut stale = story();
    page(&mut stale).sought[1].found.push("p".to_owned());
    stale.assert_finds(&CHECKER, &["n1 finds two in [\"p\"]"]);
    let mut twice = story();
    page(&mut twice).sought[0].found.push("p".to_owned());
    twice.assert_finds(&CHECKER, &["n1 finds four in [\"p\", \"p\"]"]);
}

#[test]
fn scribes_that_are_left_out_or_saw_something_wrong_are_found() {
    let mut lacks = story();
    page(&mut lacks).scribes[0].text = "one four three ".to_owned();
    lacks.assert_finds(&CHECKER, &["acme: p: scribe 0 was left out", "lacks [\"five\"]"]);
    let mut clocks = story();
    page(&mut clocks).scribes[0].clocks.insert(5, 8);
    clocks.assert_finds(&CHECKER, &["scribe 0 was left out"]);
    let mut waits = story();
    page(&mut waits).scribes[0].waiting = 2;
    waits.assert_finds(&CHECKER, &["2 changes were not taken"]);
    let mut odd = story();
    page(&mut odd).scribes[0].odd.push("its changes were refused: no".to_owned());
    odd.assert_finds(&CHECKER, &["scribe 0: its changes were refused"]);
}
