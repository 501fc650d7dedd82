//! Stories of transactions, and the checker against brute force.

use std::collections::BTreeMap;
use std::time::Instant;

use rig::random::Random;

use super::*;
use crate::history::{Operation, Outcome};
use crate::invariants::stories::{Story, transaction};

const CHECKER: Serializability = Serializability;

#[test]
fn transactions_in_one_order_are_green() {
    let mut story = Story::new();
    story.ok(0, 10, transaction(&[("x", &[]), ("y", &[])], &[("x", 1), ("y", 2)]));
    story.failed(5, 15, transaction(&[], &[("x", 9)]));
    story.ok(20, 40, transaction(&[("x", &[1])], &[("x", 3)]));
    story.ok(20, 40, transaction(&[("x", &[1]), ("y", &[2])], &[]));
    story.unknown(50, 60, transaction(&[], &[("y", 4)]));
    story.unknown(50, 60, transaction(&[("x", &[7])], &[("x", 5)]));
    story.ok(70, 80, transaction(&[("x", &[1, 3]), ("y", &[2])], &[]));
    story.lists("x", &[1, 3]);
    story.lists("y", &[2, 4]);
    story.assert_damage_is_found(&CHECKER);
}

#[test]
fn appends_around_each_other_are_g0() {
    let mut story = Story::new();
    story.ok(0, 10, transaction(&[], &[("x", 1), ("y", 2)]));
    story.ok(0, 10, transaction(&[], &[("x", 3), ("y", 4)]));
    story.lists("x", &[1, 3]);
    story.lists("y", &[4, 2]);
    story.assert_finds(&CHECKER, &["G0 over lists", "process 0", "process 1"]);
}

#[test]
fn an_aborted_read_is_g1a() {
    let mut story = Story::new();
    story.failed(0, 10, transaction(&[], &[("x", 1)]));
    story.ok(20, 30, transaction(&[("x", &[1])], &[]));
    story.assert_finds(&CHECKER, &["G1a", "acme/x", "process 0"]);
}

#[test]
fn a_phantom_and_a_duplicate_are_found() {
    let mut story = Story::new();
    story.ok(0, 10, transaction(&[], &[("x", 1)]));
    story.lists("x", &[1, 1]);
    story.lists("y", &[8]);
    story.assert_finds(&CHECKER, &["duplicate", "acme/x"]);
    story.assert_finds(&CHECKER, &["phantom", "acme/y", "8"]);
}

#[test]
fn half_a_transaction_is_g1b() {
    let mut story = Story::new();
    story.ok(0, 10, transaction(&[], &[("x", 1), ("x", 2)]));
    story.ok(0, 10, transaction(&[("x", &[1])], &[]));
    story.lists("x", &[1, 2]);
    story.assert_finds(&CHECKER, &["G1b", "process 1", "up to 1"]);
}

#[test]
fn transactions_that_see_each_other_are_g1c() {
    let mut story = Story::new();
    story.ok(0, 10, transaction(&[("y", &[2])], &[("x", 1)]));
    story.ok(0, 10, transaction(&[("x", &[1])], &[("y", 2)]));
    story.assert_finds(&CHECKER, &["G1c over lists"]);
}

#[test]
fn a_lost_update_is_g_single() {
    let mut story = Story::new();
    story.ok(0, 10, transaction(&[("x", &[])], &[("x", 1)]));
    story.ok(0, 10, transaction(&[("x", &[])], &[("x", 2)]));
    story.lists("x", &[1, 2]);
    story.assert_finds(&CHECKER, &["G-single over lists"]);
}

#[test]
fn an_unknown_batch_that_was_torn_is_g_single() {
    let mut story = Story::new();
    story.unknown(0, 10, transaction(&[], &[("x", 1), ("y", 2)]));
    story.lists("x", &[1]);
    story.lists("y", &[]);
    story.assert_finds(&CHECKER, &["G-single over lists", "the ending"]);
}

#[test]
fn a_write_skew_is_g2() {
    let mut story = Story::new();
    story.ok(0, 10, transaction(&[("x", &[]), ("y", &[])], &[("x", 1)]));
    story.ok(0, 10, transaction(&[("x", &[]), ("y", &[])], &[("y", 2)]));
    story.lists("x", &[1]);
    story.lists("y", &[2]);
    story.assert_finds(&CHECKER, &["G2 over lists"]);
}

#[test]
fn a_stale_read_is_a_cycle_of_the_clock() {
    let mut story = Story::new();
    story.ok(0, 10, transaction(&[], &[("x", 1)]));
    story.ok(20, 30, transaction(&[("x", &[])], &[]));
    story.lists("x", &[1]);
    story.assert_finds(&CHECKER, &["G-single-realtime", "process 0", "process 1"]);
}

#[test]
fn an_acknowledged_append_that_is_not_there_at_the_end_is_a_cycle_of_the_clock() {
    let mut story = Story::new();
    story.ok(0, 10, transaction(&[], &[("x", 1)]));
    story.lists("x", &[]);
    story.assert_finds(&CHECKER, &["G-single-realtime", "the ending"]);
}

#[test]
fn appends_against_the_clock_are_found() {
    let mut story = Story::new();
    story.ok(0, 10, transaction(&[], &[("x", 1)]));
    story.ok(20, 30, transaction(&[], &[("x", 2)]));
    story.lists("x", &[2, 1]);
    story.assert_finds(&CHECKER, &["G0-realtime"]);
}

