//! Stories of registers, and the two deciders against each other and against brute force.

use std::time::{Duration, Instant};

use rig::random::Random;

use super::*;
use crate::invariants::stories::{BUDGET, Story, read, write};

const CHECKER: Linearizability = Linearizability;

#[test]
fn what_every_client_may_see_is_green() {
    let mut story = Story::new();
    story.ok(0, 5, read("k", ""));
    story.ok(10, 20, write("k", "v1"));
    story.ok(12, 18, read("k", ""));
    story.ok(15, 19, read("k", "v1"));
    story.ok(30, 90, write("k", "v2"));
    story.ok(40, 50, read("k", "v1"));
    story.ok(60, 70, read("k", "v2"));
    story.holds("registers", "k", serde_json::json!({ "value": "v2" }));
    story.assert_green(&CHECKER);
}

#[test]
fn an_unknown_write_takes_effect_late_or_never() {
    let mut story = Story::new();
    story.ok(0, 10, write("k", "v1"));
    story.unknown(20, 30, write("k", "v2"));
    story.unknown(20, 30, write("k", "v3"));
    story.ok(40, 50, read("k", "v1"));
    story.ok(60, 70, read("k", "v2"));
    story.ok(80, 90, read("k", "v2"));
    story.unknown(95, 96, read("k", ""));
    story.assert_green(&CHECKER);
}

#[test]
fn an_unknown_write_does_not_come_and_go() {
    let mut story = Story::new();
    story.ok(0, 10, write("k", "v1"));
    story.unknown(20, 30, write("k", "v2"));
    story.ok(40, 50, read("k", "v2"));
    story.ok(60, 70, read("k", "v1"));
    story.assert_finds(&CHECKER, &["acme/k", "\"v1\" before \"v2\"", "\"v2\" before \"v1\""]);
}

#[test]
fn a_stale_read_is_found() {
    let mut story = Story::new();
    story.ok(0, 10, write("k", "v1"));
    story.ok(20, 30, write("k", "v2"));
    story.ok(40, 50, read("k", "v1"));
    story.assert_finds(&CHECKER, &["acme/k", "its read (process 2"]);
}

#[test]
fn a_lost_write_is_found() {
    let mut story = Story::new();
    story.ok(0, 10, write("k", "v1"));
    story.ok(20, 30, read("k", ""));
    story.assert_finds(&CHECKER, &["the state before any write"]);
}

#[test]
fn a_write_that_is_lost_at_the_end_is_found() {
    let mut story = Story::new();
    story.ok(0, 30, write("k", "v1"));
    story.ok(0, 30, write("k", "v2"));
    story.ok(40, 50, read("k", "v2"));
    story.holds("registers", "k", serde_json::json!({ "value": "v1" }));
    story.assert_finds(&CHECKER, &["\"v1\" before \"v2\""]);
}

#[test]
fn dirty_reads_phantoms_and_reads_from_the_future_are_found() {
    let mut story = Story::new();
    story.failed(0, 10, write("dirty", "v1"));
    story.ok(20, 30, read("dirty", "v1"));
    story.ok(20, 30, write("other", "v2"));
    story.ok(40, 50, read("phantom", "v2"));
    story.ok(20, 30, read("future", "v3"));
    story.ok(40, 50, write("future", "v3"));
    story.assert_finds(&CHECKER, &["acme/dirty", "a dirty read"]);
    story.assert_finds(&CHECKER, &["acme/phantom", "a phantom"]);
    story.assert_finds(&CHECKER, &["acme/future", "before it was written"]);
}

#[test]
fn readers_that_disagree_about_concurrent_writes_are_found() {
    let mut story = Story::new();
    story.ok(0, 100, write("k", "v1"));
    story.ok(0, 100, write("k", "v2"));
    story.ok(10, 20, read("k", "v1"));
    story.ok(30, 40, read("k", "v2"));
    story.ok(50, 60, read("k", "v1"));
    story.assert_finds(&CHECKER, &["\"v1\" before \"v2\"", "\"v2\" before \"v1\""]);
}

