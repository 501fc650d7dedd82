//! A small HTTP/1.1 client for load: it writes a request into a buffer, and reads a reply out of one.
//!
//! A general client costs 20 to 40 µs a request; on a machine where loader and replicas share two cores that would be most of
//! what is measured. This one allocates nothing once its buffers have grown, reads only the three headers that frame a body
//! (`content-length`, `transfer-encoding`, `connection`), and hands the body out as a slice.
//!
//! CAVEATS: no TLS, no compression, no trailers beyond skipping them, one request at a time a connection.

mod blocking;
mod connection;
mod parse;

pub use blocking::{get, send, status};
pub use connection::{Connection, ExchangeError, Reply};
pub use parse::{ChunkDecoder, Head, Length, ParseError, find, parse_head};

/// One request, to be written by [`Request::write`].
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// `GET`, `POST`, and so on.
    pub method: &'a str,
    /// Path and query, already encoded.
    pub path: &'a str,
    /// The bearer token; empty: none is sent.
    pub token: &'a str,
    /// Further header lines, each ending with `\r\n`.
    pub headers: &'a str,
    /// The body; empty with GET: no `content-length`.
    pub body: &'a [u8],
}

impl Request<'_> {
    /// Appends the request to `out`.
    pub fn write(&self, out: &mut Vec<u8>) {
        self.write_head(out);
        if !self.body.is_empty() || self.method != "GET" {
            out.extend_from_slice(b"content-type: application/json\r\ncontent-length: ");
            write_number(out, self.body.len());
            out.extend_from_slice(b"\r\n");
        }
        out.extend_from_slice(b"\r\n");
        out.extend_from_slice(self.body);
    }

    /// Appends request line and headers, without the line that ends them.
    pub fn write_head(&self, out: &mut Vec<u8>) {
        for part in [self.method, " ", self.path, " HTTP/1.1\r\nhost: 127.0.0.1\r\n"] {
            out.extend_from_slice(part.as_bytes());
        }
        if !self.token.is_empty() {
            for part in ["authorization: Bearer ", self.token, "\r\n"] {
                out.extend_from_slice(part.as_bytes());
            }
        }
        out.extend_from_slice(self.headers.as_bytes());
    }
}

/// Appends a number in decimal digits.
pub fn write_number(out: &mut Vec<u8>, number: usize) {
    let mut digits = [0u8; 20];
    let mut at = digits.len();
    let mut rest = number;
    loop {
        at -= 1;
        digits[at] = b'0' + u8::try_from(rest % 10).unwrap_or(0);
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_framed() {
        let mut out = Vec::new();
        let request = Request {
            method: "POST",
            path: "/v1/x",
            token: "t",
            headers: "if-match: 3\r\n",
            body: b"{}",
        };
        request.write(&mut out);
        let text = String::from_utf8(out).unwrap();
        assert_eq!(
            text,
            "POST /v1/x HTTP/1.1\r\nhost: 127.0.0.1\r\nauthorization: Bearer t\r\nif-match: 3\r\n\
             content-type: application/json\r\ncontent-length: 2\r\n\r\n{}"
        );
        let mut out = Vec::new();
        Request {
            method: "GET",
            path: "/",
            token: "",
            headers: "",
            body: b"",
        }
        .write(&mut out);
        assert_eq!(out, b"GET / HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n");
    }

    #[test]
    fn numbers_are_decimal() {
        for number in [0, 9, 10, 300, 1_048_576, usize::MAX] {
            let mut out = Vec::new();
            write_number(&mut out, number);
            assert_eq!(out, number.to_string().as_bytes());
        }
    }
}
