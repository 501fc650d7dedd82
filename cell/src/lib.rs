//! CloudNest: a multi-tenant platform for collaboration software in one binary.
//!
//! This crate is where the three others meet: it implements the front's [`api::service::Service`] over groups of the log
//! (`raft`) whose committed commands change one store each (`storage`). A request comes down once, takes one turn at the log,
//! and goes up once; `ARCHITECTURE.md` walks the way by file.
//!
//! | module | what |
//! |---|---|
//! | `cli`, `config` | the command line; `cluster.toml`, read and checked once |
//! | `node` | starts and stops a node; replicas; what leaders do by themselves |
//! | `service` | one method a call of the contract |
//! | `machine` | the frame of every command: decode, compare versions, apply, answer |
//! | `archive` | a tenant as one file |
//! | `search` | what records say, found by words |
//! | `files` | files with versions, beside records |
//! | `documents` | texts that several people write at the same time |
//! | `records`, `access`, `space`, `directory`, `placement` | the domains: one file a command |

pub mod cli;
mod cluster;
pub mod config;
pub mod node;

mod access;
mod archive;
mod backup;
mod directory;
mod documents;
mod expr;
mod fair;
mod files;
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;
mod machine;
mod mutant;
mod placement;
mod records;
mod scrub;
mod search;
mod service;
mod space;
