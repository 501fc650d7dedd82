//! What was measured, in a form that machines read (JSON) and two that people read (`markdown`, `html`).

mod html;
mod markdown;
mod plot;
mod ratio;

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result};
pub use ratio::Ratio;
use rig::load::Outcome;
use serde::{Deserialize, Serialize};

/// Quantiles of a latency curve: from the median to one in ten thousand.
const CURVE: [f64; 14] = [
    0.0, 0.25, 0.5, 0.75, 0.9, 0.95, 0.975, 0.99, 0.995, 0.9975, 0.999, 0.9995, 0.9999, 1.0,
];

/// The further figure of which a picture is drawn: resident memory of one node's process, the mean over the nodes.
pub const MEMORY_MIB: &str = "MiB of memory a node";

/// A report of one sitting.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// The version of this format.
    pub format: u32,
    /// When it was measured, RFC 3339 UTC.
    pub at: String,
    /// The command that repeats it.
    pub command: String,
    /// The commit that was checked out, with `-dirty` where files were changed.
    pub commit: String,
    /// What the program says of itself.
    pub program: String,
    /// The machine.
    pub machine: BTreeMap<String, String>,
    /// What the reader must know.
    pub notes: Vec<String>,
    /// The figures.
    pub rows: Vec<Row>,
    /// One program over another, where several took turns.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ratios: Vec<Ratio>,
}

/// What an experiment found: the part of a report that it knows.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Findings {
    /// The figures.
    pub rows: Vec<Row>,
    /// One program over another.
    pub ratios: Vec<Ratio>,
    /// What the reader must know of it.
    pub notes: Vec<String>,
}

impl From<Vec<Row>> for Findings {
    fn from(rows: Vec<Row>) -> Self {
        Self { rows, ..Self::default() }
    }
}

/// A workload with a number of clients.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// Its name.
    pub workload: String,
    /// What tells it from the other rows of the workload besides the connections: a program, a size.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<String>,
    /// Connections, where they mean something.
    pub clients: Option<usize>,
    /// The runs, in the order in which they were made.
    pub runs: Vec<Measured>,
}

impl Row {
    /// This row's runs, then those of another row of the same workload, whose name counts.
    pub fn and(self, other: Row) -> Row {
        let runs = [self.runs, other.runs].concat();
        Row { runs, ..other }
    }
}

/// One run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Measured {
    /// Operations (or records, or tenants) a second.
    pub rate: f64,
    /// Seconds that it took.
    pub seconds: f64,
    /// Latency of the successes.
    pub latency: Option<Latency>,
    /// The same by class, where there are several.
    pub by_class: BTreeMap<String, Latency>,
    /// The longest time without a success, in milliseconds.
    pub longest_gap_ms: Option<f64>,
    /// Processor time of all replicas for one operation, in microseconds.
    pub cpu_micros: Option<f64>,
    /// Fsyncs of all replicas' logs for one operation.
    pub fsyncs: Option<f64>,
    /// Failures by kind.
    pub errors: BTreeMap<String, u64>,
    /// Further figures by name, the unit in the name.
    pub more: BTreeMap<String, f64>,
}

/// Latency in milliseconds.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Latency {
    /// Half were faster.
    pub p50: f64,
    /// 95 % were faster.
    pub p95: f64,
    /// 99 % were faster.
    pub p99: f64,
    /// 99.9 % were faster.
    pub p999: f64,
    /// The slowest.
    pub max: f64,
    /// Quantile and latency, for a plot.
    pub curve: Vec<(f64, f64)>,
}

impl Latency {
    /// The figures of a histogram of microseconds.
    pub fn of(histogram: &hdrhistogram::Histogram<u64>) -> Self {
        let at = |quantile: f64| histogram.value_at_quantile(quantile) as f64 / 1e3;
        let curve = CURVE.iter().map(|quantile| (*quantile, at(*quantile))).collect();
        Self {
            p50: at(0.5),
            p95: at(0.95),
            p99: at(0.99),
            p999: at(0.999),
            max: histogram.max() as f64 / 1e3,
            curve,
        }
    }
}

