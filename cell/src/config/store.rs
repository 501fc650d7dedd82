//! The keys that name a store of a region, wherever a section has one: a directory that the nodes share, or a bucket that speaks S3.

use std::path::Path;

use storage::objects::{Credentials, Place};

use super::checked::Checker;
use super::raw::{At, RawSecret};
use super::section::{Need, Section};
use super::{Secret, SecretError};

/// What stands for the name of the region in the address of a store.
const REGION: &str = "{region}";

/// A store of a region.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Store {
    /// Where it is.
    pub place: Place,
    /// Where the id of the key is that opens it, and its secret.
    pub keys: Option<(Secret, Secret)>,
}

impl Store {
    /// The key that opens it, read anew; none: it takes none. An error says which half cannot be read.
    pub fn credentials(&self) -> Result<Option<Credentials>, SecretError> {
        let read = |(key_id, secret): &(Secret, Secret)| {
            Ok(Credentials {
                key_id: key_id.read()?,
                secret: secret.read()?,
            })
        };
        self.keys.as_ref().map(read).transpose()
    }
}

/// The keys of a section, as messages show them.
pub(super) struct Keys {
    pub(super) store: &'static str,
    pub(super) endpoint: &'static str,
    pub(super) signed_for: &'static str,
    pub(super) access_key: &'static str,
    pub(super) secret_key: &'static str,
}

/// The keys as written.
#[derive(Debug)]
pub(super) struct RawStore {
    store: Option<At<String>>,
    endpoint: Option<At<String>>,
    signed_for: Option<At<String>>,
    access_key: Option<At<RawSecret>>,
    secret_key: Option<At<RawSecret>>,
}

/// Reads the keys; `example` says what to write where there is no address.
pub(super) fn read(section: &mut Section<'_, '_, '_>, keys: &Keys, example: &'static str) -> RawStore {
    RawStore {
        store: section.text(keys.store, Need::Required(example)),
        endpoint: section.text(keys.endpoint, Need::Optional),
        signed_for: section.text(keys.signed_for, Need::Optional),
        access_key: section.secret(keys.access_key),
        secret_key: section.secret(keys.secret_key),
    }
}

impl Checker<'_, '_> {
    /// A store of a region; none where it is wrong, which is reported.
    pub(super) fn store(&mut self, region: &str, raw: &RawStore, dir: &Path) -> Option<Store> {
        let keys = self.keys(raw, dir);
        let place = self.place(region, raw, dir)?;
        Some(Store { place, keys })
    }

    fn place(&mut self, region: &str, raw: &RawStore, dir: &Path) -> Option<Place> {
        let at = raw.store.as_ref()?;
        let address = at.value.replace(REGION, region);
        let mut place = match Place::parse(&address, dir) {
            Ok(place) => place,
            Err(error) => {
                let fix = "write file:///DIRECTORY or s3://BUCKET/PREFIX";
                self.findings.add(&at.span, at.key, error.to_string(), fix);
                return None;
            }
        };
        // What a region holds does not lie with what another one does, nor a backup with what it is one of.
        self.once(
            "store",
            &place.to_string(),
            at,
            "give each region its own, and backups another than files: {region} stands for the region's name",
        );
        if let Place::Bucket { region, endpoint, .. } = &mut place {
            *region = raw.signed_for.as_ref().map(|at| at.value.clone());
            *endpoint = raw.endpoint.as_ref().map(|at| at.value.clone());
            return Some(place);
        }
        for at in [&raw.signed_for, &raw.endpoint].into_iter().flatten() {
            self.findings
                .add(&at.span, at.key, "is for a store that speaks S3", "remove it");
        }
        Some(place)
    }

    fn keys(&mut self, raw: &RawStore, dir: &Path) -> Option<(Secret, Secret)> {
        let secret = |at: &At<RawSecret>| match &at.value {
            RawSecret::File(path) => Secret::File(dir.join(path)),
            RawSecret::Env(name) => Secret::Env(name.clone()),
        };
        match (&raw.access_key, &raw.secret_key) {
            (Some(id), Some(key)) => Some((secret(id), secret(key))),
            (Some(at), None) | (None, Some(at)) => {
                let fix = "write access_key and secret_key, each { file = \"…\" } or { env = \"…\" }";
                self.findings.add(&at.span, at.key, "is one half of a key", fix);
                None
            }
            (None, None) => None,
        }
    }
}
