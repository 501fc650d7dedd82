//! Who became leader, and why: what the observer saw, held against what explains it.
//!
//! A leader is not given up while everything works, however much there is to do: heartbeats that queue behind data, or threads that
//! wait for a disk, would make followers believe that theirs is gone. Only a fault explains an election, or a machine that stood still.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::faults;
use crate::stalls::Stall;
use crate::timeline::Fired;
use crate::verdict::Verdict;
use crate::workload::Seen;

/// An election may be seen so long after what explains it: an election timeout, the vote, the observer's period, and a node that comes
/// back with a higher term than the others know.
const EXPLAINS_MS: u64 = 3_000;
/// The same for the group whose voters may be in several regions: it elects after 2 to 4 s, and again where votes were split.
const EXPLAINS_FAR_MS: u64 = 12_000;
/// That group.
const FAR: &str = "directory";

/// Somebody became leader.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Election {
    /// When it was seen, in milliseconds since the load began.
    pub at_ms: u64,
    /// The group.
    pub group: String,
    /// Its term.
    pub term: u64,
    /// The stall that explains it.
    pub stall: Option<Stall>,
}

/// Every rise of a group's term after the first that was seen, with the stall before it.
pub fn elections(seen: &[Seen], stalls: &[Stall]) -> Vec<Election> {
    let mut terms = BTreeMap::new();
    let mut all = Vec::new();
    for one in seen {
        let before = terms.insert(&one.group, one.term);
        if before.is_some_and(|term| one.term > term) {
            let at_ms = one.at_us / 1_000;
            let explains = |stall: &&Stall| stall.at_ms <= at_ms && at_ms - stall.at_ms <= EXPLAINS_MS;
            all.push(Election {
                at_ms,
                group: one.group.clone(),
                term: one.term,
                stall: stalls.iter().find(explains).copied(),
            });
        }
    }
    all
}

/// Whether each election has its reason.
pub fn judge(seen: &[Seen], stalls: &[Stall], fired: &[Fired]) -> Verdict {
    let all = elections(seen, stalls);
    let unexplained = all.iter().filter(|one| one.stall.is_none() && !is_explained(one, fired));
    let findings = unexplained.map(|one| {
        format!(
            "{} had an election (term {}), seen at {} ms, and neither a fault nor a stall of the machine explains it",
            one.group, one.term, one.at_ms
        )
    });
    Verdict::of(findings.collect())
}

fn is_explained(one: &Election, fired: &[Fired]) -> bool {
    let at_ms = one.at_ms;
    let explains = if one.group == FAR { EXPLAINS_FAR_MS } else { EXPLAINS_MS };
    fired.iter().any(|one| {
        let unseats = faults::find(&one.fault).is_none_or(faults::Fault::unseats);
        unseats && one.at_us / 1_000 <= at_ms && at_ms <= one.healed_us.max(one.at_us) / 1_000 + explains
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(at_ms: u64, group: &str, term: u64) -> Seen {
        Seen {
            at_us: at_ms * 1_000,
            group: group.to_owned(),
            leader: Some("a".to_owned()),
            term,
        }
    }

    fn fired(fault: &str, at_ms: u64, healed_ms: u64) -> Fired {
        Fired {
            fault: fault.to_owned(),
            nodes: Vec::new(),
            at_us: at_ms * 1_000,
            healed_us: healed_ms * 1_000,
            said: String::new(),
            trouble: None,
        }
    }

    #[test]
    fn an_election_is_a_higher_term_and_a_stall_before_it_explains_it() {
        let all = [
            seen(0, "cell", 4),
            seen(0, "directory", 1),
            seen(9_000, "cell", 5),
            seen(20_000, "cell", 6),
            seen(20_100, "cell", 6),
        ];
        let stall = Stall {
            at_ms: 8_500,
            for_ms: 700,
        };
        let found = elections(&all, &[stall]);
        assert_eq!(found.iter().map(|one| one.term).collect::<Vec<_>>(), [5, 6]);
        assert_eq!(found.iter().map(|one| one.stall).collect::<Vec<_>>(), [Some(stall), None]);
        assert!(!judge(&all, &[stall], &[]).is_green());
    }

    #[test]
    fn a_fault_that_takes_leaders_away_explains_it_and_one_of_bandwidth_does_not() {
        let all = [seen(0, "cell", 4), seen(9_000, "cell", 5)];
        assert!(judge(&all, &[], &[fired("kill", 8_000, 8_500)]).is_green());
        assert!(judge(&all, &[], &[fired("kill", 2_000, 8_500)]).is_green());
        assert!(!judge(&all, &[], &[fired("kill", 9_500, 9_800)]).is_green(), "it came after");
        let far = [seen(0, "directory", 4), seen(9_000, "directory", 5)];
        assert!(judge(&far, &[], &[fired("kill", 2_000, 3_000)]).is_green(), "it takes longer");
        assert!(
            !judge(&all, &[], &[fired("kill", 2_000, 3_000)]).is_green(),
            "it was long over"
        );
        assert!(!judge(&all, &[], &[fired("bandwidth", 8_000, 10_000)]).is_green());
    }
}
