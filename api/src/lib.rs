//! The contract: everything that the public sees of CloudNest.
//!
//! HTTP, JSON, ids, errors, limits, the OpenAPI document and the typed client live here. What a request *means* does not:
//! [`service::Service`] is a trait, implemented by `cell`, and this crate knows nothing of logs, stores or placement.
//!
//! Invariant: this crate touches no disk and imports none of its siblings.

pub mod body;
pub mod client;
pub mod error;
mod forward;
mod front;
mod gate;
pub mod ids;
mod ingress;
mod json;
pub mod limits;
mod metrics;
pub mod openapi;
pub mod problem;
mod query;
mod read;
mod reply;
mod routes;
pub mod server;
pub mod service;
mod trace;
