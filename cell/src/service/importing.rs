//! A streamed import: lines are decided as they come, some hundred become one command, a few commands are under way at once.
//!
//! Progress is told only for what is applied. The import ends at the first command that fails: the client sends the same
//! lines again under the same `Import-Id`, and what is stored is skipped.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use api::body::import::{ImportFailure, ImportLine, ImportProgress, ImportSummary};
use api::error::{Code, Error, Result};
use api::ids::Name;
use api::service::{Import, LineSender, LineSource, RequestContext};
use bytes::Bytes;
use raft::{ProposeError, Submitted};
use storage::{Space, table};
use uuid::Uuid;

use super::Front;
use super::error::{internal, refused};
use super::view::named;
use super::writing::{asker, current_access, heard, principal};
use crate::machine::dispatch::{Answer, answer};
use crate::machine::limits::APPLY_KEYS;
use crate::machine::refusal::Refusal;
use crate::machine::rows::Actor;
use crate::node::replica::{Proposal, Replica, stamped};
use crate::records::decide::View;
use crate::records::import::{Checkpoint, Imported, checkpoint, digest};
use crate::records::import_lines::{CHUNK_BYTES, CHUNK_LINES, ImportLines, admit, upsert_field};
use crate::records::line::{Line, Reading};
use crate::records::schema::Collection;

/// Commands of one import under way at a time. Raised: one import takes more of the cell. Lowered: it waits for the log.
const UNDER_WAY: usize = 4;
/// How long an import waits for a cell that is busy.
const BUSY: Duration = Duration::from_secs(60);
/// Most keys that one command may touch by its schema: half of what it may touch at all.
const CHUNK_KEYS: usize = APPLY_KEYS / 2;
/// Failures of one command that are told one by one.
const MESSAGE_CHARS: usize = 300;

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
    replica: &'a Replica,
    ctx: &'a RequestContext,
    collection: Arc<Collection>,
    reading: Reading,
    upsert: Option<u16>,
    principal: String,
    key: [u8; 32],
    schema: u64,
    access: u64,
    /// Where the last command that is under way will leave the checkpoint.
    sent: u64,
    under_way: VecDeque<(Vec<ImportFailure>, Submitted)>,
    out: LineSender,
    done: Checkpoint,
    position: u64,
}

impl Front {
    pub(super) async fn import_lines(
        &self,
        ctx: &RequestContext,
        collection: &Name,
        import: Import,
        mut lines: Box<dyn LineSource>,
        out: LineSender,
    ) -> Result<()> {
        let replica = self.platform.replica(&ctx.placement)?;
        let space = Space(ctx.placement.uid);
        // The checkpoint must be the last one that was answered.
        replica.group.read_barrier().await.map_err(super::error::barrier)?;
        let moment = replica.moment(space)?;
        let collection = Arc::clone(named(&moment, collection)?);
        let field = import.upsert.as_ref().map(|field| upsert_field(&collection, field.as_str()));
        let upsert = field.transpose()?;
        let name = import.id.unwrap_or_else(|| Uuid::now_v7().to_string());
        let key = digest(&collection.name, &name);
        let done = match checkpoint(&moment.snapshot, &table::Import { space, import: key }) {
            Ok(done) => done,
            Err(stop) => return Err(internal(&stop)),
        };
        let access = current_access(ctx, &moment.snapshot, &moment.header)?;
        let (schema, position) = (moment.header.schema, moment.header.position);
        drop(moment);
        let mut run = Run {
            replica: &replica,
            ctx,
            collection,
            reading: Reading {
                texts: lines.are_texts(),
                upsert: upsert.is_some(),
            },
            upsert,
            principal: principal(ctx),
            key,
            schema,
            access,
            sent: done.last,
            under_way: VecDeque::new(),
            out,
            done,
            position,
        };
        let mut chunk = Chunk {
            last: done.last,
            ..Chunk::default()
        };
        while let Some((number, text)) = lines.next().await? {
            if number <= done.last {
                continue;
            }
            chunk.take(&run, number, text);
            if chunk.is_full() {
                run.send(std::mem::take(&mut chunk)).await?;
            }
        }
        run.send(chunk).await?;
        run.finish().await
    }
}

impl Chunk {
    fn take(&mut self, run: &Run<'_>, number: u64, text: Result<Bytes>) {
        let collection = &run.collection;
        // The record and its event; an entry an index, a reference and a sequence.
        let keys = 2 + collection.indexes.len() + collection.fields.len();
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

    fn is_full(&self) -> bool {
        self.lines >= CHUNK_LINES || self.bytes >= CHUNK_BYTES || self.keys >= CHUNK_KEYS
    }
}

impl Run<'_> {
    /// Refuses a line that rules do not let through.
    fn admit(&self, line: &mut Line) -> Result<()> {
        let asker = asker(self.ctx, &self.principal);
        if !asker.is_bound() {
            return Ok(());
        }
        let space = Space(self.ctx.placement.uid);
        let moment = self.replica.moment(space)?;
        let view = View {
            snapshot: &moment.snapshot,
            catalog: &moment.catalog,
            space,
            asker: Some(asker),
        };
        admit(&view, &self.collection, self.upsert, line)
    }

