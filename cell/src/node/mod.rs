//! One node: starts the log, the replicas and the front, and stops them in the other order.

pub(crate) mod about;
pub(crate) mod applying;
pub(crate) mod arriving;
mod asked;
mod bind;
pub(crate) mod blobs;
pub(crate) mod certificates;
pub(crate) mod counting;
pub(crate) mod data;
pub(crate) mod directory;
pub(crate) mod drain;
pub(crate) mod evolving;
pub(crate) mod holding;
mod inbound;
mod initialize;
pub(crate) mod levels;
mod lines;
pub(crate) mod loads;
mod locate;
mod membership;
pub(crate) mod moment;
pub(crate) mod moving;
pub(crate) mod open;
mod places;
pub(crate) mod platform;
pub(crate) mod proposing;
pub(crate) mod reconcile;
pub(crate) mod relay;
pub(crate) mod repair;
pub(crate) mod replica;
pub(crate) mod retention;
mod returning;
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
use tokio::task::JoinHandle;

use self::bind::{bind, unknown_node};
use self::certificates::{Clients, Keeper};
use self::data::Data;
use self::inbound::{Inbound, accept};
use self::platform::Platform;
use crate::access::secret;
use crate::backup;
use crate::config::{Config, NodeEntry, TlsFiles};
use crate::fair::{Fair, governor, spending};
use crate::scrub;
use crate::service::Front;

/// The first byte of a stream that carries requests of users.
pub(crate) const REQUESTS: u8 = b'H';
/// How long requests in flight have when the node stops.
const DRAIN: Duration = Duration::from_secs(10);
/// How long a draining node that has others beside it still takes requests, so that whoever balances load can turn away.
const DRAIN_NOTICE: Duration = Duration::from_millis(1_000);

/// What a node is started with.
pub struct Settings {
    /// The configuration of the cluster.
    pub config: Arc<Config>,
    /// The node's name in it.
    pub name: String,
    /// Its data directory.
    pub data: PathBuf,
    /// The files of its certificate among the nodes.
    pub tls: TlsFiles,
    /// The operator's bootstrap token.
    pub operator_secret: Option<String>,
    /// The level that it runs at: the newest, or the one before it.
    pub level: u32,
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
        let me = own_entry(&config, &settings.name)?;
        let api_tls = config.api_tls.as_ref().map(|files| files.of_node(&me.name));
        // Before the log is opened: a mistake here should not cost a replay.
        let clients = api_tls.map(Keeper::<Clients>::start).transpose()?;
        let identity = certificates::identity(&settings.tls)?;
        let data = Data::open(&settings.data, &config.cluster, &me.name, me.number)?;
        let api_listener = bind(me.api, "the API")?;
        let peer_listener = bind(me.peer, "the other nodes")?;
        let api = api_listener.local_addr().context("read the API's address")?;

        let inbound: Arc<tokio::sync::OnceCell<Inbound>> = Arc::default();
        let host = start_host(&identity, &config, &me, &data, peer_listener, &inbound)?;
        let peers = Keeper::follow(settings.tls, host.clone(), NodeId(me.number), &identity);
        let places = open::open_replicas(&config, &me, &host, data, settings.level).await?;
        let opener = Arc::clone(&places.opener);
        host.set_peers(places::peers(&places.topology, &config, &me));
        let others = places.topology.region_nodes(&me.region).len() > 1;
        let fair = Fair::new(config.scheduler).context("start the threads of the elastic class")?;
        let operator = settings.operator_secret.as_deref().map(secret::hash);
        let platform = Arc::new(Platform::new(config, me, host, places, operator, fair));
        let certificates = clients.as_ref().map(Keeper::certificates);
        let service: Arc<dyn Service> = Arc::new(Front::new(Arc::clone(&platform), certificates.clone()));
        let server = Server::new(
            Arc::clone(&service),
            ServerConfig {
                open_cors: settings.dev,
                drain_notice: if others { DRAIN_NOTICE } else { Duration::ZERO },
                ..ServerConfig::default()
            },
        );
        let open = Inbound::new(Arc::clone(&platform), server.clone());
        inbound.set(open).map_err(|_| anyhow!("the node was started twice"))?;

