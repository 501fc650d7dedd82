//! The collection whose schema changes: how it begins, and what it has before anything happens.

use anyhow::{Context, Result};
use api::body::collection::CollectionSchema;
use rig::tenant::Tenant;
use serde_json::{Value, json};

use crate::invariants::names;

/// How long the import of what it has at first may take.
const WITHIN: std::time::Duration = std::time::Duration::from_secs(60);

/// The schema of the collection that is dropped and made again: an index, a unique value, so that there is more to erase than records.
pub(super) fn fleeting_schema() -> Value {
    json!({
        "fields": { names::FLEETING_MARK: { "type": "text", "unique": true } },
        "indexes": { "by_mark": { "fields": [names::FLEETING_MARK, "created_at"] } },
    })
}

/// Makes both collections, and fills the first: an operation on a handful of records is over before a fault can meet it.
pub(super) async fn prepare(tenant: &Tenant, tag: &str) -> Result<()> {
    for (name, schema) in [(names::SHAPED, names::first_schema()), (names::FLEETING, fleeting_schema())] {
        let schema: CollectionSchema = serde_json::from_value(schema).context("read a schema")?;
        let made = tenant.client.collection_put(&tenant.slug, name, &schema, None).await;
        made.with_context(|| format!("make the collection {name} of {}", tenant.slug))?;
    }
    let lines: Vec<u8> = (0..names::BALLAST)
        .flat_map(|number| format!("{}\n", Value::Object(names::ballast(tag, number))).into_bytes())
        .collect();
    let id = format!("{tag}-ballast");
    rig::import::import(&tenant.client, &tenant.slug, names::SHAPED, &id, &lines, WITHIN).await?;
    Ok(())
}
