//! What the front asks of the platform about documents.

use async_trait::async_trait;
use bytes::Bytes;

use super::RequestContext;
use crate::error::Result;
use crate::ids::{Id, Name};

/// A document: a field of a record.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct DocumentAt {
    /// The collection.
    pub collection: Name,
    /// The record.
    pub id: Id,
    /// The field.
    pub field: Name,
}

/// What somebody lacks of a document, as the library of Yjs writes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lacking {
    /// An update with it.
    pub update: Bytes,
    /// How much the document has of each client: what others have beyond that is asked of them.
    pub state_vector: Bytes,
    /// The number of the last update that is in it: they are counted from 1.
    pub last: u64,
}

/// Documents, at the tenant's leader.
#[async_trait]
pub trait Documents {
    /// What somebody who has as much as `state_vector` says lacks of a document; none: who has nothing.
    async fn document(&self, ctx: &RequestContext, at: &DocumentAt, state_vector: Option<Bytes>) -> Result<Lacking>;
    /// The number of a document's last update, for who may read it; 0: it has none.
    fn document_last(&self, ctx: &RequestContext, at: &DocumentAt) -> Result<u64>;
    /// Adds an update to a document. Its number; none: it says nothing.
    async fn document_update(&self, ctx: &RequestContext, at: &DocumentAt, update: Bytes) -> Result<Option<u64>>;
}
