//! Export: everything that a tenant owns, at one position, a line each.

use api::body::import::ExportLine;
use api::error::Error;
use bytes::Bytes;
use storage::{Direction, Snapshot, Space, Table, table};
use uuid::Uuid;

use super::render;
use super::value::RecordRow;
use crate::access::token_row;
use crate::machine::catalog::Catalog;
use crate::machine::reader::decode;
use crate::mutant;
use crate::service::error::internal;

/// The version of the format.
pub(crate) const FORMAT: u32 = 1;
/// About how many bytes go out at a time.
const CHUNK_BYTES: usize = 64 * 1024;

/// Writes an export. `send` answers false when the client has gone. Blocking: runs on a thread of its own.
pub(crate) fn write(
    snapshot: &Snapshot,
    space: Space,
    catalog: &Catalog,
    slug: &str,
    position: u64,
    send: impl FnMut(Bytes) -> bool,
) -> Result<(), Error> {
    let mut out = Lines {
        buffer: Vec::with_capacity(CHUNK_BYTES + 4096),
        send,
        gone: false,
    };
    out.line(&ExportLine::Header {
        format: FORMAT,
        tenant: slug.to_owned(),
        position,
    })?;
    for collection in catalog.iter() {
        out.line(&ExportLine::Collection(collection.to_api(catalog.policy(collection.number))))?;
    }
    for token in token_row::list(snapshot, space)? {
        out.line(&ExportLine::Token(token))?;
    }
    let mut records = 0;
    for collection in catalog.iter() {
        let own = snapshot.scan(table::Record::range(space, collection.number), Direction::Forward);
        for row in mutant::with_a_neighbours(own, snapshot, space, collection.number) {
            let (raw, bytes) = row.map_err(|error| internal(&error))?;
            let key = table::Record::parse(raw.as_bytes()).map_err(|error| internal(&error))?;
            let RecordRow::V1(record) = decode(&key, &bytes).map_err(|fault| internal(&fault))?;
            let body = render::record(collection, Uuid::from_bytes(key.id), &record, None).map_err(|error| internal(&error))?;
            out.line(&ExportLine::Record(body))?;
            records += 1;
            if out.gone {
                return Ok(());
            }
        }
    }
    out.line(&ExportLine::Trailer { records })?;
    out.flush();
    Ok(())
}

/// Lines on their way out.
struct Lines<S> {
    buffer: Vec<u8>,
    send: S,
    gone: bool,
}

impl<S: FnMut(Bytes) -> bool> Lines<S> {
    fn line(&mut self, line: &ExportLine) -> Result<(), Error> {
        serde_json::to_writer(&mut self.buffer, line).map_err(|error| internal(&error))?;
        self.buffer.push(b'\n');
        if self.buffer.len() >= CHUNK_BYTES {
            self.flush();
        }
        Ok(())
    }

    fn flush(&mut self) {
        let chunk = std::mem::replace(&mut self.buffer, Vec::with_capacity(CHUNK_BYTES + 4096));
        if !chunk.is_empty() && !(self.send)(chunk.into()) {
            self.gone = true;
        }
    }
}
