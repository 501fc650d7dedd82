//! A report as one HTML page that needs nothing else.

use std::fmt::Write;

use super::markdown::{details, verdict_word};
use super::{Figures, svg};
use crate::run::Account;

const STYLE: &str = "body{font:14px/1.45 system-ui,sans-serif;margin:24px auto;max-width:1140px;padding:0 16px;color:#222;background:#fff}\
table{border-collapse:collapse;width:100%;margin:12px 0}td,th{border-bottom:1px solid #ddd;padding:4px 8px;text-align:left;vertical-align:top}\
svg text{font:11px system-ui,sans-serif;fill:currentColor}svg text.s{font-size:10px;opacity:.7}\
code{background:#f3f3f3;padding:2px 5px;border-radius:3px}.green{color:#2d7a43}.VIOLATED{color:#b3261e}.INVALID{color:#a05a00}\
@media(prefers-color-scheme:dark){body{background:#16181b;color:#ddd}td,th{border-color:#333}code{background:#26292e}}";

/// A text inside HTML.
pub(super) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '\'' => out.push_str("&#39;"),
            '"' => out.push_str("&quot;"),
            c => out.push(c),
        }
    }
    out
}

/// The page of one run.
pub(super) fn page(account: &Account, figures: &Figures) -> String {
    let word = verdict_word(&account.verdict);
    let mut out = format!(
        "<!doctype html><html lang='en'><meta charset='utf-8'><meta name='viewport' content='width=device-width'>\
         <title>Seed {seed}: {word}</title><style>{STYLE}</style>\
         <h1>Seed {seed}: <span class='{word}'>{word}</span></h1>\
         <p>{} operations, {} acknowledged, {} unknown; {:.0} s of load, {:.0} s in all. {}</p><p>REPRODUCE <code>{}</code></p>",
        figures.operations,
        figures.acknowledged,
        figures.unknown,
        account.plan.run_ms as f64 / 1_000.0,
        account.took_seconds,
        escape(&account.version),
        escape(&account.reproduce),
        seed = account.plan.seed,
    );
    out.push_str("<h2>Faults and leaders</h2>");
    out.push_str(&svg::timeline(account));
    out.push_str("<h2>Second by second</h2>");
    out.push_str(&svg::curves(figures));
    verdicts(&mut out, account);
    faults(&mut out, account, figures);
    refusals(&mut out, account);
    out.push_str("</html>\n");
    out
}

fn verdicts(out: &mut String, account: &Account) {
    out.push_str("<h2>Verdicts</h2><table><tr><th>check<th>verdict<th>rejects damage<th>ms<th>");
    for one in &account.judged {
        let word = verdict_word(&one.verdict);
        let rejects = one.rejects_damage.map_or("-", |yes| if yes { "yes" } else { "NO" });
        let _ = write!(
            out,
            "<tr><td>{}<td class='{word}'>{word}<td>{rejects}<td>{}<td>{}",
            escape(&one.name),
            one.took_ms,
            escape(&details(&one.verdict))
        );
    }
    out.push_str("</table>");
}

fn faults(out: &mut String, account: &Account, figures: &Figures) {
    out.push_str("<h2>Faults</h2><table><tr><th>fault<th>on<th>at s<th>for s<th>write gap ms<th>what happened");
    for (one, gap) in account.fired.iter().zip(&figures.gaps_ms) {
        let _ = write!(
            out,
            "<tr><td>{}<td>{}<td>{:.1}<td>{:.1}<td>{gap}<td>{}",
            escape(&one.fault),
            escape(&one.nodes.join(", ")),
            one.at_us as f64 / 1e6,
            one.healed_us.saturating_sub(one.at_us) as f64 / 1e6,
            escape(one.trouble.as_deref().unwrap_or(&one.said)),
        );
    }
    out.push_str("</table>");
}

fn refusals(out: &mut String, account: &Account) {
    out.push_str("<h2>Attempts that were refused or lost</h2><table><tr><th>code<th>times");
    for (code, times) in &account.refusals {
        let _ = write!(out, "<tr><td>{}<td>{times}", escape(code));
    }
    out.push_str("</table>");
    for (fault, reason) in &account.not_covered {
        let _ = write!(out, "<p>NOT COVERED: {} ({})</p>", escape(fault), escape(reason));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_node_says_cannot_become_markup() {
        assert_eq!(escape("<b a='x'>&\""), "&lt;b a=&#39;x&#39;&gt;&amp;&quot;");
    }
}
