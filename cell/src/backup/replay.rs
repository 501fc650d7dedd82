//! The state of a tenant at a time: its archive in a base, and the commands behind it, applied again in a store of their own.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use storage::Space;

use super::base::Piped;
use super::find::{Source, next};
use super::manifest::Part;
use super::scratch::{Restored, Scratch};
use super::segment::Segment;
use super::vault::{Vault, VaultError};

/// How far clocks of leaders may be apart, in microseconds: log that begins so long after a time has no command of before.
const SKEW_MICROS: u64 = 3_600 * 1_000_000;

/// What is to be restored.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    /// The number of the tenant's space.
    pub(crate) uid: u64,
    /// Up to which stamp; none: all that there is.
    pub(crate) until: Option<u64>,
}

/// Why a tenant is not restored.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReplayError {
    /// The backup cannot be read.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// The log that was archived does not reach as far.
    #[error(
        "the archived log of cell {cell} ends at position {at} and goes on later: log was lost in between; choose a time before or after"
    )]
    Gap {
        /// The cell.
        cell: u64,
        /// Where it ends.
        at: u64,
    },
    /// What was read cannot be applied.
    #[error("{object}: {why}")]
    Apply {
        /// The object that was being applied.
        object: String,
        /// Why.
        why: String,
    },
}

/// The numbers of tenants that had a slug, as a source knows them: in its base, and in the log behind it.
pub(crate) async fn numbers(vault: &Vault, source: &Source, slug: &str, until: Option<u64>) -> Result<Vec<u64>, ReplayError> {
    let parts = source.manifest.parts.iter().filter(|part| part.slug == slug);
    let mut uids: Vec<u64> = parts.map(|part| part.uid).collect();
    let mut at = source.base.index;
    while let Some(segment) = next(&source.segments, at) {
        let name = source.line.segment(segment);
        let head = Segment::head(&vault.get(&name).await?).map_err(VaultError::content(&name))?;
        if is_past(head.first_stamp, until) {
            break;
        }
        uids.extend(head.tenants.iter().filter(|made| made.slug == slug).map(|made| made.uid));
        at = segment.last;
    }
    uids.sort_unstable();
    uids.dedup();
    // Whoever had the name last comes first.
    uids.reverse();
    Ok(uids)
}

fn is_past(first_stamp: u64, until: Option<u64>) -> bool {
    until.is_some_and(|until| first_stamp > until.saturating_add(SKEW_MICROS))
}

/// Brings a tenant to what it was; none: it was not served in this cell then. `done` counts what was read, in bytes.
pub(crate) async fn replay(
    vault: &Vault,
    source: &Source,
    wanted: &Wanted,
    root: PathBuf,
    done: &Arc<AtomicU64>,
) -> Result<Option<Restored>, ReplayError> {
    let space = Space(wanted.uid);
    let folder = source.line.base(source.base);
    let mut scratch = apply(&folder, move || Scratch::new(&root, space)).await?;
    if let Some(part) = source.manifest.part(wanted.uid) {
        scratch = load(vault, source, part, scratch, done).await?;
    }
    let mut at = source.base.index;
    while let Some(segment) = next(&source.segments, at) {
        let name = source.line.segment(segment);
        let bytes = vault.get(&name).await?;
        done.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        let head = Segment::head(&bytes).map_err(VaultError::content(&name))?;
        if (head.first, head.last) != (segment.first, segment.last) {
            return Err(VaultError::content(&name)("it covers other positions".to_owned()).into());
        }
        if is_past(head.first_stamp, wanted.until) {
            return finish(scratch, &name).await;
        }
        if head.spaces.binary_search(&wanted.uid).is_ok() {
            let decoded = Segment::decode(&bytes).map_err(VaultError::content(&name))?;
            let until = wanted.until;
            let (was_at, mut kept) = (at, scratch);
            let (after, is_over) = apply(&name, move || {
                let from = decoded.entries.partition_point(|entry| entry.index <= was_at);
                kept.replay(&decoded.entries[from..], until).map(|is_over| (kept, is_over))
            })
            .await?;
            scratch = after;
            if is_over {
                return finish(scratch, &name).await;
            }
        }
        at = segment.last;
    }
    if source.segments.iter().any(|segment| segment.last > at) {
        let cell = source.line.cell;
        return Err(ReplayError::Gap { cell, at });
    }
    finish(scratch, &folder).await
}

async fn finish(scratch: Scratch, object: &str) -> Result<Option<Restored>, ReplayError> {
    apply(object, move || scratch.finish()).await
}

/// Runs on a thread that may block.
async fn apply<T: Send + 'static>(
    object: &str,
    run: impl FnOnce() -> Result<T, String> + Send + 'static,
) -> Result<T, ReplayError> {
    let object = object.to_owned();
    match tokio::task::spawn_blocking(run).await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(why)) => Err(ReplayError::Apply { object, why }),
        Err(error) => Err(ReplayError::Apply {
            object,
            why: error.to_string(),
        }),
    }
}

/// Takes the archive of a base, piece by piece.
async fn load(
    vault: &Vault,
    source: &Source,
    part: &Part,
    mut scratch: Scratch,
    done: &Arc<AtomicU64>,
) -> Result<Scratch, ReplayError> {
    let (pieces, archive) = Piped::new();
    let folder = source.line.base(source.base);
    let owned = part.clone();
    let loading = apply(&folder, move || scratch.load(&owned, archive).map(|()| scratch));
    let feeding = async move {
        let (mut hasher, mut bytes) = (blake3::Hasher::new(), 0);
        for piece in 0..part.pieces {
            let name = source.line.piece(source.base, part.uid, piece);
            let content = vault.get(&name).await?;
            hasher.update(&content);
            bytes += content.len() as u64;
            done.fetch_add(content.len() as u64, Ordering::Relaxed);
            if pieces.send(content).await.is_err() {
                // Who reads says why.
                return Ok(());
            }
        }
        if (bytes, hasher.finalize().as_bytes()) != (part.bytes, &part.hash) {
            let name = source.line.piece(source.base, part.uid, 0);
            let why = "the pieces together are not the archive that the manifest lists";
            return Err(VaultError::content(&name)(why.to_owned()));
        }
        Ok(())
    };
    let (loaded, fed) = tokio::join!(loading, feeding);
    // What is missing or damaged in the store comes first: the reader only sees that there is no more.
    fed?;
    loaded
}
