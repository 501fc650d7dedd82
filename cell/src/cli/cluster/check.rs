//! `cluster check`: is the configuration sound.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::super::output::{self, Tone, plain};
use super::super::{Failure, Result, node};
use crate::config::{Config, ConfigError};

/// Check the configuration: every mistake at once, with its line
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  cloudnest cluster check --config cluster.toml")]
pub(crate) struct Check {
    /// The cluster's configuration
    #[arg(long, default_value = "cluster.toml", value_name = "FILE")]
    config: PathBuf,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Check {
    pub(crate) fn run(self) -> Result {
        if self.json {
            return self.as_json();
        }
        let config = node::load(&self.config)?;
        output::table(
            &["CELL", "REGION", "KIND", "REPLICAS", ""],
            config.topology.cells.iter().map(row).collect(),
        )?;
        output::line("")?;
        output::line(&format!(
            "the directory's voters: {}",
            config.topology.directory_voters.join(", ")
        ))?;
        let (regions, nodes, cells) = (
            config.topology.regions.len(),
            config.topology.nodes.len(),
            config.topology.cells.len(),
        );
        output::line(&format!(
            "{} is sound: regions {regions}, nodes {nodes}, cells {cells}",
            self.config.display()
        ))
    }

    fn as_json(&self) -> Result {
        match Config::load(&self.config) {
            Ok(config) => output::json(&json!({
                "sound": true, "regions": config.topology.regions.len(), "nodes": config.topology.nodes.len(), "cells": config.topology.cells.len(), "errors": [],
            })),
            Err(errors) => {
                let list: Vec<_> = errors.0.iter().map(error_json).collect();
                output::json(&json!({ "sound": false, "errors": list }))?;
                Err(Failure::Reported)
            }
        }
    }
}

fn row(cell: &crate::config::CellEntry) -> Vec<(String, Tone)> {
    let note = if cell.nodes.len() == 1 {
        ("not replicated".to_owned(), Tone::Warning)
    } else {
        plain("")
    };
    vec![
        plain(&*cell.name),
        plain(&*cell.region),
        plain(cell.kind.name()),
        plain(cell.nodes.join(", ")),
        note,
    ]
}

fn error_json(error: &ConfigError) -> serde_json::Value {
    json!({
        "file": error.file.display().to_string(), "line": error.line, "column": error.column,
        "key": error.key, "what": error.what, "fix": error.fix,
    })
}
