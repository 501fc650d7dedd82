//! Rooms: the connections that have the same document open, and what they tell each other of themselves.
//!
//! All connections of a document are at its tenant's leader's node, so that a room is a list in memory. What one of them has written
//! is told to the others once it is stored. What they say of themselves (awareness: names, cursors) is told and kept for as long as
//! the connection is there, and never stored.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::sync::mpsc;

use super::document::awareness;
use super::lib0::{Broken, Reading};
use crate::error::{Code, Error, Result};
use crate::limits::{DOCUMENT_AWARENESS, DOCUMENT_AWARENESS_BYTES, DOCUMENT_CONNECTIONS, DOCUMENT_WAITING};
use crate::service::DocumentAt;

/// A tenant's uid, and a document of it.
type Room = (u64, DocumentAt);

/// What one client of Yjs says of itself: its clock, and JSON.
type Says = (u64, Bytes);

/// What a connection is told by another one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Told {
    pub(super) message: Bytes,
    /// The number of the update that it tells of, if it does.
    pub(super) number: Option<u64>,
}

/// One connection.
struct There {
    messages: mpsc::Sender<Told>,
    lagged: Arc<AtomicBool>,
    /// What it says of its clients.
    says: BTreeMap<u64, Says>,
}

/// All rooms in which anybody is.
#[derive(Default)]
pub(crate) struct Rooms {
    rooms: Mutex<HashMap<Room, BTreeMap<u64, There>>>,
    next: AtomicU64,
}

impl Rooms {
    fn lock(&self) -> MutexGuard<'_, HashMap<Room, BTreeMap<u64, There>>> {
        // What is locked is whole after every statement, whatever panicked.
        self.rooms.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl From<Bytes> for Told {
    fn from(message: Bytes) -> Self {
        Self { message, number: None }
    }
}

fn tell(there: &BTreeMap<u64, There>, but: u64, told: &Told) {
    for (_, there) in there.iter().filter(|(number, _)| **number != but) {
        if there.messages.try_send(told.clone()).is_err() {
            there.lagged.store(true, Ordering::Release);
        }
    }
}

/// One connection's place in a room. Dropped, it has left.
pub(super) struct Seat {
    rooms: Arc<Rooms>,
    room: Room,
    number: u64,
    messages: mpsc::Receiver<Told>,
    lagged: Arc<AtomicBool>,
}

impl Seat {
    /// Takes a place.
    pub(super) fn take(rooms: Arc<Rooms>, tenant: u64, at: DocumentAt) -> Result<Self> {
        let room = (tenant, at);
        let (sender, messages) = mpsc::channel(DOCUMENT_WAITING);
        let number = rooms.next.fetch_add(1, Ordering::Relaxed);
        let lagged = Arc::<AtomicBool>::default();
        let mut all = rooms.lock();
        let there = all.entry(room.clone()).or_default();
        if there.len() >= DOCUMENT_CONNECTIONS {
            let detail = format!("{DOCUMENT_CONNECTIONS} connections have the document open, as many as may");
            return Err(Error::new(Code::TooManyRequests, detail));
        }
        let one = There {
            messages: sender,
            lagged: Arc::clone(&lagged),
            says: BTreeMap::new(),
        };
        there.insert(number, one);
        drop(all);
        Ok(Self {
            rooms,
            room,
            number,
            messages,
            lagged,
        })
    }

    /// Tells the others of an update, which is stored under this number.
    pub(super) fn tell(&self, message: Bytes, number: u64) {
        let told = Told {
            message,
            number: Some(number),
        };
        if let Some(there) = self.rooms.lock().get(&self.room) {
            tell(there, self.number, &told);
        }
    }

    /// Takes what the client says of itself, and tells the others. What is longer than it may be is kept and told by nobody.
    pub(super) fn says(&self, update: &[u8]) -> Result<(), Broken> {
        let mut said = read(update)?;
        let all_said = said.len();
        said.retain(|(_, (_, json))| json.len() <= DOCUMENT_AWARENESS_BYTES);
        said.truncate(DOCUMENT_AWARENESS);
        let told = match said.len() == all_said {
            true => awareness(update),
            false => awareness(&write(
                &said
                    .iter()
                    .map(|(client, (clock, json))| (*client, *clock, json.clone()))
                    .collect::<Vec<_>>(),
            )),
        };
        let mut all = self.rooms.lock();
        let Some(there) = all.get_mut(&self.room) else { return Ok(()) };
        if let Some(one) = there.get_mut(&self.number) {
            for (client, (clock, json)) in said {
                match json.as_ref() {
                    b"null" => one.says.remove(&client),
                    _ => one.says.insert(client, (clock, json)),
                };
            }
            while one.says.len() > DOCUMENT_AWARENESS {
                one.says.pop_first();
            }
        }
        tell(there, self.number, &told.into());
        Ok(())
    }

