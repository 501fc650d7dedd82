//! One request without a runtime, for readiness, samples, and what is asked for beside a load.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::Request;
use super::parse::{ChunkDecoder, Length, parse_head};

/// Largest reply, in bytes.
const REPLY_BYTES: u64 = 64 * 1024 * 1024;

/// The body of `GET path`, which must answer 200.
pub fn get(address: SocketAddr, path: &str, token: &str, timeout: Duration) -> Result<Vec<u8>> {
    match status(address, path, token, timeout)? {
        (200, body) => Ok(body),
        (status, body) => bail!("GET {path}: {status} {}", String::from_utf8_lossy(&body).trim()),
    }
}

/// Status and body of `GET path`. `timeout` bounds the connection and each read, not the whole.
pub fn status(address: SocketAddr, path: &str, token: &str, timeout: Duration) -> Result<(u16, Vec<u8>)> {
    let request = Request {
        method: "GET",
        path,
        token,
        headers: "",
        body: b"",
    };
    send(address, request, timeout)
}

/// Status and body of a request. `timeout` as with [`status`].
pub fn send(address: SocketAddr, request: Request<'_>, timeout: Duration) -> Result<(u16, Vec<u8>)> {
    let what = format!("{} {}", request.method, request.path);
    let mut stream = TcpStream::connect_timeout(&address, timeout).with_context(|| format!("connect to {address}"))?;
    stream.set_read_timeout(Some(timeout)).context("set a timeout")?;
    stream.set_write_timeout(Some(timeout)).context("set a timeout")?;
    let mut sent = Vec::new();
    let headers = format!("{}connection: close\r\n", request.headers);
    Request {
        headers: &headers,
        ..request
    }
    .write(&mut sent);
    stream.write_all(&sent).with_context(|| format!("send {what}"))?;
    let mut bytes = Vec::new();
    stream
        .take(REPLY_BYTES)
        .read_to_end(&mut bytes)
        .with_context(|| format!("read the reply to {what}"))?;
    let head = parse_head(&bytes)?.with_context(|| format!("the reply to {what} breaks off"))?;
    let rest = &bytes[head.bytes..];
    let body = match head.length {
        Length::Close => rest.to_vec(),
        Length::Fixed(length) => rest
            .get(..length)
            .with_context(|| format!("the reply to {what} breaks off"))?
            .to_vec(),
        Length::Chunked => {
            let (mut decoder, mut body) = (ChunkDecoder::default(), Vec::new());
            decoder.decode(rest, &mut body)?;
            if !decoder.is_done() {
                bail!("the reply to {what} breaks off");
            }
            body
        }
    };
    Ok((head.status, body))
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    fn answer(reply: &'static str) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut head = [0; 1024];
            let _ = stream.read(&mut head).unwrap();
            stream.write_all(reply.as_bytes()).unwrap();
        });
        address
    }

    #[test]
    fn a_body_is_read_whole_or_not_at_all() {
        let second = Duration::from_secs(10);
        let good = answer("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n");
        assert_eq!(get(good, "/metrics", "", second).unwrap(), b"ab");
        let refused = answer("HTTP/1.1 503 No\r\ncontent-length: 3\r\n\r\nwhy");
        assert!(
            get(refused, "/readyz", "t", second)
                .unwrap_err()
                .to_string()
                .contains("503 why")
        );
        let short = answer("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nab");
        assert!(get(short, "/", "", second).unwrap_err().to_string().contains("breaks off"));
    }
}
