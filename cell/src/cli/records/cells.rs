//! Records of a CSV file (RFC 4180), each written down again in one form, so that what comes after need not look for quotes.
//!
//! The head loses and renames columns as `--map` says, and the records lose the same cells. A record that is too long, or that has
//! another number of cells than the head, still is too long or has another number: the server says so under its number, and all that
//! is known here about the schema is nothing.

use std::collections::BTreeSet;
use std::io::{self, BufRead};

use api::limits::IMPORT_LINE_BYTES;
use csv_core::{ReadRecordResult, Reader};

use super::failed;
use super::map::Rename;
use super::source::Lines;

/// Most cells of a record: what the server takes, and one more for it to refuse.
const CELLS: usize = 257;
/// What some programs begin a file with.
const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

/// The records of a CSV file.
pub(super) struct Cells<R> {
    input: R,
    reader: Reader,
    /// The cells of the record under way, one behind the other, and where each ends.
    text: Vec<u8>,
    ends: Vec<usize>,
    used: usize,
    cells: usize,
    spoilt: bool,
    renames: Vec<Rename>,
    /// Whether a column is left out; none before the head was read.
    left_out: Option<Vec<bool>>,
}

impl<R: BufRead> Cells<R> {
    pub(super) fn new(input: R, renames: Vec<Rename>) -> Self {
        Self {
            input,
            reader: Reader::new(),
            text: vec![0; IMPORT_LINE_BYTES + 1],
            ends: vec![0; CELLS],
            used: 0,
            cells: 0,
            spoilt: false,
            renames,
            left_out: None,
        }
    }

    /// Reads the next record into `text` and `ends`. False: there is none.
    fn read(&mut self) -> io::Result<bool> {
        (self.used, self.cells, self.spoilt) = (0, 0, false);
        loop {
            let buffer = match self.input.fill_buf() {
                Ok(buffer) => buffer,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            let (text, ends) = (&mut self.text[self.used..], &mut self.ends[self.cells..]);
            // To the reader, no input is the end of it.
            let (result, read, wrote, ended) = self.reader.read_record(buffer, text, ends);
            self.input.consume(read);
            self.used += wrote;
            self.cells += ended;
            match result {
                ReadRecordResult::InputEmpty => {}
                ReadRecordResult::OutputFull | ReadRecordResult::OutputEndsFull => {
                    (self.used, self.cells, self.spoilt) = (0, 0, true);
                }
                ReadRecordResult::Record => return Ok(true),
                ReadRecordResult::End => return Ok(false),
            }
        }
    }

    /// The cells of the record that was read.
    fn taken(&self) -> impl Iterator<Item = &[u8]> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        let ends = self.ends.iter().copied();
        starts.zip(ends).take(self.cells).map(|(start, end)| &self.text[start..end])
    }

    /// The head as it is sent.
    fn head(&mut self) -> io::Result<Option<Vec<u8>>> {
        if !self.read()? {
            return Ok(None);
        }
        let names: Vec<String> = self
            .taken()
            .map(|cell| {
                let cell = cell.strip_prefix(BYTE_ORDER_MARK).unwrap_or(cell);
                String::from_utf8_lossy(cell).trim().to_owned()
            })
            .collect();
        let known: BTreeSet<&str> = names.iter().map(String::as_str).collect();
        if let Some(rename) = self.renames.iter().find(|rename| !known.contains(rename.source())) {
            let has = names.join(", ");
            let message = format!("there is no column {:?} for --map; the file has {has}", rename.source());
            return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
        }
        let sources: BTreeSet<&str> = self.renames.iter().map(Rename::source).collect();
        if sources.len() < self.renames.len() {
            let message = "a column of a CSV file can become one field only: --map names one twice";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
        }
        let renamed: Vec<&str> = names.iter().map(|name| self.renamed(name)).collect();
        let left_out =
            |(name, field): (&String, &&str)| failed::COLUMNS.contains(&name.as_str()) || (field.is_empty() && !name.is_empty());
        let left_out: Vec<bool> = names.iter().zip(&renamed).map(left_out).collect();
        let kept = renamed.iter().zip(&left_out).filter(|(_, left_out)| !**left_out);
        let mut line = Vec::new();
        write_record(kept.map(|(name, _)| name.as_bytes()), &mut line);
        self.left_out = Some(left_out);
        Ok(Some(line))
    }

    fn renamed<'n>(&'n self, name: &'n str) -> &'n str {
        let rename = self.renames.iter().find(|rename| rename.source() == name);
        rename.map_or(name, Rename::field)
    }
}

