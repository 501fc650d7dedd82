//! A snapshot as a stream of chunks, from one replica to another.
//!
//! A chunk is `format u8 | kind u8 | sequence u64 BE | payload | crc32c u32 BE over all before it`, at most 1 MiB. The first
//! carries the progress (`progress`): the mark, and the spaces that are ahead of it when the sender is itself replaying. Then comes
//! the data, a stream of `key length u32 | value length u32 | key | value` in ascending order, cut into chunks wherever one is full.
//! The last carries the number of keys (u64) and a BLAKE3 hash over the payloads of all before it.
//!
//! The sender reads lazily at the position where it was made; applies go on meanwhile. The receiver writes a new file beside the
//! live one, in durable commits so that its memory stays bounded, and refuses holes, repetitions, disorder, damage, and a stream
//! without its end. That file becomes a store only by `Store::install`; a file that was not installed is removed.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::{BufMut, Bytes, BytesMut};

use crate::KeyRange;
use crate::batch::{MAX_KEY_BYTES, MAX_VALUE_BYTES};
use crate::delta::{Entry, View};
use crate::disk::Disk;
use crate::error::Error;
use crate::ground::Ground;
use crate::inner::INCOMING;
use crate::key::Key;
use crate::mutant;
use crate::pace::Pace;
use crate::progress::{Mark, Progress};
use crate::received::{Incoming, ReceivedSnapshot};
use crate::scan::{Direction, Scan};
use crate::scrub::frame_entry;
use crate::store::Options;

/// The format of a chunk.
const CHUNK_FORMAT: u8 = 1;
/// The longest chunk, in bytes.
pub const MAX_CHUNK_BYTES: usize = 1 << 20;
const CHUNK_HEAD_BYTES: usize = 10;
const CHECKSUM_BYTES: usize = 4;
const PAYLOAD_BYTES: usize = MAX_CHUNK_BYTES - CHUNK_HEAD_BYTES - CHECKSUM_BYTES;
/// The receiver commits after this much; more makes larger bursts, less writes shared pages more often.
const COMMIT_BYTES: usize = 8 << 20;

const HEAD: u8 = 1;
const DATA: u8 = 2;
const END: u8 = 3;
/// No chunk has this kind; the reader's stage after an error.
const FAILED: u8 = 0;

/// Reads a snapshot as chunks. Holds the position that it was made at; see the caveat of `snapshot`.
pub struct SnapshotReader {
    view: Arc<View>,
    scan: Scan,
    stage: u8,
    sequence: u64,
    buffer: BytesMut,
    hasher: blake3::Hasher,
    keys: u64,
}

impl SnapshotReader {
    pub(crate) fn new(view: Arc<View>) -> SnapshotReader {
        let scan = mutant::shown(&view).scan(KeyRange::all(), Direction::Forward);
        let (buffer, hasher) = (BytesMut::new(), blake3::Hasher::new());
        SnapshotReader {
            view,
            scan,
            stage: HEAD,
            sequence: 0,
            buffer,
            hasher,
            keys: 0,
        }
    }

    /// The position of the snapshot.
    pub fn mark(&self) -> &Mark {
        &self.view.mark
    }

    /// The next chunk, at most 1 MiB; `None` after the last. After an error there is only the same refusal: a stream that could not
    /// be read whole must never get an end.
    pub fn next_chunk(&mut self) -> Result<Option<Bytes>, Error> {
        let chunk = self.read_chunk();
        if chunk.is_err() {
            self.stage = FAILED;
        }
        chunk
    }

    fn read_chunk(&mut self) -> Result<Option<Bytes>, Error> {
        match self.stage {
            FAILED => Err(refuse("it could not be read whole")),
            HEAD => {
                self.stage = DATA;
                let ahead = self.view.reaches.iter().filter(|step| step.index > self.view.mark.index);
                let progress = Progress {
                    base: self.view.mark.clone(),
                    reaches: ahead.copied().collect(),
                };
                let payload = progress.encode();
                if payload.len() > PAYLOAD_BYTES {
                    let what = "the mark of a snapshot".to_owned();
                    return Err(Error::TooLarge {
                        what,
                        bytes: payload.len(),
                        limit_bytes: PAYLOAD_BYTES,
                    });
                }
                Ok(Some(self.chunk(HEAD, &payload)))
            }
            DATA => {
                self.fill()?;
                if self.buffer.is_empty() {
                    self.stage = END;
                    return Ok(Some(self.end()));
                }
                let payload = self.buffer.split_to(self.buffer.len().min(PAYLOAD_BYTES));
                Ok(Some(self.chunk(DATA, &payload)))
            }
            _ => Ok(None),
        }
    }

