//! Three regions of three nodes, with a way between them: what is promised of several regions and of tenants that move.
//!
//! The stage is [`crate::stage::Stage::over`]: a proxy on every link from one region to another, and so much of a way on it as is asked
//! for. [`moves`] and [`lifecycle`] are ordinary runs, with all their checkers, in which leaders are killed while tenants move, and while
//! the cluster is changed, upgraded and restored from. [`creating`], [`loss`] and [`soak`] put figures on what clients notice; the last two under the load of [`towns`]. [`residency`]
//! looks for canaries where they must not be.

pub mod canary;
pub mod creating;
pub mod desk;
pub mod lifecycle;
pub mod loss;
pub mod moves;
mod reaper;
pub mod residency;
pub mod soak;
pub mod towns;

use std::path::Path;

use anyhow::{Context, Result};
use rig::layout::Layout;

use crate::stage::NODES;

/// The name under which kills stand in a timeline.
const KILL: &str = "kill";
/// The group of all regions.
const DIRECTORY: &str = "directory";

/// Their names.
pub const REGIONS: [&str; 3] = ["us-east-1", "eu-west-1", "ap-southeast-1"];

/// All of them, with so many shared cells each.
pub fn layout(shared: usize) -> Result<Layout> {
    let mut layout = Layout::new(&REGIONS.map(|region| (region, NODES)))?;
    layout.shared = shared;
    Ok(layout)
}

/// The keys of each region's backup, in a store of its own below a directory: archived often, so that a time can be had soon.
fn backup(stores: &Path) -> String {
    format!(
        "store = \"file://{}/{{region}}\"\nevery_seconds = 1\nbase_every_seconds = 15",
        stores.display()
    )
}

/// A runtime for calls besides a load.
pub(crate) fn runtime() -> Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("start a runtime")
}
