//! The ground: one group's durable data.
pub mod key;
pub mod table;
mod error;
mod snapshot;
mod space;
mod store;

pub use bytes::Bytes;
pub use error::Error;
pub use key::{Element, Key, KeyError, KeyRange};
pub use snapshot::{Direction, RangeHash, Scan, Snapshot};
pub use space::Space;
pub use store::*;
pub use table::*;
