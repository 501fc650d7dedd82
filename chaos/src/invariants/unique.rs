//! A unique value is held by one record at a time.
//!
//! How it works: at the end no two claims have one name. During the run, of two acknowledged claims of a name one must have been
//! released before the other was made: there must be a release, acknowledged or unknown, that began before the second claim
//! was acknowledged and ended after the first one began, so that claim, release, claim is a possible order.
//!
//! CAVEATS: claims are compared two by two. Three that are each possible with each other but not all together go unseen; so does a
//! refusal of a name that was free.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use super::support::{Findings, View, acknowledged, latest_us, of_each, possible, text, when};
use super::{Invariant, names};
use crate::ending::Ending;
use crate::history::{Action, History, Operation};
use crate::verdict::Verdict;

/// The promise.
pub struct Unique;

impl Invariant for Unique {
    fn name(&self) -> &'static str {
        "unique"
    }

    fn check(&self, history: &History, ending: &Ending, _: Duration) -> Verdict {
        of_each(history, ending, |view, findings| {
            at_the_end(view, findings);
            during_the_run(view, findings);
        })
    }

    /// A claim is there twice at the end.
    fn damage(&self, history: &History, ending: &Ending) -> Option<(History, Ending)> {
        let mut ending = ending.clone();
        let mut tenants = ending.tenants.iter_mut();
        let claims = tenants.find_map(|tenant| tenant.records.get_mut(names::CLAIMS).filter(|claims| !claims.is_empty()))?;
        let (id, record) = claims.first_key_value()?;
        let (id, record) = (format!("{id}-again"), record.clone());
        claims.insert(id, record);
        Some((history.clone(), ending))
    }
}

fn at_the_end(view: View<'_>, findings: &mut Findings) {
    let mut holders: HashMap<&str, &str> = HashMap::new();
    for (id, record) in view.records(names::CLAIMS) {
        let Some(name) = text(record, names::CLAIM_NAME) else {
            continue;
        };
        if let Some(other) = holders.insert(name, id) {
            findings.add(format!("{}: {name} is held by {other} and by {id}", view.tenant.slug));
        }
    }
}

fn during_the_run(view: View<'_>, findings: &mut Findings) {
    let mut claims: BTreeMap<&str, Vec<(&str, &Operation)>> = BTreeMap::new();
    let mut releases: HashMap<&str, Vec<&Operation>> = HashMap::new();
    for operation in view.operations() {
        match &operation.action {
            Action::Claim { name, id } if acknowledged(operation) => claims.entry(name).or_default().push((id, operation)),
            Action::Release { id } if possible(operation) => releases.entry(id).or_default().push(operation),
            _ => {}
        }
    }
    let fits = |(id, first): (&str, &Operation), (_, second): (&str, &Operation)| {
        let releases = releases.get(id).map_or(&[][..], Vec::as_slice);
        first.invoked_us <= second.completed_us
            && releases
                .iter()
                .any(|release| release.invoked_us <= second.completed_us && first.invoked_us <= latest_us(release))
    };
    for (name, claims) in claims {
        for (at, one) in claims.iter().enumerate() {
            for other in &claims[at + 1..] {
                if one.0 != other.0 && !fits(*one, *other) && !fits(*other, *one) {
                    let slug = &view.tenant.slug;
                    let (one, other) = (
                        format!("{} ({})", one.0, when(one.1)),
                        format!("{} ({})", other.0, when(other.1)),
                    );
                    findings.add(format!(
                        "{slug}: {name} was given to {one} and to {other}, without a release between"
                    ));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::invariants::stories::{Story, claim, release};

    const CHECKER: Unique = Unique;

    #[test]
    fn a_name_that_is_released_between_is_green() {
        let mut story = Story::new();
        story.ok(0, 10, claim("n", "a"));
        story.failed(15, 18, claim("n", "x"));
        story.ok(20, 40, release("a"));
        story.ok(30, 50, claim("n", "b"));
        story.unknown(60, 70, release("b"));
        story.ok(80, 90, claim("n", "c"));
        story.ok(80, 90, claim("other", "d"));
        story.holds("claims", "c", json!({ "name": "n" }));
        story.holds("claims", "d", json!({ "name": "other" }));
        story.assert_damage_is_found(&CHECKER);
    }

    #[test]
    fn two_holders_at_the_end_are_found() {
        let mut story = Story::new();
        story.holds("claims", "a", json!({ "name": "n" }));
        story.holds("claims", "b", json!({ "name": "n" }));
        story.assert_finds(&CHECKER, &["n is held by a and by b"]);
    }

    #[test]
    fn two_claims_without_a_release_are_found() {
        let mut story = Story::new();
        story.ok(0, 10, claim("n", "a"));
        story.ok(20, 30, claim("n", "b"));
        story.ok(40, 50, release("a"));
        story.ok(40, 50, release("b"));
        story.assert_finds(&CHECKER, &["given to a", "to b"]);
    }

    #[test]
    fn a_release_that_failed_releases_nothing() {
        let mut story = Story::new();
        story.ok(0, 10, claim("n", "a"));
        story.failed(15, 18, release("a"));
        story.ok(20, 30, claim("n", "b"));
        story.assert_finds(&CHECKER, &["given to a"]);
        Story::new().assert_no_damage(&CHECKER);
    }
}
