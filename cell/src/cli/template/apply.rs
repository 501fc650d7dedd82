//! `template apply`: gives a tenant the collections of a template that it does not have yet.

use std::collections::BTreeSet;

use api::ids::Slug;
use clap::Args;

use super::super::remote::Remote;
use super::super::tenant::slug;
use super::super::{Failure, Result, output};
use crate::records::template;

/// Give a tenant the collections of a template; those that it has stay as they are
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  cloudnest template apply acme crm --token cnt_…")]
pub(crate) struct Apply {
    /// The tenant
    #[arg(value_parser = slug)]
    tenant: Slug,
    /// The template: see `template list`
    template: String,
    #[command(flatten)]
    remote: Remote,
}

impl Apply {
    pub(crate) async fn run(self) -> Result {
        let entries = template::entries(&self.template).map_err(|error| Failure::Usage(error.detail))?;
        let client = self.remote.client()?;
        let tenant = self.tenant.as_str();
        let known = client.collections(tenant).await;
        let known = known.map_err(|error| self.remote.failure("list the collections", error))?;
        let known: BTreeSet<String> = known.body.items.into_iter().map(|collection| collection.name).collect();
        for entry in entries {
            let name = entry.name.as_str();
            if known.contains(name) {
                output::line(&format!("{name} is there already, and stays as it is"))?;
                continue;
            }
            let made = client.collection_put(tenant, name, &entry.schema, None).await;
            made.map_err(|error| self.remote.failure(&format!("make the collection {name}"), error))?;
            output::line(&format!("{name} is made"))?;
        }
        Ok(())
    }
}
