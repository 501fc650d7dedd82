//! One scribe: its connections, and what is said over them.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use api::client::{ClientError, DocumentConnection};
use serde_json::json;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::hand::Hand;
use super::{Standing, lock};
use crate::ending;
use crate::invariants::names;
use crate::workload::ask::Ask;
use crate::yjs::{self, Clocks, Said};

/// Changes that the first scribe of a document begins with, one right after the other: what is merged sooner is merged in every run.
const PREFACE: usize = 45;
/// How long a connection may take to open, and a message to be sent.
const OPEN: Duration = Duration::from_secs(3);
/// How long an answer may take before the scribe goes elsewhere.
const SILENCE: Duration = Duration::from_secs(4);
/// How long a connection is used while there is load, in milliseconds: at least, and at most so much more.
const USED_MS: [u64; 2] = [2_000, 8_000];
/// Between two connections, as a rule, and how long a scribe is away now and then, in milliseconds.
const PAUSE: Duration = Duration::from_millis(100);
const AWAY_MS: u64 = 2_500;
/// Of so many ends of a connection one is of the window as well, and one before a longer absence.
const CLOSED_OF: u64 = 6;
const AWAY_OF: u64 = 3;
/// How often it is looked what is due.
const TICK: Duration = Duration::from_millis(40);

/// What was asked over a connection.
struct Question {
    /// Changes, by number, that the answer is to have; none: it is what the scribe lacks.
    about: Option<Vec<u64>>,
    at: Instant,
}

/// A connection.
struct Talk {
    connection: DocumentConnection,
    questions: VecDeque<Question>,
    /// What had been in answers before it was opened.
    known: Clocks,
    /// The server has said how much it has, and was answered.
    is_greeted: bool,
    /// The scribe got what it lacked.
    is_synced: bool,
    until: Instant,
}

impl Talk {
    async fn send(&mut self, message: Vec<u8>) -> Result<()> {
        Ok(timeout(OPEN, self.connection.send(message))
            .await
            .context("send a message")??)
    }

    async fn ask(&mut self, message: Vec<u8>, about: Option<Vec<u64>>) -> Result<()> {
        self.send(message).await?;
        let at = Instant::now();
        self.questions.push_back(Question { about, at });
        Ok(())
    }
}

/// See the module.
pub(super) struct Scribe {
    hand: Hand,
    nodes: Vec<SocketAddr>,
    /// The node that it is at, or was.
    at: usize,
    /// It makes the page, and begins it.
    is_first: bool,
    standing: Arc<Mutex<Standing>>,
}

impl Scribe {
    pub(super) fn new(hand: Hand, nodes: &[SocketAddr], (at, is_first): (usize, bool), standing: Arc<Mutex<Standing>>) -> Self {
        Self {
            hand,
            nodes: nodes.to_vec(),
            at: at % nodes.len(),
            is_first,
            standing,
        }
    }

    /// Writes until it is over.
    pub(super) async fn run(mut self, over: Arc<AtomicBool>) -> ending::Scribe {
        let ended = async {
            while !over.load(Ordering::Relaxed) {
                sleep(TICK).await;
            }
        };
        tokio::select! {
            () = ended => {}
            () = self.write() => {}
        }
        self.hand.leave()
    }

    async fn write(&mut self) {
        loop {
            let known = lock(&self.hand.page.taken).clone();
            match self.open().await {
                Ok(connection) => {
                    self.hand.left.connections += 1;
                    // However a connection ends, the next one goes on.
                    let _ = self.stay(connection, known).await.ok();
                }
                Err(ClientError::Problem(problem)) if problem.status == 404 && self.is_first => self.make_page().await,
                Err(_) => {}
            }
            lock(&self.standing).settled = false;
            self.at = (self.at + 1) % self.nodes.len();
            self.be_away().await;
        }
    }

    async fn open(&self) -> Result<DocumentConnection, ClientError> {
        let url = format!("http://{}", self.nodes[self.at]);
        let workspace = &self.hand.client.workspace;
        let client = api::client::Client::new(&url, &workspace.token)?.with_timeout(OPEN);
        client
            .document(&workspace.slug, names::PAGES, self.hand.page.uuid, names::PAGE_BODY)
            .await
    }

