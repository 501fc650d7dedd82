//! Search finds what is there, and shows nothing that is not.
//!
//! How it works: each note is changed by one client, one request after the other, and each of its versions has a word that no other text has, and
//! one that many have. A strong search must find every note that surely had the word from before it began until after it ended, and may find no
//! note that surely had not, be it changed or deleted before. Any search may give only records as somebody wrote them, that have or had the
//! word, never one older than the position that the answer is of, and each once. Where no note with the word was changed meanwhile, total and
//! facets of a strong search are those of what was found. At the end every node finds what a scan of the records finds.
//!
//! CAVEATS: the order of what is found is not judged, nor how soon a search that is not strong finds what is new.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::support::{Findings, View, acknowledged, latest_us, of_each, possible, text, when};
use super::{Invariant, names};
use crate::ending::{Ending, Searched};
use crate::history::{Act, Action, Found, History, Operation, Total};
use crate::verdict::Verdict;

#[cfg(test)]
mod tests;

/// The promise.
pub struct Search;

impl Invariant for Search {
    fn name(&self) -> &'static str {
        "search"
    }

    fn check(&self, history: &History, ending: &Ending, _: Duration) -> Verdict {
        of_each(history, ending, |view, findings| {
            let notes = notes(view);
            for operation in view.operations().filter(|operation| acknowledged(operation)) {
                if let Action::Search { .. } = &operation.action {
                    searched(view, operation, &notes, findings);
                }
            }
            for searched in &view.ending.searches {
                at_the_end(view, searched, findings);
            }
        })
    }

    /// A node does not find one record at the end.
    fn damage(&self, history: &History, ending: &Ending) -> Option<(History, Ending)> {
        let mut ending = ending.clone();
        let mut searches = ending.tenants.iter_mut().flat_map(|tenant| &mut tenant.searches);
        searches.find(|searched| !searched.found.is_empty())?.found.pop();
        Some((history.clone(), ending))
    }
}

/// A version of a note.
struct Step<'a> {
    operation: &'a Operation,
    /// Text and kind; none: it is deleted.
    fields: Option<(&'a str, &'a str)>,
}

impl Step<'_> {
    fn has(&self, word: &str) -> bool {
        self.fields.is_some_and(|(text, _)| names::has_word(text, word))
    }
}

/// The versions of a note: the first has the number 1.
type Note<'a> = Vec<Step<'a>>;