impl Measured {
    /// The figures of a run of load. `writes`: fsyncs mean something.
    pub fn of(outcome: &Outcome, writes: bool) -> Self {
        let several = outcome.by_class.len() > 1;
        let classes = outcome.by_class.iter().filter(|_| several);
        Self {
            rate: outcome.rate(),
            seconds: outcome.window.as_secs_f64(),
            latency: Some(Latency::of(&outcome.latency)),
            by_class: classes
                .map(|(name, histogram)| ((*name).to_owned(), Latency::of(histogram)))
                .collect(),
            longest_gap_ms: Some(outcome.longest_gap.as_secs_f64() * 1e3),
            cpu_micros: outcome.cpu_micros_per_success(),
            fsyncs: outcome.fsyncs_per_success().filter(|_| writes),
            errors: outcome.errors.clone(),
            more: BTreeMap::new(),
        }
    }
}

impl Row {
    /// A row of runs.
    pub fn new(workload: &str, clients: Option<usize>, runs: Vec<Measured>) -> Self {
        Self {
            workload: workload.to_owned(),
            at: None,
            clients,
            runs,
        }
    }

    /// The same row, told from others of its workload by this.
    #[must_use]
    pub fn at(self, at: &str) -> Self {
        let at = Some(at.to_owned());
        Self { at, ..self }
    }

    /// Its name with what tells it from others, without the connections.
    pub fn name(&self) -> String {
        match &self.at {
            Some(at) => format!("{}: {at}", self.workload),
            None => self.workload.clone(),
        }
    }

    /// The median of a latency over the runs.
    pub fn latency(&self, pick: impl Fn(&Latency) -> f64) -> Option<f64> {
        median(self.runs.iter().filter_map(|run| run.latency.as_ref()).map(pick))
    }

    /// The run whose rate is the median's.
    fn typical(&self) -> Option<&Measured> {
        let mut runs: Vec<_> = self.runs.iter().collect();
        runs.sort_by(|a, b| a.rate.total_cmp(&b.rate));
        runs.get(runs.len().saturating_sub(1) / 2).copied()
    }

    /// Least and most of the rates.
    fn spread(&self) -> (f64, f64) {
        let rates = || self.runs.iter().map(|run| run.rate);
        (rates().fold(f64::INFINITY, f64::min), rates().fold(0.0, f64::max))
    }
}

/// The median; of an even number the mean of the two in the middle. `None` of nothing.
pub fn median(values: impl Iterator<Item = f64>) -> Option<f64> {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => None,
        odd if odd % 2 == 1 => Some(values[middle]),
        _ => Some((values[middle - 1] + values[middle]) / 2.0),
    }
}

impl Report {
    /// The report in Markdown.
    pub fn to_markdown(&self) -> String {
        markdown::write(self)
    }

    /// The report as one HTML file.
    pub fn to_html(&self) -> String {
        html::write(self)
    }

    /// Writes `report.json`, `report.md` and `report.html`.
    pub fn save(&self, directory: &Path) -> Result<()> {
        std::fs::create_dir_all(directory).with_context(|| format!("make {}", directory.display()))?;
        let json = serde_json::to_string_pretty(self).context("write the report as JSON")?;
        for (name, text) in [
            ("report.json", json),
            ("report.md", self.to_markdown()),
            ("report.html", self.to_html()),
        ] {
            let path = directory.join(name);
            std::fs::write(&path, text).with_context(|| format!("write {}", path.display()))?;
        }
        Ok(())
    }

    /// Refuses a report of which a run had failures.
    pub fn without_failures(&self) -> Result<()> {
        let mut failures = self.rows.iter().flat_map(|row| &row.runs).flat_map(|run| &run.errors);
        match failures.next() {
            Some((kind, count)) => anyhow::bail!("a run had failures, such as {kind} ({count} times)"),
            None => Ok(()),
        }
    }

    /// Reads a `report.json`.
    pub fn load(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).with_context(|| format!("read {}", path.display()))?;
        serde_json::from_str(&text).with_context(|| format!("parse {}", path.display()))
    }
}

#[cfg(test)]
mod tests;