    fn fill(&mut self) -> Result<(), Error> {
        let mut frame = Vec::new();
        while self.buffer.len() < PAYLOAD_BYTES {
            let next = mutant::next(&mut self.scan).transpose()?;
            let Some((key, value)) = next else { return Ok(()) };
            frame.clear();
            frame_entry(key.as_bytes(), &value, &mut frame);
            self.buffer.put_slice(&frame);
            self.keys += 1;
        }
        Ok(())
    }

    fn end(&mut self) -> Bytes {
        let mut payload = self.keys.to_be_bytes().to_vec();
        payload.extend_from_slice(self.hasher.finalize().as_bytes());
        self.chunk(END, &payload)
    }

    fn chunk(&mut self, kind: u8, payload: &[u8]) -> Bytes {
        self.hasher.update(payload);
        let mut chunk = Vec::with_capacity(CHUNK_HEAD_BYTES + payload.len() + CHECKSUM_BYTES);
        chunk.extend_from_slice(&[CHUNK_FORMAT, kind]);
        chunk.extend_from_slice(&self.sequence.to_be_bytes());
        chunk.extend_from_slice(payload);
        chunk.extend_from_slice(&crc32c::crc32c(&chunk).to_be_bytes());
        self.sequence += 1;
        Bytes::from(chunk)
    }
}

/// Writes received chunks into a new file, and fails where there is no room for it. Dropping it closes and removes the file, which writes.
pub struct SnapshotWriter {
    ground: Arc<Ground>,
    incoming: Incoming,
    progress: Option<Progress>,
    sequence: u64,
    hasher: blake3::Hasher,
    rest: BytesMut,
    entries: Vec<Entry>,
    entry_bytes: usize,
    last: Option<Key>,
    keys: u64,
    ended: bool,
    refused: bool,
}

impl SnapshotWriter {
    /// Begins a file in the store's directory.
    pub(crate) fn create(disk: &Arc<dyn Disk>, options: &Options, pace: &Arc<Pace>) -> Result<SnapshotWriter, Error> {
        // One count for the process: the store before and the one after a rebuild share a directory.
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let name = format!("{INCOMING}{}.redb", NEXT.fetch_add(1, Ordering::Relaxed));
        let incoming = Incoming::new(disk, name);
        let ground = Ground::open_file(disk.as_ref(), &incoming.name, options.cache_bytes, pace, false)?;
        Ok(SnapshotWriter {
            ground,
            incoming,
            progress: None,
            sequence: 0,
            hasher: blake3::Hasher::new(),
            rest: BytesMut::new(),
            entries: Vec::new(),
            entry_bytes: 0,
            last: None,
            keys: 0,
            ended: false,
            refused: false,
        })
    }

    /// Takes the next chunk. After an error nothing more is taken.
    pub fn write(&mut self, chunk: &[u8]) -> Result<(), Error> {
        if self.refused {
            return Err(refuse("an earlier chunk was refused"));
        }
        let result = self.take(chunk);
        self.refused = result.is_err();
        result
    }

    /// Ends the file. Refused unless the last chunk came.
    pub fn finish(mut self) -> Result<ReceivedSnapshot, Error> {
        if self.refused || !self.ended {
            return Err(refuse("it has no end"));
        }
        let progress = self.progress.take().ok_or_else(|| refuse("it has no head"))?;
        self.commit(Some(&progress))?;
        Ok(ReceivedSnapshot {
            ground: self.ground,
            incoming: self.incoming,
            progress,
        })
    }

