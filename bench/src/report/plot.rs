//! Small plots as SVG: bars with their spread, and latency by percentile.

use std::fmt::Write;

use super::markdown::figure;

const WIDTH: f64 = 460.0;
const HEIGHT: f64 = 260.0;
/// The drawing area inside the picture: left, top, right, bottom.
const LEFT: f64 = 58.0;
const TOP: f64 = 34.0;
const RIGHT: f64 = WIDTH - 12.0;
const BOTTOM: f64 = HEIGHT - 34.0;
/// Told apart also by people who do not see red or green (Okabe and Ito, 2008).
const COLOURS: [&str; 6] = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9"];

/// A bar.
pub(super) struct Bar {
    pub(super) label: String,
    pub(super) value: f64,
    pub(super) least: f64,
    pub(super) most: f64,
}

/// A line of (quantile, milliseconds).
pub(super) struct Curve {
    pub(super) label: String,
    pub(super) points: Vec<(f64, f64)>,
}

/// A text inside HTML or SVG.
pub(super) fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

fn open(title: &str) -> String {
    let title = escape(title);
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" width=\"{WIDTH}\" role=\"img\" aria-label=\"{title}\" \
         font-family=\"system-ui,sans-serif\" font-size=\"11\"><text x=\"{LEFT}\" y=\"18\" font-size=\"13\" font-weight=\"600\">{title}</text>"
    )
}

fn text(out: &mut String, x: f64, y: f64, anchor: &str, text: &str) {
    let _ = write!(
        out,
        "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\" fill=\"#3b434b\">{}</text>",
        escape(text)
    );
}

fn line(out: &mut String, from: (f64, f64), to: (f64, f64), colour: &str, width: f64) {
    let ((x1, y1), (x2, y2)) = (from, to);
    let _ = write!(
        out,
        "<line x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\" stroke=\"{colour}\" stroke-width=\"{width}\"/>"
    );
}

/// The least round number (1, 2 or 5 times a power of ten) that is not below `value`.
fn round_up(value: f64) -> f64 {
    if value <= 0.0 || !value.is_finite() {
        return 1.0;
    }
    let power = 10_f64.powf(value.log10().floor());
    [1.0, 2.0, 5.0, 10.0]
        .into_iter()
        .map(|step| step * power)
        .find(|round| *round >= value * (1.0 - 1e-9))
        .unwrap_or(10.0 * power)
}

/// Bars from zero, with a line from least to most. `legend`: what stands below them, and what they are.
pub(super) fn bars(title: &str, legend: &str, bars: &[Bar]) -> String {
    let mut out = open(title);
    let top = round_up(bars.iter().map(|bar| bar.most.max(bar.value)).fold(0.0, f64::max));
    let y = |value: f64| BOTTOM - (BOTTOM - TOP) * value / top;
    for step in 0..=4 {
        let value = top * f64::from(step) / 4.0;
        line(&mut out, (LEFT, y(value)), (RIGHT, y(value)), "#e3e7eb", 1.0);
        text(&mut out, LEFT - 6.0, y(value) + 4.0, "end", &figure(Some(value)));
    }
    let slot = (RIGHT - LEFT) / bars.len().max(1) as f64;
    for (at, bar) in bars.iter().enumerate() {
        let middle = LEFT + slot * (at as f64 + 0.5);
        let width = (slot * 0.6).min(70.0);
        let _ = write!(
            out,
            "<rect x=\"{:.1}\" y=\"{:.1}\" width=\"{width:.1}\" height=\"{:.1}\" fill=\"{}\"/>",
            middle - width / 2.0,
            y(bar.value),
            BOTTOM - y(bar.value),
            COLOURS[0]
        );
        line(&mut out, (middle, y(bar.least)), (middle, y(bar.most)), "#1b1f24", 1.5);
        text(
            &mut out,
            middle,
            y(bar.most.max(bar.value)) - 5.0,
            "middle",
            &figure(Some(bar.value)),
        );
        text(&mut out, middle, BOTTOM + 15.0, "middle", &bar.label);
    }
    text(&mut out, RIGHT, HEIGHT - 5.0, "end", legend);
    out + "</svg>"
}

