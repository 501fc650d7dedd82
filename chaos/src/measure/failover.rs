//! The gap that a fault makes: creates at a fixed rate, the fault on whoever leads, and the longest time in which nothing was
//! acknowledged. Again and again on one cluster, each time once all is well.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde::Serialize;

use super::median;
use crate::faults::{self, Fault};
use crate::field::Field;
use crate::plan::{Step, Whom};
use crate::stage::Stage;
use crate::workload::{self, Beat, Controls, Pulse};
use crate::{liveness, stop};

/// How long a fault lasts: longer than it takes to elect somebody.
const LASTS: Duration = Duration::from_millis(2_500);
/// Calm before each fault.
const CALM: Duration = Duration::from_millis(1_000);
/// How long the cluster may take until all is well again.
const SETTLES_WITHIN: Duration = Duration::from_secs(60);

/// What to measure.
#[derive(Clone, Debug)]
pub struct Options {
    /// The program.
    pub binary: PathBuf,
    /// Faults by name.
    pub faults: Vec<String>,
    /// How often each.
    pub repetitions: u32,
    /// Creates a second.
    pub per_second: u32,
}

/// What came of one fault.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// Its name.
    pub fault: String,
    /// The longest gap of each repetition, in milliseconds.
    pub gaps_ms: Vec<u64>,
    /// Creates that were acknowledged.
    pub acknowledged: u64,
    /// Creates that needed more than one attempt.
    pub repeated: u64,
    /// Creates that were given up after 3 s of attempts.
    pub failed: u64,
    /// Records that are there in the end: each create once, whether its client heard of it or not.
    pub records: u64,
}

/// Measures each fault on a cluster of its own.
pub fn measure(options: &Options) -> Result<Vec<Row>> {
    faults::named(&options.faults)?
        .into_iter()
        .map(|fault| one(options, fault).with_context(|| format!("measure {}", fault.name())))
        .collect()
}

fn one(options: &Options, fault: &'static dyn Fault) -> Result<Row> {
    let mut stage = Stage::set(options.binary.clone(), None, &[fault]).context("bring the cluster up")?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("start a runtime")?;
    let workspaces = runtime.block_on(workload::prepare(&stage.cluster, 1))?;
    let controls = Arc::new(Controls::default());
    let token = stage.cluster.operator_token().to_owned();
    let addresses = stage.cluster.addresses();
    let pulse = Pulse::start(controls.clone(), &addresses, &workspaces[0], &token, options.per_second)?;
    let mut field = Field {
        cluster: &mut stage.cluster,
        network: &stage.network,
        disks: &mut stage.disks,
        controls: &controls,
        lost: Vec::new(),
        doubtful: Vec::new(),
        findings: Vec::new(),
    };
    let windows = repeat(&mut field, fault, options.repetitions);
    let findings = std::mem::take(&mut field.findings);
    let beats = pulse.stop()?;
    let windows = windows?;
    ensure!(findings.is_empty(), "{}", findings.join("; "));
    let records = runtime.block_on(count(&addresses, &workspaces[0]))?;
    let acknowledged = beats.iter().filter(|beat| beat.done_us.is_some()).count() as u64;
    ensure!(
        records >= acknowledged,
        "{acknowledged} creates were acknowledged and {records} records are there"
    );
    Ok(Row {
        fault: fault.name().to_owned(),
        gaps_ms: windows.iter().map(|window| longest_gap_us(&beats, *window) / 1_000).collect(),
        acknowledged,
        repeated: beats.iter().filter(|beat| beat.attempts > 1).count() as u64,
        failed: beats.iter().filter(|beat| beat.done_us.is_none()).count() as u64,
        records,
    })
}

/// From when to when each repetition went, in microseconds since the load began.
fn repeat(field: &mut Field<'_>, fault: &dyn Fault, repetitions: u32) -> Result<Vec<(u64, u64)>> {
    let mut windows = Vec::new();
    liveness::settle(field, Instant::now() + SETTLES_WITHIN)?;
    for number in 0..repetitions {
        ensure!(!stop::is_asked(), "interrupted");
        std::thread::sleep(CALM);
        let step = Step {
            fault: fault.name().to_owned(),
            at_ms: 0,
            for_ms: u64::try_from(LASTS.as_millis()).unwrap_or(u64::MAX),
            whom: Whom::Leader,
            dice: u64::from(number),
        };
        let from = field.controls.now_us();
        let mut hold = fault.inject(field, &step)?;
        std::thread::sleep(LASTS);
        fault.heal(field, &step, &mut hold)?;
        drop(hold);
        liveness::settle(field, Instant::now() + SETTLES_WITHIN)?;
        windows.push((from, field.controls.now_us()));
    }
    std::thread::sleep(CALM);
    Ok(windows)
}

async fn count(addresses: &[std::net::SocketAddr], workspace: &workload::Workspace) -> Result<u64> {
    let tenant = rig::tenant::Tenant {
        slug: workspace.slug.clone(),
        token: workspace.token.clone(),
        client: rig::tenant::client(addresses, &workspace.token)?,
    };
    rig::verify::count(&tenant, "tasks").await
}

/// The longest time inside a window in which nothing was acknowledged, from the last acknowledgement before it on.
fn longest_gap_us(beats: &[Beat], (from, until): (u64, u64)) -> u64 {
    let mut done: Vec<u64> = beats.iter().filter_map(|beat| beat.done_us).collect();
    done.sort_unstable();
    let before = done.iter().copied().filter(|at| *at <= from).max().unwrap_or(from);
    let mut last = before;
    let mut longest = 0;
    for at in done.into_iter().filter(|at| (from..until).contains(at)).chain([until]) {
        longest = longest.max(at - last);
        last = at;
    }
    longest
}

/// All rows as a table.
pub fn table(rows: &[Row], per_second: u32) -> String {
    let mut out = format!(
        "Longest time without an acknowledgement around each fault of the leader, at {per_second} creates a second (open loop, 300 ms an \
         attempt, then the next node):\n\n| fault | repetitions | median gap ms | longest gap ms | acknowledged | needed a second attempt | \
         given up | records there |\n|---|---|---|---|---|---|---|---|\n"
    );
    for row in rows {
        out.push_str(&format!(
            "| {} | {} | {} | {} | {} | {} | {} | {} |\n",
            row.fault,
            row.gaps_ms.len(),
            median(&row.gaps_ms),
            row.gaps_ms.iter().max().copied().unwrap_or(0),
            row.acknowledged,
            row.repeated,
            row.failed,
            row.records,
        ));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn beat(due_us: u64, done_us: Option<u64>) -> Beat {
        Beat {
            due_us,
            done_us,
            attempts: 1,
        }
    }

    #[test]
    fn a_gap_begins_with_the_last_acknowledgement_before_the_fault() {
        let beats = [
            beat(0, Some(100)),
            beat(500, Some(900)),
            beat(600, None),
            beat(700, Some(2_000)),
        ];
        assert_eq!(longest_gap_us(&beats, (500, 3_000)), 1_100);
        assert_eq!(longest_gap_us(&beats, (500, 950)), 800);
        assert_eq!(
            longest_gap_us(&beats, (2_100, 9_000)),
            7_000,
            "it reaches to the end of the window"
        );
    }
}
