//! One connection to a document: the protocol of `y-websocket`, unchanged.
//!
//! A message begins with its kind: 0, synchronisation: 0 and how much one has (step 1), 1 and what the other lacked (step 2), 2 and an
//! update; 1, awareness: what clients say of themselves; 2, a refusal; 3, a question for the awareness of others. Both sides begin
//! with step 1.
//!
//! What the client writes is stored before others hear of it. A connection that misses what others write is closed: its client comes back
//! and synchronises, which brings all of it. Updates have numbers: a connection knows which it has been told of, and one that lacks any at a look
//! that was there at the look before has missed it. So it is where a write was given up as unknown and stored all the same, and where others
//! wrote at another leader while this node did not lead. What was refused is missing beneath what the same client writes later: once something of
//! it is taken again the connection is closed as well, and so it is where numbers begin anew, for the record was deleted and restored.

use std::collections::BTreeSet;
use std::pin::pin;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use tokio::time::MissedTickBehavior;

use super::end::{End, ended};
use super::lib0::{Broken, Reading, put_bytes, put_number};
use super::rate::Rate;
use super::rooms::{Seat, Told};
use super::socket::{Heard, Socket};
use crate::error::{Code, Error, Result};
use crate::limits::{DOCUMENT_MESSAGES_A_SECOND, DOCUMENT_MESSAGES_AT_ONCE, DOCUMENT_UPDATE_BYTES};
use crate::server::LiveTimes;
use crate::service::{DocumentAt, Location, Reach, RequestContext, Service};

const SYNC: u64 = 0;
const AWARENESS: u64 = 1;
const AUTH: u64 = 2;
const ASK_AWARENESS: u64 = 3;
const STEP_ONE: u64 = 0;
const STEP_TWO: u64 = 1;
const UPDATE: u64 = 2;
const DENIED: u64 = 0;

/// See the module.
pub(super) struct Editor {
    pub(super) service: Arc<dyn Service>,
    pub(super) ctx: RequestContext,
    pub(super) secret: String,
    pub(super) at: DocumentAt,
    pub(super) times: LiveTimes,
    pub(super) seat: Seat,
    pub(super) known: Known,
    /// Whether something that the client wrote was refused.
    pub(super) denied: bool,
}

/// The updates that a client has been told of, by their numbers.
#[derive(Debug, Default)]
pub(super) struct Known {
    /// All up to this one.
    up_to: u64,
    /// Others beyond it.
    beyond: BTreeSet<u64>,
    /// The last one that was there at the last look.
    looked: u64,
}

impl Known {
    fn has(&mut self, number: u64) {
        if number > self.up_to {
            self.beyond.insert(number);
        }
        while self.beyond.remove(&self.up_to.saturating_add(1)) {
            self.up_to += 1;
        }
    }

    /// Looks again, where the document has so many; whether all is known that was there at the last look.
    fn look(&mut self, last: u64) -> bool {
        // With fewer than before it is another document.
        let is_whole = self.up_to >= self.looked && last >= self.looked;
        self.looked = last;
        is_whole
    }
}

/// A message of a kind, with one or two numbers before its bytes.
fn message(kind: &[u64], bytes: &[u8]) -> Bytes {
    let mut out = Vec::with_capacity(bytes.len() + 8);
    kind.iter().for_each(|number| put_number(&mut out, *number));
    put_bytes(&mut out, bytes);
    out.into()
}

/// A message with what clients say of themselves.
pub(super) fn awareness(update: &[u8]) -> Bytes {
    message(&[AWARENESS], update)
}

impl Editor {
    /// Serves the connection until it ends.
    pub(super) async fn run(mut self, mut socket: Socket, draining: impl Future<Output = ()>) {
        let mut draining = pin!(draining);
        let mut looks = tokio::time::interval(self.times.look);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut rate = Rate::new(DOCUMENT_MESSAGES_A_SECOND, DOCUMENT_MESSAGES_AT_ONCE);
        let mut heard = Instant::now();
        let mut step = self.begin(&mut socket).await;
        let end = loop {
            if let Err(end) = step {
                break end;
            }
            step = tokio::select! {
                biased;
                () = &mut draining => Err(End::Resume),
                said = socket.next() => {
                    heard = Instant::now();
                    match rate.take() {
                        true => self.hear(&mut socket, said).await,
                        false => Err(End::Refused(Error::new(Code::TooManyRequests, "too many messages a second"))),
                    }
                }
                Some(told) = self.seat.next() => self.pass_on(&mut socket, told).await,
                _ = looks.tick() => match heard.elapsed() >= self.times.silence {
                    true => Err(End::Gone),
                    false => self.look(&mut socket).await,
                },
            };
        };
        drop(self.seat);
        socket.close(end).await;
    }

