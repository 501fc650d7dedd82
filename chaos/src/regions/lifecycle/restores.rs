//! Tenants made of what another one was at a time, from the backup of their region.
//!
//! One tenant, the keepsake, is written by nobody else, so that its archive at a time is known: that of what is restored must be the same,
//! byte for byte, whatever the load writes into the same cell meanwhile; and a client of Yjs that wrote its document goes on with what it had then. Killed are the node that restores, and leaders of the tenant's cell and
//! of the directory. A restore that fails over it says why, leaves nothing, and succeeds the second time.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use api::body::backup::TenantRestore;
use rig::random::Random;

use super::keepsake::{KEEPSAKE, Keepsake};
use super::{DEEDS, DIRECTORY, Deed, Prey, Whom, done};
use crate::field::Field;
use crate::regions::desk::Desk;
use crate::regions::reaper::Reaper;

/// How long a restore may take to begin, to end, and to be cleared away. One whose node has gone is over after a minute.
const WITHIN: Duration = Duration::from_secs(180);
/// The name under which the end of backups stands in a timeline.
const RESTART: &str = "restart";
/// How long a node may take to end, and to be ready again.
const RESTARTED_WITHIN: Duration = Duration::from_secs(60);
/// What is said of one that failed at first.
pub(super) const FAILED: &str = "failed at first";

/// What a restore is at.
enum Phase {
    /// It is asked for.
    Asked,
    /// Its operation.
    Running(String),
    /// It failed: nothing of it may be left.
    Clearing,
    /// It was as it should be: it goes.
    Erasing,
    /// It is to be gone.
    Going,
}

struct Task {
    slug: String,
    /// Which moment.
    moment: usize,
    /// Which node restores.
    node: usize,
    phase: Phase,
    /// Why it failed the first time.
    failed: Option<String>,
    /// Kills that are still to come.
    hits: u64,
    /// What was answered last where it was no use.
    refused: String,
    at_us: u64,
    until: Instant,
}

/// See the module.
pub(super) struct Restores {
    desk: Desk,
    /// The nodes of the region.
    nodes: Vec<(String, Desk)>,
    cell: String,
    keepsake: Keepsake,
    random: Random,
    left: usize,
    task: Option<Task>,
}

impl Restores {
    pub(super) fn new(field: &Field<'_>, seed: u64, count: usize) -> Result<Self> {
        let region = field.cluster.layout().regions()[0].to_owned();
        let desk = Desk::of(field.cluster, &region);
        let names = field.cluster.nodes().iter().filter(|node| node.region == region);
        Ok(Self {
            keepsake: Keepsake::new(field, &region, seed)?,
            nodes: names.map(|node| node.name.clone()).zip(desk.each()).collect(),
            desk,
            cell: format!("{region}-shared"),
            random: Random::new(seed ^ 0x7265_7374_6F72),
            left: count,
            task: None,
        })
    }

    fn begin(&mut self, at_us: u64) {
        // The remainders of lengths fit.
        let mut below = |end: usize| self.random.below(end as u64) as usize;
        self.task = Some(Task {
            slug: format!("again-{}", self.keepsake.moments.len()),
            moment: below(self.keepsake.moments.len()),
            node: below(self.nodes.len()),
            phase: Phase::Asked,
            failed: None,
            hits: 1 + below(2) as u64,
            refused: String::new(),
            at_us,
            until: Instant::now() + WITHIN,
        });
        self.left -= 1;
    }

    /// Goes on with a restore. The phase that it comes to; none: it stays in its own. `all_live`: nobody is dead; what was restored is looked at
    /// from each node, and who is dead comes back only between two steps.
    fn go_on(&self, task: &mut Task, field: &mut Field<'_>, all_live: bool) -> Result<Option<Phase>> {
        let moment = &self.keepsake.moments[task.moment];
        match &task.phase {
            Phase::Asked => {
                let wanted = TenantRestore {
                    from: KEEPSAKE.to_owned(),
                    at: Some(moment.at.clone()),
                    plan: None,
                    keep_tokens: true,
                };
                match self.nodes[task.node].1.restore(&task.slug, &wanted) {
                    Ok(operation) => return Ok(Some(Phase::Running(operation.id.to_string()))),
                    // Not archived yet, as a rule.
                    Err(error) => task.refused = format!("{error:#}"),
                }
            }
            Phase::Running(operation) => {
                let Ok(now) = self.desk.operation(operation) else {
                    return Ok(None);
                };
                match now.status.as_str() {
                    "running" => {}
                    "done" if !all_live => {}
                    "done" => {
                        if self.keepsake.archive_of(&task.slug)? != moment.archive {
                            let finding = format!("{} is not what {KEEPSAKE} was at {}", task.slug, moment.at);
                            field.findings.push(finding);
                        }
                        if let Err(error) = self.keepsake.sheet.compare(&task.slug, &moment.leaf) {
                            let finding = format!("{}, made of what {KEEPSAKE} was at {}: {error:#}", task.slug, moment.at);
                            field.findings.push(finding);
                        }
                        return Ok(Some(Phase::Erasing));
                    }
                    _ => return Ok(Some(failed(task, now.error.unwrap_or_default(), field))),
                }
            }
            Phase::Clearing => {
                if self.is_gone(&task.slug) && scratches(field, &self.nodes)? == 0 {
                    return Ok(Some(Phase::Asked));
                }
            }
            Phase::Erasing => {
                if self.desk.erase(&task.slug).is_ok() {
                    return Ok(Some(Phase::Going));
                }
            }
            Phase::Going => {}
        }
        Ok(None)
    }

