//! Records, over the maps of [`Memory`].

use api::body::record::{Batch, BatchReply, BatchResult, Fields, ListQuery, NewRecord, Page, Record, RecordVersion};
use api::body::rendered::Rendered;
use api::body::search::{SearchItem, SearchQuery, SearchReply, SearchSettings};
use api::error::{Code, Error, Result};
use api::ids::{Id, Name};
use api::service::{Consistency, Idempotency, Records, Reply, RequestContext, Stored};
use async_trait::async_trait;

use super::{Memory, TIME, new_id};

#[async_trait]
impl Records for Memory {
    async fn record_create(
        &self,
        _ctx: &RequestContext,
        collection: &Name,
        new: NewRecord,
        key: Option<Idempotency>,
    ) -> Result<Reply<Record>> {
        self.begin("record_create").await?;
        if let Some(key) = key
            && let Some((body, record)) = self.state().replies.get(&key.scope)
        {
            return match *body == key.body {
                true => Ok(Reply {
                    body: record.clone(),
                    position: 1,
                }),
                false => Err(Error::new(Code::IdempotencyMismatch, "the key was used with another body")),
            };
        }
        let stored = self.put(collection, new.id.unwrap_or_else(new_id), &new.fields, None)?;
        if let Some(key) = key {
            self.state().replies.insert(key.scope, (key.body, stored.body.body.clone()));
        }
        Ok(Reply {
            body: stored.body.body,
            position: stored.position,
        })
    }

    async fn record(&self, _ctx: &RequestContext, collection: &Name, id: Id, _: Vec<String>) -> Result<Reply<Record>> {
        self.begin("record").await?;
        Ok(Reply {
            body: self.get(collection, id)?,
            position: self.position(),
        })
    }

    async fn record_put(
        &self,
        _ctx: &RequestContext,
        collection: &Name,
        id: Id,
        fields: Fields,
        if_match: Option<u64>,
    ) -> Result<Reply<Stored<Record>>> {
        self.begin("record_put").await?;
        self.put(collection, id, &fields, if_match)
    }

    async fn record_patch(
        &self,
        _ctx: &RequestContext,
        collection: &Name,
        id: Id,
        patch: Fields,
        if_match: Option<u64>,
        _key: Option<Idempotency>,
    ) -> Result<Reply<Record>> {
        self.begin("record_patch").await?;
        let before = self.get(collection, id)?;
        let mut fields: Fields = serde_json::from_str(before.fields.get()).expect("an object");
        fields.extend(patch);
        let stored = self.put(collection, id, &fields, if_match)?;
        Ok(Reply {
            body: stored.body.body,
            position: stored.position,
        })
    }

    async fn record_delete(&self, _ctx: &RequestContext, collection: &Name, id: Id, _if_match: Option<u64>) -> Result<Reply<()>> {
        self.begin("record_delete").await?;
        self.get(collection, id)?;
        self.state().records.remove(&(collection.to_string(), id));
        Ok(Reply {
            body: (),
            position: self.position(),
        })
    }

    async fn records(&self, _ctx: &RequestContext, collection: &Name, query: ListQuery) -> Result<Reply<Rendered<Page<Record>>>> {
        self.begin("records").await?;
        let mut state = self.state();
        let of = state.records.iter().filter(|((name, _), _)| name == collection.as_str());
        let items: Vec<Record> = of.map(|(_, record)| record.clone()).take(query.limit).collect();
        if query.cursor.as_deref().is_some_and(|cursor| cursor != "good") {
            return Err(Error::new(Code::InvalidCursor, "the cursor is not one of this list"));
        }
        state.next_query = Some(query);
        let page = Page {
            items,
            next_cursor: None,
            count: None,
        };
        Ok(Reply {
            body: Rendered::of(&page).expect("JSON"),
            position: state.events.len() as u64,
        })
    }

    async fn search(&self, _ctx: &RequestContext, query: SearchQuery, fresh: Consistency) -> Result<Reply<SearchReply>> {
        self.begin("search").await?;
        let state = self.state();
        let named = |name: &str| {
            query
                .collections
                .as_ref()
                .is_none_or(|named| named.iter().any(|one| one.as_str() == name))
        };
        let found = state
            .records
            .iter()
            .filter(|((name, _), record)| named(name) && record.fields.get().contains(&query.q));
        let items = found.take(query.limit).map(|(_, record)| SearchItem {
            record: record.clone(),
            highlights: Default::default(),
        });
        Ok(Reply {
            body: SearchReply {
                items: items.collect(),
                next_cursor: None,
                total: None,
                facets: Default::default(),
                indexed: 1,
                building: fresh == Consistency::Local,
            },
            position: state.events.len() as u64,
        })
    }

    async fn search_settings(&self, _ctx: &RequestContext) -> Result<Reply<SearchSettings>> {
        self.begin("search_settings").await?;
        Ok(Reply {
            body: SearchSettings { language: None },
            position: self.position(),
        })
    }

    async fn search_set(&self, _ctx: &RequestContext, settings: SearchSettings) -> Result<Reply<SearchSettings>> {
        self.begin("search_set").await?;
        Ok(Reply {
            body: settings,
            position: self.position(),
        })
    }

    async fn batch(&self, _ctx: &RequestContext, batch: Batch, _key: Option<Idempotency>) -> Result<Reply<BatchReply>> {
        self.begin("batch").await?;
        let result = |operation: &api::body::record::BatchOperation| BatchResult {
            op: operation.op,
            id: operation.id.unwrap_or_else(new_id),
            record: None,
        };
        let results = batch.operations.iter().map(result).collect();
        Ok(Reply {
            body: BatchReply { results },
            position: self.position(),
        })
    }

    async fn record_history(
        &self,
        _ctx: &RequestContext,
        collection: &Name,
        id: Id,
        limit: usize,
        cursor: Option<u64>,
    ) -> Result<Reply<Page<RecordVersion>>> {
        self.begin("record_history").await?;
        let record = self.get(collection, id)?;
        let shown = (1..=record.version.min(cursor.unwrap_or(u64::MAX).saturating_sub(1)))
            .rev()
            .take(limit);
        let items: Vec<_> = shown
            .map(|version| RecordVersion {
                version,
                changed_at: TIME.into(),
                changed_by: None,
                deleted: false,
                fields: Some(record.fields.clone()),
            })
            .collect();
        let last = items.last().map(|item| item.version).filter(|version| *version > 1);
        Ok(Reply {
            body: Page {
                items,
                next_cursor: last.map(|version| version.to_string()),
                count: None,
            },
            position: self.position(),
        })
    }

    async fn record_restore(
        &self,
        ctx: &RequestContext,
        collection: &Name,
        id: Id,
        _version: u64,
        if_match: Option<u64>,
        _key: Option<Idempotency>,
    ) -> Result<Reply<Stored<Record>>> {
        let record = self.get(collection, id)?;
        let fields = serde_json::from_str(record.fields.get()).expect("fields");
        self.record_put(ctx, collection, id, fields, if_match).await
    }
}