#[test]
fn reads_that_are_not_prefixes_of_each_other_are_found() {
    let mut story = Story::new();
    story.ok(0, 10, transaction(&[], &[("x", 1)]));
    story.ok(0, 10, transaction(&[], &[("x", 2)]));
    story.ok(20, 30, transaction(&[("x", &[2])], &[]));
    story.lists("x", &[1, 2]);
    story.assert_finds(&CHECKER, &["incompatible order", "acme/x", "process 2"]);
}

#[test]
fn nothing_read_is_nothing_to_damage() {
    let mut story = Story::new();
    story.ok(0, 10, transaction(&[("x", &[])], &[("x", 1)]));
    story.lists("x", &[1]);
    story.assert_no_damage(&CHECKER);
    story.assert_green(&CHECKER);
}

/// A run as one copy would serve it; with a `span` of up to so many microseconds around each effect.
fn run(random: &mut Random, operations: u64, keys: u64, span: u64) -> Story {
    let mut story = Story::new();
    let mut lists: BTreeMap<String, Vec<u64>> = (0..keys).map(|key| (format!("l{key}"), Vec::new())).collect();
    for number in 0..operations {
        let effect = (span + number) * 10;
        let time = (effect - random.below(span * 10), effect + random.below(span * 10));
        let mut names: Vec<String> = (0..1 + random.below(2)).map(|_| format!("l{}", random.below(keys))).collect();
        names.sort();
        names.dedup();
        let reads: Vec<_> = names.iter().map(|name| (name.clone(), lists[name].clone())).collect();
        let is_read = random.below(3) == 0;
        let appends: Vec<_> = names
            .iter()
            .map(|name| (name.clone(), number * 10 + name.len() as u64))
            .collect();
        let appends = if is_read { Vec::new() } else { appends };
        let fate = random.below(12);
        let outcome = match fate {
            0 | 1 => Outcome::Unknown,
            2 => Outcome::Failed,
            _ => Outcome::Ok,
        };
        if fate > 2 || fate == 1 {
            for (name, element) in &appends {
                lists.get_mut(name).unwrap().push(*element);
            }
        }
        story.did(outcome, time, Action::Transaction { reads, appends });
    }
    for (name, elements) in &lists {
        story.lists(name, elements);
    }
    story.history.operations.sort_by_key(|operation| operation.invoked_us);
    story
}

#[test]
fn twenty_thousand_transactions_are_judged_quickly() {
    let story = run(&mut Random::new(1), 20_000, 50, 30);
    let started = Instant::now();
    story.assert_green(&CHECKER);
    println!("20,000 transactions over 50 lists: {:?}", started.elapsed());
    story.assert_damage_is_found(&CHECKER);
}

/// Changes one read.
fn spoil(random: &mut Random, story: &mut Story) {
    let at = random.below(story.history.operations.len() as u64) as usize;
    let Action::Transaction { reads, .. } = &mut story.history.operations[at].action else {
        return;
    };
    let Some((_, elements)) = reads.first_mut() else { return };
    match random.below(3) {
        0 => drop(elements.pop()),
        1 => elements.reverse(),
        _ => elements.push(random.below(60) * 10 + 2),
    }
}

/// Whether the transactions, in some order that keeps to real time, read what they read. `lists` is what was appended so far.
fn brute_force(left: &[&Operation], lists: &BTreeMap<&str, Vec<u64>>, last: &[(String, Vec<u64>)]) -> bool {
    let is_done = left.iter().all(|operation| operation.outcome == Outcome::Unknown);
    let read = |key: &str| lists.get(key).map_or(&[][..], Vec::as_slice);
    if is_done && last.iter().all(|(key, elements)| read(key) == elements.as_slice()) {
        return true;
    }
    (0..left.len()).any(|next| {
        let operation = left[next];
        let is_first = left
            .iter()
            .all(|other| other.outcome == Outcome::Unknown || other.completed_us >= operation.invoked_us);
        let Action::Transaction { reads, appends } = &operation.action else {
            return false;
        };
        let compared = |key: &str| operation.outcome == Outcome::Ok || appends.iter().any(|(other, _)| other == key);
        let fits = reads
            .iter()
            .all(|(key, elements)| !compared(key) || read(key) == elements.as_slice());
        if !is_first || !fits {
            return false;
        }
        let mut rest = left.to_vec();
        rest.remove(next);
        let mut lists = lists.clone();
        for (key, element) in appends {
            lists.entry(key).or_default().push(*element);
        }
        brute_force(&rest, &lists, last)
    })
}

#[test]
fn the_checker_agrees_with_brute_force() {
    let mut random = Random::new(11);
    let (mut right, mut wrong) = (0, 0);
    for round in 0..20_000 {
        let (operations, keys, span) = (2 + random.below(5), 1 + random.below(2), 1 + random.below(5));
        let mut story = run(&mut random, operations, keys, span);
        for _ in 0..round % 3 {
            spoil(&mut random, &mut story);
        }
        let views = views(&story.history, &story.ending).unwrap();
        let last = last_lists(views[0]);
        let possible: Vec<_> = views[0]
            .operations()
            .filter(|operation| operation.outcome != Outcome::Failed)
            .collect();
        let truth = brute_force(&possible, &BTreeMap::new(), &last);
        let verdict = story.verdict(&CHECKER);
        assert_eq!(
            verdict.is_green(),
            truth,
            "{verdict:#?} {:#?} {last:?}",
            story.history.operations
        );
        if truth { right += 1 } else { wrong += 1 }
    }
    assert!(right > 2_000 && wrong > 2_000, "{right} right, {wrong} wrong");
}
