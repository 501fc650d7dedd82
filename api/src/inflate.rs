//! Request bodies that come compressed (`Content-Encoding: gzip`), on every call that takes a body.
//!
//! Whoever sends a kilobyte can mean a megabyte, so what comes out is bounded while it comes out. A body that is read as a whole may
//! be as large decompressed as it might have been plain. A stream has no bound in all, but one in proportion: what people import
//! shrinks to a tenth or a thirtieth, what is made to do harm to a thousandth. Output is made in small pieces, one at a time, and only
//! when it is asked for.
//!
//! A file of several gzip members, as `cat` makes them, is one body.

use std::io::{self, BufRead, Read};
use std::time::Duration;

use bytes::{Buf, Bytes};
use flate2::bufread::MultiGzDecoder;
use http::HeaderMap;
use http::header::CONTENT_ENCODING;
use hyper::body::Incoming;

use crate::error::{Code, Error, Result};
use crate::limits::{INFLATE_FREE_BYTES, INFLATE_RATIO};
use crate::read::{RequestBody, hear_out, timed_piece};

/// What is decompressed at a time, in bytes.
const PIECE_BYTES: usize = 32 * 1024;

/// Whether a body comes compressed. An error: in a way that is not known here.
pub(crate) fn is_gzip(headers: &HeaderMap) -> Result<bool> {
    let mut encodings = headers.get_all(CONTENT_ENCODING).iter();
    let refused = || {
        Error::new(
            Code::UnsupportedMediaType,
            "send the body plain, or with Content-Encoding: gzip",
        )
    };
    let Some(encoding) = encodings.next() else { return Ok(false) };
    let encoding = encoding.to_str().map_err(|_| refused())?.trim();
    if encodings.next().is_some() {
        return Err(refused());
    }
    match encoding.to_ascii_lowercase().as_str() {
        "gzip" | "x-gzip" => Ok(true),
        "identity" | "" => Ok(false),
        _ => Err(refused()),
    }
}

/// A whole body, decompressed to at most `most` bytes.
pub(crate) fn whole(body: Bytes, most: usize) -> Result<Bytes> {
    let mut all = Vec::with_capacity((body.len() * 4).min(most));
    let mut limited = MultiGzDecoder::new(body.reader()).take(most as u64 + 1);
    limited.read_to_end(&mut all).map_err(|error| malformed(&error))?;
    if all.len() > most {
        return Err(Error::new(
            Code::TooLarge,
            format!("the body is larger than {most} bytes when it is decompressed"),
        ));
    }
    Ok(all.into())
}

fn malformed(error: &io::Error) -> Error {
    tracing::debug!(%error, "decompress a request's body");
    Error::new(
        Code::MalformedBody,
        "the body is not well-formed gzip, or not all of it arrived",
    )
}

/// What has arrived of a compressed stream and is not decompressed yet.
#[derive(Debug, Default)]
struct Arrived {
    bytes: Bytes,
    ended: bool,
}

impl Read for Arrived {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let from = self.fill_buf()?;
        let count = from.len().min(into.len());
        into[..count].copy_from_slice(&from[..count]);
        self.consume(count);
        Ok(count)
    }
}

impl BufRead for Arrived {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.bytes.is_empty() && !self.ended {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        Ok(&self.bytes)
    }

    fn consume(&mut self, count: usize) {
        self.bytes.advance(count.min(self.bytes.len()));
    }
}

/// A compressed stream on its way.
struct Inflate {
    decoder: MultiGzDecoder<Arrived>,
    taken: u64,
    given: u64,
}

impl Inflate {
    fn new() -> Self {
        Self {
            decoder: MultiGzDecoder::new(Arrived::default()),
            taken: 0,
            given: 0,
        }
    }

    /// Gives it what has arrived; none: nothing more comes.
    fn feed(&mut self, bytes: Option<Bytes>) {
        let arrived = self.decoder.get_mut();
        match bytes {
            Some(bytes) => {
                self.taken += bytes.len() as u64;
                arrived.bytes = bytes;
            }
            None => arrived.ended = true,
        }
    }

    /// The next piece of what it makes of that; none: it wants more.
    fn next(&mut self) -> Result<Option<Bytes>> {
        let mut piece = vec![0; PIECE_BYTES];
        let count = match self.decoder.read(&mut piece) {
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
            Err(error) => return Err(malformed(&error)),
        };
        self.given += count as u64;
        if self.given > INFLATE_FREE_BYTES.max(self.taken.saturating_mul(INFLATE_RATIO)) {
            let detail = format!("the body grows to more than {INFLATE_RATIO} times its size when it is decompressed");
            return Err(Error::new(Code::TooLarge, detail));
        }
        piece.truncate(count);
        Ok(Some(piece.into()))
    }
}

/// The pieces of a streamed body, decompressed if need be. What is refused before its end is heard out for a while: the system would take the
/// answer back from a client that still sends, together with the connection.
pub(crate) struct Pieces {
    incoming: Option<Incoming>,
    kept: Option<Bytes>,
    inflate: Option<Inflate>,
    idle: Duration,
}

