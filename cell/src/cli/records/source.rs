//! Where an import's lines come from: a file or standard input, plain or compressed with gzip, read on a thread of its own.
//!
//! A line is a JSON object, or a record of a CSV file, which may have line breaks in its cells. The head of a CSV file is no line: it
//! comes first, as a chunk without lines.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::Context;
use api::limits::IMPORT_LINE_BYTES;
use bytes::Bytes;
use flate2::bufread::MultiGzDecoder;
use tokio::sync::mpsc;

use super::super::Result;
use super::cells::Cells;
use super::failed;
use super::form::Form;
use super::map::{self, Rename};

/// Lines are sent together until they are this long, in bytes.
const CHUNK_BYTES: usize = 64 * 1024;
/// Chunks that wait to be sent. With [`CHUNK_BYTES`]: 1 MiB.
const CHUNKS: usize = 16;
/// A longer line is cut here, in bytes: still too long for the server, which says so under the line's number.
const LINE_BYTES: usize = IMPORT_LINE_BYTES + 1;
/// What a file compressed with gzip begins with.
const GZIP: [u8; 2] = [0x1f, 0x8b];
/// How much is read at a time, in bytes.
const READ_BYTES: usize = 256 * 1024;

/// Whole lines, each with its line break.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Chunk {
    /// The number of the first, from 1.
    pub(super) first: u64,
    /// How many there are: at least 1; 0 for the head of a CSV file.
    pub(super) lines: u64,
    /// The lines.
    pub(super) bytes: Bytes,
    /// Where each of them ends, in bytes of `bytes`.
    pub(super) ends: Vec<u32>,
    /// How many bytes of the file had been read when the last of them was there.
    pub(super) offset: u64,
}

/// Lines of one form.
pub(super) trait Lines {
    /// What comes before the first line, with its line break.
    fn head(&mut self) -> io::Result<Option<Vec<u8>>>;
    /// Appends the next line, with its line break. False: there is none.
    fn next(&mut self, line: &mut Vec<u8>) -> io::Result<bool>;
}

impl Chunk {
    /// A line by its number.
    pub(super) fn line(&self, number: u64) -> Option<Bytes> {
        let place = usize::try_from(number.checked_sub(self.first)?).ok()?;
        let end = usize::try_from(*self.ends.get(place)?).ok()?;
        let start = place.checked_sub(1).map_or(0, |before| self.ends[before]);
        Some(self.bytes.slice(usize::try_from(start).ok()?..end))
    }

    /// The number of the last line.
    pub(super) fn last(&self) -> u64 {
        self.first + self.lines - 1
    }
}

/// A source that is being read.
#[derive(Debug)]
pub(super) struct Source {
    /// The lines, in order; an error ends them.
    pub(super) chunks: mpsc::Receiver<io::Result<Chunk>>,
    /// The length of the file, in bytes, where there is one.
    pub(super) length: Option<u64>,
}

/// Counts what passes.
struct Counting<R> {
    inner: R,
    count: Arc<AtomicU64>,
}

impl<R: Read> Read for Counting<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.count
            .fetch_add(u64::try_from(read).unwrap_or(u64::MAX), Ordering::Relaxed);
        Ok(read)
    }
}

impl Source {
    /// Begins to read a file; `-` is standard input.
    pub(super) fn open(path: &Path, form: Form, renames: Vec<Rename>) -> Result<Self> {
        let (input, length): (Box<dyn Read + Send>, Option<u64>) = if path == Path::new("-") {
            (Box::new(io::stdin()), None)
        } else {
            let file = File::open(path).with_context(|| format!("open {}", path.display()))?;
            let metadata = file.metadata().with_context(|| format!("look at {}", path.display()))?;
            (Box::new(file), metadata.is_file().then_some(metadata.len()))
        };
        Self::read(input, length, form, renames)
    }

