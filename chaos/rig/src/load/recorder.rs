//! What a run of load has seen.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use crate::probe::Sample;

/// Largest latency that is told apart, in microseconds; what is longer counts as this.
const LATENCY_MAX_MICROS: u64 = 60_000_000;
/// Kinds of errors that are told apart; further ones count as `other`.
const ERROR_KINDS: usize = 64;

/// An empty histogram of latencies in microseconds: one minute, three digits.
pub fn histogram() -> Histogram<u64> {
    with_digits(3)
}

fn with_digits(digits: u8) -> Histogram<u64> {
    // The bounds are constants that hdrhistogram accepts: 1 <= low, 2 * low <= high, digits <= 5.
    Histogram::new_with_bounds(1, LATENCY_MAX_MICROS, digits).unwrap_or_else(|error| unreachable!("histogram bounds: {error}"))
}

/// Most slots of a window.
const SLOTS: usize = 20_000;

/// A piece of the window: the requests that were due in it.
#[derive(Clone, Debug)]
pub struct Slot {
    /// Latency of those that succeeded, in microseconds, two digits.
    pub latency: Histogram<u64>,
    /// Those that failed, by kind.
    pub errors: BTreeMap<String, u64>,
}

impl Default for Slot {
    fn default() -> Self {
        Self {
            latency: with_digits(2),
            errors: BTreeMap::new(),
        }
    }
}

impl Slot {
    /// Requests that failed.
    pub fn failures(&self) -> u64 {
        self.errors.values().sum()
    }

    /// Both slots as one.
    pub fn add(&mut self, other: &Slot) {
        self.latency += &other.latency;
        for (kind, count) in &other.errors {
            *self.errors.entry(kind.clone()).or_default() += count;
        }
    }
}

/// What a run of load came to.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The measured window as it was.
    pub window: Duration,
    /// Requests that were answered and passed their check within the window.
    pub successes: u64,
    /// Failures by kind: `timeout`, `connect`, `io`, `not_sent`, or what the script called it.
    pub errors: BTreeMap<String, u64>,
    /// Latency of the successes, in microseconds.
    pub latency: Histogram<u64>,
    /// The same by class.
    pub by_class: Vec<(&'static str, Histogram<u64>)>,
    /// The longest time in the window without a success.
    pub longest_gap: Duration,
    /// The probe at both ends of the window, with the number of successes at that moment.
    pub samples: Option<[(Sample, u64); 2]>,
    /// The window piece by piece, by when requests were due, where the plan asked for it. What was never sent is in none.
    pub slots: Vec<Slot>,
}

impl Outcome {
    /// Successes a second.
    pub fn rate(&self) -> f64 {
        self.successes as f64 / self.window.as_secs_f64()
    }

    /// Processor time of all nodes for one success, in microseconds.
    pub fn cpu_micros_per_success(&self) -> Option<f64> {
        let [(first, before), (last, after)] = self.samples.as_ref()?;
        let successes = after.checked_sub(*before).filter(|count| *count > 0)?;
        Some((last.cpu_seconds - first.cpu_seconds) * 1e6 / successes as f64)
    }

    /// Fsyncs of all nodes' logs for one success.
    pub fn fsyncs_per_success(&self) -> Option<f64> {
        let [(first, before), (last, after)] = self.samples.as_ref()?;
        let successes = after.checked_sub(*before).filter(|count| *count > 0)?;
        Some(last.fsyncs?.checked_sub(first.fsyncs?)? as f64 / successes as f64)
    }

    /// All failures.
    pub fn failures(&self) -> u64 {
        self.errors.values().sum()
    }
}

/// `p50 1.2 ms, p95 …` for a line of output.
pub fn summarize(latency: &Histogram<u64>) -> String {
    let at = |quantile: f64| latency.value_at_quantile(quantile) as f64 / 1_000.0;
    format!(
        "p50 {:.2} p95 {:.2} p99 {:.2} p99.9 {:.2} max {:.2} ms",
        at(0.5),
        at(0.95),
        at(0.99),
        at(0.999),
        latency.max() as f64 / 1_000.0
    )
}

