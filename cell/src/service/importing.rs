//! A streamed import: lines are decided as they come, some hundred become one command, a few commands are under way at once.
//!
//! Progress is told only for what is applied. The import ends at the first command that fails: the client sends the same
//! lines again under the same `Import-Id`, and what is stored is skipped. Of that progress is told too, every now and then: a
//! client that does not know what is settled may wait for it before it sends more.

use std::sync::Arc;

use api::body::import::ImportFailure;
use api::error::Result;
use api::ids::Name;
use api::service::{Import, LineSender, LineSource, RequestContext};
use bytes::Bytes;
use storage::{Snapshot, Space};
use tracing::Instrument;
use uuid::Uuid;

use super::Front;
use super::error::internal;
use super::pipeline::{Pipeline, failure};
use super::view::named;
use super::writing::asker;
use crate::machine::limits::APPLY_KEYS;
use crate::records::decide::View;
use crate::records::import::digest;
use crate::records::import_lines::{CHUNK_BYTES, ImportLines, admit, growth_of, upsert_field};
use crate::records::line::{Line, Reading};
use crate::records::schema::Collection;

/// Most keys that one command may touch by its schema: half of what it may touch at all.
const CHUNK_KEYS: usize = APPLY_KEYS / 2;
/// Settled lines that are passed over between two words of progress. Raised: a client that continues learns late how far it is.
/// Lowered: more words.
const PASSED_LINES: usize = 1_024;
/// The same in bytes. Raised beyond what a client holds back, 64 MiB at the command line: each waits for the other. Lowered:
/// more words.
const PASSED_BYTES: usize = 1024 * 1024;

/// Settled lines that were passed over since the last word of progress.
#[derive(Default)]
struct Passed {
    lines: usize,
    bytes: usize,
}

/// Lines that become one command.
#[derive(Default)]
struct Chunk {
    decided: Vec<Line>,
    failures: Vec<ImportFailure>,
    bytes: usize,
    keys: usize,
    lines: usize,
    last: u64,
}

/// One import.
struct Run<'a> {
    pipeline: Pipeline<'a>,
    collection: Arc<Collection>,
    reading: Reading,
    upsert: Option<u16>,
}

impl Front {
    /// Imports lines, as work of the elastic class.
    pub(super) async fn import_lines(
        &self,
        ctx: &RequestContext,
        collection: &Name,
        import: Import,
        lines: Box<dyn LineSource>,
        out: LineSender,
    ) -> Result<()> {
        let (front, ctx, collection) = (self.clone(), ctx.clone(), collection.clone());
        let work = async move { front.import_here(&ctx, &collection, import, lines, out).await };
        let done = self.platform.fair.elastic.run(work.in_current_span()).await;
        done.map_err(|error| internal(&error))?
    }

    async fn import_here(
        &self,
        ctx: &RequestContext,
        collection: &Name,
        import: Import,
        mut lines: Box<dyn LineSource>,
        out: LineSender,
    ) -> Result<()> {
        let replica = self.platform.replica(&ctx.placement)?;
        // The checkpoint must be the last one that was answered.
        replica.group.read_barrier().await.map_err(super::error::barrier)?;
        let moment = replica.moment(Space(ctx.placement.uid))?;
        let collection = Arc::clone(named(&moment, collection)?);
        let field = import.upsert.as_ref().map(|field| upsert_field(&collection, field.as_str()));
        let upsert = field.transpose()?;
        let name = import.id.unwrap_or_else(|| Uuid::now_v7().to_string());
        let key = digest(&collection.name, &name);
        let pipeline = Pipeline::resume(self, &replica, ctx, key, &moment, out)?;
        drop(moment);
        let reading = Reading {
            texts: lines.are_texts(),
            upsert: upsert.is_some(),
        };
        let settled = pipeline.done.last;
        let mut run = Run {
            pipeline,
            collection,
            reading,
            upsert,
        };
        let mut chunk = Chunk {
            last: settled,
            ..Chunk::default()
        };
        let mut most = run.pipeline.chunk_lines();
        let mut passed = Passed::default();
        while let Some((number, text)) = lines.next().await? {
            if number <= settled {
                // A line that is refused may be of any length.
                let bytes = text.map_or(usize::MAX, |text| text.len());
                if passed.is_due(bytes) || number == settled {
                    run.pipeline.tell_settled(number).await?;
                }
                continue;
            }
            chunk.take(&run, number, text);
            if chunk.is_full(most) {
                run.send(std::mem::take(&mut chunk)).await?;
                most = run.pipeline.chunk_lines();
            }
        }
        run.send(chunk).await?;
        run.pipeline.finish().await
    }
}

