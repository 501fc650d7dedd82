//! `[region.backup]`: where the backups of a region's cells lie, and how often they are made.
//!
//! It belongs to the nodes, not to the topology: the store is of the region, and nobody outside needs to know of it.

use std::path::Path;

use storage::objects::Place;

use super::Secret;
use super::checked::Checker;
use super::raw::{At, RawSecret};
use super::section::{Need, Section};

/// What may be lost when all replicas of a cell are, in seconds: the log is archived at least so often.
const EVERY_MAX_SECONDS: u64 = 60;
/// Between two archivings of the log, in seconds, where the file says nothing.
const EVERY_SECONDS: u64 = 20;
/// Between two bases, in seconds, where the file says nothing. Raised: a restore reads more log. Lowered: more is stored.
const BASE_EVERY_SECONDS: u64 = 24 * 3_600;
/// How long it can be restored to any time, in days, where the file says nothing.
const KEEP_DAYS: u64 = 7;
/// The longest that may be written, in days.
const KEEP_DAYS_MAX: u64 = 3_650;
/// What stands for the name of the region in the address of a store.
const REGION: &str = "{region}";

/// The backups of a region.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backup {
    /// The region.
    pub region: String,
    /// Where they lie.
    pub store: Place,
    /// Where the id of the key is that opens the store, and its secret.
    pub keys: Option<(Secret, Secret)>,
    /// Between two archivings of the log, in seconds.
    pub every_seconds: u64,
    /// Between two bases, in seconds.
    pub base_every_seconds: u64,
    /// How long it can be restored to any time, in days.
    pub keep_days: u64,
}

/// The section as written.
#[derive(Debug)]
pub(super) struct RawBackup {
    store: Option<At<String>>,
    endpoint: Option<At<String>>,
    signed_for: Option<At<String>>,
    access_key: Option<At<RawSecret>>,
    secret_key: Option<At<RawSecret>>,
    every_seconds: Option<At<u64>>,
    base_every_seconds: Option<At<u64>>,
    keep_days: Option<At<u64>>,
}

/// Reads the section.
pub(super) fn read(section: &mut Section<'_, '_, '_>) -> RawBackup {
    let store = "such as store = \"file:///var/backups/cloudnest/{region}\" or \"s3://bucket/{region}\"";
    RawBackup {
        store: section.text("region.backup.store", Need::Required(store)),
        endpoint: section.text("region.backup.endpoint", Need::Optional),
        signed_for: section.text("region.backup.signed_for", Need::Optional),
        access_key: section.secret("region.backup.access_key"),
        secret_key: section.secret("region.backup.secret_key"),
        every_seconds: section.number("region.backup.every_seconds", Need::Optional),
        base_every_seconds: section.number("region.backup.base_every_seconds", Need::Optional),
        keep_days: section.number("region.backup.keep_days", Need::Optional),
    }
}

impl Checker<'_, '_> {
    /// The backups of a region; none where the section is wrong, which is reported.
    pub(super) fn backup(&mut self, region: &str, raw: &RawBackup, dir: &Path) -> Option<Backup> {
        let every_seconds = self.within(&raw.every_seconds, EVERY_SECONDS, (1, EVERY_MAX_SECONDS));
        let base_every_seconds = self.within(&raw.base_every_seconds, BASE_EVERY_SECONDS, (1, 31 * BASE_EVERY_SECONDS));
        let keep_days = self.within(&raw.keep_days, KEEP_DAYS, (1, KEEP_DAYS_MAX));
        let keys = self.keys(raw, dir);
        let store = self.store(region, raw, dir)?;
        Some(Backup {
            region: region.to_owned(),
            store,
            keys,
            every_seconds,
            base_every_seconds,
            keep_days,
        })
    }

    fn store(&mut self, region: &str, raw: &RawBackup, dir: &Path) -> Option<Place> {
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
        // What a region holds does not lie with what another one does.
        self.once(
            "backup store",
            &place.to_string(),
            at,
            "give each region its own: {region} stands for its name",
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

    fn keys(&mut self, raw: &RawBackup, dir: &Path) -> Option<(Secret, Secret)> {
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

    fn within(&mut self, at: &Option<At<u64>>, default: u64, (least, most): (u64, u64)) -> u64 {
        let Some(at) = at else { return default };
        if !(least..=most).contains(&at.value) {
            let what = format!("{} does not fit", at.value);
            self.findings.add(&at.span, at.key, what, format!("write {least} to {most}"));
        }
        at.value
    }
}
