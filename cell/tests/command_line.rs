//! The built binary as its users see it: what commands print, write and answer, and how they end.
//!
//! Every test starts processes of its own on ports that the system chose, waits on conditions with a deadline, and ends what
//! it started: [`process::Running`] kills on drop, and the kernel kills when the test process itself is killed.
#![allow(clippy::unwrap_used, missing_docs)]

#[path = "command_line/certificates.rs"]
mod certificates;
#[path = "command_line/cluster.rs"]
mod cluster;
#[path = "command_line/dev.rs"]
mod dev;
#[path = "command_line/files.rs"]
mod files;
#[path = "command_line/hostile.rs"]
mod hostile;
#[path = "command_line/import.rs"]
mod import;
#[path = "command_line/kept.rs"]
mod kept;
#[path = "command_line/page.rs"]
mod page;
#[path = "command_line/process.rs"]
mod process;
#[path = "command_line/secure.rs"]
mod secure;
#[path = "command_line/tour.rs"]
mod tour;
#[path = "command_line/usage.rs"]
mod usage;
