//! What the scheduler shows of itself. No label names a tenant: their number has no bound.

use std::fmt::{self, Write};
use std::sync::atomic::{AtomicU64, Ordering};

use super::Fair;
use super::turns::Crowd;

impl Fair {
    /// Its metrics, in the Prometheus text format; `requests`: of all cells, `spare`: of each of them.
    pub(crate) fn write(&self, requests: &Crowd, spare: usize, out: &mut dyn Write) -> fmt::Result {
        let (queries, searches) = (self.queries.crowd(), self.searches.crowd());
        let rate = self.elastic.rate();
        let rows: [(&str, &str, f64); 12] = [
            (
                "requests_under_way",
                "Requests that have their turn.",
                requests.under_way as f64,
            ),
            (
                "requests_waiting",
                "Requests that wait for their turn.",
                requests.waiting as f64,
            ),
            (
                "requests_beyond_shares",
                "Requests under way beyond the shares of their tenants.",
                requests.beyond as f64,
            ),
            (
                "requests_spare",
                "How many may be, while several tenants are served.",
                spare as f64,
            ),
            (
                "queries_under_way",
                "Long queries that have their turn.",
                queries.under_way as f64,
            ),
            (
                "queries_waiting",
                "Long queries that wait for their turn.",
                queries.waiting as f64,
            ),
            (
                "searches_under_way",
                "Long searches that have their turn.",
                searches.under_way as f64,
            ),
            (
                "searches_waiting",
                "Long searches that wait for their turn.",
                searches.waiting as f64,
            ),
            (
                "elastic_units_per_second",
                "What imports and other elastic work may take; 0: as much as there is.",
                rate.unwrap_or(0.0),
            ),
            (
                "elastic_bound",
                "1 while elastic work is bound because others are served.",
                f64::from(u8::from(rate.is_some())),
            ),
            ("accounts", "Tenants whose use is counted.", self.accounts.len() as f64),
            (
                "connections",
                "Connections of clients that count for a tenant, once for each.",
                self.accounts.connections() as f64,
            ),
        ];
        for (name, help, value) in rows {
            writeln!(
                out,
                "# HELP cloudnest_fair_{name} {help}\n# TYPE cloudnest_fair_{name} gauge\ncloudnest_fair_{name} {value}"
            )?;
        }
        self.write_totals(out)
    }

    fn write_totals(&self, out: &mut dyn Write) -> fmt::Result {
        let counted = |count: &AtomicU64| count.load(Ordering::Relaxed) as f64;
        let totals = [
            (
                "elastic_units_total",
                "Units that elastic work has taken.",
                self.elastic.all_taken(),
            ),
            (
                "connections_refused_total",
                "Connections that were refused because their tenants have as many as their plans give.",
                counted(&self.refused.connections),
            ),
            (
                "storage_refused_total",
                "Writes of records that were refused because their tenants store as much as their plans give.",
                counted(&self.refused.writes),
            ),
        ];
        for (name, help, value) in totals {
            writeln!(
                out,
                "# HELP cloudnest_fair_{name} {help}\n# TYPE cloudnest_fair_{name} counter\ncloudnest_fair_{name} {value}"
            )?;
        }
        Ok(())
    }
}
