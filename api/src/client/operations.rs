//! Calls whose work may take long: changes of collections, and the operations that do them. And the versions of records.

use std::time::Duration;

use http::{Method, StatusCode};
use tokio::time::Instant;

use super::tenant::{JSON, json, record_path};
use super::{Answer, Call, Client, ClientError};
use crate::body::collection::{Collection, CollectionSchema};
use crate::body::control::Operation;
use crate::body::record::{Page, Record, RecordVersion, Restore};
use crate::ids::Id;
use crate::service::Changed;

/// Between two looks at an operation, at first and at most.
const LOOK: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(1));
/// How long an operation is waited for.
const PATIENCE: Duration = Duration::from_secs(3_600);

impl Client {
    /// Creates a collection (status 201), or replaces its schema (200); or begins the operation that does (202).
    pub async fn collection_change(
        &self,
        tenant: &str,
        name: &str,
        schema: &CollectionSchema,
        if_match: Option<u64>,
    ) -> Result<Answer<Changed<Collection>>, ClientError> {
        let call = Call::new(Method::PUT, collection_path(tenant, name)).body(JSON, json(schema)?);
        self.changed(call.matching(if_match), |answer| answer.parse()).await
    }

    /// Creates a collection, or replaces its schema, and waits for the operation where there is one. A change that records do not fit is
    /// an error; [`Client::tenant_operation`] lists them.
    pub async fn collection_put(
        &self,
        tenant: &str,
        name: &str,
        schema: &CollectionSchema,
        if_match: Option<u64>,
    ) -> Result<Answer<Collection>, ClientError> {
        let Answer { status, headers, body } = self.collection_change(tenant, name, schema, if_match).await?;
        match body {
            Changed::Done(body) => Ok(Answer { status, headers, body }),
            Changed::Begun(operation) => {
                self.operation_decided(tenant, operation.id).await?;
                self.collection(tenant, name).await
            }
        }
    }

    /// Deletes a collection (status 204); where it has records, begins the operation that erases them (202). Its name is free at once.
    pub async fn collection_delete(
        &self,
        tenant: &str,
        name: &str,
        if_match: Option<u64>,
    ) -> Result<Answer<Changed<()>>, ClientError> {
        let call = Call::new(Method::DELETE, collection_path(tenant, name));
        self.changed(call.matching(if_match), |answer| Ok(answer.with(()))).await
    }

    /// The operations on a tenant's collections that are remembered, the newest last.
    pub async fn tenant_operations(&self, tenant: &str) -> Result<Answer<Page<Operation>>, ClientError> {
        self.typed(Call::new(Method::GET, format!("/v1/tenants/{tenant}/operations?limit=500")))
            .await
    }

    /// How far an operation on a tenant's collections is.
    pub async fn tenant_operation(&self, tenant: &str, id: Id) -> Result<Answer<Operation>, ClientError> {
        self.typed(Call::new(Method::GET, format!("/v1/tenants/{tenant}/operations/{id}")))
            .await
    }

    /// Calls an operation back, while it still can be.
    pub async fn operation_cancel(&self, tenant: &str, id: Id) -> Result<Answer<Operation>, ClientError> {
        self.typed(Call::new(
            Method::POST,
            format!("/v1/tenants/{tenant}/operations/{id}/cancel"),
        ))
        .await
    }

    /// Waits until an operation is done, an hour at most. One that failed or was cancelled is an error.
    pub async fn operation_decided(&self, tenant: &str, id: Id) -> Result<Operation, ClientError> {
        let (deadline, mut pause) = (Instant::now() + PATIENCE, LOOK.0);
        loop {
            let operation = self.tenant_operation(tenant, id).await?.body;
            match operation.status.as_str() {
                "running" if Instant::now() < deadline => {}
                "running" => return Err(ClientError::unanswered(format!("operation {id} takes longer than an hour"))),
                "done" => return Ok(operation),
                status => {
                    let why = operation.error.as_deref().unwrap_or("somebody called it back");
                    return Err(ClientError::unsent(format!("operation {id} is {status}: {why}")));
                }
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LOOK.1);
        }
    }

    /// The versions of a record, the newest first, after a page's cursor.
    pub async fn record_history(
        &self,
        tenant: &str,
        collection: &str,
        id: Id,
        cursor: Option<&str>,
    ) -> Result<Answer<Page<RecordVersion>>, ClientError> {
        let mut path = format!("{}/history", record_path(tenant, collection, id));
        if let Some(cursor) = cursor {
            path.push_str("?cursor=");
            path.push_str(cursor);
        }
        self.typed(Call::new(Method::GET, path)).await
    }

    /// Gives a record the fields of an older version again (status 200), also one that was deleted (201).
    pub async fn record_restore(
        &self,
        tenant: &str,
        collection: &str,
        id: Id,
        version: u64,
        if_match: Option<u64>,
        key: Option<&str>,
    ) -> Result<Answer<Record>, ClientError> {
        let path = format!("{}/restore", record_path(tenant, collection, id));
        let call = Call::new(Method::POST, path).body(JSON, json(&Restore { version })?);
        self.typed(call.matching(if_match).keyed(key)).await
    }

    /// A call that is done at once, or begins an operation.
    async fn changed<T>(
        &self,
        call: Call,
        done: impl FnOnce(Answer<bytes::Bytes>) -> Result<Answer<T>, ClientError>,
    ) -> Result<Answer<Changed<T>>, ClientError> {
        let answer = self.checked(call).await?;
        if answer.status == StatusCode::ACCEPTED {
            return answer
                .parse::<Operation>()
                .map(|answer| map(answer, |operation| Changed::Begun(Box::new(operation))));
        }
        done(answer).map(|answer| map(answer, Changed::Done))
    }
}

fn map<T, U>(answer: Answer<T>, body: impl FnOnce(T) -> U) -> Answer<U> {
    Answer {
        status: answer.status,
        headers: answer.headers,
        body: body(answer.body),
    }
}

fn collection_path(tenant: &str, name: &str) -> String {
    format!("/v1/tenants/{tenant}/collections/{name}")
}
