//! Events: one a change, numbered per tenant without gaps. The attributes are those of CloudEvents 1.0.
//!
//! What is told to many is written once: a [`Told`] keeps its JSON, and every stream sends the same bytes.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::ids::{Id, Name};

/// One change of a tenant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Event {
    /// Always `1.0`.
    pub specversion: String,
    /// `TENANT/POSITION`: the same however often it is delivered.
    pub id: String,
    /// `/v1/tenants/TENANT`.
    pub source: String,
    /// Such as `record.created`.
    #[serde(rename = "type")]
    pub kind: String,
    /// `COLLECTION/ID`, where it is about a record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// RFC 3339, UTC.
    pub time: String,
    /// The number of the event in its tenant, from 1.
    pub position: u64,
    /// The principal that caused it.
    pub actor: String,
    /// The collection, where it is about a record or a schema.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub collection: Option<String>,
    /// The record or token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub record: Option<String>,
    /// The version that the change made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<u64>,
    /// The file, where it is about one; `collection` and `record` are then what it is attached to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// The record's fields as the change left them, where `include=fields` asks for them, that version is kept and may be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub fields: Option<serde_json::Map<String, serde_json::Value>>,
}

/// Which events to read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EventQuery {
    /// The position after which to start.
    pub after: u64,
    /// Most positions that are looked at.
    pub limit: usize,
    /// Only what is about these collections and their records; none: all, and what is about no collection.
    pub collections: Option<Vec<Name>>,
    /// Only what is about this record.
    pub record: Option<(Name, Id)>,
    /// A CEL expression over the names of fields: only records of which, as the change left them, it is true.
    pub filter: Option<String>,
    /// Whether to add the record's fields.
    pub with_fields: bool,
}

/// An event as whoever asked may see it.
#[derive(Clone, Debug)]
pub struct Seen {
    /// The event, shared by all who read it.
    pub told: Arc<Told>,
    /// A rule hides it from who asked, or it is not among what was asked for. It counts for how far the reader is all the same.
    pub hidden: bool,
    /// The record's fields.
    pub fields: Option<Arc<RawValue>>,
}

/// An event that may be told to many.
#[derive(Debug)]
pub struct Told {
    event: Event,
    line: OnceLock<Bytes>,
    sent: OnceLock<Bytes>,
}

impl Told {
    /// An event, of which nothing is written yet.
    pub fn new(event: Event) -> Self {
        Self {
            event,
            line: OnceLock::new(),
            sent: OnceLock::new(),
        }
    }

    /// The event.
    pub fn event(&self) -> &Event {
        &self.event
    }

    /// Its JSON, with a line break behind it.
    pub fn line(&self) -> Bytes {
        let write = || {
            let mut line = Vec::with_capacity(384);
            if let Err(error) = serde_json::to_writer(&mut line, &self.event) {
                tracing::error!(position = self.event.position, %error, "write an event as JSON");
            }
            line.push(b'\n');
            line.into()
        };
        self.line.get_or_init(write).clone()
    }

    /// The event as one of a stream of server-sent events.
    pub fn sent(&self) -> Bytes {
        self.sent.get_or_init(|| self.framed(&self.line())).clone()
    }

    /// JSON of this event, with a line break behind it, as a server-sent event.
    fn framed(&self, line: &[u8]) -> Bytes {
        use std::io::Write;
        let mut sent = Vec::with_capacity(line.len() + 64);
        // Writing into a vector cannot fail. A kind is made of letters and dots: it needs no escaping.
        let _ = write!(sent, "id: {}\nevent: {}\ndata: ", self.event.position, self.event.kind);
        sent.extend_from_slice(line);
        sent.push(b'\n');
        sent.into()
    }
}

impl Seen {
    /// An event of which nothing is hidden and nothing added.
    pub fn plain(event: Event) -> Self {
        Self {
            told: Arc::new(Told::new(event)),
            hidden: false,
            fields: None,
        }
    }

    /// Its position.
    pub fn position(&self) -> u64 {
        self.told.event.position
    }

    /// Its JSON, with a line break behind it.
    pub fn line(&self) -> Bytes {
        let line = self.told.line();
        let Some(fields) = &self.fields else { return line };
        // An object that ends with its last member, `}` and the line break.
        let members = line.len().saturating_sub(2);
        let mut whole = Vec::with_capacity(line.len() + fields.get().len() + 16);
        whole.extend_from_slice(&line[..members]);
        whole.extend_from_slice(b",\"fields\":");
        whole.extend_from_slice(fields.get().as_bytes());
        whole.extend_from_slice(b"}\n");
        whole.into()
    }

    /// The event as one of a stream of server-sent events.
    pub fn sent(&self) -> Bytes {
        match &self.fields {
            None => self.told.sent(),
            Some(_) => self.told.framed(&self.line()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event() -> Event {
        Event {
            specversion: "1.0".into(),
            id: "acme/7".into(),
            source: "/v1/tenants/acme".into(),
            kind: "record.created".into(),
            subject: None,
            time: "2026-01-01T00:00:00Z".into(),
            position: 7,
            actor: "token:1".into(),
            collection: None,
            record: None,
            version: None,
            file: None,
            fields: None,
        }
    }

    #[test]
    fn an_event_is_written_once_and_fields_are_put_into_it() {
        let mut seen = Seen::plain(event());
        let (line, again) = (seen.line(), seen.line());
        assert_eq!(line.as_ptr(), again.as_ptr(), "the same bytes");
        assert_eq!(serde_json::from_slice::<Event>(&line).expect("JSON"), event());
        let sent = String::from_utf8(seen.sent().to_vec()).expect("text");
        assert!(
            sent.starts_with("id: 7\nevent: record.created\ndata: {") && sent.ends_with("}\n\n"),
            "{sent}"
        );
        let fields: Box<RawValue> = serde_json::from_str(r#"{"title":"a"}"#).expect("JSON");
        seen.fields = Some(Arc::from(fields));
        let whole: Event = serde_json::from_slice(&seen.line()).expect("JSON");
        assert_eq!(whole.fields.expect("fields")["title"], "a");
        let sent = String::from_utf8(seen.sent().to_vec()).expect("text");
        assert!(
            sent.contains(r#""fields":{"title":"a"}}"#) && sent.ends_with("}\n\n"),
            "{sent}"
        );
    }
}
