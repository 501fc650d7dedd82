//! Several changes, all or none, over any collections of a tenant.
//!
//! A new record gets its id here, so that a later operation can refer to it before anything is sent.

use serde::Serialize;

use super::{TenantClient, to_fields};
use crate::body::record::{Batch, BatchOperation, BatchReply, BatchVerb, Fields};
use crate::client::ClientError;
use crate::ids::Id;

/// The changes. At most 1,000.
#[derive(Debug)]
#[must_use = "nothing is sent before send"]
pub struct BatchBuilder {
    tenant: TenantClient,
    operations: Vec<BatchOperation>,
    /// The first operation that cannot be written down: told by `send`.
    failed: Option<ClientError>,
    key: Option<String>,
}

/// The operation that was added last.
#[derive(Debug)]
pub struct BatchSlot<'b> {
    operation: Option<&'b mut BatchOperation>,
}

impl BatchBuilder {
    pub(super) fn new(tenant: TenantClient) -> Self {
        Self {
            tenant,
            operations: Vec::new(),
            failed: None,
            key: None,
        }
    }

    /// A new record; its id is for later operations to refer to.
    pub fn create(&mut self, collection: &str, fields: &impl Serialize) -> Id {
        let id = Id(uuid::Uuid::now_v7());
        self.create_as(collection, id, fields);
        id
    }

    /// A new record with an id of the caller's own.
    pub fn create_as(&mut self, collection: &str, id: Id, fields: &impl Serialize) {
        self.add(BatchVerb::Create, collection, id, Some(to_fields(fields)));
    }

    /// Creates or replaces a record.
    pub fn put(&mut self, collection: &str, id: Id, fields: &impl Serialize) -> BatchSlot<'_> {
        self.add(BatchVerb::Put, collection, id, Some(to_fields(fields)))
    }

    /// Changes fields of a record.
    pub fn patch(&mut self, collection: &str, id: Id, patch: &impl Serialize) -> BatchSlot<'_> {
        self.add(BatchVerb::Patch, collection, id, Some(to_fields(patch)))
    }

    /// Deletes a record.
    pub fn delete(&mut self, collection: &str, id: Id) -> BatchSlot<'_> {
        self.add(BatchVerb::Delete, collection, id, None)
    }

    /// Changes nothing, but fails the batch unless the record exists.
    pub fn check(&mut self, collection: &str, id: Id) -> BatchSlot<'_> {
        self.add(BatchVerb::Check, collection, id, None)
    }

    /// An idempotency key of the caller's own.
    pub fn key(&mut self, key: impl Into<String>) {
        self.key = Some(key.into());
    }

    /// How many operations there are.
    pub fn len(&self) -> usize {
        self.operations.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.operations.is_empty()
    }

    /// Makes all changes, or none. Results come in the order of the operations; `TypedRecord::try_from` reads their records. Pointers
    /// of an error begin with `/operations/N`.
    pub async fn send(self) -> Result<BatchReply, ClientError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        let batch = Batch {
            operations: self.operations,
        };
        let tenant = &self.tenant;
        let answer = tenant.client.batch(&tenant.slug, &batch, self.key.as_deref()).await?;
        Ok(tenant.noted(answer).body)
    }

    fn add(&mut self, op: BatchVerb, collection: &str, id: Id, fields: Option<Result<Fields, ClientError>>) -> BatchSlot<'_> {
        let name = collection
            .parse()
            .map_err(|error: crate::ids::IdError| ClientError::unsent(error.to_string()));
        let operation = name.and_then(|collection| {
            Ok(BatchOperation {
                op,
                collection,
                id: Some(id),
                if_match: None,
                fields: fields.transpose()?,
            })
        });
        match operation {
            Ok(operation) => {
                self.operations.push(operation);
                BatchSlot {
                    operation: self.operations.last_mut(),
                }
            }
            Err(error) => {
                self.failed.get_or_insert(error);
                BatchSlot { operation: None }
            }
        }
    }
}

impl BatchSlot<'_> {
    /// Only if the record still has this version.
    pub fn if_version(self, version: u64) {
        if let Some(operation) = self.operation {
            operation.if_match = Some(version);
        }
    }
}
