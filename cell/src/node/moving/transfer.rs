//! One attempt: rows, then the commands that came meanwhile, then a hold for the rest of them, then the switch.

use std::sync::Arc;
use std::time::{Duration, Instant};

use api::error::{Code, Error};
use storage::Snapshot;

use super::Mover;
use crate::directory::move_turn::Turn;
use crate::directory::moves::Phase;
use crate::machine::level;
use crate::machine::limits::{MOVE_CHUNK_BYTES, MOVE_COMMANDS};
use crate::machine::reader::Reader;
use crate::machine::rows::{Header, Place, SpaceStatus};
use crate::machine::tap::{Broken, Tap};
use crate::placement::arrive::{self, Cursor, SpaceArrive};
use crate::placement::clear::SpaceClear;
use crate::placement::follow::SpaceFollow;
use crate::placement::turn::Turn as SpaceStep;
use crate::service::error::{barrier, internal};

/// The longest rest after a step. Raised: a move on a busy cell leaves more of it to others, and takes longer.
const REST: Duration = Duration::from_millis(20);
/// Between two words to the directory on how far the copy is.
const TELL: Duration = Duration::from_secs(1);
/// Commands that are left when writes are held, at most. Raised: they are held for longer. Lowered: a busy tenant is followed for longer.
const SHORT: usize = 64;
/// The same in bytes.
const SHORT_BYTES: usize = 256 * 1024;
/// How long writes are held before the switch, at most: then the attempt is given up, and they go on.
const HOLD: Duration = Duration::from_millis(1_500);
/// How long the replica has to catch up with its own log after a crash.
const REPLAY: Duration = Duration::from_secs(60);

impl Mover<'_> {
    /// Moves the tenant up to the switch. Since when its writes are held.
    pub(super) async fn transfer(&mut self) -> Result<Instant, Error> {
        self.tell(Phase::Clearing, 0).await?;
        self.wait_level(self.source.level.group()).await?;
        // Where the tenant is not here any more, what the other cell has got may be all that is left of it.
        may_leave(self.placed().await?)?;
        self.clear(true).await?;
        let registered = self.source.taps.register(self.space());
        let snapshot = understood(self.snapshot().await?, |level| self.wait_level(level)).await?;
        self.tell(Phase::Copying, 0).await?;
        let began = Instant::now();
        let (keys, mut last) = self.copy(snapshot).await?;
        self.copy_chunks().await?;
        tracing::info!(tenant = self.moving.slug, keys, took = ?began.elapsed(), "copied a tenant that moves");
        self.tell(Phase::Following, keys).await?;
        let start = last;
        let (tap, is_short) = (&registered.tap, |(commands, bytes)| commands <= SHORT && bytes <= SHORT_BYTES);
        while !is_short(tap.backlog()) {
            self.follow(tap, start, &mut last).await?;
            self.check_lead()?;
        }
        self.wait_level(self.source.level.group()).await?;
        // That the directory answers now makes it likely that it will in a moment.
        self.tell(Phase::Holding, keys).await?;
        while !is_short(tap.backlog()) {
            self.follow(tap, start, &mut last).await?;
        }
        let epoch = self.moving.epoch;
        let since = Instant::now();
        self.source_turn(SpaceStep::Hold).await?;
        let rest = async {
            // Everything before the hold is in the tap; the space takes nothing after it.
            while self.follow(tap, start, &mut last).await? {}
            self.target_turn(SpaceStep::Arrive { index: last, epoch }).await
        };
        let late = |_| {
            Error::new(
                Code::Timeout,
                "the cell that the tenant goes to took too long; its writes go on where it is",
            )
        };
        tokio::time::timeout(HOLD, rest).await.map_err(late)??;
        let attempt = self.moving.attempt;
        let ended = || Error::new(Code::NotFound, "the move has ended meanwhile");
        self.moving = self.ask(Turn::Switch { attempt }).await?.ok_or_else(ended)?;
        Ok(since)
    }

    /// Waits until the cell that the tenant goes to knows everything that the one it leaves may have written at a level.
    async fn wait_level(&self, level: u32) -> Result<(), Error> {
        self.platform.wait_level(self.moving.to, level).await
    }

    /// The space in the cell that it leaves, behind everything that was answered; none: it is not there.
    pub(super) async fn placed(&self) -> Result<Option<(Header, Place)>, Error> {
        let snapshot = self.snapshot().await?;
        snapshot.placed(self.space()).map_err(|fault| internal(&fault))
    }

    /// Erases in the other cell what is not to be there.
    pub(super) async fn clear(&self, comes: bool) -> Result<(), Error> {
        let command = SpaceClear {
            attempt: self.moving.attempt,
            tenant: self.moving.tenant,
            comes,
        };
        loop {
            self.check_lead()?;
            let began = Instant::now();
            if self.at_target(command).await? {
                return Ok(());
            }
            rest(began).await;
        }
    }

    /// The tenant as it is now, behind everything that was answered.
    async fn snapshot(&self) -> Result<Snapshot, Error> {
        self.source.group.read_barrier().await.map_err(barrier)?;
        let deadline = Instant::now() + REPLAY;
        loop {
            let snapshot = self.source.store.begin_read();
            // While a log is replayed after a crash the space may be further than the snapshot says.
            let Some(until) = snapshot.replaying_until() else {
                return Ok(snapshot);
            };
            drop(snapshot);
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() || !self.source.group.wait_applied(until, left).await {
                return Err(Error::new(Code::Timeout, "the replica has not caught up with its log yet"));
            }
        }
    }

    /// Sends all rows; how many there were, and the position at which they were read.
    async fn copy(&self, snapshot: Snapshot) -> Result<(u64, u64), Error> {
        let (space, attempt, index) = (self.space(), self.moving.attempt, snapshot.mark().index);
        let header = may_leave(snapshot.placed(space).map_err(|fault| internal(&fault))?)?;
        let (snapshot, mut cursor) = (Arc::new(snapshot), Cursor::default());
        let (mut keys, mut told) = (0, Instant::now());
        for chunk in 0.. {
            self.check_lead()?;
            let began = Instant::now();
            let (pinned, mut at) = (Arc::clone(&snapshot), cursor);
            let reading = tokio::task::spawn_blocking(move || arrive::read(&pinned, space, &mut at).map(|read| (read, at)));
            let read = reading.await.map_err(|error| internal(&error))?;
            let ((rows, is_last), at) = read.map_err(|error| internal(&error))?;
            cursor = at;
            keys += rows.len() as u64;
            let end = is_last.then(|| (header.clone(), index));
            let command = SpaceArrive {
                attempt,
                chunk,
                rows,
                end,
            };
            self.at_target(command).await?;
            if is_last {
                break;
            }
            if told.elapsed() >= TELL {
                told = Instant::now();
                self.tell(Phase::Copying, keys).await?;
            }
            if !self.hurries {
                rest(began).await;
            }
        }
        Ok((keys, index))
    }

    /// Repeats what comes next in the tap. False: there is nothing.
    async fn follow(&mut self, tap: &Tap, start: u64, last: &mut u64) -> Result<bool, Error> {
        let taken = tap.take(MOVE_COMMANDS, MOVE_CHUNK_BYTES).map_err(|Broken| {
            self.hurries = true;
            Error::new(Code::Unavailable, "the tenant's writes outran its move")
        })?;
        if taken.is_empty() {
            return Ok(false);
        }
        let later = taken.into_iter().filter(|(index, _)| *index > start);
        let commands: Vec<_> = later.map(|(index, entry)| (index, entry.to_vec())).collect();
        let Some((index, _)) = commands.last() else { return Ok(true) };
        self.send_named(&commands).await?;
        *last = *index;
        let attempt = self.moving.attempt;
        self.at_target(SpaceFollow { attempt, commands }).await?;
        Ok(true)
    }
}

