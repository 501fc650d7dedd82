//! A document is what its writers wrote, whatever happens meanwhile: what was acknowledged is in it once, and everybody has the same.
//!
//! How it works: every change of a document writes a mark that no other change writes, or takes one away that its own client had written before
//! (`workload/scribes.rs` says when a change is acknowledged). At the end, for each document: an acknowledged mark is in the text exactly
//! once, unless somebody may have taken it away, and not at all if that was acknowledged; no mark is there twice, and none that nobody of this
//! tenant wrote into this document; marks that one client appended one after the other stand in that order. A client that has nothing yet gets the
//! same text, and as much of each client of Yjs, at every node; the record shows that text at every node, and a search for a mark
//! finds the record exactly if the mark is there. Those who wrote it have the same, without having asked anew, and a minute after all
//! was healed nothing of theirs waits.
//!
//! What the scribes saw on the way counts: a server that says it has less than what had been acknowledged, an answer that cannot be read, a
//! refusal. So what is lost is found even where a client that still had it gave it again.
//!
//! CAVEATS: one text without formats is written; how soon a change comes to others is not judged, nor what clients say of themselves. Before
//! documents can be had (a cell of the level before) nothing of them is judged.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

use super::Invariant;
use super::support::{Findings, View, acknowledged, of_each, when};
use crate::ending::{Ending, Page};
use crate::history::{Action, History, Operation, Stroke};
use crate::verdict::Verdict;

#[cfg(test)]
mod tests;

/// The promise.
pub struct Documents;

impl Invariant for Documents {
    fn name(&self) -> &'static str {
        "documents"
    }

    fn check(&self, history: &History, ending: &Ending, _: Duration) -> Verdict {
        of_each(history, ending, |view, findings| {
            let mut marks = marks(view);
            for page in &view.ending.pages {
                let marks = marks.remove(page.id.as_str()).unwrap_or_default();
                contents(view, page, &marks, findings);
                copies(view, page, findings);
                found(view, page, findings);
                scribes(view, page, findings);
            }
            for (page, marks) in marks {
                if let Some(Mark { write: Some(write), .. }) = marks.values().find(|mark| mark.write.is_some_and(acknowledged)) {
                    let (slug, when) = (&view.tenant.slug, when(write));
                    findings.add(format!("{slug}: nobody has read {page}, which was written ({when})"));
                }
            }
        })
    }

    /// An acknowledged mark is nowhere any more.
    fn damage(&self, history: &History, ending: &Ending) -> Option<(History, Ending)> {
        let mut ending = ending.clone();
        let erased = |operation: &Operation| match &operation.action {
            Action::Scribe {
                mark,
                stroke: Stroke::Erase,
                ..
            } => Some(mark.clone()),
            _ => None,
        };
        // What may have been taken away is not missed.
        let erased: HashSet<String> = history.operations.iter().filter_map(erased).collect();
        let written = history.operations.iter().filter(|operation| acknowledged(operation));
        for operation in written {
            let Action::Scribe { page, mark, stroke, .. } = &operation.action else {
                continue;
            };
            let pages = &mut ending.tenants.get_mut(operation.tenant)?.pages;
            let Some(page) = pages.iter_mut().find(|known| known.id == *page) else {
                continue;
            };
            let is_there = page
                .copies
                .first()
                .is_some_and(|copy| copy.text.split_whitespace().any(|word| word == mark));
            if *stroke == Stroke::Erase || erased.contains(mark) || !is_there {
                continue;
            }
            let forget = |text: &mut String| *text = text.replace(&format!("{mark} "), "");
            for copy in &mut page.copies {
                forget(&mut copy.text);
                copy.shown.iter_mut().for_each(forget);
            }
            page.scribes.iter_mut().for_each(|scribe| forget(&mut scribe.text));
            page.sought.retain(|sought| sought.mark != *mark);
            return Some((history.clone(), ending));
        }
        None
    }
}

/// What was done with a mark.
#[derive(Clone, Copy, Default)]
struct Mark<'a> {
    write: Option<&'a Operation>,
    erase: Option<&'a Operation>,
}