    /// What all others say of themselves.
    pub(super) fn all(&self) -> Option<Bytes> {
        let all = self.rooms.lock();
        let others = all.get(&self.room)?.iter().filter(|(number, _)| **number != self.number);
        let said: Vec<_> = others
            .flat_map(|(_, there)| &there.says)
            .map(|(client, (clock, json))| (*client, *clock, json.clone()))
            .collect();
        (!said.is_empty()).then(|| awareness(&write(&said)))
    }

    /// The next message of the others.
    pub(super) async fn next(&mut self) -> Option<Told> {
        self.messages.recv().await
    }

    /// Whether messages were missed.
    pub(super) fn has_missed(&self) -> bool {
        self.lagged.load(Ordering::Acquire)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut all = self.rooms.lock();
        let Some(there) = all.get_mut(&self.room) else { return };
        let gone = there.remove(&self.number).map(|one| one.says).unwrap_or_default();
        let said: Vec<_> = gone
            .into_iter()
            .map(|(client, (clock, _))| (client, clock.saturating_add(1), Bytes::from_static(b"null")))
            .collect();
        if !said.is_empty() {
            tell(there, self.number, &awareness(&write(&said)).into());
        }
        if there.is_empty() {
            all.remove(&self.room);
        }
    }
}

/// Reads what clients say of themselves.
fn read(update: &[u8]) -> Result<Vec<(u64, Says)>, Broken> {
    let mut reading = Reading::new(update);
    let count = reading.number()?;
    let mut said = Vec::new();
    for _ in 0..count {
        let (client, clock) = (reading.number()?, reading.number()?);
        said.push((client, (clock, Bytes::copy_from_slice(reading.bytes()?))));
    }
    Ok(said)
}

fn write(said: &[(u64, u64, Bytes)]) -> Vec<u8> {
    use super::lib0::{put_bytes, put_number};
    let mut update = Vec::new();
    put_number(&mut update, said.len() as u64);
    for (client, clock, json) in said {
        put_number(&mut update, *client);
        put_number(&mut update, *clock);
        put_bytes(&mut update, json);
    }
    update
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at() -> DocumentAt {
        DocumentAt {
            collection: "notes".parse().expect("a name"),
            id: crate::ids::Id(uuid::Uuid::nil()),
            field: "text".parse().expect("a name"),
        }
    }

    #[tokio::test]
    async fn those_in_a_room_hear_each_other_and_who_goes() {
        let rooms = Arc::new(Rooms::default());
        let take = |tenant| Seat::take(Arc::clone(&rooms), tenant, at()).expect("a seat");
        let (mut one, other, mut foreign) = (take(7), take(7), take(8));
        other.tell(Bytes::from_static(b"update"), 7);
        let told = one.next().await.expect("a message");
        assert_eq!((told.message.as_ref(), told.number), (&b"update"[..], Some(7)));
        let update = write(&[(5, 1, Bytes::from_static(b"{}"))]);
        other.says(&update).expect("an update");
        assert_eq!(one.next().await.expect("a message"), awareness(&update).into());
        assert_eq!(one.all().expect("said"), awareness(&update));
        assert!(other.all().is_none() && foreign.all().is_none());
        assert_eq!(other.says(&[1, 2]), Err(Broken));
        let long = Bytes::from(vec![b' '; DOCUMENT_AWARENESS_BYTES + 1]);
        let short = (6, 1, Bytes::from_static(b"{}"));
        other.says(&write(&[(5, 2, long), short.clone()])).expect("an update");
        let kept = write(&[(5, 1, Bytes::from_static(b"{}")), short.clone()]);
        assert_eq!(one.next().await.expect("a message"), awareness(&write(&[short])).into());
        assert_eq!(one.all().expect("said"), awareness(&kept), "what is too long is passed over");
        drop(other);
        let null = Bytes::from_static(b"null");
        let gone = write(&[(5, 2, null.clone()), (6, 2, null)]);
        assert_eq!(one.next().await.expect("a message"), awareness(&gone).into());
        assert!(foreign.messages.try_recv().is_err());
        let silent = take(7);
        for number in 0..=DOCUMENT_WAITING {
            silent.tell(Bytes::from_static(b"more"), number as u64);
        }
        assert!(one.has_missed() && !silent.has_missed());
        drop((one, silent, foreign));
        assert!(rooms.lock().is_empty());
    }
}
