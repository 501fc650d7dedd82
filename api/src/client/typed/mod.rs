//! A tenant as its application sees it: builders that take and return the application's own types.
//!
//! [`Client::tenant`] → [`TenantClient`] → [`Records`], [`BatchBuilder`], [`EventsBuilder`], [`ImportBuilder`]. Each ends in `send` (or in a
//! stream), and each is one or more of the calls of [`Client`], with their retries.
//!
//! A tenant's client remembers the highest position that it was answered. A read with `own_writes` then may be served by any replica
//! that is as far: it sees all that this client and its clones wrote, and needs no word from the leader.

mod batch;
mod feed;
mod import;
mod list;
mod record;
mod search;
mod write;

use std::marker::PhantomData;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

pub use self::batch::{BatchBuilder, BatchSlot};
pub use self::feed::{EventFeed, EventsBuilder};
pub use self::import::ImportBuilder;
pub use self::list::{ListBuilder, RecordPage, RecordStream};
pub use self::record::{GetBuilder, TypedRecord};
pub use self::search::{FoundPage, FoundRecord, SearchBuilder};
pub use self::write::{CreateBuilder, DeleteBuilder, PatchBuilder, PutBuilder};
use super::{Answer, Client, ClientError, ExportStream};
use crate::body::collection::{Collection, CollectionSchema};
use crate::body::record::Fields;
use crate::body::token::Me;
use crate::ids::Id;
use crate::service::Consistency;

/// One tenant. Cheap to clone; clones share connections and the position.
#[derive(Clone, Debug)]
pub struct TenantClient {
    client: Client,
    slug: Arc<str>,
    /// The highest position that was answered.
    seen: Arc<AtomicU64>,
}

/// One collection of a tenant, whose records have fields of a type.
pub struct Records<T = Fields> {
    tenant: TenantClient,
    collection: Arc<str>,
    fields: PhantomData<fn() -> T>,
}

impl Client {
    /// A tenant, as its application sees it. Nothing is sent.
    pub fn tenant(&self, slug: &str) -> TenantClient {
        TenantClient {
            client: self.clone(),
            slug: slug.into(),
            seen: Arc::default(),
        }
    }
}

impl TenantClient {
    /// The tenant's slug.
    pub fn slug(&self) -> &str {
        &self.slug
    }

    /// The client below, whose calls take the tenant by its slug.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// The highest position that this client and its clones were answered; 0: none yet.
    pub fn position(&self) -> u64 {
        self.seen.load(Ordering::Acquire)
    }

    /// A collection, its fields as JSON; [`Records::of`] gives them a type.
    pub fn records(&self, collection: &str) -> Records {
        Records {
            tenant: self.clone(),
            collection: collection.into(),
            fields: PhantomData,
        }
    }

    /// Several changes, all or none.
    pub fn batch(&self) -> BatchBuilder {
        BatchBuilder::new(self.clone())
    }

    /// What is found by words, the best first.
    pub fn search(&self, words: &str) -> SearchBuilder {
        SearchBuilder::new(self.clone(), words)
    }

    /// What happened, and what happens.
    pub fn events(&self) -> EventsBuilder {
        EventsBuilder::new(self.clone())
    }

    /// Everything that the tenant owns, at one position.
    pub async fn export(&self) -> Result<ExportStream, ClientError> {
        self.client.export(&self.slug).await
    }

    /// Who this client's token is.
    pub async fn me(&self) -> Result<Me, ClientError> {
        self.client.me(&self.slug).await.map(|answer| self.noted(answer).body)
    }

    /// One collection's schema.
    pub async fn collection(&self, name: &str) -> Result<Collection, ClientError> {
        let answer = self.client.collection(&self.slug, name).await?;
        Ok(self.noted(answer).body)
    }

    /// Creates a collection, or replaces its schema.
    pub async fn collection_put(&self, name: &str, schema: &CollectionSchema) -> Result<Collection, ClientError> {
        let answer = self.client.collection_put(&self.slug, name, schema, None).await?;
        Ok(self.noted(answer).body)
    }

