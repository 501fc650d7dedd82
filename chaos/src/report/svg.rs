//! The pictures of a report, as SVG: a timeline of faults and leaders, and curves under it on the same axis.

use std::fmt::Write;

use super::figures::{Figures, Second};
use super::html::escape;
use crate::run::Account;

const WIDTH: f64 = 1_100.0;
const LEFT: f64 = 130.0;
const ROW: f64 = 20.0;
const CURVE: f64 = 110.0;
/// One colour a node, then one for what is not known.
const COLOURS: [&str; 5] = ["#3b7dd8", "#d8843b", "#4aa564", "#9b59b6", "#999"];

/// From microseconds of a run to its place.
struct Axis {
    run_us: f64,
}

impl Axis {
    fn x(&self, us: u64) -> f64 {
        LEFT + (us as f64 / self.run_us).min(1.0) * (WIDTH - LEFT - 10.0)
    }
}

/// Faults by node, and leaders by group.
pub(super) fn timeline(account: &Account) -> String {
    let axis = Axis {
        run_us: (account.plan.run_ms * 1_000).max(1) as f64,
    };
    let mut rows = String::new();
    let mut y = 6.0;
    for one in &account.fired {
        let (from, to) = (axis.x(one.at_us), axis.x(one.healed_us));
        let colour = if one.trouble.is_some() { "#999" } else { "#c0392b" };
        label(&mut rows, y, &one.fault);
        let title = escape(&format!(
            "{} on {}: {}",
            one.fault,
            one.nodes.join(", "),
            one.trouble.as_deref().unwrap_or(&one.said)
        ));
        let _ = write!(
            rows,
            "<rect x='{from:.1}' y='{y:.1}' width='{:.1}' height='13' fill='{colour}' opacity='.75'><title>{title}</title></rect>\
             <text x='{:.1}' y='{:.1}' class='s'>{}</text>",
            (to - from).max(2.0),
            (to + 4.0).min(WIDTH - 150.0),
            y + 11.0,
            escape(&one.nodes.join(" "))
        );
        y += ROW;
    }
    let groups: std::collections::BTreeSet<_> = account.leaders.iter().map(|one| one.group.as_str()).collect();
    for group in groups {
        label(&mut rows, y, group);
        let seen: Vec<_> = account.leaders.iter().filter(|one| one.group == group).collect();
        for (place, one) in seen.iter().enumerate() {
            let until = seen.get(place + 1).map_or(account.plan.run_ms * 1_000, |next| next.at_us);
            let (from, to) = (axis.x(one.at_us), axis.x(until));
            let title = escape(&format!("{} in term {}", one.leader.as_deref().unwrap_or("nobody"), one.term));
            let _ = write!(
                rows,
                "<rect x='{from:.1}' y='{y:.1}' width='{:.1}' height='13' fill='{}'><title>{title}</title></rect>",
                (to - from).max(1.0),
                colour(one.leader.as_deref())
            );
        }
        y += ROW;
    }
    frame(y + 4.0, &rows)
}

/// A node's colour: by the letter that its name ends with.
fn colour(node: Option<&str>) -> &'static str {
    let letter = node.and_then(|name| name.bytes().last()).unwrap_or(b'z');
    COLOURS[usize::from(letter.saturating_sub(b'a')).min(COLOURS.len() - 1)]
}

/// A curve and its name.
type Curve = (&'static str, fn(&Second) -> f64, &'static str);

/// Throughput, errors and latency, second by second.
pub(super) fn curves(figures: &Figures) -> String {
    let throughput: [Curve; 3] = [
        ("acknowledged/s", |one| one.acknowledged as f64, "#4aa564"),
        ("failed/s", |one| one.failed as f64, "#d8843b"),
        ("unknown/s", |one| one.unknown as f64, "#c0392b"),
    ];
    let latency: [Curve; 2] = [
        ("p50 ms", |one| one.p50_ms, "#3b7dd8"),
        ("p99 ms", |one| one.p99_ms, "#9b59b6"),
    ];
    plot(&figures.seconds, &throughput) + &plot(&figures.seconds, &latency)
}

fn plot(seconds: &[Second], curves: &[Curve]) -> String {
    let axis = Axis {
        run_us: (seconds.len().max(1) * 1_000_000) as f64,
    };
    let most = curves
        .iter()
        .flat_map(|(_, value, _)| seconds.iter().map(value))
        .fold(1.0, f64::max);
    let mut rows = format!("<text x='{LEFT}' y='10' class='s'>{most:.0}</text>");
    for (place, (name, value, colour)) in curves.iter().enumerate() {
        let points = seconds.iter().enumerate().map(|(at, second)| {
            let x = axis.x(at as u64 * 1_000_000 + 500_000);
            format!("{x:.1},{:.1}", CURVE - value(second) / most * (CURVE - 14.0))
        });
        let points = points.collect::<Vec<_>>().join(" ");
        let _ = write!(
            rows,
            "<polyline points='{points}' fill='none' stroke='{colour}' stroke-width='1.6'/>\
             <text x='4' y='{:.1}' fill='{colour}'>{name}</text>",
            24.0 + 16.0 * place as f64
        );
    }
    let _ = write!(
        rows,
        "<line x1='{LEFT}' y1='{CURVE}' x2='{WIDTH}' y2='{CURVE}' stroke='#999'/>"
    );
    frame(CURVE + 6.0, &rows)
}

fn label(rows: &mut String, y: f64, text: &str) {
    let _ = write!(rows, "<text x='4' y='{:.1}'>{}</text>", y + 11.0, escape(text));
}

fn frame(height: f64, rows: &str) -> String {
    format!("<svg viewBox='0 0 {WIDTH} {height:.0}' width='100%' role='img'>{rows}</svg>")
}