impl Pieces {
    /// The pieces of a body; a pause of more than `idle` ends it.
    pub(crate) fn new(body: RequestBody, gzip: bool, idle: Duration) -> Self {
        let (incoming, kept) = match body {
            RequestBody::Waiting(incoming) => (Some(incoming), None),
            RequestBody::Kept(bytes) => (None, Some(bytes)),
            RequestBody::Gone => (None, None),
        };
        Self {
            incoming,
            kept: kept.filter(|bytes| !bytes.is_empty()),
            inflate: gzip.then(Inflate::new),
            idle,
        }
    }

    /// The next one; none at the end of the body.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>> {
        loop {
            let Some(inflate) = &mut self.inflate else {
                return self.arrive().await;
            };
            match inflate.next()? {
                Some(piece) if piece.is_empty() => return Ok(None),
                Some(piece) => return Ok(Some(piece)),
                None => {}
            }
            let arrived = self.arrive().await?;
            if let Some(inflate) = &mut self.inflate {
                inflate.feed(arrived);
            }
        }
    }

    /// What arrives next.
    async fn arrive(&mut self) -> Result<Option<Bytes>> {
        if let Some(kept) = self.kept.take() {
            return Ok(Some(kept));
        }
        let Some(incoming) = &mut self.incoming else { return Ok(None) };
        let piece = timed_piece(incoming, self.idle).await?;
        if piece.is_none() {
            self.incoming = None;
        }
        Ok(piece)
    }
}

impl Drop for Pieces {
    fn drop(&mut self) {
        if let Some(incoming) = self.incoming.take()
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            runtime.spawn(hear_out(incoming));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::GzEncoder;
    use http::HeaderValue;

    use super::*;

    fn gzip(text: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(text).expect("written");
        encoder.finish().expect("finished")
    }

    /// What comes out of a stream that arrives in pieces of a size.
    fn stream(compressed: &[u8], size: usize) -> Result<Vec<u8>> {
        let mut inflate = Inflate::new();
        let mut pieces = compressed.chunks(size);
        let mut out = Vec::new();
        loop {
            match inflate.next()? {
                Some(piece) if piece.is_empty() => return Ok(out),
                Some(piece) => out.extend_from_slice(&piece),
                None => inflate.feed(pieces.next().map(Bytes::copy_from_slice)),
            }
        }
    }

    #[test]
    fn what_was_compressed_comes_out_however_it_arrives() {
        let text: Vec<u8> = (0..100_000_u32).flat_map(u32::to_le_bytes).collect();
        let (one, two) = (gzip(&text), gzip(b"second member"));
        let both = [one.as_slice(), &two].concat();
        let plain = [text.as_slice(), b"second member"].concat();
        for size in [1, 7, 1_000, both.len()] {
            assert!(stream(&both, size).expect("whole") == plain, "{size}");
        }
        assert!(whole(both.into(), plain.len()).expect("whole") == plain);
        assert_eq!(stream(&gzip(b""), 1).expect("whole"), b"");
    }

    #[test]
    fn what_is_cut_damaged_or_no_gzip_is_malformed() {
        let good = gzip(b"{\"fields\":{}}\n");
        for cut in 0..good.len() {
            let code = |result: Result<()>| result.expect_err("cut").code;
            assert_eq!(code(stream(&good[..cut], 3).map(|_| ())), Code::MalformedBody, "{cut}");
            assert_eq!(
                code(whole(Bytes::copy_from_slice(&good[..cut]), 100).map(|_| ())),
                Code::MalformedBody,
                "{cut}"
            );
        }
        let mut damaged = good.clone();
        *damaged.iter_mut().nth_back(6).expect("a checksum") ^= 1;
        let behind = [good.as_slice(), b"garbage"].concat();
        for bad in [&damaged, &behind, &b"{\"fields\":{}}".to_vec()] {
            assert_eq!(stream(bad, 5).expect_err("refused").code, Code::MalformedBody);
        }
    }

    #[test]
    fn bombs_end_before_they_have_gone_off() {
        let zeros = gzip(&vec![0; 64 * 1024 * 1024]);
        assert_eq!(
            whole(zeros.clone().into(), 1_000_000).expect_err("a bomb").code,
            Code::TooLarge
        );
        for size in [1_000, zeros.len()] {
            assert_eq!(stream(&zeros, size).expect_err("a bomb").code, Code::TooLarge);
        }
        // What only looks like one is let through.
        let lines = b"{\"status\":\"todo\",\"points\":3}\n".repeat(10_000);
        assert_eq!(stream(&gzip(&lines), 100).expect("lines").len(), lines.len());
    }

    #[test]
    fn other_encodings_are_refused() {
        let read = |values: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(CONTENT_ENCODING, HeaderValue::from_static(value));
            }
            is_gzip(&headers).map_err(|error| error.code)
        };
        assert_eq!(
            (read(&[]), read(&["identity"]), read(&["GZip"])),
            (Ok(false), Ok(false), Ok(true))
        );
        for other in [
            &["br"][..],
            &["zstd"],
            &["gzip, gzip"],
            &["gzip", "gzip"],
            &["deflate"],
            &["gzip;q=1"],
        ] {
            assert_eq!(read(other), Err(Code::UnsupportedMediaType), "{other:?}");
        }
    }
}
