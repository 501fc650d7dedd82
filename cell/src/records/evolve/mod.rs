//! Changes of a schema that existing records must be checked, changed or indexed for, while they are read and written.
//!
//! Such a change is an operation of three phases. While it is **fitting**, the collection has its schema as before and, beside it, the
//! one that it is to have ([`pending`]): every write keeps both, and bounded steps ([`step`]) bring the other records along, in the order
//! of their ids. A field of another type, or one that fills in a default, has a new number: its values are computed beside the old
//! ones, and nobody sees them yet. When all records fit, one command **switches**: the new schema is the schema. Records that do not fit
//! are listed, and the operation fails; nothing has changed then. Either way the operation ends by **cleaning**: what belongs to the
//! schema that is not used goes.
//!
//! A collection with records is deleted by the same means ([`drop`]): its name is free at once, and steps erase what it held.
//!
//! Whoever leads the cell proposes step after step (`node/evolving.rs`). How far an operation is is stored by each step, so that any
//! leader goes on.
//!
//! Invariants:
//! - A step depends on nothing but what is stored: proposed twice, the second goes on where the first ended.
//! - While fitting, a record that a step has passed, or that a write has stored since, fits the new schema and has all its entries.
//! - A record that has not been reached yet may still not fit; a write that leaves the values in question as they are is let through.
//! - No version, no event: to fit is no change of a record. The switch is one event of the collection.
//!
//! CAVEATS: One change of a collection at a time. Values of a dropped field stay in history until it is trimmed.

pub(crate) mod cancel;
pub(crate) mod change;
pub(crate) mod drop;
mod extra;
pub(crate) mod pending;
mod phases;
mod retype;
pub(crate) mod shape;
pub(crate) mod step;
pub(crate) mod work;
