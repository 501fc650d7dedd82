//! CloudNest: a multi-tenant platform for collaboration software in one binary.

pub mod config;
