//! Live connections: a WebSocket to the tenant's node, and events that survive it.
//!
//! [`Client::live`] is one connection, message by message. [`Client::follow_live`] is one subscription over as many connections as it
//! takes: it knows the position of the last event that it gave out, and where a connection ends it goes on behind that, without a gap
//! and without a repeat.

use std::time::Duration;

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use http::header::SEC_WEBSOCKET_ACCEPT;
use http::{Method, StatusCode};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::time::Instant;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::client::generate_key;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::Role;

use super::payload::Payload;
use super::retry::pause;
use super::{Call, Client, ClientError, call};
use crate::body::event::Event;
use crate::body::live::{LiveAsk, LiveSaid, Subscribe};
use crate::ids::Id;
use crate::limits::LIVE_LOOK_SECONDS;

/// How long a server may be silent: it asks for a sign of life four times as often.
const SILENCE: Duration = Duration::from_secs(4 * LIVE_LOOK_SECONDS);
/// How long a subscription goes on without one event or connection.
const PATIENCE: Duration = Duration::from_secs(120);

/// One live connection.
pub struct LiveConnection {
    stream: WebSocketStream<TokioIo<Upgraded>>,
}

impl Client {
    /// Opens a live connection. One attempt, at the next base URL.
    pub async fn live(&self, tenant: &str) -> Result<LiveConnection, ClientError> {
        let stream = self.web_socket(format!("/v1/tenants/{tenant}/live")).await?;
        Ok(LiveConnection { stream })
    }

    /// Opens a document, as a client of Yjs does: what goes over the connection is the protocol of `y-websocket`, message by message.
    pub async fn document(&self, tenant: &str, collection: &str, id: Id, field: &str) -> Result<DocumentConnection, ClientError> {
        let path = format!("/v1/tenants/{tenant}/documents/{collection}/{id}/{field}");
        let stream = self.web_socket(path).await?;
        Ok(DocumentConnection { stream })
    }

    /// Opens a WebSocket at a path.
    async fn web_socket(&self, path: String) -> Result<WebSocketStream<TokioIo<Upgraded>>, ClientError> {
        let key = generate_key();
        let call = Call::new(Method::GET, path)
            .header("connection", "upgrade")
            .header("upgrade", "websocket")
            .header("sec-websocket-version", "13")
            .header("sec-websocket-key", &key);
        let opened = async {
            let mut exchange = self.open(&call, Payload::full(Bytes::new())).await?;
            let status = exchange.response.status();
            if status != StatusCode::SWITCHING_PROTOCOLS {
                let headers = exchange.response.headers().clone();
                return Err(call::problem_of(status, &headers, &exchange.whole().await?));
            }
            let accepted = exchange.response.headers().get(SEC_WEBSOCKET_ACCEPT);
            if accepted.map(http::HeaderValue::as_bytes) != Some(derive_accept_key(key.as_bytes()).as_bytes()) {
                return Err(ClientError::unanswered("the server did not accept the WebSocket"));
            }
            let upgraded = hyper::upgrade::on(&mut exchange.response).await;
            upgraded.map_err(|error| ClientError::unanswered(format!("turn the connection over: {error}")))
        };
        let upgraded = match tokio::time::timeout(self.timeout, opened).await {
            Ok(result) => result,
            Err(_) => Err(ClientError::unanswered(format!("no WebSocket within {:?}", self.timeout))),
        };
        let upgraded = upgraded.inspect_err(|_| self.fail_over())?;
        Ok(WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Client, None).await)
    }

    /// The events of a subscription, over as many connections as it takes. Without `after` it begins with what is yet to come.
    pub fn follow_live(&self, tenant: &str, wanted: Subscribe) -> LiveFeed {
        LiveFeed {
            client: self.clone(),
            tenant: tenant.to_owned(),
            wanted,
            connection: None,
            failures: 0,
            failing: None,
        }
    }
}

impl LiveConnection {
    /// Says something to the server.
    pub async fn say(&mut self, ask: &LiveAsk) -> Result<(), ClientError> {
        let text = serde_json::to_string(ask).map_err(|error| ClientError::unsent(format!("write a message: {error}")))?;
        let sent = self.stream.send(Message::Text(text.into())).await;
        sent.map_err(|error| ClientError::unanswered(format!("send a message: {error}")))
    }

