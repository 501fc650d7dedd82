//! Reading a reply: its head, and the chunks of its body.

/// How a body is framed (RFC 9112, 6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Length {
    /// So many bytes.
    Fixed(usize),
    /// In chunks, to be decoded by [`ChunkDecoder`].
    Chunked,
    /// Until the connection closes.
    Close,
}

/// What a reply's head says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// The status code.
    pub status: u16,
    /// How the body is framed.
    pub length: Length,
    /// Whether the connection can be used again after it.
    pub keep_alive: bool,
    /// Bytes of the head, the empty line included.
    pub bytes: usize,
}

/// The reply is not HTTP/1.1 as this client understands it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParseError(pub &'static str);

impl std::fmt::Display for ParseError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for ParseError {}

/// Largest head that is read, in bytes.
const HEAD_BYTES: usize = 32 * 1024;

/// Where `needle` begins in `hay`.
pub fn find(hay: &[u8], needle: &[u8]) -> Option<usize> {
    let first = *needle.first()?;
    let last = hay.len().checked_sub(needle.len())?;
    let mut at = 0;
    while at <= last {
        at += hay[at..=last].iter().position(|byte| *byte == first)?;
        if hay[at..].starts_with(needle) {
            return Some(at);
        }
        at += 1;
    }
    None
}

/// The head at the start of `bytes`; `None` while it is not complete.
pub fn parse_head(bytes: &[u8]) -> Result<Option<Head>, ParseError> {
    let Some(end) = find(bytes, b"\r\n\r\n") else {
        return if bytes.len() > HEAD_BYTES {
            Err(ParseError("the head is too large"))
        } else {
            Ok(None)
        };
    };
    let mut lines = bytes[..end].split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii_end);
    let status = parse_status(lines.next().unwrap_or_default())?;
    let mut length = if status == 204 || status == 304 || status / 100 == 1 {
        Length::Fixed(0)
    } else {
        Length::Close
    };
    let mut keep_alive = true;
    for line in lines {
        let colon = line
            .iter()
            .position(|byte| *byte == b':')
            .ok_or(ParseError("a header has no colon"))?;
        let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
        if name.eq_ignore_ascii_case(b"content-length") {
            length = Length::Fixed(parse_decimal(value).ok_or(ParseError("content-length is not a number"))?);
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
            if !value.eq_ignore_ascii_case(b"chunked") {
                return Err(ParseError("the transfer encoding is not chunked"));
            }
            length = Length::Chunked;
        } else if name.eq_ignore_ascii_case(b"connection") && value.eq_ignore_ascii_case(b"close") {
            keep_alive = false;
        }
    }
    keep_alive &= length != Length::Close;
    Ok(Some(Head {
        status,
        length,
        keep_alive,
        bytes: end + 4,
    }))
}

fn parse_status(line: &[u8]) -> Result<u16, ParseError> {
    let rest = line
        .strip_prefix(b"HTTP/1.1 ")
        .ok_or(ParseError("the reply is not HTTP/1.1"))?;
    let digits = rest.get(..3).ok_or(ParseError("the status line is too short"))?;
    let status = parse_decimal(digits).ok_or(ParseError("the status is not a number"))?;
    u16::try_from(status).map_err(|_| ParseError("the status is not a number"))
}

fn parse_decimal(digits: &[u8]) -> Option<usize> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0usize, |number, digit| {
        let digit = digit.is_ascii_digit().then(|| usize::from(digit - b'0'))?;
        number.checked_mul(10)?.checked_add(digit)
    })
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expect {
    /// The line with a chunk's size.
    Size,
    /// So many bytes of a chunk.
    Data(usize),
    /// The line break after a chunk.
    Break,
    /// Trailer lines, up to the empty one.
    Trailer,
    /// Nothing: the body is complete.
    End,
}

/// Takes a chunked body apart, however it is cut into reads.
#[derive(Debug)]
pub struct ChunkDecoder {
    expect: Expect,
}

impl Default for ChunkDecoder {
    fn default() -> Self {
        Self { expect: Expect::Size }
    }
}