    /// A refusal as who imports may hear it.
    fn heard(&self, refusal: &Refusal) -> Error {
        let moment = self.replica.moment(Space(self.ctx.placement.uid));
        heard(moment.ok().as_ref(), &asker(self.ctx, &self.principal), refusal.clone())
    }

    /// Puts a command under way; waits where there are enough of them.
    async fn send(&mut self, chunk: Chunk) -> Result<()> {
        if chunk.lines == 0 {
            return Ok(());
        }
        while self.under_way.len() >= UNDER_WAY {
            self.settle().await?;
        }
        let command = ImportLines {
            import: self.key,
            collection: self.collection.number,
            upsert: self.upsert,
            after: self.sent,
            last: chunk.last,
            lines: chunk.decided,
            refused: chunk.failures.len() as u64,
        };
        self.sent = chunk.last;
        let proposal = Proposal {
            command,
            schema: Some(self.schema),
            access: Some(self.access),
        };
        let (space, actor) = (Space(self.ctx.placement.uid), Actor::Token(self.ctx.principal.token.0));
        let bytes = stamped(space, actor, None, proposal);
        let submitted = self.submit(bytes).await?;
        self.under_way.push_back((chunk.failures, submitted));
        Ok(())
    }

    /// Hands a command to the log, in its turn. A cell that is busy holds the stream back.
    async fn submit(&self, bytes: Bytes) -> Result<Submitted> {
        let deadline = Instant::now() + BUSY;
        loop {
            match self.replica.group.submit(bytes.clone()).await {
                Err(ProposeError::Overloaded) if Instant::now() < deadline => {}
                other => return other.map_err(super::error::proposal),
            }
        }
    }

    /// Waits for the oldest command and tells what it did.
    async fn settle(&mut self) -> Result<()> {
        let Some(oldest) = self.under_way.pop_front() else {
            return Ok(());
        };
        let (mut failures, submitted) = oldest;
        let applied = submitted.outcome().await.map_err(super::error::proposal)?;
        let answer: Answer<Imported> = answer(&applied.reply).map_err(|fault| internal(&fault))?;
        let imported = answer.result.map_err(|refusal| match refusal {
            Refusal::Stale => Error::new(
                Code::Unavailable,
                "the schema or the tokens changed during the import: send it again with the same Import-Id",
            ),
            other => refused(&other),
        })?;
        failures.extend(
            imported
                .refused
                .iter()
                .map(|(number, refusal)| failure(*number, &self.heard(refusal))),
        );
        failures.sort_unstable_by_key(|failure| failure.line);
        self.done = imported.checkpoint;
        self.position = answer.position;
        let mut text = Vec::with_capacity(64);
        for failure in failures {
            append(&mut text, &ImportLine::Failure(failure))?;
        }
        append(&mut text, &ImportLine::Progress(ImportProgress { stored: self.done.last }))?;
        tell(&self.out, text).await
    }

    async fn finish(mut self) -> Result<()> {
        while !self.under_way.is_empty() {
            self.settle().await?;
        }
        let Checkpoint { imported, failed, .. } = self.done;
        let mut text = Vec::with_capacity(64);
        append(
            &mut text,
            &ImportLine::Summary(ImportSummary {
                imported,
                failed,
                position: self.position,
            }),
        )?;
        tell(&self.out, text).await
    }
}

async fn tell(out: &LineSender, text: Vec<u8>) -> Result<()> {
    let gone = |_| Error::new(Code::RequestTimeout, "the client has gone");
    out.send(Ok(text.into())).await.map_err(gone)
}

fn append(text: &mut Vec<u8>, line: &ImportLine) -> Result<()> {
    serde_json::to_writer(&mut *text, line).map_err(|error| internal(&error))?;
    text.push(b'\n');
    Ok(())
}

fn failure(line: u64, error: &Error) -> ImportFailure {
    let message = if error.errors.is_empty() {
        error.detail.clone()
    } else {
        error
            .errors
            .iter()
            .map(|wrong| format!("{}: {}", wrong.pointer, wrong.message))
            .collect::<Vec<_>>()
            .join("; ")
    };
    ImportFailure {
        line,
        code: error.code.name().to_owned(),
        message: message.chars().take(MESSAGE_CHARS).collect(),
    }
}
