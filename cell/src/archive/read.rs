//! Reads an archive, as what a space takes.

use std::collections::VecDeque;
use std::io::Read;

use bytes::Bytes;
use storage::blob::CHUNK_BYTES;
use storage::{Key, Space};
use uuid::Uuid;

use super::block::{Block, Kind, Unblocks};
use super::derive::Deriver;
use super::error::ReadError;
use super::rows::{Head, HeadRow, Trailer, TrailerRow, count, tables, take};
use super::{FORMAT, MAGIC};
use crate::access::token_row;
use crate::machine::envelope::open;
use crate::machine::limits::{MOVE_CHUNK_BYTES, MOVE_KEYS};
use crate::machine::rows::{Header, SpaceStatus};
use crate::placement::arrive::Row;

/// Whose an archive becomes.
#[derive(Clone, Debug)]
pub(crate) struct Owner {
    /// The space that the rows are for.
    pub(crate) space: Space,
    /// The tenant's public id.
    pub(crate) tenant: Uuid,
    /// Its slug.
    pub(crate) slug: String,
    /// Whether tokens come along.
    pub(crate) keeps_tokens: bool,
}

/// As much as one command brings to a space.
#[derive(Debug)]
pub(crate) struct Chunk {
    /// The rows.
    pub(crate) rows: Vec<Row>,
    /// Chunks of files that the rows name.
    pub(crate) blobs: Vec<Bytes>,
    /// With the last chunk: the header. The archive was whole.
    pub(crate) end: Option<Header>,
}

/// Reads an archive to its end. After an error, or its end, there is nothing.
pub(crate) struct Reader<R> {
    blocks: Unblocks<R>,
    owner: Owner,
    head: Head,
    /// The block that is being read, and where it begins.
    block: (u64, Bytes),
    /// The last key, by its table's place in the archive.
    last: Option<(usize, Vec<u8>)>,
    rows: Vec<(u8, u64)>,
    deriver: Deriver,
    /// Rows that wait for a chunk.
    waiting: VecDeque<(Key, Bytes)>,
    /// How much of the first of them was given out.
    offset: usize,
    /// A chunk of a file that waits.
    blob: Option<Bytes>,
    is_whole: bool,
    is_over: bool,
}

impl<R: Read> Reader<R> {
    /// Reads the head.
    pub(crate) fn new(input: R, owner: Owner) -> Result<Self, ReadError> {
        let (first, mut blocks) = Unblocks::new::<8>(input).map_err(|error| match error {
            ReadError::Cut { .. } => ReadError::Foreign,
            error => error,
        })?;
        let [magic @ .., format] = first;
        if magic != *MAGIC || format == 0 {
            return Err(ReadError::Foreign);
        }
        if format > FORMAT {
            return Err(ReadError::Newer {
                found: format,
                known: FORMAT,
            });
        }
        let block = blocks.next()?;
        expect(&block, Kind::Head)?;
        let HeadRow::V1(head) = unsealed(&block)?;
        Ok(Self {
            blocks,
            deriver: Deriver::new(owner.space, &head),
            owner,
            head,
            block: (0, Bytes::new()),
            last: None,
            rows: Vec::new(),
            waiting: VecDeque::new(),
            offset: 0,
            blob: None,
            is_whole: false,
            is_over: false,
        })
    }

    /// What the archive says of the tenant.
    pub(crate) fn head(&self) -> &Head {
        &self.head
    }

    fn next_chunk(&mut self) -> Result<Chunk, ReadError> {
        let (mut rows, mut bytes) = (Vec::new(), 0);
        while rows.len() < MOVE_KEYS && bytes < MOVE_CHUNK_BYTES {
            let Some((key, value)) = self.waiting.front() else {
                if self.is_whole {
                    return Ok(Chunk {
                        rows,
                        blobs: Vec::new(),
                        end: Some(self.header()),
                    });
                }
                self.next_row()?;
                if let Some(blob) = self.blob.take() {
                    let (blobs, end) = (vec![blob], None);
                    return Ok(Chunk { rows, blobs, end });
                }
                continue;
            };
            let piece = value.slice(self.offset..);
            let room = MOVE_CHUNK_BYTES - bytes;
            let fits = piece.len() <= room;
            let piece = if fits { piece } else { piece.slice(..room) };
            bytes += key.as_bytes().len() + piece.len();
            rows.push(Row {
                key: key.as_bytes().to_vec(),
                offset: self.offset as u64,
                value: piece.to_vec(),
            });
            if fits {
                self.waiting.pop_front();
                self.offset = 0;
            } else {
                self.offset += room;
            }
        }
        let (blobs, end) = (Vec::new(), None);
        Ok(Chunk { rows, blobs, end })
    }

