//! The report as a Markdown table.

use std::fmt::Write;

use super::{Report, Row, median, ratio};

/// A figure with three significant digits; empty where there is none.
pub(super) fn figure(value: Option<f64>) -> String {
    match value {
        None => String::new(),
        Some(0.0) => "0".to_owned(),
        Some(value) if value.abs() >= 100.0 => format!("{value:.0}"),
        Some(value) if value.abs() >= 10.0 => format!("{value:.1}"),
        Some(value) if value.abs() >= 1.0 => format!("{value:.2}"),
        Some(value) => format!("{value:.3}"),
    }
}

pub(super) const COLUMNS: [&str; 10] = [
    "workload",
    "clients",
    "per second (least to most)",
    "p50 ms",
    "p95",
    "p99",
    "p99.9",
    "longest gap ms",
    "CPU µs",
    "fsyncs",
];

/// The cells of a row, in the order of [`COLUMNS`].
pub(super) fn cells(row: &Row) -> [String; 10] {
    let (least, most) = row.spread();
    let rate = figure(median(row.runs.iter().map(|run| run.rate)));
    let spread = if row.runs.len() > 1 {
        format!(" ({} to {})", figure(Some(least)), figure(Some(most)))
    } else {
        String::new()
    };
    [
        row.name(),
        row.clients.map_or(String::new(), |clients| clients.to_string()),
        rate + &spread,
        figure(row.latency(|latency| latency.p50)),
        figure(row.latency(|latency| latency.p95)),
        figure(row.latency(|latency| latency.p99)),
        figure(row.latency(|latency| latency.p999)),
        figure(row.runs.iter().filter_map(|run| run.longest_gap_ms).reduce(f64::max)),
        figure(median(row.runs.iter().filter_map(|run| run.cpu_micros))),
        figure(median(row.runs.iter().filter_map(|run| run.fsyncs))),
    ]
}

/// Lines below the table: further figures, latency by class, failures.
pub(super) fn remarks(report: &Report) -> Vec<String> {
    let mut lines = Vec::new();
    for row in &report.rows {
        let Some(run) = row.typical() else { continue };
        let name = row
            .clients
            .map_or(row.name(), |clients| format!("{}, {clients} clients", row.name()));
        for (what, value) in &run.more {
            lines.push(format!("{name}: {what} {}", figure(Some(*value))));
        }
        for (class, latency) in &run.by_class {
            lines.push(format!(
                "{name}: {class} p50 {} p95 {} p99 {} p99.9 {} max {} ms",
                figure(Some(latency.p50)),
                figure(Some(latency.p95)),
                figure(Some(latency.p99)),
                figure(Some(latency.p999)),
                figure(Some(latency.max))
            ));
        }
        for (number, run) in row.runs.iter().enumerate().filter(|(_, run)| !run.errors.is_empty()) {
            lines.push(format!("{name}: run {} had failures: {:?}", number + 1, run.errors));
        }
    }
    lines
}

pub(super) fn write(report: &Report) -> String {
    let mut out = format!(
        "# Measured {}\n\nCommit {}, {}.\n\n    {}\n\n",
        report.at, report.commit, report.program, report.command
    );
    for (name, value) in &report.machine {
        let _ = writeln!(out, "- {name}: {value}");
    }
    let _ = writeln!(out, "\n| {} |\n|{}", COLUMNS.join(" | "), "---|".repeat(COLUMNS.len()));
    for row in &report.rows {
        let _ = writeln!(out, "| {} |", cells(row).join(" | "));
    }
    if !report.ratios.is_empty() {
        let columns = ratio::COLUMNS;
        let _ = writeln!(out, "\n| {} |\n|{}", columns.join(" | "), "---|".repeat(columns.len()));
        for ratio in &report.ratios {
            let _ = writeln!(out, "| {} |", ratio.cells().join(" | "));
        }
    }
    out.push_str("\nMedians of the runs; the longest gap is that of the worst run. CPU and fsyncs are those of all replicas together for one operation.\n");
    for list in [remarks(report), report.notes.clone()]
        .into_iter()
        .filter(|list| !list.is_empty())
    {
        out.push('\n');
        list.iter().for_each(|line| out.push_str(&format!("- {line}\n")));
    }
    out
}