        api_listener.set_nonblocking(true).context("set up the API's port")?;
        let listener = tokio::net::TcpListener::from_std(api_listener).context("listen for the API")?;
        let mut tasks = vec![
            tokio::spawn(serve(server.clone(), listener, certificates)),
            tokio::spawn(peers.run(!settings.dev)),
            tokio::spawn(directory::run(Arc::clone(&platform))),
            tokio::spawn(places::run(Arc::clone(&platform), Arc::clone(&opener))),
            tokio::spawn(drain::run(Arc::clone(&platform))),
            tokio::spawn(levels::run(Arc::clone(&platform))),
            tokio::spawn(loads::run(Arc::clone(&platform))),
            tokio::spawn(governor::run(Arc::clone(&platform))),
            tokio::spawn(spending::run(Arc::clone(&platform))),
            tokio::spawn(applying::run(Arc::clone(&platform))),
            tokio::spawn(reconcile::run(Arc::clone(&platform))),
            tokio::spawn(evolving::run(Arc::clone(&platform))),
            tokio::spawn(retention::run(Arc::clone(&platform))),
            tokio::spawn(counting::run(Arc::clone(&platform))),
            tokio::spawn(moving::run(Arc::clone(&platform))),
            tokio::spawn(backup::run::run(Arc::clone(&platform))),
            tokio::spawn(repair::run(Arc::clone(&platform), opener)),
            tokio::spawn(scrub::run::watch(Arc::clone(&platform))),
            tokio::spawn(blobs::run(Arc::clone(&platform))),
        ];
        tasks.extend(clients.map(|clients| tokio::spawn(clients.run(true))));
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

    /// Resolves when an operator asks the node to end.
    pub async fn asked_to_end(&self) {
        self.platform.ending.notified().await;
    }

    /// Hands leadership over, finishes what is in flight and makes everything durable.
    pub async fn stop(self) -> anyhow::Result<()> {
        self.platform.draining.store(true, Ordering::Release);
        self.platform.hand_over().await;
        self.server.drain(DRAIN).await;
        for task in &self.tasks {
            task.abort();
        }
        self.platform.host.clone().shutdown().await.context("stop the log")?;
        let copy = self.platform.directory.copy().and_then(|copy| copy.take());
        let copy = copy.map(|store| (storage::Store::clone(&store), Arc::from("the directory's copy")));
        for seeker in self.platform.replicas().filter_map(|replica| replica.seeker.clone()) {
            tokio::task::spawn_blocking(move || seeker.stop()).await?;
        }
        let replicas = self
            .platform
            .replicas()
            .map(|replica| (replica.store.clone(), Arc::clone(&replica.name)));
        for (store, name) in replicas.chain(copy) {
            tokio::task::spawn_blocking(move || store.close())
                .await?
                .with_context(|| format!("close the store of {name}"))?;
        }
        Ok(())
    }
}

/// The node's entry in the configuration, with whatever it cannot start without.
fn own_entry(config: &Config, name: &str) -> anyhow::Result<NodeEntry> {
    let me = config.node(name).with_context(|| unknown_node(config, name))?;
    if let Some(store) = config.files(&me.region) {
        let read = store.credentials();
        read.with_context(|| format!("read the key of the store of files, {} ([region.files])", store.place))?;
    }
    Ok(me.clone())
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

fn start_host(
    identity: &raft::Identity,
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
    let timing = raft::Timing {
        heartbeat_ms: config.timing.heartbeat_ms,
        election_min_ms: config.timing.election_min_ms,
        election_max_ms: config.timing.election_max_ms,
    };
    let host = HostConfig {
        node: NodeId(me.number),
        cluster: config.cluster.clone(),
        region: me.region.clone(),
        dir: data.log(),
        listener,
        peers: places::peers(&config.topology, config, me),
        identity: identity.clone(),
        timing,
        on_stream: Some(Arc::new(on_stream)),
        log: raft::LogOptions::default(),
    };
    Host::start(host).context("start the log")
}
