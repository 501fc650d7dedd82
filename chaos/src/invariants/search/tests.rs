use super::*;
use crate::invariants::stories::{Story, note, search};

const CHECKER: Search = Search;

/// Two notes with a word in common, one that was changed, one that was deleted.
fn story() -> Story {
    let mut story = Story::new();
    story.ok(0, 10, note("a", Some("one both"))).position = Some(1);
    story.ok(0, 10, note("b", Some("two both"))).position = Some(2);
    story.ok(0, 10, note("c", Some("three both"))).position = Some(3);
    story.ok(20, 30, note("b", Some("four both"))).position = Some(4);
    story.ok(20, 30, note("c", None)).position = Some(5);
    story.ok(40, 50, search("both", true, &[("a", 1, "one both"), ("b", 2, "four both")]));
    story.ok(40, 50, search("three", true, &[]));
    story.ok(25, 26, search("three", true, &[("c", 1, "three both")]));
    story.ok(25, 26, search("two", true, &[("b", 2, "four both")]));
    story.ok(40, 50, search("two", false, &[("b", 2, "four both")]));
    story.ok(40, 50, search("one", false, &[]));
    story.notes("a", 1, "one both");
    story.notes("b", 2, "four both");
    story.finds("both", &["a", "b"]);
    story.finds("four", &["b"]);
    story.finds("two", &[]);
    story
}

#[test]
fn what_finds_what_is_there_is_green() {
    story().assert_damage_is_found(&CHECKER);
    Story::new().assert_no_damage(&CHECKER);
}

#[test]
fn what_a_strong_search_misses_or_should_not_find_is_found() {
    for (word, found, why) in [
        ("one", &[][..], "a has it, and was not found"),
        ("both", &[("a", 1, "one both")], "b has it, and was not found"),
        (
            "three",
            &[("c", 1, "three both")],
            "version 1 of c had been changed or deleted",
        ),
        ("two", &[("b", 2, "four both")], "b did not have the word any more"),
        ("four", &[("b", 1, "two both")], "b does not have the word"),
    ] {
        let mut story = story();
        story.ok(60, 70, search(word, true, found));
        story.assert_finds(&CHECKER, &[word, why]);
    }
}

#[test]
fn what_no_search_may_give_is_found() {
    for (word, found, why) in [
        ("one", &[("z", 1, "one both")][..], "z in notes is nobody's note"),
        ("one", &[("a", 2, "one both")], "nobody wrote version 2 of a"),
        ("one", &[("a", 1, "another text")], "nobody wrote version 1 of a"),
        ("one", &[("a", 1, "one both"), ("a", 1, "one both")], "a came twice"),
        ("two", &[("a", 1, "one both")], "a does not have the word"),
    ] {
        let mut story = story();
        story.ok(60, 70, search(word, false, found));
        story.assert_finds(&CHECKER, &[word, why]);
    }
    let mut early = story();
    early.ok(15, 16, search("four", false, &[("b", 2, "four both")]));
    early.assert_finds(&CHECKER, &["was not written yet"]);
    let mut stale = story();
    stale.ok(60, 70, search("two", false, &[("b", 1, "two both")])).position = Some(3);
    stale.assert_green(&CHECKER);
    stale.ok(60, 70, search("two", false, &[("b", 1, "two both")])).position = Some(4);
    stale.assert_finds(&CHECKER, &["older than the answer's position"]);
}

#[test]
fn totals_and_facets_that_do_not_add_up_are_found() {
    let both = [("a", 1, "one both"), ("b", 2, "four both")];
    for (count, exact, kinds, why) in [
        (3, true, 2, "it says Total { count: 3, exact: true }, and found 2"),
        (3, false, 2, "found 2"),
        (2, true, 1, "of each kind"),
    ] {
        let mut story = story();
        let mut action = search("both", true, &both);
        if let Action::Search { total, facets, .. } = &mut action {
            (*total, *facets) = (Some(Total { count, exact }), Some(vec![("plain".to_owned(), kinds)]));
        }
        story.ok(60, 70, action.clone());
        story.assert_finds(&CHECKER, &[why]);
        // While one of them changes nobody can say.
        let mut busy = self::story();
        busy.ok(60, 70, action);
        busy.unknown(65, 66, note("a", Some("five both")));
        busy.assert_green(&CHECKER);
    }
}

#[test]
fn a_node_that_finds_something_else_at_the_end_is_found() {
    let mut lost = story();
    lost.finds("both", &["a"]);
    lost.assert_finds(&CHECKER, &["both is in 2 notes, n1 finds 1"]);
    let mut more = story();
    more.finds("two", &["b"]);
    more.assert_finds(&CHECKER, &["two is in 0 notes, n1 finds 1"]);
    let mut twice = story();
    twice.finds("four", &["b", "b"]);
    twice.assert_finds(&CHECKER, &["finds some notes with four twice"]);
    let mut building = story();
    building.ending.tenants[0].searches[0].building = true;
    building.assert_finds(&CHECKER, &["still being built"]);
    let mut total = story();
    total.ending.tenants[0].searches[0].total = Some(Total { count: 9, exact: true });
    total.assert_finds(&CHECKER, &["both at n1", "count: 9"]);
}
