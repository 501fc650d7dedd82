//! Presence: who is at a topic, in the memory of this node.
//!
//! A connection is at a topic for as long as it lives; one that is silent does not live long ([`super::session`]). Whoever is there
//! hears who comes and goes. A connection whose queue of notices is full misses some: it is marked, and told the whole list instead.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::Utf8Bytes;

use super::socket::json;
use crate::body::live::{LiveSaid, Member};
use crate::error::{Code, Error, Result};
use crate::limits::{LIVE_NOTICES, LIVE_TOPIC_MEMBERS, LIVE_TOPICS};
use crate::mutant::Mutant;

/// A tenant's uid, and the name of a topic.
type Topic = (u64, String);

/// One who is there.
struct There {
    member: Member,
    notices: mpsc::Sender<Utf8Bytes>,
    lagged: Arc<AtomicBool>,
}

/// All topics at which anybody is.
#[derive(Default)]
pub(crate) struct Presences(Mutex<HashMap<Topic, BTreeMap<String, There>>>);

impl Presences {
    /// Who is at a topic, by session.
    pub(crate) fn members(&self, tenant: u64, topic: &str) -> Vec<Member> {
        let topics = self.lock();
        let there = topics.get(&(tenant, topic.to_owned()));
        there
            .into_iter()
            .flat_map(BTreeMap::values)
            .map(|there| there.member.clone())
            .collect()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Topic, BTreeMap<String, There>>> {
        // What is locked is whole after every statement, whatever panicked.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Tells all but one of those who are there.
fn tell(there: &BTreeMap<String, There>, but: &str, said: &LiveSaid) {
    let text = json(said);
    for (session, there) in there.iter().filter(|(session, _)| *session != but) {
        if there.notices.try_send(text.clone()).is_err() {
            tracing::trace!(session, "a connection misses a notice");
            there.lagged.store(true, Ordering::Release);
        }
    }
}

fn said(topic: &str, joined: Vec<Member>, left: Vec<String>) -> LiveSaid {
    LiveSaid::Presence {
        topic: topic.to_owned(),
        members: None,
        joined,
        left,
    }
}

/// Where one connection is. Dropped, it is nowhere.
pub(super) struct Here {
    presences: Arc<Presences>,
    tenant: u64,
    session: String,
    topics: Vec<String>,
    notices: mpsc::Receiver<Utf8Bytes>,
    sender: mpsc::Sender<Utf8Bytes>,
    lagged: Arc<AtomicBool>,
}

impl Here {
    pub(super) fn new(presences: Arc<Presences>, tenant: u64) -> Self {
        let (sender, notices) = mpsc::channel(LIVE_NOTICES);
        Self {
            presences,
            tenant,
            session: uuid::Uuid::now_v7().to_string(),
            topics: Vec::new(),
            notices,
            sender,
            lagged: Arc::default(),
        }
    }

    /// The name of the connection.
    pub(super) fn session(&self) -> &str {
        &self.session
    }

    /// The topics that it is at.
    pub(super) fn topics(&self) -> &[String] {
        &self.topics
    }

    /// Comes to a topic, or says something else there. Answers who is there, where it has just come.
    pub(super) fn enter(&mut self, topic: &str, member: Member) -> Result<Option<Vec<Member>>> {
        let known = self.topics.iter().any(|known| known == topic);
        let full = |what: String| Error::new(Code::TooManyRequests, what);
        if !known && self.topics.len() >= LIVE_TOPICS {
            return Err(full(format!("a connection is at {LIVE_TOPICS} topics at most")));
        }
        let mut topics = self.presences.lock();
        let there = topics.entry((self.tenant, topic.to_owned())).or_default();
        if !known && there.len() >= LIVE_TOPIC_MEMBERS {
            return Err(full(format!(
                "{LIVE_TOPIC_MEMBERS} connections are at {topic:?}: more are not shown"
            )));
        }
        tell(there, &self.session, &said(topic, vec![member.clone()], Vec::new()));
        let one = There {
            member,
            notices: self.sender.clone(),
            lagged: Arc::clone(&self.lagged),
        };
        there.insert(self.session.clone(), one);
        if known {
            return Ok(None);
        }
        let all = there.values().map(|there| there.member.clone()).collect();
        drop(topics);
        self.topics.push(topic.to_owned());
        Ok(Some(all))
    }

    /// Goes from a topic; false: it was not there.
    pub(super) fn leave(&mut self, topic: &str) -> bool {
        let Some(place) = self.topics.iter().position(|known| known == topic) else {
            return false;
        };
        self.topics.swap_remove(place);
        self.forget(topic);
        true
    }

    fn forget(&self, topic: &str) {
        let mut topics = self.presences.lock();
        let key = (self.tenant, topic.to_owned());
        let Some(there) = topics.get_mut(&key) else { return };
        there.remove(&self.session);
        tell(there, &self.session, &said(topic, Vec::new(), vec![self.session.clone()]));
        if there.is_empty() {
            topics.remove(&key);
        }
    }

    /// The next notice.
    pub(super) async fn notice(&mut self) -> Option<Utf8Bytes> {
        self.notices.recv().await
    }

    /// Another notice, if there is one.
    pub(super) fn another(&mut self) -> Option<Utf8Bytes> {
        self.notices.try_recv().ok()
    }

    /// The whole lists of all topics, where notices were missed since this was asked last.
    pub(super) fn missed(&self) -> Vec<LiveSaid> {
        if !self.lagged.swap(false, Ordering::AcqRel) {
            return Vec::new();
        }
        let whole = |topic: &String| LiveSaid::Presence {
            topic: topic.clone(),
            members: Some(self.presences.members(self.tenant, topic)),
            joined: Vec::new(),
            left: Vec::new(),
        };
        self.topics.iter().map(whole).collect()
    }
}

impl Drop for Here {
    fn drop(&mut self) {
        if Mutant::PresenceNeverEnds.active() {
            return;
        }
        for topic in &self.topics {
            self.forget(topic);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(here: &Here) -> Member {
        Member {
            session: here.session.clone(),
            actor: "token:1".into(),
            name: "one".into(),
            data: serde_json::Map::new(),
        }
    }

    #[test]
    fn those_who_are_there_hear_who_comes_and_goes() {
        let all = Arc::new(Presences::default());
        let mut one = Here::new(Arc::clone(&all), 7);
        let mut other = Here::new(Arc::clone(&all), 7);
        let mut foreign = Here::new(Arc::clone(&all), 8);
        let mine = member(&one);
        assert_eq!(one.enter("tasks/1", mine).expect("room").expect("the list").len(), 1);
        let mine = member(&foreign);
        assert_eq!(
            foreign.enter("tasks/1", mine).expect("room").expect("the list").len(),
            1,
            "another tenant's"
        );
        let mine = member(&other);
        assert_eq!(other.enter("tasks/1", mine).expect("room").expect("the list").len(), 2);
        let heard = one.another().expect("a notice");
        assert!(heard.contains("joined") && heard.contains(&other.session), "{heard}");
        let mine = member(&other);
        assert!(other.enter("tasks/1", mine).expect("room").is_none(), "it was there");
        assert!(one.another().is_some() && other.another().is_none());
        drop(other);
        let heard = one.another().expect("a notice");
        assert!(heard.contains("left"), "{heard}");
        assert!(one.leave("tasks/1") && !one.leave("tasks/1"));
        assert!(all.members(7, "tasks/1").is_empty());
        assert_eq!(all.lock().len(), 1, "the other tenant's");
    }

    #[test]
    fn whoever_misses_notices_is_told_the_whole_list() {
        let all = Arc::new(Presences::default());
        let (mut one, mut other) = (Here::new(Arc::clone(&all), 7), Here::new(Arc::clone(&all), 7));
        let mine = member(&one);
        one.enter("tasks", mine).expect("room");
        for _ in 0..=LIVE_NOTICES {
            let mine = member(&other);
            other.enter("tasks", mine).expect("room");
        }
        let missed = one.missed();
        assert!(
            matches!(&missed[..], [LiveSaid::Presence { members: Some(members), .. }] if members.len() == 2),
            "{missed:?}"
        );
        assert!(one.missed().is_empty() && other.missed().is_empty());
        for more in 1..LIVE_TOPICS {
            let mine = member(&one);
            one.enter(&format!("t{more}"), mine).expect("room");
        }
        let mine = member(&one);
        assert_eq!(one.enter("more", mine).expect_err("full").code, Code::TooManyRequests);
    }
}
