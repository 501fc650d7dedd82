//! A service in memory: enough of a platform for the front to be tested against.

mod admission;
mod collections;
mod files;
mod live;
mod peer;
mod records;
mod service;

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use api::body::collection::{Collection, CollectionSchema};
use api::body::event::Event;
use api::body::file::Upload;
use api::body::record::{Fields, ListQuery, Record};
use api::body::token::{Role, Token};
use api::error::{Code, Error, Result};
use api::ids::{Id, Name, NodeNumber, Slug};
use api::service::{Kind, Location, NewUpload, Placement, Principal, Reply, Stored};
use serde_json::Value;
use serde_json::value::RawValue;
use tokio::sync::Notify;

pub(crate) use self::peer::Peer;

const TIME: &str = "2026-11-22T10:00:00Z";

type Locate = Box<dyn Fn(&Slug) -> Location + Send>;

#[derive(Default)]
struct State {
    records: BTreeMap<(String, Id), Record>,
    collections: BTreeMap<String, Collection>,
    events: Vec<Event>,
    replies: HashMap<[u8; 32], ([u8; 32], Record)>,
    minted: HashMap<[u8; 32], ([u8; 32], Token)>,
    principals: HashMap<String, Principal>,
    calls: Vec<String>,
    failures: Vec<Error>,
    peers: HashMap<NodeNumber, Peer>,
    hints: Vec<Option<NodeNumber>>,
    locate: Option<Locate>,
    behind: Option<Locate>,
    unasked: bool,
    unhinted: Option<Locate>,
    next_query: Option<ListQuery>,
    cors: Vec<String>,
    files: BTreeMap<Id, files::Kept>,
    uploads: BTreeMap<Id, (Upload, NewUpload, Vec<u8>)>,
    keyed: HashMap<[u8; 32], ([u8; 32], Id)>,
}

/// The service.
#[derive(Default)]
pub(crate) struct Memory {
    state: Mutex<State>,
    changed: Notify,
    leaders: Notify,
    pub(crate) unready: AtomicBool,
    /// Archives break off at their end.
    pub(crate) breaks_archives: AtomicBool,
    /// Whether writes wait until [`Memory::release`].
    pub(crate) held: AtomicBool,
    released: Notify,
    /// What requests were let in as.
    pub(crate) admissions: Mutex<Vec<Kind>>,
    /// Bytes of the replies to requests that are over.
    pub(crate) answered: Arc<AtomicU64>,
    /// Whether the tenant has used up its units.
    pub(crate) spent: AtomicBool,
    /// How many more followers there may be.
    pub(crate) followers: Arc<AtomicU64>,
    /// How many more connections there may be.
    pub(crate) connections: Arc<AtomicU64>,
    /// The updates of the one document.
    pub(crate) document: Mutex<Vec<bytes::Bytes>>,
    /// Whether an event of `notes` happens whenever events are read.
    pub(crate) busy: AtomicBool,
    /// Whether the tenant has come to be led elsewhere, which only whoever asks notices.
    pub(crate) has_left: AtomicBool,
}

pub(crate) fn placement(slug: &Slug) -> Placement {
    Placement {
        slug: slug.clone(),
        uid: 7,
        cell: 1,
        epoch: 1,
    }
}

fn new_id() -> Id {
    Id(uuid::Uuid::now_v7())
}

fn principal(role: Role, scopes: Option<&[&str]>) -> Principal {
    let scopes = scopes.map(|scopes| scopes.iter().map(|scope| scope.to_string()).collect::<Vec<_>>().into());
    Principal {
        token: new_id(),
        version: 1,
        name: "test".into(),
        role,
        scopes,
        expires_at: None,
    }
}

