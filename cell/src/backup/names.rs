//! The names of objects: they say what is in them, and sort as it does.

use storage::blob::{ChunkHash, hex, unhex};
use uuid::Uuid;

/// One life of a cell's log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Line {
    /// The number of the cell.
    pub(crate) cell: u64,
    /// Later lives have higher ones.
    pub(crate) id: Uuid,
}

/// A segment by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct SegmentName {
    /// The first position that it covers.
    pub(crate) first: u64,
    /// The last.
    pub(crate) last: u64,
}

/// A base by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct BaseName {
    /// The position of the log at which it was read.
    pub(crate) index: u64,
    /// Who made it: another try has another one.
    pub(crate) attempt: Uuid,
}

/// The folder of all cells.
pub(crate) const CELLS: &str = "cells";
/// The last part of a manifest's name.
const MANIFEST: &str = "manifest";
/// What the last part of the name of a base's list of chunks begins with.
const HELD: &str = "chunks-";
/// The last part of the name of what says how many there are.
const HOLDINGS: &str = "chunks";

/// The folder of a cell.
pub(crate) fn cell(number: u64) -> String {
    format!("{CELLS}/{number}")
}

impl Line {
    /// Its folder.
    pub(crate) fn folder(self) -> String {
        format!("{CELLS}/{}/{}", self.cell, self.id)
    }

    /// The object that says up to when it is complete.
    pub(crate) fn head(self) -> String {
        format!("{}/head", self.folder())
    }

    /// The folder of its segments.
    pub(crate) fn log(self) -> String {
        format!("{}/log", self.folder())
    }

    /// The folder of its bases.
    pub(crate) fn bases(self) -> String {
        format!("{}/bases", self.folder())
    }

    /// A segment.
    pub(crate) fn segment(self, name: SegmentName) -> String {
        format!("{}/{:020}-{:020}", self.log(), name.first, name.last)
    }

    /// The folder of a base.
    pub(crate) fn base(self, name: BaseName) -> String {
        format!("{}/{:020}-{}", self.bases(), name.index, name.attempt)
    }

    /// The manifest of a base.
    pub(crate) fn manifest(self, name: BaseName) -> String {
        format!("{}/{MANIFEST}", self.base(name))
    }

    /// The folder of the chunks of files of all tenants.
    pub(crate) fn chunks(self) -> String {
        format!("{}/chunks", self.folder())
    }

    /// The folder of a tenant's chunks whose names begin with a byte.
    pub(crate) fn chunks_of(self, uid: u64, first: u8) -> String {
        format!("{}/{uid}/{first:02x}", self.chunks())
    }

    /// A chunk of a file.
    pub(crate) fn chunk(self, uid: u64, hash: &ChunkHash) -> String {
        format!("{}/{}", self.chunks_of(uid, hash[0]), hex(hash))
    }

    /// The folder of the lists of chunks that segments name.
    pub(crate) fn named(self) -> String {
        format!("{}/named", self.folder())
    }

    /// One of the lists of chunks that a segment names.
    pub(crate) fn named_by(self, name: SegmentName, piece: u64) -> String {
        format!("{}/{:020}-{:020}-{piece:06}", self.named(), name.first, name.last)
    }

    /// One of the lists of chunks that the rows of a base name.
    pub(crate) fn held(self, name: BaseName, piece: u64) -> String {
        format!("{}/{HELD}{piece:06}", self.base(name))
    }

    /// How many of these lists a base has.
    pub(crate) fn holdings(self, name: BaseName) -> String {
        format!("{}/{HOLDINGS}", self.base(name))
    }

    /// A piece of the archive of a tenant.
    pub(crate) fn piece(self, name: BaseName, uid: u64, piece: u64) -> String {
        format!("{}/{uid}-{piece:06}", self.base(name))
    }
}

/// Reads the last part of the name of a segment, or of a list of the chunks that one names.
pub(crate) fn read_segment(name: &str) -> Option<SegmentName> {
    let (first, rest) = name.rsplit('/').next()?.split_once('-')?;
    let (last, piece) = rest.split_once('-').unwrap_or((rest, "0"));
    let (first, last, _) = (first.parse().ok()?, last.parse().ok()?, piece.parse::<u64>().ok()?);
    (first <= last).then_some(SegmentName { first, last })
}

/// Reads the name of a base's folder, or of what is in it.
pub(crate) fn read_base(line: Line, name: &str) -> Option<BaseName> {
    let within = name.strip_prefix(&line.bases())?.strip_prefix('/')?;
    let (index, attempt) = within.split('/').next()?.split_once('-')?;
    Some(BaseName {
        index: index.parse().ok()?,
        attempt: attempt.parse().ok()?,
    })
}

/// Whether an object is one of the lists of chunks that the rows of a base name.
pub(crate) fn is_held(name: &str) -> bool {
    name.rsplit('/').next().is_some_and(|last| last.starts_with(HELD))
}

/// The chunk that an object is, by its name.
pub(crate) fn read_chunk(name: &str) -> Option<ChunkHash> {
    unhex(name.rsplit('/').next()?)
}

/// Whether an object is the manifest of a base.
pub(crate) fn is_manifest(name: &str) -> bool {
    name.rsplit('/').next() == Some(MANIFEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_never_change_and_are_read_back() {
        let line = Line {
            cell: 3,
            id: Uuid::from_u128(1),
        };
        let segment = SegmentName { first: 7, last: 90 };
        let name = line.segment(segment);
        assert_eq!(
            name,
            "cells/3/00000000-0000-0000-0000-000000000001/log/00000000000000000007-00000000000000000090"
        );
        assert_eq!(read_segment(&name), Some(segment));
        let base = BaseName {
            index: 90,
            attempt: Uuid::from_u128(2),
        };
        let piece = line.piece(base, 12, 3);
        assert_eq!(
            piece,
            "cells/3/00000000-0000-0000-0000-000000000001/bases/00000000000000000090-00000000-0000-0000-0000-000000000002/12-000003"
        );
        assert_eq!(read_base(line, &piece), Some(base));
        assert!(!is_manifest(&piece) && is_manifest(&line.manifest(base)));
        let chunk = line.chunk(12, &[0xab; 32]);
        let hash = "ab".repeat(32);
        assert_eq!(
            chunk,
            format!("cells/3/00000000-0000-0000-0000-000000000001/chunks/12/ab/{hash}")
        );
        assert_eq!((read_chunk(&chunk), read_chunk(&piece)), (Some([0xab; 32]), None));
        let list = line.named_by(segment, 2);
        assert!(
            list.ends_with("1/named/00000000000000000007-00000000000000000090-000002"),
            "{list}"
        );
        assert_eq!(read_segment(&list), Some(segment));
        let (held, holdings) = (line.held(base, 1), line.holdings(base));
        assert!(held.ends_with("/chunks-000001") && holdings.ends_with("/chunks"), "{held}");
        assert_eq!((read_base(line, &held), read_base(line, &holdings)), (Some(base), Some(base)));
        assert!(is_held(&held) && !is_held(&holdings) && !is_held(&piece) && !is_manifest(&holdings));
        for strange in ["", "log/7", "log/x-y", "log/9-7", "named/7-9-x"] {
            assert_eq!(read_segment(strange), None, "{strange}");
        }
    }
}
