//! Tenants for a run: made through the typed client, with their admin token.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result};
use api::body::collection::{CollectionSchema, Field, FieldType, IndexSchema};
use api::body::control::NewTenant;
use api::client::{Balance, Client};

use crate::cluster::Cluster;

/// Attempts of a call before it counts as failed: about ten seconds with the client's own pauses.
const RETRIES: u32 = 20;
/// How long one attempt may take.
const TIMEOUT: Duration = Duration::from_secs(20);

/// A tenant and how to reach it.
#[derive(Clone, Debug)]
pub struct Tenant {
    /// Its slug.
    pub slug: String,
    /// Its first admin token.
    pub token: String,
    /// A client with that token over all nodes of its region; a failed node is left for the next.
    pub client: Client,
}

/// A client over several nodes, with retries.
pub fn client(addresses: &[SocketAddr], token: &str) -> Result<Client> {
    let urls: Vec<_> = addresses.iter().map(|address| format!("http://{address}")).collect();
    let first = urls.first().context("a client needs a node")?;
    let client = Client::new(first, token)?.with_base_urls(&urls, Balance::Failover)?;
    Ok(client.with_retries(RETRIES).with_timeout(TIMEOUT))
}

/// A client of one node, without retries.
pub fn client_of(address: SocketAddr, token: &str) -> Result<Client> {
    Ok(Client::new(&format!("http://{address}"), token)?.with_timeout(TIMEOUT))
}

/// A new tenant in the first region of a cluster; with a template, or with no collections.
pub async fn create(cluster: &Cluster, slug: &str, template: Option<&str>) -> Result<Tenant> {
    create_in(cluster, cluster.layout().regions()[0], slug, template).await
}

/// A new tenant in a region of a cluster.
pub async fn create_in(cluster: &Cluster, region: &str, slug: &str, template: Option<&str>) -> Result<Tenant> {
    let plan = cluster.layout().plan.as_str();
    enter(cluster, (region, plan), slug, template).await
}

/// A new tenant in the first region of a cluster, on a plan, with the collections of `workspace`.
pub async fn create_on(cluster: &Cluster, plan: &str, slug: &str) -> Result<Tenant> {
    let region = cluster.layout().regions()[0];
    enter(cluster, (region, plan), slug, Some("workspace")).await
}

async fn enter(cluster: &Cluster, (region, plan): (&str, &str), slug: &str, template: Option<&str>) -> Result<Tenant> {
    let addresses: Vec<_> = cluster
        .nodes()
        .iter()
        .filter(|node| node.region == region)
        .map(|node| node.api)
        .collect();
    let operator = client(&addresses, cluster.operator_token())?;
    let new = NewTenant {
        slug: slug.parse()?,
        name: None,
        region: region.to_owned(),
        plan: Some(plan.to_owned()),
        dedicated: false,
        template: template.map(str::to_owned),
    };
    // The client's own key makes a second attempt harmless; where its answer lacks the token, that is an error below.
    let tenant = operator
        .tenant_create(&new, None)
        .await
        .with_context(|| format!("create tenant {slug}"))?
        .body;
    let token = tenant
        .admin_token
        .with_context(|| format!("the new tenant {slug} came without its token"))?;
    let client = operator.with_token(&token)?;
    Ok(Tenant {
        slug: slug.to_owned(),
        token,
        client,
    })
}

/// The schema that benchmarks write to: a task of about 300 bytes with two secondary indexes, by status and by assignee.
pub fn task_schema() -> Result<CollectionSchema> {
    let text = |required: bool| Field {
        required,
        ..plain(FieldType::Text)
    };
    let fields = [
        ("key", text(true)),
        ("title", text(true)),
        ("description", text(false)),
        ("status", text(false)),
        ("assignee", text(false)),
        ("points", plain(FieldType::Integer)),
    ];
    let index = |fields: &[&str]| -> Result<IndexSchema> {
        Ok(IndexSchema {
            fields: fields.iter().map(|name| name.parse()).collect::<Result<_, _>>()?,
            unique: false,
        })
    };
    Ok(CollectionSchema {
        fields: fields
            .into_iter()
            .map(|(name, field)| Ok((name.parse()?, field)))
            .collect::<Result<_>>()?,
        indexes: [
            ("by_status".parse()?, index(&["status"])?),
            ("by_assignee".parse()?, index(&["assignee"])?),
        ]
        .into(),
        search: Vec::new(),
        rules: Default::default(),
        workflow: None,
    })
}

fn plain(kind: FieldType) -> Field {
    Field {
        kind,
        required: false,
        default: None,
        unique: false,
        max_length: None,
        min: None,
        max: None,
        options: Vec::new(),
        collection: None,
        on_delete: None,
        per: None,
        renamed_from: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_task_schema_has_two_indexes_over_fields_that_exist() {
        let schema = task_schema().unwrap();
        assert_eq!(schema.indexes.len(), 2);
        assert!(
            schema
                .indexes
                .values()
                .flat_map(|index| &index.fields)
                .all(|name| schema.fields.contains_key(name))
        );
    }
}
