//! Lists of the chunks of files that something archived names: the commands of a segment, or the rows of a base.
//!
//! A list is there before what it belongs to, and goes after it. It says what a restore may count on, and what no sweep may remove.

use serde::{Deserialize, Serialize};
use storage::blob::ChunkHash;

use crate::machine::envelope::{open, seal};

/// Chunks in one list, about. Raised: more memory for each. Lowered: more objects.
pub(super) const LIST_CHUNKS: usize = 65_536;

const _: () = assert!(2 * LIST_CHUNKS * size_of::<ChunkHash>() < storage::objects::OBJECT_BYTES_MAX);

/// Chunks of one tenant.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Listed {
    /// The number of its space.
    pub(crate) uid: u64,
    /// Those that are in the store.
    pub(crate) kept: Vec<ChunkHash>,
    /// Those that could not be had when they were to be archived.
    pub(crate) missing: Vec<ChunkHash>,
}

/// Versions of a list.
#[derive(Serialize, Deserialize)]
enum ListRow {
    /// The first.
    V1(Vec<Listed>),
}

/// The bytes of a list.
pub(crate) fn encode(listed: Vec<Listed>) -> Vec<u8> {
    seal(&ListRow::V1(listed))
}

/// Reads the bytes of a list.
pub(crate) fn decode(bytes: &[u8]) -> Result<Vec<Listed>, String> {
    let ListRow::V1(listed) = open(bytes).map_err(|error| error.to_string())?;
    Ok(listed)
}

/// What a base has of chunks. Bases of versions that archived none have no such object.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Holdings {
    /// Lists.
    pub(crate) lists: u64,
    /// Chunks that are in the store.
    pub(crate) kept: u64,
    /// Chunks that could not be had.
    pub(crate) missing: u64,
}

/// Versions of [`Holdings`].
#[derive(Serialize, Deserialize)]
enum HoldingsRow {
    /// The first.
    V1(Holdings),
}

impl Holdings {
    /// Its bytes.
    pub(crate) fn encode(self) -> Vec<u8> {
        seal(&HoldingsRow::V1(self))
    }

    /// Reads its bytes.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, String> {
        let HoldingsRow::V1(holdings) = open(bytes).map_err(|error| error.to_string())?;
        Ok(holdings)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bytes_of_lists_never_change() {
        let listed = Listed {
            uid: 7,
            kept: vec![[1; 32]],
            missing: vec![[2; 32], [3; 32]],
        };
        let bytes = encode(vec![listed.clone()]);
        let expected = [&[1, 0, 0, 1, 7, 1][..], &[1; 32], &[2], &[2; 32], &[3; 32]].concat();
        assert_eq!(bytes, expected);
        assert_eq!(decode(&bytes), Ok(vec![listed]));
        assert!(decode(&bytes[..bytes.len() - 1]).is_err());
        let holdings = Holdings {
            lists: 1,
            kept: 2,
            missing: 3,
        };
        assert_eq!(holdings.encode(), [1, 0, 0, 1, 2, 3]);
        assert_eq!(Holdings::decode(&holdings.encode()), Ok(holdings));
        assert!(Holdings::decode(b"").is_err());
    }
}
