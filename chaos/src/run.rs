//! One run, from its seed to its verdict: plan, stage, load, faults, healing, liveness, reading back, judging.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};

use crate::ending::Ending;
use crate::faults::{self, Fault};
use crate::field::Field;
use crate::history::{History, Tenant};
use crate::judge::{self, Judged};
use crate::noise::{Noise, Quiet};
use crate::plan::Plan;
use crate::readback::{self, Remaining};
use crate::stage::{NODES, Stage};
use crate::stalls::{Stall, Watch};
use crate::timeline::{self, Fired};
use crate::verdict::Verdict;
use crate::workload::{self, Controls, Load, Scribes, Seen, Streams, Workspace};
use crate::{elections, liveness};

/// What to run.
#[derive(Clone, Debug)]
pub struct Options {
    /// What the plan and the load are drawn from.
    pub seed: u64,
    /// How long the load runs.
    pub seconds: u64,
    /// Faults by name; none: all that are covered.
    pub faults: Option<Vec<String>>,
    /// The program.
    pub binary: PathBuf,
    /// The bug to put back, in a build with the feature `mutants`.
    pub mutant: Option<String>,
    /// Whether a noisy tenant is beside the load.
    pub noisy: bool,
}

impl Options {
    /// The command that does the same again.
    pub fn reproduce(&self) -> String {
        let mut line = format!("cloudnest-chaos reproduce --seed {} --seconds {}", self.seed, self.seconds);
        if let Some(faults) = &self.faults {
            line.push_str(&format!(" --faults {}", faults.join(",")));
        }
        if self.noisy {
            line.push_str(" --noisy");
        }
        if let Some(mutant) = &self.mutant {
            line.push_str(&format!(" --mutant {mutant}"));
        }
        line
    }

    /// The faults that the plan is drawn from.
    pub fn choose(&self) -> Result<Vec<&'static dyn Fault>> {
        match &self.faults {
            Some(names) => faults::named(names),
            None => Ok(faults::covered()),
        }
    }
}

/// All that a run says in its report.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Account {
    /// What was planned.
    pub plan: Plan,
    /// What was done.
    pub fired: Vec<Fired>,
    /// Every check.
    pub judged: Vec<Judged>,
    /// The worst of them.
    pub verdict: Verdict,
    /// How to do it again.
    pub reproduce: String,
    /// The program's version.
    pub version: String,
    /// Who led when.
    pub leaders: Vec<Seen>,
    /// Operations that were acknowledged.
    pub acknowledged: u64,
    /// What was refused or lost how often, by code.
    pub refusals: std::collections::BTreeMap<String, u64>,
    /// What was acknowledged to the noisy tenant beside it, if there was one: creates, and lines of imports.
    pub noise: Option<(u64, u64)>,
    /// Faults that this machine cannot do, and why.
    pub not_covered: Vec<(String, String)>,
    /// Wall time of all of it, in seconds.
    pub took_seconds: f64,
}

/// A run's record and what it amounts to.
pub struct Done {
    /// The report's contents.
    pub account: Account,
    /// Every operation.
    pub history: History,
    /// What was read back.
    pub ending: Ending,
}

/// Does something to a cluster under load; the closure is to be called while nothing is due.
pub type Conduct<'a> = &'a dyn Fn(&mut Field<'_>, &Plan, &mut dyn FnMut(&mut Field<'_>)) -> Result<Vec<Fired>>;

/// Runs. An error: the harness itself failed, or was interrupted, or the cluster never came up.
pub fn run(options: &Options) -> Result<Done> {
    let start = Instant::now();
    let chosen = options.choose()?;
    let plan = Plan::draw(options.seed, options.seconds * 1_000, NODES, &chosen);
    let used: Vec<_> = chosen
        .into_iter()
        .filter(|fault| plan.steps.iter().any(|step| step.fault == fault.name()))
        .collect();
    let stage = Stage::set(options.binary.clone(), options.mutant.as_deref(), &used).context("bring the cluster up")?;
    perform(options, stage, plan, start, &timeline::play)
}

