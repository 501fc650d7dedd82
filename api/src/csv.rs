//! Import as CSV (RFC 4180): the first record names the fields, each further one is a line.
//!
//! Records become JSON objects of texts; who imports them reads each text by the type of its field. A cell that is empty is left out,
//! so that the field's default holds. A record that is too long, has another number of cells than the head, or is not UTF-8, is a line
//! that cannot be read, and the next one goes on.

use std::collections::BTreeSet;

use async_trait::async_trait;
use bytes::{Buf, Bytes};
use csv_core::{ReadRecordResult, Reader};
use serde_json::{Map, Value};

use crate::error::{Code, Error, Result};
use crate::inflate::Pieces;
use crate::limits::IMPORT_LINE_BYTES;
use crate::service::LineSource;

/// Most cells of a record.
const CELLS: usize = 256;
/// What some programs begin a file with.
const BYTE_ORDER_MARK: char = '\u{feff}';

/// The records of a streamed body.
pub(crate) struct CsvLines {
    /// What is still to come; none: nothing.
    pieces: Option<Pieces>,
    /// What has arrived and is not read yet.
    rest: Bytes,
    reader: Reader,
    /// The cells of the record under way, one behind the other, and where each ends.
    text: Vec<u8>,
    ends: Vec<usize>,
    used: usize,
    cells: usize,
    /// The record under way is too long.
    spoilt: bool,
    names: Option<Vec<String>>,
    number: u64,
}

impl CsvLines {
    pub(crate) fn new(pieces: Pieces) -> Self {
        Self {
            pieces: Some(pieces),
            rest: Bytes::new(),
            reader: Reader::new(),
            text: vec![0; IMPORT_LINE_BYTES],
            ends: vec![0; CELLS],
            used: 0,
            cells: 0,
            spoilt: false,
            names: None,
            number: 0,
        }
    }

    /// The cells of the next record; none at the end of the body.
    async fn record(&mut self) -> Result<Option<Result<Vec<String>>>> {
        loop {
            // To the reader, no input is the end of it.
            self.fill().await?;
            let (text, ends) = (&mut self.text[self.used..], &mut self.ends[self.cells..]);
            let (result, read, wrote, ended) = self.reader.read_record(&self.rest, text, ends);
            self.rest.advance(read);
            self.used += wrote;
            self.cells += ended;
            match result {
                ReadRecordResult::InputEmpty => {}
                ReadRecordResult::OutputFull | ReadRecordResult::OutputEndsFull => {
                    self.spoilt = true;
                    self.used = 0;
                    self.cells = 0;
                }
                ReadRecordResult::Record => return Ok(Some(self.take())),
                ReadRecordResult::End => return Ok(None),
            }
        }
    }

    /// Waits for more of the body where nothing is left of what came.
    async fn fill(&mut self) -> Result<()> {
        while let Some(pieces) = &mut self.pieces
            && self.rest.is_empty()
        {
            match pieces.next().await? {
                Some(data) => self.rest = data,
                None => self.pieces = None,
            }
        }
        Ok(())
    }

    /// The record that is complete.
    fn take(&mut self) -> Result<Vec<String>> {
        let cells = std::mem::take(&mut self.cells);
        self.used = 0;
        if std::mem::take(&mut self.spoilt) {
            let detail = format!("the record is longer than {IMPORT_LINE_BYTES} bytes or has more than {CELLS} cells");
            return Err(Error::new(Code::TooLarge, detail));
        }
        let mut start = 0;
        let cell = |end: &usize| {
            let bytes = self.text.get(start..*end).unwrap_or_default().to_vec();
            start = *end;
            String::from_utf8(bytes).map_err(|_| Error::new(Code::MalformedBody, "the record is not UTF-8"))
        };
        self.ends[..cells].iter().map(cell).collect()
    }

    /// Reads the head.
    async fn head(&mut self) -> Result<Option<Vec<String>>> {
        let Some(head) = self.record().await? else {
            return Ok(None);
        };
        let wrong = |why: &str| Error::new(Code::MalformedBody, format!("the first record names the fields: {why}"));
        let mut names = head.map_err(|error| wrong(&error.detail))?;
        if let Some(first) = names.first_mut() {
            *first = first.trim_start_matches(BYTE_ORDER_MARK).to_owned();
        }
        for name in &mut names {
            *name = name.trim().to_owned();
        }
        if names.iter().any(String::is_empty) {
            return Err(wrong("one of them is empty"));
        }
        if names.iter().collect::<BTreeSet<_>>().len() != names.len() {
            return Err(wrong("one of them is there twice"));
        }
        Ok(Some(names))
    }
}

