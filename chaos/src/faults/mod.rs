//! The faults, one file each: how it is tried out on this machine, whom it hits, how it is done and undone.
//!
//! A fault says whether it fired: [`Fault::heal`] fails where nothing shows that it did, and the run is then INVALID, because a
//! run in which nothing happened proves nothing. What this machine cannot do says so in [`Fault::probe`] and is never counted.
//!
//! Invariants: a fault undoes all that it did in `heal`, also after it failed; nothing that it started outlives the run. Faults of
//! [`Lane::Side`] touch no process and no disk, so that they can go on beside those of [`Lane::Nodes`].

use std::process::Child;

use anyhow::{Context, Result, bail, ensure};
use rig::random::Random;

use crate::field::Field;
use crate::plan::{Step, Whom};

mod bandwidth;
mod clock_jump;
mod cloned_node;
mod delay;
mod disk_full;
mod disk_stall;
mod fd_limit;
pub(crate) mod flip_bits;
mod half_open;
mod hand_over;
mod kill;
mod leader_cut_off;
mod links;
mod memory_limit;
mod one_way;
mod overload;
mod partial;
mod partition;
mod pause;
mod power_loss;
mod relocate;
mod reset;
mod restart_loop;
mod syscalls;
mod torn_write;
mod wiped_node;

/// Whether this machine can do it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Coverage {
    /// It can.
    Covered,
    /// It cannot, and why.
    NotCovered(String),
}

impl Coverage {
    /// Covered where there is nothing in the way.
    pub fn of(tried: Result<(), String>) -> Self {
        match tried {
            Ok(()) => Self::Covered,
            Err(reason) => Self::NotCovered(reason),
        }
    }
}

/// What a fault goes together with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lane {
    /// Processes and disks: one at a time.
    Nodes,
    /// Network and load: beside those.
    Side,
    /// It takes a node away, or its memory: alone, and last.
    Last,
}

/// A fault that is going on.
#[derive(Debug, Default)]
pub struct Hold {
    /// Whom it hit, as places in the list of nodes.
    pub nodes: Vec<usize>,
    /// What was done.
    pub said: String,
    /// A count from before, to compare with at the end.
    pub mark: u64,
    /// The operation that does it, where one does.
    pub operation: String,
    /// Processes of the harness that do it.
    pub children: Children,
}

impl Hold {
    /// A hold on some nodes.
    pub fn new(nodes: Vec<usize>, said: impl Into<String>) -> Self {
        Self {
            nodes,
            said: said.into(),
            ..Self::default()
        }
    }
}

/// Processes that are killed when they are not needed any more.
#[derive(Debug, Default)]
pub struct Children(Vec<Child>);

impl Children {
    /// Takes care of a process.
    pub fn push(&mut self, child: Child) {
        self.0.push(child);
    }

    /// Kills them now.
    pub fn end(&mut self) {
        for mut child in self.0.drain(..) {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Drop for Children {
    fn drop(&mut self) {
        self.end();
    }
}

/// A fault.
pub trait Fault: Sync {
    /// Its name, in kebab-case.
    fn name(&self) -> &'static str;

    /// What it does, in a few words.
    fn about(&self) -> &'static str;

    /// What it goes together with.
    fn lane(&self) -> Lane;

    /// How often it is drawn, against the others of its lane; 0: only where it is asked for by name.
    fn weight(&self) -> u64 {
        2
    }

    /// The shortest and the longest time that it lasts, in milliseconds.
    fn lasts_ms(&self) -> (u64, u64);

    /// Whom it hits: half of the time whoever leads.
    fn whom(&self, random: &mut Random, nodes: usize) -> Whom {
        if random.below(2) == 0 {
            Whom::Leader
        } else {
            any(random, nodes)
        }
    }

    /// Whether this machine can do it.
    fn probe(&self) -> Coverage {
        Coverage::Covered
    }

    /// Whether every node needs a disk of its own for it.
    fn needs_disks(&self) -> bool {
        false
    }

    /// Whether tenants need another cell to go to.
    fn needs_another_cell(&self) -> bool {
        false
    }

    /// What nodes must be started with for it, by node: variables.
    fn environment(&self, _directory: &std::path::Path, _node: &str) -> Vec<(String, String)> {
        Vec::new()
    }

    /// Whether a leader may be given up over it.
    fn unseats(&self) -> bool {
        true
    }

    /// Whether it may leave a store behind that has to be rebuilt from another replica.
    fn damages(&self) -> bool {
        false
    }

    /// Does it.
    fn inject(&self, field: &mut Field<'_>, step: &Step) -> Result<Hold>;

    /// Undoes it, and says what happened. An error: it did not fire, or it could not be undone.
    fn heal(&self, field: &mut Field<'_>, step: &Step, hold: &mut Hold) -> Result<String>;
}

/// A node that is drawn.
pub fn any(random: &mut Random, nodes: usize) -> Whom {
    // The remainder of a length fits.
    Whom::Node(random.below(nodes.max(1) as u64) as usize)
}

/// All of them.
pub fn all() -> &'static [&'static dyn Fault] {
    static ALL: [&dyn Fault; 29] = [
        &kill::Kill,
        &restart_loop::RestartLoop,
        &pause::Pause,
        &hand_over::HandOver,
        &partition::Partition,
        &one_way::OneWay,
        &partial::Partial,
        &leader_cut_off::LeaderCutOff,
        &delay::Delay,
        &bandwidth::Bandwidth,
        &reset::Reset,
        &half_open::HalfOpen,
        &power_loss::PowerLoss,
        &disk_stall::DiskStall,
        &disk_full::DiskFull,
        &syscalls::EIO,
        &syscalls::ENOSPC,
        &syscalls::EIO_ON_WRITE,
        &syscalls::ENOSPC_ON_FSYNC,
        &syscalls::FSYNC_LIE,
        &clock_jump::ClockJump,
        &flip_bits::FlipBits,
        &torn_write::TornWrite,
        &wiped_node::WipedNode,
        &cloned_node::ClonedNode,
        &fd_limit::FdLimit,
        &memory_limit::MemoryLimit,
        &overload::Overload,
        &relocate::Relocate,
    ];
    &ALL
}

/// A fault by its name.
pub fn find(name: &str) -> Option<&'static dyn Fault> {
    all().iter().copied().find(|fault| fault.name() == name)
}

/// Faults by their names; an error where there is none of a name, or where this machine cannot do it.
pub fn named(names: &[String]) -> Result<Vec<&'static dyn Fault>> {
    let mut chosen = Vec::new();
    for name in names {
        let fault = find(name).with_context(|| format!("there is no fault {name:?}; see `cloudnest-chaos list`"))?;
        if let Coverage::NotCovered(reason) = fault.probe() {
            bail!("{name} is NOT COVERED on this machine: {reason}");
        }
        chosen.push(fault);
    }
    ensure!(!chosen.is_empty(), "no fault is named");
    Ok(chosen)
}

/// All that this machine can do, but those that have to be asked for by name.
pub fn covered() -> Vec<&'static dyn Fault> {
    let able = |fault: &&&'static dyn Fault| fault.weight() > 0 && fault.probe() == Coverage::Covered;
    all().iter().filter(able).copied().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_distinct_and_in_kebab_case() {
        let mut names: Vec<_> = all().iter().map(|fault| fault.name()).collect();
        assert!(
            names
                .iter()
                .all(|name| name.chars().all(|c| c.is_ascii_lowercase() || c == '-'))
        );
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), all().len());
    }
}