impl Memory {
    /// A service with one token a role (`cnt_owner` and so on), one for tasks only, and the collections `tasks` and `notes`.
    pub(crate) fn new() -> Arc<Self> {
        let memory = Self::default();
        memory.followers.store(100, Ordering::Relaxed);
        memory.connections.store(10_000, Ordering::Relaxed);
        {
            let mut state = memory.state();
            for (name, role) in [
                ("owner", Role::Owner),
                ("admin", Role::Admin),
                ("member", Role::Member),
                ("guest", Role::Guest),
            ] {
                state.principals.insert(format!("cnt_{name}"), principal(role, None));
            }
            state
                .principals
                .insert("cnt_tasks".into(), principal(Role::Admin, Some(&["tasks"])));
            for name in ["tasks", "notes"] {
                let schema = CollectionSchema {
                    fields: BTreeMap::new(),
                    indexes: BTreeMap::new(),
                    search: vec![],
                    rules: Default::default(),
                    workflow: None,
                };
                state.collections.insert(
                    name.into(),
                    Collection {
                        name: name.into(),
                        version: 1,
                        schema,
                        change: None,
                    },
                );
            }
        }
        Arc::new(memory)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives a token another role.
    pub(crate) fn has_role(&self, secret: &str, role: Role) {
        self.state().principals.insert(secret.into(), principal(role, None));
    }

    pub(crate) fn locate_by(&self, locate: impl Fn(&Slug) -> Location + Send + 'static) {
        self.state().locate = Some(Box::new(locate));
        self.leaders.notify_waiters();
    }

    /// What is located once the copy of the directory has been refreshed.
    pub(crate) fn locate_after_refresh_by(&self, locate: impl Fn(&Slug) -> Location + Send + 'static) {
        self.state().behind = Some(Box::new(locate));
    }

    /// The copy of the directory cannot be refreshed.
    pub(crate) fn leave_the_directory_unasked(&self) {
        self.state().unasked = true;
    }

    /// What is located once a hint has been dropped.
    pub(crate) fn locate_without_hint_by(&self, locate: impl Fn(&Slug) -> Location + Send + 'static) {
        self.state().unhinted = Some(Box::new(locate));
    }

    pub(crate) fn peer(&self, node: u64, peer: Peer) {
        self.state().peers.insert(NodeNumber(node), peer);
    }

    /// The next write fails with this.
    pub(crate) fn fail_next(&self, error: Error) {
        self.state().failures.push(error);
    }

    pub(crate) fn calls(&self) -> Vec<String> {
        self.state().calls.clone()
    }

    pub(crate) fn count(&self, call: &str) -> usize {
        self.state().calls.iter().filter(|known| *known == call).count()
    }

    pub(crate) fn hints(&self) -> Vec<Option<NodeNumber>> {
        self.state().hints.clone()
    }

    pub(crate) fn last_query(&self) -> ListQuery {
        self.state().next_query.clone().expect("a list was asked for")
    }

    pub(crate) fn revoke(&self, secret: &str) {
        self.state().principals.remove(secret);
        self.changed.notify_waiters();
    }

    pub(crate) fn release(&self) {
        self.held.store(false, Ordering::SeqCst);
        self.released.notify_waiters();
    }

    async fn begin(&self, call: &str) -> Result<()> {
        let failure = {
            let mut state = self.state();
            state.calls.push(call.to_owned());
            state.failures.pop()
        };
        while self.held.load(Ordering::SeqCst) {
            let released = self.released.notified();
            if self.held.load(Ordering::SeqCst) {
                released.await;
            }
        }
        failure.map_or(Ok(()), Err)
    }

    fn event(state: &mut State, kind: &str, collection: Option<&str>) -> u64 {
        let position = state.events.len() as u64 + 1;
        state.events.push(Event {
            specversion: "1.0".into(),
            id: format!("acme/{position}"),
            source: "/v1/tenants/acme".into(),
            kind: kind.into(),
            subject: None,
            time: TIME.into(),
            position,
            actor: "token:test".into(),
            collection: collection.map(str::to_owned),
            record: None,
            version: Some(1),
            file: None,
            fields: None,
        });
        position
    }

    /// Something happens in a collection.
    pub(crate) fn happen(&self, collection: &str) {
        Self::event(&mut self.state(), "record.changed", Some(collection));
        self.changed.notify_waiters();
    }

    fn position(&self) -> u64 {
        self.state().events.len() as u64
    }

    fn put(&self, collection: &Name, id: Id, fields: &Fields, if_match: Option<u64>) -> Result<Reply<Stored<Record>>> {
        let mut state = self.state();
        let place = (collection.to_string(), id);
        let before = state.records.get(&place).map(|record| record.version);
        if if_match.is_some() && if_match != before {
            return Err(Error::new(Code::VersionMismatch, "the record has another version"));
        }
        let record = Record {
            id,
            collection: collection.to_string(),
            version: before.unwrap_or(0) + 1,
            created_at: TIME.into(),
            updated_at: TIME.into(),
            created_by: "token:test".into(),
            fields: RawValue::from_string(Value::Object(fields.clone()).to_string()).expect("JSON"),
            expand: BTreeMap::new(),
        };
        state.records.insert(place, record.clone());
        let position = Self::event(&mut state, "record.changed", Some(collection.as_str()));
        drop(state);
        self.changed.notify_waiters();
        Ok(Reply {
            body: Stored {
                body: record,
                created: before.is_none(),
            },
            position,
        })
    }

    fn get(&self, collection: &Name, id: Id) -> Result<Record> {
        let found = self.state().records.get(&(collection.to_string(), id)).cloned();
        found.ok_or_else(|| Error::new(Code::NotFound, "there is no such record"))
    }
}
