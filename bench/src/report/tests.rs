//! What a report shows.

use super::*;

fn latency(p50: f64) -> Latency {
    Latency {
        p50,
        p95: p50 * 2.0,
        p99: p50 * 4.0,
        p999: p50 * 8.0,
        max: p50 * 10.0,
        curve: CURVE.map(|quantile| (quantile, p50 * (1.0 + quantile))).to_vec(),
    }
}

fn report() -> Report {
    let run = |rate: f64| Measured {
        rate,
        latency: Some(latency(1_000.0 / rate)),
        longest_gap_ms: Some(12.0),
        cpu_micros: Some(80.0),
        fsyncs: Some(0.19),
        ..Measured::default()
    };
    let mut broken = run(90.0);
    broken.errors.insert("503 unavailable".to_owned(), 3);
    broken.more.insert("log bytes a record and node".to_owned(), 431.2);
    Report {
        format: 1,
        at: "2026-11-22T10:00:00Z".to_owned(),
        command: "cloudnest-bench run --workload w1".to_owned(),
        commit: "0123456".to_owned(),
        program: "cloudnest 0.1.0 <test>".to_owned(),
        machine: BTreeMap::from([("cores".to_owned(), "2".to_owned())]),
        notes: vec!["loader and replicas share the cores".to_owned()],
        rows: vec![
            Row::new("W1 create", Some(16), vec![run(100.0), run(300.0), run(110.0)]),
            Row::new("W1 create", Some(64), vec![broken]),
        ],
        ratios: Vec::new(),
    }
}

#[test]
fn markdown_shows_medians_spread_and_failures() {
    let text = report().to_markdown();
    assert!(
        text.contains("| W1 create | 16 | 110 (100 to 300) | 9.09 | 18.2 | 36.4 | 72.7 | 12.0 | 80.0 | 0.190 |"),
        "{text}"
    );
    assert!(text.contains("run 1 had failures: {\"503 unavailable\": 3}"), "{text}");
    assert!(text.contains("log bytes a record and node 431"), "{text}");
    assert!(text.contains("    cloudnest-bench run --workload w1"), "{text}");
}

#[test]
fn ratios_and_what_tells_rows_apart_are_shown() {
    let mut report = report();
    report.rows[0] = report.rows[0].clone().at("this <one>");
    report.ratios.push(Ratio {
        workload: "W1 create".to_owned(),
        clients: 16,
        of: "this".to_owned(),
        over: "that".to_owned(),
        rounds: vec![1.25, 2.5, 1.5],
    });
    let text = report.to_markdown();
    assert!(
        text.contains("| W1 create | 16 | this | that | 1.50 (1.25 to 2.50) |"),
        "{text}"
    );
    assert!(text.contains("| W1 create: this <one> | 16 | 110 (100 to 300) |"), "{text}");
    let html = report.to_html();
    assert_eq!(html.matches("<table>").count(), 2);
    assert!(html.contains("<td>1.50 (1.25 to 2.50)</td>") && html.contains("W1 create: this &lt;one&gt;"));
    assert!(html.contains(">this &lt;one&gt;, 16</text>"), "a bar has its name");
    assert_eq!(html.matches("<svg").count(), 2, "rows that are told apart share a picture");
}

#[test]
fn memory_has_a_picture_where_it_was_looked_at() {
    let mut report = report();
    assert!(!report.to_html().contains("<h2>Memory</h2>"));
    let at_rest = Measured {
        more: BTreeMap::from([(MEMORY_MIB.to_owned(), 123.0)]),
        ..Measured::default()
    };
    report.rows.push(Row::new("at rest", None, vec![at_rest]));
    let html = report.to_html();
    assert!(html.contains("<h2>Memory</h2>") && html.contains(">123</text>"));
    assert_eq!(html.matches("<svg").count(), 3, "what is at rest has no rate to be drawn");
}

#[test]
fn failures_of_any_run_are_refused() {
    let mut report = report();
    let refused = report.without_failures().unwrap_err().to_string();
    assert!(refused.contains("503 unavailable (3 times)"), "{refused}");
    report.rows.pop();
    report.without_failures().unwrap();
}

#[test]
fn html_is_one_file_without_scripts_and_well_formed() {
    let html = report().to_html();
    assert_eq!(html.matches("<svg").count(), 2, "bars and curves of one workload");
    assert!(!html.contains("<script") && !html.contains("src=") && !html.contains("href="));
    assert!(html.contains("cloudnest 0.1.0 &lt;test&gt;"));
    for tag in ["svg", "table", "tr", "td", "div", "ul", "dl", "body", "html"] {
        let opened = html.matches(&format!("<{tag}>")).count() + html.matches(&format!("<{tag} ")).count();
        assert_eq!(opened, html.matches(&format!("</{tag}>")).count(), "{tag}");
    }
}

#[test]
fn a_report_is_read_back_as_it_was_saved() {
    let directory = tempfile::tempdir().unwrap();
    report().save(&directory.path().join("out")).unwrap();
    let read = Report::load(&directory.path().join("out/report.json")).unwrap();
    // As text: the JSON parser may be off by the last bit of a number.
    assert_eq!(read.to_html(), report().to_html());
}

#[test]
fn medians() {
    assert_eq!(median([3.0, 1.0, 2.0].into_iter()), Some(2.0));
    assert_eq!(median([4.0, 1.0, 2.0, 3.0].into_iter()), Some(2.5));
    assert_eq!(median(std::iter::empty()), None);
}
