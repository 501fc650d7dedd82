//! One sitting: a cluster is started, measured and stopped, and a report is written that says with what and where.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use bench::report::{Findings, Report};
use bench::setup::{self, ClusterArgs};
use rig::cluster::Cluster;
use rig::layout::Layout;

use crate::cli::Common;

/// Where this program was built: the commit that a report names is the one that is checked out there.
const REPOSITORY: &str = env!("CARGO_MANIFEST_DIR");

/// Starts a cluster of one region, measures, stops it, and writes the report.
pub(crate) fn measure<F: Into<Findings>>(common: &Common, work: impl FnOnce(&Cluster) -> Result<F>) -> Result<()> {
    measure_as(Layout::one_region(common.cluster.nodes)?, common, work).map(drop)
}

/// The same with another layout; returns the report.
pub(crate) fn measure_as<F: Into<Findings>>(
    layout: Layout,
    common: &Common,
    work: impl FnOnce(&Cluster) -> Result<F>,
) -> Result<Report> {
    let mut cluster = setup::start_as(layout, &common.cluster)?;
    let machine = rig::probe::machine(&cluster.data());
    let findings: Findings = work(&cluster).with_context(|| cluster.tails())?.into();
    cluster.stop()?;
    write(common, cluster.binary(), machine, findings)
}

/// Measures with clusters that the work starts itself, and writes the report.
pub(crate) fn measure_each<F: Into<Findings>>(common: &Common, work: impl FnOnce(&ClusterArgs) -> Result<F>) -> Result<()> {
    let data = common.cluster.data.clone().unwrap_or_else(std::env::temp_dir);
    let machine = rig::probe::machine(&data);
    let findings = work(&common.cluster)?.into();
    write(common, &rig::binary::find()?, machine, findings).map(drop)
}

fn write(common: &Common, program: &Path, machine: BTreeMap<String, String>, findings: Findings) -> Result<Report> {
    let mut notes = vec![
        "The load generator is a thread of the bench process and shares the cores with all replicas; there is no network but loopback.".to_owned(),
        "Connections are spread over the nodes, so with three nodes two of three writes are forwarded to the leader.".to_owned(),
    ];
    if common.cluster.sched_rr {
        notes.push("Nodes and loader ran under SCHED_RR 1: a saturated core pauses about 50 ms each second, so p99.9 is not to be trusted.".to_owned());
    }
    notes.extend(findings.notes);
    let report = Report {
        format: 1,
        at: jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
        command: repeat(),
        commit: commit(),
        program: said(Command::new(program).arg("version")),
        machine,
        notes,
        rows: findings.rows,
        ratios: findings.ratios,
    };
    report.save(&common.out)?;
    println!("\n{}\nThe report is in {}", report.to_markdown(), common.out.display());
    Ok(report)
}

/// The command as it was given, without the directory of this program.
fn repeat() -> String {
    let words = std::env::args().enumerate().map(|(at, word)| {
        let word = if at == 0 {
            "cargo run --release -p cloudnest-bench --".to_owned()
        } else {
            word
        };
        if at > 0 && word.contains(' ') {
            format!("'{word}'")
        } else {
            word
        }
    });
    words.collect::<Vec<_>>().join(" ")
}

fn commit() -> String {
    let hash = said(Command::new("git").args(["-C", REPOSITORY, "rev-parse", "--short=12", "HEAD"]));
    let changed = said(Command::new("git").args(["-C", REPOSITORY, "status", "--porcelain", "--untracked-files=no"]));
    if changed.is_empty() { hash } else { format!("{hash}-dirty") }
}

/// The first line that a command prints; empty where it fails.
fn said(command: &mut Command) -> String {
    let output = command.output().ok().filter(|output| output.status.success());
    let text = output
        .map(|output| String::from_utf8_lossy(&output.stdout).into_owned())
        .unwrap_or_default();
    text.lines().next().unwrap_or_default().to_owned()
}
