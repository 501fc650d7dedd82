//! What goes over a live connection, one JSON object a message, and who is at a topic.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::body::event::Event;
use crate::problem::Problem;

/// The subprotocol of live connections.
pub const SUBPROTOCOL: &str = "cloudnest.v1";

/// What a client says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase", deny_unknown_fields)]
pub enum LiveAsk {
    /// Send events from now on, or those after a position first.
    Subscribe(Subscribe),
    /// Send no more of them.
    Unsubscribe {
        /// The name that the subscription was given.
        id: String,
    },
    /// The client is at a topic, and hears who else is: `COLLECTION` or `COLLECTION/ID`. Said again, it changes what others hear of it.
    Presence {
        /// The topic.
        topic: String,
        /// What others hear: a small object, such as a cursor and a colour.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        data: Option<serde_json::Map<String, serde_json::Value>>,
    },
    /// The client is not at a topic any more.
    Absence {
        /// The topic.
        topic: String,
    },
    /// A sign of life, answered with `pong`.
    Ping {},
    /// End the connection, and say where to go on.
    Leave {},
}

/// A subscription.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Subscribe {
    /// A name, with which its events come.
    pub id: String,
    /// Only what is about these collections and their records.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub collections: Option<Vec<String>>,
    /// Only what is about this record: `COLLECTION/ID`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub record: Option<String>,
    /// A CEL expression over the names of fields.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filter: Option<String>,
    /// The position after which to start; none: what is yet to come.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<u64>,
    /// `fields`: add the record's fields.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub include: Option<Include>,
}

/// What to add to events.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Include {
    /// The record's fields as the change left them.
    Fields,
}

/// What the server says.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum LiveSaid {
    /// A subscription is there.
    Subscribed {
        /// Its name.
        id: String,
        /// The position after which its events come.
        after: u64,
    },
    /// A subscription has ended.
    Unsubscribed {
        /// Its name.
        id: String,
    },
    /// An event of a subscription.
    Event {
        /// The name of the subscription.
        id: String,
        /// The position of the event.
        position: u64,
        /// The event.
        event: Box<Event>,
    },
    /// Who is at a topic: the whole list first, then who has come (or says something else) and who has gone.
    Presence {
        /// The topic.
        topic: String,
        /// All who are there.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        members: Option<Vec<Member>>,
        /// Who has come, or says something else.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        joined: Vec<Member>,
        /// The sessions that have gone.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        left: Vec<String>,
    },
    /// An answer to `ping`.
    Pong {},
    /// The connection ends: come back, and subscribe after these positions.
    Resume {
        /// The least of them; missing where no subscription stood yet: those begin as they were to.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        after: Option<u64>,
        /// The position of each subscription, by its name.
        subscriptions: BTreeMap<String, u64>,
    },
    /// Something was refused.
    Error {
        /// The subscription that it is about, or the topic.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        id: Option<String>,
        /// What is wrong. Where it concerns the connection, it ends.
        problem: Box<Problem>,
    },
}

/// Who is at a topic.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Member {
    /// The connection: one that comes back is another.
    pub session: String,
    /// The principal, as events name it.
    pub actor: String,
    /// The name of its token.
    pub name: String,
    /// What it says of itself.
    #[schema(value_type = Object)]
    pub data: serde_json::Map<String, serde_json::Value>,
}

/// Who is at a topic now.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Presence {
    /// The topic: `COLLECTION` or `COLLECTION/ID`.
    pub topic: String,
    /// All who are there.
    pub members: Vec<Member>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_client_says_is_read_strictly() {
        let read = |text: &str| serde_json::from_str::<LiveAsk>(text);
        let asked =
            read(r#"{"type":"subscribe","id":"a","collections":["tasks"],"after":7,"include":"fields"}"#).expect("a message");
        let LiveAsk::Subscribe(asked) = asked else {
            panic!("{asked:?}")
        };
        assert_eq!(
            (asked.id.as_str(), asked.after, asked.include),
            ("a", Some(7), Some(Include::Fields))
        );
        assert_eq!(read(r#"{"type":"ping"}"#).expect("a message"), LiveAsk::Ping {});
        for wrong in [
            "{}",
            "[]",
            r#"{"type":"shout"}"#,
            r#"{"type":"ping","more":1}"#,
            r#"{"type":"subscribe"}"#,
            r#"{"type":"subscribe","id":"a","include":"all"}"#,
            r#"{"type":"presence","topic":"tasks/1","data":[]}"#,
        ] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}
