//! A client of Yjs, as far as the harness needs one: a document with one text, and the messages of `y-websocket`.
//!
//! A message begins with its kind: 0, synchronisation: 0 and how much one has, 1 and what the other lacked, 2 and an update; 1, awareness;
//! 2, a refusal. Numbers are of seven bits a byte, the least first. The library that merges is the one that the platform has: what
//! is held against each other is what different copies say, not whether the library is right.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use api::client::DocumentConnection;
use tokio::time::timeout;
use yrs::updates::decoder::Decode;
use yrs::updates::encoder::Encode;
use yrs::{Doc, GetString, ReadTxn, StateVector, Text, TextRef, Transact, Update};

const SYNC: u64 = 0;
const AUTH: u64 = 2;
const HAS: u64 = 0;
const LACKED: u64 = 1;
const UPDATE: u64 = 2;
/// What somebody has who has nothing.
const NOTHING: &[u8] = &[0];
/// The name of the text.
const TEXT: &str = "content";
/// The number of a client that only reads.
const READER: u64 = 7;
/// How long one message may take to come.
const ANSWER: Duration = Duration::from_secs(10);

/// How much of each client a copy of a document has, by the clients' numbers.
pub(crate) type Clocks = BTreeMap<u64, u32>;

/// One client's copy of a document.
pub(crate) struct Paper {
    doc: Doc,
    text: TextRef,
}

impl Paper {
    /// An empty one, of a client of this number: 53 bits, one that nobody else has.
    pub(crate) fn new(client: u64) -> Self {
        let doc = Doc::with_client_id(client);
        let text = doc.get_or_insert_text(TEXT);
        Self { doc, text }
    }

    /// What an update is that holds all of a document.
    pub(crate) fn of(update: &[u8]) -> Result<Self> {
        let paper = Self::new(READER);
        paper.apply(update)?;
        Ok(paper)
    }

    /// What is written on it.
    pub(crate) fn text(&self) -> String {
        self.text.get_string(&self.doc.transact())
    }

    /// How much of each client it has.
    pub(crate) fn clocks(&self) -> Clocks {
        clocks(&self.doc.transact().state_vector())
    }

    /// The same in the words of the protocol.
    pub(crate) fn vector(&self) -> Vec<u8> {
        self.doc.transact().state_vector().encode_v1()
    }

    /// Writes at a place, in bytes. The update that says so.
    pub(crate) fn insert(&self, at: u32, written: &str) -> Vec<u8> {
        let mut transaction = self.doc.transact_mut();
        self.text.insert(&mut transaction, at, written);
        transaction.encode_update_v1()
    }

    /// Takes bytes away. The update that says so.
    pub(crate) fn remove(&self, at: u32, bytes: u32) -> Vec<u8> {
        let mut transaction = self.doc.transact_mut();
        self.text.remove_range(&mut transaction, at, bytes);
        transaction.encode_update_v1()
    }

    /// Takes what others have written.
    pub(crate) fn apply(&self, update: &[u8]) -> Result<()> {
        let update = Update::decode_v1(update).context("read an update")?;
        self.doc.transact_mut().apply_update(update).context("apply an update")
    }

    /// What somebody lacks who has so much.
    pub(crate) fn lacking(&self, has: &[u8]) -> Result<Vec<u8>> {
        let has = StateVector::decode_v1(has).context("read how much somebody has")?;
        Ok(self.doc.transact().encode_state_as_update_v1(&has))
    }
}

fn clocks(vector: &StateVector) -> Clocks {
    vector.iter().map(|(client, clock)| (client.get(), *clock)).collect()
}

/// What a server says.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Said {
    /// It has so much: the words of the protocol, and what they say.
    Has(Vec<u8>, Clocks),
    /// What was asked for.
    Lacked(Vec<u8>),
    /// What somebody else has written.
    Update(Vec<u8>),
    /// It takes nothing from this client, because.
    Denied(String),
    /// What clients say of themselves.
    Other,
}

/// Reads what a server says.
pub(crate) fn read(message: &[u8]) -> Result<Said> {
    let mut rest = message;
    let kind = number(&mut rest)?;
    if kind != SYNC && kind != AUTH {
        return Ok(Said::Other);
    }
    let step = number(&mut rest)?;
    let length = usize::try_from(number(&mut rest)?)?;
    ensure!(length == rest.len(), "{length} bytes are announced, {} came", rest.len());
    let body = rest.to_vec();
    Ok(match (kind, step) {
        (AUTH, _) => Said::Denied(String::from_utf8_lossy(&body).into_owned()),
        (_, HAS) => {
            let vector = StateVector::decode_v1(&body).context("read how much the server has")?;
            Said::Has(body, clocks(&vector))
        }
        (_, LACKED) => Said::Lacked(body),
        (_, UPDATE) => Said::Update(body),
        _ => bail!("step {step} of no synchronisation"),
    })
}

