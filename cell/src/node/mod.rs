//! One node: starts the log, the replicas and the front, and stops them in the other order.

mod bind;
pub(crate) mod certificates;
pub(crate) mod data;
pub(crate) mod evolving;
pub(crate) mod holding;
pub(crate) mod moment;
pub(crate) mod moving;
pub(crate) mod open;
pub(crate) mod platform;
pub(crate) mod reconcile;
pub(crate) mod relay;
pub(crate) mod repair;
pub(crate) mod replica;
pub(crate) mod retention;
pub(crate) mod slot;
pub(crate) mod transfer;

use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use api::server::{Certificates, Server, ServerConfig};
use api::service::Service;
use raft::{Host, HostConfig, NodeId, StreamOffer};
use tokio::io::AsyncReadExt;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

use self::bind::{bind, unknown_node};
use self::certificates::Keeper;
use self::data::Data;
use self::platform::Platform;
use crate::access::secret;
use crate::config::{Config, NodeEntry};
use crate::scrub;
use crate::service::Front;

/// Most nodes of a region: each has a replica of its directory, and votes in it, until regions share one.
const REGION_NODES: usize = 7;
/// The first byte of a stream that carries requests of users.
pub(crate) const REQUESTS: u8 = b'H';
/// Most streams from other nodes at a time.
const STREAMS: usize = 4_096;
/// How long another node has to say what its stream is for.
const GREETING: Duration = Duration::from_secs(5);
/// How long requests in flight have when the node stops.
const DRAIN: Duration = Duration::from_secs(10);
/// How long a draining node that has others beside it still takes requests, so that whoever balances load can turn away.
const DRAIN_NOTICE: Duration = Duration::from_millis(1_000);
/// How long a leader has to hand over when the node stops.
const HAND_OVER: Duration = Duration::from_secs(3);

/// What a node is started with.
pub struct Settings {
    /// The configuration of the cluster.
    pub config: Arc<Config>,
    /// The node's name in it.
    pub name: String,
    /// Its data directory.
    pub data: PathBuf,
    /// Its certificate among the nodes.
    pub identity: raft::Identity,
    /// The operator's bootstrap token.
    pub operator_secret: Option<String>,
    /// Whether this is `cloudnest dev`: CORS is open.
    pub dev: bool,
}

/// A running node.
pub struct Node {
    platform: Arc<Platform>,
    service: Arc<dyn Service>,
    server: Server,
    tasks: Vec<JoinHandle<()>>,
    api: SocketAddr,
}

impl Node {
    /// Binds the ports, opens the data and starts to serve.
    pub async fn start(settings: Settings) -> anyhow::Result<Node> {
        let config = Arc::clone(&settings.config);
        let me = config
            .node(&settings.name)
            .with_context(|| unknown_node(&config, &settings.name))?
            .clone();
        let nodes = config.region_nodes(&me.region).len();
        if nodes > REGION_NODES {
            bail!(
                "the region {} has {nodes} nodes; this version takes at most {REGION_NODES} in a region",
                me.region
            );
        }
        let api_tls = config.api_tls.as_ref().map(|files| files.of_node(&me.name));
        // Before the log is opened: a mistake here should not cost a replay.
        let keeper = api_tls.map(Keeper::start).transpose()?;
        let data = Data::open(&settings.data, &config.cluster, &me.name, me.number)?;
        let api_listener = bind(me.api, "the API")?;
        let peer_listener = bind(me.peer, "the other nodes")?;
        let api = api_listener.local_addr().context("read the API's address")?;

        let inbound: Arc<tokio::sync::OnceCell<Inbound>> = Arc::default();
        let host = start_host(&settings, &config, &me, &data, peer_listener, &inbound)?;
        let open::Places {
            opener,
            directory,
            cells,
        } = open::open_replicas(&config, &me, &host, data).await?;
        let operator = settings.operator_secret.as_deref().map(secret::hash);
        let platform = Arc::new(Platform::new(config, me, host, directory, cells, operator));
        let service: Arc<dyn Service> = Arc::new(Front::new(Arc::clone(&platform)));
        let server = Server::new(
            Arc::clone(&service),
            ServerConfig {
                open_cors: settings.dev,
                drain_notice: if nodes > 1 { DRAIN_NOTICE } else { Duration::ZERO },
                ..ServerConfig::default()
            },
        );
        let open = Inbound {
            platform: Arc::clone(&platform),
            server: server.clone(),
            places: Arc::new(Semaphore::new(STREAMS)),
        };
        inbound.set(open).map_err(|_| anyhow!("the node was started twice"))?;

        api_listener.set_nonblocking(true).context("set up the API's port")?;
        let listener = tokio::net::TcpListener::from_std(api_listener).context("listen for the API")?;
        let mut tasks = vec![
            tokio::spawn(serve(server.clone(), listener, keeper.as_ref().map(Keeper::certificates))),
            tokio::spawn(reconcile::run(Arc::clone(&platform))),
            tokio::spawn(evolving::run(Arc::clone(&platform))),
            tokio::spawn(retention::run(Arc::clone(&platform))),
            tokio::spawn(moving::run(Arc::clone(&platform))),
            tokio::spawn(repair::run(Arc::clone(&platform), opener)),
            tokio::spawn(scrub::run::watch(Arc::clone(&platform))),
        ];
        tasks.extend(keeper.map(|keeper| tokio::spawn(keeper.run())));
        tracing::info!(node = platform.me.name, %api, "serving");
        Ok(Node {
            platform,
            service,
            server,
            tasks,
            api,
        })
    }