/// Where a quantile stands: each further nine takes the same width, up to 99.99 %.
fn nines(quantile: f64) -> f64 {
    (-(1.0 - quantile).max(1e-4).log10() / 4.0).clamp(0.0, 1.0)
}

/// Latency by percentile, both axes logarithmic.
pub(super) fn curves(title: &str, curves: &[Curve]) -> String {
    let mut out = open(title);
    let values = || {
        curves
            .iter()
            .flat_map(|curve| &curve.points)
            .map(|(_, value)| value.max(1e-3))
    };
    let low = values().fold(f64::INFINITY, f64::min).log10().floor();
    let high = values().fold(0.0, f64::max).log10().ceil().max(low + 1.0);
    let y = |value: f64| BOTTOM - (BOTTOM - TOP) * ((value.max(1e-3).log10() - low) / (high - low));
    let x = |quantile: f64| LEFT + (RIGHT - LEFT) * nines(quantile);
    let mut power = low;
    while power <= high {
        let value = 10_f64.powf(power);
        line(&mut out, (LEFT, y(value)), (RIGHT, y(value)), "#e3e7eb", 1.0);
        text(&mut out, LEFT - 6.0, y(value) + 4.0, "end", &format!("{value} ms"));
        power += 1.0;
    }
    for (quantile, name) in [
        (0.0, "0"),
        (0.5, "50 %"),
        (0.9, "90 %"),
        (0.99, "99 %"),
        (0.999, "99.9 %"),
        (0.9999, "99.99 %"),
    ] {
        line(&mut out, (x(quantile), TOP), (x(quantile), BOTTOM), "#eef1f3", 1.0);
        text(
            &mut out,
            x(quantile),
            BOTTOM + 15.0,
            if quantile > 0.9995 { "end" } else { "middle" },
            name,
        );
    }
    for (at, curve) in curves.iter().enumerate() {
        let colour = COLOURS[at % COLOURS.len()];
        let points: Vec<_> = curve
            .points
            .iter()
            .map(|(quantile, value)| format!("{:.1},{:.1}", x(*quantile), y(*value)))
            .collect();
        let _ = write!(
            out,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.8\"/>",
            points.join(" ")
        );
        let height = TOP + 12.0 + 14.0 * at as f64;
        line(&mut out, (LEFT + 8.0, height - 4.0), (LEFT + 24.0, height - 4.0), colour, 2.5);
        text(&mut out, LEFT + 30.0, height, "start", &curve.label);
    }
    out + "</svg>"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_end_at_round_numbers() {
        for (value, round) in [
            (0.0, 1.0),
            (1.0, 1.0),
            (1.1, 2.0),
            (4_300.0, 5_000.0),
            (5_001.0, 10_000.0),
            (0.03, 0.05),
        ] {
            assert!(
                (round_up(value) - round).abs() < 1e-9 * round,
                "{value} gives {}",
                round_up(value)
            );
        }
    }

    #[test]
    fn each_nine_takes_the_same_width() {
        assert!(nines(0.0).abs() < 1e-9);
        assert!((nines(0.9) - 0.25).abs() < 1e-9);
        assert!((nines(0.99) - 0.5).abs() < 1e-9);
        assert!((nines(1.0) - 1.0).abs() < 1e-9);
    }

    #[test]
    fn everything_is_drawn_inside_the_picture() {
        let curve = Curve {
            label: "16 clients".to_owned(),
            points: vec![(0.0, 0.2), (0.5, 1.0), (0.999, 180.0), (1.0, 5_000.0)],
        };
        let svg = curves("W1", &[curve]);
        let points = svg.split("points=\"").nth(1).unwrap().split('"').next().unwrap();
        for point in points.split(' ') {
            let (x, y) = point.split_once(',').unwrap();
            let (x, y): (f64, f64) = (x.parse().unwrap(), y.parse().unwrap());
            assert!((LEFT..=RIGHT).contains(&x) && (TOP..=BOTTOM).contains(&y), "{point}");
        }
    }
}
