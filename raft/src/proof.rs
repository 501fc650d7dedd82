//! What proves to a leader that it still leads, without a round of heartbeats.
//!
//! A read must see all that was acknowledged before it began. Its leader knows of all that, unless another one had been elected by then.
//! Whoever elects a leader raises its vote for good before it says so. So two votes are compared: the leader's own, and one that another
//! replica held after the read had begun. If both are for this leader, neither of the two had elected anybody later by the time the read
//! began; and if the two are a majority of the voters (of both sets, while they change), nobody was elected without one of them. A
//! follower that asks for a read sends the vote that it holds along with its question: in a group of three that alone is the proof, and
//! one message takes the place of three. A leader that reads itself asks one follower for its vote.
//!
//! What is not proven so (five replicas, a leader that has committed nothing yet) is left to openraft's round to all of them.
//!
//! Invariant: a vote counts only if its replica was asked for it after the read had begun.

use std::collections::BTreeSet;

use openraft::async_runtime::watch::WatchReceiver;

use crate::codec::VoteV1;
use crate::replica::Replica;
use crate::typ::LogId;

/// The vote that this replica holds now.
pub(crate) async fn vote_held(replica: &Replica) -> Option<VoteV1> {
    replica
        .raft
        .with_raft_state(|state| VoteV1::from(state.vote_ref()))
        .await
        .ok()
}

/// The peers whose vote would be a proof, as far as this node knows.
pub(crate) fn witnesses(replica: &Replica) -> Vec<u64> {
    let metrics = replica.raft.metrics();
    let metrics = metrics.borrow_watched();
    let voters = metrics.membership_config.membership().get_joint_config();
    let peers: BTreeSet<u64> = voters.iter().flatten().copied().collect();
    let fit = |peer: &u64| are_majority(replica.node, *peer, voters);
    peers.into_iter().filter(fit).collect()
}

/// What is committed, if the vote of another replica proves that this one still leads.
pub(crate) async fn committed(replica: &Replica, other: u64, held: VoteV1) -> Option<u64> {
    let me = replica.node;
    let looked = replica.raft.with_raft_state(move |state| {
        let own = VoteV1::from(state.vote_ref());
        let committed = own_committed(&own, state.local_committed())?;
        let voters = state.membership_state.effective().membership().get_joint_config();
        proves(me, own, other, held, voters).then_some(committed)
    });
    looked.await.ok()?
}

/// The last index that is committed, if its entry is of the leader's own term. Before that it may lack what others had acknowledged.
fn own_committed(own: &VoteV1, committed: Option<&LogId>) -> Option<u64> {
    let last = committed?;
    ((last.leader_id.term, last.leader_id.node_id) == (own.term, own.node)).then_some(last.index)
}

/// Whether two votes prove that one of the two leads.
fn proves(me: u64, own: VoteV1, other: u64, held: VoteV1, voters: &[BTreeSet<u64>]) -> bool {
    own.committed && own.node == me && own == held && are_majority(me, other, voters)
}

/// Whether two replicas are a majority of each set of voters.
fn are_majority(me: u64, other: u64, voters: &[BTreeSet<u64>]) -> bool {
    let of = |set: &BTreeSet<u64>| {
        let both = [me, other].iter().filter(|node| set.contains(node)).count();
        both * 2 > set.len()
    };
    me != other && !voters.is_empty() && voters.iter().all(of)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::LogIdV1;

    const OWN: VoteV1 = VoteV1 {
        term: 7,
        node: 1,
        committed: true,
    };

    fn sets(of: &[&[u64]]) -> Vec<BTreeSet<u64>> {
        of.iter().map(|set| set.iter().copied().collect()).collect()
    }

    #[test]
    fn a_vote_for_the_leader_of_a_replica_that_makes_a_majority_with_it_proves_that_it_leads() {
        for voters in [
            sets(&[&[1, 2, 3]]),
            sets(&[&[1, 2]]),
            sets(&[&[1, 2, 3], &[1, 2, 4]]),
            sets(&[&[1]]),
        ] {
            assert!(proves(1, OWN, 2, OWN, &voters), "{voters:?}");
        }
    }

    #[test]
    fn two_of_five_or_of_one_set_alone_or_a_learner_prove_nothing() {
        for voters in [
            sets(&[&[1, 2, 3, 4, 5]]),
            sets(&[&[1, 2, 3, 4]]),
            sets(&[&[1, 2, 3], &[1, 3, 4]]),
            sets(&[&[1, 3, 4], &[1, 2, 3]]),
            sets(&[&[1, 3, 4]]),
            sets(&[&[2, 3, 4]]),
            Vec::new(),
        ] {
            assert!(!proves(1, OWN, 2, OWN, &voters), "{voters:?}");
        }
        assert!(!proves(1, OWN, 1, OWN, &sets(&[&[1, 2]])), "its own vote is no other's");
    }

    #[test]
    fn any_other_vote_proves_nothing() {
        let voters = sets(&[&[1, 2, 3]]);
        let later = VoteV1 { term: 8, ..OWN };
        let earlier = VoteV1 { term: 6, ..OWN };
        let not_elected = VoteV1 { committed: false, ..OWN };
        for held in [later, earlier, not_elected, VoteV1 { node: 2, ..OWN }] {
            assert!(!proves(1, OWN, 2, held, &voters), "{held:?}");
        }
        assert!(!proves(1, not_elected, 2, not_elected, &voters), "a candidate does not lead");
        let others = VoteV1 { node: 3, ..OWN };
        assert!(!proves(1, others, 2, others, &voters), "a follower does not lead");
    }

    #[test]
    fn a_leader_that_has_committed_nothing_of_its_own_knows_not_enough() {
        let last = |term, node| LogId::from(LogIdV1 { term, node, index: 9 });
        assert_eq!(own_committed(&OWN, Some(&last(7, 1))), Some(9));
        assert_eq!(own_committed(&OWN, Some(&last(6, 1))), None);
        assert_eq!(own_committed(&OWN, Some(&last(7, 2))), None);
        assert_eq!(own_committed(&OWN, None), None);
    }
}
