//! The OpenAPI document.

/// The document, as it is checked in.
pub const DOCUMENT: &str = include_str!("../openapi.json");