/// A record as a JSON object.
fn object(names: &[String], cells: Vec<String>) -> Result<Bytes> {
    if cells.len() != names.len() {
        let detail = format!("the record has {} cells, the first one has {}", cells.len(), names.len());
        return Err(Error::new(Code::MalformedBody, detail));
    }
    let filled = names.iter().zip(cells).filter(|(_, cell)| !cell.is_empty());
    let object: Map<String, Value> = filled.map(|(name, cell)| (name.clone(), Value::String(cell))).collect();
    serde_json::to_vec(&object)
        .map(Bytes::from)
        .map_err(|error| Error::new(Code::MalformedBody, format!("the record cannot be read: {error}")))
}

#[async_trait]
impl LineSource for CsvLines {
    async fn next(&mut self) -> Result<Option<(u64, Result<Bytes>)>> {
        if self.names.is_none() {
            self.names = self.head().await?;
        }
        let record = self.record().await?;
        let (Some(names), Some(record)) = (&self.names, record) else {
            return Ok(None);
        };
        self.number += 1;
        Ok(Some((self.number, record.and_then(|cells| object(names, cells)))))
    }

    fn are_texts(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::read::RequestBody;

    async fn lines(text: &[u8]) -> Result<Vec<(u64, std::result::Result<String, Code>)>> {
        let body = RequestBody::Kept(Bytes::copy_from_slice(text));
        let mut source = CsvLines::new(Pieces::new(body, false, Duration::from_secs(1)));
        let mut seen = Vec::new();
        while let Some((number, line)) = source.next().await? {
            let line = line.map(|line| String::from_utf8_lossy(&line).into_owned());
            seen.push((number, line.map_err(|error| error.code)));
        }
        Ok(seen)
    }

    #[tokio::test]
    async fn records_become_objects_of_texts() {
        let text = "\u{feff}title, points,note\r\n\"a, \"\"b\"\"\",3,\"two\nlines\"\r\n\nc,,\nd,4,e";
        let expected = [
            r#"{"note":"two\nlines","points":"3","title":"a, \"b\""}"#,
            r#"{"title":"c"}"#,
            r#"{"note":"e","points":"4","title":"d"}"#,
        ];
        let seen = lines(text.as_bytes()).await.expect("a whole body");
        let parsed = |line: &str| serde_json::from_str::<Value>(line).expect("JSON");
        for ((number, line), (place, expected)) in seen.iter().zip((1..).zip(expected)) {
            assert_eq!(*number, place);
            assert_eq!(parsed(line.as_ref().expect("a line")), parsed(expected));
        }
        assert_eq!(seen.len(), expected.len());
    }

    #[tokio::test]
    async fn what_cannot_be_read_stops_nothing_else() {
        let mut text = b"a,b\n1\n2,3,4\n\xff,5\n".to_vec();
        text.extend_from_slice(&vec![b'x'; IMPORT_LINE_BYTES + 10]);
        text.extend_from_slice(b",y\n6,7\n");
        let seen = lines(&text).await.expect("a whole body");
        let codes: Vec<_> = seen
            .iter()
            .map(|(number, line)| (*number, line.as_ref().err().copied()))
            .collect();
        let malformed = Some(Code::MalformedBody);
        assert_eq!(
            codes,
            [
                (1, malformed),
                (2, malformed),
                (3, malformed),
                (4, Some(Code::TooLarge)),
                (5, None)
            ]
        );
    }

    #[tokio::test]
    async fn a_wrong_head_ends_it() {
        for text in ["a,a\n1,2\n", "a,,b\n1,2,3\n"] {
            assert_eq!(lines(text.as_bytes()).await.expect_err(text).code, Code::MalformedBody);
        }
        assert_eq!(lines(b"").await.expect("nothing"), []);
        assert_eq!(lines(b"a,b\n").await.expect("a head alone"), []);
    }
}
