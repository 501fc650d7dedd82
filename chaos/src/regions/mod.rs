//! Three regions of three nodes, with a way between them: what is promised of several regions and of tenants that move.
//!
//! The stage is [`crate::stage::Stage::over`]: a proxy on every link from one region to another, and so much of a way on it as is asked
//! for. [`moves`] is an ordinary run, with all its checkers, in which tenants move and leaders are killed meanwhile. [`creating`], [`loss`] and
//! [`soak`] put figures on what clients notice; the last two under the load of [`towns`]. [`residency`] looks for
//! canaries where they must not be.

pub mod canary;
pub mod creating;
pub mod desk;
pub mod loss;
pub mod moves;
pub mod residency;
pub mod soak;
pub mod towns;

use anyhow::{Context, Result};
use rig::layout::Layout;

use crate::stage::NODES;

/// Their names.
pub const REGIONS: [&str; 3] = ["us-east-1", "eu-west-1", "ap-southeast-1"];

/// All of them, with so many shared cells each.
pub fn layout(shared: usize) -> Result<Layout> {
    let mut layout = Layout::new(&REGIONS.map(|region| (region, NODES)))?;
    layout.shared = shared;
    Ok(layout)
}

/// A runtime for calls besides a load.
pub(crate) fn runtime() -> Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("start a runtime")
}
