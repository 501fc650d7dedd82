//! Whether the node's log has room for what is on its way to it.
//!
//! A log that refuses an entry stops the replica that appended it, because openraft takes any failed append for the end. So entries
//! must be held back before they get there: proposals wait, and append requests of other leaders are refused, while the log is full
//! or so close to it that what may be in flight could fill it. The log itself says that it is full when it finds no next segment
//! (`wal::keeper`); this adds the early part: the segments that are left of its bound, and the space that is left on its disk.
//!
//! A log of which little is live helps itself by copying that forward, but only once it is near its bound and entries come. So where
//! less than half is live, and purging alone has not made room within a moment, the segments that are left no longer count.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::time::{MissedTickBehavior, interval};

use crate::limits::{IN_FLIGHT_BYTES_MAX, LOG_ROOM_MS};
use crate::peer::Net;
use crate::wal::{LogOptions, LogStats, Wal};

/// See the module. Read by all groups of a node, written by one task.
#[derive(Default)]
pub(crate) struct LogRoom {
    full: AtomicBool,
    pressed: AtomicBool,
}

impl LogRoom {
    /// No entries should come now.
    pub(crate) fn is_full(&self) -> bool {
        self.full.load(Ordering::Acquire)
    }

    /// What is kept for others' sake should go.
    pub(crate) fn is_pressed(&self) -> bool {
        self.pressed.load(Ordering::Acquire)
    }
}

/// Looks after the room, as long as the runtime lives.
pub(crate) async fn run(room: Arc<LogRoom>, wal: Wal, options: LogOptions, dir: PathBuf, net: Arc<Net>) {
    let mut tick = interval(Duration::from_millis(LOG_ROOM_MS));
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // A file system that hangs must not hang consensus, nor the rest of this: what it said last counts until it answers.
    let ask = |dir: PathBuf| tokio::task::spawn_blocking(move || (free_bytes(&dir), dir));
    let (mut free, mut asking) = (u64::MAX, ask(dir));
    let mut bound = Bound::default();
    loop {
        tick.tick().await;
        let stats = wal.stats();
        let in_flight = in_flight_bytes(&options, net.inbox.len());
        if asking.is_finished() {
            let Ok((bytes, dir)) = asking.await else { return };
            (free, asking) = (bytes, ask(dir));
        }
        let disk = stats.spares.saturating_mul(options.segment_bytes).saturating_add(free);
        let near = bound.is_near(&stats, &options, in_flight);
        let full = stats.full.is_some() || near || disk < DISK_BYTES_MIN;
        if room.full.swap(full, Ordering::AcqRel) != full {
            let (segments, live_bytes) = (stats.segments, stats.live_bytes);
            if full {
                tracing::warn!(
                    segments,
                    live_bytes,
                    disk_free_bytes = free,
                    "the log is nearly full: entries wait"
                );
            } else {
                tracing::info!(segments, live_bytes, disk_free_bytes = free, "the log has room again");
            }
        }
        // What followers might still want gives way to what must be written.
        let pressed = full || stats.live_bytes > options.max_bytes / 2;
        room.pressed.store(pressed, Ordering::Release);
    }
}

/// How much may be on its way to the log before anybody is told to wait. Of many groups not all are busy at once, and most of a log
/// is there to be used.
fn in_flight_bytes(options: &LogOptions, groups: usize) -> u64 {
    u64::from(IN_FLIGHT_BYTES_MAX)
        .saturating_mul(groups.max(1) as u64)
        .min(options.max_bytes / 8)
}

/// Since when the log is so near to its bound that what is in flight could reach it.
#[derive(Default)]
struct Bound(Option<Instant>);

impl Bound {
    fn is_near(&mut self, stats: &LogStats, options: &LogOptions, in_flight: u64) -> bool {
        if !nearly_at_bound(stats, options, in_flight) {
            self.0 = None;
            return false;
        }
        let since = *self.0.get_or_insert_with(Instant::now);
        let copying_helps = stats.live_bytes <= options.max_bytes / 2;
        !copying_helps || since.elapsed() < PURGE_PATIENCE
    }
}

/// Less space than this on the log's disk counts as none, bytes: what one group may have in flight, since the disk is filled by one
/// at a time, and a small disk with many groups is to be usable.
const DISK_BYTES_MIN: u64 = IN_FLIGHT_BYTES_MAX as u64;

/// How long purging may take to make room before copying is let have its try.
const PURGE_PATIENCE: Duration = Duration::from_secs(1);

fn nearly_at_bound(stats: &LogStats, options: &LogOptions, in_flight: u64) -> bool {
    let left = (options.max_segments() as u64).saturating_sub(stats.segments);
    left.saturating_mul(options.segment_bytes) < in_flight
}

/// What the file system says; what cannot be asked counts as enough, since writing will tell.
fn free_bytes(dir: &Path) -> u64 {
    rustix::fs::statvfs(dir).map_or(u64::MAX, |stat| stat.f_bavail.saturating_mul(stat.f_frsize))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_is_nearly_full_while_what_is_in_flight_still_fits() {
        let options = LogOptions::default().checked();
        let stats = |segments| LogStats {
            segments,
            ..LogStats::default()
        };
        let one = in_flight_bytes(&options, 1);
        let many = in_flight_bytes(&options, 100);
        assert_eq!((one, many), (32 << 20, 256 << 20));
        assert!(!nearly_at_bound(&stats(31), &options, one));
        assert!(nearly_at_bound(&stats(32), &options, one));
        assert!(!nearly_at_bound(&stats(28), &options, many));
        assert!(nearly_at_bound(&stats(29), &options, many));
    }

    #[test]
    fn a_log_with_little_in_it_is_soon_let_help_itself() {
        let options = LogOptions::default().checked();
        let mut stats = LogStats {
            segments: 32,
            live_bytes: options.max_bytes / 4,
            ..LogStats::default()
        };
        let at = Instant::now().checked_sub(2 * PURGE_PATIENCE).unwrap();
        assert!(Bound::default().is_near(&stats, &options, 1 << 20));
        assert!(!Bound(Some(at)).is_near(&stats, &options, 1 << 20));
        stats.live_bytes = options.max_bytes / 4 * 3;
        assert!(Bound(Some(at)).is_near(&stats, &options, 1 << 20));
    }
}
