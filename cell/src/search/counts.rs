//! What is counted of searches: of a node since it started, and how the indexes of its cells stand. Never by tenant.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use storage::search::SearchError;

use super::seeker::Stand;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    answered: AtomicU64,
    micros: AtomicU64,
    index_micros: AtomicU64,
    too_broad: AtomicU64,
    timed_out: AtomicU64,
    unusable: AtomicU64,
}

impl Counts {
    /// A question was answered: how long that took in all, and how much of it in the index.
    pub(crate) fn answered(&self, time: Duration, in_index: Duration) {
        let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        self.answered.fetch_add(1, Ordering::Relaxed);
        self.micros.fetch_add(micros(time), Ordering::Relaxed);
        self.index_micros.fetch_add(micros(in_index), Ordering::Relaxed);
    }

    /// The index did not answer.
    pub(crate) fn failed(&self, error: &SearchError) {
        let count = match error {
            SearchError::TooBroad(_) => &self.too_broad,
            SearchError::TimedOut => &self.timed_out,
            _ => &self.unusable,
        };
        count.fetch_add(1, Ordering::Relaxed);
    }

    /// Writes them as metrics, with how the index of each cell stands.
    pub(crate) fn write(&self, cells: &[(&str, Stand)], out: &mut dyn fmt::Write) -> fmt::Result {
        let count = |count: &AtomicU64| count.load(Ordering::Relaxed).to_string();
        let seconds = |count: &AtomicU64| {
            let micros = count.load(Ordering::Relaxed);
            format!("{}.{:06}", micros / 1_000_000, micros % 1_000_000)
        };
        for (name, help, value) in [
            ("questions_total", "Searches that were answered.", count(&self.answered)),
            (
                "seconds_total",
                "How long they took, without waiting for a turn or for the index to get further.",
                seconds(&self.micros),
            ),
            (
                "index_seconds_total",
                "How much of it they were in the index; the rest is rows, rules and excerpts.",
                seconds(&self.index_micros),
            ),
            (
                "too_broad_total",
                "Searches that ended because their words are in too many records, or stand for too many words.",
                count(&self.too_broad),
            ),
            (
                "timed_out_total",
                "Searches that ended because the index took too long.",
                count(&self.timed_out),
            ),
            (
                "unusable_total",
                "Searches that met an index that is damaged.",
                count(&self.unusable),
            ),
        ] {
            let name = format!("cloudnest_search_{name}");
            writeln!(out, "# HELP {name} {help}\n# TYPE {name} counter\n{name} {value}")?;
        }
        for (name, help, value) in CELL_METRICS {
            let name = format!("cloudnest_search_{name}");
            writeln!(out, "# HELP {name} {help}\n# TYPE {name} gauge")?;
            for (cell, stand) in cells {
                writeln!(out, "{name}{{cell=\"{cell}\"}} {}", value(stand))?;
            }
        }
        Ok(())
    }
}

/// What a metric shows of how an index stands.
type Shown = fn(&Stand) -> String;

/// Name, help and value of each metric of a cell's index.
const CELL_METRICS: [(&str, &str, Shown); 3] = [
    (
        "lag_seconds",
        "For how long there has been something that the search index does not show; 0 where it shows everything.",
        |stand| format!("{}.{:03}", stand.lag.as_secs(), stand.lag.subsec_millis()),
    ),
    ("documents", "Documents in the search index.", |stand| {
        stand.documents.to_string()
    }),
    (
        "segments",
        "Segments of the search index: each is looked into by every question.",
        |stand| stand.segments.to_string(),
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_counted_is_written() {
        let counts = Counts::default();
        counts.answered(Duration::from_micros(1_500_000), Duration::from_micros(250));
        counts.answered(Duration::from_micros(1), Duration::ZERO);
        counts.failed(&SearchError::TooBroad("x".to_owned()));
        counts.failed(&SearchError::TimedOut);
        counts.failed(&SearchError::Unusable("x".to_owned()));
        counts.failed(&SearchError::Unusable("y".to_owned()));
        let stand = Stand {
            lag: Duration::from_millis(1_250),
            documents: 7,
            segments: 2,
        };
        let mut out = String::new();
        counts.write(&[("c1", stand)], &mut out).expect("written");
        for line in [
            "cloudnest_search_questions_total 2",
            "cloudnest_search_seconds_total 1.500001",
            "cloudnest_search_index_seconds_total 0.000250",
            "cloudnest_search_too_broad_total 1",
            "cloudnest_search_timed_out_total 1",
            "cloudnest_search_unusable_total 2",
            "cloudnest_search_lag_seconds{cell=\"c1\"} 1.250",
            "cloudnest_search_documents{cell=\"c1\"} 7",
            "cloudnest_search_segments{cell=\"c1\"} 2",
        ] {
            assert!(out.lines().any(|written| written == line), "{line} is not in\n{out}");
        }
    }
}