impl Passed {
    /// Counts a line of so many bytes. Whether it is time for a word; then the count begins anew.
    fn is_due(&mut self, bytes: usize) -> bool {
        self.lines += 1;
        self.bytes = self.bytes.saturating_add(bytes);
        let is_due = self.lines >= PASSED_LINES || self.bytes >= PASSED_BYTES;
        if is_due {
            *self = Self::default();
        }
        is_due
    }
}

impl Chunk {
    fn take(&mut self, run: &Run<'_>, number: u64, text: Result<Bytes>) {
        let collection = &run.collection;
        // The record, its event and its history; an entry an index, a reference and a sequence.
        let keys = 4 + collection.indexes.len() + collection.fields.len();
        let decided = text.and_then(|text| {
            self.bytes += text.len();
            let mut line = Line::read(collection, number, &text, Uuid::now_v7(), run.reading)?;
            run.admit(&mut line)?;
            Ok(line)
        });
        match decided {
            Ok(line) => {
                // Defaults may make a short line a long document.
                self.bytes += line.bytes();
                self.keys += keys;
                self.decided.push(line);
            }
            Err(error) => self.failures.push(failure(number, &error)),
        }
        self.lines += 1;
        self.last = number;
    }

    /// What comes before a line, which is at this place among those that were decided, and the rest.
    fn split(mut self, at: usize, line: u64) -> (Self, Self) {
        let decided = self.decided.split_off(at);
        let (failures, later) = self.failures.into_iter().partition(|failure| failure.line < line);
        let rest = Self {
            decided,
            failures: later,
            last: self.last,
            ..Self::default()
        };
        let fits = Self {
            failures,
            decided: self.decided,
            last: line.saturating_sub(1),
            ..Self::default()
        };
        (fits.counted(), rest.counted())
    }

    fn counted(mut self) -> Self {
        self.lines = self.decided.len() + self.failures.len();
        self
    }

    fn is_full(&self, most: usize) -> bool {
        self.lines >= most || self.bytes >= CHUNK_BYTES || self.keys >= CHUNK_KEYS
    }
}

impl Run<'_> {
    /// Refuses a line that rules do not let through.
    fn admit(&self, line: &mut Line) -> Result<()> {
        let asker = asker(self.pipeline.ctx, &self.pipeline.principal);
        if !asker.is_bound() {
            return Ok(());
        }
        let space = Space(self.pipeline.ctx.placement.uid);
        let moment = self.pipeline.replica.moment(space)?;
        let view = View {
            snapshot: &moment.snapshot,
            catalog: &moment.catalog,
            space,
            asker: Some(asker),
        };
        admit(&view, &self.collection, self.upsert, line)
    }

    /// Puts lines under way, as far as there is room for them. With the first that there is none for the import ends: what comes before it
    /// is stored, and the checkpoint stands before it.
    async fn send(&mut self, mut chunk: Chunk) -> Result<()> {
        let space = Space(self.pipeline.ctx.placement.uid);
        let (collection, upsert) = (Arc::clone(&self.collection), self.upsert);
        let grows = |snapshot: &Snapshot, line: &Line| growth_of(snapshot, space, &collection, upsert, line);
        while let Some((at, error)) = self.pipeline.first_beyond(&chunk.decided, grows).await? {
            let line = chunk.decided.get(at).map_or(chunk.last, |line| line.number);
            let (fits, rest) = chunk.split(at, line);
            self.put(fits).await?;
            if at == 0 {
                return self.pipeline.end_before(line, error).await;
            }
            chunk = rest;
        }
        self.put(chunk).await
    }

    /// Puts a command under way.
    async fn put(&mut self, chunk: Chunk) -> Result<()> {
        if chunk.lines == 0 {
            return Ok(());
        }
        let records = chunk.decided.len();
        let command = ImportLines {
            import: self.pipeline.key,
            collection: self.collection.number,
            upsert: self.upsert,
            after: self.pipeline.sent,
            last: chunk.last,
            lines: chunk.decided,
            refused: chunk.failures.len() as u64,
        };
        self.pipeline.send(command, chunk.last, records, chunk.failures).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_in_settled_lines_is_told_every_so_many_of_them_or_of_their_bytes() {
        let mut passed = Passed::default();
        let due = (1..=3 * PASSED_LINES).filter(|_| passed.is_due(10));
        assert_eq!(due.collect::<Vec<_>>(), [1, 2, 3].map(|turn| turn * PASSED_LINES));
        assert!(!passed.is_due(PASSED_BYTES / 2) && passed.is_due(PASSED_BYTES / 2) && !passed.is_due(1));
        assert!(passed.is_due(usize::MAX), "a line of unknown length");
    }
}
