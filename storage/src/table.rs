//! All tables of the store, and the typed key of each.
//!
//! A table is a tag and the fields of its key; what its values mean is the business of the crate above. The codec's rules stand
//! at the head of `key`. A tag that was once given is never changed and never given again: files on disk and archives hold it.
//!
//! Every table says what a move, an archive, a restore and an erasure of a tenant do with it: `Carried` tables go along,
//! `Derived` ones are built again from carried ones, `Local` ones belong to this group and stay.

use crate::element::Element;
use crate::key::{Field, HEAD_BYTES, Key, KeyError, TAG_AT, build, push_hex, space_of};
use crate::space::Space;

mod ranges;

/// What move, archive, restore and erasure do with a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Goes along with the tenant.
    Carried,
    /// Is built again from the carried tables.
    Derived,
    /// Belongs to the group and stays.
    Local,
}

/// The typed key of a table.
pub trait Table: Sized {
    /// The table's number inside a key; unique and never reused.
    const TAG: u8;
    /// The table's name for people.
    const NAME: &'static str;
    /// What move, archive, restore and erasure do with the table.
    const KIND: Kind;

    /// Encodes the key.
    fn key(&self) -> Key;

    /// Decodes a key of this table; `KeyError::Tag` when it belongs to another.
    fn parse(key: &[u8]) -> Result<Self, KeyError>;
}

/// A table as a value, to iterate over all of them.
#[derive(Clone, Copy, Debug)]
pub struct TableInfo {
    /// The table's number inside a key.
    pub tag: u8,
    /// The table's name for people.
    pub name: &'static str,
    /// What move, archive, restore and erasure do with the table.
    pub kind: Kind,
    /// Prints a key of this table; `None` when it is malformed.
    pub describe: fn(&[u8]) -> Option<String>,
}