    fn read(input: Box<dyn Read + Send>, length: Option<u64>, form: Form, renames: Vec<Rename>) -> Result<Self> {
        let read = Arc::new(AtomicU64::new(0));
        let counting = Counting {
            inner: input,
            count: Arc::clone(&read),
        };
        let (sender, chunks) = mpsc::channel(CHUNKS);
        let work = move || {
            if let Err(error) = send_lines(counting, form, &read, renames, &sender) {
                // A closed channel: the import has ended already.
                let _ = sender.blocking_send(Err(error));
            }
        };
        std::thread::Builder::new()
            .name("import-source".to_owned())
            .spawn(work)
            .context("start a thread")?;
        Ok(Self { chunks, length })
    }
}

fn send_lines(
    input: impl Read + 'static,
    form: Form,
    read: &AtomicU64,
    renames: Vec<Rename>,
    sender: &mpsc::Sender<io::Result<Chunk>>,
) -> io::Result<()> {
    let mut plain = BufReader::with_capacity(READ_BYTES, input);
    let compressed = plain.fill_buf()?.starts_with(&GZIP);
    let reader: Box<dyn BufRead> = if compressed {
        Box::new(BufReader::with_capacity(READ_BYTES, MultiGzDecoder::new(plain)))
    } else {
        Box::new(plain)
    };
    let mut lines: Box<dyn Lines> = match form {
        Form::Jsonl => Box::new(Objects {
            reader,
            renames,
            line: Vec::new(),
        }),
        Form::Csv => Box::new(Cells::new(reader, renames)),
    };
    let send = |first: u64, bytes: Vec<u8>, ends: Vec<u32>| {
        let chunk = Chunk {
            first,
            lines: ends.len() as u64,
            bytes: bytes.into(),
            ends,
            offset: read.load(Ordering::Relaxed),
        };
        sender.blocking_send(Ok(chunk)).is_ok()
    };
    if let Some(head) = lines.head()?
        && !send(0, head, Vec::new())
    {
        return Ok(());
    }
    let (mut pending, mut ends, mut first) = (Vec::new(), Vec::new(), 1_u64);
    loop {
        let more = lines.next(&mut pending)?;
        if more {
            ends.push(u32::try_from(pending.len()).map_err(io::Error::other)?);
        }
        if !ends.is_empty() && (pending.len() >= CHUNK_BYTES || !more) {
            let next = first + ends.len() as u64;
            if !send(first, std::mem::take(&mut pending), std::mem::take(&mut ends)) {
                return Ok(());
            }
            first = next;
        }
        if !more {
            return Ok(());
        }
    }
}

/// A JSON object a line.
struct Objects {
    reader: Box<dyn BufRead>,
    renames: Vec<Rename>,
    line: Vec<u8>,
}

impl Lines for Objects {
    fn head(&mut self) -> io::Result<Option<Vec<u8>>> {
        Ok(None)
    }

    fn next(&mut self, line: &mut Vec<u8>) -> io::Result<bool> {
        if !next_line(&mut self.reader, &mut self.line)? {
            return Ok(false);
        }
        let mended = failed::mended(&self.line);
        line.extend_from_slice(&map::apply(&self.renames, &mended));
        line.push(b'\n');
        Ok(true)
    }
}

