//! The form of the file: which sections there are, and which keys each of them has.

use toml::de::DeTable;

use super::backup::{self, RawBackup};
use super::error::Findings;
use super::files;
pub(super) use super::section::{At, RawSecret};
use super::section::{Need, Section};
use super::store::RawStore;

/// A `[[region]]`.
#[derive(Debug)]
pub(super) struct RawRegion {
    pub(super) name: Option<At<String>>,
    pub(super) backup: Option<RawBackup>,
    pub(super) files: Option<RawStore>,
}

/// A `[[node]]`.
#[derive(Debug)]
pub(super) struct RawNode {
    pub(super) name: Option<At<String>>,
    pub(super) number: Option<At<u64>>,
    pub(super) region: Option<At<String>>,
    pub(super) api: Option<At<String>>,
    pub(super) peer: Option<At<String>>,
    pub(super) endpoint: Option<At<String>>,
    pub(super) data: Option<At<String>>,
}

/// A `[[cell]]`.
#[derive(Debug)]
pub(super) struct RawCell {
    pub(super) name: Option<At<String>>,
    pub(super) number: Option<At<u64>>,
    pub(super) region: Option<At<String>>,
    pub(super) kind: Option<At<String>>,
    pub(super) nodes: Option<At<Vec<At<String>>>>,
}

/// A `[[plan]]`.
#[derive(Debug)]
pub(super) struct RawPlan {
    pub(super) name: Option<At<String>>,
    pub(super) weight: Option<At<u64>>,
    pub(super) units_per_second: Option<At<u64>>,
    pub(super) burst_units: Option<At<u64>>,
    pub(super) storage_gib: Option<At<u64>>,
    pub(super) records: Option<At<u64>>,
    pub(super) connections: Option<At<u64>>,
    pub(super) events_days: Option<At<u64>>,
    pub(super) history_days: Option<At<u64>>,
    pub(super) dedicated: Option<At<bool>>,
}

/// `[tls]`.
#[derive(Debug)]
pub(super) struct RawTls {
    pub(super) authority: Option<At<String>>,
    pub(super) certificate: Option<At<String>>,
    pub(super) key: Option<At<String>>,
}

/// `[api_tls]`.
#[derive(Debug)]
pub(super) struct RawApiTls {
    pub(super) certificate: Option<At<String>>,
    pub(super) key: Option<At<String>>,
}

/// `[timing]`.
#[derive(Debug, Default)]
pub(super) struct RawTiming {
    pub(super) heartbeat_ms: Option<At<u64>>,
    pub(super) election_min_ms: Option<At<u64>>,
    pub(super) election_max_ms: Option<At<u64>>,
}

/// The whole file. A section that is absent or has the wrong form is `None` or empty, and reported.
#[derive(Debug, Default)]
pub(super) struct RawConfig {
    pub(super) cluster: Option<At<String>>,
    pub(super) operator_token: Option<At<RawSecret>>,
    pub(super) regions: Vec<RawRegion>,
    pub(super) nodes: Vec<RawNode>,
    pub(super) cells: Vec<RawCell>,
    pub(super) plans: Vec<RawPlan>,
    pub(super) voters: Option<At<Vec<At<String>>>>,
    pub(super) tls: Option<RawTls>,
    pub(super) api_tls: Option<RawApiTls>,
    pub(super) timing: RawTiming,
    pub(super) scheduler: Option<bool>,
}

/// Reads a text. What has the wrong form goes to `findings`; the rest is read as if it were not there.
pub(super) fn read(text: &str, findings: &mut Findings<'_>) -> RawConfig {
    let (document, errors) = DeTable::parse_recoverable(text);
    if !errors.is_empty() {
        for error in errors {
            findings.add(
                &error.span().unwrap_or(0..0),
                "",
                error.message(),
                "this is not TOML (https://toml.io)",
            );
        }
        return RawConfig::default();
    }
    let mut file = Section::of_file(document.get_ref(), findings);
    let raw = RawConfig {
        cluster: file.text("cluster", Need::Required("name the cluster: cluster = \"cloudnest\"")),
        operator_token: file.secret("operator_token"),
        regions: file.list("region", read_region),
        nodes: file.list("node", read_node),
        cells: file.list("cell", read_cell),
        plans: file.list("plan", read_plan),
        voters: file
            .table("directory", Need::Required("add [directory] with voters = […]"), |section| {
                section.texts("directory.voters", Need::Required("name 1, 3 or 5 nodes"))
            })
            .flatten(),
        tls: file.table("tls", Need::Optional, read_tls),
        api_tls: file.table("api_tls", Need::Optional, read_api_tls),
        timing: file.table("timing", Need::Optional, read_timing).unwrap_or_default(),
        scheduler: file
            .table("scheduler", Need::Optional, |section| section.flag("scheduler.enabled"))
            .flatten()
            .map(|at| at.value),
    };
    file.finish();
    raw
}

