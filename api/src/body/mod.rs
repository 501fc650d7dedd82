//! The bodies of requests and replies, a file a resource. Unknown fields are refused everywhere.

pub mod backup;
pub mod balance;
pub mod collection;
pub mod control;
pub mod event;
pub mod file;
pub mod import;
pub mod live;
pub mod node;
pub mod policy;
pub mod record;
pub mod rendered;
pub mod search;
pub mod token;
pub mod topology;
pub mod usage;
