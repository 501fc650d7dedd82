//! How long moves have held writes, as the nodes count it.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result};
use rig::cluster::Cluster;

/// The histogram.
const METRIC: &str = "cloudnest_move_hold_seconds";
/// How long a node may take to answer with its metrics.
const TIMEOUT: Duration = Duration::from_secs(5);

/// The histogram summed over all nodes: what stands behind its name, and the value.
#[derive(Clone, Debug, Default)]
pub struct Holds(BTreeMap<String, f64>);

impl Holds {
    /// All holds so far. Blocks.
    pub fn of(cluster: &Cluster) -> Result<Self> {
        let mut sum = Self::default();
        for address in cluster.addresses() {
            let body = rig::http::get(address, "/metrics", cluster.operator_token(), TIMEOUT)?;
            sum.add(&String::from_utf8_lossy(&body))?;
        }
        Ok(sum)
    }

    fn add(&mut self, text: &str) -> Result<()> {
        for line in text.lines().filter_map(|line| line.strip_prefix(METRIC)) {
            let (name, value) = line.rsplit_once(' ').with_context(|| format!("read the metric {line:?}"))?;
            let value: f64 = value.parse().with_context(|| format!("read the metric {line:?}"))?;
            *self.0.entry(name.to_owned()).or_default() += value;
        }
        Ok(())
    }

    /// What came after an earlier look.
    pub fn since(&self, before: &Self) -> Self {
        let earlier = |name: &str| before.0.get(name).copied().unwrap_or_default();
        let names = self.0.iter();
        Self(names.map(|(name, value)| (name.clone(), value - earlier(name))).collect())
    }

    /// Number and sum, and of the buckets those with a hold in them: figures by name.
    pub fn figures(&self) -> Vec<(String, f64)> {
        let value = |name: &str| self.0.get(name).copied().unwrap_or_default();
        let mut figures = vec![
            ("holds".to_owned(), value("_count")),
            ("holds, ms all together".to_owned(), value("_sum") * 1e3),
        ];
        let mut below = 0.0;
        for (bound, count) in self.buckets() {
            if count > below {
                figures.push((format!("holds of at most {bound} s"), count));
            }
            below = count;
        }
        figures
    }

    /// The buckets' bounds in order, and how many holds were at most so long.
    fn buckets(&self) -> Vec<(f64, f64)> {
        let mut buckets: Vec<(f64, f64)> = Vec::new();
        for (name, count) in &self.0 {
            let bound = name.strip_prefix("_bucket{le=\"").and_then(|rest| rest.strip_suffix("\"}"));
            let bound = bound.map(|bound| bound.parse().unwrap_or(f64::INFINITY));
            buckets.extend(bound.map(|bound| (bound, *count)));
        }
        buckets.sort_by(|one, other| one.0.total_cmp(&other.0));
        buckets
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_are_summed_and_what_was_before_is_taken_off() {
        let name = METRIC;
        let text = |counts: [u64; 3], sum: f64| {
            let [small, large, all] = counts;
            format!(
                "# HELP {name} How long.\n{name}_bucket{{le=\"0.05\"}} {small}\n{name}_bucket{{le=\"0.1\"}} {large}\n\
                 {name}_bucket{{le=\"+Inf\"}} {all}\n{name}_sum {sum}\n{name}_count {all}\nother 7\n"
            )
        };
        let (mut before, mut after) = (Holds::default(), Holds::default());
        before.add(&text([1, 1, 1], 0.02)).unwrap();
        after.add(&text([2, 2, 2], 0.05)).unwrap();
        after.add(&text([0, 0, 1], 0.25)).unwrap();
        let figures = after.since(&before).figures();
        let names: Vec<_> = figures.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(
            names,
            [
                "holds",
                "holds, ms all together",
                "holds of at most 0.05 s",
                "holds of at most inf s"
            ]
        );
        let values: Vec<_> = figures.iter().map(|(_, value)| (value * 1e3).round()).collect();
        assert_eq!(values, [2_000.0, 280_000.0, 1_000.0, 2_000.0]);
    }
}
