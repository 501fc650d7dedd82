//! What is done to a cluster in the course of its life, while leaders are killed: it is upgraded, it is changed, and tenants are restored
//! from its backups.
//!
//! An ordinary run, with the load and the checkers of every run, over three regions, and three deeds one after the other. `upgrades` brings
//! all nodes from the level before to the newest. `applies` has other topologies brought about and takes them back. `restores` makes
//! tenants of what another one was at a time. Each says whom a kill is to hit, which is whoever leads a group that it works on, or the
//! node that works; the node is started again after a while, and meanwhile nobody else is killed. What a deed has promised is looked at by the
//! deed itself; that nobody lost anything over it, by the checkers at the end.

mod applies;
mod keepsake;
mod restores;
mod sheet;
mod upgrades;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use rig::cluster::Options as Started;
use serde::Serialize;

use self::applies::Applies;
use self::restores::Restores;
use self::upgrades::Upgrades;
use super::desk::Desk;
use super::reaper::Reaper;
use super::{DIRECTORY, KILL, backup, layout};
use crate::field::Field;
use crate::plan::Plan;
use crate::run::{self, Done};
use crate::stage::Stage;
use crate::stop;
use crate::timeline::Fired;
use crate::verdict::Verdict;

/// How many times as long as usual clients pause: what is restored, and judged at the end, stays small.
const EASE: u32 = 4;
/// How long a calm between two kills is at most, in milliseconds.
const CALM_MS: u64 = 1_000;
/// Between two looks.
const LOOK: Duration = Duration::from_millis(40);
/// What a node says when a thread of it panics.
const PANIC: &str = "panicked at";
/// The names under which deeds stand in a timeline.
const DEEDS: [&str; 3] = ["upgrade", "apply", "restore"];

/// What to do.
#[derive(Clone, Debug)]
pub struct Options {
    /// The program.
    pub binary: PathBuf,
    /// What load, deeds and kills are drawn from.
    pub seed: u64,
    /// Topologies to bring about, those that take another one back among them.
    pub applies: usize,
    /// Among them such in which the directory gets other voters.
    pub voters: bool,
    /// Times that all nodes are upgraded: all but the last are taken back.
    pub upgrades: usize,
    /// Tenants to restore.
    pub restores: usize,
    /// One way between regions.
    pub distance: Duration,
}

/// What came of one kind of deed.
#[derive(Clone, Debug, Serialize)]
pub struct Deeds {
    /// Which kind.
    pub deed: &'static str,
    /// How many were done.
    pub done: usize,
    /// Kills meanwhile.
    pub kills: usize,
    /// Of those, of the leader of the directory.
    pub of_the_directory: usize,
    /// The middle of how long they took, in milliseconds.
    pub median_ms: u64,
    /// The longest.
    pub longest_ms: u64,
    /// How many failed at first, as they may, or were called off.
    pub not_at_once: usize,
}

/// What came of it.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// By deed.
    pub deeds: Vec<Deeds>,
    /// Operations of clients that were acknowledged.
    pub acknowledged: u64,
    /// What the checkers said.
    pub verdict: Verdict,
    /// How long it took, in seconds.
    pub seconds: f64,
}

/// Something that takes a while, and is disturbed.
trait Deed {
    /// Goes on with it as far as it goes now. True: all of it is done.
    fn step(&mut self, field: &mut Field<'_>, reaper: &mut Reaper) -> Result<bool>;

    /// Whom a kill is to hit now; none: nobody.
    fn prey(&mut self) -> Option<Prey>;

    /// The node that was asked to end.
    fn ends(&self) -> Option<usize> {
        None
    }
}

/// Whom a kill is to hit.
struct Prey {
    whom: Whom,
    /// What it meant there.
    why: String,
}

enum Whom {
    /// Whoever leads this group.
    Leader(String),
    /// This node.
    Node(String),
}

/// Runs.
pub fn run(options: &Options) -> Result<Done> {
    let start = Instant::now();
    let store = tempfile::tempdir().context("make a directory for the backups")?;
    let mut layout = layout(1)?;
    layout.backup = Some(backup(store.path()));
    let mut started = Started::new(layout, options.binary.clone());
    if options.upgrades > 0 {
        started.arguments = upgrades::before(&options.binary)?;
    }
    let stage = Stage::apart(started, options.distance).context("bring the regions up")?;
    let plan = Plan {
        seed: options.seed,
        run_ms: 0,
        steps: Vec::new(),
    };
    let what = run::Options {
        seed: options.seed,
        seconds: 0,
        faults: None,
        binary: options.binary.clone(),
        mutant: None,
        noisy: false,
    };
    let mut done = run::perform(&what, stage, plan, start, &|field, _, idle| conduct(options, field, idle))?;
    done.account.reproduce = format!(
        "cloudnest-chaos lifecycle --seed {} --upgrades {} --applies {} --restores {}{}",
        options.seed,
        options.upgrades,
        options.applies,
        options.restores,
        if options.voters { " --voters" } else { "" }
    );
    Ok(done)
}

/// One deed after the other.
fn conduct(options: &Options, field: &mut Field<'_>, idle: &mut dyn FnMut(&mut Field<'_>)) -> Result<Vec<Fired>> {
    field.controls.ease(EASE);
    let (seed, mut reaper) = (options.seed, Reaper::new(options.seed ^ 0x0072_6561_7065, CALM_MS));
    if options.upgrades > 0 {
        let mut deed = Upgrades::new(field, seed, options.upgrades)?;
        carry_out(&mut deed, field, &mut reaper, idle)?;
    }
    if options.applies > 0 {
        let mut deed = Applies::new(field, seed, options.applies, options.voters)?;
        carry_out(&mut deed, field, &mut reaper, idle)?;
    }
    if options.restores > 0 {
        let mut deed = Restores::new(field, seed, options.restores)?;
        carry_out(&mut deed, field, &mut reaper, idle)?;
    }
    restores::end_backups(field, &mut reaper)?;
    let panics = (0..field.network.nodes()).filter_map(|place| Some((field.name(place), field.says(place, PANIC)?)));
    let panics: Vec<_> = panics.map(|(name, line)| format!("{name}: {line}")).collect();
    field.findings.extend(panics);
    Ok(reaper.fired)
}

