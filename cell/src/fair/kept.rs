//! How many bytes of chunks a tenant has had kept at this node within a day. What nothing names stays on the disks for so long, so that without a
//! bound a tenant that sends, and deletes or breaks off, over and over would fill them, whatever its plan stores.

use std::time::Duration;

/// Parts of a day that are forgotten together.
const PART: Duration = Duration::from_secs(6 * 60 * 60);
/// A day, and the part that is not over.
const PARTS: u64 = 5;

/// See the module. Times are those since some beginning.
#[derive(Debug, Default)]
pub(super) struct Kept {
    /// The latest part.
    latest: u64,
    bytes: [u64; PARTS as usize],
}

impl Kept {
    /// Counts bytes that are to be kept; no: with them there would be more than so many.
    pub(super) fn add(&mut self, bytes: u64, most: u64, now: Duration) -> bool {
        let fits = self.sum(now).saturating_add(bytes) <= most;
        if fits {
            self.bytes[(self.latest % PARTS) as usize] += bytes;
        }
        fits
    }

    /// All bytes of the day.
    pub(super) fn sum(&mut self, now: Duration) -> u64 {
        let part = now.as_secs() / PART.as_secs();
        for over in (self.latest + 1..=part).take(PARTS as usize) {
            self.bytes[(over % PARTS) as usize] = 0;
        }
        self.latest = self.latest.max(part);
        self.bytes.iter().sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_counts_for_a_day_and_not_much_longer() {
        let (mut kept, hour) = (Kept::default(), |hours: u64| Duration::from_secs(hours * 3_600));
        assert!(kept.add(70, 100, hour(1)) && kept.add(30, 100, hour(7)));
        for (hours, left) in [(7, 0), (25, 0), (30, 70), (31, 70), (36, 100), (1_000, 100)] {
            assert_eq!(100 - kept.sum(hour(hours)), left, "after {hours} hours");
        }
        assert!(kept.add(100, 100, hour(1_000)) && !kept.add(1, 100, hour(1_020)));
        assert!(kept.add(1, 100, hour(1_030)));
        assert!(!kept.add(u64::MAX, 100, hour(1_030)), "it does not wrap around");
        // A clock that stands still, or an earlier time, forgets nothing.
        assert_eq!(kept.sum(hour(1)), 1);
    }
}
