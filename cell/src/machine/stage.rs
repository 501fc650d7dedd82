//! A stage for stories about commands: one store, one space, commands applied one after the other as the log would.

use storage::table::RecordTotals;
use storage::{Direction, KeyRange, Options, Snapshot, Space, Store, Table};
use uuid::Uuid;

use super::catalog::{Catalog, Catalogs};
use super::dispatch::{self, Answer, Command, Stamped, answer};
use super::envelope::seal;
use super::idempotency::IdempotencyKey;
use super::reader::Reader;
use super::rows::{Actor, Header};
use crate::access::token_create::TokenCreate;
use crate::access::token_row::{StoredRole, TokenRow};
use crate::records::count::walked;
use crate::records::import::{ImportChunk, ImportRow};
use crate::records::template;
use crate::records::totals;
use crate::records::value::{Doc, Value};
use crate::space::create::SpaceCreate;
use crate::space::open::{SpaceOpen, SpaceOpenCounted};

/// The space that stories play in.
pub(crate) const SPACE: Space = Space(7);

/// One store and what has been applied to it.
pub(crate) struct Stage {
    pub(crate) store: Store,
    pub(crate) catalogs: Catalogs,
    space: Space,
    index: u64,
    stamp: u64,
    /// What has been applied: positions and entries.
    pub(crate) log: Vec<(u64, Vec<u8>)>,
    _dir: tempfile::TempDir,
}

impl Stage {
    /// An empty store.
    pub(crate) fn empty() -> Self {
        Self::of(SPACE)
    }

    /// An empty store, for commands of one space.
    pub(crate) fn of(space: Space) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let store = Store::open(dir.path(), Options::default()).expect("a store");
        Self {
            store,
            catalogs: Catalogs::default(),
            space,
            index: 0,
            stamp: 1_000_000,
            log: Vec::new(),
            _dir: dir,
        }
    }

    /// A store with a space made from a template, whose records are counted.
    pub(crate) fn with_template(name: &str) -> Self {
        Self::opened_with::<SpaceOpenCounted>(name)
    }

    /// A store with a space made from a template by this command.
    pub(crate) fn opened_with<C: Command<Reply = ()> + From<SpaceOpen>>(name: &str) -> Self {
        let mut stage = Self::empty();
        let start = template::find(name).expect("a template");
        let create = SpaceCreate {
            tenant: Uuid::from_u128(1),
            slug: "acme".to_owned(),
            name: "Acme".to_owned(),
            collections: start.collections,
            token: None,
        };
        let policies = start.policies;
        stage.apply(C::from(SpaceOpen { create, policies })).result.expect("a space");
        stage
    }

    /// Applies a command that depends on no version.
    pub(crate) fn apply<C: Command>(&mut self, command: C) -> Answer<C::Reply> {
        self.apply_as(command, None, None)
    }

    /// Applies a command with an idempotency key, or decided under a schema version.
    pub(crate) fn apply_as<C: Command>(
        &mut self,
        command: C,
        idempotency: Option<IdempotencyKey>,
        schema: Option<u64>,
    ) -> Answer<C::Reply> {
        self.index += 1;
        self.stamp += 10;
        let stamped = Stamped {
            stamp: self.stamp,
            space: self.space.0,
            actor: Actor::System,
            schema,
            access: None,
            idempotency,
            payload: command.into(),
        };
        let entry = seal(&stamped);
        self.log.push((self.index, entry.clone()));
        self.apply_bytes(&entry).expect("the space has not seen it")
    }

    /// Applies an encoded entry at the next index.
    fn apply_bytes<R: serde::de::DeserializeOwned>(&mut self, entry: &[u8]) -> Option<Answer<R>> {
        let mut batch = self.store.begin_batch().expect("a batch");
        let reply = dispatch::apply(&mut batch, self.index, entry, &self.catalogs)
            .expect("no fault")
            .answer;
        batch
            .commit(storage::Mark {
                index: self.index,
                state: Vec::new(),
            })
            .expect("a commit");
        reply.map(|bytes| answer(&bytes).expect("a reply of the command's type"))
    }

    /// Imports so many tasks whose titles have so many bytes.
    pub(crate) fn import(&mut self, number: u8, lines: u64, bytes: usize) {
        let catalog = self.catalog();
        let tasks = catalog.named("tasks").expect("tasks");
        let title = tasks.field("title").expect("a title").number;
        let row = |line: u64| {
            let mut doc = Doc::default();
            doc.set(title, Some(Value::Text(number.to_string().repeat(bytes))));
            ImportRow {
                line,
                id: Uuid::from_u128(u128::from(number) << 64 | u128::from(line)),
                created: Some(5),
                doc,
            }
        };
        let chunk = ImportChunk {
            import: [number; 32],
            collection: tasks.number,
            after: 0,
            last: lines,
            rows: (1..=lines).map(row).collect(),
            refused: 0,
        };
        self.apply(chunk).result.expect("imported");
    }

    /// Moves the leader's clock.
    pub(crate) fn pass(&mut self, micros: u64) {
        self.stamp += micros;
    }

    /// What is stored now.
    pub(crate) fn snapshot(&self) -> Snapshot {
        self.store.begin_read()
    }

    /// The header of the space.
    pub(crate) fn header(&self) -> Header {
        self.snapshot().header(SPACE).expect("no fault").expect("a header")
    }

    /// The catalog of the space.
    pub(crate) fn catalog(&self) -> std::sync::Arc<Catalog> {
        self.catalogs
            .get(&self.snapshot(), SPACE, self.header().schema)
            .expect("a catalog")
    }

    /// All keys of the space as text, without the header and the totals.
    pub(crate) fn keys(&self) -> Vec<String> {
        let rows = self.snapshot().scan(KeyRange::space(self.space), Direction::Forward);
        let keys = rows.map(|row| row.expect("a row").0).skip(1);
        let keys = keys.filter(|key| key.tag() != RecordTotals::TAG);
        keys.map(|key| key.to_string()).collect()
    }
}

impl Drop for Stage {
    /// Every story ends with totals that are what a walk finds.
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        let snapshot = self.snapshot();
        if let Some(totals) = totals::read(&snapshot, self.space).expect("no fault") {
            let found = walked(&snapshot, self.space).expect("a walk");
            assert_eq!(totals, found.totals(), "what is counted of the records, and what there is");
        }
    }
}

/// A token of a story: its number is its id, and all of its hash.
pub(crate) fn token(number: u8) -> TokenCreate {
    TokenCreate {
        row: TokenRow {
            id: Uuid::from_u128(number.into()),
            hash: [number; 32],
            name: "t".to_owned(),
            role: StoredRole::Owner,
            scopes: None,
            created: 0,
            expires: None,
        },
    }
}
