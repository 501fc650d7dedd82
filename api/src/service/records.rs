//! What the front asks of the platform about records.

use async_trait::async_trait;

use super::{Consistency, Idempotency, Reply, RequestContext, Stored};
use crate::body::record::{Batch, BatchReply, Fields, ListQuery, NewRecord, Page, Record, RecordVersion};
use crate::body::rendered::Rendered;
use crate::body::search::{SearchQuery, SearchReply, SearchSettings};
use crate::error::Result;
use crate::ids::{Id, Name};

/// A tenant's records: one, many, their versions, and batches.
#[async_trait]
pub trait Records {
    /// A new record.
    async fn record_create(
        &self,
        ctx: &RequestContext,
        collection: &Name,
        new: NewRecord,
        key: Option<Idempotency>,
    ) -> Result<Reply<Record>>;
    /// One record.
    async fn record(&self, ctx: &RequestContext, collection: &Name, id: Id, expand: Vec<String>) -> Result<Reply<Record>>;
    /// Creates or replaces a record.
    async fn record_put(
        &self,
        ctx: &RequestContext,
        collection: &Name,
        id: Id,
        fields: Fields,
        if_match: Option<u64>,
    ) -> Result<Reply<Stored<Record>>>;
    /// Merges into a record (RFC 7396).
    async fn record_patch(
        &self,
        ctx: &RequestContext,
        collection: &Name,
        id: Id,
        patch: Fields,
        if_match: Option<u64>,
        key: Option<Idempotency>,
    ) -> Result<Reply<Record>>;
    /// Deletes a record.
    async fn record_delete(&self, ctx: &RequestContext, collection: &Name, id: Id, if_match: Option<u64>) -> Result<Reply<()>>;
    /// The versions of a record, the newest first, below `cursor`.
    async fn record_history(
        &self,
        ctx: &RequestContext,
        collection: &Name,
        id: Id,
        limit: usize,
        cursor: Option<u64>,
    ) -> Result<Reply<Page<RecordVersion>>>;
    /// Gives a record the fields of an older version again, also one that was deleted.
    async fn record_restore(
        &self,
        ctx: &RequestContext,
        collection: &Name,
        id: Id,
        version: u64,
        if_match: Option<u64>,
        key: Option<Idempotency>,
    ) -> Result<Reply<Stored<Record>>>;
    /// What is found by words; `fresh`: what the index must show.
    async fn search(&self, ctx: &RequestContext, query: SearchQuery, fresh: Consistency) -> Result<Reply<SearchReply>>;
    /// How the tenant's records are searched.
    async fn search_settings(&self, ctx: &RequestContext) -> Result<Reply<SearchSettings>>;
    /// Says how the tenant's records are searched.
    async fn search_set(&self, ctx: &RequestContext, settings: SearchSettings) -> Result<Reply<SearchSettings>>;
    /// One page of records.
    async fn records(&self, ctx: &RequestContext, collection: &Name, query: ListQuery) -> Result<Reply<Rendered<Page<Record>>>>;
    /// Several operations, all or none.
    async fn batch(&self, ctx: &RequestContext, batch: Batch, key: Option<Idempotency>) -> Result<Reply<BatchReply>>;
}
