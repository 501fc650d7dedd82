//! Changes of one record.

use serde::de::DeserializeOwned;

use super::{Records, TypedRecord, typed};
use crate::body::record::{Fields, NewRecord};
use crate::client::ClientError;
use crate::ids::Id;

/// A new record.
#[derive(Debug)]
#[must_use = "nothing is sent before send"]
pub struct CreateBuilder<T> {
    records: Records<T>,
    fields: Result<Fields, ClientError>,
    id: Option<Id>,
    key: Option<String>,
}

/// A record that is created or replaced.
#[derive(Debug)]
#[must_use = "nothing is sent before send"]
pub struct PutBuilder<T> {
    records: Records<T>,
    id: Id,
    fields: Result<Fields, ClientError>,
    version: Option<u64>,
}

/// A record of which fields are changed.
#[derive(Debug)]
#[must_use = "nothing is sent before send"]
pub struct PatchBuilder<T> {
    records: Records<T>,
    id: Id,
    patch: Result<Fields, ClientError>,
    version: Option<u64>,
    key: Option<String>,
}

/// A record that is deleted.
#[derive(Debug)]
#[must_use = "nothing is sent before send"]
pub struct DeleteBuilder {
    records: Records,
    id: Id,
    version: Option<u64>,
}

/// An idempotency key of the caller's own.
macro_rules! keyed {
    () => {
        /// An idempotency key of the caller's own, such as the number of an order: the same change sent again, by whichever process,
        /// has one effect and one answer. Where it is left out the client makes one a call.
        pub fn key(mut self, key: impl Into<String>) -> Self {
            self.key = Some(key.into());
            self
        }
    };
}

/// The version that the record must have.
macro_rules! versioned {
    () => {
        /// Only if the record still has this version; otherwise the error is `Code::VersionMismatch`.
        pub fn if_version(mut self, version: u64) -> Self {
            self.version = Some(version);
            self
        }
    };
}

impl<T> CreateBuilder<T> {
    pub(super) fn new(records: Records<T>, fields: Result<Fields, ClientError>) -> Self {
        Self {
            records,
            fields,
            id: None,
            key: None,
        }
    }

    /// With an id of the caller's own. Where it is left out the server makes one.
    pub fn id(mut self, id: Id) -> Self {
        self.id = Some(id);
        self
    }

    keyed!();
}

impl<T: DeserializeOwned> CreateBuilder<T> {
    /// The record as it was made: with its id, its defaults and its numbers.
    pub async fn send(self) -> Result<TypedRecord<T>, ClientError> {
        let Records { tenant, collection, .. } = &self.records;
        let new = NewRecord {
            id: self.id,
            fields: self.fields?,
        };
        let made = tenant
            .client
            .record_create(&tenant.slug, collection, &new, self.key.as_deref());
        typed(tenant, made.await?)
    }
}

impl<T> PutBuilder<T> {
    pub(super) fn new(records: Records<T>, id: Id, fields: Result<Fields, ClientError>) -> Self {
        Self {
            records,
            id,
            fields,
            version: None,
        }
    }

    versioned!();
}

impl<T: DeserializeOwned> PutBuilder<T> {
    /// The record after it.
    pub async fn send(self) -> Result<TypedRecord<T>, ClientError> {
        let Records { tenant, collection, .. } = &self.records;
        let fields = self.fields?;
        let put = tenant
            .client
            .record_put(&tenant.slug, collection, self.id, &fields, self.version);
        typed(tenant, put.await?)
    }
}

impl<T> PatchBuilder<T> {
    pub(super) fn new(records: Records<T>, id: Id, patch: Result<Fields, ClientError>) -> Self {
        Self {
            records,
            id,
            patch,
            version: None,
            key: None,
        }
    }

    versioned!();
    keyed!();
}

impl<T: DeserializeOwned> PatchBuilder<T> {
    /// The record after it.
    pub async fn send(self) -> Result<TypedRecord<T>, ClientError> {
        let Records { tenant, collection, .. } = &self.records;
        let (patch, key) = (self.patch?, self.key.as_deref());
        let patched = tenant
            .client
            .record_patch(&tenant.slug, collection, self.id, &patch, self.version, key);
        typed(tenant, patched.await?)
    }
}

impl DeleteBuilder {
    pub(super) fn new(records: Records, id: Id) -> Self {
        Self {
            records,
            id,
            version: None,
        }
    }

    versioned!();

    /// Deletes it.
    pub async fn send(self) -> Result<(), ClientError> {
        let Records { tenant, collection, .. } = &self.records;
        let deleted = tenant
            .client
            .record_delete(&tenant.slug, collection, self.id, self.version)
            .await?;
        tenant.noted(deleted);
        Ok(())
    }
}
