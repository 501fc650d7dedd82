//! `dev`: one node, one region, one cell with one replica, and a tenant to play with.
//!
//! DIR is the node's data directory and holds besides: `dev.tokens` and `operator.token`, the secrets; `cluster.toml`, with
//! which `node` opens the same data; `tls`, so that other nodes can join. All of it is made on the first start and kept. A
//! first start that breaks off anywhere is continued by the next: the demo tenant's token is written down last.

mod demo;
mod place;
mod tokens;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow};
use api::service::{Operator, Service};
use clap::Args;

use self::tokens::Tokens;
use super::certificates::Order;
use super::compat::Compat;
use super::node::{DATA, until_asked};
use super::runtime::Stop;
use super::{Result, certificates, files, output};
use crate::node::{Node, Settings};

/// Longest time for the node to be ready.
const READY: Duration = Duration::from_secs(60);
/// How often other ports are tried where any will do.
const PORT_ATTEMPTS: u32 = 5;

/// Run a server for development: one node, with a tenant to play with
#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  cloudnest dev\n  cloudnest dev --data /tmp/play --port 0\n\nEvery start prints the URL, the tokens and a curl line that works. The data stays in DIR; its one replica is not replicated."
)]
pub(super) struct Dev {
    /// Where the data stays
    #[arg(long, default_value = DATA, value_name = "DIR")]
    data: PathBuf,
    /// The port of the API, on 127.0.0.1; 0: any that is free
    #[arg(long, default_value_t = 7400)]
    port: u16,
    #[command(flatten)]
    compat: Compat,
}

impl Dev {
    pub(super) async fn run(self) -> Result {
        let mut stop = Stop::listen()?;
        let data = files::absolute(&self.data)?;
        files::directory(&data)?;
        let _lock = files::lock(
            &data.join("dev.lock"),
            Some(format!("another `cloudnest dev` uses {}", data.display())),
        )?;
        let mut tokens = Tokens::load(&data)?;
        let (node, url) = tokio::select! {
            started = self.start(&data, &tokens) => started?,
            _ = stop.asked() => return Ok(()),
        };
        let service = node.service();
        tokio::select! {
            prepared = prepare(&node, &*service, &mut tokens) => prepared?,
            _ = stop.asked() => return Ok(node.stop().await.context("stop the node")?),
        }
        self.greet(&url, &tokens)?;
        drop(service);
        until_asked(node, &mut stop).await
    }

    /// Starts the node. Where any port will do, one that another process took meanwhile is no reason to fail.
    async fn start(&self, data: &std::path::Path, tokens: &Tokens) -> Result<(Node, String)> {
        let mut attempt = 1;
        loop {
            let config = place::config(data, self.port)?;
            certificates::issue(&data.join("tls"), &config, Order::default())?;
            let entry = super::node::find(&config, place::NODE, &data.join("cluster.toml"))?.clone();
            let settings = Settings {
                tls: certificates::of_node(&config, &entry, data, None)?,
                operator_secret: Some(tokens.operator.clone()),
                name: entry.name,
                config: Arc::new(config),
                data: data.to_owned(),
                level: self.compat.level(),
                dev: true,
            };
            match Node::start(settings).await {
                Ok(node) => return Ok((node, entry.endpoint)),
                Err(error) if self.port == 0 && attempt < PORT_ATTEMPTS && place::is_port_in_use(&error) => attempt += 1,
                Err(error) if place::is_port_in_use(&error) => {
                    let hint = "--port 0 takes any port that is free";
                    return Err(anyhow!("start the node: {error:#}; {hint}").into());
                }
                Err(error) => return Err(error.context("start the node").into()),
            }
        }
    }

    fn greet(&self, url: &str, tokens: &Tokens) -> Result {
        output::line(&format!(
            "CloudNest serves {url}  (data in {}, not replicated)",
            self.data.display()
        ))?;
        output::line("")?;
        output::line(&format!("  operator token  {}", tokens.operator))?;
        let Some(demo) = &tokens.demo else {
            return output::line("  the tenant demo was deleted; make others with `cloudnest tenant create`");
        };
        output::line(&format!("  demo token      {demo}"))?;
        output::line("")?;
        output::line("Try:")?;
        output::line(&format!(
            "  curl -H 'Authorization: Bearer {demo}' {url}/v1/tenants/{}/records/tasks",
            demo::TENANT
        ))
    }
}

/// Initialises the node on its first start, and gives it the demo tenant.
async fn prepare(node: &Node, service: &dyn Service, tokens: &mut Tokens) -> Result {
    let operator = Operator { name: "dev".into() };
    let first = service.initialize(&operator, false).await.context("initialise the node")?;
    node.wait_ready(READY).await.context("wait for the node")?;
    if first || tokens.demo.is_none() {
        tokens.demo = Some(demo::create(service, &operator).await?);
        tokens.store()?;
    } else if !demo::exists(service, &operator).await? {
        tokens.demo = None;
    }
    Ok(())
}
