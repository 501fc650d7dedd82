//! A base: the archives of all tenants of a cell from one snapshot, written slowly, and a manifest in the end.
//!
//! The archives are made on a thread of their own; what they fill goes to the store piece by piece, and who fills waits for it.

use std::io::{self, Read, Write};
use std::time::{Duration, Instant};

use bytes::{Buf, Bytes};
use storage::blob::ChunkHash;
use storage::{Snapshot, Space};
use tokio::sync::mpsc;

use super::keeper::{Keeper, Lists, Of};
use super::listed::Holdings;
use super::manifest::{Manifest, Part};
use super::names::{BaseName, Line};
use super::vault::VaultError;
use crate::archive;
use crate::machine::reader::Reader;
use crate::machine::rows::{Header, Place, SpaceStatus};

/// Longest piece of an archive, in bytes. Raised: more memory. Lowered: more objects.
const PIECE_BYTES: usize = 8 << 20;
/// The longest rest after a piece. Raised: a base leaves more of the disk to others, and takes longer.
const REST: Duration = Duration::from_secs(1);

/// Chunks of files that are looked for in the store at a time. Raised: fewer lists of it. Lowered: less memory.
const CHUNKS: usize = 16_384;

const _: () = assert!(PIECE_BYTES <= storage::objects::OBJECT_BYTES_MAX);

/// What a base is of.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    /// The life of the cell.
    pub(crate) line: Line,
    /// The name of the base.
    pub(crate) name: BaseName,
    /// The name of the cell.
    pub(crate) cell: String,
    /// Its region.
    pub(crate) region: String,
    /// A time after the snapshot was taken, in microseconds since the epoch.
    pub(crate) stamp: u64,
}

/// What comes from the thread that reads.
enum Told {
    /// The next piece of a tenant's archive.
    Piece { uid: u64, piece: u64, bytes: Vec<u8> },
    /// Chunks of files that a tenant's rows name, ascending.
    Chunks { uid: u64, chunks: Vec<ChunkHash> },
    /// A tenant's archive has ended.
    Part(Part),
    /// A tenant is on its way into the cell.
    Coming(u64),
}

/// Writes a base; its manifest, and what it has of chunks. A chunk of a file that cannot be had does not hold it up.
pub(super) async fn write(keeper: &Keeper, plan: Plan, snapshot: Snapshot) -> Result<(Manifest, Holdings), VaultError> {
    let (vault, wrote) = (&keeper.vault, &keeper.wrote);
    let (pieces, mut read) = mpsc::channel(1);
    let reading = tokio::task::spawn_blocking(move || archive_all(&snapshot, &pieces));
    let (mut parts, mut coming, mut named) = (Vec::new(), Vec::new(), Vec::new());
    while let Some(read) = read.recv().await {
        match read {
            Told::Piece { uid, piece, bytes } => {
                let (began, length) = (Instant::now(), bytes.len());
                vault.put_new(&plan.line.piece(plan.name, uid, piece), bytes).await?;
                wrote(length);
                // Half of the time is for others.
                tokio::time::sleep(began.elapsed().min(REST)).await;
            }
            Told::Chunks { uid, chunks } => named.push((uid, chunks)),
            Told::Part(part) => parts.push(part),
            Told::Coming(uid) => coming.push(uid),
        }
    }
    let ended = reading.await.map_err(|error| VaultError::Source(error.to_string()))?;
    ended.map_err(VaultError::Source)?;
    // The snapshot is let go: what was named then stays on the disks for a day.
    let mut lists = Lists::new(keeper, Of::Base(plan.name));
    for (uid, chunks) in named {
        let began = Instant::now();
        lists.add(keeper.keep_page(uid, &chunks, false).await?).await?;
        tokio::time::sleep(began.elapsed().min(REST)).await;
    }
    let holdings = lists.finish().await?;
    let manifest = Manifest {
        cell: plan.cell,
        region: plan.region,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        index: plan.name.index,
        stamp: not_before(plan.stamp, &parts),
        parts,
        coming,
    };
    let name = plan.line.manifest(plan.name);
    let bytes = manifest
        .clone()
        .encode()
        .map_err(|error| VaultError::Source(error.to_string()))?;
    let length = bytes.len();
    vault.put_new(&name, bytes).await?;
    wrote(length);
    Ok((manifest, holdings))
}

/// From which time on a base shows what was: a tenant's stamps run ahead of the clock where an earlier leader's clock did.
fn not_before(after: u64, parts: &[Part]) -> u64 {
    parts.iter().map(|part| part.stamp).fold(after, u64::max)
}