fn read_region(section: &mut Section<'_, '_, '_>) -> RawRegion {
    RawRegion {
        name: section.text("region.name", Need::Required("such as name = \"eu-west-1\"")),
        backup: section.table("region.backup", Need::Optional, backup::read),
        files: section.table("region.files", Need::Optional, files::read),
    }
}

fn read_node(section: &mut Section<'_, '_, '_>) -> RawNode {
    RawNode {
        name: section.text("node.name", Need::Required("such as name = \"eu-west-1a\"")),
        number: section.number(
            "node.number",
            Need::Required("a number that no other node has or had, from 1"),
        ),
        region: section.text("node.region", Need::Required("name one of the regions")),
        api: section.text("node.api", Need::Required("such as api = \"127.0.0.1:7411\"")),
        peer: section.text("node.peer", Need::Required("such as peer = \"127.0.0.1:17411\"")),
        endpoint: section.text("node.endpoint", Need::Optional),
        data: section.text("node.data", Need::Optional),
    }
}

fn read_cell(section: &mut Section<'_, '_, '_>) -> RawCell {
    RawCell {
        name: section.text("cell.name", Need::Required("such as name = \"eu-west-1-shared\"")),
        number: section.number(
            "cell.number",
            Need::Required("a number that no other cell has or had, from 2"),
        ),
        region: section.text("cell.region", Need::Required("name one of the regions")),
        kind: section.text("cell.kind", Need::Optional),
        nodes: section.texts("cell.nodes", Need::Required("name 1, 3 or 5 nodes of the cell's region")),
    }
}

fn read_plan(section: &mut Section<'_, '_, '_>) -> RawPlan {
    RawPlan {
        name: section.text("plan.name", Need::Required("such as name = \"free\"")),
        weight: section.number("plan.weight", Need::Optional),
        units_per_second: section.number("plan.units_per_second", Need::Optional),
        burst_units: section.number("plan.burst_units", Need::Optional),
        storage_gib: section.number("plan.storage_gib", Need::Optional),
        records: section.number("plan.records", Need::Optional),
        connections: section.number("plan.connections", Need::Optional),
        events_days: section.number("plan.events_days", Need::Optional),
        history_days: section.number("plan.history_days", Need::Optional),
        dedicated: section.flag("plan.dedicated"),
    }
}

fn read_tls(section: &mut Section<'_, '_, '_>) -> RawTls {
    RawTls {
        authority: section.path("tls.authority", Need::Required("the PEM file of the authority's certificate")),
        certificate: section.path(
            "tls.certificate",
            Need::Required("a PEM file; {name} stands for the node's name"),
        ),
        key: section.path("tls.key", Need::Required("a PEM file; {name} stands for the node's name")),
    }
}

fn read_api_tls(section: &mut Section<'_, '_, '_>) -> RawApiTls {
    let fix = "a PEM file; {name} stands for the node's name";
    RawApiTls {
        certificate: section.path("api_tls.certificate", Need::Required(fix)),
        key: section.path("api_tls.key", Need::Required(fix)),
    }
}

fn read_timing(section: &mut Section<'_, '_, '_>) -> RawTiming {
    RawTiming {
        heartbeat_ms: section.number("timing.heartbeat_ms", Need::Optional),
        election_min_ms: section.number("timing.election_min_ms", Need::Optional),
        election_max_ms: section.number("timing.election_max_ms", Need::Optional),
    }
}
