//! `--compat-level`: runs this program as the version before it.

use clap::Args;

use crate::machine::level::{NEWEST, OLDEST};

/// At which level a node runs.
#[derive(Args, Clone, Copy, Debug, Default)]
pub(crate) struct Compat {
    /// Run as the version of this level does: nothing is written that it could not read (docs/upgrades.md)
    #[arg(long, value_name = "LEVEL", value_parser = clap::value_parser!(u32).range(i64::from(OLDEST)..=i64::from(NEWEST)))]
    compat_level: Option<u32>,
}

impl Compat {
    /// The level.
    pub(crate) fn level(self) -> u32 {
        self.compat_level.unwrap_or(NEWEST)
    }

    /// The level, where it is not the newest.
    pub(crate) fn older(self) -> Option<u32> {
        self.compat_level.filter(|level| *level < NEWEST)
    }
}
