//! `version`: which build this is, and which formats it reads and writes.

use clap::Args;
use serde::Serialize;

use super::{Result, output};
use crate::machine::level::{NEWEST, OLDEST};
use crate::mutant;

/// Print the version of this build and of its formats
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  cloudnest version --json")]
pub(super) struct Version {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// What `version` prints.
#[derive(Debug, Serialize)]
struct Build {
    version: &'static str,
    profile: &'static str,
    target: String,
    /// Whether known bugs can be put back into this build.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    mutants: bool,
    formats: Formats,
}

/// Versions of what outlives a process.
#[derive(Debug, Serialize)]
struct Formats {
    /// The public API: the first part of every path.
    api: &'static str,
    /// Lines of a tenant's export.
    export: u32,
    /// `cluster.toml`.
    config: u32,
    /// Levels that nodes of this version can run at (docs/upgrades.md).
    levels: [u32; 2],
}

impl Version {
    pub(super) fn run(self) -> Result {
        let build = Build {
            version: env!("CARGO_PKG_VERSION"),
            profile: if cfg!(debug_assertions) { "debug" } else { "release" },
            target: format!("{}-{}", std::env::consts::ARCH, std::env::consts::OS),
            mutants: mutant::BUILT,
            formats: Formats {
                api: "v1",
                export: 1,
                config: 1,
                levels: [OLDEST, NEWEST],
            },
        };
        if self.json {
            return output::json(&build);
        }
        output::line(&format!("cloudnest {} ({}, {})", build.version, build.profile, build.target))?;
        if build.mutants {
            output::line(mutant::NOTICE)?;
        }
        let formats = &build.formats;
        output::line(&format!(
            "formats: api {}, export {}, config {}; levels {OLDEST} to {NEWEST}",
            formats.api, formats.export, formats.config
        ))
    }
}
