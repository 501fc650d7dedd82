//! `tenant show`: one tenant.

use api::ids::Slug;
use clap::Args;

use super::super::remote::Remote;
use super::super::{Result, output};

/// Show a tenant
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  cloudnest tenant show acme --token cno_…")]
pub(crate) struct Show {
    /// The tenant
    #[arg(value_parser = super::slug)]
    slug: Slug,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    remote: Remote,
}

impl Show {
    pub(crate) async fn run(self) -> Result {
        let answer = self.remote.client()?.tenant_show(self.slug.as_str()).await;
        let tenant = answer.map_err(|error| self.remote.failure("show the tenant", error))?.body;
        if self.json {
            output::json(&tenant)
        } else {
            super::print(&tenant)
        }
    }
}
