//! Whether the store still trusts its disk. It never regains trust: a halted store answers nothing but its reason, until the
//! process, or the replica, is built anew.
//!
//! A halt for damage is told apart, for two reasons. The state of another replica can take the place of what is damaged (`rebuild`),
//! which would be wrong after a failed sync. And reads are refused with it, those of older snapshots too: where a page is wrong, keys
//! that are there may not be found, and no checksum of a value would say so.

use std::fmt;
use std::io;
use std::sync::{Arc, OnceLock};

use crate::error::Error;

/// Called after each finished flush, and once when the store halts.
pub type OnFlush = Arc<dyn Fn() + Send + Sync>;

/// Why a store halted.
#[derive(Debug)]
struct Reason {
    text: String,
    /// What lies on the disk is wrong, as opposed to a disk that fails.
    damage: bool,
}

/// The store's trust in its disk, shared by everything that touches it.
#[derive(Default)]
pub(crate) struct Health {
    reason: OnceLock<Reason>,
    on_flush: Option<OnFlush>,
}

impl Health {
    pub(crate) fn new(on_flush: Option<OnFlush>) -> Health {
        Health {
            reason: OnceLock::new(),
            on_flush,
        }
    }

    pub(crate) fn reason(&self) -> Option<&String> {
        self.reason.get().map(|reason| &reason.text)
    }

    /// The reason, when it is that what lies on the disk is wrong.
    pub(crate) fn damage(&self) -> Option<&String> {
        self.reason.get().filter(|reason| reason.damage).map(|reason| &reason.text)
    }

    pub(crate) fn check(&self) -> Result<(), Error> {
        self.reason().map_or(Ok(()), |reason| Err(Error::Halted(reason.clone())))
    }

    /// Refuses reads of what is known to be damaged.
    pub(crate) fn readable(&self) -> Result<(), Error> {
        self.damage()
            .map_or(Ok(()), |what| Err(Error::Damaged { what: what.clone() }))
    }

    /// Halts for the first reason given; later ones are only logged.
    pub(crate) fn halt(&self, text: String, damage: bool) {
        tracing::error!(reason = %text, damage, "the store halts");
        if self.reason.set(Reason { text, damage }).is_ok() {
            self.tell();
        }
    }

    /// Passes a result on, and halts when it says that the disk cannot be trusted.
    pub(crate) fn watch<T>(&self, result: Result<T, Error>) -> Result<T, Error> {
        if let Err(error) = &result
            && error.is_fatal()
            && self.reason.get().is_none()
        {
            self.halt(reason(error), matches!(error, Error::Damaged { .. }));
        }
        result
    }

    /// Calls whoever asked to be called after flushes. A panic of theirs is theirs.
    pub(crate) fn tell(&self) {
        if let Some(on_flush) = &self.on_flush {
            on_flush();
        }
    }
}

fn reason(error: &Error) -> String {
    match error {
        Error::Io { source, .. } if source.kind() == io::ErrorKind::StorageFull => {
            format!("no space left on the device: {error}")
        }
        Error::Damaged { what } => what.clone(),
        other => other.to_string(),
    }
}

impl fmt::Debug for Health {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Health")
            .field("reason", &self.reason)
            .finish_non_exhaustive()
    }
}
