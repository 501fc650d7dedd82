//! A revoked API key is refused on every node from the moment at which its revocation was acknowledged.
//!
//! How it works: the workload makes a key known to every node, revokes it, and reads strongly with it on every node. Whoever accepts
//! it then has remembered what is over. A node that does not answer says nothing.
//!
//! CAVEATS: eventual reads may lag behind a revocation by as much as they lag behind anything else, and are not tried.

use std::time::Duration;

use super::Invariant;
use super::support::{acknowledged, of_each, when};
use crate::ending::Ending;
use crate::history::{Action, History};
use crate::verdict::Verdict;

/// The promise.
pub struct Revocation;

impl Invariant for Revocation {
    fn name(&self) -> &'static str {
        "revocation"
    }

    fn check(&self, history: &History, ending: &Ending, _: Duration) -> Verdict {
        of_each(history, ending, |view, findings| {
            for operation in view.operations().filter(|operation| acknowledged(operation)) {
                let Action::Revoke { key, accepted, .. } = &operation.action else {
                    continue;
                };
                for node in accepted {
                    let (slug, told) = (&view.tenant.slug, when(operation));
                    findings.add(format!("{slug}: node {node} accepted the revoked key {key} ({told})"));
                }
            }
        })
    }

    /// A node accepts a key that it refused.
    fn damage(&self, history: &History, ending: &Ending) -> Option<(History, Ending)> {
        let mut history = history.clone();
        let revoked = history.operations.iter_mut().filter(|operation| acknowledged(operation));
        let accepted = revoked.into_iter().find_map(|operation| match &mut operation.action {
            Action::Revoke { accepted, refused, .. } if *refused > 0 => Some(accepted),
            _ => None,
        });
        accepted?.push(0);
        Some((history, ending.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::invariants::stories::{Story, revoke};

    const CHECKER: Revocation = Revocation;

    #[test]
    fn a_refused_key_is_green() {
        let mut story = Story::new();
        story.ok(0, 10, revoke("k", &[], 3));
        story.assert_damage_is_found(&CHECKER);
        Story::new().assert_no_damage(&CHECKER);
    }

    #[test]
    fn a_key_that_is_accepted_after_its_revocation_is_found() {
        let mut story = Story::new();
        story.ok(0, 10, revoke("k", &[2], 2));
        story.assert_finds(&CHECKER, &["acme: node 2", "the revoked key k"]);
    }

    #[test]
    fn a_revocation_that_nobody_acknowledged_proves_nothing() {
        let mut story = Story::new();
        story.unknown(0, 10, revoke("k", &[1], 0));
        story.failed(0, 10, revoke("l", &[1], 0));
        story.assert_green(&CHECKER);
    }
}