fn notes(view: View<'_>) -> BTreeMap<&str, Note<'_>> {
    let mut all: BTreeMap<&str, Note<'_>> = BTreeMap::new();
    for operation in view.operations().filter(|operation| possible(operation)) {
        let Action::Craft { collection, id, act, .. } = &operation.action else {
            continue;
        };
        if collection != names::NOTES {
            continue;
        }
        let fields = match act {
            Act::Create(fields) | Act::Patch(fields) => {
                let text = |name: &str| fields.get(name).and_then(serde_json::Value::as_str).unwrap_or_default();
                Some((text(names::NOTE_TEXT), text(names::NOTE_KIND)))
            }
            Act::Delete | Act::Restore(_) => None,
        };
        all.entry(id).or_default().push(Step { operation, fields });
    }
    all
}

/// Whether a version may have been the current one at some moment between two times.
fn may_be(note: &[Step<'_>], at: usize, from: u64, to: u64) -> bool {
    let is_over = |step: &Step<'_>| acknowledged(step.operation) && step.operation.completed_us < from;
    note[at].operation.invoked_us <= to && !note[at + 1..].iter().any(is_over)
}

/// Whether it surely was all that time.
fn must_be(note: &[Step<'_>], at: usize, from: u64, to: u64) -> bool {
    let begins = |step: &Step<'_>| step.operation.invoked_us <= to;
    latest_us(note[at].operation) < from && !note[at + 1..].iter().any(begins)
}

fn searched(view: View<'_>, operation: &Operation, notes: &BTreeMap<&str, Note<'_>>, findings: &mut Findings) {
    let Action::Search {
        word,
        strong,
        found,
        whole,
        total,
        facets,
    } = &operation.action
    else {
        return;
    };
    let (from, to) = (operation.invoked_us, operation.completed_us);
    let slug = &view.tenant.slug;
    let what = if *strong { "a strong search" } else { "a search" };
    let mut tell = |why: String| {
        findings.add(format!("{slug}: {what} for {word}: {why} ({})", when(operation)));
    };
    let mut met = BTreeSet::new();
    for one in found {
        if !met.insert(&one.id) {
            tell(format!("{} came twice", one.id));
        }
        if let Err(why) = is_right(one, notes.get(one.id.as_str()), operation, (word, *strong)) {
            tell(why);
        }
    }
    if !strong || !whole {
        return;
    }
    let mut is_quiet = true;
    for (id, note) in notes {
        let with = |at: &usize| note[*at].has(word);
        let must = (0..note.len()).filter(with).any(|at| must_be(note, at, from, to));
        if must && !met.iter().any(|known| known == id) {
            tell(format!("{id} has it, and was not found"));
        }
        // A change to a version with the word, or from one.
        let concerns = |at: usize| note[at].has(word) || at.checked_sub(1).is_some_and(|before| note[before].has(word));
        let moves = |at: usize| {
            let change = note[at].operation;
            concerns(at) && change.invoked_us <= to && latest_us(change) >= from
        };
        is_quiet &= !(0..note.len()).any(moves);
    }
    if is_quiet && let Err(why) = adds_up(found, *total, facets.as_deref()) {
        tell(why);
    }
}

/// Whether a record may be among what was found.
fn is_right(one: &Found, note: Option<&Note<'_>>, operation: &Operation, (word, strong): (&str, bool)) -> Result<(), String> {
    let id = &one.id;
    let note = note.filter(|_| one.collection == names::NOTES);
    let note = note.ok_or_else(|| format!("{id} in {} is nobody's note", one.collection))?;
    let at = usize::try_from(one.version).ok().and_then(|version| version.checked_sub(1));
    let at = at.filter(|at| note.get(*at).is_some_and(|step| step.fields == Some((&one.text, &one.kind))));
    let at = at.ok_or_else(|| format!("nobody wrote version {} of {id} as {:?}", one.version, one.text))?;
    let (from, to) = (operation.invoked_us, operation.completed_us);
    if note[at].operation.invoked_us > to {
        return Err(format!("version {} of {id} was not written yet", one.version));
    }
    // What is shown is of the position that the answer names, or later.
    let is_known = |step: &Step<'_>| acknowledged(step.operation) && step.operation.position <= operation.position;
    let knows = |step: &Step<'_>| step.operation.position.is_some() && operation.position.is_some() && is_known(step);
    if note[at + 1..].iter().any(knows) {
        return Err(format!("version {} of {id} is older than the answer's position", one.version));
    }
    if !(0..=at).any(|earlier| note[earlier].has(word)) {
        return Err(format!("{id} does not have the word, and had not"));
    }
    if !strong {
        return Ok(());
    }
    if !may_be(note, at, from, to) {
        return Err(format!("version {} of {id} had been changed or deleted", one.version));
    }
    match (0..note.len()).any(|at| note[at].has(word) && may_be(note, at, from, to)) {
        true => Ok(()),
        false => Err(format!("{id} did not have the word any more")),
    }
}

/// Whether total and facets are those of what was found.
fn adds_up(found: &[Found], total: Option<Total>, facets: Option<&[(String, u64)]>) -> Result<(), String> {
    let count = found.len() as u64;
    let total = total.ok_or("it does not say how many there are")?;
    if (total.exact && total.count != count) || total.count > count {
        return Err(format!("it says {total:?}, and found {count}"));
    }
    let Some(facets) = facets.filter(|_| total.exact) else {
        return Ok(());
    };
    let mut kinds: BTreeMap<&str, u64> = BTreeMap::new();
    for one in found {
        *kinds.entry(&one.kind).or_default() += 1;
    }
    let told: BTreeMap<&str, u64> = facets.iter().map(|(kind, count)| (kind.as_str(), *count)).collect();
    match told == kinds {
        true => Ok(()),
        false => Err(format!("it says {told:?} of each kind, and found {kinds:?}")),
    }
}

/// What a node finds when everybody is quiet is what a scan finds.
fn at_the_end(view: View<'_>, searched: &Searched, findings: &mut Findings) {
    let (slug, Searched { node, word, .. }) = (&view.tenant.slug, searched);
    if searched.building {
        findings.add(format!("{slug}: the index of {node} was still being built"));
        return;
    }
    let has = |(_, record): &(&str, &crate::ending::Record)| {
        text(record, names::NOTE_TEXT).is_some_and(|text| names::has_word(text, word))
    };
    let wanted: BTreeMap<&str, u64> = view
        .records(names::NOTES)
        .filter(has)
        .map(|(id, record)| (id, record.version))
        .collect();
    let found: BTreeMap<&str, u64> = searched.found.iter().map(|one| (one.id.as_str(), one.version)).collect();
    if found != wanted {
        let lost: Vec<_> = wanted.iter().filter(|one| !found.contains_key(*one.0)).take(3).collect();
        let more: Vec<_> = found.iter().filter(|one| wanted.get(one.0) != Some(one.1)).take(3).collect();
        findings.add(format!(
            "{slug}: {word} is in {} notes, {node} finds {}: not {lost:?}, and {more:?} besides",
            wanted.len(),
            found.len()
        ));
        return;
    }
    if found.len() != searched.found.len() {
        findings.add(format!("{slug}: {node} finds some notes with {word} twice"));
    }
    if let Err(why) = adds_up(&searched.found, searched.total, Some(&searched.facets)) {
        findings.add(format!("{slug}: {word} at {node}: {why}"));
    }
}
