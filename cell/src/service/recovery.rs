//! A restore as an operation: what who restores tells the directory, and what is shown of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use api::body::control::Operation;
use api::error::{Code, Error, Result};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::interval;
use uuid::Uuid;

use super::Front;
use super::tenant_life::show_operation;
use crate::directory::restore_tell::{Ended, KINDS, LOST_MICROS, Restore, RestoreTell};
use crate::directory::rows::{self, Status, Tenant};
use crate::machine::idempotency::IdempotencyKey;
use crate::machine::rows::Actor;

/// How often the last word is tried to be told.
const LAST_WORDS: usize = 5;
/// Between two words on how far a restore is.
const TELL: Duration = Duration::from_secs(5);
/// What is said of a restore whose node has gone.
const LOST: &str = "the node that restored it has gone; nothing of it is left: restore it again";
/// The same of a cell.
const LOST_CELL: &str = "the node that restored it has gone; tenants that it brought back are there: restore the cell again";

/// A restore as an operation. `tenant` is the one of the name that it restores, if there is one by now: whoever brought it may have gone
/// with the last word on its lips.
pub(super) fn show_restore(restore: &Restore, tenant: Option<&Tenant>, now: u64) -> Operation {
    let operation = &restore.operation;
    let mut shown = show_operation(operation);
    shown.error.clone_from(&restore.error);
    if !operation.done && now > operation.updated.saturating_add(LOST_MICROS) {
        let is_of_cell = operation.kind == KINDS[1];
        match tenant.filter(|tenant| tenant.status == Status::Active && tenant.created >= operation.created) {
            Some(_) if !is_of_cell => "done".clone_into(&mut shown.status),
            _ => shown.error = Some(if is_of_cell { LOST_CELL } else { LOST }.to_owned()),
        }
    }
    if shown.error.is_some() {
        "failed".clone_into(&mut shown.status);
    }
    shown
}

impl Front {
    /// The restore that a request of the same key has begun.
    pub(super) async fn restore_begun(&self, key: Option<&IdempotencyKey>) -> Result<Option<Operation>> {
        let Some(key) = key else { return Ok(None) };
        let begun = self.platform.directory_answered::<RestoreTell>(key).await?;
        Ok(begun.map(|begun| show_operation(&begun)))
    }

    /// A place among the restores of this node.
    pub(super) fn restore_place(&self) -> Result<OwnedSemaphorePermit> {
        let detail = "enough restores are under way on this node: try again later";
        let place = Arc::clone(&self.arrivals).try_acquire_owned();
        place.map_err(|_| Error::new(Code::TooManyRequests, detail))
    }
}

/// Tells the directory how a restore goes.
pub(super) struct Teller {
    front: Front,
    /// The operation.
    pub(super) operation: Uuid,
    is_of_cell: bool,
    subject: String,
    /// How much is done.
    pub(super) done: Arc<AtomicU64>,
}

impl Teller {
    pub(super) fn new(front: &Front, is_of_cell: bool, subject: &str) -> Self {
        Self {
            front: front.clone(),
            operation: Uuid::now_v7(),
            is_of_cell,
            subject: subject.to_owned(),
            done: Arc::default(),
        }
    }

    /// Tells that it begins. Where a request of the same key came first, it is that one's operation that comes back.
    pub(super) async fn begin(&self, key: Option<IdempotencyKey>) -> Result<rows::Operation> {
        let command = self.word(None);
        let platform = &self.front.platform;
        platform.directory_write(Actor::System, key, |_| Ok(command.clone())).await
    }

    async fn tell(&self, ended: Option<Ended>) -> Result<rows::Operation> {
        self.front.platform.at_directory(Actor::System, self.word(ended)).await
    }

    fn word(&self, ended: Option<Ended>) -> RestoreTell {
        RestoreTell {
            operation: self.operation,
            is_of_cell: self.is_of_cell,
            subject: self.subject.clone(),
            progress: self.done.load(Ordering::Relaxed),
            ended,
        }
    }

    /// Tells how work goes, and how it ended.
    pub(super) async fn follow(self, work: impl Future<Output = std::result::Result<(), String>>) {
        let mut work = Box::pin(work);
        let mut tick = interval(TELL);
        let ended = loop {
            tokio::select! {
                ended = &mut work => break ended,
                _ = tick.tick() => if let Err(error) = self.tell(None).await {
                    tracing::debug!(%error, "how far a restore is could not be told");
                }
            }
        };
        let subject = &self.subject;
        let ended = match ended {
            Ok(()) => Ended::Done,
            Err(why) => {
                tracing::warn!(subject, why, "a restore from the backup failed");
                Ended::Failed(why)
            }
        };
        for _ in 0..LAST_WORDS {
            match self.tell(Some(ended.clone())).await {
                Ok(_) => return,
                Err(error) => tracing::warn!(%error, subject, "how a restore ended could not be told"),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn restore(kind: &str, updated: u64) -> Restore {
        Restore {
            operation: rows::Operation {
                id: Uuid::from_u128(1),
                kind: kind.to_owned(),
                tenant: "acme".to_owned(),
                done: false,
                progress: 0,
                created: 100,
                updated,
            },
            error: None,
        }
    }

    fn tenant(created: u64, status: Status) -> Tenant {
        Tenant {
            id: Uuid::from_u128(2),
            uid: 7,
            slug: "acme".to_owned(),
            region: "one".to_owned(),
            cell: 2,
            epoch: 1,
            plan: "free".to_owned(),
            template: None,
            status,
            created,
            operation: None,
        }
    }

    #[test]
    fn a_restore_that_is_not_heard_of_has_failed_unless_its_tenant_is_served() {
        let lost = 200 + LOST_MICROS + 1;
        let shown = |kind: &str, tenant: Option<Tenant>, now| {
            let shown = show_restore(&restore(kind, 200), tenant.as_ref(), now);
            (shown.status, shown.error)
        };
        let failed = |why: &str| ("failed".to_owned(), Some(why.to_owned()));
        let is = |status: &str| (status.to_owned(), None);
        assert_eq!(shown(KINDS[0], None, lost - 1), is("running"));
        assert_eq!(shown(KINDS[0], None, lost), failed(LOST));
        assert_eq!(shown(KINDS[0], Some(tenant(150, Status::Active)), lost), is("done"));
        assert_eq!(shown(KINDS[0], Some(tenant(150, Status::Arriving)), lost), failed(LOST));
        assert_eq!(
            shown(KINDS[0], Some(tenant(99, Status::Active)), lost),
            failed(LOST),
            "that one was there before"
        );
        assert_eq!(shown(KINDS[1], Some(tenant(150, Status::Active)), lost), failed(LOST_CELL));
    }
}
