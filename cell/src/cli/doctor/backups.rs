//! Whether the stores of the backups can be opened from here. How far the backups of running cells are is in `cluster status`.

use super::Finding;
use crate::config::Config;

pub(super) fn backups(config: &Config) -> Finding {
    let regions = config.topology.regions.len();
    if config.backups.is_empty() {
        let advice = "add [region.backup] to each region (docs/backups.md): what all replicas of a cell lose is lost without";
        return Finding::warn("backups", "no region has one", advice);
    }
    for backup in &config.backups {
        let credentials = match &backup.keys {
            None => None,
            Some((key_id, secret)) => match (key_id.read(), secret.read()) {
                (Ok(key_id), Ok(secret)) => Some(storage::objects::Credentials { key_id, secret }),
                (Err(error), _) | (_, Err(error)) => {
                    let advice = "write the key to where the configuration says it is";
                    return Finding::fail("backups", format!("{}: {error}", backup.region), advice);
                }
            },
        };
        if let Err(error) = backup.store.open(credentials.as_ref()) {
            let advice = "mount the directory, or correct the address in [region.backup]";
            return Finding::fail("backups", format!("{}: {error}", backup.region), advice);
        }
    }
    Finding::ok("backups", format!("{} of {regions} regions have one", config.backups.len()))
}