    /// The platform, for calls inside the process.
    pub fn service(&self) -> Arc<dyn Service> {
        Arc::clone(&self.service)
    }

    /// Where the API is served.
    pub fn api(&self) -> SocketAddr {
        self.api
    }

    /// Waits until the node is ready.
    pub async fn wait_ready(&self, deadline: Duration) -> anyhow::Result<()> {
        let ready = async {
            while self.service.ready().is_err() {
                self.platform.leader_change().await;
            }
        };
        match tokio::time::timeout(deadline, ready).await {
            Ok(()) => Ok(()),
            Err(_) => bail!("the node is not ready: {}", self.service.ready().err().unwrap_or_default()),
        }
    }

    /// Hands leadership over, finishes what is in flight and makes everything durable.
    pub async fn stop(self) -> anyhow::Result<()> {
        self.platform.draining.store(true, Ordering::Release);
        for replica in self.platform.replicas().filter(|replica| replica.group.is_leader()) {
            if replica.group.status().voters.len() < 2 {
                continue;
            }
            match tokio::time::timeout(HAND_OVER, replica.group.hand_over(None)).await {
                Ok(Ok(to)) => tracing::info!(cell = %replica.name, to = to.0, "handed the leadership over"),
                Ok(Err(error)) => tracing::warn!(cell = %replica.name, %error, "could not hand the leadership over"),
                Err(_) => tracing::warn!(cell = %replica.name, "nobody took the leadership over in time"),
            }
        }
        self.server.drain(DRAIN).await;
        for task in &self.tasks {
            task.abort();
        }
        self.platform.host.clone().shutdown().await.context("stop the log")?;
        for replica in self.platform.replicas() {
            let store = replica.store.clone();
            let name = Arc::clone(&replica.name);
            tokio::task::spawn_blocking(move || store.close())
                .await?
                .with_context(|| format!("close the store of {name}"))?;
        }
        Ok(())
    }
}

async fn serve(server: Server, listener: tokio::net::TcpListener, certificates: Option<Arc<Certificates>>) {
    let ended = match certificates {
        Some(certificates) => server.serve_tls(listener, certificates).await,
        None => server.serve(listener).await,
    };
    if let Err(error) = ended {
        tracing::error!(%error, "the API's port failed");
    }
}

/// What streams from other nodes need.
struct Inbound {
    platform: Arc<Platform>,
    server: Server,
    places: Arc<Semaphore>,
}

fn start_host(
    settings: &Settings,
    config: &Config,
    me: &NodeEntry,
    data: &Data,
    listener: TcpListener,
    inbound: &Arc<tokio::sync::OnceCell<Inbound>>,
) -> anyhow::Result<Host> {
    let runtime = tokio::runtime::Handle::current();
    let inbound = Arc::clone(inbound);
    let on_stream = move |offer: StreamOffer| {
        // Before the front is up there is nothing to offer: the other node tries again.
        if inbound.get().is_some() {
            runtime.spawn(accept(Arc::clone(&inbound), offer));
        }
    };
    let others = config
        .region_nodes(&me.region)
        .into_iter()
        .filter(|node| node.number != me.number);
    let timing = raft::Timing {
        heartbeat_ms: config.timing.heartbeat_ms,
        election_min_ms: config.timing.election_min_ms,
        election_max_ms: config.timing.election_max_ms,
    };
    let host = HostConfig {
        node: NodeId(me.number),
        cluster: config.cluster.clone(),
        dir: data.log(),
        listener,
        peers: others.map(|node| (NodeId(node.number), node.peer.to_string())).collect(),
        identity: settings.identity.clone(),
        timing,
        on_stream: Some(Arc::new(on_stream)),
        log: raft::LogOptions::default(),
    };
    Host::start(host).context("start the log")
}

/// Serves one stream from another node of the region.
async fn accept(inbound: Arc<tokio::sync::OnceCell<Inbound>>, offer: StreamOffer) {
    let Some(inbound) = inbound.get() else { return };
    let Ok(_place) = inbound.places.try_acquire() else {
        tracing::warn!(limit = STREAMS, "too many streams from other nodes; one was refused");
        return;
    };
    let greeted = tokio::time::timeout(GREETING, async {
        let (_, mut stream) = offer.accept().await?;
        let what = stream.read_u8().await?;
        std::io::Result::Ok((what, stream))
    });
    match greeted.await {
        Ok(Ok((REQUESTS, stream))) => inbound.server.serve_forwarded(Box::new(stream)).await,
        Ok(Ok((relay::MARK, stream))) => {
            if let Err(error) = inbound.platform.serve_relay(stream).await {
                tracing::debug!(%error, "an exchange with another node broke off");
            }
        }
        Ok(Ok((transfer::MARK, stream))) => {
            if let Err(error) = inbound.platform.serve_transfer(stream).await {
                tracing::info!(%error, "the state of a group did not reach another node");
            }
        }
        Ok(Ok((other, _))) => tracing::warn!(other, "another node opened a stream of an unknown kind"),
        Ok(Err(error)) => tracing::debug!(%error, "a stream from another node broke off"),
        Err(_) => tracing::debug!("a stream from another node said nothing"),
    }
}
