//! Removing chunks of files that no time that is kept needs.
//!
//! What a time needs is named by the rows of the base before it, or by a command between the two. Both have lists in the store
//! ([`super::listed`]), which go with the base and the segment that they belong to. So a chunk that no list names any more is needed by no time
//! that is kept. One that was written lately is left alone all the same: somebody may be about to list it.
//!
//! Invariants:
//! - What cannot be judged stays: a list that cannot be read, or a base without any, ends it.
//! - Who names a chunk again writes it anew where it is old ([`super::keeper`]), and takes turns with this. Another node that does so leads
//!   the cell, and then this one finds out before the next folder.
//!
//! CAVEATS: a list of all that is needed is in memory. A node that is halted between its look at a folder and what it removes of it, while another
//! one leads and names a chunk of it anew, takes that chunk away; the next base brings it back.

use std::collections::BTreeSet;

use futures_util::future::BoxFuture;
use storage::blob::ChunkHash;

use super::keeper::{RENEW_SECONDS, Traffic};
use super::listed::{self, Holdings};
use super::names::{BaseName, Line, is_held, read_chunk};
use super::vault::{Vault, VaultError};

/// How long a chunk is left alone that nothing names, in seconds.
pub(super) const UNNAMED_SECONDS: i64 = 24 * 3_600;

/// Whether to go on; an error: another one is to do it.
pub(super) type May = dyn Fn() -> BoxFuture<'static, Result<(), VaultError>> + Send + Sync;

const _: () = assert!(UNNAMED_SECONDS >= 2 * RENEW_SECONDS);

/// The chunks that are needed, by number of the space and name; none: that cannot be told. `wholes`: the bases that are kept.
pub(super) async fn needed(
    vault: &Vault,
    line: Line,
    wholes: &[BaseName],
) -> Result<Option<BTreeSet<(u64, ChunkHash)>>, VaultError> {
    let bases = vault.list(&line.bases()).await?;
    let is_there = |name: &String| bases.binary_search(name).is_ok();
    for base in wholes {
        let name = line.holdings(*base);
        if !is_there(&name) {
            return Ok(None);
        }
        let holdings = Holdings::decode(&vault.get(&name).await?).map_err(VaultError::content(&name))?;
        if !(0..holdings.lists).all(|piece| is_there(&line.held(*base, piece))) {
            return Ok(None);
        }
    }
    let mut needed = BTreeSet::new();
    // A base that is being made has its lists first.
    let lists = bases.into_iter().filter(|name| is_held(name));
    for name in lists.chain(vault.list(&line.named()).await?) {
        let bytes = vault.get(&name).await?;
        for listed in listed::decode(&bytes).map_err(VaultError::content(&name))? {
            let all = listed.kept.into_iter().chain(listed.missing);
            needed.extend(all.map(|hash| (listed.uid, hash)));
        }
    }
    Ok(Some(needed))
}

/// Removes the chunks that are not needed and were not written since `before`, in seconds since the epoch; how many. `may` says before each
/// folder whether to go on.
pub(super) async fn collect(
    vault: &Vault,
    line: Line,
    traffic: &Traffic,
    needed: &BTreeSet<(u64, ChunkHash)>,
    before: i64,
    may: &May,
) -> Result<u64, VaultError> {
    let mut removed = 0;
    for folder in vault.folders(&line.chunks()).await? {
        let Ok(uid) = folder.parse::<u64>() else { continue };
        let below = format!("{}/{uid}", line.chunks());
        for first in vault.folders(&below).await? {
            may().await?;
            let _turn = traffic.turns.write().await;
            for (name, written) in vault.list_written(&format!("{below}/{first}")).await? {
                let Some(hash) = read_chunk(&name) else { continue };
                if written < before && !needed.contains(&(uid, hash)) {
                    vault.delete(name).await?;
                    removed += 1;
                }
            }
        }
    }
    Ok(removed)
}
