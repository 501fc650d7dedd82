//! What the front measures of itself, in the Prometheus text format.
//!
//! All counters are atomics in fixed places: recording a request is a few relaxed additions, without a lock, a lookup or an
//! allocation. No label ever names a tenant: their number has no bound, and metrics are read by more people than tenants are.

use std::fmt::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use crate::routes::table::{Endpoint, TABLE};
use crate::service::{Stage, Timing};

/// Upper bounds of the buckets, in microseconds. The last bucket, without a bound, comes after them.
const BOUNDS_MICROS: [u64; 18] = [
    100, 200, 400, 700, 1_000, 2_000, 4_000, 7_000, 10_000, 20_000, 40_000, 70_000, 100_000, 200_000, 400_000, 1_000_000,
    2_000_000, 10_000_000,
];
/// Statuses that are counted one by one: 100 to 599.
const STATUSES: usize = 500;

#[derive(Debug, Default)]
struct Histogram {
    buckets: [AtomicU64; BOUNDS_MICROS.len() + 1],
    sum_micros: AtomicU64,
}

impl Histogram {
    fn record(&self, micros: u64) {
        let bucket = BOUNDS_MICROS.partition_point(|bound| *bound < micros);
        self.buckets[bucket].fetch_add(1, Ordering::Relaxed);
        self.sum_micros.fetch_add(micros, Ordering::Relaxed);
    }

    fn write(&self, out: &mut dyn Write, name: &str, labels: &str) -> fmt::Result {
        let mut count = 0;
        let buckets: Vec<u64> = self.buckets.iter().map(|bucket| bucket.load(Ordering::Relaxed)).collect();
        if buckets.iter().all(|bucket| *bucket == 0) {
            return Ok(());
        }
        for (bucket, bound) in buckets.iter().zip(BOUNDS_MICROS) {
            count += bucket;
            writeln!(out, "{name}_bucket{{{labels},le=\"{}\"}} {count}", Seconds(bound))?;
        }
        count += buckets[BOUNDS_MICROS.len()];
        writeln!(out, "{name}_bucket{{{labels},le=\"+Inf\"}} {count}")?;
        writeln!(
            out,
            "{name}_sum{{{labels}}} {}",
            Seconds(self.sum_micros.load(Ordering::Relaxed))
        )?;
        writeln!(out, "{name}_count{{{labels}}} {count}")
    }
}

/// Microseconds, written as seconds without rounding.
struct Seconds(u64);

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:06}", self.0 / 1_000_000, self.0 % 1_000_000)
    }
}

/// The front's own metrics.
#[derive(Debug)]
pub(crate) struct Metrics {
    /// One an [`Endpoint`], and one for what no route takes.
    routes: Box<[Histogram]>,
    stages: [Histogram; Stage::ALL.len()],
    statuses: Box<[AtomicU64]>,
    in_flight: AtomicUsize,
    connections: Arc<AtomicUsize>,
    /// Open HTTP/2 streams of all connections.
    pub(crate) streams: Arc<AtomicUsize>,
    accepted: AtomicU64,
    shed: AtomicU64,
    handshakes_failed: AtomicU64,
    forwards: AtomicU64,
    forward_retries: AtomicU64,
}

/// Counts an open connection for as long as it lives.
pub(crate) struct Connected(Arc<AtomicUsize>);

