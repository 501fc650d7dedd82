//! Two reports side by side: the ratios of their medians.

use std::fmt::Write;

use crate::report::{Report, Row, median};

/// A table of what the second has over the first. Rows that only one of them has are named below it.
pub fn compare(first: &Report, second: &Report) -> String {
    let mut out = String::from(
        "| workload | clients | throughput B/A | p50 B/A | p99 B/A | CPU B/A | fsyncs B/A |\n|---|---|---|---|---|---|---|\n",
    );
    let same = |a: &Row, b: &Row| a.workload == b.workload && a.at == b.at && a.clients == b.clients;
    for row in &first.rows {
        let Some(other) = second.rows.iter().find(|other| same(row, other)) else {
            continue;
        };
        let ratio = |pick: &dyn Fn(&Row) -> Option<f64>| match (pick(row), pick(other)) {
            (Some(a), Some(b)) if a > 0.0 => format!("{:.2}", b / a),
            _ => String::new(),
        };
        let clients = row.clients.map_or(String::new(), |clients| clients.to_string());
        let _ = writeln!(
            out,
            "| {} | {clients} | {} | {} | {} | {} | {} |",
            row.name(),
            ratio(&|row| median(row.runs.iter().map(|run| run.rate))),
            ratio(&|row| row.latency(|latency| latency.p50)),
            ratio(&|row| row.latency(|latency| latency.p99)),
            ratio(&|row| median(row.runs.iter().filter_map(|run| run.cpu_micros))),
            ratio(&|row| median(row.runs.iter().filter_map(|run| run.fsyncs))),
        );
    }
    for (name, own, others) in [("A", first, second), ("B", second, first)] {
        for row in own
            .rows
            .iter()
            .filter(|row| !others.rows.iter().any(|other| same(row, other)))
        {
            let _ = writeln!(
                out,
                "only in {name}: {} {}",
                row.name(),
                row.clients.map_or(String::new(), |clients| format!("({clients} clients)"))
            );
        }
    }
    let machine = |report: &Report| {
        let mut machine = report.machine.clone();
        // What else ran is not the machine.
        machine.remove("load before");
        machine
    };
    if machine(first) != machine(second) {
        out.push_str("The machines differ: the ratios are not of one sitting.\n");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Measured;

    #[test]
    fn ratios_are_of_medians_and_lonely_rows_are_named() {
        let row = |rate: f64| {
            Row::new(
                "W1",
                Some(16),
                vec![Measured {
                    rate,
                    ..Measured::default()
                }],
            )
        };
        let mut a = Report {
            rows: vec![row(100.0)],
            ..Report::default()
        };
        let b = Report {
            rows: vec![row(250.0)],
            ..Report::default()
        };
        a.rows.push(Row::new("W4", None, vec![]));
        let text = compare(&a, &b);
        assert!(text.contains("| W1 | 16 | 2.50 |"), "{text}");
        assert!(text.contains("only in A: W4"), "{text}");
    }
}
