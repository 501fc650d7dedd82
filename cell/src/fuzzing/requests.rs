//! What requests and files bring: lists with their filters and cursors, lines of imports, schemas, configurations.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use api::body::collection::CollectionSchema;
use api::body::record::{Fields, ListQuery};
use api::error::{Code, Error};
use storage::{Mark, Options, Space, Store};
use uuid::Uuid;

use crate::config::Config;
use crate::machine::catalog::{Catalog, Catalogs};
use crate::machine::dispatch;
use crate::machine::envelope::seal;
use crate::records::decide::whole;
use crate::records::expand::Expand;
use crate::records::guard::Sight;
use crate::records::line::{Line, Reading};
use crate::records::schema::Collection;
use crate::records::write::{Expect, Operation, RecordsWrite};
use crate::records::{query, render, schema_check, template};

const SPACE: Space = Space(7);
/// Lines of JSON that make records.
const JSON: Reading = Reading {
    texts: false,
    upsert: false,
};
/// Records of the list.
const RECORDS: u128 = 40;

/// The collections of the workspace template.
fn catalog() -> &'static Catalog {
    static CATALOG: OnceLock<Catalog> = OnceLock::new();
    CATALOG.get_or_init(|| {
        let mut catalog = Catalog::default();
        let start = template::find("workspace").unwrap_or_else(|error| panic!("find a template: {error}"));
        start.collections.into_iter().for_each(|collection| catalog.add(collection));
        catalog
    })
}

fn tasks() -> &'static Arc<Collection> {
    catalog().named("tasks").unwrap_or_else(|| panic!("the template has tasks"))
}

/// A store with tasks in it, made in the directory of whoever asks first.
fn store(dir: &Path) -> &'static Store {
    static STORE: OnceLock<Store> = OnceLock::new();
    STORE.get_or_init(|| {
        let store = Store::open(dir, Options::default()).unwrap_or_else(|error| panic!("open a store: {error}"));
        let mut operations = Vec::new();
        for number in 1..=RECORDS {
            let text = format!(
                "{{\"title\":\"t{number}\",\"status\":\"{}\",\"points\":{},\"labels\":[\"l{}\"],\"due_on\":\"2026-01-{:02}\"}}",
                ["todo", "done", "backlog"][number as usize % 3],
                number % 7,
                number % 4,
                number % 28 + 1
            );
            let line = Line::read(tasks(), 1, text.as_bytes(), Uuid::from_u128(number), JSON);
            let line = line.unwrap_or_else(|error| panic!("a task: {error}"));
            operations.push(Operation::Store {
                collection: tasks().number,
                id: Uuid::from_u128(number),
                expect: Expect::Absent,
                doc: line.whole.unwrap_or_else(|errors| panic!("a task: {errors:?}")),
                created: None,
            });
        }
        let entries = [
            super::commands::opening(SPACE.0),
            super::commands::sealed(SPACE.0, RecordsWrite { operations }.into()),
        ];
        let mut batch = store.begin_batch().unwrap_or_else(|error| panic!("begin a batch: {error}"));
        let catalogs = Catalogs::default();
        for (index, entry) in (1..).zip(&entries) {
            let done = dispatch::apply(&mut batch, index, entry, &catalogs);
            done.unwrap_or_else(|fault| panic!("apply: {fault}"));
        }
        let mark = Mark {
            index: 2,
            state: Vec::new(),
        };
        batch.commit(mark).unwrap_or_else(|error| panic!("commit a batch: {error}"));
        store
    })
}

/// A fault of our own is none of the answers that a client's bytes may have.
#[track_caller]
fn no_defect(error: &Error) {
    assert_ne!(error.code, Code::Internal, "{error}");
}

