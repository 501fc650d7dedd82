//! `cluster certificates`: certificates for nodes on several machines.

use std::path::PathBuf;

use clap::Args;

use super::super::{Result, certificates, node, output};

/// Make an authority and a certificate for every node that has none
#[derive(Args, Debug)]
#[command(
    after_help = "Example:\n  cloudnest cluster certificates --config cluster.toml --out tls\n\nGive each machine authority.pem and its own node's two files; keep authority.key where no node is."
)]
pub(crate) struct Certificates {
    /// The cluster's configuration
    #[arg(long, default_value = "cluster.toml", value_name = "FILE")]
    config: PathBuf,
    /// Where to write them; what is there is kept
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
}

impl Certificates {
    pub(crate) fn run(self) -> Result {
        let config = node::load(&self.config)?;
        certificates::issue(&self.out, &config)?;
        output::line(&format!(
            "certificates of {} nodes in {}",
            config.topology.nodes.len(),
            self.out.display()
        ))
    }
}
