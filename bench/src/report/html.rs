//! The report as one HTML file: no scripts, no other files, plots as inline SVG.

use std::fmt::Write;

use super::markdown::{COLUMNS, cells, remarks};
use super::plot::{Bar, Curve, bars, curves, escape};
use super::{MEMORY_MIB, Measured, Report, Row, median, ratio};

const STYLE: &str = "body{font:15px/1.5 system-ui,sans-serif;max-width:70em;margin:2em auto;padding:0 1em;color:#1b1f24;background:#fff}\
    table{border-collapse:collapse;width:100%;font-size:13px}td,th{border-bottom:1px solid #d5dae0;padding:.35em .5em;text-align:right}\
    td:first-child,th:first-child{text-align:left}pre{background:#f3f5f7;padding:.8em;overflow-x:auto}svg{max-width:100%;height:auto}\
    .plots{display:flex;flex-wrap:wrap;gap:1em}dl{display:grid;grid-template-columns:max-content 1fr;gap:.1em 1em}dt{color:#5b6570}dd{margin:0}";

pub(super) fn write(report: &Report) -> String {
    let mut out = String::from(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">",
    );
    let _ = write!(
        out,
        "<title>CloudNest, measured {}</title><style>{STYLE}</style></head><body>",
        escape(&report.at)
    );
    let _ = write!(out, "<h1>CloudNest, measured {}</h1><dl>", escape(&report.at));
    let facts = [("commit", &report.commit), ("program", &report.program)].into_iter();
    let machine = report.machine.iter().map(|(name, value)| (name.as_str(), value));
    for (name, value) in facts.chain(machine) {
        let _ = write!(out, "<dt>{}</dt><dd>{}</dd>", escape(name), escape(value));
    }
    let _ = write!(out, "</dl><p>To repeat it:</p><pre>{}</pre>", escape(&report.command));
    out.push_str(
        "<h2>Throughput</h2><p>The median of the runs; the line goes from the least to the most.</p><div class=\"plots\">",
    );
    for (name, rows) in groups(report) {
        // What is at rest has no rate.
        let rate = |run: &Measured| Some(run.rate).filter(|rate| *rate > 0.0);
        let drawn: Vec<_> = rows.iter().filter_map(|row| bar(row, rate)).collect();
        if !drawn.is_empty() {
            out.push_str(&bars(name, "clients; operations a second", &drawn));
        }
    }
    let memory = memory(report);
    if !memory.is_empty() {
        let _ = write!(out, "</div><h2>Memory</h2><div class=\"plots\">{memory}");
    }
    out.push_str("</div><h2>Latency</h2><p>The run in the middle. To the right the slower ones: one in ten, in a hundred, in a thousand.</p><div class=\"plots\">");
    for (name, rows) in groups(report) {
        let lines: Vec<_> = rows.iter().filter_map(|row| curve(row)).collect();
        if !lines.is_empty() {
            out.push_str(&curves(name, &lines));
        }
    }
    out.push_str("</div><h2>Figures</h2>");
    table(report, &mut out);
    out.push_str("</body></html>\n");
    out
}

fn table(report: &Report, out: &mut String) {
    let line = |tag: &str, cells: &[&str]| {
        let cells: String = cells.iter().map(|cell| format!("<{tag}>{}</{tag}>", escape(cell))).collect();
        format!("<tr>{cells}</tr>")
    };
    let mut table = |columns: &[&str], lines: String| {
        let head = line("th", columns);
        let _ = write!(out, "<table><thead>{head}</thead><tbody>{lines}</tbody></table>");
    };
    let rows = report.rows.iter();
    table(
        &COLUMNS,
        rows.map(|row| line("td", &cells(row).each_ref().map(String::as_str)))
            .collect(),
    );
    if !report.ratios.is_empty() {
        let ratios = report.ratios.iter();
        table(
            &ratio::COLUMNS,
            ratios
                .map(|ratio| line("td", &ratio.cells().each_ref().map(String::as_str)))
                .collect(),
        );
    }
    out.push_str("<p>CPU and fsyncs are those of all replicas together for one operation.</p><ul>");
    for remark in remarks(report).iter().chain(&report.notes) {
        let _ = write!(out, "<li>{}</li>", escape(remark));
    }
    out.push_str("</ul>");
}

/// Rows of one workload together, in the order of the report.
fn groups(report: &Report) -> Vec<(&str, Vec<&Row>)> {
    let mut groups: Vec<(&str, Vec<&Row>)> = Vec::new();
    for row in report.rows.iter().filter(|row| !row.runs.is_empty()) {
        match groups.iter_mut().find(|(name, _)| *name == row.workload) {
            Some((_, rows)) => rows.push(row),
            None => groups.push((&row.workload, vec![row])),
        }
    }
    groups
}

fn label(row: &Row) -> String {
    let clients = row.clients.map(|clients| clients.to_string());
    let parts: Vec<_> = row.at.iter().cloned().chain(clients).collect();
    parts.join(", ")
}

/// A picture for each workload whose runs tell it.
fn memory(report: &Report) -> String {
    let of = |run: &Measured| run.more.get(MEMORY_MIB).copied();
    let drawn = groups(report).into_iter().map(|(name, rows)| {
        let drawn: Vec<_> = rows.iter().filter_map(|row| bar(row, of)).collect();
        (name, drawn)
    });
    let drawn = drawn.filter(|(_, drawn)| !drawn.is_empty());
    drawn
        .map(|(name, drawn)| bars(name, &format!("clients; {MEMORY_MIB}"), &drawn))
        .collect()
}

/// The bar of a figure: its median, least and most over the runs that have it.
fn bar(row: &Row, of: impl Fn(&Measured) -> Option<f64>) -> Option<Bar> {
    let values = || row.runs.iter().filter_map(&of);
    Some(Bar {
        label: label(row),
        value: median(values())?,
        least: values().reduce(f64::min)?,
        most: values().reduce(f64::max)?,
    })
}

fn curve(row: &Row) -> Option<Curve> {
    let points = row.typical()?.latency.as_ref()?.curve.clone();
    Some(Curve {
        label: format!("{} clients", label(row)),
        points,
    })
}