    /// Remembers an answer's position.
    fn noted<A>(&self, answer: Answer<A>) -> Answer<A> {
        if let Some(position) = answer.position() {
            self.seen(position);
        }
        answer
    }

    fn seen(&self, position: u64) {
        self.seen.fetch_max(position, Ordering::AcqRel);
    }
}

impl<T> Records<T> {
    /// The same collection with fields of a type: a struct whose names are those of fields. Fields that it does not have are not read;
    /// an absent value is left out by the server, so that it is an `Option` here, or has a default.
    pub fn of<U>(self) -> Records<U> {
        Records {
            tenant: self.tenant,
            collection: self.collection,
            fields: PhantomData,
        }
    }

    /// One record.
    pub fn get(&self, id: Id) -> GetBuilder<T> {
        GetBuilder::new(self.clone(), id)
    }

    /// Many records.
    pub fn list(&self) -> ListBuilder<T> {
        ListBuilder::new(self.clone())
    }

    /// A new record. What serialises as null is sent as null: leave out what a default is to fill
    /// (`#[serde(skip_serializing_if = "Option::is_none")]`).
    pub fn create(&self, fields: &T) -> CreateBuilder<T>
    where
        T: Serialize,
    {
        CreateBuilder::new(self.clone(), to_fields(fields))
    }

    /// Creates or replaces the record of an id.
    pub fn put(&self, id: Id, fields: &T) -> PutBuilder<T>
    where
        T: Serialize,
    {
        PutBuilder::new(self.clone(), id, to_fields(fields))
    }

    /// Changes fields of a record (RFC 7396: null takes a value away). The patch may be any struct or `serde_json::json!`.
    pub fn patch(&self, id: Id, patch: &(impl Serialize + ?Sized)) -> PatchBuilder<T> {
        PatchBuilder::new(self.clone(), id, to_fields(patch))
    }

    /// Deletes a record.
    pub fn delete(&self, id: Id) -> DeleteBuilder {
        DeleteBuilder::new(self.clone().of(), id)
    }

    /// Many new records, streamed.
    pub fn import<'f>(&self) -> ImportBuilder<'f> {
        ImportBuilder::new(self.clone().of())
    }
}

impl<T> Clone for Records<T> {
    fn clone(&self) -> Self {
        Self {
            tenant: self.tenant.clone(),
            collection: Arc::clone(&self.collection),
            fields: PhantomData,
        }
    }
}

impl<T> std::fmt::Debug for Records<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Records({}/{})", self.tenant.slug, self.collection)
    }
}

/// How fresh the reads of a builder are.
macro_rules! freshness {
    () => {
        /// How fresh it must be. Default: strong.
        pub fn consistency(mut self, consistency: crate::service::Consistency) -> Self {
            self.consistency = consistency;
            self
        }

        /// As fresh as a position: such as that of a change that another program made.
        pub fn at_least(self, position: u64) -> Self {
            self.consistency(crate::service::Consistency::AtLeast(position))
        }

        /// As fresh as all that this tenant's client was answered so far, from any replica.
        pub fn own_writes(mut self) -> Self {
            self.consistency = self.records.tenant.own_writes();
            self
        }
    };
}
use freshness;

impl TenantClient {
    fn own_writes(&self) -> Consistency {
        match self.position() {
            // Nothing was answered yet, and a position of 0 would be satisfied by an empty replica.
            0 => Consistency::Strong,
            position => Consistency::AtLeast(position),
        }
    }
}

/// A struct or map as fields.
fn to_fields(value: &(impl Serialize + ?Sized)) -> Result<Fields, ClientError> {
    match serde_json::to_value(value) {
        Ok(Value::Object(fields)) => Ok(fields),
        Ok(_) => Err(ClientError::unsent("the fields of a record must be a struct or a map")),
        Err(error) => Err(ClientError::unsent(format!("write the fields as JSON: {error}"))),
    }
}

/// An answer's record, read as a type.
fn typed<T: DeserializeOwned>(
    tenant: &TenantClient,
    answer: Answer<crate::body::record::Record>,
) -> Result<TypedRecord<T>, ClientError> {
    tenant.noted(answer).body.try_into()
}
