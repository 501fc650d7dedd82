//! API keys: who may do what in a tenant. Only hashes of secrets are stored.

pub(crate) mod authenticate;
pub(crate) mod cache;
pub(crate) mod secret;
pub(crate) mod token_create;
pub(crate) mod token_delete;
pub(crate) mod token_row;
