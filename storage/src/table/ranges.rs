//! The ranges of keys that somebody walks over, table by table.

use super::{
    ChunkUse, CollectionName, CollectionPending, CollectionPolicy, CollectionSchema, DirectoryCell, DirectoryChange,
    DirectoryTenant, DirectoryTenantUid, DocumentUpdate, Event, File, FileAttached, FileVersion, History, HistoryAge,
    Idempotency, IdempotencyExpiry, Import, IndexEntry, Operation, OperatorToken, Record, ReferenceEntry, Sequence, Table, Token,
    UniqueEntry, Upload, UploadChunk,
};
use crate::element::{Element, put_element};
use crate::key::{Field, KeyError, TAG_AT, head};
use crate::range::KeyRange;
use crate::space::Space;

impl DirectoryChange {
    /// All changes that are kept, by position.
    pub fn range(space: Space) -> KeyRange {
        prefix(space, Self::TAG, |_| {})
    }
}

impl Record {
    /// All records of a collection, by id.
    pub fn range(space: Space, collection: u32) -> KeyRange {
        prefix(space, Self::TAG, |out| collection.put(out))
    }
}

impl IndexEntry {
    /// All entries of an index whose values begin with `leading`, in the order of the values.
    pub fn range(space: Space, collection: u32, index: u32, leading: &[Element]) -> KeyRange {
        prefix(space, Self::TAG, |out| {
            collection.put(out);
            index.put(out);
            leading.iter().for_each(|element| put_element(element, out));
        })
    }
}

impl IndexEntry {
    /// The id of a key of this table, which is its end; what the values say is not looked at.
    pub fn id_of(key: &[u8]) -> Result<[u8; 16], KeyError> {
        match key.get(TAG_AT) {
            Some(tag) if *tag != Self::TAG => Err(KeyError::Tag(*tag)),
            _ => key.last_chunk().copied().ok_or(KeyError::Short),
        }
    }
}

impl UniqueEntry {
    /// All entries of a unique index.
    pub fn range(space: Space, collection: u32, index: u32) -> KeyRange {
        prefix(space, Self::TAG, |out| {
            collection.put(out);
            index.put(out);
        })
    }
}

impl ReferenceEntry {
    /// All references to one record.
    pub fn range(space: Space, target_collection: u32, target: [u8; 16]) -> KeyRange {
        prefix(space, Self::TAG, |out| {
            target_collection.put(out);
            target.put(out);
        })
    }
}

impl Sequence {
    /// All counters of a collection.
    pub fn of_collection(space: Space, collection: u32) -> KeyRange {
        prefix(space, Self::TAG, |out| collection.put(out))
    }

    /// All counters of a field.
    pub fn of_field(space: Space, collection: u32, field: u32) -> KeyRange {
        prefix(space, Self::TAG, |out| {
            collection.put(out);
            field.put(out);
        })
    }
}

impl DocumentUpdate {
    /// All updates of a record's documents.
    pub fn of_record(space: Space, collection: u32, id: [u8; 16]) -> KeyRange {
        prefix(space, Self::TAG, |out| {
            collection.put(out);
            id.put(out);
        })
    }

    /// All updates of one document, the first one first.
    pub fn of_field(space: Space, collection: u32, id: [u8; 16], field: u32) -> KeyRange {
        prefix(space, Self::TAG, |out| {
            collection.put(out);
            id.put(out);
            field.put(out);
        })
    }
}

impl Event {
    /// All events after a position.
    pub fn range_after(space: Space, position: u64) -> KeyRange {
        KeyRange::table(space, Self::TAG).after(&Event { space, position }.key())
    }
}

impl History {
    /// All superseded versions of a record, the oldest first.
    pub fn range(space: Space, collection: u32, id: [u8; 16]) -> KeyRange {
        prefix(space, Self::TAG, |out| {
            collection.put(out);
            id.put(out);
        })
    }

    /// All superseded versions of the records of a collection.
    pub fn of_collection(space: Space, collection: u32) -> KeyRange {
        prefix(space, Self::TAG, |out| collection.put(out))
    }
}

impl HistoryAge {
    /// All that was superseded before a stamp, the earliest first.
    pub fn range_before(space: Space, stamp: u64) -> KeyRange {
        let bound = HistoryAge {
            space,
            stamp,
            collection: 0,
            id: [0; 16],
            version: 0,
        };
        KeyRange::table(space, Self::TAG).before(&bound.key())
    }
}

impl IdempotencyExpiry {
    /// All that expires before a stamp, the earliest first.
    pub fn range_before(space: Space, stamp: u64) -> KeyRange {
        let bound = IdempotencyExpiry {
            space,
            stamp,
            scope: [0; 32],
        };
        KeyRange::table(space, Self::TAG).before(&bound.key())
    }
}

impl FileVersion {
    /// All versions of a file, the oldest first.
    pub fn range(space: Space, id: [u8; 16]) -> KeyRange {
        prefix(space, Self::TAG, |out| id.put(out))
    }
}

impl FileAttached {
    /// The files that are attached to a record, by id.
    pub fn range(space: Space, collection: u32, record: [u8; 16]) -> KeyRange {
        prefix(space, Self::TAG, |out| {
            collection.put(out);
            record.put(out);
        })
    }

    /// The files that are attached to records of a collection.
    pub fn of_collection(space: Space, collection: u32) -> KeyRange {
        prefix(space, Self::TAG, |out| collection.put(out))
    }
}

impl UploadChunk {
    /// All whole chunks of an upload, in order.
    pub fn range(space: Space, id: [u8; 16]) -> KeyRange {
        prefix(space, Self::TAG, |out| id.put(out))
    }
}

/// Tables of which one always wants all keys of a space.
macro_rules! whole_table_range {
    ($($name:ident),*) => {
        $(
            impl $name {
                /// All keys of this table in one space.
                pub fn range(space: Space) -> KeyRange {
                    KeyRange::table(space, Self::TAG)
                }
            }
        )*
    };
}

whole_table_range!(
    CollectionSchema,
    CollectionPolicy,
    CollectionPending,
    CollectionName,
    Token,
    Event,
    HistoryAge,
    Idempotency,
    Import,
    Operation,
    DirectoryTenant,
    DirectoryTenantUid,
    OperatorToken,
    DirectoryCell,
    File,
    ChunkUse,
    Upload
);

/// All keys of a table that begin with the fields that `fields` writes.
fn prefix(space: Space, tag: u8, fields: impl FnOnce(&mut Vec<u8>)) -> KeyRange {
    let mut out = head(space, tag);
    fields(&mut out);
    KeyRange::prefix(out)
}