    /// Makes collection and record, if the cell takes them: one of a level before documents does not.
    async fn make_page(&mut self) {
        let fields = json!({ names::PAGE_TITLE: { "type": "text" }, names::PAGE_BODY: { "type": "document" } });
        let schema = Ask {
            method: "PUT",
            path: format!("/collections/{}", names::PAGES),
            body: Some(json!({ "fields": fields, "search": [names::PAGE_BODY] })),
            key: None,
            again: true,
        };
        let id = self.hand.page.id.clone();
        let record = Ask {
            method: "POST",
            path: format!("/records/{}", names::PAGES),
            body: Some(json!({ "id": id, "fields": { names::PAGE_TITLE: self.hand.page.title } })),
            key: Some(&id),
            again: true,
        };
        if self.hand.client.ask(&schema).await.good.is_some() {
            // It is looked for again in any case.
            self.hand.client.ask(&record).await;
        }
    }

    /// Without a connection: for a moment, or for longer, and sometimes the window is closed.
    async fn be_away(&mut self) {
        if self.hand.is_stopped() {
            return sleep(PAUSE).await;
        }
        if self.hand.client.random.below(CLOSED_OF) == 0 {
            self.hand.begin_anew();
        }
        let is_long = self.hand.client.random.below(AWAY_OF) == 0;
        let away = if is_long { self.hand.within(AWAY_MS) } else { PAUSE };
        let back = Instant::now() + away;
        while self.hand.left.connections > 0 && self.hand.due < back && !self.hand.is_stopped() {
            sleep_until(self.hand.due).await;
            self.hand.change();
        }
        sleep_until(back).await;
    }

    /// One connection, until it ends, or until the scribe leaves it without a word.
    async fn stay(&mut self, connection: DocumentConnection, known: Clocks) -> Result<()> {
        let used = Duration::from_millis(USED_MS[0]) + self.hand.within(USED_MS[1]);
        let mut talk = Talk {
            connection,
            questions: VecDeque::new(),
            known,
            is_greeted: false,
            is_synced: false,
            until: Instant::now() + used,
        };
        talk.ask(yjs::ask(&self.hand.paper.vector()), None).await?;
        if self.is_first && self.hand.changes == 0 && !self.hand.is_stopped() {
            for _ in 0..PREFACE {
                self.tell_change(&mut talk).await?;
            }
        }
        loop {
            match timeout(TICK, talk.connection.next()).await {
                Ok(Ok(Some(message))) => self.hear(&message, &mut talk).await?,
                Ok(_) => return Ok(()),
                Err(_) => {}
            }
            if self.hand.is_stopped() {
                let mut standing = lock(&self.standing);
                standing.settled = talk.is_greeted && talk.is_synced && self.hand.waits_for().is_empty();
                standing.copy = (self.hand.paper.text(), self.hand.paper.clocks());
            } else if Instant::now() >= talk.until {
                return Ok(());
            } else if Instant::now() >= self.hand.due {
                self.tell_change(&mut talk).await?;
            }
            self.ask_about_changes(&mut talk).await?;
        }
    }

    async fn tell_change(&mut self, talk: &mut Talk) -> Result<()> {
        match self.hand.change() {
            Some(update) => talk.send(yjs::tell(&update)).await,
            None => Ok(()),
        }
    }

    /// Asks whether what it has written is there. An error: it has waited for too long.
    async fn ask_about_changes(&mut self, talk: &mut Talk) -> Result<()> {
        match talk.questions.front() {
            Some(question) if question.at.elapsed() > SILENCE => bail!("no answer within {SILENCE:?}"),
            Some(_) => Ok(()),
            None if self.hand.waits_for().is_empty() => Ok(()),
            None => talk.ask(yjs::ask_for_all(), Some(self.hand.waits_for())).await,
        }
    }

    async fn hear(&mut self, message: &[u8], talk: &mut Talk) -> Result<()> {
        let said = match yjs::read(message) {
            Ok(said) => said,
            Err(error) => {
                self.hand.odd(format!("a message cannot be read: {error:#}"));
                return Err(error);
            }
        };
        match said {
            Said::Has(vector, clocks) => {
                if !std::mem::replace(&mut talk.is_greeted, true) {
                    self.hand.compare(self.at, &talk.known, &clocks);
                }
                talk.send(yjs::answer(&self.hand.paper.lacking(&vector)?)).await?;
            }
            Said::Lacked(update) => match talk.questions.pop_front() {
                Some(Question { about: Some(about), .. }) => self.hand.weigh(&update, &about)?,
                Some(Question { about: None, .. }) => {
                    self.hand.take(&update)?;
                    talk.is_synced = true;
                }
                None => self.hand.odd("an answer came that nobody had asked for".to_owned()),
            },
            Said::Update(update) => self.hand.take(&update)?,
            Said::Denied(why) => self.hand.odd(format!("its changes were refused: {why}")),
            Said::Other => {}
        }
        Ok(())
    }
}