fn archive_all(snapshot: &Snapshot, pieces: &mpsc::Sender<Told>) -> Result<(), String> {
    for space in snapshot.spaces() {
        let space = space.map_err(|error| error.to_string())?;
        if space == Space::SYSTEM {
            continue;
        }
        let placed = snapshot.placed(space).map_err(|fault| fault.to_string())?;
        if placed.as_ref().is_some_and(|(_, place)| is_coming(*place)) {
            pieces.blocking_send(Told::Coming(space.0)).map_err(|_| GONE.to_owned())?;
        }
        let Some((header, held)) = placed.and_then(served) else {
            continue;
        };
        let mut chunks = Vec::new();
        for hash in archive::named(snapshot, space) {
            chunks.push(hash.map_err(|fault| fault.to_string())?);
            if chunks.len() == CHUNKS {
                send_chunks(space, &mut chunks, pieces)?;
            }
        }
        send_chunks(space, &mut chunks, pieces)?;
        let mut out = Pieces {
            uid: space.0,
            next: 0,
            gathered: Vec::with_capacity(PIECE_BYTES),
            pieces,
        };
        let summary = archive::write(snapshot, space, &mut out).map_err(|error| error.to_string())?;
        out.send().map_err(|error| error.to_string())?;
        let part = Part {
            uid: space.0,
            tenant: header.tenant,
            slug: header.slug,
            position: summary.position,
            stamp: summary.stamp,
            held,
            pieces: out.next,
            bytes: summary.bytes,
            hash: summary.hash,
        };
        pieces.blocking_send(Told::Part(part)).map_err(|_| GONE.to_owned())?;
    }
    Ok(())
}

fn send_chunks(space: Space, chunks: &mut Vec<ChunkHash>, pieces: &mpsc::Sender<Told>) -> Result<(), String> {
    if chunks.is_empty() {
        return Ok(());
    }
    let (uid, chunks) = (space.0, std::mem::take(chunks));
    pieces
        .blocking_send(Told::Chunks { uid, chunks })
        .map_err(|_| GONE.to_owned())
}

/// Why nothing is read any more.
const GONE: &str = "the base was given up";

/// The header of a space that is served, and the attempt of the move that holds it.
pub(super) fn served((header, place): (Header, Place)) -> Option<(Header, Option<u64>)> {
    let is_live = header.status == SpaceStatus::Live;
    match place {
        Place::Here | Place::Arrived { .. } if is_live => Some((header, None)),
        Place::Held { attempt } if is_live => Some((header, Some(attempt))),
        _ => None,
    }
}

/// Whether a space is on its way into the cell.
pub(super) fn is_coming(place: Place) -> bool {
    matches!(
        place,
        Place::Clearing { .. } | Place::Copying { .. } | Place::Following { .. }
    )
}

/// Cuts an archive into pieces.
struct Pieces<'p> {
    uid: u64,
    next: u64,
    gathered: Vec<u8>,
    pieces: &'p mpsc::Sender<Told>,
}

impl Pieces<'_> {
    fn send(&mut self) -> io::Result<()> {
        if self.gathered.is_empty() {
            return Ok(());
        }
        let piece = Told::Piece {
            uid: self.uid,
            piece: self.next,
            bytes: std::mem::take(&mut self.gathered),
        };
        self.next += 1;
        self.pieces.blocking_send(piece).map_err(|_| io::Error::other(GONE))
    }
}

impl Write for &mut Pieces<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let room = PIECE_BYTES - self.gathered.len();
        let taken = bytes.len().min(room);
        self.gathered.extend_from_slice(&bytes[..taken]);
        if self.gathered.len() == PIECE_BYTES {
            self.send()?;
        }
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// An archive that comes in pieces, as what a thread reads.
pub(crate) struct Piped {
    pieces: mpsc::Receiver<Bytes>,
    rest: Bytes,
}

impl Piped {
    /// Where the pieces go in, and where they come out.
    pub(crate) fn new() -> (mpsc::Sender<Bytes>, Self) {
        let (sender, pieces) = mpsc::channel(1);
        let rest = Bytes::new();
        (sender, Self { pieces, rest })
    }
}

impl Read for Piped {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        while self.rest.is_empty() {
            match self.pieces.blocking_recv() {
                Some(piece) => self.rest = piece,
                None => return Ok(0),
            }
        }
        let count = self.rest.len().min(into.len());
        self.rest.copy_to_slice(&mut into[..count]);
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_base_is_not_taken_for_a_time_before_what_is_in_it() {
        let part = |stamp| Part {
            uid: 7,
            tenant: uuid::Uuid::from_u128(1),
            slug: "acme".to_owned(),
            position: 1,
            stamp,
            held: None,
            pieces: 1,
            bytes: 1,
            hash: [0; 32],
        };
        // The clock of an earlier leader was ahead.
        assert_eq!(not_before(100, &[part(90), part(130), part(20)]), 130);
        assert_eq!(not_before(100, &[part(90)]), 100);
    }

    #[test]
    fn who_is_on_the_way_into_the_cell_is_neither_served_nor_passed_over() {
        let attempt = 3;
        for (place, is_so) in [
            (Place::Here, false),
            (Place::Held { attempt }, false),
            (Place::Departed { attempt }, false),
            (Place::Clearing { attempt }, true),
            (Place::Copying { attempt, chunks: 2 }, true),
            (Place::Following { attempt, index: 9 }, true),
            (Place::Arrived { attempt, epoch: 2 }, false),
        ] {
            assert_eq!(is_coming(place), is_so, "{place:?}");
        }
    }
}