fn number(rest: &mut &[u8]) -> Result<u64> {
    let (mut value, mut shift) = (0, 0);
    loop {
        let (byte, behind) = rest.split_first().context("a message ends too early")?;
        *rest = behind;
        value |= u64::from(byte & 0x7F).checked_shl(shift).context("a number is too long")?;
        if byte & 0x80 == 0 {
            return Ok(value);
        }
        shift += 7;
    }
}

fn message(step: u64, body: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(body.len() + 8);
    for mut number in [SYNC, step, body.len() as u64] {
        while number >= 0x80 {
            out.push((number & 0x7F) as u8 | 0x80);
            number >>= 7;
        }
        out.push(number as u8);
    }
    out.extend_from_slice(body);
    out
}

/// Asks for what is lacked by one who has so much.
pub(crate) fn ask(vector: &[u8]) -> Vec<u8> {
    message(HAS, vector)
}

/// Asks for all of the document.
pub(crate) fn ask_for_all() -> Vec<u8> {
    message(HAS, NOTHING)
}

/// Answers what the server lacks.
pub(crate) fn answer(update: &[u8]) -> Vec<u8> {
    message(LACKED, update)
}

/// Tells of a change.
pub(crate) fn tell(update: &[u8]) -> Vec<u8> {
    message(UPDATE, update)
}

/// What a client gets that has nothing yet.
pub(crate) async fn fetch(connection: &mut DocumentConnection) -> Result<Paper> {
    connection.send(ask_for_all()).await?;
    loop {
        let said = timeout(ANSWER, connection.next()).await.context("wait for a document")??;
        let said = said.context("the connection ended before the document had come")?;
        if let Said::Lacked(update) = read(&said)? {
            return Paper::of(&update);
        }
    }
}

/// Synchronises a copy both ways over a connection that has just been opened. Once it returns, the server has said that it has the same.
pub(crate) async fn exchange(connection: &mut DocumentConnection, paper: &Paper) -> Result<()> {
    connection.send(ask(&paper.vector())).await?;
    let (mut is_greeted, mut is_synced) = (false, false);
    loop {
        let said = timeout(ANSWER, connection.next()).await.context("wait for a server")??;
        match read(&said.context("the connection ended")?)? {
            Said::Has(vector, _) => {
                connection.send(answer(&paper.lacking(&vector)?)).await?;
                is_greeted = true;
            }
            Said::Lacked(update) => {
                paper.apply(&update)?;
                is_synced = true;
            }
            Said::Update(update) => paper.apply(&update)?,
            Said::Denied(why) => bail!("the server takes nothing: {why}"),
            Said::Other => {}
        }
        if is_greeted && is_synced {
            let whole = fetch(connection).await?;
            let is_same = (whole.text(), whole.clocks()) == (paper.text(), paper.clocks());
            ensure!(is_same, "the server has {:?}, not {:?}", whole.text(), paper.text());
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_that_have_heard_of_each_other_are_the_same() {
        let (one, other) = (Paper::new(11), Paper::new(12));
        let first = one.insert(0, "one ");
        let second = one.insert(4, "two ");
        other.insert(0, "three ");
        // The second one waits for the first.
        other.apply(&second).unwrap();
        assert_eq!((other.text(), other.clocks().get(&11)), ("three ".to_owned(), None));
        other.apply(&first).unwrap();
        one.apply(&other.lacking(&one.vector()).unwrap()).unwrap();
        assert_eq!((one.text(), one.clocks()), (other.text(), other.clocks()));
        let at = u32::try_from(one.text().find("two ").unwrap()).unwrap();
        other.apply(&one.remove(at, 4)).unwrap();
        assert_eq!(other.text(), one.text());
        let all = Paper::of(&one.lacking(NOTHING).unwrap()).unwrap();
        assert_eq!((all.text(), all.clocks()), (one.text(), one.clocks()));
    }

    #[test]
    fn messages_are_read_as_they_are_written() {
        let paper = Paper::new(11);
        let update = paper.insert(0, &"word ".repeat(60));
        assert!(update.len() > 0x80);
        assert_eq!(read(&tell(&update)).unwrap(), Said::Update(update.clone()));
        assert_eq!(read(&answer(&update)).unwrap(), Said::Lacked(update.clone()));
        assert_eq!(
            read(&ask(&paper.vector())).unwrap(),
            Said::Has(paper.vector(), paper.clocks())
        );
        assert_eq!(read(&ask_for_all()).unwrap(), Said::Has(NOTHING.to_vec(), Clocks::new()));
        assert_eq!(read(&[2, 0, 2, b'n', b'o']).unwrap(), Said::Denied("no".to_owned()));
        assert_eq!(read(&[1, 1, 0]).unwrap(), Said::Other);
        for wrong in [&[][..], &[0], &[0, 0], &[0, 2, 5, 1], &[0, 7, 0], &[0x80; 12]] {
            assert!(read(wrong).is_err(), "{wrong:?}");
        }
    }
}