/// Reads a line without its line break, cut at [`LINE_BYTES`]. False: there is none.
fn next_line(reader: &mut impl BufRead, line: &mut Vec<u8>) -> io::Result<bool> {
    line.clear();
    let mut any = false;
    loop {
        let buffer = match reader.fill_buf() {
            Ok(buffer) => buffer,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        if buffer.is_empty() {
            return Ok(any);
        }
        any = true;
        let end = buffer.iter().position(|byte| *byte == b'\n');
        let piece = &buffer[..end.unwrap_or(buffer.len())];
        let room = LINE_BYTES - line.len();
        line.extend_from_slice(&piece[..piece.len().min(room)]);
        let used = end.map_or(buffer.len(), |end| end + 1);
        reader.consume(used);
        if end.is_some() {
            return Ok(true);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn chunks_of(bytes: &[u8], maps: &[&str]) -> Vec<Chunk> {
        let renames = maps.iter().map(|map| map.parse().expect("a rename")).collect();
        let mut source = Source::read(Box::new(io::Cursor::new(bytes.to_vec())), None, Form::Jsonl, renames).expect("a source");
        let mut chunks = Vec::new();
        while let Some(chunk) = source.chunks.blocking_recv() {
            chunks.push(chunk.expect("a chunk"));
        }
        let read = u64::try_from(bytes.len()).expect("short");
        assert!(chunks.last().is_none_or(|chunk: &Chunk| chunk.offset == read));
        chunks
    }

    #[test]
    fn lines_keep_their_numbers_empty_ones_too() {
        let chunks = chunks_of(b"{\"a\":1}\n\n{\"a\":2}", &["b=a"]);
        assert_eq!(chunks.len(), 1);
        assert_eq!((chunks[0].first, chunks[0].lines, chunks[0].last()), (1, 3, 3));
        assert_eq!(&chunks[0].bytes[..], b"{\"b\":1}\n\n{\"b\":2}\n");
        assert_eq!(chunks[0].line(3).as_deref(), Some(&b"{\"b\":2}\n"[..]));
        assert_eq!((chunks[0].line(2).as_deref(), chunks[0].line(4)), (Some(&b"\n"[..]), None));
        assert!(chunks_of(b"", &[]).is_empty());
    }

    #[test]
    fn the_head_of_a_csv_file_is_no_line() {
        let text = b"a,b\n1,\"two\nlines\"\n3,4\n".to_vec();
        let mut source = Source::read(Box::new(io::Cursor::new(text)), None, Form::Csv, Vec::new()).expect("a source");
        let head = source.chunks.blocking_recv().expect("a head").expect("a head");
        assert_eq!((head.first, head.lines, &head.bytes[..]), (0, 0, &b"a,b\n"[..]));
        let chunk = source.chunks.blocking_recv().expect("a chunk").expect("a chunk");
        assert_eq!(
            (chunk.first, chunk.lines, chunk.line(2).as_deref()),
            (1, 2, Some(&b"3,4\n"[..]))
        );
        assert!(source.chunks.blocking_recv().is_none());
    }

    #[test]
    fn gzip_is_known_by_its_first_bytes_and_may_have_several_members() {
        let pack = |text: &[u8]| {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            encoder.write_all(text).expect("packed");
            encoder.finish().expect("packed")
        };
        let both = [pack(b"one\ntwo\n"), pack(b"three\n")].concat();
        assert_eq!(&chunks_of(&both, &[])[0].bytes[..], b"one\ntwo\nthree\n");
    }

    #[test]
    fn many_lines_come_in_chunks_and_too_long_ones_are_cut() {
        let text: String = (1..=20_000).map(|line| format!("{{\"n\":{line}}}\n")).collect();
        let chunks = chunks_of(text.as_bytes(), &[]);
        assert!(chunks.len() > 2);
        assert!(chunks.windows(2).all(|pair| pair[0].last() + 1 == pair[1].first));
        assert_eq!(chunks.last().expect("one").last(), 20_000);
        let long = vec![b'x'; 3 * LINE_BYTES];
        assert_eq!(chunks_of(&[&long[..], b"\nnext\n"].concat(), &[])[0].lines, 1);
        assert_eq!(chunks_of(&long, &[])[0].bytes.len(), LINE_BYTES + 1);
    }

    #[test]
    fn damaged_gzip_is_an_error_and_not_an_end() {
        let mut source = Source::read(
            Box::new(io::Cursor::new(vec![0x1f, 0x8b, 8, 0, 1, 2, 3])),
            None,
            Form::Jsonl,
            Vec::new(),
        )
        .expect("a source");
        let mut last = None;
        while let Some(chunk) = source.chunks.blocking_recv() {
            last = Some(chunk);
        }
        assert!(matches!(last, Some(Err(_))));
    }
}
