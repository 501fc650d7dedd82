//! `files`: a tenant's files with their versions.

mod get;
mod list;
mod put;
mod versions;

use api::body::file::AttachedTo;
use api::ids::{Id, Slug};
use clap::{Args, Subcommand};

use super::Result;
use super::remote::Remote;
use super::tenant::slug;

#[derive(Debug, Subcommand)]
pub(super) enum Files {
    Put(put::Put),
    Get(get::Get),
    List(list::List),
    Versions(versions::Versions),
    Delete(Delete),
}

impl Files {
    pub(super) async fn run(self) -> Result {
        match self {
            Self::Put(command) => command.run().await,
            Self::Get(command) => command.run().await,
            Self::List(command) => command.run().await,
            Self::Versions(command) => command.run().await,
            Self::Delete(command) => command.run().await,
        }
    }
}

/// Delete a file with all its versions
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  cloudnest files delete acme 0198… --token cnt_…")]
pub(super) struct Delete {
    /// The tenant
    #[arg(value_parser = slug)]
    tenant: Slug,
    /// The file's id
    id: Id,
    #[command(flatten)]
    remote: Remote,
}

impl Delete {
    async fn run(self) -> Result {
        let client = self.remote.client()?;
        let deleted = client.file_delete(self.tenant.as_str(), self.id).await;
        deleted.map_err(|error| self.remote.failure("delete the file", error))?;
        eprintln!("deleted {}", self.id);
        Ok(())
    }
}

/// The record that a file is attached to.
#[derive(Args, Clone, Debug)]
struct Attached {
    /// The collection of the record that it is attached to
    #[arg(long, value_name = "COLLECTION", requires = "record")]
    collection: Option<String>,
    /// The id of the record that it is attached to
    #[arg(long, value_name = "ID", requires = "collection")]
    record: Option<Id>,
}

impl Attached {
    fn to(&self) -> Option<AttachedTo> {
        let (collection, record) = (self.collection.clone()?, self.record?);
        Some(AttachedTo { collection, record })
    }
}
