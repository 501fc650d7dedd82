//! `template list`: the templates of this version.

use clap::Args;

use super::super::{Result, output};
use crate::records::template;

/// The templates that a tenant can begin with or be given later
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  cloudnest template list --json")]
pub(crate) struct List {
    /// Print JSON: the collections of each, as PUT of a collection takes them
    #[arg(long)]
    json: bool,
}

impl List {
    pub(crate) fn run(self) -> Result {
        let mut all = serde_json::Map::new();
        for name in template::names() {
            let entries = template::entries(name).map_err(anyhow::Error::from)?;
            if self.json {
                let schemas = entries.into_iter().map(|entry| (entry.name.to_string(), entry.schema));
                let schemas: std::collections::BTreeMap<_, _> = schemas.collect();
                all.insert(name.to_owned(), serde_json::to_value(schemas)?);
            } else {
                let names: Vec<_> = entries.iter().map(|entry| entry.name.as_str()).collect();
                output::line(&format!("{name}: {}", names.join(", ")))?;
            }
        }
        if self.json {
            output::line(&serde_json::Value::Object(all).to_string())?;
        }
        Ok(())
    }
}
