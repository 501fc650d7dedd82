//! What was acknowledged of files is there with its exact bytes, version by version, at every node; and no read gives anything else.
//!
//! How it works: each file is changed by one client, one request after the other, so that the order of its versions is known; only its last
//! change can be one of which nobody knows. From that follows which contents it may have had between two moments, and which it has at the
//! end. Contents are made again and compared by their hashes. A read of the current content may give one that was current at some moment
//! between its two times; a read of a version gives that version. At the end every node gives every version, and its chunks were on a
//! majority of the disks before anybody read it there.
//!
//! CAVEATS: what is said of files (names, sizes, times) is judged as far as their content needs it. A read that found nothing for want of a
//! reachable replica says so and is no finding.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::Invariant;
use super::support::{Findings, View, acknowledged, latest_us, of_each, possible, when};
use crate::content::{self, Content};
use crate::ending::{Ending, Kept};
use crate::history::{Action, Deed, Glimpse, History, Operation};
use crate::verdict::Verdict;

#[cfg(test)]
mod tests;

/// The promise.
pub struct Files;

impl Invariant for Files {
    fn name(&self) -> &'static str {
        "files"
    }

    fn check(&self, history: &History, ending: &Ending, _: Duration) -> Verdict {
        of_each(history, ending, |view, findings| {
            let mut made = Made::default();
            let lives = lives(view);
            told(view, &lives, findings);
            reads(view, &lives, &mut made, findings);
            kept(view, &lives, &mut made, findings);
        })
    }

    /// A node gives a version out with one byte that is another.
    fn damage(&self, history: &History, ending: &Ending) -> Option<(History, Ending)> {
        let mut ending = ending.clone();
        let files = ending.tenants.iter_mut().flat_map(|tenant| &mut tenant.files);
        let mut versions = files.flat_map(|file| &mut file.versions);
        let seen = versions.find_map(|version| version.seen.values_mut().flatten().next())?;
        seen.digest = content::digest(seen.digest.as_bytes());
        Some((history.clone(), ending))
    }
}

/// Hashes of contents, and of parts of them, each made once.
#[derive(Default)]
struct Made<'a> {
    contents: BTreeMap<&'a str, Glimpse>,
    parts: BTreeMap<(&'a str, u64, u64), Glimpse>,
}

impl<'a> Made<'a> {
    /// What a read of all of it, or of a part, gives; none: there is nothing of it there.
    fn of(&mut self, made: &'a Content, range: Option<(u64, u64)>) -> Option<&Glimpse> {
        let glimpse = |bytes: &[u8]| Glimpse {
            bytes: bytes.len() as u64,
            digest: content::digest(bytes),
        };
        let Some((from, to)) = range else {
            let whole = self.contents.entry(&made.mark);
            return Some(whole.or_insert_with(|| glimpse(&made.make())));
        };
        if from >= made.bytes {
            return None;
        }
        let part = self.parts.entry((&made.mark, from, to));
        Some(part.or_insert_with(|| {
            let all = made.make();
            // What is in memory fits.
            glimpse(&all[from as usize..(to + 1).min(made.bytes) as usize])
        }))
    }
}

/// What a change made of a file.
#[derive(Clone, Copy)]
struct Step<'a> {
    operation: &'a Operation,
    /// The content that it has then; none: it is gone.
    content: Option<&'a Content>,
    /// The number of that version.
    version: u64,
    told: Option<u64>,
}

/// A file, by its changes of content, the first one first, and what it was attached to.
#[derive(Default)]
struct Life<'a> {
    steps: Vec<Step<'a>>,
    attached: Vec<(&'a Operation, &'a str)>,
}

impl<'a> Life<'a> {
    /// The content of a version, and what made it.
    fn version(&self, number: u64) -> Option<(&'a Operation, &'a Content)> {
        let step = self
            .steps
            .iter()
            .find(|step| step.version == number && step.content.is_some())?;
        Some((step.operation, step.content?))
    }

