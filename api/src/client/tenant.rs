//! Calls to a tenant: tokens, collections, records, batches.
//!
//! Tenants and collections are texts here, not [`crate::ids`]: the server checks them, and tests send bad ones on purpose.

use bytes::Bytes;
use http::Method;
use serde::Serialize;

use super::{Answer, Call, Client, ClientError};
use crate::body::collection::Collection;
use crate::body::record::{Batch, BatchReply, Fields, ListQuery, NewRecord, Page, Record};
use crate::body::token::{Me, NewToken, Token};
use crate::body::usage::Usage;
use crate::ids::Id;
use crate::service::Consistency;

pub(super) const JSON: &str = "application/json";

/// The body of PUT and PATCH, without a copy of the fields.
#[derive(Serialize)]
struct FieldsRef<'a> {
    fields: &'a Fields,
}

impl Client {
    /// Who this token is.
    pub async fn me(&self, tenant: &str) -> Result<Answer<Me>, ClientError> {
        self.typed(Call::new(Method::GET, format!("/v1/tenants/{tenant}/me"))).await
    }

    /// What the tenant may use, and has used.
    pub async fn usage(&self, tenant: &str) -> Result<Answer<Usage>, ClientError> {
        self.typed(Call::new(Method::GET, format!("/v1/tenants/{tenant}/usage")))
            .await
    }

    /// All API keys, without secrets.
    pub async fn tokens(&self, tenant: &str) -> Result<Answer<Page<Token>>, ClientError> {
        self.typed(Call::new(Method::GET, format!("/v1/tenants/{tenant}/tokens?limit=500")))
            .await
    }

    /// A new API key; its secret is in the reply and nowhere else. Works with an operator's token too.
    pub async fn token_create(&self, tenant: &str, new: &NewToken, key: Option<&str>) -> Result<Answer<Token>, ClientError> {
        let call = Call::new(Method::POST, format!("/v1/tenants/{tenant}/tokens")).body(JSON, json(new)?);
        self.typed(call.keyed(key)).await
    }

    /// Revokes an API key.
    pub async fn token_delete(&self, tenant: &str, id: Id) -> Result<Answer<()>, ClientError> {
        self.empty(Call::new(Method::DELETE, format!("/v1/tenants/{tenant}/tokens/{id}")))
            .await
    }

    /// All collections.
    pub async fn collections(&self, tenant: &str) -> Result<Answer<Page<Collection>>, ClientError> {
        self.typed(Call::new(Method::GET, format!("/v1/tenants/{tenant}/collections?limit=500")))
            .await
    }

    /// One collection.
    pub async fn collection(&self, tenant: &str, name: &str) -> Result<Answer<Collection>, ClientError> {
        self.typed(Call::new(Method::GET, format!("/v1/tenants/{tenant}/collections/{name}")))
            .await
    }

    /// A new record.
    pub async fn record_create(
        &self,
        tenant: &str,
        collection: &str,
        new: &NewRecord,
        key: Option<&str>,
    ) -> Result<Answer<Record>, ClientError> {
        let call = Call::new(Method::POST, format!("/v1/tenants/{tenant}/records/{collection}")).body(JSON, json(new)?);
        self.typed(call.keyed(key)).await
    }

    /// One record.
    pub async fn record(
        &self,
        tenant: &str,
        collection: &str,
        id: Id,
        consistency: Consistency,
    ) -> Result<Answer<Record>, ClientError> {
        self.record_with(tenant, collection, id, &[], consistency).await
    }

    /// One record with the records that some of its fields refer to.
    pub async fn record_with(
        &self,
        tenant: &str,
        collection: &str,
        id: Id,
        expand: &[String],
        consistency: Consistency,
    ) -> Result<Answer<Record>, ClientError> {
        let mut path = record_path(tenant, collection, id);
        if !expand.is_empty() {
            push_parameter(&mut path, "expand", &expand.join(","));
        }
        push_consistency(&mut path, consistency);
        self.typed(Call::new(Method::GET, path)).await
    }

    /// Creates (status 201) or replaces (200) a record.
    pub async fn record_put(
        &self,
        tenant: &str,
        collection: &str,
        id: Id,
        fields: &Fields,
        if_match: Option<u64>,
    ) -> Result<Answer<Record>, ClientError> {
        let call = Call::new(Method::PUT, record_path(tenant, collection, id)).body(JSON, json(&FieldsRef { fields })?);
        self.typed(call.matching(if_match)).await
    }

