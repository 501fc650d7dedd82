//! Starting a server, and talking to it with more freedom than a client has.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use api::client::{Answer, Call, Client};
use api::problem::Problem;
use api::server::{Certificates, Server, ServerConfig};
use bytes::Bytes;
use http::Method;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use crate::memory::Memory;

pub(crate) const JSON: &str = "application/json";
/// After this a test has failed: far above what anything takes.
pub(crate) const LONG: Duration = Duration::from_secs(20);

/// A server on a port of its own.
pub(crate) struct Running {
    pub(crate) address: SocketAddr,
    pub(crate) server: Server,
    pub(crate) service: Arc<Memory>,
    secure: bool,
    accepting: JoinHandle<()>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl Running {
    pub(crate) async fn start() -> Self {
        Self::with(ServerConfig::default()).await
    }

    pub(crate) async fn with(config: ServerConfig) -> Self {
        Self::on(config, None).await
    }

    /// The same over TLS.
    pub(crate) async fn secure(config: ServerConfig, certificates: &Arc<Certificates>) -> Self {
        Self::on(config, Some(Arc::clone(certificates))).await
    }

    async fn on(config: ServerConfig, certificates: Option<Arc<Certificates>>) -> Self {
        let service = Memory::new();
        let secure = certificates.is_some();
        let server = Server::new(service.clone(), config);
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let accepting = server.clone();
        let accepting = tokio::spawn(async move {
            let ended = match certificates {
                Some(certificates) => accepting.serve_tls(listener, certificates).await,
                None => accepting.serve(listener).await,
            };
            ended.expect("an accept loop");
        });
        Self {
            address,
            server,
            service,
            secure,
            accepting,
        }
    }

    pub(crate) fn url(&self) -> String {
        if self.secure {
            return format!("https://localhost:{}", self.address.port());
        }
        format!("http://{}", self.address)
    }

    pub(crate) fn client(&self, token: &str) -> Client {
        let client = Client::new(&self.url(), token).expect("a client").with_timeout(LONG);
        if self.secure {
            return client.with_authorities(crate::tls::AUTHORITY).expect("an authority");
        }
        client
    }

    /// Sends bytes and reads until the server closes.
    pub(crate) async fn raw(&self, bytes: &[u8]) -> String {
        let mut stream = TcpStream::connect(self.address).await.expect("a connection");
        stream.write_all(bytes).await.expect("sent");
        read_all(&mut stream).await
    }

    /// Reads as an admin of `acme`.
    pub(crate) async fn ask_as_admin(&self, path: &str) -> Answer<Bytes> {
        let call = Call::new(Method::GET, format!("/v1/tenants/acme/{path}"));
        self.client("cnt_admin").call(call).await.expect("an answer")
    }

    /// Makes a call as a member of `acme`; `path` is inside the tenant.
    pub(crate) async fn ask(&self, method: Method, path: &str, body: Option<(&'static str, &str)>) -> Answer<Bytes> {
        let mut call = Call::new(method, format!("/v1/tenants/acme/{path}"));
        if let Some((media_type, body)) = body {
            call = call.body(media_type, body.to_owned());
        }
        self.client("cnt_member").call(call).await.expect("an answer")
    }
}

pub(crate) async fn read_all(stream: &mut TcpStream) -> String {
    let mut text = Vec::new();
    // An error ends the reading as an end does: the server may reset a connection whose bytes it did not want.
    let _ = tokio::time::timeout(LONG, stream.read_to_end(&mut text))
        .await
        .expect("the server closes in time");
    String::from_utf8_lossy(&text).into_owned()
}

pub(crate) fn problem(answer: &Answer<Bytes>) -> Problem {
    assert_eq!(
        answer.headers["content-type"], "application/problem+json",
        "{:?}",
        answer.body
    );
    let problem: Problem = serde_json::from_slice(&answer.body).expect("a problem");
    assert_eq!(problem.status, answer.status.as_u16());
    problem
}

/// Waits for a condition.
pub(crate) async fn until(what: &str, condition: impl Fn() -> bool) {
    let mut looks = tokio::time::interval(Duration::from_millis(2));
    let waiting = async {
        while !condition() {
            looks.tick().await;
        }
    };
    tokio::time::timeout(LONG, waiting).await.unwrap_or_else(|_| panic!("{what}"));
}
