//! Many new records in one stream, each stored once however often the connection breaks.
//!
//! The server keeps, under the import's id, up to which line all is settled. So a broken import is simply sent again, from its first
//! line: what is settled is skipped. That needs a source that can be read again, such as a list of rows, or a file that is opened anew.

use std::collections::BTreeSet;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use serde::Serialize;
use tokio::time::Instant;

use super::Records;
use crate::body::import::{ImportFailure, ImportLine, ImportSummary};
use crate::client::retry::pause;
use crate::client::{ClientError, ImportOptions};

/// Rows are sent together until they are this long, in bytes.
const PIECE_BYTES: usize = 64 * 1024;
/// How long an import goes on failing while no line is settled.
const PATIENCE: Duration = Duration::from_secs(300);

/// An import.
#[must_use = "nothing is sent before send or rows"]
pub struct ImportBuilder<'f> {
    records: Records,
    options: ImportOptions,
    patience: Duration,
    on_failure: Box<dyn FnMut(&ImportFailure) + Send + 'f>,
    on_progress: Box<dyn FnMut(u64) + Send + 'f>,
}

impl<'f> ImportBuilder<'f> {
    pub(super) fn new(records: Records) -> Self {
        Self {
            records,
            options: ImportOptions::default(),
            patience: PATIENCE,
            on_failure: Box::new(|_| {}),
            on_progress: Box::new(|_| {}),
        }
    }

    /// What the import is called. A second one of the same name, by whichever process, goes on after what the first one stored; where it
    /// is left out every import has a name of its own.
    pub fn id(mut self, id: impl Into<String>) -> Self {
        self.options.import_id = Some(id.into());
        self
    }

    /// The source is CSV, whose first record names the fields, and not a JSON object a line.
    pub fn csv(mut self) -> Self {
        self.options.csv = true;
        self
    }

    /// A row changes the record that has its value of this unique field, and makes one where there is none. What a row leaves out stays.
    pub fn upsert(mut self, field: impl Into<String>) -> Self {
        self.options.upsert = Some(field.into());
        self
    }

    /// Sees each line that was refused, once. It stops nothing else.
    pub fn on_failure(mut self, see: impl FnMut(&ImportFailure) + Send + 'f) -> Self {
        self.on_failure = Box::new(see);
        self
    }

    /// Sees up to which line all is settled.
    pub fn on_progress(mut self, see: impl FnMut(u64) + Send + 'f) -> Self {
        self.on_progress = Box::new(see);
        self
    }

    /// How long an import that fails keeps trying while no line is settled. Default: five minutes.
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Imports rows, each a struct or map of fields that may have `id` and `created_at` besides.
    pub async fn rows<R>(self, rows: R) -> Result<ImportSummary, ClientError>
    where
        R: IntoIterator + Clone,
        R::Item: Serialize,
    {
        self.send(|| futures_util::stream::iter(Pieces(rows.clone().into_iter())))
            .await
    }

    /// Imports what a source gives. It is called once a connection, and must give the same bytes each time.
    pub async fn send<S>(mut self, mut source: impl FnMut() -> S) -> Result<ImportSummary, ClientError>
    where
        S: Stream<Item = io::Result<Bytes>>,
    {
        let id = self.options.import_id.take();
        self.options.import_id = Some(id.unwrap_or_else(|| uuid::Uuid::now_v7().to_string()));
        let Records { tenant, collection, .. } = &self.records;
        let (mut settled, mut reported, mut failures) = (0_u64, BTreeSet::new(), 0_u32);
        let mut since = Instant::now();
        loop {
            let before = settled;
            let (on_failure, on_progress) = (&mut self.on_failure, &mut self.on_progress);
            let on_line = |line: &ImportLine| match line {
                ImportLine::Progress(progress) if progress.stored > settled => {
                    settled = progress.stored;
                    on_progress(settled);
                }
                ImportLine::Failure(failure) if reported.insert(failure.line) => on_failure(failure),
                _ => {}
            };
            let unread = AtomicBool::new(false);
            let source = source().inspect(|piece| unread.store(piece.is_err(), Ordering::Relaxed));
            let attempt = tenant.client.import(&tenant.slug, collection, &self.options, source, on_line);
            let error = match attempt.await {
                Ok(summary) => {
                    tenant.seen(summary.position);
                    return Ok(summary);
                }
                Err(error) => error,
            };
            if settled > before {
                (since, failures) = (Instant::now(), 0);
            }
            // A 421 was learned from: the next attempt goes to the tenant's region.
            let elsewhere = error.status() == Some(421) && failures == 0;
            // What cannot be read now is not read later either.
            let unread = unread.load(Ordering::Relaxed);
            if unread || !(error.is_transient() || elsewhere) || since.elapsed() >= self.patience {
                return Err(error);
            }
            tokio::time::sleep(pause(failures, error.retry_after())).await;
            failures += 1;
        }
    }
}

/// Rows as pieces of lines.
struct Pieces<I>(I);

impl<I: Iterator<Item: Serialize>> Iterator for Pieces<I> {
    type Item = io::Result<Bytes>;

    fn next(&mut self) -> Option<io::Result<Bytes>> {
        let mut piece = Vec::new();
        while piece.len() < PIECE_BYTES {
            let Some(row) = self.0.next() else { break };
            if let Err(error) = serde_json::to_writer(&mut piece, &row) {
                return Some(Err(error.into()));
            }
            piece.push(b'\n');
        }
        (!piece.is_empty()).then(|| Ok(piece.into()))
    }
}
