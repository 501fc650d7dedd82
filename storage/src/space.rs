//! A space is one tenant's slice of a group's store: the first eight bytes of every key, so that all that belongs to a tenant
//! lies together, moves together and is flushed together.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The number of a tenant's slice of a store; never reused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Space(
    /// The number itself.
    pub u64,
);

impl Space {
    /// The group's own space: what belongs to the group and to no tenant.
    pub const SYSTEM: Space = Space(0);

    /// The last space that can exist.
    pub const LAST: Space = Space(u64::MAX);
}

impl fmt::Display for Space {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", self.0)
    }
}
