//! Links to the content of a file that need no token: what is signed, and whether a signature is right.
//!
//! A signature is BLAKE3 keyed with the tenant's secret, over everything that the link says. It is compared in constant time.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use uuid::Uuid;

/// What a link says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Claim {
    /// The tenant's space.
    pub(crate) space: u64,
    /// The file.
    pub(crate) file: Uuid,
    /// The version; none: the current one.
    pub(crate) version: Option<u64>,
    /// Until when it may be used, in seconds since the epoch.
    pub(crate) expires: u64,
}

impl Claim {
    fn mac(&self, secret: &[u8; 32]) -> blake3::Hash {
        let mut hasher = blake3::Hasher::new_keyed(secret);
        hasher.update(b"cloudnest link 1\0");
        hasher.update(&self.space.to_be_bytes());
        hasher.update(self.file.as_bytes());
        // No version has the number 0.
        hasher.update(&self.version.unwrap_or(0).to_be_bytes());
        hasher.update(&self.expires.to_be_bytes());
        hasher.finalize()
    }

    /// The signature, as it stands in a link.
    pub(crate) fn sign(&self, secret: &[u8; 32]) -> String {
        URL_SAFE_NO_PAD.encode(self.mac(secret).as_bytes())
    }

    /// Whether a signature is of this link.
    pub(crate) fn is_signed(&self, secret: &[u8; 32], signature: &str) -> bool {
        let Ok(bytes) = URL_SAFE_NO_PAD.decode(signature) else {
            return false;
        };
        <[u8; 32]>::try_from(bytes).is_ok_and(|bytes| self.mac(secret) == blake3::Hash::from(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_of_one_link_and_one_secret() {
        let claim = Claim {
            space: 7,
            file: Uuid::from_u128(1),
            version: None,
            expires: 100,
        };
        let signature = claim.sign(&[1; 32]);
        assert!(claim.is_signed(&[1; 32], &signature) && !claim.is_signed(&[2; 32], &signature));
        let others = [
            Claim { space: 8, ..claim },
            Claim {
                file: Uuid::from_u128(2),
                ..claim
            },
            Claim {
                version: Some(1),
                ..claim
            },
            Claim { expires: 101, ..claim },
        ];
        assert!(others.iter().all(|other| !other.is_signed(&[1; 32], &signature)));
        for wrong in ["", "AAAA", "not base64!", &signature[1..]] {
            assert!(!claim.is_signed(&[1; 32], wrong), "{wrong}");
        }
    }
}
