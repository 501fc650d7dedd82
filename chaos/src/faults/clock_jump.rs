//! A wall clock that jumps by an hour, through libfaketime: leases, stamps and ids must not mind.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::{Coverage, Fault, Hold, Lane};
use crate::field::Field;
use crate::plan::Step;

/// Where distributions put the library for programs with threads.
const LIBRARIES: [&str; 4] = [
    "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1",
    "/usr/lib/aarch64-linux-gnu/faketime/libfaketimeMT.so.1",
    "/usr/lib/faketime/libfaketimeMT.so.1",
    "/usr/lib64/faketime/libfaketimeMT.so.1",
];

/// See the module.
pub(super) struct ClockJump;

fn library() -> Option<&'static str> {
    LIBRARIES.into_iter().find(|path| Path::new(path).exists())
}

fn clock(directory: &Path, node: &str) -> PathBuf {
    directory.join(format!("{node}.clock"))
}

impl ClockJump {
    fn set(field: &Field<'_>, node: usize, offset: &str) -> Result<()> {
        let config = field.cluster.config();
        let path = clock(config.parent().context("find the run's directory")?, &field.name(node));
        std::fs::write(&path, offset).with_context(|| format!("write {}", path.display()))
    }
}

impl Fault for ClockJump {
    fn name(&self) -> &'static str {
        "clock-jump"
    }

    fn about(&self) -> &'static str {
        "the wall clock of a node jumps by an hour, forwards or back, and back again"
    }

    fn lane(&self) -> Lane {
        Lane::Side
    }

    fn lasts_ms(&self) -> (u64, u64) {
        (1_000, 4_000)
    }

    fn probe(&self) -> Coverage {
        Coverage::of(library().map(|_| ()).ok_or_else(|| "libfaketime is not installed".to_owned()))
    }

    fn environment(&self, directory: &Path, node: &str) -> Vec<(String, String)> {
        let path = clock(directory, node);
        // Without the file the library shows the real time, which is where a run begins.
        let _ = std::fs::write(&path, "+0");
        let pairs = [
            ("LD_PRELOAD", library().unwrap_or_default().to_owned()),
            ("FAKETIME_TIMESTAMP_FILE", path.display().to_string()),
            ("FAKETIME_NO_CACHE", "1".to_owned()),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned()),
        ];
        pairs.map(|(name, value)| (name.to_owned(), value)).to_vec()
    }

    fn inject(&self, field: &mut Field<'_>, step: &Step) -> Result<Hold> {
        let node = field.pick_one(step.whom)?;
        let offset = if step.dice.is_multiple_of(2) { "+3600" } else { "-3600" };
        Self::set(field, node, offset)?;
        Ok(Hold::new(vec![node], format!("{offset} s")))
    }

    fn heal(&self, field: &mut Field<'_>, _: &Step, hold: &mut Hold) -> Result<String> {
        Self::set(field, hold.nodes[0], "+0")?;
        Ok("back".to_owned())
    }
}
