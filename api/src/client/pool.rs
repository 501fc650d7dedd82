//! Connections of a client: HTTP/1.1, kept alive, a list of idle ones for each base URL.
//!
//! A connection serves one exchange at a time. It goes back on the list when its reply has been read to the end; one that is
//! idle for longer than [`IDLE`] is not used again, because the server may be closing it just now.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::error::ClientError;
use super::payload::Payload;
use super::tls::Trust;

/// Longest time that an idle connection is trusted; well below the time after which the server closes it.
const IDLE: Duration = Duration::from_secs(5);
/// Most idle connections a base URL. More: descriptors that nobody uses. Fewer: handshakes under load.
const IDLE_CONNECTIONS: usize = 1_024;
/// Longest time for a connection to open.
const CONNECT: Duration = Duration::from_secs(3);
/// Largest reply that is read as a whole, in bytes.
const REPLY_BYTES: usize = 64 * 1024 * 1024;

/// One base URL with its idle connections.
#[derive(Debug)]
pub(super) struct Place {
    /// Host and port, as in the `Host` header.
    pub(super) authority: String,
    /// The name that its certificate must have; none: without TLS.
    name: Option<ServerName<'static>>,
    trust: Option<Trust>,
    idle: Mutex<Vec<Idle>>,
}

#[derive(Debug)]
struct Idle {
    sender: SendRequest<Payload>,
    since: Instant,
}

/// A reply whose body has not been read yet. Dropped before its end, it takes its connection with it.
pub(super) struct Exchange {
    /// Head and body.
    pub(super) response: Response<Incoming>,
    place: Arc<Place>,
    sender: Option<SendRequest<Payload>>,
}

impl Place {
    /// The place that a base URL such as `http://127.0.0.1:7400` names.
    pub(super) fn parse(url: &str, trust: Option<Trust>) -> Result<Self, ClientError> {
        let wrong = |why: &str| ClientError::unsent(format!("{url:?} is not a base URL: {why}"));
        let (rest, port) = match (url.strip_prefix("http://"), url.strip_prefix("https://")) {
            (Some(rest), _) => (rest, 80),
            (_, Some(rest)) => (rest, 443),
            _ => return Err(wrong("it must start with http:// or https://")),
        };
        let authority = rest.strip_suffix('/').unwrap_or(rest);
        let parsed: http::uri::Authority = authority.parse().map_err(|_| wrong("expected http://HOST:PORT"))?;
        if parsed.as_str().contains('@') {
            return Err(wrong("it must not hold credentials"));
        }
        let host = parsed.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        let name = (port == 443).then(|| ServerName::try_from(host)).transpose();
        let authority = if parsed.port().is_some() {
            authority.to_owned()
        } else {
            format!("{authority}:{port}")
        };
        Ok(Self {
            authority,
            name: name.map_err(|_| wrong("no certificate can have the name of its host"))?,
            trust,
            idle: Mutex::new(Vec::new()),
        })
    }

    /// The same place with other trust, and without connections that were made without it.
    pub(super) fn trusting(&self, trust: &Trust) -> Self {
        Self {
            authority: self.authority.clone(),
            name: self.name.clone(),
            trust: Some(trust.clone()),
            idle: Mutex::default(),
        }
    }

    fn take_idle(&self) -> Option<SendRequest<Payload>> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some(Idle { sender, since }) = idle.pop() {
            if since.elapsed() > IDLE {
                // The list is a stack: all below are older.
                idle.clear();
                return None;
            }
            if !sender.is_closed() {
                return Some(sender);
            }
        }
        None
    }

    fn give_back(&self, sender: SendRequest<Payload>) {
        if sender.is_closed() {
            return;
        }
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < IDLE_CONNECTIONS {
            idle.push(Idle {
                sender,
                since: Instant::now(),
            });
        }
    }

    async fn connect(&self) -> Result<SendRequest<Payload>, ClientError> {
        let open = async {
            let stream = TcpStream::connect(self.authority.as_str()).await?;
            stream.set_nodelay(true)?;
            match &self.name {
                None => shake_hands(stream).await,
                Some(name) => {
                    let untrusted = || io::Error::other("https:// needs certificates of authorities to check the server's with");
                    let trust = self.trust.as_ref().ok_or_else(untrusted)?;
                    let connector = TlsConnector::from(Arc::clone(&trust.0));
                    shake_hands(connector.connect(name.clone(), stream).await?).await
                }
            }
        };
        tokio::time::timeout(CONNECT, open)
            .await
            .map_err(|_| ClientError::unsent(format!("connect {}: no answer for {CONNECT:?}", self.authority)))?
            .map_err(|error| ClientError::unsent(format!("connect {}: {error}", self.authority)))
    }

    /// Sends a request and waits for the head of its reply. A kept connection that turns out to be closed before anything
    /// was sent is replaced by the next one.
    pub(super) async fn send(self: &Arc<Self>, mut request: Request<Payload>) -> Result<Exchange, ClientError> {
        loop {
            let (mut sender, reused) = match self.take_idle() {
                Some(sender) => (sender, true),
                None => (self.connect().await?, false),
            };
            if let Err(error) = sender.ready().await {
                if reused {
                    continue;
                }
                return Err(ClientError::unsent(format!("send to {}: {error}", self.authority)));
            }
            match sender.try_send_request(request).await {
                Ok(response) => {
                    return Ok(Exchange {
                        response,
                        place: Arc::clone(self),
                        sender: Some(sender),
                    });
                }
                Err(mut error) => match error.take_message() {
                    Some(unsent) if reused => request = unsent,
                    Some(_) => return Err(ClientError::unsent(format!("send to {}: {}", self.authority, error.error()))),
                    None => {
                        return Err(ClientError::unanswered(format!(
                            "no reply from {}: {}",
                            self.authority,
                            error.error()
                        )));
                    }
                },
            }
        }
    }
}

/// Makes a stream a connection.
async fn shake_hands<S>(stream: S) -> io::Result<SendRequest<Payload>>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (sender, connection) = http1::handshake::<_, Payload>(TokioIo::new(stream))
        .await
        .map_err(io::Error::other)?;
    // The exchange that is under way sees why a connection broke; nobody else wants to know.
    tokio::spawn(connection.with_upgrades());
    Ok(sender)
}

impl Exchange {
    /// The next piece of the body; none at its end.
    pub(super) async fn piece(&mut self) -> Result<Option<Bytes>, ClientError> {
        loop {
            match self.response.body_mut().frame().await {
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        return Ok(Some(data));
                    }
                }
                Some(Err(error)) => {
                    return Err(ClientError::unanswered(format!(
                        "read the reply of {}: {error}",
                        self.place.authority
                    )));
                }
                None => {
                    if let Some(sender) = self.sender.take() {
                        self.place.give_back(sender);
                    }
                    return Ok(None);
                }
            }
        }
    }

    /// All of the body.
    pub(super) async fn whole(&mut self) -> Result<Bytes, ClientError> {
        let Some(first) = self.piece().await? else {
            return Ok(Bytes::new());
        };
        let Some(second) = self.piece().await? else { return Ok(first) };
        let mut all = Vec::with_capacity((first.len() + second.len()) * 2);
        all.extend_from_slice(&first);
        all.extend_from_slice(&second);
        while let Some(piece) = self.piece().await? {
            if all.len() + piece.len() > REPLY_BYTES {
                return Err(ClientError::unanswered(format!(
                    "the reply is larger than {REPLY_BYTES} bytes"
                )));
            }
            all.extend_from_slice(&piece);
        }
        Ok(all.into())
    }
}
