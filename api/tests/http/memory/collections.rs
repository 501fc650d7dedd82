//! Collections and operations, over the maps of [`Memory`]. Changes are done at once; a collection named `slow` is deleted by an operation.

use api::body::collection::{Collection, CollectionSchema};
use api::body::control::Operation;
use api::error::{Code, Error, Result};
use api::ids::{Id, Name};
use api::service::{Changed, Collections, Reply, RequestContext, Stored};
use async_trait::async_trait;

use super::service::operation_body;
use super::{Memory, new_id};

#[async_trait]
impl Collections for Memory {
    async fn collections(&self, _ctx: &RequestContext) -> Result<Reply<Vec<Collection>>> {
        let body = self.state().collections.values().cloned().collect();
        Ok(Reply {
            body,
            position: self.position(),
        })
    }

    async fn collection(&self, _ctx: &RequestContext, name: &Name) -> Result<Reply<Collection>> {
        let found = self.state().collections.get(name.as_str()).cloned();
        let body = found.ok_or_else(|| Error::new(Code::NotFound, "there is no such collection"))?;
        Ok(Reply {
            body,
            position: self.position(),
        })
    }

    async fn collection_put(
        &self,
        _ctx: &RequestContext,
        name: &Name,
        schema: CollectionSchema,
        _if_match: Option<u64>,
    ) -> Result<Reply<Changed<Stored<Collection>>>> {
        let body = Collection {
            name: name.to_string(),
            version: 1,
            schema,
            change: None,
        };
        let created = self.state().collections.insert(name.to_string(), body.clone()).is_none();
        Ok(Reply {
            body: Changed::Done(Stored { body, created }),
            position: self.position(),
        })
    }

    async fn collection_delete(&self, _ctx: &RequestContext, name: &Name, _if_match: Option<u64>) -> Result<Reply<Changed<()>>> {
        if self.state().collections.remove(name.as_str()).is_some() && name.as_str() == "slow" {
            return Ok(Reply {
                body: Changed::Begun(Box::new(operation_body(new_id()))),
                position: self.position(),
            });
        }
        Ok(Reply {
            body: Changed::Done(()),
            position: self.position(),
        })
    }

    async fn tenant_operations(&self, _ctx: &RequestContext) -> Result<Reply<Vec<Operation>>> {
        Ok(Reply {
            body: vec![operation_body(new_id())],
            position: self.position(),
        })
    }

    async fn tenant_operation(&self, _ctx: &RequestContext, id: Id) -> Result<Reply<Operation>> {
        Ok(Reply {
            body: operation_body(id),
            position: self.position(),
        })
    }

    async fn operation_cancel(&self, ctx: &RequestContext, id: Id) -> Result<Reply<Operation>> {
        self.tenant_operation(ctx, id).await
    }
}