fn carry_out(
    deed: &mut dyn Deed,
    field: &mut Field<'_>,
    reaper: &mut Reaper,
    idle: &mut dyn FnMut(&mut Field<'_>),
) -> Result<()> {
    let desk = Desk::everywhere(field.cluster);
    loop {
        ensure!(!stop::is_asked(), "interrupted");
        let is_done = deed.step(field, reaper)?;
        reaper.tend(field, deed.ends())?;
        if is_done && reaper.is_idle() {
            return Ok(());
        }
        if reaper.is_due()
            && let Some(Prey { whom, why }) = deed.prey()
        {
            let named = match whom {
                Whom::Leader(group) => desk.leader(&group),
                Whom::Node(name) => Some(name),
            };
            // Whoever ends anyhow, or is down, is not killed.
            let runs = |name: &String| {
                let place = field.cluster.nodes().iter().position(|node| node.name == *name);
                place.is_some_and(|place| deed.ends() != Some(place) && field.runs(place))
            };
            if let Some(name) = named.filter(runs) {
                reaper.kill(field, &name, why)?;
            }
        }
        std::thread::sleep(LOOK);
        idle(field);
    }
}

/// A deed that was done.
fn done(deed: &'static str, nodes: Vec<String>, (at_us, now_us): (u64, u64), said: String) -> Fired {
    Fired {
        fault: deed.to_owned(),
        nodes,
        at_us,
        healed_us: now_us,
        said,
        trouble: None,
    }
}

/// The figures of a run.
pub fn row(done: &Done) -> Row {
    let fired = &done.account.fired;
    let deeds = DEEDS.into_iter().map(|deed| {
        let own: Vec<_> = fired.iter().filter(|one| one.fault == deed).collect();
        let kills: Vec<_> = fired
            .iter()
            .filter(|one| one.fault == KILL && one.said.starts_with(deed))
            .collect();
        let mut took: Vec<u64> = own
            .iter()
            .map(|one| one.healed_us.saturating_sub(one.at_us) / 1_000)
            .collect();
        took.sort_unstable();
        let not_at_once = |one: &&&Fired| one.said.contains(applies::CALLED_OFF) || one.said.contains(restores::FAILED);
        Deeds {
            deed,
            done: own.len(),
            kills: kills.len(),
            of_the_directory: kills.iter().filter(|one| one.said.contains(DIRECTORY)).count(),
            median_ms: crate::measure::median(&took),
            longest_ms: took.last().copied().unwrap_or(0),
            not_at_once: own.iter().filter(not_at_once).count(),
        }
    });
    Row {
        deeds: deeds.collect(),
        acknowledged: done.account.acknowledged,
        verdict: done.account.verdict.clone(),
        seconds: done.account.took_seconds,
    }
}

/// A run as a table.
pub fn table(row: &Row, done: &Done) -> String {
    let mut out = "| | done | called off, or failed at first | kills | of the directory's leader | median ms | longest |\n|---|---|---|---|---|---|---|\n"
        .to_owned();
    for one in &row.deeds {
        out.push_str(&format!(
            "| {} | {} | {} | {} | {} | {} | {} |\n",
            one.deed, one.done, one.not_at_once, one.kills, one.of_the_directory, one.median_ms, one.longest_ms
        ));
    }
    out.push_str(&format!(
        "\n{} operations were acknowledged in {:.0} s: {}.\n\n| check | verdict |\n|---|---|\n",
        row.acknowledged,
        row.seconds,
        crate::report::verdict_word(&row.verdict)
    ));
    for one in &done.account.judged {
        out.push_str(&format!("| {} | {} |\n", one.name, crate::report::verdict_word(&one.verdict)));
    }
    out
}