/// A snapshot, once who gets its rows knows them: the level may have risen since it was waited for last.
async fn understood<W>(snapshot: Snapshot, wait_level: impl FnOnce(u32) -> W) -> Result<Snapshot, Error>
where
    W: Future<Output = Result<(), Error>>,
{
    let level = level::of_state(&snapshot).map_err(|fault| internal(&fault))?;
    wait_level(level).await?;
    Ok(snapshot)
}

/// The header of a space that may leave.
fn may_leave(placed: Option<(Header, Place)>) -> Result<Header, Error> {
    match placed {
        Some((header, Place::Here)) if header.status == SpaceStatus::Live => Ok(header),
        _ => Err(Error::new(Code::Unavailable, "the tenant's space is not made yet")),
    }
}

/// More than half of the time is for others: the busier the cell, the longer a step takes, and so does the rest.
pub(in crate::node) async fn rest(began: Instant) {
    tokio::time::sleep((began.elapsed() * 5 / 4).min(REST)).await;
}

#[cfg(test)]
mod tests {
    use std::future::ready;

    use super::*;
    use crate::machine::level::LevelRaise;
    use crate::machine::stage::Stage;

    #[tokio::test]
    async fn rows_are_sent_only_to_who_knows_the_level_that_they_were_read_at() {
        let mut stage = Stage::of(storage::Space::SYSTEM);
        let before = level::of_state(&stage.snapshot()).expect("a level");
        stage.apply(LevelRaise { level: before + 1 }).result.expect("raised");
        let mut waited = None;
        let wait = |level| {
            waited = Some(level);
            ready(Ok(()))
        };
        understood(stage.snapshot(), wait).await.expect("known there");
        assert_eq!(waited, Some(before + 1), "not the one of before");
        let behind = |_| ready(Err(Error::new(Code::Unavailable, "the level is not reached yet")));
        assert!(understood(stage.snapshot(), behind).await.is_err());
    }

    #[test]
    fn a_space_that_is_not_there_does_not_leave() {
        assert_eq!(may_leave(None).err().map(|error| error.code), Some(Code::Unavailable));
    }
}
