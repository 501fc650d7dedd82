//! History shows exactly the versions that there were.
//!
//! How it works: the records of this check are written by one client each, one request after the other. Each version that was
//! acknowledged must be in the history of its record under its own number, which is the one after the version before it, deletions and
//! records that were made again included; with the fields that were written, or that the version had which was restored. There must be
//! no other version, but one at the end that a request made of which nobody knows.
//!
//! CAVEATS: versions are shown under today's schema, and a field that changed its type is another field: what is not shown of the amount
//! is not held against it. Who may see which version is tried elsewhere.

use std::time::Duration;

use super::lives::{Life, Made, as_text, lives};
use super::support::{Findings, View, acknowledged, of_each, when};
use super::{Invariant, names};
use crate::ending::{Ending, Version};
use crate::history::History;
use crate::verdict::Verdict;

/// The promise.
pub struct Versions;

impl Invariant for Versions {
    fn name(&self) -> &'static str {
        "versions"
    }

    fn check(&self, history: &History, ending: &Ending, _: Duration) -> Verdict {
        of_each(history, ending, judge)
    }

    /// A version in the middle of the longest history is gone.
    fn damage(&self, history: &History, ending: &Ending) -> Option<(History, Ending)> {
        let mut ending = ending.clone();
        let all = ending.tenants.iter_mut().flat_map(|tenant| tenant.versions.values_mut());
        let longest = all.max_by_key(|versions| versions.len())?;
        if longest.is_empty() {
            return None;
        }
        longest.remove(longest.len() / 2);
        Some((history.clone(), ending))
    }
}

fn judge(view: View<'_>, findings: &mut Findings) {
    let slug = &view.tenant.slug;
    for (id, life) in lives(view, names::SHAPED) {
        for (told, counted, operation) in life.miscounted() {
            findings.add(format!(
                "{slug}: {id} was told to be at version {told}, which is its version {counted} ({})",
                when(operation)
            ));
        }
        let shown = view.ending.versions.get(id).map_or(&[][..], Vec::as_slice);
        if let Err(why) = compare(&life, shown) {
            findings.add(format!("{slug}: the history of {id}: {why}"));
        }
    }
}