#[test]
fn a_value_that_is_written_twice_and_no_time_are_invalid() {
    let mut story = Story::new();
    story.ok(0, 10, write("k", "v1"));
    let verdict = CHECKER.check(&story.history, &story.ending, Duration::ZERO);
    assert!(matches!(verdict, Verdict::Invalid { .. }), "{verdict:?}");
    story.ok(20, 30, write("k", "v1"));
    assert!(matches!(story.verdict(&CHECKER), Verdict::Invalid { .. }));
}

#[test]
fn its_damage_is_found() {
    let mut story = Story::new();
    story.ok(0, 10, write("k", "v1"));
    story.ok(20, 30, write("k", "v2"));
    story.assert_no_damage(&CHECKER);
    story.ok(40, 50, read("k", "v2"));
    story.assert_damage_is_found(&CHECKER);
}

/// A run of `processes` on `keys` registers as a single copy would serve it, with unknown writes and long overlaps.
fn busy(random: &mut Random, operations: usize, keys: u64, processes: u64) -> Story {
    let mut story = Story::new();
    let mut registers = vec![String::new(); keys as usize];
    let mut ready = vec![0_u64; processes as usize];
    for number in 0..operations {
        let process = random.below(processes) as usize;
        // The effects are in the order of this loop, ten microseconds apart.
        let effect = 1_000 + number as u64 * 10;
        let invoked = ready[process].max(effect - 1 - random.below(200)).min(effect);
        let completed = effect + random.below(200);
        let key = random.below(keys) as usize;
        let is_write = random.below(3) == 0;
        let name = format!("k{key}");
        if is_write {
            let value = format!("v{number}");
            let fate = random.below(20);
            let outcome = [Outcome::Unknown, Outcome::Unknown, Outcome::Failed][(fate as usize).min(2)];
            let outcome = if fate > 2 { Outcome::Ok } else { outcome };
            story.did(outcome, (invoked, completed), write(&name, &value));
            if outcome != Outcome::Failed && fate != 0 {
                registers[key] = value;
            }
        } else {
            story.ok(invoked, completed, read(&name, &registers[key]));
        }
        ready[process] = completed + 1;
    }
    story.history.operations.sort_by_key(|operation| operation.invoked_us);
    story
}

#[test]
fn twenty_thousand_operations_are_judged_quickly() {
    let story = busy(&mut Random::new(1), 20_000, 50, 30);
    let started = Instant::now();
    story.assert_green(&CHECKER);
    println!("20,000 operations over 50 registers: {:?}", started.elapsed());
    story.assert_damage_is_found(&CHECKER);
    let one = busy(&mut Random::new(2), 20_000, 1, 30);
    let started = Instant::now();
    one.assert_green(&CHECKER);
    println!("20,000 operations on one register: {:?}", started.elapsed());
}

#[test]
fn hundreds_of_writes_at_once_are_no_problem() {
    let mut story = Story::new();
    for number in 0..300 {
        story.ok(number, 10_000, write("k", &format!("v{number}")));
    }
    for number in 0..300 {
        let at = 20 + number * 30;
        story.ok(at + 400, at + 410, read("k", &format!("v{}", (number * 7) % 300)));
    }
    let started = Instant::now();
    story.assert_green(&CHECKER);
    println!("300 concurrent writes: {:?}", started.elapsed());
}

/// A small history that may or may not be linearizable.
fn small(random: &mut Random) -> Story {
    let mut story = Story::new();
    let writes = 1 + random.below(4);
    for number in 0..writes + random.below(5) {
        let invoked = random.below(24);
        let completed = invoked + random.below(12);
        if number < writes {
            let outcome = if random.below(4) == 0 { Outcome::Unknown } else { Outcome::Ok };
            story.did(outcome, (invoked, completed), write("k", &format!("v{number}")));
        } else {
            let seen = random.below(writes + 1);
            let seen = if seen == writes { String::new() } else { format!("v{seen}") };
            story.ok(invoked, completed, read("k", &seen));
        }
    }
    story.history.operations.sort_by_key(|operation| operation.invoked_us);
    story
}