    /// What it may have been at some moment between two times.
    fn between(&self, from: u64, to: u64) -> impl Iterator<Item = Option<&'a Content>> {
        let last = move |at: usize| {
            let later = &self.steps[at + 1..];
            !later
                .iter()
                .any(|step| acknowledged(step.operation) && step.operation.completed_us < from)
        };
        let there = (0..self.steps.len()).filter(move |at| self.steps[*at].operation.invoked_us <= to && last(*at));
        let before = self.steps.first().is_none_or(|step| latest_us(step.operation) >= from);
        there.map(|at| self.steps[at].content).chain(before.then_some(None))
    }
}

fn lives(view: View<'_>) -> BTreeMap<&str, Life<'_>> {
    let mut all: BTreeMap<&str, Life<'_>> = BTreeMap::new();
    for operation in view.operations().filter(|operation| possible(operation)) {
        let Action::Shelve { file, deed, version, .. } = &operation.action else {
            continue;
        };
        let life = all.entry(file).or_default();
        let content = match deed {
            Deed::Create(made) | Deed::Upload(made) | Deed::Replace(made) | Deed::Renew(made) => Some(made),
            Deed::Restore(older) => life.version(*older).map(|(_, made)| made),
            Deed::Delete => None,
            Deed::Attach(record) => {
                life.attached.push((operation, record));
                continue;
            }
        };
        let newest = life.steps.last().map_or(0, |step| step.version);
        life.steps.push(Step {
            operation,
            content,
            version: newest + u64::from(content.is_some()),
            told: *version,
        });
    }
    all
}

/// Versions are counted without gaps.
fn told(view: View<'_>, lives: &BTreeMap<&str, Life<'_>>, findings: &mut Findings) {
    for (file, life) in lives {
        for step in &life.steps {
            if let Some(told) = step.told.filter(|told| *told != step.version && step.content.is_some()) {
                let (slug, wanted, when) = (&view.tenant.slug, step.version, when(step.operation));
                findings.add(format!(
                    "{slug}: {file} was told to have version {told}, it is {wanted} ({when})"
                ));
            }
        }
    }
}

fn reads<'a>(view: View<'a>, lives: &BTreeMap<&'a str, Life<'a>>, made: &mut Made<'a>, findings: &mut Findings) {
    for operation in view.operations().filter(|operation| acknowledged(operation)) {
        let Action::Peek {
            file,
            version,
            range,
            seen,
        } = &operation.action
        else {
            continue;
        };
        let Some(life) = lives.get(file.as_str()) else { continue };
        let (from, to) = (operation.invoked_us, operation.completed_us);
        let mut may: Vec<Option<&Content>> = life.between(from, to).collect();
        if let Some(number) = version {
            let of_version = life.version(*number);
            let is_sure = of_version.is_some_and(|(by, _)| latest_us(by) < from);
            let may_be_gone = may.contains(&None) || !is_sure;
            may = of_version.map(|(_, content)| Some(content)).into_iter().collect();
            may.extend(may_be_gone.then_some(None));
        }
        let fits = may.iter().any(|content| match (content, seen) {
            (Some(content), Some(seen)) => made.of(content, *range) == Some(seen),
            (None, None) => true,
            _ => false,
        });
        if !fits {
            let slug = &view.tenant.slug;
            let marks: Vec<_> = may.iter().map(|one| one.map_or("nothing", |one| one.mark.as_str())).collect();
            findings.add(format!(
                "{slug}: {file}, version {version:?}, bytes {range:?}, gave {seen:?}, which is none of {marks:?} ({})",
                when(operation)
            ));
        }
    }
}

