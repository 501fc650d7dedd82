//! Streams: import, export and events.

use std::io;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::Stream;
use http::Method;
use serde::Deserialize;
use tokio::io::{AsyncRead, AsyncReadExt};

use super::lines::Lines;
use super::tenant::push_parameter;
use super::{Call, Client, ClientError};
use crate::body::event::Event;
use crate::body::import::{ExportLine, ImportLine, ImportSummary};

/// How much of a reader is sent at a time, in bytes.
const CHUNK_BYTES: usize = 64 * 1024;
const NDJSON: &str = "application/x-ndjson";
const CSV: &str = "text/csv";

/// What an import is called, and what it is.
#[derive(Clone, Debug, Default)]
pub struct ImportOptions {
    /// A second import with the same id goes on after what the first one stored.
    pub import_id: Option<String>,
    /// It is CSV, whose first record names the fields, and not NDJSON.
    pub csv: bool,
    /// The unique field by which lines find records to change; none: lines make records only.
    pub upsert: Option<String>,
}

/// Which events to read.
#[derive(Clone, Debug, Default)]
pub struct EventsFrom {
    /// The position after which to start.
    pub after: u64,
    /// Most events; none: all that there are.
    pub limit: Option<usize>,
    /// How long to wait for a first event where there is none; a whole number of seconds.
    pub wait: Duration,
    /// Whether to stay and read what is yet to come.
    pub follow: bool,
    /// Only what is about these collections and their records; none: all.
    pub collections: Vec<String>,
    /// Only what is about this record: `COLLECTION/ID`.
    pub record: Option<String>,
    /// A CEL expression over the names of fields: only changes that left a record of which it is true.
    pub filter: Option<String>,
    /// Whether to add the record's fields.
    pub with_fields: bool,
}

/// Lines of an export.
pub struct ExportStream {
    lines: Lines,
    whole: bool,
}

/// Events as they come.
pub struct EventStream {
    lines: Lines,
}

impl Client {
    /// Imports pieces of NDJSON or CSV as they come; pieces need not end where lines end. `on_line` sees each line of the answer but
    /// the summary, which is returned.
    pub async fn import<S>(
        &self,
        tenant: &str,
        collection: &str,
        options: &ImportOptions,
        source: S,
        on_line: impl FnMut(&ImportLine),
    ) -> Result<ImportSummary, ClientError>
    where
        S: Stream<Item = io::Result<Bytes>>,
    {
        let mut path = format!("/v1/tenants/{tenant}/records/{collection}/import");
        if let Some(field) = &options.upsert {
            push_parameter(&mut path, "upsert", field);
        }
        self.import_to(path, options, source, on_line).await
    }

    /// Reads an export back, as it comes, into collections that are not there or empty. See [`Client::import`].
    pub async fn tenant_import<S>(
        &self,
        tenant: &str,
        import_id: Option<String>,
        source: S,
        on_line: impl FnMut(&ImportLine),
    ) -> Result<ImportSummary, ClientError>
    where
        S: Stream<Item = io::Result<Bytes>>,
    {
        let options = ImportOptions {
            import_id,
            ..ImportOptions::default()
        };
        self.import_to(format!("/v1/tenants/{tenant}/import"), &options, source, on_line)
            .await
    }

    async fn import_to<S>(
        &self,
        path: String,
        options: &ImportOptions,
        source: S,
        mut on_line: impl FnMut(&ImportLine),
    ) -> Result<ImportSummary, ClientError>
    where
        S: Stream<Item = io::Result<Bytes>>,
    {
        let mut call = Call::new(Method::POST, path);
        call = call.body(if options.csv { CSV } else { NDJSON }, Bytes::new());
        if let Some(id) = &options.import_id {
            call = call.header("import-id", id);
        }
        self.upload(&call, source, async |exchange| {
            let mut lines = Lines::new(exchange);
            while let Some(line) = lines.next().await? {
                match parse(&line)? {
                    ImportLine::Summary(summary) => return Ok(summary),
                    other => on_line(&other),
                }
            }
            Err(ClientError::unanswered("the import's answer ended without its summary"))
        })
        .await
    }

