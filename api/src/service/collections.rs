//! What the front asks of the platform about collections, and about the operations that bring their records along.

use async_trait::async_trait;

use super::{Reply, RequestContext, Stored};
use crate::body::collection::{Collection, CollectionSchema};
use crate::body::control::Operation;
use crate::error::Result;
use crate::ids::{Id, Name};

/// What a change of a collection came to.
#[derive(Clone, Debug)]
pub enum Changed<T> {
    /// It is done.
    Done(T),
    /// An operation does it.
    Begun(Box<Operation>),
}

/// A tenant's collections and operations.
#[async_trait]
pub trait Collections {
    /// All collections.
    async fn collections(&self, ctx: &RequestContext) -> Result<Reply<Vec<Collection>>>;
    /// One collection.
    async fn collection(&self, ctx: &RequestContext, name: &Name) -> Result<Reply<Collection>>;
    /// Creates a collection, or replaces its schema: at once, or by an operation where its records must be brought along.
    async fn collection_put(
        &self,
        ctx: &RequestContext,
        name: &Name,
        schema: CollectionSchema,
        if_match: Option<u64>,
    ) -> Result<Reply<Changed<Stored<Collection>>>>;
    /// Deletes a collection: at once, or by an operation where it has records.
    async fn collection_delete(&self, ctx: &RequestContext, name: &Name, if_match: Option<u64>) -> Result<Reply<Changed<()>>>;
    /// The operations that are remembered, the oldest first.
    async fn tenant_operations(&self, ctx: &RequestContext) -> Result<Reply<Vec<Operation>>>;
    /// How far an operation is.
    async fn tenant_operation(&self, ctx: &RequestContext, id: Id) -> Result<Reply<Operation>>;
    /// Calls an operation back.
    async fn operation_cancel(&self, ctx: &RequestContext, id: Id) -> Result<Reply<Operation>>;
}