/// The same on a stage that is set, with whatever is done to it in the place of [`timeline::play`].
pub fn perform(options: &Options, mut stage: Stage, plan: Plan, start: Instant, conduct: Conduct<'_>) -> Result<Done> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("start a runtime")?;
    let workspaces = runtime.block_on(workload::prepare(&stage.cluster, options.seed))?;
    let version = stage.version();
    let controls = Arc::new(Controls::default());
    let mut plan = plan;
    let moves = plan.steps.is_empty();
    let noise = options.noisy.then(|| Noise::start(&stage.cluster, &runtime)).transpose()?;
    let mut quiet = Quiet::after(noise);
    let mut played = play(&mut stage, &plan, &workspaces, (&controls, &runtime), conduct, &mut quiet)?;
    let noise = quiet.done;
    if let Some(ending) = &mut played.ending {
        // What a tenant that moves is sent in is larger than all of a hurried log.
        ending.hurried = options.mutant.is_some() && !moves;
    }

    plan.run_ms = plan.run_ms.max(played.ran_ms);

    let history = History {
        tenants: workspaces
            .iter()
            .map(|one| Tenant {
                slug: one.slug.clone(),
                tag: one.tag.clone(),
            })
            .collect(),
        operations: controls.take_operations(),
        foreign_tags: controls.take_foreign(),
    };
    let mut judged = vec![
        Judged::of("faults-fired", judge::faults(&played.fired)),
        Judged::of("enough-load", judge::load(controls.acknowledged(), plan.run_ms)),
        Judged::of("nothing-unasked", Verdict::of(played.findings)),
        Judged::of(
            "elections",
            elections::judge(&controls.leaders(), &played.stalls, &played.fired),
        ),
        Judged::of("liveness", played.liveness),
    ];
    if let Some(ending) = &played.ending {
        judged.extend(judge::judge(&history, ending));
    }
    let account = Account {
        verdict: judge::worst(&judged),
        judged,
        fired: played.fired,
        reproduce: options.reproduce(),
        version,
        leaders: controls.leaders(),
        acknowledged: controls.acknowledged(),
        refusals: controls.refusals(),
        noise,
        not_covered: not_covered(),
        took_seconds: start.elapsed().as_secs_f64(),
        plan,
    };
    Ok(Done {
        account,
        history,
        ending: played.ending.unwrap_or_default(),
    })
}

struct Played {
    ran_ms: u64,
    fired: Vec<Fired>,
    stalls: Vec<Stall>,
    findings: Vec<String>,
    liveness: Verdict,
    /// None: the cluster did not come back, so there is nothing to read.
    ending: Option<Ending>,
}

/// Load and faults, then liveness, then reading back.
fn play(
    stage: &mut Stage,
    plan: &Plan,
    workspaces: &[Workspace],
    (controls, runtime): (&Arc<Controls>, &tokio::runtime::Runtime),
    conduct: Conduct<'_>,
    quiet: &mut Quiet,
) -> Result<Played> {
    let token = stage.cluster.operator_token().to_owned();
    let region = stage.cluster.layout().regions()[0];
    let at_home = stage.cluster.nodes().iter().filter(|node| node.region == region);
    let addresses: Vec<_> = at_home.map(|node| node.api).collect();
    let streams = Streams::start(controls, &addresses, workspaces)?;
    let scribes = Scribes::start(controls, &addresses, workspaces, plan.seed)?;
    let load = Load::start(controls.clone(), &addresses, workspaces, &token, plan.seed)?;
    let sampler = stage.sampler();
    let mut field = Field {
        cluster: &mut stage.cluster,
        network: &stage.network,
        disks: &mut stage.disks,
        controls,
        lost: Vec::new(),
        doubtful: Vec::new(),
        findings: Vec::new(),
    };
    let mut used = sampler;
    let watch = Watch::start(controls.clone())?;
    let fired = conduct(&mut field, plan, &mut |field| used.sample(field.cluster, field.controls));
    let ran_ms = controls.now_us() / 1_000;
    // Whatever happened, the load ends before anything else does.
    let followed = load.stop()?;
    // Replicas are compared at one position: nobody may write any more.
    quiet.end()?;
    let stalls = watch.end();
    let fired = fired?;
    let came_back = runtime.block_on(liveness::require(&mut field, workspaces));
    let read = match came_back {
        Ok(live) => {
            let remaining = Remaining {
                followed,
                streams,
                scribes,
            };
            runtime.block_on(readback::all(&mut field, workspaces, remaining, &live))
        }
        Err(error) => Err(error),
    };
    ensure!(!crate::stop::is_asked(), "interrupted");
    let (liveness, ending) = match read {
        Ok(ending) => (Verdict::Green, Some(ending)),
        Err(error) => (Verdict::of(vec![format!("{error:#}")]), None),
    };
    field.findings.extend(damage(&field, &fired));
    let findings = field.findings;
    let ending = ending.map(|ending| Ending {
        nodes: used.most(),
        ..ending
    });
    Ok(Played {
        ran_ms,
        fired,
        stalls,
        findings,
        liveness,
        ending,
    })
}

/// Stores that had to be rebuilt although nothing damaged them.
fn damage(field: &Field<'_>, fired: &[Fired]) -> Vec<String> {
    let damages = |one: &Fired| faults::find(&one.fault).is_some_and(Fault::damages);
    if fired.iter().any(damages) {
        return Vec::new();
    }
    let said = (0..field.network.nodes())
        .filter_map(|place| Some(format!("no fault damaged {}: {}", field.name(place), field.damage(place)?)));
    said.collect()
}

fn not_covered() -> Vec<(String, String)> {
    let reason = |fault: &&'static dyn Fault| match fault.probe() {
        faults::Coverage::Covered => None,
        faults::Coverage::NotCovered(reason) => Some((fault.name().to_owned(), reason)),
    };
    faults::all().iter().filter_map(reason).collect()
}