    /// No node of the region knows it.
    fn is_gone(&self, slug: &str) -> bool {
        self.nodes.iter().all(|(_, desk)| desk.has(slug).is_ok_and(|there| !there))
    }
}

/// A restore has failed: the first time it may.
fn failed(task: &mut Task, why: String, field: &mut Field<'_>) -> Phase {
    if why.is_empty() {
        field
            .findings
            .push(format!("the restore of {} failed, and does not say why", task.slug));
    }
    match task.failed.replace(why) {
        None => {
            task.hits = 0;
            Phase::Clearing
        }
        Some(_) => {
            let finding = format!("the restore of {} failed twice: {:?}", task.slug, task.failed);
            field.findings.push(finding);
            Phase::Going
        }
    }
}

/// What restores have in the data of nodes.
fn scratches(field: &Field<'_>, nodes: &[(String, Desk)]) -> Result<usize> {
    let mut left = 0;
    for (name, _) in nodes {
        let path = field.cluster.data().join(name).join("scratch");
        match std::fs::read_dir(&path) {
            Ok(found) => left += found.count(),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(error).with_context(|| format!("list {}", path.display())),
        }
    }
    Ok(left)
}

/// Restarts every node without backups: what a cell holds does not change by itself any more, and can be compared.
pub(super) fn end_backups(field: &mut Field<'_>, reaper: &mut Reaper) -> Result<()> {
    let section = field.cluster.layout().backup_section();
    for place in 0..field.network.nodes() {
        let (name, at_us) = (field.name(place), field.controls.now_us());
        let mut given = field.cluster.given(&name);
        given.config = given.config.map(|text| text.replace(&section, ""));
        field.cluster.give(&name, given);
        field.cluster.terminate(&name)?;
        field.cluster.wait_ended(&name, RESTARTED_WITHIN)?;
        field.cluster.start_node(&name)?;
        field.cluster.wait_ready(&name, RESTARTED_WITHIN)?;
        let times = (at_us, field.controls.now_us());
        let said = "without backups from here on".to_owned();
        reaper.fired.push(done(RESTART, vec![name], times, said));
    }
    Ok(())
}

impl Deed for Restores {
    fn step(&mut self, field: &mut Field<'_>, reaper: &mut Reaper) -> Result<bool> {
        let Some(mut task) = self.task.take() else {
            if self.left == 0 || !reaper.is_idle() {
                return Ok(self.left == 0);
            }
            self.keepsake.live()?;
            self.begin(field.controls.now_us());
            return Ok(false);
        };
        if Instant::now() > task.until {
            let (what, said) = (&task.slug, field.words_about("restore"));
            bail!(
                "the restore of {what} did not go on within {WITHIN:?}: {}\n{said}",
                task.refused
            );
        }
        if let Some(phase) = self.go_on(&mut task, field, reaper.is_idle())? {
            task.until = Instant::now() + WITHIN;
            if matches!(phase, Phase::Running(_)) {
                reaper.calm();
            }
            task.phase = phase;
        }
        if matches!(task.phase, Phase::Going) && self.is_gone(&task.slug) {
            let name = self.nodes[task.node].0.clone();
            let at = &self.keepsake.moments[task.moment].at;
            let how = task
                .failed
                .as_ref()
                .map_or_else(String::new, |why| format!(", {FAILED}: {why}"));
            let said = format!("{} as {KEEPSAKE} was at {at}{how}", task.slug);
            let times = (task.at_us, field.controls.now_us());
            reaper.fired.push(done(DEEDS[2], vec![name], times, said));
        } else {
            self.task = Some(task);
        }
        Ok(false)
    }

    fn prey(&mut self) -> Option<Prey> {
        let task = self.task.as_mut().filter(|task| matches!(task.phase, Phase::Running(_)))?;
        task.hits = task.hits.checked_sub(1)?;
        let (whom, what) = match self.random.below(4) {
            0 => (Whom::Leader(DIRECTORY.to_owned()), format!("led {DIRECTORY}")),
            1 => (Whom::Leader(self.cell.clone()), format!("led {}", self.cell)),
            _ => (Whom::Node(self.nodes[task.node].0.clone()), "restored it".to_owned()),
        };
        let why = format!("{}: {what} while {} was made", DEEDS[2], task.slug);
        Some(Prey { whom, why })
    }
}
