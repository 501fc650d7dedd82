//! Power fails at every moment that matters, and twice in a row: the store must come back at its durable mark, and replaying the
//! log from there must give exactly what a model has that never crashed.
//!
//! The commands are made to notice being applied twice, or not at all: each raises a counter of its space, writes keys that depend
//! on it, deletes some, and writes down what a scan of its space found.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::sim::{Random, SimDisk};
use super::{mark, options};
use crate::{Bytes, Command, Direction, Error, Event, Key, KeyRange, Options, Record, Sequence, Space, Store, Table};

const SPACES: u64 = 12;
/// How many steps of a longer test are taken; the whole of it takes minutes.
const STRIDE: u64 = 7;

type Model = BTreeMap<Key, Bytes>;

/// Where a command reads and writes.
trait Target {
    fn get(&self, key: &Key) -> Option<Bytes>;
    fn count(&self, range: KeyRange) -> usize;
    fn change(&mut self, key: Key, value: Option<Bytes>);
}

impl Target for Model {
    fn get(&self, key: &Key) -> Option<Bytes> {
        BTreeMap::get(self, key).cloned()
    }
    fn count(&self, range: KeyRange) -> usize {
        self.range::<[u8], _>(range.bounds()).count()
    }
    fn change(&mut self, key: Key, value: Option<Bytes>) {
        match value {
            Some(value) => drop(self.insert(key, value)),
            None => drop(self.remove(&key)),
        }
    }
}

struct Real<'a, 'b>(&'a mut Command<'b>);

impl Target for Real<'_, '_> {
    fn get(&self, key: &Key) -> Option<Bytes> {
        self.0.get_raw(key.as_bytes()).unwrap_or_default()
    }
    fn count(&self, range: KeyRange) -> usize {
        self.0.scan(range, Direction::Backward).filter(Result::is_ok).count()
    }
    fn change(&mut self, key: Key, value: Option<Bytes>) {
        match value {
            Some(value) => self.0.put_raw(key, value),
            None => self.0.delete_raw(key),
        }
    }
}

pub(super) fn space_of(index: u64) -> Space {
    Space(Random::new(index).below(SPACES) * 3)
}

/// The command at a log position.
fn run(index: u64, target: &mut impl Target) {
    let mut random = Random::new(index);
    let space = Space(random.below(SPACES) * 3);
    let counter = Sequence {
        space,
        collection: 1,
        field: 1,
        scope: [0; 16],
    }
    .key();
    let count = target
        .get(&counter)
        .map_or(0, |value| u64::from_be_bytes(value.as_ref().try_into().unwrap()))
        + 1;
    target.change(counter, Some(Bytes::copy_from_slice(&count.to_be_bytes())));
    target.change(
        Event { space, position: count }.key(),
        Some(Bytes::from(vec![index as u8; 20 + random.below(300) as usize])),
    );
    let id = [random.below(9) as u8; 16];
    let record = Record {
        space,
        collection: 1,
        id,
    }
    .key();
    let old = target.get(&record).map_or(0, |value| value.len());
    let change = (random.below(3) > 0).then(|| Bytes::from(vec![count as u8; old % 50 + random.below(200) as usize]));
    target.change(record, change);
    let found = target.count(KeyRange::space(space));
    target.change(
        Record {
            space,
            collection: 2,
            id: [0; 16],
        }
        .key(),
        Some(Bytes::from(found.to_string())),
    );
}

pub(super) fn model_at(index: u64) -> Model {
    let mut model = Model::new();
    (1..=index).for_each(|index| run(index, &mut model));
    model
}

/// Applies one batch of commands; an error only when the disk died.
pub(super) fn apply(store: &Store, from: u64, to: u64) -> Result<(), Error> {
    let mut batch = store.begin_batch()?;
    for index in from..=to {
        let Some(mut command) = batch.command(index, space_of(index)) else {
            continue;
        };
        run(index, &mut Real(&mut command));
        command.accept();
    }
    batch.commit(mark(to))
}

pub(super) fn assert_equals_model(store: &Store, index: u64) {
    let snapshot = store.begin_read();
    assert_eq!(snapshot.mark(), &mark(index));
    assert_eq!(snapshot.replaying_until(), None);
    let found: Model = snapshot
        .scan(KeyRange::all(), Direction::Forward)
        .map(Result::unwrap)
        .collect();
    let expected = model_at(index);
    for (key, value) in &expected {
        assert_eq!(found.get(key), Some(value), "{key} at {index}");
    }
    assert_eq!(found.len(), expected.len());
}

/// Applies to 40, makes it durable, applies on to 90 in batches, makes that durable too.
pub(super) fn scenario(disk: &SimDisk) -> Result<(), Error> {
    let store = Store::open_on(Arc::new(disk.clone()), options())?;
    apply(&store, 1, 40)?;
    store.persist()?;
    for from in (41..=90).step_by(10) {
        apply(&store, from, from + 9)?;
    }
    store.persist()?;
    Ok(())
}

/// Replays from wherever the store is up to `upto` in batches of odd lengths, and makes it durable.
pub(super) fn recover(disk: &SimDisk, upto: u64, random: &mut Random) -> Result<Store, Error> {
    let store = Store::open_on(Arc::new(disk.clone()), options())?;
    let mut at = store.mark().index;
    if at > 0 {
        assert_eq!(store.mark(), mark(at), "the mark's state belongs to its index");
    }
    assert_eq!(store.durable_mark(), store.mark());
    while at < upto {
        let to = (at + 1 + random.below(17)).min(upto);
        apply(&store, at + 1, to)?;
        at = to;
        if random.below(8) == 0 {
            store.persist()?;
        }
    }
    Ok(store)
}