macro_rules! tables {
    ($( $(#[$meta:meta])* $name:ident = $tag:literal $text:literal $kind:ident { $( $field:ident: $type:ty = $doc:literal ),* } )*) => {
        $(
            $(#[$meta])*
            #[derive(Clone, Debug, PartialEq)]
            pub struct $name {
                /// The tenant's slice that the key lies in.
                pub space: Space,
                $( #[doc = $doc] pub $field: $type, )*
            }

            impl Table for $name {
                const TAG: u8 = $tag;
                const NAME: &'static str = $text;
                const KIND: Kind = Kind::$kind;

                fn key(&self) -> Key {
                    build(self.space, $tag, |_out| { $( self.$field.put(_out); )* })
                }

                fn parse(key: &[u8]) -> Result<Self, KeyError> {
                    let space = space_of(key).ok_or(KeyError::Short)?;
                    match key.get(TAG_AT) {
                        None => return Err(KeyError::Short),
                        Some(tag) if *tag != $tag => return Err(KeyError::Tag(*tag)),
                        Some(_) => {}
                    }
                    #[allow(unused_mut)]
                    let mut rest = &key[HEAD_BYTES..];
                    $( let $field = <$type as Field>::take(&mut rest)?; )*
                    if rest.is_empty() { Ok($name { space, $($field),* }) } else { Err(KeyError::Long) }
                }
            }

            impl $name {
                fn describe(key: &[u8]) -> Option<String> {
                    let parsed = <$name as Table>::parse(key).ok()?;
                    #[allow(unused_mut)]
                    let mut out = format!(concat!($text, " space={}"), parsed.space);
                    $(
                        out.push_str(concat!(" ", stringify!($field), "="));
                        parsed.$field.show(&mut out);
                    )*
                    Some(out)
                }
            }
        )*

        /// Every table, in the order of the tags.
        pub const TABLES: &[TableInfo] = &[
            $( TableInfo { tag: $tag, name: $text, kind: Kind::$kind, describe: $name::describe } ),*
        ];
    };
}

tables! {
    /// The first key of a space: that it exists, and what belongs to it as a whole.
    SpaceHeader = 0x01 "space_header" Carried {}
    /// A collection's schema.
    CollectionSchema = 0x02 "collection_schema" Carried { collection: u32 = "The collection's number." }
    /// Finds a collection by its name.
    CollectionName = 0x03 "collection_name" Derived { name: String = "The collection's name." }
    /// A collection's rules and workflow; none: it has none.
    CollectionPolicy = 0x04 "collection_policy" Carried { collection: u32 = "The collection's number." }
    /// The schema and policy that a collection is to have; none: those that it has.
    CollectionPending = 0x05 "collection_pending" Carried { collection: u32 = "The collection's number." }
    /// An access token, without its secret.
    Token = 0x08 "token" Carried { id: [u8; 16] = "The token's id." }
    /// Finds a token by the hash of its secret. It stays when the token goes: who still has the secret is told that it has ended.
    TokenSecret = 0x09 "token_secret" Carried { hash: [u8; 32] = "The hash of the secret." }
    /// A record.
    Record = 0x10 "record" Carried { collection: u32 = "The collection's number.", id: [u8; 16] = "The record's id." }
    /// A record's place in an index.
    IndexEntry = 0x11 "index_entry" Derived {
        collection: u32 = "The collection's number.", index: u32 = "The index's number in its collection.",
        values: Vec<Element> = "The indexed values.", id: [u8; 16] = "The record's id."
    }
    /// The one record that has these values.
    UniqueEntry = 0x12 "unique_entry" Derived {
        collection: u32 = "The collection's number.", index: u32 = "The index's number in its collection.",
        values: Vec<Element> = "The values that nobody else may have."
    }
    /// That one record refers to another.
    ReferenceEntry = 0x13 "reference_entry" Derived {
        target_collection: u32 = "The collection of the record that is referred to.", target: [u8; 16] = "Its id.",
        source_collection: u32 = "The collection of the record that refers.", field: u32 = "The field that refers.",
        source: [u8; 16] = "The id of the record that refers."
    }
    /// The last number that a sequence gave out.
    Sequence = 0x14 "sequence" Carried {
        collection: u32 = "The collection's number.", field: u32 = "The field that is numbered.",
        scope: [u8; 16] = "The record within which it is numbered, or zeros."
    }
    /// One change, by its position.
    Event = 0x20 "event" Carried { position: u64 = "The event's position in its tenant, without gaps." }
    /// A version of a record that another one has superseded, or that was deleted.
    History = 0x28 "history" Carried {
        collection: u32 = "The collection's number.", id: [u8; 16] = "The record's id.", version: u64 = "The version."
    }
    /// When a superseded version may be forgotten.
    HistoryAge = 0x29 "history_age" Derived {
        stamp: u64 = "The stamped time, in microseconds, at which it was superseded.", collection: u32 = "The collection's number.",
        id: [u8; 16] = "The record's id.", version: u64 = "The version."
    }
    /// The reply that a retry of a request gets.
    Idempotency = 0x30 "idempotency" Carried { scope: [u8; 32] = "The hash of tenant, principal, method, path and key." }
    /// When a reply may be forgotten.
    IdempotencyExpiry = 0x31 "idempotency_expiry" Derived {
        stamp: u64 = "The stamped time of expiry in microseconds.", scope: [u8; 32] = "The scope that expires."
    }
    /// What an import already brought in.
    Import = 0x38 "import" Carried { import: [u8; 32] = "The hash that names the imported thing." }
    /// An operation and how far it is.
    Operation = 0x40 "operation" Carried { id: [u8; 16] = "The operation's id." }
    /// How a tenant's records are searched; none: as is usual.
    SearchSettings = 0x41 "search_settings" Carried {}
    /// A file: what it is called, and which of its versions is current.
    File = 0x42 "file" Carried { id: [u8; 16] = "The file's id." }
    /// A version of a file: its chunks, in order.
    FileVersion = 0x43 "file_version" Carried { id: [u8; 16] = "The file's id.", version: u64 = "The version." }
    /// That a file is attached to a record.
    FileAttached = 0x44 "file_attached" Derived {
        collection: u32 = "The record's collection.", record: [u8; 16] = "The record's id.", id: [u8; 16] = "The file's id."
    }
    /// How often a chunk is named by versions and uploads.
    ChunkUse = 0x45 "chunk_use" Carried { hash: [u8; 32] = "The BLAKE3 hash of its bytes." }
    /// A file that is being uploaded.
    Upload = 0x46 "upload" Carried { id: [u8; 16] = "The upload's id." }
    /// A whole chunk of a file that is being uploaded.
    UploadChunk = 0x47 "upload_chunk" Carried { id: [u8; 16] = "The upload's id.", number: u64 = "The chunk's place, from 0." }
    /// How much a tenant's files are; none: it never had any.
    FileTotals = 0x48 "file_totals" Carried {}
    /// What links to a tenant's files are signed with; none: there are none.
    LinkSecret = 0x49 "link_secret" Carried {}
    /// A change of a document that several people write: bytes of Yjs.
    DocumentUpdate = 0x4A "document_update" Carried {
        collection: u32 = "The collection's number.", id: [u8; 16] = "The record's id.", field: u32 = "The field that is the document.",
        number: u64 = "The number of the update in its document."
    }
    /// How much a tenant's records are; none: it is still to be counted.
    RecordTotals = 0x4C "record_totals" Carried {}
    /// The directory's tenant, by slug.
    DirectoryTenant = 0x50 "directory_tenant" Local { slug: String = "The tenant's public name." }
    /// The directory's tenant, by uid.
    DirectoryTenantUid = 0x51 "directory_tenant_uid" Local { uid: u64 = "The tenant's number, never reused." }
    /// An operator's token, by the hash of its secret.
    OperatorToken = 0x52 "operator_token" Local { hash: [u8; 32] = "The hash of the secret." }
    /// A cell that the directory knows.
    DirectoryCell = 0x53 "directory_cell" Local { cell: u64 = "The cell's number." }
    /// The last scrub of the group.
    LastScrub = 0x54 "last_scrub" Local {}
    /// Whose pages may use a tenant's API.
    DirectoryCors = 0x55 "directory_cors" Local { uid: u64 = "The tenant's number." }
    /// The keys that one change of the directory wrote or removed, for nodes that keep a copy.
    DirectoryChange = 0x56 "directory_change" Local { position: u64 = "The directory's position after the change." }
    /// The regions, nodes, cells and plans of the cluster.
    Topology = 0x57 "topology" Local {}
    /// The level of features that all replicas of the group understand.
    Level = 0x58 "level" Local {}
    /// A tenant that moves to another cell.
    DirectoryMove = 0x59 "directory_move" Local { uid: u64 = "The tenant's number." }
    /// The topology that is being brought about.
    TopologyWanted = 0x5A "topology_wanted" Local {}
    /// How far the group's log is in the backup.
    Backup = 0x5B "backup" Local {}
}

/// Tags stand in ascending order, so none is given twice, and `FF` is left to mark the end of all keys.
const _: () = {
    let mut position = 0;
    while position + 1 < TABLES.len() {
        assert!(TABLES[position].tag < TABLES[position + 1].tag, "tags ascend and are unique");
        position += 1;
    }
    assert!(TABLES[position].tag < 0xFF, "tag FF is reserved");
};

/// The name of a key's table; for messages about keys too long to print.
pub(crate) fn name_of(key: &Key) -> &'static str {
    TABLES
        .iter()
        .find(|table| table.tag == key.tag())
        .map_or("unknown", |table| table.name)
}

/// Prints any bytes as a key: by its table when there is one, else in hexadecimal.
pub(crate) fn print(key: &[u8]) -> String {
    let table = key.get(TAG_AT).and_then(|tag| TABLES.iter().find(|table| table.tag == *tag));
    if let Some(text) = table.and_then(|table| (table.describe)(key)) {
        return text;
    }
    let mut out = String::from(table.map_or("unknown", |table| table.name));
    out.push_str(" bytes=");
    push_hex(key, &mut out);
    out
}
