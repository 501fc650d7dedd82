//! Streamed import and export: a JSON object a line.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

/// One line of an import's answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(untagged)]
pub enum ImportLine {
    /// The last line.
    Summary(ImportSummary),
    /// A line that was not imported; the others go on.
    Failure(ImportFailure),
    /// How far it is: every line up to `stored` is durable, or was reported as failed.
    Progress(ImportProgress),
}

/// The end of an import.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ImportSummary {
    /// Records stored by this import, those of earlier attempts included.
    pub imported: u64,
    /// Lines refused, those of earlier attempts included.
    pub failed: u64,
    /// The tenant's position after it.
    pub position: u64,
}

/// A line that was refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ImportFailure {
    /// Its number, from 1.
    pub line: u64,
    /// The error's code.
    pub code: String,
    /// What is wrong.
    pub message: String,
}

/// How far an import is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ImportProgress {
    /// Lines that are settled.
    pub stored: u64,
}

impl ExportLine {
    /// Reads a line. `Deserialize` alone cannot: a record's fields are kept as they were written, and what is read by its tag is not.
    pub fn parse(line: &[u8]) -> serde_json::Result<Self> {
        #[derive(Deserialize)]
        struct Kind<'a> {
            #[serde(borrow)]
            kind: Cow<'a, str>,
        }
        let Kind { kind } = serde_json::from_slice(line)?;
        match &*kind {
            "record" => serde_json::from_slice(line).map(Self::Record),
            "collection" => serde_json::from_slice(line).map(Self::Collection),
            "token" => serde_json::from_slice(line).map(Self::Token),
            _ => serde_json::from_slice(line),
        }
    }
}

/// One line of an export. The first is the header, the last the trailer; a stream without its trailer is not whole.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum ExportLine {
    /// Format and position.
    Header {
        /// The version of the format.
        format: u32,
        /// The tenant's slug.
        tenant: String,
        /// The position at which all of it was read.
        position: u64,
    },
    /// A collection's schema.
    Collection(super::collection::Collection),
    /// A record.
    Record(super::record::Record),
    /// An API key, without its secret.
    Token(super::token::Token),
    /// The end.
    Trailer {
        /// How many lines of records there were.
        records: u64,
    },
}
