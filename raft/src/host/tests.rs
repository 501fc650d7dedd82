use std::collections::BTreeSet;
use std::net::TcpListener;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use bytes::Bytes;

use super::*;
use crate::wal::{DiskFile, LogOptions};
use crate::{Entry, Mark, SnapshotSink, SnapshotSource, make_authority};

const DEADLINE: Duration = Duration::from_secs(60);

/// The machine's own disk, until it fails every sync of a file.
struct Failing(Arc<AtomicBool>);

struct FailingFile(Box<dyn DiskFile>, Arc<AtomicBool>);

impl Failing {
    fn file(&self, opened: io::Result<Box<dyn DiskFile>>) -> io::Result<Box<dyn DiskFile>> {
        Ok(Box::new(FailingFile(opened?, Arc::clone(&self.0))))
    }
}

impl Disk for Failing {
    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        RealDisk.create_dir(dir)
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn Send + Sync>> {
        RealDisk.lock(path)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        RealDisk.list(dir)
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        self.file(RealDisk.open(path))
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        self.file(RealDisk.create(path))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        RealDisk.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        RealDisk.remove(path)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        RealDisk.sync_dir(dir)
    }

    fn random(&self) -> u64 {
        RealDisk.random()
    }
}

impl DiskFile for FailingFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.0.read_at(buffer, offset)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.0.write_at(bytes, offset)
    }

    fn sync_data(&self) -> io::Result<()> {
        match self.1.load(Ordering::Acquire) {
            true => Err(io::Error::other("the disk failed")),
            false => self.0.sync_data(),
        }
    }

    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }
}

/// A machine that only remembers how far it is.
#[derive(Default)]
struct MarkOnly(Mutex<Mark>);

impl StateMachine for MarkOnly {
    fn applied(&self) -> io::Result<Mark> {
        Ok(self.durable())
    }

    fn apply(&self, entries: Vec<Entry>, mark: Mark) -> io::Result<Vec<Bytes>> {
        *lock(&self.0) = mark;
        Ok(vec![Bytes::new(); entries.len()])
    }

    fn durable(&self) -> Mark {
        lock(&self.0).clone()
    }

    fn persist(&self) -> io::Result<Mark> {
        Ok(self.durable())
    }

    fn snapshot(&self) -> io::Result<Box<dyn SnapshotSource>> {
        Err(io::Error::other("not in this test"))
    }

    fn receive(&self) -> io::Result<Box<dyn SnapshotSink>> {
        Err(io::Error::other("not in this test"))
    }
}

fn config(dir: &Path) -> HostConfig {
    HostConfig {
        node: NodeId(1),
        cluster: "test".to_owned(),
        region: "here".to_owned(),
        dir: dir.to_owned(),
        listener: TcpListener::bind("127.0.0.1:0").unwrap(),
        peers: BTreeMap::new(),
        identity: make_authority("test").unwrap().issue(NodeId(1), "here", 10).unwrap(),
        timing: Timing::default(),
        on_stream: None,
        log: LogOptions {
            segment_bytes: 32 << 20,
            ..LogOptions::default()
        },
    }
}

async fn eventually(what: &str, holds: impl Fn() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !holds() {
        assert!(Instant::now() < deadline, "waited too long for {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_is_not_opened_again_over_a_log_that_has_stopped() {
    let (dir, fails) = (tempfile::tempdir().unwrap(), Arc::new(AtomicBool::new(false)));
    let host = Host::start_over(config(dir.path()), Arc::new(Failing(Arc::clone(&fails)))).unwrap();
    let machine = Arc::new(MarkOnly::default());
    let group = host.open_group(GroupId(1), machine.clone(), GroupOptions::default()).unwrap();
    assert!(group.initialize(&BTreeSet::from([NodeId(1)])).await.unwrap());
    eventually("a leader", || group.is_leader()).await;
    group.propose(Bytes::from_static(b"durable")).await.unwrap();

    fails.store(true, Ordering::Release);
    let lost = tokio::time::timeout(DEADLINE, group.propose(Bytes::from_static(b"lost"))).await;
    assert!(lost.unwrap().is_err());
    eventually("the log to stop", || host.log_stats().stopped.is_some()).await;
    fails.store(false, Ordering::Release);
    // The disk says yes again. What it lost is still shown by the log, and would be acknowledged.
    assert!(matches!(host.close_group(&group).await, Err(Error::Log(_))));
    match host.open_group(GroupId(1), machine, GroupOptions::default()) {
        Err(Error::Log(why)) => assert!(
            why.contains("a log that has stopped") && why.contains("the disk failed"),
            "{why}"
        ),
        other => panic!("{other:?}"),
    }
    drop(group);
    assert!(matches!(host.shutdown().await, Err(Error::Log(_))));
}
