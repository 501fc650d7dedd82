//! `certs create`: an authority and certificates for the nodes of a configuration.

use std::path::PathBuf;

use clap::Args;
use serde::Serialize;

use super::super::certificates::{self, Issued, NODE_DAYS, Order, files_in};
use super::super::output::{self, Tone, plain};
use super::super::{Result, node};

/// Make an authority, and a certificate for every node that has none it can use
#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  cloudnest certs create --config cluster.toml --out tls\n  cloudnest certs create --config cluster.toml --out tls --renew --days 90\n\nWhat is there and can be used is kept. A certificate that names another region or none, comes from another authority or ends within 30 days is made again to its key. Give each machine authority.pem and its own node's two files; nodes take them without a restart. Keep authority.key where no node is."
)]
pub(crate) struct Create {
    /// The cluster's configuration
    #[arg(long, default_value = "cluster.toml", value_name = "FILE")]
    config: PathBuf,
    /// Where the certificates are, or are to be
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// How long new certificates of nodes are valid
    #[arg(long, default_value_t = NODE_DAYS, value_parser = clap::value_parser!(u32).range(1..=3_650), value_name = "DAYS")]
    days: u32,
    /// Make new keys and certificates for all nodes; the authority stays
    #[arg(long)]
    renew: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// What became of a node's certificate.
#[derive(Debug, Serialize)]
struct Line {
    /// The node's name.
    node: String,
    /// Its region.
    region: String,
    /// `kept`, `made`, or `made again`.
    done: &'static str,
    /// Why it was made again.
    reason: Option<String>,
    /// Until when it is valid, RFC 3339.
    not_after: String,
}

impl Create {
    pub(crate) fn run(self) -> Result {
        let config = node::load(&self.config)?;
        let order = Order {
            days: self.days,
            renew: self.renew,
        };
        let issued = certificates::issue(&self.out, &config, order)?;
        let files = files_in(&self.out);
        let line = |(node, issued): (&crate::config::NodeEntry, Issued)| {
            let own = super::read(&files.of_node(&node.name).certificate).ok();
            let (done, reason) = match issued {
                Issued::Kept => ("kept", None),
                Issued::Made => ("made", None),
                Issued::Again(reason) => ("made again", Some(reason)),
            };
            Line {
                node: node.name.clone(),
                region: node.region.clone(),
                done,
                reason,
                not_after: own.map(|own| own[0].not_after.clone()).unwrap_or_default(),
            }
        };
        let lines: Vec<Line> = config.topology.nodes.iter().zip(issued).map(line).collect();
        if self.json {
            return output::json(&lines);
        }
        let row = |line: &Line| {
            let done = match line.done {
                "kept" => plain("kept"),
                done => (done.to_owned(), Tone::Good),
            };
            let reason = plain(line.reason.clone().unwrap_or_default());
            vec![
                plain(&*line.node),
                plain(&*line.region),
                done,
                plain(&*line.not_after),
                reason,
            ]
        };
        output::table(
            &["NODE", "REGION", "CERTIFICATE", "UNTIL", ""],
            lines.iter().map(row).collect(),
        )?;
        output::line(&format!(
            "\ncertificates of {} nodes in {}",
            config.topology.nodes.len(),
            self.out.display()
        ))
    }
}
