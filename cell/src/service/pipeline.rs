//! The commands of an import on their way: a few at a time, in their order, and what they did told as they are applied.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use api::body::import::{ImportFailure, ImportLine, ImportProgress, ImportSummary};
use api::error::{Code, Error, Result};
use api::service::{LineSender, RequestContext};
use bytes::Bytes;
use raft::{ProposeError, Submitted};
use storage::{Snapshot, Space, table};

use super::Front;
use super::error::{internal, refused};
use super::toll::Toll;
use super::writing::{asker, current_access, heard, principal};
use crate::fair::unit;
use crate::machine::dispatch::{Answer, Command, answer};
use crate::machine::refusal::{Fault, Refusal};
use crate::machine::rows::Actor;
use crate::node::moment::Moment;
use crate::node::platform::Platform;
use crate::node::proposing::stamped;
use crate::node::replica::{Proposal, Replica};
use crate::records::import::{Checkpoint, Imported, checkpoint};
use crate::records::import_lines::CHUNK_LINES;
use crate::records::totals::Growth;

/// Commands of one import under way at a time. Raised: one import takes more of the cell. Lowered: it waits for the log.
const UNDER_WAY: usize = 4;
/// Most lines of one command while others are served: it takes a fraction of a millisecond to apply. Raised: others wait longer behind it.
/// Lowered: more of an import is the way through the log.
const SHARED_LINES: usize = 64;
/// How long an import waits for a cell that is busy.
const BUSY: Duration = Duration::from_secs(60);
/// Longest message of a failure, in characters.
const MESSAGE_CHARS: usize = 300;

/// See the module.
pub(super) struct Pipeline<'a> {
    platform: &'a Platform,
    pub(super) replica: &'a Replica,
    pub(super) ctx: &'a RequestContext,
    pub(super) principal: String,
    /// The digest of the import's name.
    pub(super) key: [u8; 32],
    schema: u64,
    access: u64,
    /// Where the last command that is under way will leave the checkpoint.
    pub(super) sent: u64,
    under_way: VecDeque<(Vec<ImportFailure>, Submitted)>,
    out: LineSender,
    /// Where the checkpoint is.
    pub(super) done: Checkpoint,
    position: u64,
    toll: Toll<'a>,
}

impl<'a> Pipeline<'a> {
    /// Goes on after the checkpoint. The moment is behind a read barrier: the checkpoint must be the last one that was answered.
    pub(super) fn resume(
        front: &'a Front,
        replica: &'a Replica,
        ctx: &'a RequestContext,
        key: [u8; 32],
        moment: &Moment,
        out: LineSender,
    ) -> Result<Self> {
        let space = Space(ctx.placement.uid);
        let done = checkpoint(&moment.snapshot, &table::Import { space, import: key }).map_err(|stop| internal(&stop))?;
        Ok(Self {
            platform: &front.platform,
            replica,
            ctx,
            principal: principal(ctx),
            key,
            schema: moment.header.schema,
            access: current_access(ctx, &moment.snapshot, &moment.header)?,
            sent: done.last,
            under_way: VecDeque::new(),
            out,
            done,
            position: moment.header.position,
            toll: Toll::new(
                &front.platform,
                &ctx.placement,
                "send the import again with the same Import-Id",
            ),
        })
    }

    /// How many lines the next command is to have at most: few where others wait for what one command takes.
    pub(super) fn chunk_lines(&self) -> usize {
        if self.toll.is_shared() { SHARED_LINES } else { CHUNK_LINES }
    }

    /// The first of some lines, by its place among them, that the plan has no room for, and what is said of it; none: all fit. `grows`: what a
    /// line adds. Where little room is left all commands are waited for first: then the totals are exact.
    pub(super) async fn first_beyond<L>(
        &mut self,
        lines: &[L],
        grows: impl Fn(&Snapshot, &L) -> std::result::Result<Growth, Fault>,
    ) -> Result<Option<(usize, Error)>> {
        let (platform, replica, placement) = (self.platform, self.replica, &self.ctx.placement);
        if platform.near_full(placement, &replica.store.begin_read())?.is_none() {
            return Ok(None);
        }
        self.drain().await?;
        let snapshot = replica.store.begin_read();
        let Some((limits, stored)) = platform.near_full(placement, &snapshot)? else {
            return Ok(None);
        };
        let mut growth = Growth::default();
        for (at, line) in lines.iter().enumerate() {
            growth = growth.plus(grows(&snapshot, line).map_err(|fault| internal(&fault))?);
            if let Err(error) = stored.check(&limits, growth) {
                return Ok(Some((at, error)));
            }
        }
        Ok(None)
    }

    /// Tells that the lines up to this one, which an earlier attempt settled, have come again.
    pub(super) async fn tell_settled(&self, line: u64) -> Result<()> {
        let mut text = Vec::with_capacity(32);
        append(&mut text, &ImportLine::Progress(ImportProgress { stored: line }))?;
        tell(&self.out, text).await
    }

    /// That the import ends before a line that there is no room for.
    pub(super) async fn end_before(&mut self, line: u64, error: Error) -> Result<()> {
        self.drain().await?;
        self.platform.count_full(&error);
        let detail = format!("line {line}: {}; send the rest with the same Import-Id then", error.detail);
        Err(Error { detail, ..error })
    }

    /// Puts a command under way that changes so many records and settles the lines up to `last`; waits where there are enough of them.
    pub(super) async fn send<C: Command<Reply = Imported>>(
        &mut self,
        command: C,
        last: u64,
        records: usize,
        failures: Vec<ImportFailure>,
    ) -> Result<()> {
        while self.under_way.len() >= UNDER_WAY {
            self.settle().await?;
        }
        self.sent = last;
        let proposal = Proposal {
            command,
            schema: Some(self.schema),
            access: Some(self.access),
        };
        let (space, actor) = (Space(self.ctx.placement.uid), Actor::Token(self.ctx.principal.token.0));
        let bytes = stamped(space, actor, None, proposal);
        self.toll
            .pay_to_write(self.replica, unit::of_command(records, bytes.len()))
            .await?;
        let submitted = self.submit(bytes).await?;
        self.under_way.push_back((failures, submitted));
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
            Refusal::Moving => Error::new(
                Code::Unavailable,
                "the import was interrupted for a moment: send it again with the same Import-Id",
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

    /// A refusal as who imports may hear it.
    fn heard(&self, refusal: &Refusal) -> Error {
        let moment = self.replica.moment(Space(self.ctx.placement.uid));
        heard(moment.ok().as_ref(), &asker(self.ctx, &self.principal), refusal.clone())
    }

    /// Waits for all commands.
    pub(super) async fn drain(&mut self) -> Result<()> {
        while !self.under_way.is_empty() {
            self.settle().await?;
        }
        Ok(())
    }

    /// Waits for all commands, and tells the summary.
    pub(super) async fn finish(mut self) -> Result<()> {
        self.drain().await?;
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

/// What is told of a line that was refused.
pub(super) fn failure(line: u64, error: &Error) -> ImportFailure {
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
