//! A report in Markdown, for continuous integration and for `docs/`.

use std::fmt::Write;

use super::Figures;
use crate::campaign::Entry;
use crate::run::Account;
use crate::verdict::Verdict;

/// A verdict in a word.
pub fn verdict_word(verdict: &Verdict) -> &'static str {
    match verdict {
        Verdict::Green => "green",
        Verdict::Violated { .. } => "VIOLATED",
        Verdict::Invalid { .. } => "INVALID",
    }
}

/// What a verdict says besides its word.
pub(super) fn details(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Green => String::new(),
        Verdict::Violated { findings } => findings.join("; "),
        Verdict::Invalid { reason } => reason.clone(),
    }
}

/// One run.
pub(super) fn page(account: &Account, figures: &Figures) -> String {
    let mut out = String::new();
    let _ = writeln!(
        out,
        "# Seed {}: {}\n\n{} operations, {} acknowledged, {} unknown, {:.0} s of load, {:.0} s in all. {}\n\n`{}`\n",
        account.plan.seed,
        verdict_word(&account.verdict),
        figures.operations,
        figures.acknowledged,
        figures.unknown,
        account.plan.run_ms as f64 / 1_000.0,
        account.took_seconds,
        account.version,
        account.reproduce,
    );
    let _ = writeln!(
        out,
        "| fault | on | at s | for s | write gap ms | what happened |\n|---|---|---|---|---|---|"
    );
    for (one, gap) in account.fired.iter().zip(&figures.gaps_ms) {
        let _ = writeln!(
            out,
            "| {} | {} | {:.1} | {:.1} | {gap} | {} |",
            one.fault,
            one.nodes.join(", "),
            one.at_us as f64 / 1e6,
            one.healed_us.saturating_sub(one.at_us) as f64 / 1e6,
            cell(one.trouble.as_deref().unwrap_or(&one.said)),
        );
    }
    let _ = writeln!(out, "\n| check | verdict | rejects damage | ms | |\n|---|---|---|---|---|");
    for one in &account.judged {
        let rejects = one.rejects_damage.map_or("-", |yes| if yes { "yes" } else { "NO" });
        let word = verdict_word(&one.verdict);
        let _ = writeln!(
            out,
            "| {} | {word} | {rejects} | {} | {} |",
            one.name,
            one.took_ms,
            cell(&details(&one.verdict))
        );
    }
    for (fault, reason) in &account.not_covered {
        let _ = writeln!(out, "\nNOT COVERED: {fault} ({reason})");
    }
    out
}

/// A campaign.
pub fn campaign(entries: &[Entry]) -> String {
    let count = |word: &str| entries.iter().filter(|one| verdict_word(&one.verdict) == word).count();
    let with = |fault: &str| entries.iter().filter(|one| one.faults.iter().any(|own| own == fault)).count();
    let mut out = format!(
        "# {} seeds: {} green, {} violated, {} INVALID\n\n{} of them with a power cut; {} operations acknowledged.\n\n",
        entries.len(),
        count("green"),
        count("VIOLATED"),
        count("INVALID"),
        with("power-loss"),
        entries.iter().map(|one| one.acknowledged).sum::<u64>(),
    );
    let _ = writeln!(
        out,
        "| seed | verdict | s | acknowledged | longest gap ms | faults | |\n|---|---|---|---|---|---|---|"
    );
    for one in entries {
        let _ = writeln!(
            out,
            "| {} | {} | {:.0} | {} | {} | {} | {} |",
            one.seed,
            verdict_word(&one.verdict),
            one.took_seconds,
            one.acknowledged,
            one.longest_gap_ms,
            one.faults.join(", "),
            cell(&with_attempts(one)),
        );
    }
    out
}

/// What a seed showed, and why earlier attempts at it did not.
fn with_attempts(entry: &Entry) -> String {
    let before = entry.attempts.iter().map(|reason| format!("INVALID before: {reason}"));
    std::iter::once(details(&entry.verdict))
        .filter(|details| !details.is_empty())
        .chain(before)
        .collect::<Vec<_>>()
        .join("; ")
}

/// A text as one cell of a table.
fn cell(text: &str) -> String {
    let one_line = text.replace('\n', " ").replace('|', "\\|");
    one_line.chars().take(400).collect()
}
