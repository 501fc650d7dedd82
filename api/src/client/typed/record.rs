//! One record, read as a type.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;

use super::{Records, freshness, typed};
use crate::body::record::{Fields, Record};
use crate::client::ClientError;
use crate::error::Code;
use crate::ids::Id;
use crate::service::Consistency;

/// A record whose fields have a type.
#[derive(Clone, Debug)]
pub struct TypedRecord<T = Fields> {
    /// Its id.
    pub id: Id,
    /// Its collection.
    pub collection: String,
    /// Raised by each change, from 1: what `if_version` takes.
    pub version: u64,
    /// RFC 3339, UTC.
    pub created_at: String,
    /// RFC 3339, UTC.
    pub updated_at: String,
    /// The principal that created it.
    pub created_by: String,
    /// Its fields.
    pub fields: T,
    /// The records that `expand` asked for, by the name of the field that refers to them.
    pub expand: BTreeMap<String, Record>,
}

impl<T> TypedRecord<T> {
    /// The record that a field refers to, read as a type of its own; none: it was not asked for, there is none, or it is hidden.
    pub fn expanded<U: DeserializeOwned>(&self, field: &str) -> Result<Option<TypedRecord<U>>, ClientError> {
        self.expand.get(field).map(|record| record.clone().try_into()).transpose()
    }
}

impl<T: DeserializeOwned> TryFrom<Record> for TypedRecord<T> {
    type Error = ClientError;

    fn try_from(record: Record) -> Result<Self, ClientError> {
        let fields = serde_json::from_str(record.fields.get()).map_err(|error| ClientError::Unfit {
            message: format!(
                "{}/{} does not fit {}: {error}",
                record.collection,
                record.id,
                std::any::type_name::<T>()
            ),
        })?;
        Ok(Self {
            id: record.id,
            collection: record.collection,
            version: record.version,
            created_at: record.created_at,
            updated_at: record.updated_at,
            created_by: record.created_by,
            fields,
            expand: record.expand,
        })
    }
}

/// A read of one record.
#[derive(Debug)]
#[must_use = "nothing is read before send or find"]
pub struct GetBuilder<T> {
    records: Records<T>,
    id: Id,
    consistency: Consistency,
    expand: Vec<String>,
}

impl<T> GetBuilder<T> {
    pub(super) fn new(records: Records<T>, id: Id) -> Self {
        Self {
            records,
            id,
            consistency: Consistency::Strong,
            expand: Vec::new(),
        }
    }

    freshness!();

    /// With the record that a field refers to; once a field.
    pub fn expand(mut self, field: &str) -> Self {
        self.expand.push(field.to_owned());
        self
    }
}

impl<T: DeserializeOwned> GetBuilder<T> {
    /// The record.
    pub async fn send(self) -> Result<TypedRecord<T>, ClientError> {
        let Records { tenant, collection, .. } = &self.records;
        let answer = tenant
            .client
            .record_with(&tenant.slug, collection, self.id, &self.expand, self.consistency)
            .await?;
        typed(tenant, answer)
    }

    /// The record; none where there is none, or where a rule hides it.
    pub async fn find(self) -> Result<Option<TypedRecord<T>>, ClientError> {
        match self.send().await {
            Ok(record) => Ok(Some(record)),
            Err(error) if error.kind() == Some(Code::NotFound) => Ok(None),
            Err(error) => Err(error),
        }
    }
}
