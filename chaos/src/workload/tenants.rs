//! The tenants of a run: their tags, tokens, collections, and the records that all clients share.

use anyhow::{Context, Result};
use api::body::collection::{CollectionSchema, Field, FieldType, OnDelete};
use api::body::record::NewRecord;
use rig::cluster::Cluster;
use rig::http::find;
use rig::random::Random;
use serde_json::json;
use uuid::Uuid;

use super::shapes;
use crate::invariants::names;

/// How many there are.
const TENANTS: usize = 3;
/// Registers of a tenant and epoch.
const REGISTERS: u64 = 12;
/// Lists of a tenant and epoch.
const LISTS: u64 = 5;
/// Projects that numbers count within.
const PROJECTS: u64 = 3;
/// Names that are claimed.
pub(super) const NAMES: u64 = 25;

/// A tenant as its clients see it.
#[derive(Clone, Debug)]
pub struct Workspace {
    /// Its place in the history.
    pub place: usize,
    /// Its slug.
    pub slug: String,
    /// What its values start with.
    pub tag: String,
    /// Its admin token.
    pub token: String,
    /// Projects that numbers count within.
    pub projects: Vec<String>,
    /// The slugs of the others.
    pub(super) neighbours: Vec<String>,
    /// The tags of the others.
    others: Vec<String>,
    /// What ids of shared records are made of.
    seed: u64,
}

impl Workspace {
    /// Another tenant's tag in these bytes.
    pub fn foreign(&self, bytes: &[u8]) -> Option<&str> {
        let seen = |tag: &&String| find(bytes, tag.as_bytes()).is_some();
        self.others.iter().find(seen).map(String::as_str)
    }

    /// A register of an epoch.
    pub(super) fn register(&self, epoch: u64, random: &mut Random) -> String {
        self.shared(1, epoch, random.below(REGISTERS))
    }

    /// A list of an epoch.
    pub(super) fn list(&self, epoch: u64, number: u64) -> String {
        self.shared(2, epoch, number % LISTS)
    }

    /// How many lists an epoch has.
    pub(super) const fn lists() -> u64 {
        LISTS
    }

    fn shared(&self, kind: u64, epoch: u64, number: u64) -> String {
        let mut random = Random::new(self.seed ^ (kind << 56) ^ (epoch << 16) ^ number);
        uuid(random.draw(), random.draw()).to_string()
    }
}

/// A UUID of version 4 of these bits.
fn uuid(high: u64, low: u64) -> Uuid {
    let bits = (u128::from(high) << 64) | u128::from(low);
    let bits = (bits & !(0xF << 76) | (0x4 << 76)) & !(0x3 << 62) | (0x2 << 62);
    Uuid::from_u128(bits)
}

/// A new id.
pub(super) fn new_id(random: &mut Random) -> String {
    uuid(random.draw(), random.draw()).to_string()
}

/// The slugs of the tenants.
pub fn slugs() -> [&'static str; TENANTS] {
    ["chaos-a", "chaos-b", "chaos-c"]
}

/// Makes the tenants with their collections and projects.
pub async fn prepare(cluster: &Cluster, seed: u64) -> Result<Vec<Workspace>> {
    let mut random = Random::new(seed ^ 0x0007_E4A4_7500);
    // Of one length and distinct: none is a part of another.
    let tags: Vec<_> = (0..TENANTS)
        .map(|place| format!("t{place}x{:08x}z", random.draw() >> 32))
        .collect();
    let slugs: Vec<_> = slugs().map(str::to_owned).into();
    let mut all = Vec::new();
    for (place, tag) in tags.iter().enumerate() {
        let slug = slugs[place].clone();
        let tenant = rig::tenant::create(cluster, &slug, Some("workspace")).await?;
        for (name, schema) in collections()? {
            tenant
                .client
                .collection_put(&slug, name, &schema, None)
                .await
                .with_context(|| format!("make the collection {name} of {slug}"))?;
        }
        if place == 0 {
            shapes::prepare(&tenant, tag).await?;
        }
        let mut projects = Vec::new();
        for number in 0..PROJECTS {
            let id = new_id(&mut random);
            let fields = json!({ "key": format!("P{number}"), "name": format!("{tag}-project-{number}") });
            let new = NewRecord {
                id: Some(id.parse()?),
                fields: fields.as_object().cloned().unwrap_or_default(),
            };
            tenant
                .client
                .record_create(&slug, "projects", &new, Some(&id))
                .await
                .with_context(|| format!("make a project of {slug}"))?;
            projects.push(id);
        }
        all.push(Workspace {
            place,
            neighbours: slugs.iter().filter(|other| **other != slug).cloned().collect(),
            slug,
            tag: tag.clone(),
            token: tenant.token,
            projects,
            others: tags.iter().filter(|other| *other != tag).cloned().collect(),
            seed: random.draw(),
        });
    }
    Ok(all)
}

fn collections() -> Result<Vec<(&'static str, CollectionSchema)>> {
    let text = || field(FieldType::Text);
    let project = Field {
        collection: Some("projects".parse()?),
        on_delete: Some(OnDelete::Restrict),
        ..field(FieldType::Reference)
    };
    let number = Field {
        per: Some("project".parse()?),
        ..field(FieldType::Sequence)
    };
    let unique = Field { unique: true, ..text() };
    let kind = Field {
        options: names::NOTE_KINDS.map(str::to_owned).to_vec(),
        ..field(FieldType::Select)
    };
    let schemas = [
        ("registers", vec![("value", text())]),
        ("lists", vec![("elements", field(FieldType::Json))]),
        ("claims", vec![("name", unique)]),
        ("numbered", vec![("project", project), ("serial", text()), ("number", number)]),
        ("once", vec![("key", text()), ("body", text())]),
        (names::NOTES, vec![(names::NOTE_TEXT, text()), (names::NOTE_KIND, kind)]),
        (
            "bulk",
            vec![("import", text()), ("line", field(FieldType::Integer)), ("filler", text())],
        ),
    ];
    schemas
        .into_iter()
        .map(|(name, fields)| {
            let fields = fields.into_iter().map(|(name, field)| Ok((name.parse()?, field)));
            let schema = CollectionSchema {
                fields: fields.collect::<Result<_>>()?,
                indexes: std::collections::BTreeMap::new(),
                search: if name == names::NOTES {
                    vec![names::NOTE_TEXT.parse()?]
                } else {
                    Vec::new()
                },
                rules: Default::default(),
                workflow: None,
            };
            Ok((name, schema))
        })
        .collect()
}

fn field(kind: FieldType) -> Field {
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
    fn ids_are_of_version_four_and_repeat() {
        let id = new_id(&mut Random::new(1));
        assert_eq!(id, new_id(&mut Random::new(1)));
        let parsed: Uuid = id.parse().unwrap();
        assert_eq!(parsed.get_version_num(), 4);
    }

    #[test]
    fn a_tag_of_another_is_found() {
        let workspace = Workspace {
            place: 0,
            slug: "chaos-a".to_owned(),
            tag: "t0xaaz".to_owned(),
            token: String::new(),
            projects: Vec::new(),
            neighbours: Vec::new(),
            others: vec!["t1xbbz".to_owned()],
            seed: 1,
        };
        assert_eq!(workspace.foreign(b"{\"value\":\"t0xaaz-1\"}"), None);
        assert_eq!(workspace.foreign(b"{\"value\":\"t1xbbz-1\"}"), Some("t1xbbz"));
    }
}
