//! What was said and heard of who is where, and who was there when everybody was quiet.

use serde::{Deserialize, Serialize};

/// One stay of a visitor at a topic, over one connection: what it said of itself and what it heard of others.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sitting {
    /// The topic.
    pub topic: String,
    /// What it said, and when, before it was sent: in microseconds since the run began.
    pub said: Vec<(String, u64)>,
    /// When it went, or knew that its connection had ended.
    pub ended_us: u64,
    /// How it ended.
    pub by: String,
    /// When anything came over the connection last.
    pub heard_us: u64,
    /// What it heard of this topic, in order.
    pub heard: Vec<Hearing>,
}

/// What came of a topic at one time.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hearing {
    /// When, in microseconds since the run began.
    pub at_us: u64,
    /// All who are there; none: it is news alone.
    pub all: Option<Vec<Visitor>>,
    /// Who came, or says something else.
    pub came: Vec<Visitor>,
    /// The connections that went.
    pub went: Vec<String>,
}

/// One who is at a topic.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Visitor {
    /// The name of the connection.
    pub session: String,
    /// What it says.
    pub mark: String,
}

/// A topic at which one visitor from each node was, when everybody was quiet.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Call {
    /// The topic.
    pub topic: String,
    /// What they said, in the order of their nodes.
    pub said: Vec<String>,
    /// By node, in order.
    pub nodes: Vec<CallAt>,
}

/// The same as one node tells it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallAt {
    /// The node.
    pub node: String,
    /// Who had been there before they came, once the time was over in which whoever has gone is gone.
    pub before: Vec<String>,
    /// What the visitor at this node heard that is there: once it was what they all said, or when time was up.
    pub heard: Vec<String>,
    /// Who is there, as the node answers.
    pub there: Vec<String>,
    /// The same after all had gone: once nobody was there, or when time was up.
    pub after: Vec<String>,
}
