//! Whether the stores of the backups, and of files, can be opened from here. How far the backups of running cells are is in `cluster status`.

use super::Finding;
use crate::config::{Config, Store};

pub(super) fn backups(config: &Config) -> Finding {
    let regions = config.topology.regions.len();
    if config.backups.is_empty() {
        let advice = "add [region.backup] to each region (docs/backups.md): what all replicas of a cell lose is lost without";
        return Finding::warn("backups", "no region has one", advice);
    }
    let stores = config.backups.iter().map(|backup| (&backup.region, &backup.store));
    let failure = stores
        .filter_map(|(region, store)| unopened("backups", "[region.backup]", region, store))
        .next();
    if let Some(failure) = failure {
        return failure;
    }
    Finding::ok("backups", format!("{} of {regions} regions have one", config.backups.len()))
}

/// The stores of files; none: files are on the nodes' disks.
pub(super) fn files(config: &Config) -> Option<Finding> {
    let first = config.files.first()?;
    let stores = config.files.iter().map(|files| (&files.region, &files.store));
    let failure = stores
        .filter_map(|(region, store)| unopened("files", "[region.files]", region, store))
        .next();
    let fine = || {
        format!(
            "{} regions have a store of files, the first is {}",
            config.files.len(),
            first.store.place
        )
    };
    Some(failure.unwrap_or_else(|| Finding::ok("files", fine())))
}

/// Why a store cannot be opened; none: it can.
fn unopened(check: &'static str, section: &str, region: &str, store: &Store) -> Option<Finding> {
    let credentials = match store.credentials() {
        Ok(credentials) => credentials,
        Err(error) => {
            let advice = "write the key to where the configuration says it is";
            return Some(Finding::fail(check, format!("{region}: {error}"), advice));
        }
    };
    let error = store.place.open(credentials.as_ref()).err()?;
    let advice = format!("mount the directory, or correct the address in {section}");
    Some(Finding::fail(check, format!("{region}: {error}"), advice))
}
