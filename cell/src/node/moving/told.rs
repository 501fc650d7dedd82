//! What a node counts of the moves that it drives.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Upper bounds of the buckets of holds, in milliseconds.
const BUCKETS_MS: [u64; 8] = [10, 25, 50, 100, 200, 500, 1_000, 2_000];

/// Since the node started.
#[derive(Default)]
pub(crate) struct Counts {
    begun: AtomicU64,
    done: AtomicU64,
    restarted: AtomicU64,
    called_off: AtomicU64,
    /// Holds of each bucket; the last: longer ones.
    holds: [AtomicU64; BUCKETS_MS.len() + 1],
    held_micros: AtomicU64,
}

impl Counts {
    /// A move was asked for.
    pub(crate) fn begun(&self) {
        self.begun.fetch_add(1, Ordering::Relaxed);
    }

    /// A move has ended in the other cell.
    pub(super) fn done(&self) {
        self.done.fetch_add(1, Ordering::Relaxed);
    }

    /// An attempt follows one that failed.
    pub(super) fn restarted(&self) {
        self.restarted.fetch_add(1, Ordering::Relaxed);
    }

    /// A move has ended where it began.
    pub(super) fn called_off(&self) {
        self.called_off.fetch_add(1, Ordering::Relaxed);
    }

    /// Writes were held for so long.
    pub(super) fn held(&self, time: Duration) {
        let bucket = BUCKETS_MS.iter().position(|bound| time <= Duration::from_millis(*bound));
        self.holds[bucket.unwrap_or(BUCKETS_MS.len())].fetch_add(1, Ordering::Relaxed);
        let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        self.held_micros.fetch_add(micros, Ordering::Relaxed);
    }

    /// Writes what is counted, in the Prometheus text format.
    pub(crate) fn write(&self, out: &mut dyn fmt::Write) -> fmt::Result {
        let counters = [
            ("begun", &self.begun, "Moves of tenants that were asked for at this node."),
            (
                "done",
                &self.done,
                "Moves of tenants that this node has brought to their end.",
            ),
            (
                "restarted",
                &self.restarted,
                "Attempts of moves that followed one that failed.",
            ),
            ("called_off", &self.called_off, "Moves of tenants that were called off."),
        ];
        for (name, count, help) in counters {
            let count = count.load(Ordering::Relaxed);
            let name = format!("cloudnest_moves_{name}_total");
            writeln!(out, "# HELP {name} {help}\n# TYPE {name} counter\n{name} {count}")?;
        }
        let name = "cloudnest_move_hold_seconds";
        writeln!(
            out,
            "# HELP {name} How long writes of a tenant were held by its move.\n# TYPE {name} histogram"
        )?;
        let mut sum = 0;
        for (holds, bound) in self.holds.iter().zip(BUCKETS_MS) {
            sum += holds.load(Ordering::Relaxed);
            writeln!(
                out,
                "{name}_bucket{{le=\"{}\"}} {sum}",
                Duration::from_millis(bound).as_secs_f64()
            )?;
        }
        sum += self.holds[BUCKETS_MS.len()].load(Ordering::Relaxed);
        let seconds = Duration::from_micros(self.held_micros.load(Ordering::Relaxed)).as_secs_f64();
        writeln!(
            out,
            "{name}_bucket{{le=\"+Inf\"}} {sum}\n{name}_sum {seconds}\n{name}_count {sum}"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holds_are_counted_in_the_bucket_that_they_fit() {
        let counts = Counts::default();
        counts.begun();
        for millis in [10, 11, 5_000] {
            counts.held(Duration::from_millis(millis));
        }
        let mut text = String::new();
        counts.write(&mut text).expect("a text");
        let value = |name: &str| {
            let line = text
                .lines()
                .find(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(' ')));
            line.and_then(|line| line.rsplit(' ').next()).unwrap_or_default().to_owned()
        };
        assert_eq!(value("cloudnest_moves_begun_total"), "1");
        assert_eq!(value("cloudnest_move_hold_seconds_bucket{le=\"0.01\"}"), "1");
        assert_eq!(value("cloudnest_move_hold_seconds_bucket{le=\"2\"}"), "2");
        assert_eq!(value("cloudnest_move_hold_seconds_count"), "3");
        assert_eq!(value("cloudnest_move_hold_seconds_sum"), "5.021");
    }
}
