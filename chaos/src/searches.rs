//! Reads back what search finds: at every node, once its index says that it is through, words that many notes have and words that one has.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tokio::time::sleep;

use crate::ending::{Searched, TenantEnding};
use crate::field::Field;
use crate::invariants::names;
use crate::liveness;
use crate::reader::{Reader, readers};
use crate::workload::{Workspace, seeker};

/// Words of one note that are searched for.
const WORDS: usize = 20;
/// Records of a page where pages are gone through.
const PAGE: usize = 7;
/// Between two looks at an index that is being built.
const PAUSE: Duration = Duration::from_millis(200);

/// Searches a tenant whose records have been read.
pub async fn read(field: &Field<'_>, workspace: &Workspace, ending: &mut TenantEnding) -> Result<()> {
    let mut words: Vec<String> = (0..names::NOTE_GROUPS)
        .map(|group| names::group_word(&workspace.tag, group))
        .collect();
    let notes = ending.records.get(names::NOTES).into_iter().flatten();
    let texts = notes.filter_map(|(_, note)| note.fields.get(names::NOTE_TEXT)?.as_str());
    words.extend(texts.filter_map(names::own_word).take(WORDS).map(str::to_owned));
    for reader in &mut readers(field, workspace) {
        settle(reader, &words[0]).await?;
        for (place, word) in words.iter().enumerate() {
            let limit = if place == 0 { PAGE } else { seeker::PAGE };
            ending.searches.push(search(reader, word, limit).await?);
        }
    }
    Ok(())
}

/// Waits until a node's index is built, as long as a cluster may take to come back. One that is not, is told by the checker.
async fn settle(reader: &mut Reader<'_>, word: &str) -> Result<()> {
    let deadline = Instant::now() + liveness::WITHIN;
    while page(reader, word, 1, "").await?["building"] == true && Instant::now() < deadline {
        sleep(PAUSE).await;
    }
    Ok(())
}

async fn page(reader: &mut Reader<'_>, word: &str, limit: usize, cursor: &str) -> Result<Value> {
    let path = format!(
        "/search?q={word}&limit={limit}&facets={}&consistency=strong{cursor}",
        names::NOTE_KIND
    );
    let (status, bytes) = reader.ask(&path).await?;
    ensure!(status == 200, "{path}: {status} {}", String::from_utf8_lossy(&bytes));
    serde_json::from_slice(&bytes).context("read what a search found")
}

/// All pages of a search.
async fn search(reader: &mut Reader<'_>, word: &str, limit: usize) -> Result<Searched> {
    let first = page(reader, word, limit, "").await?;
    let mut searched = Searched {
        node: reader.name.clone(),
        word: word.to_owned(),
        found: seeker::found(&first),
        total: seeker::total(&first),
        facets: seeker::facets_of(&first),
        building: first["building"] == true,
    };
    let mut next = first["next_cursor"].as_str().map(str::to_owned);
    while let Some(cursor) = next {
        let page = page(reader, word, limit, &format!("&cursor={cursor}")).await?;
        searched.found.extend(seeker::found(&page));
        next = page["next_cursor"].as_str().map(str::to_owned);
    }
    Ok(searched)
}
