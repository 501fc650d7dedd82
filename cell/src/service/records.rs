//! Records as the HTTP front sees them: one short method a call.

use api::body::record::{
    Batch, BatchOperation, BatchReply, BatchVerb, Fields, ListQuery, NewRecord, Page, Record, RecordVersion,
};
use api::body::rendered::Rendered;
use api::body::search::{SearchQuery, SearchReply, SearchSettings};
use api::error::Result;
use api::ids::{Id, Name};
use api::service::{Consistency, Idempotency, Records, Reply, RequestContext, Stored};
use async_trait::async_trait;

use super::Front;

/// One operation on one record.
fn one(op: BatchVerb, collection: &Name, id: Option<Id>, if_match: Option<u64>, fields: Option<Fields>) -> BatchOperation {
    BatchOperation {
        op,
        collection: collection.clone(),
        id,
        if_match,
        fields,
    }
}

#[async_trait]
impl Records for Front {
    async fn record_create(
        &self,
        ctx: &RequestContext,
        collection: &Name,
        new: NewRecord,
        key: Option<Idempotency>,
    ) -> Result<Reply<Record>> {
        let stored = self
            .write_record(ctx, one(BatchVerb::Create, collection, new.id, None, Some(new.fields)), key)
            .await?;
        Ok(Reply {
            body: stored.body.body,
            position: stored.position,
        })
    }

    async fn record(&self, ctx: &RequestContext, collection: &Name, id: Id, expand: Vec<String>) -> Result<Reply<Record>> {
        self.get_record(ctx, collection, id, &expand)
    }

    async fn record_put(
        &self,
        ctx: &RequestContext,
        collection: &Name,
        id: Id,
        fields: Fields,
        if_match: Option<u64>,
    ) -> Result<Reply<Stored<Record>>> {
        self.write_record(ctx, one(BatchVerb::Put, collection, Some(id), if_match, Some(fields)), None)
            .await
    }

    async fn record_patch(
        &self,
        ctx: &RequestContext,
        collection: &Name,
        id: Id,
        patch: Fields,
        if_match: Option<u64>,
        key: Option<Idempotency>,
    ) -> Result<Reply<Record>> {
        let stored = self
            .write_record(ctx, one(BatchVerb::Patch, collection, Some(id), if_match, Some(patch)), key)
            .await?;
        Ok(Reply {
            body: stored.body.body,
            position: stored.position,
        })
    }

    async fn record_delete(&self, ctx: &RequestContext, collection: &Name, id: Id, if_match: Option<u64>) -> Result<Reply<()>> {
        self.delete_record(ctx, one(BatchVerb::Delete, collection, Some(id), if_match, None))
            .await
    }

    async fn record_history(
        &self,
        ctx: &RequestContext,
        collection: &Name,
        id: Id,
        limit: usize,
        cursor: Option<u64>,
    ) -> Result<Reply<Page<RecordVersion>>> {
        self.list_versions(ctx, collection, id, limit, cursor)
    }

    async fn record_restore(
        &self,
        ctx: &RequestContext,
        collection: &Name,
        id: Id,
        version: u64,
        if_match: Option<u64>,
        key: Option<Idempotency>,
    ) -> Result<Reply<Stored<Record>>> {
        self.restore_record(ctx, collection, id, version, if_match, key).await
    }

    async fn records(&self, ctx: &RequestContext, collection: &Name, query: ListQuery) -> Result<Reply<Rendered<Page<Record>>>> {
        self.list_records(ctx, collection, query).await
    }

    async fn search(&self, ctx: &RequestContext, query: SearchQuery, fresh: Consistency) -> Result<Reply<SearchReply>> {
        self.search_records(ctx, query, fresh).await
    }

    async fn search_settings(&self, ctx: &RequestContext) -> Result<Reply<SearchSettings>> {
        self.show_search(ctx)
    }

    async fn search_set(&self, ctx: &RequestContext, settings: SearchSettings) -> Result<Reply<SearchSettings>> {
        self.set_search(ctx, settings).await
    }

    async fn batch(&self, ctx: &RequestContext, batch: Batch, key: Option<Idempotency>) -> Result<Reply<BatchReply>> {
        self.write_batch(ctx, batch, key).await
    }
}
