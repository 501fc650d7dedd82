//! `[region.backup]`: where the backups of a region's cells lie, and how often they are made.
//!
//! It belongs to the nodes, not to the topology: the store is of the region, and nobody outside needs to know of it.

use std::path::Path;

use super::Store;
use super::checked::Checker;
use super::raw::At;
use super::section::{Need, Section};
use super::store::{self, Keys, RawStore};

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

const KEYS: Keys = Keys {
    store: "region.backup.store",
    endpoint: "region.backup.endpoint",
    signed_for: "region.backup.signed_for",
    access_key: "region.backup.access_key",
    secret_key: "region.backup.secret_key",
};

/// The backups of a region.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backup {
    /// The region.
    pub region: String,
    /// Where they lie.
    pub store: Store,
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
    store: RawStore,
    every_seconds: Option<At<u64>>,
    base_every_seconds: Option<At<u64>>,
    keep_days: Option<At<u64>>,
}

/// Reads the section.
pub(super) fn read(section: &mut Section<'_, '_, '_>) -> RawBackup {
    let example = "such as store = \"file:///var/backups/cloudnest/{region}\" or \"s3://bucket/{region}\"";
    RawBackup {
        store: store::read(section, &KEYS, example),
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
        let store = self.store(region, &raw.store, dir)?;
        Some(Backup {
            region: region.to_owned(),
            store,
            every_seconds,
            base_every_seconds,
            keep_days,
        })
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
