//! Live connections: message by message, and the typed client's feed, which resumes by itself.

use std::time::Duration;

use anyhow::{Result, bail};
use api::body::live::{LiveAsk, LiveSaid, Subscribe};
use api::client::{Balance, Client};
use tokio::time::{Instant, sleep, timeout};

use super::Following;
use crate::ending::Wanted;
use crate::invariants::names;

/// How long a connection may take to open.
const OPEN: Duration = Duration::from_secs(3);
/// How long a connection is used, at most: then it is left, with a word (`leave`) or without one.
const USED: Duration = Duration::from_secs(6);
/// The name of the subscription.
const NAME: &str = "all";

impl Following {
    /// One connection, from where the stream stands until that ends.
    pub(super) async fn live(&mut self) -> Result<()> {
        let client = self.client(&[self.at])?;
        let mut live = client.live(&self.workspace.slug).await?;
        let asked = self.position();
        live.say(&LiveAsk::Subscribe(self.subscription())).await?;
        let until = Instant::now() + USED;
        let mut leaves = false;
        loop {
            let said = match timeout(until.saturating_duration_since(Instant::now()), live.next()).await {
                Ok(said) => said?,
                // Every second one is asked to end, the others are dropped.
                Err(_) if leaves || self.stream.connections.is_multiple_of(2) => return Ok(()),
                Err(_) => {
                    leaves = true;
                    live.say(&LiveAsk::Leave {}).await?;
                    continue;
                }
            };
            match said {
                Some(LiveSaid::Event { position, event, id }) => {
                    if position != event.position || id != NAME {
                        self.odd(format!("event {} came as {position} of {id}", event.position));
                    }
                    self.take(*event);
                }
                Some(LiveSaid::Subscribed { after, .. }) => match asked {
                    None => self.stream.began = Some(after),
                    Some(asked) if asked != after => self.odd(format!("subscribed after {asked}, and told {after}")),
                    Some(_) => {}
                },
                Some(LiveSaid::Resume { subscriptions, .. }) => {
                    self.stream.resumes += 1;
                    self.resume(subscriptions.get(NAME).copied());
                    return Ok(());
                }
                Some(LiveSaid::Error { problem, .. }) => bail!("{}", problem.code),
                Some(_) => {}
                None => return Ok(()),
            }
        }
    }

    /// It goes on where it was told to: if that is too far, a gap will show it.
    fn resume(&mut self, told: Option<u64>) {
        let known = self.position();
        match told {
            Some(told) if known.is_none_or(|known| told >= known) => self.told = Some(told),
            Some(told) => self.odd(format!("told to resume after {told}, behind {known:?}, which had come")),
            None => {}
        }
    }

    /// The typed client's feed, over all nodes.
    pub(super) async fn feed(&mut self) -> Result<()> {
        let all: Vec<_> = (0..self.nodes.len()).collect();
        let client = self.client(&all)?;
        let mut feed = client.follow_live(&self.workspace.slug, self.subscription());
        loop {
            match feed.next().await {
                Ok(event) => self.take(event),
                // After an error it may be called again.
                Err(_) => sleep(super::PAUSE).await,
            }
        }
    }

    fn client(&self, places: &[usize]) -> Result<Client> {
        let urls: Vec<_> = places.iter().map(|place| format!("http://{}", self.nodes[*place])).collect();
        let client = Client::new(&urls[0], &self.workspace.token)?.with_base_urls(&urls, Balance::Failover)?;
        Ok(client.with_timeout(OPEN))
    }

    fn subscription(&self) -> Subscribe {
        let (collections, filter) = match &self.stream.wanted {
            Wanted::All => (None, None),
            Wanted::Collections(names) => (Some(names.clone()), None),
            Wanted::Claims(end) => (
                Some(vec![names::CLAIMS.to_owned()]),
                Some(format!("{}.endsWith(\"{end}\")", names::CLAIM_NAME)),
            ),
        };
        Subscribe {
            id: NAME.to_owned(),
            collections,
            filter,
            after: self.position(),
            ..Subscribe::default()
        }
    }
}
