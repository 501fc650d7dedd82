//! The connection of a client, and the tenants that it counts for.
//!
//! A connection counts for a tenant at the node that the client has connected to, wherever its requests are served: from the first
//! request on that the tenant's gate has let through, until it closes. Who was let through nowhere counts for nobody, so that a stranger
//! cannot use up what a tenant has; nor does who follows a link, which may be on a page that everybody reads. One that asks for several tenants counts
//! for each.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use http::HeaderName;

use crate::error::Result;
use crate::ids::Slug;
use crate::service::Counted;

/// On replies between nodes: the gate has let the request through, so that its connection counts for the tenant.
pub(crate) const KNOWN: HeaderName = HeaderName::from_static("cloudnest-known");

/// See the module.
#[derive(Default)]
pub(crate) struct ClientConnection {
    counted: Mutex<HashMap<Slug, Box<dyn Counted>>>,
    leaves: AtomicBool,
}

impl ClientConnection {
    /// Whether it counts for a tenant.
    pub(crate) fn is_counted(&self, slug: &Slug) -> bool {
        self.counted().contains_key(slug)
    }

    /// It counts for a tenant from now on, if there is a place; one that counts already keeps its own.
    pub(crate) fn count(&self, slug: &Slug, place: impl FnOnce() -> Result<Option<Box<dyn Counted>>>) -> Result<()> {
        let mut counted = self.counted();
        if !counted.contains_key(slug)
            && let Some(place) = place()?
        {
            counted.insert(slug.clone(), place);
        }
        Ok(())
    }

    /// It closes once what is under way is answered, unless it counts for another tenant, which is not to notice.
    pub(crate) fn leave(&self) {
        if self.counted().is_empty() {
            self.leaves.store(true, Ordering::Release);
        }
    }

    /// Whether it is to close.
    pub(crate) fn leaves(&self) -> bool {
        self.leaves.load(Ordering::Acquire)
    }

    /// Places are whole whatever panicked.
    fn counted(&self) -> MutexGuard<'_, HashMap<Slug, Box<dyn Counted>>> {
        self.counted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
