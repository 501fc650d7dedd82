//! Checks of the data directory: whether it can be written, how much room it has, how long an fsync takes.

use std::fs::{self, OpenOptions};
use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::Finding;

/// Free space below which the doctor warns, in bytes: 5 GiB.
const ROOM_WARN_BYTES: u64 = 5 << 30;
/// Free space below which a node would soon stop, in bytes: 512 MiB.
const ROOM_FAIL_BYTES: u64 = 512 << 20;
/// How often an fsync is timed.
const SYNCS: usize = 20;
/// How much is written before each, in bytes.
const SYNC_BYTES: usize = 4_096;
/// A typical fsync that is longer makes every write slow.
const SYNC_WARN: Duration = Duration::from_millis(10);
/// A typical fsync that is longer makes leaders lose their place.
const SYNC_FAIL: Duration = Duration::from_millis(50);

/// The data directory, its room and its speed. A directory that is not there yet is judged by the one that it would be in.
pub(super) fn examine(data: &Path) -> Vec<Finding> {
    let place = existing(data);
    let shown = place.display();
    let written = time_syncs(&place);
    match written {
        Ok(times) => {
            let note = if place == data { "can be written" } else { "will be made" };
            vec![
                Finding::ok("data", format!("{} {note}", data.display())),
                room(&place),
                speed(times),
            ]
        }
        Err(error) => {
            let advice = "give the user that runs CloudNest a directory of its own, or name another with --data";
            let unknown = |check| Finding::warn(check, "not known", format!("{shown} cannot be written"));
            vec![
                Finding::fail("data", format!("{shown} cannot be written: {error}"), advice),
                room(&place),
                unknown("fsync"),
            ]
        }
    }
}

/// The directory, or the nearest one above it that is there.
fn existing(data: &Path) -> PathBuf {
    let absolute = std::path::absolute(data).unwrap_or_else(|_| data.to_owned());
    let found = absolute.ancestors().find(|path| path.is_dir()).unwrap_or(Path::new("/"));
    if found == absolute {
        data.to_owned()
    } else {
        found.to_owned()
    }
}

fn room(place: &Path) -> Finding {
    let advice = "make room: a node whose disk is full refuses writes";
    match rustix::fs::statvfs(place) {
        Ok(disk) => {
            let free = disk.f_bavail.saturating_mul(disk.f_frsize);
            let detail = format!("{:.1} GiB free", free as f64 / f64::from(1 << 30));
            match free {
                0..ROOM_FAIL_BYTES => Finding::fail("disk space", detail, advice),
                ROOM_FAIL_BYTES..ROOM_WARN_BYTES => Finding::warn("disk space", detail, advice),
                _ => Finding::ok("disk space", detail),
            }
        }
        Err(error) => Finding::warn("disk space", format!("not known: {error}"), advice),
    }
}

/// Writes and syncs a block again and again, as the log does.
fn time_syncs(place: &Path) -> io::Result<Vec<Duration>> {
    let path = place.join(format!(".cloudnest-doctor-{}", std::process::id()));
    let timed = (|| {
        let mut file = OpenOptions::new().write(true).create_new(true).open(&path)?;
        let block = [0x5a_u8; SYNC_BYTES];
        file.write_all(&block)?;
        file.sync_all()?;
        let mut times = Vec::with_capacity(SYNCS);
        for _ in 0..SYNCS {
            file.seek(SeekFrom::Start(0))?;
            file.write_all(&block)?;
            let start = Instant::now();
            file.sync_data()?;
            times.push(start.elapsed());
        }
        Ok(times)
    })();
    // Where it was not made there is nothing to remove.
    let _ = fs::remove_file(&path);
    timed
}

fn speed(mut times: Vec<Duration>) -> Finding {
    times.sort_unstable();
    let typical = times.get(times.len() / 2).copied().unwrap_or_default();
    let longest = times.last().copied().unwrap_or_default();
    let detail = format!(
        "typically {:.2} ms, at most {:.2} ms",
        typical.as_secs_f64() * 1e3,
        longest.as_secs_f64() * 1e3
    );
    let advice = "use a disk with a fast, honest fsync (NVMe with power-loss protection), or raise [timing] of the configuration";
    if typical > SYNC_FAIL {
        return Finding::fail("fsync", detail, advice);
    }
    if typical > SYNC_WARN {
        return Finding::warn("fsync", detail, advice);
    }
    Finding::ok("fsync", detail)
}

#[cfg(test)]
mod tests {
    use super::super::Verdict;
    use super::*;

    #[test]
    fn a_slow_disk_is_told_by_its_typical_sync_and_not_by_its_worst() {
        let with = |typical: u64| {
            let mut times = vec![Duration::from_millis(typical); 19];
            times.push(Duration::from_secs(1));
            speed(times).verdict
        };
        assert_eq!([with(1), with(20), with(80)], [Verdict::Ok, Verdict::Warn, Verdict::Fail]);
    }

    #[test]
    fn what_cannot_be_written_is_a_failure() {
        let dir = tempfile::tempdir().expect("a directory");
        let file = dir.path().join("file");
        std::fs::write(&file, "").expect("written");
        // The nearest directory above a path inside a file is the one that holds the file.
        assert_eq!(existing(&file.join("data")), dir.path());
        assert!(time_syncs(&file).is_err());
    }
}
