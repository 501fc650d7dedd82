//! A panic in one of the log's threads: everyone who waits is told, in order, and by the sync thread alone.

use std::sync::Mutex;

use super::*;

/// What was called back: number, success, name of the thread.
#[derive(Clone, Default)]
struct Calls(Arc<Mutex<Vec<(u64, bool, String)>>>);

impl Calls {
    fn done(&self, number: u64) -> Done {
        let calls = self.clone();
        Box::new(move |result| {
            let name = std::thread::current().name().unwrap_or_default().to_string();
            calls.0.lock().unwrap().push((number, result.is_ok(), name));
        })
    }

    fn all(&self) -> Vec<(u64, bool, String)> {
        self.0.lock().unwrap().clone()
    }
}

fn by_sync_thread(calls: &[(u64, bool)]) -> Vec<(u64, bool, String)> {
    calls.iter().map(|(number, ok)| (*number, *ok, "log-sync".into())).collect()
}

#[test]
fn a_panic_of_the_sync_thread_tells_everyone_who_waits() {
    let disk = Forgetful::default();
    let (wal, _) = open(&disk);
    let group = wal.group(1);
    let calls = Calls::default();
    disk.hold_sync_of(Some(".segment"));
    group.append_blocking(vec![entry(0, b"in hand")], calls.done(0)).unwrap();
    eventually("it is in hand", || disk.holds());
    (1..4).for_each(|index| {
        group
            .append_blocking(vec![entry(index, b"in the queue")], calls.done(index))
            .unwrap()
    });
    disk.panic_at_sync_of(".segment");
    disk.hold_sync_of(None);
    eventually("all are told", || calls.all().len() == 4);
    assert_eq!(calls.all(), by_sync_thread(&[(0, false), (1, false), (2, false), (3, false)]));
    let refused = group.append_blocking(vec![entry(4, b"")], calls.done(4));
    assert!(matches!(refused, Err(WalError::Stopped(_))));
    assert!(wal.stats().stopped.unwrap().contains("sync thread panicked"));
    assert!(wal.close().is_err());
}

#[test]
fn a_panic_of_the_keeper_leaves_the_callbacks_to_the_sync_thread() {
    let disk = Forgetful::default();
    let (wal, _) = open(&disk);
    let group = wal.group(1);
    // The keeper prepares the next segment once the first one is half full.
    disk.hold_sync_of(Some("spare-"));
    disk.panic_at_sync_of("spare-");
    let index = 12;
    (0..index).for_each(|index| append(&group, index, &[1; 3_000]));
    eventually("the next segment is prepared", || disk.holds());
    disk.hold_sync_of(Some("/log/"));
    let calls = Calls::default();
    group.append_blocking(vec![entry(index, b"in hand")], calls.done(0)).unwrap();
    eventually("the sync thread has it in hand", || disk.held() == 2);
    group
        .append_blocking(vec![entry(index + 1, b"in the queue")], calls.done(1))
        .unwrap();
    disk.hold_sync_of(Some(".segment"));
    eventually("the keeper has ended", || wal.stats().stopped.is_some());
    disk.hold_sync_of(None);
    eventually("both are told", || calls.all().len() == 2);
    assert_eq!(calls.all(), by_sync_thread(&[(0, true), (1, false)]));
}
