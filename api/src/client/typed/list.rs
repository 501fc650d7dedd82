//! Lists: a page, or all pages as a stream.

use std::collections::VecDeque;
use std::marker::PhantomData;

use serde::de::DeserializeOwned;

use super::{Records, TypedRecord, freshness};
use crate::body::record::{Fields, ListQuery};
use crate::client::ClientError;
use crate::service::Consistency;

/// A list of records.
#[derive(Debug)]
#[must_use = "nothing is read before send or stream"]
pub struct ListBuilder<T> {
    records: Records<T>,
    query: ListQuery,
    consistency: Consistency,
}

/// One page of a list.
#[derive(Clone, Debug)]
pub struct RecordPage<T = Fields> {
    /// The records.
    pub items: Vec<TypedRecord<T>>,
    /// What [`ListBuilder::cursor`] takes to go on; none at the end.
    pub next_cursor: Option<String>,
    /// How many there are in all, where [`ListBuilder::count`] asked for it.
    pub count: Option<u64>,
    /// The number of the tenant's last event that the page reflects.
    pub position: Option<u64>,
}

/// The records of a list, page after page.
///
/// Each page is read when it is needed. A record that is there all the time, and whose place in the order does not change, comes exactly
/// once; one that is made, deleted or moved meanwhile comes at its old place, at its new one, or not at all.
#[derive(Debug)]
pub struct RecordStream<T = Fields> {
    records: Records<T>,
    query: ListQuery,
    consistency: Consistency,
    read: VecDeque<crate::body::record::Record>,
    ended: bool,
    fields: PhantomData<fn() -> T>,
}

impl<T> ListBuilder<T> {
    pub(super) fn new(records: Records<T>) -> Self {
        Self {
            records,
            query: ListQuery::default(),
            consistency: Consistency::Strong,
        }
    }

    freshness!();

    /// Only records of which a CEL expression over the names of fields is true: `status == "todo" && points >= 3`. Values of users go
    /// into [`ListBuilder::equals`], which needs no quotes, or through [`ListBuilder::quoted`].
    pub fn filter(mut self, expression: &str) -> Self {
        self.query.filter = Some(expression.to_owned());
        self
    }

    /// A text as a CEL literal, whatever characters it has.
    pub fn quoted(text: &str) -> String {
        quoted(text)
    }

    /// Only records whose field has this value; several: all of them.
    pub fn equals(mut self, field: &str, value: impl std::fmt::Display) -> Self {
        self.query.equals.push((field.to_owned(), value.to_string()));
        self
    }

    /// Fields to order by, such as `-created_at,title`. Default: by id, which is by time of creation where ids are the server's.
    pub fn order(mut self, order: &str) -> Self {
        self.query.order = Some(order.to_owned());
        self
    }

    /// Most records a page, up to 500. Default: 50.
    pub fn limit(mut self, limit: usize) -> Self {
        self.query.limit = limit;
        self
    }

    /// Goes on where a page ended.
    pub fn cursor(mut self, cursor: impl Into<String>) -> Self {
        self.query.cursor = Some(cursor.into());
        self
    }

    /// Only these fields; the type must do without the others.
    pub fn fields<'f>(mut self, names: impl IntoIterator<Item = &'f str>) -> Self {
        self.query.fields = Some(names.into_iter().map(str::to_owned).collect());
        self
    }

    /// With the record that a field refers to; once a field.
    pub fn expand(mut self, field: &str) -> Self {
        self.query.expand.push(field.to_owned());
        self
    }

    /// With the number of all records that the list has.
    pub fn count(mut self) -> Self {
        self.query.count = true;
        self
    }

    /// All pages, as they are needed.
    pub fn stream(self) -> RecordStream<T> {
        RecordStream {
            records: self.records,
            query: self.query,
            consistency: self.consistency,
            read: VecDeque::new(),
            ended: false,
            fields: PhantomData,
        }
    }
}

impl<T: DeserializeOwned> ListBuilder<T> {
    /// One page.
    pub async fn send(self) -> Result<RecordPage<T>, ClientError> {
        let Records { tenant, collection, .. } = &self.records;
        let list = tenant.client.records(&tenant.slug, collection, &self.query, self.consistency);
        let answer = tenant.noted(list.await?);
        let position = answer.position();
        let items: Result<Vec<_>, _> = answer.body.items.into_iter().map(TypedRecord::try_from).collect();
        Ok(RecordPage {
            items: items?,
            next_cursor: answer.body.next_cursor,
            count: answer.body.count,
            position,
        })
    }
}

impl<T: DeserializeOwned> RecordStream<T> {
    /// The next record; none at the end. After an error it may be called again: it goes on with the page that failed.
    pub async fn next(&mut self) -> Result<Option<TypedRecord<T>>, ClientError> {
        loop {
            if let Some(record) = self.read.pop_front() {
                return record.try_into().map(Some);
            }
            if self.ended {
                return Ok(None);
            }
            let Records { tenant, collection, .. } = &self.records;
            let list = tenant.client.records(&tenant.slug, collection, &self.query, self.consistency);
            let page = tenant.noted(list.await?).body;
            self.read = page.items.into();
            self.ended = page.next_cursor.is_none();
            self.query.cursor = page.next_cursor;
        }
    }

    /// All that are left. The server bounds a page, nothing bounds this: it is for lists of known size.
    pub async fn all(mut self) -> Result<Vec<TypedRecord<T>>, ClientError> {
        let mut all = Vec::new();
        while let Some(record) = self.next().await? {
            all.push(record);
        }
        Ok(all)
    }
}

/// See [`ListBuilder::quoted`].
fn quoted(text: &str) -> String {
    let mut literal = String::with_capacity(text.len() + 2);
    literal.push('"');
    for character in text.chars() {
        match character {
            '"' | '\\' => literal.extend(['\\', character]),
            '\n' => literal.push_str("\\n"),
            '\r' => literal.push_str("\\r"),
            '\t' => literal.push_str("\\t"),
            control if control.is_control() => literal.push_str(&format!("\\u{:04x}", u32::from(control))),
            other => literal.push(other),
        }
    }
    literal.push('"');
    literal
}
