//! Searches: what is found by words, as the application's own types or as JSON.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;

use super::{TenantClient, TypedRecord};
use crate::body::record::Fields;
use crate::body::search::{FacetCount, SearchQuery, SearchTotal};
use crate::client::ClientError;
use crate::ids::Name;
use crate::service::Consistency;

/// A search.
#[derive(Debug)]
#[must_use = "nothing is searched before send"]
pub struct SearchBuilder {
    tenant: TenantClient,
    query: SearchQuery,
    /// The first name that is none.
    wrong: Option<String>,
    fresh: Option<Consistency>,
}

/// One page of what was found.
#[derive(Clone, Debug)]
pub struct FoundPage<T = Fields> {
    /// The records, the best first.
    pub items: Vec<FoundRecord<T>>,
    /// What [`SearchBuilder::cursor`] takes to go on; none at the end.
    pub next_cursor: Option<String>,
    /// How many there are, with the first page.
    pub total: Option<SearchTotal>,
    /// What [`SearchBuilder::facet`] asked for, with the first page.
    pub facets: BTreeMap<String, Vec<FacetCount>>,
    /// The tenant's position that the index showed.
    pub indexed: u64,
    /// The index is being built: not everything is found yet.
    pub building: bool,
}

/// A record that was found.
#[derive(Clone, Debug)]
pub struct FoundRecord<T = Fields> {
    /// Its collection.
    pub collection: String,
    /// The record, as it is now.
    pub record: TypedRecord<T>,
    /// Excerpts as HTML, by the names of fields, where [`SearchBuilder::highlight`] asked for them.
    pub highlights: BTreeMap<String, String>,
}

impl SearchBuilder {
    pub(super) fn new(tenant: TenantClient, words: &str) -> Self {
        Self {
            tenant,
            query: SearchQuery {
                q: words.to_owned(),
                ..SearchQuery::default()
            },
            wrong: None,
            fresh: None,
        }
    }

    /// Looks into this collection, and others that are named likewise. Default: all that have fields to search.
    pub fn within(mut self, collection: &str) -> Self {
        match collection.parse::<Name>() {
            Ok(name) => self.query.collections.get_or_insert_default().push(name),
            Err(_) => self.wrong = self.wrong.or_else(|| Some(collection.to_owned())),
        }
        self
    }

    /// Only records of which a CEL expression over the names of fields is true.
    pub fn filter(mut self, expression: &str) -> Self {
        self.query.filter = Some(expression.to_owned());
        self
    }

    /// With counts of the values of a field, or of `collection`.
    pub fn facet(mut self, name: &str) -> Self {
        self.query.facets.push(name.to_owned());
        self
    }

    /// With excerpts that show where the words are.
    pub fn highlight(mut self) -> Self {
        self.query.highlight = true;
        self
    }

    /// Most records a page, up to 500. Default: 50.
    pub fn limit(mut self, limit: usize) -> Self {
        self.query.limit = limit;
        self
    }

    /// Goes on where a page ended.
    pub fn cursor(mut self, cursor: impl Into<String>) -> Self {
        self.query.cursor = Some(cursor.into());
        self
    }

    /// What the index must show. Default: what was written two seconds ago.
    pub fn consistency(mut self, consistency: Consistency) -> Self {
        self.fresh = Some(consistency);
        self
    }

    /// The index must show all that this tenant's client was answered so far.
    pub fn own_writes(self) -> Self {
        let seen = self.tenant.own_writes();
        self.consistency(seen)
    }

    /// One page.
    pub async fn send<T: DeserializeOwned>(self) -> Result<FoundPage<T>, ClientError> {
        if let Some(wrong) = self.wrong {
            return Err(ClientError::unsent(format!("{wrong:?} is no name of a collection")));
        }
        let found = self.tenant.client.search(&self.tenant.slug, &self.query, self.fresh).await?;
        let body = self.tenant.noted(found).body;
        let item = |item: crate::body::search::SearchItem| {
            Ok(FoundRecord {
                collection: item.record.collection.clone(),
                record: item.record.try_into()?,
                highlights: item.highlights,
            })
        };
        let items: Result<Vec<_>, ClientError> = body.items.into_iter().map(item).collect();
        Ok(FoundPage {
            items: items?,
            next_cursor: body.next_cursor,
            total: body.total,
            facets: body.facets,
            indexed: body.indexed,
            building: body.building,
        })
    }
}