/// Collects while the load runs. What was due before `opens` is warm-up and does not count.
pub(crate) struct Recorder {
    opens: Instant,
    closes: Instant,
    last_success: Instant,
    longest_gap: Duration,
    successes: u64,
    errors: BTreeMap<String, u64>,
    latency: Histogram<u64>,
    by_class: Vec<(&'static str, Histogram<u64>)>,
    slot: Option<Duration>,
    slots: Vec<Slot>,
}

impl Recorder {
    pub(crate) fn new(opens: Instant, window: Duration, classes: &[&'static str]) -> Self {
        Self {
            opens,
            closes: opens + window,
            last_success: opens,
            longest_gap: Duration::ZERO,
            successes: 0,
            errors: BTreeMap::new(),
            latency: histogram(),
            by_class: classes.iter().map(|class| (*class, histogram())).collect(),
            slot: None,
            slots: Vec::new(),
        }
    }

    /// Tells the window in pieces as well.
    pub(crate) fn in_slots(self, slot: Option<Duration>) -> Self {
        Self { slot, ..self }
    }

    /// The piece in which something was due.
    fn slot_at(&mut self, due: Instant) -> Option<&mut Slot> {
        let since = due.checked_duration_since(self.opens)?;
        let at = (since.as_secs_f64() / self.slot?.as_secs_f64()) as usize;
        let at = at.min(SLOTS - 1);
        if self.slots.len() <= at {
            self.slots.resize_with(at + 1, Slot::default);
        }
        self.slots.get_mut(at)
    }

    /// Ends the window before its time.
    pub(crate) fn close(&mut self, now: Instant) {
        self.closes = self.closes.min(now.max(self.opens));
    }

    /// A success that was due at `due` and answered at `now`.
    pub(crate) fn success(&mut self, class: usize, due: Instant, now: Instant) {
        if now < self.opens {
            return;
        }
        if now <= self.closes {
            self.longest_gap = self.longest_gap.max(now.saturating_duration_since(self.last_success));
            self.last_success = now;
            self.successes += 1;
        }
        if due < self.opens {
            return;
        }
        let micros = u64::try_from(now.saturating_duration_since(due).as_micros()).unwrap_or(u64::MAX);
        self.latency.saturating_record(micros.max(1));
        if let Some((_, histogram)) = self.by_class.get_mut(class) {
            histogram.saturating_record(micros.max(1));
        }
        if let Some(slot) = self.slot_at(due) {
            slot.latency.saturating_record(micros.max(1));
        }
    }

    /// A failure that was due at `due`.
    pub(crate) fn failure(&mut self, kind: &str, due: Instant) {
        if due >= self.opens {
            self.failures(kind, 1);
            if let Some(slot) = self.slot_at(due) {
                *slot.errors.entry(kind.to_owned()).or_default() += 1;
            }
        }
    }

    /// So many failures of a kind.
    pub(crate) fn failures(&mut self, kind: &str, count: u64) {
        let known = self.errors.contains_key(kind) || self.errors.len() < ERROR_KINDS;
        *self.errors.entry(if known { kind } else { "other" }.to_owned()).or_default() += count;
    }

    /// Successes so far.
    pub(crate) fn successes(&self) -> u64 {
        self.successes
    }

    pub(crate) fn finish(self, samples: Option<[(Sample, u64); 2]>) -> Outcome {
        Outcome {
            window: self.closes - self.opens,
            successes: self.successes,
            errors: self.errors,
            latency: self.latency,
            by_class: self.by_class,
            longest_gap: self.longest_gap.max(self.closes.saturating_duration_since(self.last_success)),
            samples,
            slots: self.slots,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MILLI: Duration = Duration::from_millis(1);

    #[test]
    fn warm_up_does_not_count_and_gaps_reach_to_both_ends() {
        let start = Instant::now();
        let opens = start + 100 * MILLI;
        let mut recorder = Recorder::new(opens, 1_000 * MILLI, &["read"]);
        recorder.success(0, start, start + 50 * MILLI);
        recorder.failure("io", start + 50 * MILLI);
        recorder.success(0, opens + 300 * MILLI, opens + 310 * MILLI);
        recorder.success(0, opens + 400 * MILLI, opens + 420 * MILLI);
        recorder.failure("io", opens + 500 * MILLI);
        let outcome = recorder.finish(None);
        assert_eq!((outcome.successes, outcome.errors["io"]), (2, 1));
        assert_eq!(outcome.longest_gap, 580 * MILLI);
        assert_eq!(outcome.by_class[0].1.len(), 2);
        assert!(
            (outcome.latency.max() as i64 - 20_000).abs() <= 20,
            "{}",
            outcome.latency.max()
        );
    }

    #[test]
    fn a_slot_has_what_was_due_in_it_whenever_it_was_answered() {
        let start = Instant::now();
        let mut recorder = Recorder::new(start + 100 * MILLI, 1_000 * MILLI, &["read"]).in_slots(Some(200 * MILLI));
        recorder.failure("io", start + 50 * MILLI);
        recorder.success(0, start + 150 * MILLI, start + 900 * MILLI);
        recorder.success(0, start + 550 * MILLI, start + 551 * MILLI);
        recorder.failure("io", start + 560 * MILLI);
        let slots = recorder.finish(None).slots;
        let seen: Vec<_> = slots.iter().map(|slot| (slot.latency.len(), slot.failures())).collect();
        assert_eq!(seen, [(1, 0), (0, 0), (1, 1)]);
        let late = slots[0].latency.max();
        assert!((740_000..760_000).contains(&late), "{late}");
        let mut sum = slots[0].clone();
        sum.add(&slots[2]);
        assert_eq!((sum.latency.len(), sum.errors["io"]), (2, 1));
    }

    #[test]
    fn kinds_of_errors_are_bounded() {
        let start = Instant::now();
        let mut recorder = Recorder::new(start, MILLI, &[]);
        for number in 0..1_000 {
            recorder.failure(&format!("kind {number}"), start);
        }
        let outcome = recorder.finish(None);
        assert_eq!(outcome.errors.len(), ERROR_KINDS + 1);
        assert_eq!(outcome.failures(), 1_000);
    }

    #[test]
    fn cost_is_divided_by_what_was_done_between_the_samples() {
        let start = Instant::now();
        let sample = |cpu_seconds, fsyncs| Sample {
            at: start,
            cpu_seconds,
            fsyncs: Some(fsyncs),
        };
        let outcome = Recorder::new(start, MILLI, &[]).finish(Some([(sample(1.0, 10), 100), (sample(1.5, 40), 1_100)]));
        assert!((outcome.cpu_micros_per_success().unwrap() - 500.0).abs() < 1e-6);
        assert!((outcome.fsyncs_per_success().unwrap() - 0.03).abs() < 1e-9);
    }
}
