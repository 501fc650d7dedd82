//! How many messages a connection may send: a bucket that fills with time.

use std::time::Instant;

/// A bucket of messages.
#[derive(Debug)]
pub(super) struct Rate {
    left: f64,
    at: Instant,
    per_second: f64,
    most: f64,
}

impl Rate {
    /// A full bucket.
    pub(super) fn new(per_second: u32, most: u32) -> Self {
        Self {
            left: f64::from(most),
            at: Instant::now(),
            per_second: f64::from(per_second),
            most: f64::from(most),
        }
    }

    /// Takes one message; false: there are too many.
    pub(super) fn take(&mut self) -> bool {
        self.take_at(Instant::now())
    }

    fn take_at(&mut self, now: Instant) -> bool {
        let passed = now.saturating_duration_since(self.at).as_secs_f64();
        self.at = now;
        self.left = (self.left + passed * self.per_second).min(self.most);
        let taken = self.left >= 1.0;
        if taken {
            self.left -= 1.0;
        }
        taken
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_bucket_is_emptied_at_once_and_fills_with_time() {
        let mut rate = Rate::new(2, 3);
        let start = rate.at;
        let taken = (0..5).filter(|_| rate.take_at(start)).count();
        assert_eq!(taken, 3);
        assert!(!rate.take_at(start + Duration::from_millis(400)));
        assert!(rate.take_at(start + Duration::from_millis(600)));
        let later = start + Duration::from_secs(60);
        assert_eq!((0..5).filter(|_| rate.take_at(later)).count(), 3);
    }
}
