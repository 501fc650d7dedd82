//! What the node proves itself with to other nodes, and whom it trusts there.

use std::path::Path;

use anyhow::Context;
use api::certificate::Certificate;
use raft::{Host, Identity, NodeId};

use super::{File, Keeper, Proof, read};
use crate::config::TlsFiles;

/// See the module.
pub(in crate::node) struct Peers {
    files: TlsFiles,
    host: Host,
    node: NodeId,
}

/// Reads a node's identity. Its files are named in errors. Blocking.
pub(crate) fn identity(files: &TlsFiles) -> anyhow::Result<Identity> {
    parse(files, &read_files(files)?)
}

impl Keeper<Peers> {
    /// Goes on from what the host was started with: the content of the files then.
    pub(in crate::node) fn follow(files: TlsFiles, host: Host, node: NodeId, first: &Identity) -> Self {
        let contents = [&first.authority_pem, &first.certificate_pem, &first.key_pem];
        let contents = contents.map(|text| text.clone().into_bytes()).to_vec();
        Self::new(Peers { files, host, node }, contents)
    }
}

impl Proof for Peers {
    const WHAT: &'static str = "the certificate for other nodes";
    const OTHERWISE: &'static str =
        "other nodes are met with what was there before; `cloudnest certs show` tells what a file holds";
    const RENEW: &'static str = "make another with `cloudnest certs create` and put it in its place";

    fn certificate(&self) -> &Path {
        &self.files.certificate
    }

    fn read(&self) -> anyhow::Result<Vec<Vec<u8>>> {
        read_files(&self.files)
    }

    fn take(&self, contents: &[Vec<u8>]) -> anyhow::Result<()> {
        let identity = parse(&self.files, contents)?;
        let files = &self.files;
        self.host.replace_identity(&identity).with_context(|| {
            format!(
                "take the new certificate for other nodes ({}, {} and {}, tls)",
                files.certificate.display(),
                files.key.display(),
                files.authority.display()
            )
        })
    }

    fn expires_at(&self) -> i64 {
        let own = self.host.certificate(self.node).as_deref().and_then(Certificate::of_der);
        own.map_or(i64::MAX, |own| own.not_after)
    }
}

/// Authority, certificate and key.
fn read_files(files: &TlsFiles) -> anyhow::Result<Vec<Vec<u8>>> {
    let file = |what, path: &Path| File {
        what,
        section: "tls",
        path: path.to_owned(),
    };
    let files = [
        file("authority", &files.authority),
        file("certificate", &files.certificate),
        file("key", &files.key),
    ];
    read(&files, "other nodes")
}

fn parse(files: &TlsFiles, contents: &[Vec<u8>]) -> anyhow::Result<Identity> {
    let text = |at: usize, path: &Path| {
        let text = String::from_utf8(contents[at].clone());
        text.with_context(|| format!("{} is no PEM file (tls)", path.display()))
    };
    Ok(Identity {
        authority_pem: text(0, &files.authority)?,
        certificate_pem: text(1, &files.certificate)?,
        key_pem: text(2, &files.key)?,
    })
}
