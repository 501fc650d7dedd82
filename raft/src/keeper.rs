//! Looks after a group: who leads it, whether the leader still has its lease, how much log is kept, and what happens when it stops.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use openraft::async_runtime::watch::WatchReceiver;
use openraft::errors::Fatal;
use openraft::{Instant, ServerState};
use tokio::time::{MissedTickBehavior, interval, sleep};

use crate::limits::{
    FULL_LEADER_AGAIN_MS, FULL_LEADER_MS, KEEP, KEEPER_MS, PERSIST_EVERY, SENT_BYTES, SNAPSHOT_EVERY, UNTAKEN_BYTES,
};
use crate::mutant::{Mutant, hurried};
use crate::replica::{Replica, SHUT_DOWN};
use crate::typ::index_of;

/// Between two looks at whether a new leader's quorum has answered, ms.
const SETTLE_MS: u64 = 2;

/// What is kept goes in so many steps.
const PURGE_STEPS: u64 = 32;

/// Runs as long as the group does.
pub(crate) async fn run(replica: Arc<Replica>, lease: Duration) {
    let mut changes = replica.raft.server_metrics();
    let mut tick = interval(Duration::from_millis(KEEPER_MS));
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut log, mut full) = (LogKeeper::default(), FullLeader::default());
    loop {
        let settling = observe(&replica, lease);
        tokio::select! {
            biased;
            () = replica.queue.stop.notified() => break,
            changed = changes.changed() => if changed.is_err() { break },
            () = sleep(Duration::from_millis(SETTLE_MS)), if settling => {}
            _ = tick.tick() => {
                if let Some(why) = replica.machine.halted() {
                    replica.queue.fail(format!("machine: {why}"));
                    continue;
                }
                let pressed = replica.room.is_pressed();
                full.tend(&replica).await;
                log.tend(&replica, pressed).await;
            }
        }
        if has_ended(&replica) {
            break;
        }
    }
    replica.lead.set(None, false);
    let _ = replica.raft.shutdown().await;
    // It may have failed between the last look and here: a failure must not pass for an orderly end.
    has_ended(&replica);
    replica.queue.end(SHUT_DOWN);
}

/// Whether openraft runs no more; its reason then becomes the group's.
fn has_ended(replica: &Replica) -> bool {
    match replica.raft.metrics().borrow_watched().running_state.clone() {
        Ok(()) => return false,
        Err(Fatal::Stopped) => replica.queue.end(SHUT_DOWN),
        Err(fatal) => replica.queue.fail(fatal.to_string()),
    }
    true
}

/// Publishes who leads. A leader that its quorum has not answered for a lease does not count as one. True when this node was just
/// elected and its quorum's first answer is about to come.
fn observe(replica: &Replica, lease: Duration) -> bool {
    let (leader, leads, settling) = {
        let metrics = replica.raft.metrics();
        let metrics = metrics.borrow_watched();
        let own = metrics.current_leader == Some(replica.node) && metrics.state == ServerState::Leader;
        let alone = metrics.membership_config.voter_ids().count() <= 1;
        let acknowledged = metrics.last_quorum_acked.as_ref().is_some_and(|at| at.elapsed() < lease);
        match metrics.current_leader {
            Some(leader) if leader != replica.node => (Some(leader), false, false),
            Some(leader) if own && (alone || acknowledged) => (Some(leader), true, false),
            _ => (None, false, own && metrics.last_quorum_acked.is_none()),
        }
    };
    replica.lead.set(leader, leads);
    replica.queue.leads.store(leads, Ordering::Release);
    settling
}

/// Hands over when the node's log has been without room for a while: another node may have some, and a leader without cannot do
/// what it is there for.
#[derive(Default)]
struct FullLeader {
    since: Option<std::time::Instant>,
    tried: Option<std::time::Instant>,
}

impl FullLeader {
    async fn tend(&mut self, replica: &Replica) {
        if !(replica.room.is_full() && replica.lead.leads()) {
            self.since = None;
            return;
        }
        let long = |since: std::time::Instant, ms| since.elapsed() >= Duration::from_millis(ms);
        let since = *self.since.get_or_insert_with(std::time::Instant::now);
        if !long(since, FULL_LEADER_MS) || self.tried.is_some_and(|tried| !long(tried, FULL_LEADER_AGAIN_MS)) {
            return;
        }
        self.tried = Some(std::time::Instant::now());
        if let Some(to) = replica.successor() {
            tracing::warn!(
                group = replica.id.0,
                to = to.0,
                "handing over leadership: the log of this node is full"
            );
            let _ = replica.raft.trigger().transfer_leader(to.0).await;
        }
    }
}

/// How much log there is beyond what the machine needs.
#[derive(Default)]
struct LogKeeper {
    /// The durable index that openraft was last told.
    told: u64,
    persisting: Option<tokio::task::JoinHandle<()>>,
}

