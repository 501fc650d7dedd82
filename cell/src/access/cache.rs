//! Principals that were looked up before, so that a request with a known token costs no read of the store.
//!
//! An entry holds for one version of the tenant's tokens: any change of a token makes all of the tenant's entries stale, so
//! that a revoked token is never found here.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use api::service::Principal;
use storage::Space;

use crate::mutant::{self, Mutant};

/// Most principals that are kept. Raised: more memory. Lowered: tenants that take turns are looked up again.
const PRINCIPALS: usize = 16_384;

/// Principals by space and hash of their secret.
#[derive(Default)]
pub(crate) struct Principals(Mutex<BTreeMap<(Space, [u8; 32]), Principal>>);

impl Principals {
    /// The principal of a secret, where it was looked up at this version of the tenant's tokens and has not expired.
    pub(crate) fn get(&self, space: Space, hash: [u8; 32], access: u64, now: u64) -> Option<Principal> {
        let kept = self.lock().get(&(mutant::owner(space), hash)).cloned()?;
        // Mutant, B27.
        let current = kept.version == access || Mutant::RevokedTokenAccepted.active();
        let holds = current && kept.expires_at.is_none_or(|expires| expires > now);
        holds.then_some(kept)
    }

    /// Keeps what was looked up.
    pub(crate) fn put(&self, space: Space, hash: [u8; 32], principal: Principal) {
        let mut kept = self.lock();
        if kept.len() >= PRINCIPALS {
            kept.pop_first();
        }
        kept.insert((mutant::owner(space), hash), principal);
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<(Space, [u8; 32]), Principal>> {
        // Entries are replaced whole; a panic in between leaves the map as it was.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_holds_for_one_version_and_until_it_expires() {
        let kept = Principals::default();
        let principal = Principal {
            token: api::ids::Id(uuid::Uuid::nil()),
            version: 3,
            name: "one".into(),
            role: api::body::token::Role::Guest,
            scopes: None,
            expires_at: Some(100),
        };
        kept.put(Space(1), [1; 32], principal.clone());
        assert_eq!(kept.get(Space(1), [1; 32], 3, 99), Some(principal));
        assert_eq!(kept.get(Space(1), [1; 32], 4, 99), None, "a token has changed since");
        assert_eq!(kept.get(Space(1), [1; 32], 3, 100), None, "it has expired");
        assert_eq!(kept.get(Space(2), [1; 32], 3, 99), None, "another tenant's");
    }
}