    fn take(&mut self, chunk: &[u8]) -> Result<(), Error> {
        let (kind, payload) = open_chunk(chunk, self.sequence)?;
        self.sequence += 1;
        match (kind, &self.progress, self.ended) {
            (HEAD, None, false) => self.progress = Some(Progress::decode(payload, "the head of a snapshot")?),
            (DATA, Some(_), false) => {
                self.rest.put_slice(payload);
                self.take_entries()?;
            }
            (END, Some(_), false) => return self.take_end(payload),
            _ => return Err(refuse(&format!("a chunk of kind {kind} has no place here"))),
        }
        self.hasher.update(payload);
        Ok(())
    }

    fn take_entries(&mut self) -> Result<(), Error> {
        while let Some((key_bytes, value_bytes)) = lengths(&self.rest)? {
            if self.rest.len() < 8 + key_bytes + value_bytes {
                return Ok(());
            }
            let mut frame = self.rest.split_to(8 + key_bytes + value_bytes);
            let value = frame.split_off(8 + key_bytes);
            let key = Key::from_bytes(frame.split_off(8).freeze()).map_err(|error| refuse(&error.to_string()))?;
            if self.last.as_ref().is_some_and(|last| *last >= key) {
                return Err(refuse(&format!("{key} is out of order")));
            }
            self.last = Some(key.clone());
            self.keys += 1;
            self.entry_bytes += key_bytes + value_bytes;
            self.entries.push(Entry::new(key, Some(value.freeze())));
            if self.entry_bytes >= COMMIT_BYTES {
                self.commit(None)?;
            }
        }
        Ok(())
    }

    fn take_end(&mut self, payload: &[u8]) -> Result<(), Error> {
        let mut expected = self.keys.to_be_bytes().to_vec();
        expected.extend_from_slice(self.hasher.finalize().as_bytes());
        if !self.rest.is_empty() {
            return Err(refuse("it ends inside an entry"));
        }
        if payload != expected {
            return Err(refuse("the hash over all of it is wrong"));
        }
        self.ended = true;
        Ok(())
    }

    fn commit(&mut self, progress: Option<&Progress>) -> Result<(), Error> {
        self.ground.write(self.entries.iter(), progress)?;
        self.entries.clear();
        self.entry_bytes = 0;
        Ok(())
    }
}

/// Checks a chunk and returns its kind and its payload.
fn open_chunk(chunk: &[u8], sequence: u64) -> Result<(u8, &[u8]), Error> {
    if chunk.len() > MAX_CHUNK_BYTES {
        return Err(refuse("a chunk is longer than 1 MiB"));
    }
    let (body, checksum) = chunk
        .split_last_chunk::<CHECKSUM_BYTES>()
        .ok_or_else(|| refuse("a chunk is too short"))?;
    if crc32c::crc32c(body) != u32::from_be_bytes(*checksum) {
        return Err(refuse(&format!("the checksum of chunk {sequence} is wrong")));
    }
    let (head, payload) = body
        .split_first_chunk::<CHUNK_HEAD_BYTES>()
        .ok_or_else(|| refuse("a chunk is too short"))?;
    let [format, kind, found @ ..] = *head;
    if format != CHUNK_FORMAT {
        return Err(Error::NewerFormat {
            what: "a snapshot".to_owned(),
            found: format.into(),
            known: CHUNK_FORMAT.into(),
        });
    }
    match u64::from_be_bytes(found) {
        found if found == sequence => Ok((kind, payload)),
        found => Err(refuse(&format!("chunk {found} came in the place of chunk {sequence}"))),
    }
}

/// The lengths of the entry at the front, when they are there.
fn lengths(rest: &[u8]) -> Result<Option<(usize, usize)>, Error> {
    let Some((key, rest)) = rest.split_first_chunk::<4>() else {
        return Ok(None);
    };
    let Some(value) = rest.first_chunk::<4>() else {
        return Ok(None);
    };
    let (key, value) = (u32::from_be_bytes(*key) as usize, u32::from_be_bytes(*value) as usize);
    if key > MAX_KEY_BYTES || value > MAX_VALUE_BYTES {
        return Err(refuse("an entry is over the limits"));
    }
    Ok(Some((key, value)))
}

fn refuse(reason: &str) -> Error {
    Error::SnapshotRefused(reason.to_owned())
}
