//! Where an import's lines come from: a file or standard input, plain or compressed with gzip, read on a thread of its own.

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
pub(in crate::cli) struct Chunk {
    /// The number of the first, from 1.
    pub(super) first: u64,
    /// How many there are: at least 1.
    pub(super) lines: u64,
    /// The lines.
    pub(in crate::cli) bytes: Bytes,
    /// How many bytes of the file had been read when the last of them was there.
    pub(super) offset: u64,
}

impl Chunk {
    /// The number of the last line.
    pub(super) fn last(&self) -> u64 {
        self.first + self.lines - 1
    }
}

/// A source that is being read.
#[derive(Debug)]
pub(in crate::cli) struct Source {
    /// The lines, in order; an error ends them.
    pub(in crate::cli) chunks: mpsc::Receiver<io::Result<Chunk>>,
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
    pub(in crate::cli) fn open(path: &Path, renames: Vec<Rename>) -> Result<Self> {
        let (input, length): (Box<dyn Read + Send>, Option<u64>) = if path == Path::new("-") {
            (Box::new(io::stdin()), None)
        } else {
            let file = File::open(path).with_context(|| format!("open {}", path.display()))?;
            let metadata = file.metadata().with_context(|| format!("look at {}", path.display()))?;
            (Box::new(file), metadata.is_file().then_some(metadata.len()))
        };
        Self::read(input, length, renames)
    }

    fn read(input: Box<dyn Read + Send>, length: Option<u64>, renames: Vec<Rename>) -> Result<Self> {
        let read = Arc::new(AtomicU64::new(0));
        let counting = Counting {
            inner: input,
            count: Arc::clone(&read),
        };
        let (sender, chunks) = mpsc::channel(CHUNKS);
        let work = move || {
            if let Err(error) = send_lines(counting, &read, &renames, &sender) {
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
    input: impl Read,
    read: &AtomicU64,
    renames: &[Rename],
    sender: &mpsc::Sender<io::Result<Chunk>>,
) -> io::Result<()> {
    let mut plain = BufReader::with_capacity(READ_BYTES, input);
    let compressed = plain.fill_buf()?.starts_with(&GZIP);
    let mut reader: Box<dyn BufRead> = if compressed {
        Box::new(BufReader::with_capacity(READ_BYTES, MultiGzDecoder::new(plain)))
    } else {
        Box::new(plain)
    };
    let (mut line, mut pending, mut lines, mut first) = (Vec::new(), Vec::new(), 0_u64, 1_u64);
    loop {
        let more = next_line(&mut reader, &mut line)?;
        if more {
            pending.extend_from_slice(&map::apply(renames, &line));
            pending.push(b'\n');
            lines += 1;
        }
        if lines > 0 && (pending.len() >= CHUNK_BYTES || !more) {
            let chunk = Chunk {
                first,
                lines,
                bytes: std::mem::take(&mut pending).into(),
                offset: read.load(Ordering::Relaxed),
            };
            first += std::mem::take(&mut lines);
            if sender.blocking_send(Ok(chunk)).is_err() {
                return Ok(());
            }
        }
        if !more {
            return Ok(());
        }
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
        let mut source = Source::read(Box::new(io::Cursor::new(bytes.to_vec())), None, renames).expect("a source");
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
        assert!(chunks_of(b"", &[]).is_empty());
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
        let mut source =
            Source::read(Box::new(io::Cursor::new(vec![0x1f, 0x8b, 8, 0, 1, 2, 3])), None, Vec::new()).expect("a source");
        let mut last = None;
        while let Some(chunk) = source.chunks.blocking_recv() {
            last = Some(chunk);
        }
        assert!(matches!(last, Some(Err(_))));
    }
}