/// How many changing calls the scenario makes, and which of them are syncs, cannot be known without running it.
fn calls_of_scenario() -> u64 {
    let disk = SimDisk::default();
    scenario(&disk).unwrap();
    assert!(disk.syncs() > 40, "the flushes must be many commits: {} syncs", disk.syncs());
    disk.calls()
}

fn crash_and_recover(at: u64, second: Option<u64>) {
    let disk = SimDisk::default();
    disk.die_after(at);
    let died = scenario(&disk).is_err();
    let mut random = Random::new(at * 31 + second.unwrap_or(7));
    let mut disk = disk.survivor(&mut random);
    if let Some(second) = second {
        disk.die_after(second);
        // Beyond 90, so that replay goes on past every mark that the first life had reached.
        drop(recover(&disk, 110, &mut random).and_then(|store| store.persist()));
        disk = disk.survivor(&mut random);
    }
    let store = recover(&disk, 120, &mut random).unwrap();
    assert!(died || store.durable() >= 90 || second.is_some());
    assert_equals_model(&store, 120);
    store.persist().unwrap();
    assert_equals_model(&store, 120);
    store.close().unwrap();
    let again = Store::open_on(Arc::new(disk), options()).unwrap();
    assert_equals_model(&again, 120);
}

#[test]
fn a_crash_at_any_moment_loses_nothing_and_repeats_nothing() {
    let calls = calls_of_scenario();
    for at in (0..calls).step_by(STRIDE as usize) {
        crash_and_recover(at, None);
    }
}

#[test]
fn a_crash_during_the_recovery_from_a_crash_changes_nothing() {
    let calls = calls_of_scenario();
    let mut random = Random::new(42);
    for _ in 0..60 {
        let first = random.below(calls);
        let second = random.below(calls);
        crash_and_recover(first, Some(second));
    }
}

/// Many crashes in a row, at random moments, with the flush thread at work and with small deltas.
fn storm(seed: u64, lives: u64) -> (u64, u64) {
    let mut random = Random::new(seed);
    let mut disk = SimDisk::default();
    let (mut highest, mut durable, mut mixed) = (0, 0, 0);
    for life in 0..lives {
        disk.die_after(20 + random.below(400));
        let options = Options {
            freeze_bytes: 8 << 10,
            ..options()
        };
        if let Ok(store) = Store::open_on(Arc::new(disk.clone()), options) {
            let mut at = store.mark().index;
            assert!(at >= durable, "life {life} of {seed}: {at} is before {durable}");
            mixed += u64::from(store.begin_read().replaying_until().is_some());
            loop {
                let to = at + 1 + random.below(12);
                highest = highest.max(to);
                if apply(&store, at + 1, to).is_err() || (random.below(10) == 0 && store.persist().is_err()) {
                    break;
                }
                at = to;
                durable = durable.max(store.durable());
            }
            assert!(store.halted().is_some() && disk.is_dead(), "only the power stopped it");
        }
        disk = disk.survivor(&mut random);
    }
    let store = recover(&disk, highest + 5, &mut random).unwrap();
    assert_equals_model(&store, highest + 5);
    (mixed, highest)
}

#[test]
fn a_storm_of_crashes_ends_in_the_state_of_the_model() {
    let stormed: Vec<(u64, u64)> = (1..=6).map(|seed| storm(seed, 12)).collect();
    let mixed: u64 = stormed.iter().map(|(mixed, _)| mixed).sum();
    assert!(
        mixed > 0,
        "no crash left the file at mixed points, so the test proves nothing: {stormed:?}"
    );
}

#[test]
fn a_file_at_mixed_points_is_replayed_without_repeating_a_command() {
    let mut seen = 0;
    let calls = calls_of_scenario();
    for at in (0..calls).step_by(3) {
        let disk = SimDisk::default();
        disk.die_after(at);
        if scenario(&disk).is_ok() {
            continue;
        }
        let disk = disk.survivor(&mut Random::new(at));
        let store = Store::open_on(Arc::new(disk), options()).unwrap();
        let Some(upto) = store.begin_read().replaying_until() else {
            continue;
        };
        seen += 1;
        let base = store.mark().index;
        assert!((base, upto) == (0, 40) || (base, upto) == (40, 90), "{base} {upto}");
        assert!(matches!(
            store.begin_read().hash(KeyRange::all()),
            Err(Error::Replaying { .. })
        ));
        let mut batch = store.begin_batch().unwrap();
        let skipped: Vec<u64> = (base + 1..=upto)
            .filter(|index| batch.command(*index, space_of(*index)).is_none())
            .collect();
        let last = skipped.iter().map(|index| space_of(*index)).max().unwrap();
        assert!(
            (base + 1..=upto).all(|index| skipped.contains(&index) == (space_of(index) <= last)),
            "one boundary divides"
        );
        drop(batch);
        apply(&store, base + 1, upto - 10).unwrap();
        assert_eq!(store.begin_read().replaying_until(), Some(upto));
        store.persist().unwrap();
        apply(&store, upto - 9, upto + 10).unwrap();
        assert_equals_model(&store, upto + 10);
    }
    assert!(seen > 10, "mixed points were found {seen} times");
}
