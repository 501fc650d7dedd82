//! What a record costs: 1,000,000 records of four keys each (record, two index entries, event) over 1,000 spaces, applied in
//! batches of 64 while the flush thread works, then made durable. Prints; asserts nothing.
//!
//! `cargo run --release -p cloudnest-storage --example apply_bench -- [records] [directory]`

#![allow(clippy::print_stdout)]

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use storage::{Bytes, Direction, Element, Event, IndexEntry, KeyRange, Mark, Options, Record, Space, Store};

/// As in the binary: glibc's allocator made stalls of tens of milliseconds (MEASUREMENTS.md).
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const SPACES: u64 = 1000;
const BATCH: u64 = 64;
const PAYLOAD_BYTES: usize = 300;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let records: u64 = arguments.next().map_or(Ok(1_000_000), |text| text.parse())?;
    let given = arguments.next().map(PathBuf::from);
    let temporary = tempfile::tempdir()?;
    let dir = given.unwrap_or_else(|| temporary.path().join("store"));
    for pace in [true, false] {
        measure(&dir.join(if pace { "paced" } else { "plain" }), records, pace)?;
    }
    Ok(())
}

fn measure(dir: &Path, records: u64, pace: bool) -> Result<(), Box<dyn std::error::Error>> {
    let store = Store::open(
        dir,
        Options {
            pace,
            ..Options::default()
        },
    )?;
    let spent = processor_time();
    let began = Instant::now();
    let mut applying = Duration::ZERO;
    let mut waiting = Duration::ZERO;
    let mut longest = Duration::ZERO;
    for from in (0..records).step_by(BATCH as usize) {
        while store.over_limit() {
            std::thread::sleep(Duration::from_millis(1));
            waiting += Duration::from_millis(1);
        }
        let batch_began = Instant::now();
        let mut batch = store.begin_batch()?;
        for number in from..(from + BATCH).min(records) {
            if let Some(mut command) = batch.command(number + 1, Space(1 + mix(number) % SPACES)) {
                write_record(&mut command, number);
                command.accept();
            }
        }
        batch.commit(Mark {
            index: (from + BATCH).min(records),
            state: vec![0; 64],
        })?;
        let took = batch_began.elapsed();
        applying += took;
        longest = longest.max(took);
    }
    let applied = began.elapsed();
    store.persist()?;
    let persisted = began.elapsed();
    let stats = store.stats();
    let each = |time: Duration| time.as_secs_f64() * 1e6 / records as f64;
    println!(
        "pace {pace}: {records} records, {} flushes of {:?} in all",
        stats.flushes, stats.flush_time
    );
    println!(
        "  apply {:.2} µs a record, longest batch of {BATCH} {longest:?}, waited {waiting:?} over the limit",
        each(applying)
    );
    println!(
        "  applied in {applied:?}, durable in {persisted:?}: {:.2} µs a record with its flush",
        each(persisted)
    );
    let used = processor_time() - spent;
    println!("  processor time, all threads: {:.2} µs a record", each(used));
    println!("  {} bytes on disk a record", stats.file_bytes / records);
    read(&store)?;
    store.close()?;
    Ok(())
}

fn write_record(command: &mut storage::Command<'_>, number: u64) {
    let space = command.space();
    let mut id = [0; 16];
    id[..8].copy_from_slice(&number.to_be_bytes());
    id[8..].copy_from_slice(&mix(number).to_be_bytes());
    let payload = Bytes::from(vec![number as u8; PAYLOAD_BYTES]);
    command.put(
        &Record {
            space,
            collection: 1,
            id,
        },
        payload,
    );
    let title = vec![Element::Text(format!("title {}", number % 97))];
    command.put(
        &IndexEntry {
            space,
            collection: 1,
            index: 1,
            values: title,
            id,
        },
        Bytes::new(),
    );
    let due = vec![Element::Integer(number as i64)];
    command.put(
        &IndexEntry {
            space,
            collection: 1,
            index: 2,
            values: due,
            id,
        },
        Bytes::new(),
    );
    command.put(&Event { space, position: number }, vec![7; 60]);
}

fn read(store: &Store) -> Result<(), Box<dyn std::error::Error>> {
    const GETS: u64 = 20_000;
    let snapshot = store.begin_read();
    let began = Instant::now();
    for number in 0..GETS {
        let number = mix(number) % GETS;
        let space = Space(1 + mix(number) % SPACES);
        snapshot
            .get(&Event { space, position: number })?
            .ok_or("an event is missing")?;
    }
    println!("  get {:.2} µs", began.elapsed().as_secs_f64() * 1e6 / GETS as f64);
    let began = Instant::now();
    let mut rows = 0;
    for space in 1..=SPACES {
        rows += snapshot
            .scan(IndexEntry::range(Space(space), 1, 1, &[]), Direction::Forward)
            .take(50)
            .filter(Result::is_ok)
            .count();
    }
    println!(
        "  scan of {} rows {:.2} µs",
        rows as u64 / SPACES,
        began.elapsed().as_secs_f64() * 1e6 / SPACES as f64
    );
    let began = Instant::now();
    let hash = snapshot.hash(KeyRange::all())?;
    println!("  hash of {} keys in {:?}", hash.keys, began.elapsed());
    Ok(())
}

/// User and system time of this process; from Linux' own account of it.
fn processor_time() -> Duration {
    let text = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let ticks: u64 = text
        .rsplit(')')
        .next()
        .unwrap_or("")
        .split_whitespace()
        .skip(11)
        .take(2)
        .flat_map(str::parse::<u64>)
        .sum();
    Duration::from_millis(ticks * 10)
}

fn mix(number: u64) -> u64 {
    let mixed = (number ^ (number >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB) >> 8
}