/// Whether what is left can be put in an order after `state`, by trying all.
fn brute_force(left: &[&Operation], state: &str) -> bool {
    if left.iter().all(|operation| operation.outcome == Outcome::Unknown) {
        return true;
    }
    (0..left.len()).any(|next| {
        let operation = left[next];
        let is_first = left
            .iter()
            .all(|other| other.outcome == Outcome::Unknown || other.completed_us >= operation.invoked_us);
        let mut rest = left.to_vec();
        rest.remove(next);
        is_first
            && match &operation.action {
                Action::Write { value, .. } => brute_force(&rest, value),
                Action::Read { seen, .. } => seen.as_deref().unwrap_or("") == state && brute_force(&rest, state),
                _ => unreachable!("registers only"),
            }
    })
}

#[test]
fn both_deciders_agree_with_brute_force() {
    let mut random = Random::new(7);
    let (mut right, mut wrong) = (0, 0);
    for _ in 0..20_000 {
        let story = small(&mut random);
        let operations: Vec<_> = story.history.operations.iter().collect();
        let truth = brute_force(&operations, "");
        let (zones, search) = match Register::of(&operations) {
            Err(_) => (false, false),
            Ok(register) => (
                zones::contradiction(&register).is_none(),
                search::search(&register, Deadline::after(BUDGET)) == Found::Order,
            ),
        };
        assert_eq!((zones, search), (truth, truth), "{:#?}", story.history.operations);
        if truth { right += 1 } else { wrong += 1 }
    }
    assert!(right > 2_000 && wrong > 2_000, "{right} right, {wrong} wrong");
}

fn render(history: &History) -> String {
    let mut bytes = Vec::new();
    lines::write(history, &mut bytes).unwrap();
    String::from_utf8(bytes).unwrap()
}

#[test]
fn lines_are_what_other_checkers_read() {
    let mut story = Story::new();
    story.ok(0, 10, read("k", ""));
    story.ok(5, 20, write("k", "say \"v1\""));
    story.failed(6, 7, write("k", "v2"));
    story.unknown(8, 9, write("k", "v3"));
    story.unknown(30, 40, read("k", ""));
    story.ok(20, 50, read("k", "v3"));
    let expected = r#"{:process 0, :type :invoke, :f :get, :key "acme/k", :value nil}
{:process 1, :type :invoke, :f :put, :key "acme/k", :value "say \"v1\""}
{:process 3, :type :invoke, :f :put, :key "acme/k", :value "v3"}
{:process 0, :type :ok, :f :get, :key "acme/k", :value ""}
{:process 5, :type :invoke, :f :get, :key "acme/k", :value nil}
{:process 1, :type :ok, :f :put, :key "acme/k", :value "say \"v1\""}
{:process 5, :type :ok, :f :get, :key "acme/k", :value "v3"}
"#;
    assert_eq!(render(&story.history), expected);
}

#[test]
fn lines_make_the_round_trip() {
    let mut random = Random::new(3);
    for _ in 0..20 {
        let story = busy(&mut random, 300, 4, 8);
        let text = render(&story.history);
        let parsed = lines::parse(text.as_bytes()).unwrap();
        assert_eq!(render(&parsed), text);
        assert!(CHECKER.check(&parsed, &Ending::default(), BUDGET).is_green());
    }
    assert!(lines::parse("{:process 1, :type :ok, :f :get, :key \"a/k\", :value \"\"}".as_bytes()).is_err());
}

#[test]
fn a_process_without_a_pause_goes_on_under_a_new_number() {
    let mut story = Story::new();
    story.ok(0, 10, write("k", "v1"));
    story.ok(10, 20, write("k", "v2")).process = 0;
    story.ok(30, 40, write("k", "v3")).process = 0;
    let text = render(&story.history);
    let numbers: Vec<_> = text.lines().map(|line| &line[..11]).collect();
    assert_eq!(
        numbers,
        [
            "{:process 0",
            "{:process 1",
            "{:process 0",
            "{:process 1",
            "{:process 1",
            "{:process 1"
        ]
    );
    assert_eq!(lines::parse(text.as_bytes()).unwrap().operations.len(), 3);
}