/// By document, and by mark.
fn marks(view: View<'_>) -> BTreeMap<&str, BTreeMap<&str, Mark<'_>>> {
    let mut all: BTreeMap<&str, BTreeMap<&str, Mark<'_>>> = BTreeMap::new();
    for operation in view.operations() {
        if let Action::Scribe { page, mark, stroke, .. } = &operation.action {
            let mark = all.entry(page).or_default().entry(mark).or_default();
            match stroke {
                Stroke::Erase => mark.erase = Some(operation),
                Stroke::Append | Stroke::Insert => mark.write = Some(operation),
            }
        }
    }
    all
}

/// The text of each node, by what was written.
fn contents(view: View<'_>, page: &Page, marks: &BTreeMap<&str, Mark<'_>>, findings: &mut Findings) {
    let mut met: Vec<&str> = Vec::new();
    for copy in &page.copies {
        // Where all have the same it is told once.
        if met.contains(&copy.text.as_str()) {
            continue;
        }
        met.push(&copy.text);
        let place = format!("{}: {} at {}", view.tenant.slug, page.id, copy.node);
        let mut places: HashMap<&str, usize> = HashMap::new();
        for (at, word) in copy.text.split_whitespace().enumerate() {
            if places.insert(word, at).is_some() {
                findings.add(format!("{place}: {word} is there twice"));
            }
            if marks.get(word).is_none_or(|mark| mark.write.is_none()) {
                findings.add(format!("{place}: nobody wrote {word}"));
            }
        }
        for (word, mark) in marks {
            let is_there = places.contains_key(word);
            match (mark.write, mark.erase) {
                (_, Some(erase)) if acknowledged(erase) && is_there => {
                    findings.add(format!("{place}: {word} was taken away, and is there ({})", when(erase)));
                }
                (Some(write), None) if acknowledged(write) && !is_there => {
                    findings.add(format!("{place}: lost: {word} was acknowledged ({})", when(write)));
                }
                _ => {}
            }
        }
        in_order(&place, marks, &places, findings);
    }
}

/// What one client appended stands in its order.
fn in_order(place: &str, marks: &BTreeMap<&str, Mark<'_>>, places: &HashMap<&str, usize>, findings: &mut Findings) {
    let mut appended: BTreeMap<u64, Vec<(u64, &str, usize)>> = BTreeMap::new();
    for (word, mark) in marks {
        let Some(operation) = mark.write else { continue };
        if let (
            Action::Scribe {
                client,
                stroke: Stroke::Append,
                ..
            },
            Some(at),
        ) = (&operation.action, places.get(word))
        {
            appended.entry(*client).or_default().push((operation.invoked_us, word, *at));
        }
    }
    for (client, mut all) in appended {
        all.sort_unstable();
        if let Some(pair) = all.windows(2).find(|pair| pair[1].2 < pair[0].2) {
            let (first, second) = (pair[0].1, pair[1].1);
            findings.add(format!(
                "{place}: client {client} appended {second} behind {first}, before which it stands"
            ));
        }
    }
}

/// All nodes give the same, and show it.
fn copies(view: View<'_>, page: &Page, findings: &mut Findings) {
    let place = format!("{}: {}", view.tenant.slug, page.id);
    let Some(first) = page.copies.first() else {
        let wrote = |operation: &&Operation| {
            let is_own = matches!(&operation.action, Action::Scribe { page: own, .. } if *own == page.id);
            is_own && acknowledged(operation)
        };
        if let Some(operation) = view.operations().find(wrote) {
            findings.add(format!("{place} is gone, and was written ({})", when(operation)));
        }
        return;
    };
    for copy in &page.copies {
        if copy.text != first.text || copy.clocks != first.clocks {
            findings.add(format!(
                "{place}: {} gives another document than {}: {:?} of its clients, and {:?}; {:?} and {:?}",
                copy.node, first.node, copy.clocks, first.clocks, copy.text, first.text
            ));
        }
        if copy.shown.as_ref() != Some(&copy.text) {
            findings.add(format!(
                "{place}: the record at {} shows {:?}, the document is {:?}",
                copy.node, copy.shown, copy.text
            ));
        }
    }
}

/// What searches found is what is there.
fn found(view: View<'_>, page: &Page, findings: &mut Findings) {
    let Some(copy) = page.copies.first() else { return };
    for sought in &page.sought {
        let is_there = copy.text.split_whitespace().any(|word| word == sought.mark);
        let wanted: &[&String] = if is_there { &[&page.id] } else { &[] };
        if !sought.found.iter().eq(wanted.iter().copied()) {
            findings.add(format!(
                "{}: {} finds {} in {:?}, it is in {wanted:?}",
                view.tenant.slug, sought.node, sought.mark, sought.found
            ));
        }
    }
}

/// Those who wrote it have it, and nothing is left of theirs.
fn scribes(view: View<'_>, page: &Page, findings: &mut Findings) {
    for (number, scribe) in page.scribes.iter().enumerate() {
        let place = format!("{}: {}: scribe {number}", view.tenant.slug, page.id);
        for odd in &scribe.odd {
            findings.add(format!("{place}: {odd}"));
        }
        if scribe.waiting > 0 {
            findings.add(format!(
                "{place}: {} changes were not taken after all was healed",
                scribe.waiting
            ));
        }
        let Some(copy) = page.copies.first() else { continue };
        if scribe.text != copy.text || scribe.clocks != copy.clocks {
            let of = |text: &str, other: &str| {
                let words = text.split_whitespace().filter(|word| !other.contains(word));
                words.take(3).map(str::to_owned).collect::<Vec<_>>()
            };
            findings.add(format!(
                "{place} was left out: it lacks {:?}, has {:?} besides, and {:?} of the clients {:?}, in {} connections",
                of(&copy.text, &scribe.text),
                of(&scribe.text, &copy.text),
                scribe.clocks,
                copy.clocks,
                scribe.connections
            ));
        }
    }
}
