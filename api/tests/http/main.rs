//! The contract, seen from outside: a real server on a port, in front of a service in memory.

#![allow(clippy::unwrap_used)]

mod admission;
mod bodies;
mod client;
mod compression;
mod connections;
mod cors;
mod document;
mod drain;
mod files;
mod forwarding;
mod hostile;
mod http2;
mod limits;
mod live;
mod memory;
mod resources;
mod routing;
mod streams;
mod support;
mod tls;
mod together;
mod typed;