    /// Asks for what the client has, and tells it what others say of themselves.
    async fn begin(&mut self, socket: &mut Socket) -> Result<(), End> {
        let stored = self.service.document(&self.ctx, &self.at, None).await.map_err(ended)?;
        // What it lacks of those it will ask for.
        self.known.up_to = stored.last;
        socket.feed_bytes(message(&[SYNC, STEP_ONE], &stored.state_vector)).await?;
        if let Some(all) = self.seat.all() {
            socket.feed_bytes(all).await?;
        }
        Ok(socket.flush().await?)
    }

    async fn hear(&mut self, socket: &mut Socket, heard: Heard) -> Result<(), End> {
        let bytes = match heard {
            Heard::Binary(bytes) => bytes,
            Heard::Alive => return Ok(()),
            Heard::Gone => return Err(End::Gone),
            Heard::Wrong(why) => return Err(malformed(&why)),
            Heard::Text(_) => return Err(malformed("messages are bytes")),
        };
        let broken = |Broken| malformed("a message ends too early");
        let mut reading = Reading::new(&bytes);
        match reading.number().map_err(broken)? {
            SYNC => {
                let step = reading.number().map_err(broken)?;
                let body = Bytes::copy_from_slice(reading.bytes().map_err(broken)?);
                match step {
                    STEP_ONE => self.answer(socket, body).await,
                    STEP_TWO | UPDATE => self.write(socket, body).await,
                    _ => Err(malformed("a step of no synchronisation")),
                }
            }
            AWARENESS => self.seat.says(reading.bytes().map_err(broken)?).map_err(broken),
            ASK_AWARENESS => match self.seat.all() {
                Some(all) => self.send(socket, all).await,
                None => Ok(()),
            },
            _ => Err(malformed("a message of no kind that is known")),
        }
    }

    /// Answers what the client lacks.
    async fn answer(&mut self, socket: &mut Socket, has: Bytes) -> Result<(), End> {
        let lacking = self.service.document(&self.ctx, &self.at, Some(has)).await.map_err(ended)?;
        self.send(socket, message(&[SYNC, STEP_TWO], &lacking.update)).await
    }

    /// Stores what the client has written, and tells the others. Who may only watch is told so.
    async fn write(&mut self, socket: &mut Socket, update: Bytes) -> Result<(), End> {
        if update.len() > DOCUMENT_UPDATE_BYTES {
            let detail = format!("an update of a document has at most {DOCUMENT_UPDATE_BYTES} bytes");
            return Err(End::Refused(Error::new(Code::TooLarge, detail)));
        }
        self.authenticate().await?;
        match self.service.document_update(&self.ctx, &self.at, update.clone()).await {
            Ok(Some(number)) => {
                let anew = number <= self.known.up_to;
                self.known.has(number);
                self.seat.tell(message(&[SYNC, UPDATE], &update), number);
                match anew || self.denied {
                    true => Err(End::Resume),
                    false => Ok(()),
                }
            }
            Ok(None) => Ok(()),
            Err(error) if error.code == Code::Forbidden => {
                self.denied = true;
                self.send(socket, message(&[AUTH, DENIED], error.detail.as_bytes())).await
            }
            Err(error) => Err(ended(error)),
        }
    }

    /// Sends on what others have written or said.
    async fn pass_on(&mut self, socket: &mut Socket, told: Told) -> Result<(), End> {
        if self.seat.has_missed() {
            return Err(End::Slow);
        }
        if let Some(number) = told.number {
            self.known.has(number);
        }
        self.send(socket, told.message).await
    }

    async fn send(&mut self, socket: &mut Socket, message: Bytes) -> Result<(), End> {
        socket.feed_bytes(message).await?;
        Ok(socket.flush().await?)
    }

    /// Looks whether the token holds, the document may be read, the tenant is led here, and nothing was missed.
    async fn look(&mut self, socket: &mut Socket) -> Result<(), End> {
        if !matches!(
            self.service.locate(&self.ctx.placement.slug, Reach::Leader),
            Location::Here(_)
        ) {
            return Err(End::Resume);
        }
        self.authenticate().await?;
        let last = self.service.document_last(&self.ctx, &self.at).map_err(ended)?;
        if !self.known.look(last) {
            return Err(End::Resume);
        }
        Ok(socket.ping().await?)
    }

    async fn authenticate(&mut self) -> Result<(), End> {
        let (placement, timing) = (&self.ctx.placement, &self.ctx.timing);
        let principal = self.service.authenticate(placement, &self.secret, timing).await;
        self.ctx.principal = principal.map_err(ended)?;
        Ok(())
    }
}

fn malformed(why: &str) -> End {
    End::Refused(Error::new(Code::MalformedRequest, why))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_known_has_no_gap_at_the_second_look() {
        let mut known = Known {
            up_to: 4,
            ..Known::default()
        };
        assert!(known.look(6), "nothing was there before");
        known.has(6);
        known.has(3);
        known.has(5);
        assert!(known.look(8) && known.beyond.is_empty());
        known.has(8);
        assert!(!known.look(8), "7 was there, and nobody told of it");
        known.has(7);
        assert!(known.look(9));
        known.has(9);
        assert!(!known.look(2), "it is another document");
    }
}
