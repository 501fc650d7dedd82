//! A restore as an operation: what who restores tells the directory, and what is shown of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use api::body::control::Operation;
use api::error::Result;
use tokio::time::interval;
use uuid::Uuid;

use super::Front;
use super::tenant_life::show_operation;
use crate::directory::restore_tell::{Ended, LOST_MICROS, Restore, RestoreTell};
use crate::machine::rows::Actor;
use crate::records::time::now_micros;

/// How often the last word is tried to be told.
const LAST_WORDS: usize = 5;
/// Between two words on how far a restore is.
const TELL: Duration = Duration::from_secs(5);
/// A restore as an operation.
pub(super) fn show_restore(restore: &Restore) -> Operation {
    let mut shown = show_operation(&restore.operation);
    let is_lost = !restore.operation.done && now_micros() > restore.operation.updated.saturating_add(LOST_MICROS);
    shown.error = match &restore.error {
        None if is_lost => Some("the node that restored it has gone; nothing of it is left: restore it again".to_owned()),
        error => error.clone(),
    };
    if shown.error.is_some() {
        "failed".clone_into(&mut shown.status);
    }
    shown
}

/// Tells the directory how a restore goes.
pub(super) struct Teller {
    front: Front,
    operation: Uuid,
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

    pub(super) async fn tell(&self, ended: Option<Ended>) -> Result<crate::directory::rows::Operation> {
        let command = RestoreTell {
            operation: self.operation,
            is_of_cell: self.is_of_cell,
            subject: self.subject.clone(),
            progress: self.done.load(Ordering::Relaxed),
            ended,
        };
        self.front.platform.at_directory(Actor::System, command).await
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