impl Drop for Connected {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Counts a request in flight for as long as it lives.
pub(crate) struct InFlight<'a>(&'a AtomicUsize);

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Metrics {
    pub(crate) fn new() -> Self {
        Self {
            routes: (0..=TABLE.len()).map(|_| Histogram::default()).collect(),
            stages: Default::default(),
            statuses: (0..STATUSES).map(|_| AtomicU64::new(0)).collect(),
            in_flight: AtomicUsize::new(0),
            connections: Arc::default(),
            streams: Arc::default(),
            accepted: AtomicU64::new(0),
            shed: AtomicU64::new(0),
            handshakes_failed: AtomicU64::new(0),
            forwards: AtomicU64::new(0),
            forward_retries: AtomicU64::new(0),
        }
    }

    /// Counts a connection; none: there are `most` already.
    pub(crate) fn connect(&self, most: usize) -> Option<Connected> {
        self.accepted.fetch_add(1, Ordering::Relaxed);
        let slot = Connected(Arc::clone(&self.connections));
        if self.connections.fetch_add(1, Ordering::Relaxed) < most {
            return Some(slot);
        }
        self.shed.fetch_add(1, Ordering::Relaxed);
        None
    }

    /// Counts a connection that goes on as a live one; none: there are `most` already.
    pub(crate) fn keep(&self, most: usize) -> Option<Connected> {
        let slot = Connected(Arc::clone(&self.connections));
        (self.connections.fetch_add(1, Ordering::Relaxed) < most).then_some(slot)
    }

    pub(crate) fn begin(&self) -> InFlight<'_> {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        InFlight(&self.in_flight)
    }

    pub(crate) fn handshake_failed(&self) {
        self.handshakes_failed.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn forwarded(&self) {
        self.forwards.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn forwarded_again(&self) {
        self.forward_retries.fetch_add(1, Ordering::Relaxed);
    }

    /// Records a request up to the head of its reply.
    pub(crate) fn finish(&self, endpoint: Option<Endpoint>, status: u16, took: Duration, timing: &Timing) {
        let route = endpoint.map_or(TABLE.len(), |endpoint| endpoint as usize);
        self.routes[route].record(u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
        for stage in Stage::ALL {
            let micros = timing.micros(stage);
            if micros > 0 {
                self.stages[stage as usize].record(u64::from(micros));
            }
        }
        if let Some(counter) = usize::from(status)
            .checked_sub(100)
            .and_then(|place| self.statuses.get(place))
        {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(crate) fn write(&self, out: &mut dyn Write) -> fmt::Result {
        let seconds = "cloudnest_http_request_seconds";
        writeln!(
            out,
            "# HELP {seconds} Time from a request's head to its reply's head.\n# TYPE {seconds} histogram"
        )?;
        for route in &TABLE {
            let labels = format!("method=\"{}\",route=\"{}\"", route.method, route.path);
            self.routes[route.endpoint as usize].write(out, seconds, &labels)?;
        }
        self.routes[TABLE.len()].write(out, seconds, "method=\"\",route=\"none\"")?;
        let stage_seconds = "cloudnest_http_stage_seconds";
        writeln!(
            out,
            "# HELP {stage_seconds} Time of a request by stage.\n# TYPE {stage_seconds} histogram"
        )?;
        for stage in Stage::ALL {
            self.stages[stage as usize].write(out, stage_seconds, &format!("stage=\"{}\"", stage.name()))?;
        }
        let replies = "cloudnest_http_replies_total";
        writeln!(out, "# HELP {replies} Replies by status.\n# TYPE {replies} counter")?;
        for (place, counter) in self.statuses.iter().enumerate() {
            let count = counter.load(Ordering::Relaxed);
            if count > 0 {
                writeln!(out, "{replies}{{status=\"{}\"}} {count}", place + 100)?;
            }
        }
        self.write_gauges(out)?;
        self.write_counters(out)
    }

    fn write_gauges(&self, out: &mut dyn Write) -> fmt::Result {
        let gauges = [
            (
                "cloudnest_http_in_flight",
                "Requests whose reply's head is not out yet.",
                self.in_flight.load(Ordering::Relaxed),
            ),
            (
                "cloudnest_http_connections",
                "Open connections of clients.",
                self.connections.load(Ordering::Relaxed),
            ),
            (
                "cloudnest_http_streams",
                "Open HTTP/2 streams of clients, up to the end of their reply.",
                self.streams.load(Ordering::Relaxed),
            ),
        ];
        for (name, help, value) in gauges {
            writeln!(out, "# HELP {name} {help}\n# TYPE {name} gauge\n{name} {value}")?;
        }
        Ok(())
    }

    fn write_counters(&self, out: &mut dyn Write) -> fmt::Result {
        let counters = [
            ("cloudnest_http_connections_total", "Connections accepted.", &self.accepted),
            (
                "cloudnest_http_connections_shed_total",
                "Connections over the limit, closed at once.",
                &self.shed,
            ),
            (
                "cloudnest_tls_handshakes_failed_total",
                "TLS handshakes of clients that came to nothing.",
                &self.handshakes_failed,
            ),
            (
                "cloudnest_http_forwards_total",
                "Requests sent to another node.",
                &self.forwards,
            ),
            (
                "cloudnest_http_forward_retries_total",
                "Further attempts at such a request.",
                &self.forward_retries,
            ),
        ];
        for (name, help, value) in counters {
            writeln!(
                out,
                "# HELP {name} {help}\n# TYPE {name} counter\n{name} {}",
                value.load(Ordering::Relaxed)
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_add_up_and_name_no_tenant() {
        let metrics = Metrics::new();
        for micros in [1, 100, 101, 999_999_999] {
            metrics.finish(Some(Endpoint::Record), 200, Duration::from_micros(micros), &Timing::default());
        }
        let mut text = String::new();
        metrics.write(&mut text).expect("text");
        let route = "method=\"GET\",route=\"/v1/tenants/{tenant}/records/{collection}/{id}\"";
        assert!(
            text.contains(&format!("seconds_bucket{{{route},le=\"0.000100\"}} 2")),
            "{text}"
        );
        assert!(text.contains(&format!("seconds_bucket{{{route},le=\"+Inf\"}} 4")), "{text}");
        assert!(text.contains("cloudnest_http_replies_total{status=\"200\"} 4"), "{text}");
    }

    #[test]
    fn a_connection_is_counted_while_it_lives() {
        let metrics = Metrics::new();
        let first = metrics.connect(1);
        assert!(first.is_some() && metrics.connect(1).is_none());
        drop(first);
        assert!(metrics.connect(1).is_some());
    }
}