/// Lists tasks. The bytes: how many a page, then lines: order, filter, cursor, and a `name=value` that the list must keep.
pub fn list(data: &[u8], dir: &Path) {
    let Some((limit, text)) = data.split_first() else { return };
    let Ok(text) = std::str::from_utf8(text) else { return };
    let mut lines = text.split('\n').map(|line| (!line.is_empty()).then(|| line.to_owned()));
    let mut next = || lines.next().flatten();
    let (order, filter, cursor) = (next(), next(), next());
    let mut query = ListQuery {
        limit: usize::from(limit % 50) + 1,
        cursor,
        order,
        equals: next()
            .and_then(|pair| pair.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned())))
            .into_iter()
            .collect(),
        filter,
        count: limit & 128 != 0,
        ..ListQuery::default()
    };
    let snapshot = store(dir).begin_read();
    let mut seen = BTreeSet::new();
    loop {
        let page = match query::list(&snapshot, SPACE, tasks(), &query, Sight::default(), &Expand::default()) {
            Ok(page) => page,
            Err(error) => return no_defect(&error),
        };
        assert!(page.items.len() <= query.limit, "a page is longer than its limit");
        for record in &page.items {
            assert!(seen.insert(record.id), "{} comes twice", record.id);
        }
        match page.next_cursor {
            Some(cursor) => query.cursor = Some(cursor),
            None => return,
        }
    }
}

/// Decides a line of an import, of JSON or, where the first byte is odd, of texts; what is decided renders as JSON. Where the second bit of
/// the first byte is set the line may change a record, and what it changes of one fits.
pub fn line(data: &[u8]) {
    let Some((kind, text)) = data.split_first() else { return };
    let reading = Reading {
        texts: kind & 1 == 1,
        upsert: kind & 2 == 2,
    };
    let line = match Line::read(tasks(), 1, text, Uuid::from_u128(1), reading) {
        Ok(line) => line,
        Err(error) => return no_defect(&error),
    };
    let Ok(doc) = line.whole else {
        assert!(reading.upsert, "a line that makes no record is taken");
        return;
    };
    if let Some(change) = &line.change {
        assert_eq!(
            seal(&change.apply(&doc)),
            seal(&doc),
            "a line changes the record that it makes"
        );
    }
    let record = crate::records::value::Record {
        version: 1,
        created: line.created.unwrap_or(0),
        updated: 0,
        by: crate::machine::rows::Actor::System,
        doc,
    };
    let shown = render::record(tasks(), line.id, &record, None).unwrap_or_else(|error| panic!("show a record: {error}"));
    let fields: Fields = serde_json::from_str(shown.fields.get()).unwrap_or_else(|error| panic!("read what is shown: {error}"));
    let again = whole(tasks(), &fields, "").unwrap_or_else(|error| panic!("what is shown is not taken: {error}"));
    assert_eq!(seal(&again), seal(&record.doc), "what is shown is another document");
}

/// Checks a schema as JSON; one that is taken shows itself as a schema that is taken again and changes nothing.
pub fn schema(data: &[u8]) {
    let Ok(sent) = serde_json::from_slice::<CollectionSchema>(data) else {
        return;
    };
    let name = "guests".parse().unwrap_or_else(|error| panic!("a name: {error}"));
    let checked = match schema_check::check(&name, &sent, None, catalog(), 9) {
        Ok(checked) => checked,
        Err(error) => return no_defect(&error),
    };
    let shown = checked.collection.to_api(Some(&checked.policy)).schema;
    let again = schema_check::check(&name, &shown, Some(&checked.collection), catalog(), 9);
    let again = again.unwrap_or_else(|error| panic!("what is shown is not taken: {error}"));
    assert_eq!(again.moved, [], "what is shown moves fields");
    assert_eq!(again.policy, checked.policy, "what is shown is another policy");
    assert_eq!(
        again.collection.fields, checked.collection.fields,
        "what is shown has other fields"
    );
}

/// Reads a configuration.
pub fn config(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Err(errors) = Config::parse(text, Path::new("cluster.toml")) else {
        return;
    };
    assert!(!errors.0.is_empty(), "a configuration is refused for no reason");
    for error in &errors.0 {
        let line = text.split('\n').nth(error.line.saturating_sub(1));
        let columns = line.map_or(0, |line| line.chars().count() + 1);
        assert!(
            error.line >= 1 && error.column >= 1 && error.column <= columns.max(1),
            "{error} is nowhere: the line has {columns} columns"
        );
    }
}