impl LogKeeper {
    async fn tend(&mut self, replica: &Arc<Replica>, pressed: bool) {
        let mut durable = replica.machine.durable().index;
        let applied = *replica.queue.applied().borrow();
        self.persist(replica, durable, applied, pressed);
        // Mutant, purging.
        if Mutant::PurgePastDurable.active() {
            durable = applied;
        }
        let (keep, snapshot_every) = (hurried(KEEP), hurried(SNAPSHOT_EVERY));
        let last = replica.size.last();
        let behind =
            last.saturating_sub(self.told) >= snapshot_every.0 || replica.size.bytes_after(self.told) >= snapshot_every.1;
        if durable > self.told && (pressed || behind) {
            self.told = durable;
            if replica.raft.trigger().snapshot().await.is_err() {
                return;
            }
        }
        let (snapshot, purged) = {
            let metrics = replica.raft.metrics();
            let metrics = metrics.borrow_watched();
            (index_of(metrics.snapshot.as_ref()), index_of(metrics.purged.as_ref()))
        };
        let kept_from = if pressed {
            last
        } else {
            last.saturating_sub(keep.0).max(replica.size.index_before_last(keep.1))
        };
        let upto = kept_from.min(snapshot).min(durable).min(untaken_from(replica, pressed));
        let upto = upto.min(sent_from(replica, pressed, upto));
        // In steps, so that purging is not a log write every tick.
        let bytes = replica
            .size
            .bytes_after(purged)
            .saturating_sub(replica.size.bytes_after(upto));
        let worth = pressed || upto - purged.min(upto) >= keep.0 / PURGE_STEPS || bytes >= keep.1 / PURGE_STEPS;
        // Mutant, B22, at the end.
        if upto > purged && worth && !Mutant::UnboundedLog.active() {
            let _ = replica.raft.trigger().purge_log(upto).await;
        }
    }

    /// Makes the machine durable when the log grows and it does not become so by itself.
    fn persist(&mut self, replica: &Arc<Replica>, durable: u64, applied: u64, pressed: bool) {
        if self.persisting.as_ref().is_some_and(|running| !running.is_finished()) {
            return;
        }
        let every = hurried(PERSIST_EVERY);
        let much = applied.saturating_sub(durable) >= every.0 || replica.size.bytes_after(durable) >= every.1;
        if applied > durable && (much || pressed) {
            let replica = Arc::clone(replica);
            self.persisting = Some(tokio::task::spawn_blocking(move || {
                if let Err(error) = replica.machine.persist() {
                    replica.queue.fail(format!("persist: {error}"));
                }
            }));
        }
    }
}

/// From where on the log is kept for whoever has not taken it yet: a log that must be written to is not kept from that by who only reads it.
fn untaken_from(replica: &Replica, pressed: bool) -> u64 {
    match replica.machine.taken() {
        Some(taken) if !pressed => taken.max(replica.size.index_before_last(UNTAKEN_BYTES)),
        _ => u64::MAX,
    }
}

/// From where on the log is kept for whoever was sent a snapshot and has not caught up yet: else another one would be needed.
fn sent_from(replica: &Replica, pressed: bool, upto: u64) -> u64 {
    let bound = replica.size.index_before_last(SENT_BYTES);
    let metrics = replica.raft.metrics();
    let metrics = metrics.borrow_watched();
    let needs = |node: u64, ends_at: u64| {
        // Who has left the group is not in it, and where another node leads nobody is.
        let matched = index_of(metrics.replication.as_ref()?.get(&node)?.as_ref());
        let from = needed_from(ends_at, matched, upto)?;
        if from < bound {
            tracing::warn!(
                group = replica.id.0,
                node,
                "the log has no room for what a snapshot's receiver still needs"
            );
            return None;
        }
        // It may still catch up when the log has room again.
        Some(if pressed { u64::MAX } else { from })
    };
    let from = replica.net.sending.needed_from(replica.id.0, needs);
    from.unwrap_or(u64::MAX)
}

/// Behind which index the receiver of a snapshot needs the log, when it is else purged up to `upto`; none: it has caught up.
fn needed_from(ends_at: u64, matched: u64, upto: u64) -> Option<u64> {
    let caught_up = matched >= ends_at && matched >= upto;
    (!caught_up).then_some(matched.max(ends_at))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_receiver_of_a_snapshot_needs_the_log_until_it_has_caught_up() {
        assert_eq!(needed_from(100, 20, 50), Some(100), "it is on its way");
        assert_eq!(needed_from(100, 20, 500), Some(100), "much was written meanwhile");
        assert_eq!(needed_from(100, 20, 10), Some(100), "nothing is known of the log before");
        assert_eq!(needed_from(100, 100, 500), Some(100), "it has arrived");
        assert_eq!(needed_from(100, 300, 500), Some(300), "it catches up");
        assert_eq!(needed_from(100, 500, 500), None);
        assert_eq!(needed_from(100, 100, 50), None);
    }
}
