//! A client's connections to every node, and how it goes on asking: see [`super::ask`].

use std::net::SocketAddr;
use std::time::Duration;

use rig::http::Connection;
use tokio::time::{Instant, timeout};

use super::ask::{Ask, Parcel, Reply, Told, classify, encode, pack};
use super::controls::Controls;
use super::tenants::Workspace;

/// How long a client waits for a reply.
pub(super) const TIMEOUT: Duration = Duration::from_millis(300);
/// How long a patient one does: it hears what a node says that has waited in vain itself.
const PATIENCE: Duration = Duration::from_secs(3);
/// How long it goes on with its retries.
const GIVE_UP_AFTER: Duration = Duration::from_secs(3);
/// Between two attempts, once every node was tried.
const PAUSE: Duration = Duration::from_millis(50);

/// A request as it is sent.
struct Sending<'a> {
    bytes: &'a [u8],
    /// What it is, for findings.
    what: (&'a str, &'a str),
    again: bool,
    /// The answer is taken as it is.
    raw: bool,
}

/// Connections of one client to every node.
pub(super) struct Line {
    nodes: Vec<SocketAddr>,
    open: Vec<Option<Connection>>,
    home: usize,
    at: usize,
    timeout: Duration,
}

impl Line {
    pub(super) fn new(nodes: Vec<SocketAddr>, home: usize) -> Self {
        let open = nodes.iter().map(|_| None).collect();
        let home = home % nodes.len();
        Self {
            nodes,
            open,
            home,
            at: home,
            timeout: TIMEOUT,
        }
    }

    /// One that waits longer for each reply.
    pub(super) fn patient(self) -> Self {
        Self {
            timeout: PATIENCE,
            ..self
        }
    }

    /// The next request begins at the node that this number comes to, counted around.
    pub(super) fn start_at(&mut self, number: u64) {
        // The remainder of a length fits.
        self.at = (number % self.nodes.len() as u64) as usize;
    }

    /// The next request begins at another node than its own.
    pub(super) fn elsewhere(&mut self) {
        self.at = (self.home + 1) % self.nodes.len();
    }

    /// Asks until there is an answer that counts, or time is up.
    pub(super) async fn ask(&mut self, ask: &Ask<'_>, workspace: &Workspace, controls: &Controls) -> Told {
        self.ask_if(ask, None, workspace, controls).await
    }

    /// The same, of what has this version only (`If-Match`).
    pub(super) async fn ask_if(
        &mut self,
        ask: &Ask<'_>,
        version: Option<u64>,
        workspace: &Workspace,
        controls: &Controls,
    ) -> Told {
        let bytes = encode(ask, version, workspace);
        let sending = Sending {
            bytes: &bytes,
            what: (ask.method, &ask.path),
            again: ask.again,
            raw: false,
        };
        self.persist(&sending, workspace, controls).await
    }

    /// The same with a body, and an answer, that are bytes.
    pub(super) async fn send(&mut self, parcel: &Parcel<'_>, workspace: &Workspace, controls: &Controls) -> Told {
        let bytes = pack(parcel, workspace);
        let sending = Sending {
            bytes: &bytes,
            what: (parcel.method, &parcel.path),
            again: parcel.again,
            raw: true,
        };
        self.persist(&sending, workspace, controls).await
    }

    async fn persist(&mut self, sending: &Sending<'_>, workspace: &Workspace, controls: &Controls) -> Told {
        let start = Instant::now();
        let mut told = Told::default();
        let mut tried = 0;
        loop {
            told.attempts += 1;
            match self.attempt(sending, &mut told, workspace, controls).await {
                Reply::Good { body } => {
                    told.good = Some(body);
                    break;
                }
                Reply::NotApplied { status, code, last } => {
                    controls.refused(&code);
                    if last {
                        told.refusal = Some((status, code));
                        break;
                    }
                }
                Reply::Lost(code) => {
                    controls.refused(&code);
                    told.doubt = true;
                    if !sending.again {
                        break;
                    }
                }
            }
            if start.elapsed() > GIVE_UP_AFTER || controls.is_stopped() {
                break;
            }
            self.at = (self.at + 1) % self.nodes.len();
            tried += 1;
            if tried % self.nodes.len() == 0 {
                tokio::time::sleep(PAUSE).await;
            }
        }
        self.at = self.home;
        told
    }

    /// Asks every node once, in turn, as any bearer; returns what each answered, with its place.
    pub(super) async fn ask_everywhere(&mut self, ask: &Ask<'_>, bearer: &Workspace, controls: &Controls) -> Vec<(usize, Told)> {
        let bytes = encode(ask, None, bearer);
        let sending = Sending {
            bytes: &bytes,
            what: (ask.method, &ask.path),
            again: false,
            raw: false,
        };
        let mut all = Vec::new();
        for node in 0..self.nodes.len() {
            self.at = node;
            let mut told = Told::default();
            told.attempts += 1;
            match self.attempt(&sending, &mut told, bearer, controls).await {
                Reply::Good { body } => told.good = Some(body),
                Reply::NotApplied { status, code, .. } => told.refusal = Some((status, code)),
                Reply::Lost(_) => told.doubt = true,
            }
            all.push((node, told));
        }
        self.at = self.home;
        all
    }

    async fn attempt(&mut self, sending: &Sending<'_>, told: &mut Told, workspace: &Workspace, controls: &Controls) -> Reply {
        let node = self.at;
        let mut connection = match self.open[node].take() {
            Some(connection) => connection,
            None => match timeout(TIMEOUT, Connection::open(self.nodes[node])).await {
                Ok(Ok(connection)) => connection,
                // Nothing was sent.
                _ => {
                    let code = "refused".to_owned();
                    return Reply::NotApplied {
                        status: 0,
                        code,
                        last: false,
                    };
                }
            },
        };
        let reply = match timeout(self.timeout, connection.exchange(sending.bytes)).await {
            Ok(Ok(reply)) => reply,
            Ok(Err(_)) => return Reply::Lost("broken".to_owned()),
            Err(_) => return Reply::Lost("no_reply".to_owned()),
        };
        // Whose bytes those of a file are is told by its checker.
        let is_bytes = sending.raw && (200..300).contains(&reply.status);
        let body = if is_bytes { &[][..] } else { reply.body };
        if let Some(tag) = workspace.foreign(body).or_else(|| workspace.foreign(reply.head)) {
            let (method, path) = sending.what;
            controls.foreign(format!("{method} {path} of {}: {tag}", workspace.slug));
        }
        let said = classify(reply.status, body);
        if is_bytes {
            told.bytes = reply.body.to_vec();
        }
        told.location = reply.header("location").map(str::to_owned);
        told.position = reply.header("cloudnest-position").and_then(|text| text.parse().ok());
        told.version = reply.header("etag").and_then(|text| text.trim_matches('"').parse().ok());
        if reply.keep_alive {
            self.open[node] = Some(connection);
        }
        said
    }
}