impl<R: BufRead> Lines for Cells<R> {
    fn head(&mut self) -> io::Result<Option<Vec<u8>>> {
        Self::head(self)
    }

    fn next(&mut self, line: &mut Vec<u8>) -> io::Result<bool> {
        if !self.read()? {
            return Ok(false);
        }
        if self.spoilt {
            // More cells than the server takes: it says of this one, too, that it is too large.
            line.extend(std::iter::repeat_n(b',', CELLS));
            line.push(b'\n');
            return Ok(true);
        }
        let left_out = self.left_out.as_deref().unwrap_or_default();
        let kept = self
            .taken()
            .enumerate()
            .filter(|(place, _)| !left_out.get(*place).copied().unwrap_or(false));
        write_record(kept.map(|(_, cell)| cell), line);
        Ok(true)
    }
}

/// Writes a record, with quotes where they are needed.
pub(super) fn write_record<'c>(cells: impl Iterator<Item = &'c [u8]>, line: &mut Vec<u8>) {
    let start = line.len();
    for (place, cell) in cells.enumerate() {
        if place > 0 {
            line.push(b',');
        }
        if !cell.iter().any(|byte| matches!(byte, b',' | b'"' | b'\r' | b'\n')) {
            line.extend_from_slice(cell);
            continue;
        }
        line.push(b'"');
        for byte in cell {
            if *byte == b'"' {
                line.push(b'"');
            }
            line.push(*byte);
        }
        line.push(b'"');
    }
    if line.len() == start {
        // A record of one empty cell: an empty line would be none.
        line.extend_from_slice(b"\"\"");
    }
    line.push(b'\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rewritten(text: &[u8], maps: &[&str]) -> io::Result<(String, Vec<String>)> {
        let renames = maps.iter().map(|map| map.parse().expect("a rename")).collect();
        let mut cells = Cells::new(io::BufReader::with_capacity(7, text), renames);
        let head = cells.head()?.unwrap_or_default();
        let mut lines = Vec::new();
        let mut line = Vec::new();
        while cells.next(&mut line)? {
            lines.push(String::from_utf8_lossy(&std::mem::take(&mut line)).into_owned());
        }
        Ok((String::from_utf8_lossy(&head).into_owned(), lines))
    }

    #[test]
    fn records_keep_their_cells() {
        let text = "\u{feff}title, note\r\n\"a, \"\"b\"\"\",\"two\nlines\"\r\n\nc,\n\"\",d";
        let (head, lines) = rewritten(text.as_bytes(), &[]).expect("records");
        assert_eq!(head, "title,note\n");
        assert_eq!(lines, ["\"a, \"\"b\"\"\",\"two\nlines\"\n", "c,\n", ",d\n"]);
        assert_eq!(rewritten(b"a\n\"\"\n", &[]).expect("records").1, ["\"\"\n"]);
        assert_eq!(rewritten(b"", &[]).expect("nothing"), (String::new(), Vec::new()));
    }

    #[test]
    fn columns_are_renamed_and_left_out() {
        let text = b"summary,secret,points\nx,1,2\nragged,1\nlong,1,2,3\n";
        let (head, lines) = rewritten(text, &["title=summary", "=secret"]).expect("records");
        assert_eq!(head, "title,points\n");
        assert_eq!(
            lines,
            ["x,2\n", "ragged\n", "long,2,3\n"],
            "a wrong number of cells stays wrong"
        );
        let error = rewritten(text, &["title=sumary"]).expect_err("no such column");
        assert!(
            error.to_string().contains("\"sumary\"") && error.to_string().contains("summary, secret"),
            "{error}"
        );
        rewritten(text, &["a=points", "b=points"]).expect_err("one column for two fields");
        let (head, _) = rewritten(b"a,b\n", &["a=b", "b=a"]).expect("records");
        assert_eq!(head, "b,a\n");
    }

    #[test]
    fn a_record_that_is_too_long_stays_one_that_is_refused() {
        let mut text = b"a,b\n".to_vec();
        text.extend_from_slice(&vec![b'x'; IMPORT_LINE_BYTES + 10]);
        text.extend_from_slice(b",y\n1,2\n");
        let (_, lines) = rewritten(&text, &[]).expect("records");
        assert_eq!(lines.len(), 2);
        assert!(lines[0].matches(',').count() >= 256 && lines[1] == "1,2\n");
    }
}