    /// Merges into a record (RFC 7396).
    pub async fn record_patch(
        &self,
        tenant: &str,
        collection: &str,
        id: Id,
        patch: &Fields,
        if_match: Option<u64>,
        key: Option<&str>,
    ) -> Result<Answer<Record>, ClientError> {
        let body = json(&FieldsRef { fields: patch })?;
        let call = Call::new(Method::PATCH, record_path(tenant, collection, id)).body(JSON, body);
        self.typed(call.matching(if_match).keyed(key)).await
    }

    /// Deletes a record.
    pub async fn record_delete(
        &self,
        tenant: &str,
        collection: &str,
        id: Id,
        if_match: Option<u64>,
    ) -> Result<Answer<()>, ClientError> {
        self.empty(Call::new(Method::DELETE, record_path(tenant, collection, id)).matching(if_match))
            .await
    }

    /// One page of records. A limit of 0 leaves the size to the server.
    pub async fn records(
        &self,
        tenant: &str,
        collection: &str,
        query: &ListQuery,
        consistency: Consistency,
    ) -> Result<Answer<Page<Record>>, ClientError> {
        let mut path = format!("/v1/tenants/{tenant}/records/{collection}");
        if query.limit > 0 {
            push_parameter(&mut path, "limit", &query.limit.to_string());
        }
        if let Some(cursor) = &query.cursor {
            push_parameter(&mut path, "cursor", cursor);
        }
        if let Some(filter) = &query.filter {
            push_parameter(&mut path, "filter", filter);
        }
        if let Some(order) = &query.order {
            push_parameter(&mut path, "order", order);
        }
        if let Some(fields) = &query.fields {
            push_parameter(&mut path, "fields", &fields.join(","));
        }
        if !query.expand.is_empty() {
            push_parameter(&mut path, "expand", &query.expand.join(","));
        }
        if query.count {
            push_parameter(&mut path, "count", "true");
        }
        for (field, value) in &query.equals {
            push_parameter(&mut path, field, value);
        }
        push_consistency(&mut path, consistency);
        self.typed(Call::new(Method::GET, path)).await
    }

    /// Several operations, all or none.
    pub async fn batch(&self, tenant: &str, batch: &Batch, key: Option<&str>) -> Result<Answer<BatchReply>, ClientError> {
        let call = Call::new(Method::POST, format!("/v1/tenants/{tenant}/batch")).body(JSON, json(batch)?);
        self.typed(call.keyed(key)).await
    }

    async fn empty(&self, call: Call) -> Result<Answer<()>, ClientError> {
        Ok(self.checked(call).await?.with(()))
    }
}

impl Call {
    /// With an idempotency key, where there is one.
    #[must_use]
    pub fn keyed(self, key: Option<&str>) -> Self {
        match key {
            Some(key) => self.header("idempotency-key", key),
            None => self,
        }
    }

    /// With the version that `If-Match` names, where there is one.
    #[must_use]
    pub fn matching(self, version: Option<u64>) -> Self {
        match version {
            Some(version) => self.header("if-match", &format!("\"{version}\"")),
            None => self,
        }
    }
}

pub(super) fn record_path(tenant: &str, collection: &str, id: Id) -> String {
    format!("/v1/tenants/{tenant}/records/{collection}/{id}")
}

/// A body as JSON.
pub(super) fn json<T: Serialize>(body: &T) -> Result<Bytes, ClientError> {
    match serde_json::to_vec(body) {
        Ok(bytes) => Ok(bytes.into()),
        Err(error) => Err(ClientError::unsent(format!("write the request as JSON: {error}"))),
    }
}

fn push_consistency(path: &mut String, consistency: Consistency) {
    match consistency {
        Consistency::Strong => {}
        Consistency::Local => push_parameter(path, "consistency", "local"),
        Consistency::AtLeast(position) => push_parameter(path, "consistency", &format!("at-least:{position}")),
    }
}

/// Adds a query parameter, percent-encoded.
pub(super) fn push_parameter(path: &mut String, name: &str, value: &str) {
    path.push(if path.contains('?') { '&' } else { '?' });
    push_encoded(path, name);
    path.push('=');
    push_encoded(path, value);
}

fn push_encoded(path: &mut String, text: &str) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~:,".contains(&byte) {
            path.push(char::from(byte));
        } else {
            path.push('%');
            path.push(char::from(HEX[usize::from(byte >> 4)]));
            path.push(char::from(HEX[usize::from(byte & 15)]));
        }
    }
}
