//! The bodies of requests and replies, a file a resource. Unknown fields are refused everywhere.

pub mod backup;
pub mod collection;
pub mod control;
pub mod event;
pub mod import;
pub mod policy;
pub mod record;
pub mod token;
pub mod topology;