fn compare(life: &Life<'_>, shown: &[Version]) -> Result<(), String> {
    let mut wanted = life.made();
    let is_unsure = |made: &Made<'_>| !acknowledged(made.operation);
    let last = shown.first().map_or(0, |version| version.version);
    // The last one may be there.
    if wanted.last().is_some_and(|made| is_unsure(made) && made.version != last) {
        wanted.pop();
    }
    let numbers: Vec<u64> = shown.iter().map(|version| version.version).collect();
    let expected: Vec<u64> = wanted.iter().rev().map(|made| made.version).collect();
    if numbers != expected {
        return Err(format!("it shows {numbers:?}, and there were {expected:?}"));
    }
    for (shown, made) in shown.iter().zip(wanted.iter().rev()) {
        let told = when(made.operation);
        let number = made.version;
        if shown.deleted != made.deleted {
            return Err(format!("version {number}: deleted is {} ({told})", shown.deleted));
        }
        let Some(fields) = made.fields else { continue };
        for name in [names::SHAPED_MARK, names::SHAPED_CODE, names::SHAPED_GROUP] {
            if shown.fields.get(name) != fields.get(name) {
                let (is, was) = (shown.fields.get(name), fields.get(name));
                return Err(format!("version {number}: {name} is {is:?}, it was {was:?} ({told})"));
            }
        }
        let amount = |fields: &super::lives::Fields| fields.get(names::SHAPED_AMOUNT).map(as_text);
        if amount(&shown.fields).is_some_and(|is| Some(is) != amount(fields)) {
            let (is, was) = (amount(&shown.fields), amount(fields));
            return Err(format!("version {number}: the amount is {is:?}, it was {was:?} ({told})"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::history::Act;
    use crate::invariants::stories::{Story, craft, shaped};

    const CHECKER: Versions = Versions;

    fn shows(story: &mut Story, versions: &[(u64, Option<u64>)]) {
        let version = |(version, number): &(u64, Option<u64>)| Version {
            version: *version,
            deleted: number.is_none(),
            fields: number
                .map(|number| shaped(number, &format!("acme-c{number}")))
                .unwrap_or_default(),
        };
        let all = versions.iter().rev().map(version).collect();
        story.ending.tenants[0].versions.insert("r".to_owned(), all);
    }

    fn story() -> Story {
        let mut story = Story::new();
        story.ok(0, 10, craft("r", Act::Create(shaped(1, "acme-c1")), 1));
        story.ok(20, 30, craft("r", Act::Patch(shaped(2, "acme-c2")), 2));
        story.failed(40, 50, craft("r", Act::Patch(shaped(9, "acme-c9")), 0));
        story.ok(60, 70, craft("r", Act::Delete, 0));
        story.ok(80, 90, craft("r", Act::Restore(1), 4));
        shows(&mut story, &[(1, Some(1)), (2, Some(2)), (3, None), (4, Some(1))]);
        story
    }

    #[test]
    fn every_version_once_is_green() {
        story().assert_damage_is_found(&CHECKER);
        Story::new().assert_no_damage(&CHECKER);
    }

    #[test]
    fn what_nobody_knows_may_be_the_last_version_or_not() {
        for end in [None, Some((5, Some(5)))] {
            let mut story = story();
            story.unknown(100, 110, craft("r", Act::Patch(shaped(5, "acme-c5")), 0));
            let all = [(1, Some(1)), (2, Some(2)), (3, None), (4, Some(1))];
            shows(&mut story, &all.into_iter().chain(end).collect::<Vec<_>>());
            story.assert_green(&CHECKER);
        }
    }

    #[test]
    fn gaps_repetitions_and_what_nobody_wrote_are_found() {
        for versions in [
            &[(1, Some(1)), (3, None), (4, Some(1))][..],
            &[(1, Some(1)), (2, Some(2)), (2, Some(2)), (3, None), (4, Some(1))],
            &[(1, Some(1)), (2, Some(2)), (3, None)],
            &[(1, Some(1)), (2, Some(2)), (3, None), (4, Some(1)), (5, Some(9))],
            &[],
        ] {
            let mut story = story();
            shows(&mut story, versions);
            story.assert_finds(&CHECKER, &["the history of r: it shows", "there were [4, 3, 2, 1]"]);
        }
    }

    #[test]
    fn other_fields_and_other_numbers_are_found() {
        let mut other = story();
        shows(&mut other, &[(1, Some(1)), (2, Some(2)), (3, None), (4, Some(2))]);
        other.assert_finds(&CHECKER, &["version 4: mark is", "acme-m2", "acme-m1"]);
        let mut there = story();
        shows(&mut there, &[(1, Some(1)), (2, Some(2)), (3, Some(2)), (4, Some(1))]);
        there.assert_finds(&CHECKER, &["version 3: deleted is false"]);
        let mut amount = story();
        let versions = amount.ending.tenants[0].versions.get_mut("r").unwrap();
        versions[2].fields.insert("amount".to_owned(), json!(7));
        amount.assert_finds(&CHECKER, &["version 2: the amount is Some(\"7\")", "Some(\"2\")"]);
        let mut told = story();
        told.ok(100, 110, craft("r", Act::Patch(shaped(5, "acme-c5")), 7));
        shows(
            &mut told,
            &[(1, Some(1)), (2, Some(2)), (3, None), (4, Some(1)), (5, Some(5))],
        );
        told.assert_finds(&CHECKER, &["told to be at version 7", "its version 5"]);
    }

    #[test]
    fn an_amount_that_is_not_shown_is_not_held_against_it() {
        let mut story = story();
        let versions = story.ending.tenants[0].versions.get_mut("r").unwrap();
        versions[2].fields.remove("amount");
        story.assert_green(&CHECKER);
    }
}
