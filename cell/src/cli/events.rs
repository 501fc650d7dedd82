//! `events`: what happened in a tenant, and what happens from now on.

use std::io::{self, Write};

use api::client::EventFeed;
use api::ids::Slug;
use clap::Args;

use super::remote::Remote;
use super::{Result, tenant};

/// Show a tenant's events, one JSON object a line
#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  cloudnest events acme --token cnt_…\n  cloudnest events acme --follow --after 1200 --collection tasks --filter 'status == \"todo\"' --fields --token cnt_…\n\nA stream that breaks goes on at another URL where it was. Each line has its `position`: pass the last one as --after to go on later."
)]
pub(super) struct Events {
    /// The tenant
    #[arg(value_parser = tenant::slug)]
    slug: Slug,
    /// The position after which to start
    #[arg(long, default_value_t = 0, value_name = "POSITION")]
    after: u64,
    /// Most events
    #[arg(long, value_name = "COUNT")]
    limit: Option<usize>,
    /// Stay, and show what happens
    #[arg(long, short)]
    follow: bool,
    /// Only what is about this collection; may be given several times
    #[arg(long, value_name = "NAME")]
    collection: Vec<String>,
    /// Only changes that left a record of which this CEL expression is true
    #[arg(long, value_name = "CEL")]
    filter: Option<String>,
    /// Add the record's fields as each change left them
    #[arg(long)]
    fields: bool,
    #[command(flatten)]
    remote: Remote,
}

impl Events {
    pub(super) async fn run(self) -> Result {
        let client = self.remote.client()?;
        let mut wanted = client.tenant(self.slug.as_str()).events().after(self.after);
        wanted = wanted.collections(self.collection.iter().cloned());
        if let Some(limit) = self.limit {
            wanted = wanted.limit(limit);
        }
        if let Some(filter) = &self.filter {
            wanted = wanted.filter(filter);
        }
        if self.fields {
            wanted = wanted.with_fields();
        }
        let feed = if self.follow { wanted.follow() } else { wanted.send() };
        self.copy(feed).await
    }

    async fn copy(&self, mut feed: EventFeed) -> Result {
        while let Some(event) = feed.next().await.map_err(|error| self.remote.failure("read events", error))? {
            let mut out = io::stdout().lock();
            serde_json::to_writer(&mut out, &event)?;
            out.write_all(b"\n")?;
            // Whoever reads a pipe wants it now.
            out.flush()?;
        }
        Ok(())
    }
}