/// What is there at the end.
fn kept<'a>(view: View<'a>, lives: &BTreeMap<&'a str, Life<'a>>, made: &mut Made<'a>, findings: &mut Findings) {
    let slug = &view.tenant.slug;
    let mut there: BTreeMap<&str, Vec<&Kept>> = BTreeMap::new();
    for file in &view.ending.files {
        there.entry(&file.name).or_default().push(file);
        if !lives.contains_key(file.name.as_str()) {
            findings.add(format!("{slug}: nobody made the file {}", file.name));
        }
    }
    for ghost in &view.ending.ghosts {
        findings.add(format!(
            "{slug}: the deletion of a file was acknowledged, and it was given out: {ghost}"
        ));
    }
    for (file, life) in lives {
        let found = there.get(file).map_or(&[][..], Vec::as_slice);
        let sure = life.steps.iter().filter(|step| acknowledged(step.operation)).count();
        // Only the last change can be one of which nobody knows.
        let ends = [&life.steps[..sure], &life.steps[..]];
        let is_there = |steps: &[Step<'_>]| steps.last().is_some_and(|step| step.content.is_some());
        match found {
            [] if ends.iter().all(|steps| is_there(steps)) => {
                findings.add(format!("{slug}: {file} is gone ({})", when(life.steps[sure - 1].operation)));
            }
            [] => {}
            [one] => {
                if !ends.iter().any(|steps| is_there(steps)) {
                    findings.add(format!("{slug}: {file} is there, and was deleted or never made"));
                    continue;
                }
                let numbers: BTreeSet<u64> = one.versions.iter().map(|version| version.version).collect();
                let of = |steps: &[Step<'_>]| -> BTreeSet<u64> {
                    let versions = steps.iter().filter(|step| step.content.is_some());
                    versions.map(|step| step.version).collect()
                };
                if !ends.iter().any(|steps| is_there(steps) && of(steps) == numbers) || numbers.last() != Some(&one.version) {
                    let wanted = of(ends[0]);
                    findings.add(format!(
                        "{slug}: {file} has the versions {numbers:?}, of which {} is current; {wanted:?} were acknowledged",
                        one.version
                    ));
                }
                attached(view, one, life, findings);
                contents(view, one, life, made, findings);
            }
            more => findings.add(format!("{slug}: there are {} files {file}", more.len())),
        }
    }
}

fn attached(view: View<'_>, file: &Kept, life: &Life<'_>, findings: &mut Findings) {
    let sure = life.attached.iter().rposition(|(operation, _)| acknowledged(operation));
    let may = &life.attached[sure.unwrap_or(0)..];
    let is_one = may.iter().any(|(_, record)| file.attached.as_deref() == Some(*record));
    let is_none = sure.is_none() && file.attached.is_none();
    if !is_one && !is_none {
        let slug = &view.tenant.slug;
        let may: Vec<_> = may.iter().map(|(_, record)| *record).collect();
        findings.add(format!(
            "{slug}: {} is attached to {:?}, not to one of {may:?}",
            file.name, file.attached
        ));
    }
}

/// What every node gives of every version.
fn contents<'a>(view: View<'_>, file: &Kept, life: &Life<'a>, made: &mut Made<'a>, findings: &mut Findings) {
    let slug = &view.tenant.slug;
    for version in &file.versions {
        let Some((by, content)) = life.version(version.version) else {
            continue;
        };
        let (name, number, when) = (&file.name, version.version, when(by));
        let wanted = made.of(content, None).cloned();
        for (node, seen) in &version.seen {
            if *seen != wanted {
                findings.add(format!(
                    "{slug}: version {number} of {name} is {seen:?} at {node}, it was {wanted:?} ({when})"
                ));
            }
        }
        if wanted.is_some_and(|wanted| wanted.digest != version.digest || wanted.bytes != version.bytes) {
            findings.add(format!(
                "{slug}: version {number} of {name} is said to be another one: {version:?} ({when})"
            ));
        }
        if version.disks < view.ending.needed_disks {
            let (disks, needed) = (version.disks, view.ending.needed_disks);
            findings.add(format!(
                "{slug}: version {number} of {name} lay on {disks} disks, it needs {needed} ({when})"
            ));
        }
    }
}
