//! A link that is listened in on: what two nodes say to each other, in the clear.
//!
//! Nodes speak mutual TLS, so a proxy sees noise. But the harness has the certificates and keys of all nodes, for it had them made. So the
//! proxy takes the connection with those of the node that is dialled, opens another one with those of the node that dials, and writes down
//! what it passes on. The nodes are the ordinary program and notice nothing. A connection begins with one plain byte that says what it is
//! for; it is passed on as it is.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context as Waker, Poll};

use anyhow::{Context, Result};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::{TlsAcceptor, TlsConnector, TlsStream};

/// The cluster of the nodes, and where their certificates are.
#[derive(Clone, Debug)]
pub struct Identities {
    /// The directory.
    pub directory: PathBuf,
    /// The cluster's name.
    pub cluster: String,
    /// Names and numbers of the nodes, in their order.
    pub nodes: Vec<(String, u64)>,
}

impl Identities {
    fn read(&self, place: usize) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)> {
        let (name, _) = self.nodes.get(place).context("there is no such node")?;
        let at = |kind: &str| self.directory.join(format!("{name}.{kind}"));
        let chain = CertificateDer::pem_file_iter(at("pem")).and_then(Iterator::collect);
        let chain = chain.with_context(|| format!("read the certificate of {name}"))?;
        let key = PrivateKeyDer::from_pem_file(at("key")).with_context(|| format!("read the key of {name}"))?;
        Ok((chain, key))
    }

    fn roots(&self) -> Result<RootCertStore> {
        let mut roots = RootCertStore::empty();
        let path = self.directory.join("authority.pem");
        for authority in CertificateDer::pem_file_iter(&path).with_context(|| format!("read {}", path.display()))? {
            roots
                .add(authority.context("read the authority")?)
                .context("use the authority")?;
        }
        Ok(roots)
    }
}

/// What a link is listened in on with.
pub(super) struct Tap {
    /// As the node that is dialled.
    acceptor: TlsAcceptor,
    /// As the node that dials.
    connector: TlsConnector,
    name: ServerName<'static>,
    /// What the files of this link begin with.
    files: PathBuf,
    connections: AtomicU64,
}

impl Tap {
    /// On the link from one node to another.
    pub(super) fn new(nodes: &Identities, (from, to): (usize, usize), directory: &Path) -> Result<Self> {
        let provider: Arc<CryptoProvider> = Arc::new(aws_lc_rs::default_provider());
        let versions = &[&rustls::version::TLS13];
        let (chain, key) = nodes.read(to)?;
        let server = ServerConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(versions)
            .context("speak TLS 1.3")?
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .context("be the node that is dialled")?;
        let (chain, key) = nodes.read(from)?;
        let client = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            .context("speak TLS 1.3")?
            .with_root_certificates(nodes.roots()?)
            .with_client_auth_cert(chain, key)
            .context("be the node that dials")?;
        let number = nodes.nodes[to].1;
        let name = format!("node-{number}.{}.cloudnest", nodes.cluster);
        Ok(Self {
            acceptor: TlsAcceptor::from(Arc::new(server)),
            connector: TlsConnector::from(Arc::new(client)),
            name: ServerName::try_from(name).context("name a node")?,
            files: directory.join(format!("{}-{}", nodes.nodes[from].0, nodes.nodes[to].0)),
            connections: AtomicU64::new(0),
        })
    }

    /// Both ends of a connection, in the clear.
    pub(super) async fn open(&self, mut dialled: TcpStream, mut reached: TcpStream) -> io::Result<(Tapped, Tapped)> {
        let purpose = dialled.read_u8().await?;
        reached.write_u8(purpose).await?;
        let (near, far) = tokio::try_join!(
            self.acceptor.accept(dialled),
            self.connector.connect(self.name.clone(), reached)
        )?;
        let number = self.connections.fetch_add(1, Ordering::Relaxed);
        let file = |way: &str| File::create(self.files.with_extension(format!("{number}.{way}")));
        let near = Tapped {
            stream: TlsStream::from(near),
            heard: file("out")?,
        };
        let far = Tapped {
            stream: TlsStream::from(far),
            heard: file("back")?,
        };
        Ok((near, far))
    }
}

/// One end of a connection that is listened in on: what is read from it is written down.
pub(super) struct Tapped {
    stream: TlsStream<TcpStream>,
    heard: File,
}

impl Tapped {
    /// What it goes over.
    pub(super) fn socket(&self) -> &TcpStream {
        self.stream.get_ref().0
    }
}

impl AsyncRead for Tapped {
    fn poll_read(mut self: Pin<&mut Self>, waker: &mut Waker<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(waker, buffer);
        if polled.is_ready() {
            self.heard.write_all(&buffer.filled()[before..])?;
        }
        polled
    }
}

impl AsyncWrite for Tapped {
    fn poll_write(mut self: Pin<&mut Self>, waker: &mut Waker<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(waker, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, waker: &mut Waker<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(waker)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, waker: &mut Waker<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(waker)
    }
}
