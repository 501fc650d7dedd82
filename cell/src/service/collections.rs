//! Collections as the HTTP front sees them: one short method a call.

use api::body::collection::{Collection, CollectionSchema};
use api::body::control::Operation;
use api::error::Result;
use api::ids::{Id, Name};
use api::service::{Changed, Collections, Reply, RequestContext, Stored};
use async_trait::async_trait;

use super::Front;

#[async_trait]
impl Collections for Front {
    async fn collections(&self, ctx: &RequestContext) -> Result<Reply<Vec<Collection>>> {
        self.list_collections(ctx)
    }

    async fn collection(&self, ctx: &RequestContext, name: &Name) -> Result<Reply<Collection>> {
        self.get_collection(ctx, name)
    }

    async fn collection_put(
        &self,
        ctx: &RequestContext,
        name: &Name,
        schema: CollectionSchema,
        if_match: Option<u64>,
    ) -> Result<Reply<Changed<Stored<Collection>>>> {
        self.put_collection(ctx, name, schema, if_match).await
    }

    async fn collection_delete(&self, ctx: &RequestContext, name: &Name, if_match: Option<u64>) -> Result<Reply<Changed<()>>> {
        self.delete_collection(ctx, name, if_match).await
    }

    async fn tenant_operations(&self, ctx: &RequestContext) -> Result<Reply<Vec<Operation>>> {
        self.list_operations(ctx)
    }

    async fn tenant_operation(&self, ctx: &RequestContext, id: Id) -> Result<Reply<Operation>> {
        self.show_operation(ctx, id)
    }

    async fn operation_cancel(&self, ctx: &RequestContext, id: Id) -> Result<Reply<Operation>> {
        self.cancel_operation(ctx, id).await
    }
}
