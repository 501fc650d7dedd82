//! Lines of an archive that become one command: read one by one, and put under way as far as the plan has room for them.

use api::body::import::{ExportLine, ImportFailure};
use api::error::{Code, Error, Result};
use storage::{Snapshot, Space};

use super::pipeline::{Pipeline, failure};
use crate::machine::catalog::Catalog;
use crate::records::import_lines::CHUNK_BYTES;
use crate::records::restore_lines::{ArchivedRecord, RecordsRestore, growth_of, read};

/// What is read so far of the records.
#[derive(Default)]
pub(super) struct Chunk {
    records: Vec<ArchivedRecord>,
    failures: Vec<ImportFailure>,
    bytes: usize,
    lines: usize,
    last: u64,
}

impl Chunk {
    /// Nothing, after a line.
    pub(super) fn after(last: u64) -> Self {
        Self { last, ..Self::default() }
    }

    /// Takes the next line.
    pub(super) fn take(&mut self, catalog: &Catalog, number: u64, parsed: Result<(usize, ExportLine)>) {
        self.lines += 1;
        self.last = number;
        let archived = match parsed {
            Ok((bytes, ExportLine::Record(body))) => {
                self.bytes += bytes;
                let missing = || Error::new(Code::NotFound, format!("there is no collection {:?}", body.collection));
                let collection = catalog.named(&body.collection).ok_or_else(missing);
                collection.and_then(|collection| read(collection, number, &body))
            }
            // Its secret is not here, and nobody could use it.
            Ok((_, ExportLine::Token(_))) => return,
            Ok(_) => Err(Error::new(Code::MalformedBody, "is out of its place")),
            Err(error) => Err(error),
        };
        match archived {
            Ok(record) => self.records.push(record),
            Err(error) => self.failures.push(failure(number, &error)),
        }
    }

    /// Whether it is enough for a command of so many lines at most.
    pub(super) fn is_full(&self, most: usize) -> bool {
        self.lines >= most || self.bytes >= CHUNK_BYTES
    }

    /// What comes before a line, whose record is at this place, and the rest.
    fn split(mut self, at: usize, line: u64) -> (Self, Self) {
        let records = self.records.split_off(at);
        let (failures, later) = self.failures.into_iter().partition(|failure| failure.line < line);
        let fits = Self {
            records: self.records,
            failures,
            last: line.saturating_sub(1),
            ..Self::default()
        };
        let rest = Self {
            records,
            failures: later,
            last: self.last,
            ..Self::default()
        };
        (fits.counted(), rest.counted())
    }

    /// Lines that were passed over need no command.
    fn counted(mut self) -> Self {
        self.lines = self.records.len() + self.failures.len();
        self
    }
}

/// One line of an export.
pub(super) fn parse(text: &[u8]) -> Result<ExportLine> {
    ExportLine::parse(text).map_err(|error| Error::new(Code::MalformedBody, format!("not a line of an export: {error}")))
}

/// Puts records under way, as far as there is room for them. With the first that there is none for the import ends: what comes before it is
/// stored, and the checkpoint stands before it.
pub(super) async fn send(pipeline: &mut Pipeline<'_>, mut chunk: Chunk) -> Result<()> {
    let space = Space(pipeline.ctx.placement.uid);
    let grows = |snapshot: &Snapshot, archived: &ArchivedRecord| growth_of(snapshot, space, archived);
    while let Some((at, error)) = pipeline.first_beyond(&chunk.records, grows).await? {
        let line = chunk.records.get(at).map_or(chunk.last, |archived| archived.line);
        let (fits, rest) = chunk.split(at, line);
        put(pipeline, fits).await?;
        if at == 0 {
            return pipeline.end_before(line, error).await;
        }
        chunk = rest;
    }
    put(pipeline, chunk).await
}

async fn put(pipeline: &mut Pipeline<'_>, chunk: Chunk) -> Result<()> {
    if chunk.lines == 0 {
        return Ok(());
    }
    let records = chunk.records.len();
    let command = RecordsRestore {
        import: pipeline.key,
        after: pipeline.sent,
        last: chunk.last,
        records: chunk.records,
        refused: chunk.failures.len() as u64,
    };
    pipeline.send(command, chunk.last, records, chunk.failures).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::stage::Stage;

    #[test]
    fn what_fits_is_told_from_the_rest_with_its_failures() {
        let stage = Stage::with_template("workspace");
        let catalog = stage.catalog();
        let record = |number: u64| {
            let line = format!(
                r#"{{"kind":"record","collection":"tasks","id":"{}","version":1,"created_at":"2026-01-02T03:04:05Z",
                "updated_at":"2026-01-02T03:04:05Z","created_by":"system","fields":{{"title":"one"}}}}"#,
                uuid::Uuid::from_u128(number.into())
            );
            parse(line.as_bytes()).map(|parsed| (line.len(), parsed))
        };
        let mut chunk = Chunk::after(10);
        for number in 11..=16 {
            let parsed = match number {
                12 | 15 => Err(Error::new(Code::MalformedBody, "is none")),
                number => record(number),
            };
            chunk.take(&catalog, number, parsed);
        }
        // Records are of the lines 11, 13, 14 and 16.
        let (fits, rest) = chunk.split(2, 14);
        let lines = |chunk: &Chunk| {
            let records: Vec<u64> = chunk.records.iter().map(|record| record.line).collect();
            let failures: Vec<u64> = chunk.failures.iter().map(|failure| failure.line).collect();
            (records, failures, chunk.lines, chunk.last)
        };
        assert_eq!(lines(&fits), (vec![11, 13], vec![12], 3, 13));
        assert_eq!(lines(&rest), (vec![14, 16], vec![15], 3, 16));
        let (none, all) = rest.split(0, 14);
        assert_eq!(lines(&none), (Vec::new(), Vec::new(), 0, 13));
        assert_eq!(lines(&all), (vec![14, 16], vec![15], 3, 16));
    }
}
