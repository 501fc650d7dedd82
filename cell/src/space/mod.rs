//! A tenant's space in a cell: made once, erased in steps, never made again.

pub(crate) mod create;
pub(crate) mod erase;
pub(crate) mod open;

#[cfg(test)]
mod tests;
