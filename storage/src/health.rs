//! Whether the store still trusts its disk. It never regains trust: a halted store answers nothing but its reason, until the
//! process, or the replica, is built anew.

use std::fmt;
use std::io;
use std::sync::{Arc, OnceLock};

use crate::error::Error;

/// Called after each finished flush, and once when the store halts.
pub type OnFlush = Arc<dyn Fn() + Send + Sync>;

/// The store's trust in its disk, shared by everything that touches it.
#[derive(Default)]
pub(crate) struct Health {
    reason: OnceLock<String>,
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
        self.reason.get()
    }

    pub(crate) fn check(&self) -> Result<(), Error> {
        self.reason.get().map_or(Ok(()), |reason| Err(Error::Halted(reason.clone())))
    }

    /// Halts for the first reason given; later ones are only logged.
    pub(crate) fn halt(&self, reason: String) {
        tracing::error!(%reason, "the store halts");
        if self.reason.set(reason).is_ok() {
            self.tell();
        }
    }

    /// Passes a result on, and halts when it says that the disk cannot be trusted.
    pub(crate) fn watch<T>(&self, result: Result<T, Error>) -> Result<T, Error> {
        if let Err(error) = &result
            && error.is_fatal()
            && self.reason.get().is_none()
        {
            self.halt(reason(error));
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
