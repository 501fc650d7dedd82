//! What a node is: its version and level, its disk, and what it does just now. Told to other nodes, which tell operators.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::platform::Platform;
use crate::machine::level::OLDEST;

/// What a node is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct About {
    /// The version of its program; none: it does not say.
    pub(crate) version: Option<String>,
    /// The level that it runs at.
    pub(crate) level: u32,
    /// When its process started, in microseconds since the epoch; none: it does not say.
    pub(crate) started: Option<u64>,
    /// Whether it drains; none: it does not say.
    pub(crate) drains: Option<bool>,
    /// The disk of its data; none: not known.
    pub(crate) disk: Option<Disk>,
    /// The level of the group that it was asked about; none: it has no replica of it.
    pub(crate) group_level: Option<u32>,
}

/// A disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Disk {
    /// What is free for the node, in bytes.
    pub(crate) free: u64,
    /// All of it, in bytes.
    pub(crate) size: u64,
}

/// Versions of [`About`] on the wire.
#[derive(Serialize, Deserialize)]
pub(crate) enum AboutForm {
    /// The first.
    V1(About),
}

impl About {
    /// What is known of a node whose version does not know the question.
    pub(crate) fn oldest() -> Self {
        Self {
            version: None,
            level: OLDEST,
            started: None,
            drains: None,
            disk: None,
            group_level: None,
        }
    }
}

impl Disk {
    /// The disk that a path is on.
    pub(super) fn of(path: &Path) -> Option<Self> {
        let disk = rustix::fs::statvfs(path)
            .inspect_err(
                |error| tracing::warn!(%error, path = %path.display(), "the disk of the data cannot be asked for its room"),
            )
            .ok()?;
        Some(Self {
            free: disk.f_bavail.saturating_mul(disk.f_frsize),
            size: disk.f_blocks.saturating_mul(disk.f_frsize),
        })
    }
}

impl Platform {
    /// What this node is, and at which level its replica of a group.
    pub(crate) fn about(&self, group: u64) -> About {
        About {
            version: Some(env!("CARGO_PKG_VERSION").to_owned()),
            level: self.level,
            started: Some(self.started),
            drains: Some(self.is_draining()),
            disk: Disk::of(&self.data),
            group_level: self
                .slot(group)
                .and_then(|slot| slot.get())
                .map(|replica| replica.level.group()),
        }
    }
}