    /// What the server says next; none at the end of the connection. Nothing is lost where it is dropped before it returns.
    pub async fn next(&mut self) -> Result<Option<LiveSaid>, ClientError> {
        loop {
            match tokio::time::timeout(SILENCE, self.stream.next()).await {
                Ok(Some(Ok(Message::Text(text)))) => {
                    let said = serde_json::from_str(&text);
                    return said
                        .map(Some)
                        .map_err(|error| ClientError::unanswered(format!("read a message: {error}")));
                }
                Ok(None | Some(Ok(Message::Close(_)))) => return Ok(None),
                Ok(Some(Ok(_))) => {}
                Ok(Some(Err(error))) => return Err(ClientError::unanswered(format!("a live connection: {error}"))),
                Err(_) => return Err(ClientError::unanswered(format!("the server is silent for {SILENCE:?}"))),
            }
        }
    }
}

/// One connection to a document.
pub struct DocumentConnection {
    stream: WebSocketStream<TokioIo<Upgraded>>,
}

impl DocumentConnection {
    /// Sends a message.
    pub async fn send(&mut self, message: impl Into<Bytes>) -> Result<(), ClientError> {
        let sent = self.stream.send(Message::Binary(message.into())).await;
        sent.map_err(|error| ClientError::unanswered(format!("send a message: {error}")))
    }

    /// The next message; none at the end of the connection. Nothing is lost where it is dropped before it returns.
    pub async fn next(&mut self) -> Result<Option<Bytes>, ClientError> {
        loop {
            match self.stream.next().await {
                Some(Ok(Message::Binary(bytes))) => return Ok(Some(bytes)),
                None | Some(Ok(Message::Close(_))) => return Ok(None),
                Some(Ok(_)) => {}
                Some(Err(error)) => return Err(ClientError::unanswered(format!("a connection to a document: {error}"))),
            }
        }
    }
}

/// See [`Client::follow_live`].
pub struct LiveFeed {
    client: Client,
    tenant: String,
    wanted: Subscribe,
    connection: Option<LiveConnection>,
    failures: u32,
    failing: Option<Instant>,
}

impl LiveFeed {
    /// The position behind which it goes on, once it is known.
    pub fn position(&self) -> Option<u64> {
        self.wanted.after
    }

    /// The next event. After an error it may be called again. Nothing is lost where it is dropped before it returns.
    pub async fn next(&mut self) -> Result<Event, ClientError> {
        loop {
            let error = match self.step().await {
                Ok(Some(event)) => return Ok(event),
                Ok(None) => ClientError::unanswered("the connection ended"),
                Err(error) => error,
            };
            self.connection = None;
            let since = *self.failing.get_or_insert_with(Instant::now);
            if !error.is_transient() || since.elapsed() >= PATIENCE {
                (self.failures, self.failing) = (0, None);
                return Err(error);
            }
            self.client.fail_over();
            tokio::time::sleep(pause(self.failures, error.retry_after())).await;
            self.failures += 1;
        }
    }

    /// The next event of the connection; none at its end.
    async fn step(&mut self) -> Result<Option<Event>, ClientError> {
        if self.connection.is_none() {
            let mut connection = self.client.live(&self.tenant).await?;
            connection.say(&LiveAsk::Subscribe(self.wanted.clone())).await?;
            self.connection = Some(connection);
        }
        while let Some(connection) = &mut self.connection {
            match connection.next().await? {
                Some(LiveSaid::Event { position, event, .. }) if self.wanted.after.is_none_or(|after| position > after) => {
                    self.wanted.after = Some(position);
                    (self.failures, self.failing) = (0, None);
                    return Ok(Some(*event));
                }
                Some(LiveSaid::Subscribed { after, .. }) => self.wanted.after = self.wanted.after.or(Some(after)),
                Some(LiveSaid::Error { problem, .. }) => return Err(ClientError::Problem(problem)),
                // What was hidden need not be looked at again. A subscription that did not stand yet begins where it was to.
                Some(LiveSaid::Resume { subscriptions, .. }) => {
                    self.wanted.after = self.wanted.after.max(subscriptions.get(&self.wanted.id).copied());
                    return Ok(None);
                }
                Some(_) => {}
                None => return Ok(None),
            }
        }
        Ok(None)
    }
}
