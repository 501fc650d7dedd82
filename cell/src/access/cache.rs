//! Principals that were looked up before, so that a request with a known token costs no read of the store.
//!
//! An entry holds for one version of the tenant's tokens: any change of a token makes all of the tenant's entries stale, so
//! that a revoked token is never found here.

use api::service::Principal;
use storage::Space;

use crate::machine::kept::{Hits, Kept};
use crate::mutant::{self, Mutant};

/// Most principals that are kept. Raised: more memory. Lowered: tenants that take turns are looked up again.
const PRINCIPALS: usize = 16_384;

/// Principals by space and hash of their secret.
pub(crate) struct Principals(Kept<(Space, [u8; 32]), Principal>);

impl Default for Principals {
    fn default() -> Self {
        Self(Kept::new(PRINCIPALS))
    }
}

impl Principals {
    /// The principal of a secret, where it was looked up at this version of the tenant's tokens and has not expired.
    pub(crate) fn get(&self, space: Space, hash: [u8; 32], access: u64, now: u64) -> Option<Principal> {
        self.0.get((mutant::owner(space), hash), |kept| {
            // Mutant, B27.
            let current = kept.version == access || Mutant::RevokedTokenAccepted.active();
            current && kept.expires_at.is_none_or(|expires| expires > now)
        })
    }

    /// Keeps what was looked up.
    pub(crate) fn put(&self, space: Space, hash: [u8; 32], principal: Principal) {
        self.0.put((mutant::owner(space), hash), principal, |_| false);
    }

    /// How often a principal was known.
    pub(crate) fn hits(&self) -> Hits {
        self.0.hits()
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
