//! Presence: visitors of each tenant at several nodes that come to a topic over a live connection, say something of themselves, say
//! something else, go on to another topic, and leave: with a word, or by dropping the connection. Whoever is there hears of the others.
//!
//! What a visitor says is a mark that nobody else says, so that whoever hears it knows whose it was, and from when on it could be heard.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result};
use api::body::live::{LiveAsk, LiveSaid, Member};
use api::client::LiveConnection;
use serde_json::{Map, json};
use tokio::time::{Instant, sleep, timeout};

use super::client::Client;
use super::controls::Controls;
use crate::ending::{Hearing, Sitting, Visitor as Seen};
use crate::invariants::names;

/// The mean time from one word to the next, in milliseconds.
const PACE_MS: u64 = 1_500;
/// How long a connection may take to open, and a message to be sent.
const OPEN: Duration = Duration::from_secs(3);
/// How long a connection is used, in milliseconds: at least, and at most so much more.
const USED_MS: [u64; 2] = [2_000, 6_000];
/// Nothing came for so long, though it asked for a sign of life: it goes elsewhere.
const SILENCE: Duration = Duration::from_secs(4);
/// Between two connections.
const PAUSE: Duration = Duration::from_millis(200);
/// How often it is looked what is due.
const TICK: Duration = Duration::from_millis(50);
/// Of so many words one goes before a change of the topic.
const MOVES_OF: u64 = 5;
/// The key of what is said.
const MARK: &str = "mark";

/// A connection to one node, and the stay at a topic.
struct Stay {
    live: LiveConnection,
    sitting: Sitting,
    heard: Instant,
}

/// See the module.
pub(super) struct Visitor {
    client: Client,
    nodes: Vec<SocketAddr>,
    at: usize,
}

impl Visitor {
    pub(super) fn new(client: Client, nodes: &[SocketAddr], at: usize) -> Self {
        Self {
            client,
            nodes: nodes.to_vec(),
            at: at % nodes.len(),
        }
    }

    /// Visits until the load ends.
    pub(super) async fn run(mut self) {
        while !self.client.controls.is_stopped() {
            if let Ok(live) = open(self.nodes[self.at], &self.client.workspace).await {
                self.stay(live).await;
            }
            self.at = (self.at + 1) % self.nodes.len();
            sleep(PAUSE).await;
        }
    }

    /// One connection.
    async fn stay(&mut self, live: LiveConnection) {
        let used = Duration::from_millis(USED_MS[0] + self.client.random.below(USED_MS[1]));
        let mut stay = Stay {
            live,
            sitting: self.sit(),
            heard: Instant::now(),
        };
        let by = match self.visit(&mut stay, Instant::now() + used).await {
            Ok(by) => by.to_owned(),
            Err(error) => format!("{error:#}"),
        };
        self.end(stay.sitting, by);
    }

    /// A topic of those that there are.
    fn sit(&mut self) -> Sitting {
        let topics = topics(&self.client.workspace);
        let place = usize::from(self.client.random.below(2) == 0);
        Sitting {
            topic: topics[place].clone(),
            heard_us: self.client.controls.now_us(),
            ..Sitting::default()
        }
    }

    fn end(&mut self, sitting: Sitting, by: String) {
        let ended_us = self.client.controls.now_us();
        let sitting = Sitting { ended_us, by, ..sitting };
        self.client.controls.sat(self.client.workspace.place, sitting);
    }

    /// Says things until it is time to go. How it went.
    async fn visit(&mut self, stay: &mut Stay, until: Instant) -> Result<&'static str> {
        let mut due = Instant::now();
        loop {
            if Instant::now() >= until || self.client.controls.is_stopped() {
                if self.client.random.below(2) == 0 {
                    return Ok("dropped the connection");
                }
                send(&mut stay.live, &LiveAsk::Leave {}).await?;
                return Ok("left");
            }
            if Instant::now() >= due {
                due = self.client.due(PACE_MS);
                if !stay.sitting.said.is_empty() && self.client.random.below(MOVES_OF) == 0 {
                    let topic = stay.sitting.topic.clone();
                    send(&mut stay.live, &LiveAsk::Absence { topic }).await?;
                    let next = self.sit();
                    self.end(std::mem::replace(&mut stay.sitting, next), "went on".to_owned());
                }
                let mark = names::word(&self.client.value());
                stay.sitting.said.push((mark.clone(), self.client.controls.now_us()));
                say(&mut stay.live, &stay.sitting.topic, &mark).await?;
                // Whatever has happened to others, an answer says that this one is heard.
                send(&mut stay.live, &LiveAsk::Ping {}).await?;
            }
            if let Ok(said) = timeout(TICK, stay.live.next()).await {
                let said = said?.context("the connection ended")?;
                stay.heard = Instant::now();
                stay.sitting.heard_us = self.client.controls.now_us();
                hear(&self.client.controls, &mut stay.sitting, said)?;
            }
            anyhow::ensure!(stay.heard.elapsed() < SILENCE, "nothing came for {SILENCE:?}");
        }
    }
}

/// A collection and a record: both are there all the time, and the first one has the same name with every tenant.
pub(crate) fn topics(workspace: &super::Workspace) -> [String; 2] {
    [names::REGISTERS.to_owned(), format!("projects/{}", workspace.projects[0])]
}

/// A live connection at one node.
pub(crate) async fn open(node: SocketAddr, workspace: &super::Workspace) -> Result<LiveConnection> {
    let client = api::client::Client::new(&format!("http://{node}"), &workspace.token)?.with_timeout(OPEN);
    Ok(client.live(&workspace.slug).await?)
}

/// Says something at a topic.
pub(crate) async fn say(live: &mut LiveConnection, topic: &str, mark: &str) -> Result<()> {
    let data = Map::from_iter([(MARK.to_owned(), json!(mark))]);
    let ask = LiveAsk::Presence {
        topic: topic.to_owned(),
        data: Some(data),
    };
    send(live, &ask).await
}

pub(crate) async fn send(live: &mut LiveConnection, ask: &LiveAsk) -> Result<()> {
    Ok(timeout(OPEN, live.say(ask)).await.context("send a message")??)
}

/// Takes what was said of a topic. An error: the connection ends.
pub(crate) fn hear(controls: &Controls, sitting: &mut Sitting, said: LiveSaid) -> Result<()> {
    match said {
        LiveSaid::Presence {
            topic,
            members,
            joined,
            left,
        } if topic == sitting.topic => {
            sitting.heard.push(Hearing {
                at_us: controls.now_us(),
                all: members.map(|all| all.iter().map(seen).collect()),
                came: joined.iter().map(seen).collect(),
                went: left,
            });
            Ok(())
        }
        LiveSaid::Resume { .. } => anyhow::bail!("it was told to resume"),
        LiveSaid::Error { problem, .. } => anyhow::bail!("{}", problem.code),
        _ => Ok(()),
    }
}

/// One who is there, by what it says.
pub(crate) fn seen(member: &Member) -> Seen {
    Seen {
        session: member.session.clone(),
        mark: member
            .data
            .get(MARK)
            .and_then(|mark| mark.as_str())
            .unwrap_or_default()
            .to_owned(),
    }
}