    /// Imports NDJSON from a reader. See [`Client::import`].
    pub async fn import_reader<R: AsyncRead + Unpin>(
        &self,
        tenant: &str,
        collection: &str,
        options: &ImportOptions,
        reader: R,
        on_line: impl FnMut(&ImportLine),
    ) -> Result<ImportSummary, ClientError> {
        let pieces = futures_util::stream::unfold(Some(reader), |reader| async move {
            let mut reader = reader?;
            let mut buffer = BytesMut::with_capacity(CHUNK_BYTES);
            match reader.read_buf(&mut buffer).await {
                Ok(0) => None,
                Ok(_) => Some((Ok(buffer.freeze()), Some(reader))),
                Err(error) => Some((Err(error), None)),
            }
        });
        self.import(tenant, collection, options, pieces, on_line).await
    }

    /// Everything that a tenant owns.
    pub async fn export(&self, tenant: &str) -> Result<ExportStream, ClientError> {
        let call = Call::new(Method::GET, format!("/v1/tenants/{tenant}/export"));
        let exchange = self.reading(&call, Duration::ZERO).await?;
        Ok(ExportStream {
            lines: Lines::new(exchange),
            whole: false,
        })
    }

    /// Events after a position.
    pub async fn events(&self, tenant: &str, from: EventsFrom) -> Result<EventStream, ClientError> {
        let mut path = format!("/v1/tenants/{tenant}/events?after={}", from.after);
        if let Some(limit) = from.limit {
            push_parameter(&mut path, "limit", &limit.to_string());
        }
        if !from.wait.is_zero() {
            push_parameter(&mut path, "wait", &from.wait.as_secs().max(1).to_string());
        }
        if from.follow {
            push_parameter(&mut path, "follow", "true");
        }
        if !from.collections.is_empty() {
            push_parameter(&mut path, "collections", &from.collections.join(","));
        }
        for (name, value) in [("record", &from.record), ("filter", &from.filter)] {
            if let Some(value) = value {
                push_parameter(&mut path, name, value);
            }
        }
        if from.with_fields {
            push_parameter(&mut path, "include", "fields");
        }
        let call = Call::new(Method::GET, path).header("accept", NDJSON);
        let exchange = self.reading(&call, from.wait).await?;
        Ok(EventStream {
            lines: Lines::new(exchange),
        })
    }
}

impl ExportStream {
    /// The next line as it was sent; none after the trailer. An end without a trailer is an error.
    pub async fn next_raw(&mut self) -> Result<Option<Bytes>, ClientError> {
        match self.lines.next().await? {
            Some(line) => {
                self.whole = self.whole || line.starts_with(br#"{"kind":"trailer""#);
                Ok(Some(line))
            }
            None if self.whole => Ok(None),
            None => Err(ClientError::unanswered("the export ended without its trailer")),
        }
    }

    /// The next line; none after the trailer. An end without a trailer is an error.
    pub async fn next(&mut self) -> Result<Option<ExportLine>, ClientError> {
        match self.next_raw().await? {
            Some(line) => export_line(&line).map(Some),
            None => Ok(None),
        }
    }
}

impl EventStream {
    /// The same, failing where the server is silent for so long.
    pub(super) fn with_silence(self, silence: Duration) -> Self {
        Self {
            lines: self.lines.with_silence(silence),
        }
    }

    /// The next event; none at the end.
    pub async fn next(&mut self) -> Result<Option<Event>, ClientError> {
        match self.lines.next().await? {
            Some(line) => parse(&line).map(Some),
            None => Ok(None),
        }
    }

    /// The position that the tenant had when the stream began.
    pub fn position(&self) -> Option<u64> {
        self.lines.headers().get("cloudnest-position")?.to_str().ok()?.parse().ok()
    }
}

fn export_line(line: &[u8]) -> Result<ExportLine, ClientError> {
    ExportLine::parse(line).map_err(|error| ClientError::unanswered(format!("read a line of the export: {error}")))
}

fn parse<'a, T: Deserialize<'a>>(line: &'a [u8]) -> Result<T, ClientError> {
    serde_json::from_slice(line).map_err(|error| ClientError::unanswered(format!("read a line of the reply: {error}")))
}
