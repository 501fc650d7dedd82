//! The calls that search.

use http::Method;

use super::call::Call;
use super::tenant::{JSON, json, push_parameter};
use super::{Answer, Client, ClientError};
use crate::body::search::{SearchQuery, SearchReply, SearchSettings};
use crate::service::Consistency;

impl Client {
    /// What is found by words; `fresh`: what the index must show, where that is not what is usual. A limit of 0 leaves the size to the server.
    pub async fn search(
        &self,
        tenant: &str,
        query: &SearchQuery,
        fresh: Option<Consistency>,
    ) -> Result<Answer<SearchReply>, ClientError> {
        let mut path = format!("/v1/tenants/{tenant}/search");
        push_parameter(&mut path, "q", &query.q);
        if let Some(collections) = &query.collections {
            let names: Vec<_> = collections.iter().map(|name| name.as_str()).collect();
            push_parameter(&mut path, "collections", &names.join(","));
        }
        if let Some(filter) = &query.filter {
            push_parameter(&mut path, "filter", filter);
        }
        if !query.facets.is_empty() {
            push_parameter(&mut path, "facets", &query.facets.join(","));
        }
        if query.highlight {
            push_parameter(&mut path, "highlight", "true");
        }
        if query.limit > 0 {
            push_parameter(&mut path, "limit", &query.limit.to_string());
        }
        if let Some(cursor) = &query.cursor {
            push_parameter(&mut path, "cursor", cursor);
        }
        match fresh {
            None => {}
            Some(Consistency::Strong) => push_parameter(&mut path, "consistency", "strong"),
            Some(Consistency::Local) => push_parameter(&mut path, "consistency", "local"),
            Some(Consistency::AtLeast(position)) => push_parameter(&mut path, "consistency", &format!("at-least:{position}")),
        }
        self.typed(Call::new(Method::GET, path)).await
    }

    /// How a tenant's records are searched.
    pub async fn search_settings(&self, tenant: &str) -> Result<Answer<SearchSettings>, ClientError> {
        self.typed(Call::new(Method::GET, format!("/v1/tenants/{tenant}/search/settings")))
            .await
    }

    /// Says how a tenant's records are searched.
    pub async fn search_set(&self, tenant: &str, settings: &SearchSettings) -> Result<Answer<SearchSettings>, ClientError> {
        let call = Call::new(Method::PUT, format!("/v1/tenants/{tenant}/search/settings"));
        self.typed(call.body(JSON, json(settings)?)).await
    }
}