impl ChunkDecoder {
    /// Appends what `input` holds of the body to `out` and returns how many bytes of it were used; the rest must be passed
    /// again with more behind it.
    pub fn decode(&mut self, input: &[u8], out: &mut Vec<u8>) -> Result<usize, ParseError> {
        let mut used = 0;
        while !self.is_done() {
            let rest = &input[used..];
            if let Expect::Data(missing) = self.expect {
                let take = missing.min(rest.len());
                out.extend_from_slice(&rest[..take]);
                used += take;
                if take < missing {
                    self.expect = Expect::Data(missing - take);
                    break;
                }
                self.expect = Expect::Break;
                continue;
            }
            let Some(end) = find(rest, b"\r\n") else { break };
            self.line(&rest[..end])?;
            used += end + 2;
        }
        Ok(used)
    }

    /// Whether the last chunk was seen.
    pub fn is_done(&self) -> bool {
        self.expect == Expect::End
    }

    fn line(&mut self, line: &[u8]) -> Result<(), ParseError> {
        self.expect = match self.expect {
            Expect::Size => match parse_size(line)? {
                0 => Expect::Trailer,
                size => Expect::Data(size),
            },
            Expect::Break if line.is_empty() => Expect::Size,
            Expect::Break => return Err(ParseError("a chunk is longer than its size")),
            Expect::Trailer if line.is_empty() => Expect::End,
            other => other,
        };
        Ok(())
    }
}

fn parse_size(line: &[u8]) -> Result<usize, ParseError> {
    let digits = line.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
    let text = std::str::from_utf8(digits).map_err(|_| ParseError("a chunk's size is not a number"))?;
    usize::from_str_radix(text, 16).map_err(|_| ParseError("a chunk's size is not a number"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_read_once_it_is_complete() {
        let reply = b"HTTP/1.1 201 Created\r\nContent-Length: 12\r\nx: y\r\n\r\nbody";
        for cut in 0..reply.len() - 4 {
            assert_eq!(parse_head(&reply[..cut]).unwrap(), None, "cut at {cut}");
        }
        let head = parse_head(reply).unwrap().unwrap();
        assert_eq!(
            head,
            Head {
                status: 201,
                length: Length::Fixed(12),
                keep_alive: true,
                bytes: reply.len() - 4
            }
        );
    }

    #[test]
    fn framing_follows_the_headers() {
        let head = |text: &str| parse_head(text.as_bytes()).unwrap().unwrap();
        assert_eq!(head("HTTP/1.1 204 No Content\r\n\r\n").length, Length::Fixed(0));
        assert_eq!(
            head("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").length,
            Length::Chunked
        );
        let close = head("HTTP/1.1 200 OK\r\n\r\n");
        assert_eq!((close.length, close.keep_alive), (Length::Close, false));
        assert!(!head("HTTP/1.1 200 OK\r\ncontent-length: 1\r\nConnection: close\r\n\r\n").keep_alive);
    }

    #[test]
    fn nonsense_is_refused() {
        for bad in [
            "HTTP/1.0 200 OK\r\n\r\n",
            "HTTP/1.1 2x0 OK\r\n\r\n",
            "HTTP/1.1 20\r\n\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: 99999999999999999999999\r\n\r\n",
            "HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        ] {
            assert!(parse_head(bad.as_bytes()).is_err(), "{bad:?} must be refused");
        }
        assert!(parse_head(&vec![b'a'; HEAD_BYTES + 1]).is_err());
    }

    #[test]
    fn chunks_decode_the_same_however_they_are_cut() {
        let body = b"5\r\nhello\r\n1;ext=1\r\n \r\nA\r\n0123456789\r\n0\r\nx: y\r\n\r\nnext";
        for step in 1..body.len() {
            let (mut decoder, mut out, mut pending) = (ChunkDecoder::default(), Vec::new(), Vec::new());
            for part in body.chunks(step) {
                pending.extend_from_slice(part);
                let used = decoder.decode(&pending, &mut out).unwrap();
                pending.drain(..used);
            }
            assert!(decoder.is_done());
            assert_eq!(out, b"hello 0123456789", "step {step}");
            assert_eq!(pending, b"next", "step {step}");
        }
    }

    #[test]
    fn a_wrong_chunk_is_refused() {
        for bad in [&b"x\r\n"[..], b"1\r\nab\r\n", b"-1\r\n"] {
            assert!(ChunkDecoder::default().decode(bad, &mut Vec::new()).is_err());
        }
    }

    #[test]
    fn find_finds_the_first() {
        assert_eq!(find(b"aab", b"ab"), Some(1));
        assert_eq!(find(b"abcabc", b"bc"), Some(1));
        assert_eq!(find(b"ab", b"abc"), None);
        assert_eq!(find(b"", b"a"), None);
    }
}
