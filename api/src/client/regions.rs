//! Which tenants are served in other regions than the base URLs', as servers said with a 421.
//!
//! What is remembered is only where to ask first. A place that cannot be reached is forgotten, and the base URLs are asked again; a
//! place that answers 421 itself is replaced by the one that it names. So a tenant that moved is found in one call more.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::ClientError;
use super::pool::Place;
use super::tls::Trust;

/// Most tenants that are remembered. Raised: more memory. Lowered: a program of very many tenants asks twice more often.
const TENANTS: usize = 10_000;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Regions {
    /// Whether anything is remembered: most programs have one region, and no call of theirs takes the lock.
    any: AtomicBool,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    /// By slug.
    tenants: HashMap<String, Arc<Place>>,
    /// By base URL, so that tenants of a region share connections.
    places: HashMap<String, Arc<Place>>,
}

impl Regions {
    /// Where a path's tenant is served, if that is known to be elsewhere.
    pub(super) fn place(&self, path: &str) -> Option<Arc<Place>> {
        if !self.any.load(Ordering::Acquire) {
            return None;
        }
        self.lock().tenants.get(slug(path)?).cloned()
    }

    /// Learns from an answer where a path's tenant is served. False: it says nothing that was not known.
    pub(super) fn learn(&self, path: &str, error: &ClientError, trust: Option<&Trust>) -> bool {
        let Some((slug, endpoint)) = slug(path).zip(elsewhere(error)) else {
            return false;
        };
        let mut known = self.lock();
        let place = match known.places.get(endpoint) {
            Some(place) => Arc::clone(place),
            // An endpoint that cannot be used is the operator's mistake: the answer itself goes to the caller.
            None => match Place::parse(endpoint, trust.cloned()) {
                Ok(place) => Arc::new(place),
                Err(_) => return false,
            },
        };
        if known.tenants.get(slug).is_some_and(|before| Arc::ptr_eq(before, &place)) {
            return false;
        }
        if known.tenants.len() >= TENANTS {
            *known = Known::default();
        }
        known.places.insert(endpoint.to_owned(), Arc::clone(&place));
        known.tenants.insert(slug.to_owned(), place);
        self.any.store(true, Ordering::Release);
        true
    }

    /// Forgets where a path's tenant is served. False: it was not known.
    pub(super) fn forget(&self, path: &str) -> bool {
        let Some(slug) = slug(path) else { return false };
        self.any.load(Ordering::Acquire) && self.lock().tenants.remove(slug).is_some()
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The tenant that a path is about.
fn slug(path: &str) -> Option<&str> {
    let rest = path.strip_prefix("/v1/tenants/")?;
    rest.split(['/', '?']).next().filter(|slug| !slug.is_empty())
}

/// The base URL that an answer sends its caller to.
fn elsewhere(error: &ClientError) -> Option<&str> {
    let problem = error.problem().filter(|problem| problem.status == 421)?;
    problem.endpoint.as_deref()
}