    /// Has the next row wait, and what is derived from it; or finds the archive whole.
    fn next_row(&mut self) -> Result<(), ReadError> {
        if self.block.1.is_empty() {
            let block = self.blocks.next()?;
            if block.kind == Kind::Trailer {
                return self.finish(&block);
            }
            if block.kind == Kind::Chunk {
                // Its name is the hash of its bytes: what is not named by a row is removed again some day.
                if block.content.len() > CHUNK_BYTES {
                    return Err(ReadError::Damaged {
                        at: block.at,
                        what: "it is longer than any chunk of a file".to_owned(),
                    });
                }
                self.blob = Some(block.content.into());
                return Ok(());
            }
            expect(&block, Kind::Rows)?;
            self.block = (block.at, block.content.into());
        }
        let (at, block) = self.block.clone();
        let wrong = |what: String| ReadError::Row { at, what };
        let (key, value, rest) = take(&block).ok_or_else(|| wrong("its lengths are not those of a row".to_owned()))?;
        let tag = key[0];
        let place = tables().position(|table| table.tag == tag);
        let place = place.ok_or_else(|| wrong(format!("no table with tag {tag:#04x} is carried")))?;
        if self
            .last
            .as_ref()
            .is_some_and(|(table, last)| (*table, last.as_slice()) >= (place, key))
        {
            return Err(wrong("it is not behind the row before it".to_owned()));
        }
        let own = [&self.owner.space.0.to_be_bytes()[..], key].concat();
        let own = Key::from_bytes(own.into()).map_err(|error| wrong(error.to_string()))?;
        let derived = self.deriver.take(&own, value).map_err(|fault| wrong(fault.to_string()))?;
        self.last = Some((place, key.to_vec()));
        count(&mut self.rows, tag);
        if self.owner.keeps_tokens || !token_row::is_of_tokens(tag) {
            self.waiting.push_back((own, block.slice_ref(value)));
            self.waiting.extend(derived);
        }
        self.block.1 = block.slice_ref(rest);
        Ok(())
    }

    fn finish(&mut self, block: &Block) -> Result<(), ReadError> {
        let TrailerRow::V1(Trailer { rows, hash }) = unsealed(block)?;
        let damaged = |what: &str| ReadError::Damaged {
            at: block.at,
            what: what.to_owned(),
        };
        if *block.before.as_bytes() != hash {
            return Err(damaged("the hash of what is before it is another"));
        }
        if rows != self.rows {
            return Err(damaged("it counts other rows than there are"));
        }
        self.blocks.end()?;
        self.is_whole = true;
        Ok(())
    }

    fn header(&self) -> Header {
        let head = self.head.clone();
        Header {
            tenant: self.owner.tenant,
            slug: self.owner.slug.clone(),
            name: head.name,
            status: SpaceStatus::Live,
            position: head.position,
            stamp: head.stamp,
            schema: head.schema,
            access: head.access,
            next: head.next,
        }
    }
}

impl<R: Read> Iterator for Reader<R> {
    type Item = Result<Chunk, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.is_over {
            return None;
        }
        let chunk = self.next_chunk();
        self.is_over = chunk.as_ref().map_or(true, |chunk| chunk.end.is_some());
        Some(chunk)
    }
}

fn expect(block: &Block, kind: Kind) -> Result<(), ReadError> {
    if block.kind == kind {
        return Ok(());
    }
    Err(ReadError::Damaged {
        at: block.at,
        what: format!("it is a block of kind {:?} where one of kind {kind:?} should be", block.kind),
    })
}

fn unsealed<T: serde::de::DeserializeOwned>(block: &Block) -> Result<T, ReadError> {
    open(&block.content).map_err(|error| ReadError::Row {
        at: block.at,
        what: error.to_string(),
    })
}
