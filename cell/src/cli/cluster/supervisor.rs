//! Keeps the nodes of `cluster up` running: a task a node, and one that brings the cluster up.
//!
//! Standard output is for programs: `node NAME pid PID` at each start, `ready` once. All else goes to standard error. Each node
//! dies with this process, even if it is killed.
//!
//! A node that ends unasked is started again after [`PAUSE`]. Before the cluster was ready once, a node that refuses to start
//! [`REFUSALS`] times in a row (a port in use, the data of another node) ends the whole: it would not get better.

use std::path::Path;
use std::process::ExitStatus;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::anyhow;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use super::super::runtime::Stop;
use super::super::{Failure, Result};
use super::bootstrap::BringUp;
use super::child::{self, Plan};
use crate::config::Config;

/// Between a node's end and its next start.
const PAUSE: Duration = Duration::from_secs(1);
/// How often in a row a node may refuse to start before the cluster was ready.
const REFUSALS: u32 = 3;

/// What the nodes' tasks are to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Run,
    Drain,
    Kill,
}

/// Runs the nodes until a signal comes. They have all ended when this returns.
pub(super) async fn run(bring_up: BringUp<'_>, plans: Vec<Plan>, data: &Path, mut stop: Stop) -> Result {
    let (config, regions) = (bring_up.config, bring_up.regions);
    let (phase, phases) = watch::channel(Phase::Run);
    let (give_up, mut given_up) = mpsc::channel(plans.len().max(1));
    let ready = Arc::new(AtomicBool::new(false));
    let mut tasks = JoinSet::new();
    for plan in plans {
        let keeper = Keeper {
            plan,
            phases: phases.clone(),
            give_up: give_up.clone(),
            ready: ready.clone(),
        };
        tasks.spawn(keeper.keep());
    }
    let mut bring_up = std::pin::pin!(bring_up.run());
    let result = loop {
        tokio::select! {
            outcome = &mut bring_up, if !ready.load(Ordering::Relaxed) => match outcome {
                Ok(()) => {
                    ready.store(true, Ordering::Relaxed);
                    announce(config, regions, data);
                }
                Err(failure) => break Err(failure),
            },
            Some(why) = given_up.recv() => break Err(Failure::Failed(anyhow!("{why}"))),
            signal = stop.asked() => {
                eprintln!("{signal}: stopping all nodes");
                break Ok(());
            }
        }
    };
    phase.send_replace(Phase::Drain);
    loop {
        tokio::select! {
            next = tasks.join_next() => if next.is_none() { break },
            _ = stop.asked() => { phase.send_replace(Phase::Kill); }
        }
    }
    result
}

fn announce(config: &Config, regions: &[String], data: &Path) {
    say("ready");
    eprintln!("operator token: {}", data.join("operator.token").display());
    for region in regions {
        let urls: Vec<&str> = config
            .region_nodes(region)
            .iter()
            .map(|node| node.endpoint.as_str())
            .collect();
        eprintln!("{region:<16} {}", urls.join(" "));
    }
}

/// A line on standard output. A reader that has gone is no reason to stop a cluster.
fn say(line: &str) {
    use std::io::Write;
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}

/// The task of one node.
struct Keeper {
    plan: Plan,
    phases: watch::Receiver<Phase>,
    give_up: mpsc::Sender<String>,
    ready: Arc<AtomicBool>,
}

impl Keeper {
    async fn keep(mut self) {
        let mut refusals = 0;
        while *self.phases.borrow() == Phase::Run {
            match self.plan.start() {
                Ok(mut child) => {
                    let pid = child.id().unwrap_or_default();
                    say(&format!("node {} pid {pid}", self.plan.name));
                    let Some(status) = self.watch(&mut child).await else { return };
                    refusals = if self.ended(status) { refusals + 1 } else { 0 };
                }
                Err(failure) => {
                    refusals += 1;
                    eprintln!("[{}] {}", self.plan.name, reason(&failure));
                }
            }
            if refusals >= REFUSALS && !self.ready.load(Ordering::Relaxed) {
                let why = format!(
                    "the node {} does not start; its log is {}",
                    self.plan.name,
                    self.plan.log_path().display()
                );
                // The channel has room for every node.
                let _ = self.give_up.try_send(why);
                return;
            }
            tokio::select! {
                () = tokio::time::sleep(PAUSE) => {}
                () = leaves(&mut self.phases, Phase::Run) => return,
            }
        }
    }

    /// Waits for the end of a node; none where it was asked to end.
    async fn watch(&mut self, child: &mut tokio::process::Child) -> Option<ExitStatus> {
        tokio::select! {
            ended = child.wait() => return ended.ok(),
            () = leaves(&mut self.phases, Phase::Run) => {}
        }
        let status = child::end(child, leaves(&mut self.phases, Phase::Drain)).await;
        if status.is_none_or(|status| !status.success()) {
            let how = status.map_or_else(|| "unknown".to_owned(), |status| status.to_string());
            eprintln!("[{}] ended with {how}", self.plan.name);
        }
        None
    }

    /// Reports an end that nobody asked for. True: the node itself refused to run.
    fn ended(&self, status: ExitStatus) -> bool {
        eprintln!(
            "[{}] ended unasked ({status}); the end of {}:",
            self.plan.name,
            self.plan.log_path().display()
        );
        for line in self.plan.log_tail() {
            eprintln!("[{}] {line}", self.plan.name);
        }
        matches!(status.code(), Some(1 | 2))
    }
}

/// Resolves when the phase is another one.
async fn leaves(phases: &mut watch::Receiver<Phase>, phase: Phase) {
    // The sender outlives the tasks; were it gone, this process would be ending.
    let _ = phases.wait_for(|now| *now != phase).await;
}

fn reason(failure: &Failure) -> String {
    match failure {
        Failure::Usage(message) => message.clone(),
        Failure::Failed(error) => format!("{error:#}"),
        Failure::Reported => String::new(),
    }
}
