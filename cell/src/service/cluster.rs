//! The topology: shown, and changed as an operation.

use std::collections::BTreeMap;

use api::body::control::Operation;
use api::body::topology::{Applying, Cluster, NewTopology};
use api::error::{Code, Error, FieldError, Result};
use api::ids::Id;
use api::service::Operator;
use uuid::Uuid;

use super::Front;
use super::error::internal;
use crate::cluster::begin::{ApplyBegin, Wanted, wanted};
use crate::cluster::check::{changed_groups, no_quorum, refusals};
use crate::cluster::limited::{LEVEL, TopologyChange};
use crate::cluster::step::next;
use crate::cluster::turn::ApplyTurn;
use crate::cluster::wire;
use crate::config::{Plan, Topology};
use crate::directory::tenant_reserve::count;
use crate::directory::topology;
use crate::machine::rows::Actor;
use crate::node::applying::answering;

fn uninitialised() -> Error {
    Error::new(
        Code::Unavailable,
        "the cluster is not initialised yet: `cluster up` does that",
    )
}

/// A change that is not brought about, and all reasons.
fn refused(reasons: Vec<String>) -> Error {
    let detail = reasons.join("; ");
    let error = |message| FieldError {
        pointer: "/topology".to_owned(),
        message,
    };
    Error {
        errors: reasons.into_iter().map(error).collect(),
        ..Error::new(Code::TopologyRefused, detail)
    }
}

impl Front {
    pub(super) async fn show_cluster(&self) -> Result<Cluster> {
        self.platform.freshen_directory().await;
        let snapshot = self.platform.directory.read()?;
        let stored = topology::read(&snapshot).map_err(|fault| internal(&fault))?;
        let (version, current) = stored.ok_or_else(uninitialised)?;
        let wanted = wanted(&snapshot).map_err(|fault| internal(&fault))?;
        let applying = wanted.map(|wanted| {
            let target = wanted.topology;
            Applying {
                operation: Id(wanted.operation),
                wanted: wire::show(&target),
                step: next(&current, &target).map(|step| step.what),
                waiting: self.platform.waiting(),
            }
        });
        Ok(Cluster {
            version,
            topology: wire::show(&current),
            applying,
        })
    }

    pub(super) async fn apply_topology(&self, operator: &Operator, new: NewTopology) -> Result<Option<Operation>> {
        let after = new.after;
        let target = wire::read(new.topology)?;
        if !self.platform.freshen_directory().await {
            return Err(Error::new(
                Code::Unavailable,
                "the directory cannot be reached now, and holds what would change",
            ));
        }
        let snapshot = self.platform.directory.read()?;
        let stored = topology::read(&snapshot).map_err(|fault| internal(&fault))?;
        let (version, current) = stored.ok_or_else(uninitialised)?;
        if let Some(running) = wanted(&snapshot).map_err(|fault| internal(&fault))? {
            let detail = format!(
                "another apply is under way, operation {}; wait for it, or call it off",
                running.operation
            );
            return Err(Error::new(Code::AlreadyExists, detail));
        }
        if version != after {
            let detail = format!("the topology was changed meanwhile: it is at {version}, not {after}; plan again");
            return Err(Error::new(Code::Contention, detail));
        }
        // What is wanted is always a cluster that is done.
        let target = target.keeping_made(&current).settled();
        if next(&current, &target).is_none() {
            return Ok(None);
        }
        let mut tenants = BTreeMap::new();
        for cell in &current.cells {
            let here = count(&snapshot, cell.number).map_err(|fault| internal(&fault))?;
            tenants.insert(cell.number, here.tenants);
        }
        drop(snapshot);
        let mut reasons = refusals(&current, &target, &tenants);
        reasons.extend(self.early_plans(&target));
        // Nodes that are new have to be reached before the directory knows them.
        self.platform.know(&current, &target);
        for (name, nodes) in changed_groups(&current, &target) {
            let alive = answering(&self.platform, &target, &nodes).await;
            reasons.extend(no_quorum(&name, &nodes, &alive));
        }
        if !reasons.is_empty() {
            return Err(refused(reasons));
        }
        let operation = Uuid::now_v7();
        let topology = (&target).into();
        let begin = ApplyBegin {
            after,
            wanted: Wanted { operation, topology },
        };
        let actor = Actor::Operator(operator.name.to_string());
        self.platform
            .change_topology(actor, TopologyChange::Begin(begin), Some(&target))
            .await?;
        self.get_operation(Id(operation)).await.map(Some)
    }

    /// Why plans cannot give yet what they are to give.
    fn early_plans(&self, target: &Topology) -> Option<String> {
        let early = |plan: &&Plan| plan.records.is_some() || plan.connections.is_some();
        let plan = target.plans.iter().find(early)?;
        // A node with a copy of the directory alone does not know; then the directory's leader refuses it.
        let directory = self.platform.directory.seat().and_then(|seat| seat.get())?;
        let level = directory.level.group();
        (level < LEVEL).then(|| {
            format!(
                "plan {}: records and connections need level {LEVEL}, the directory is at level {level}: finish the upgrade of all nodes first",
                plan.name
            )
        })
    }

    pub(super) async fn cancel_apply(&self, operator: &Operator) -> Result<Operation> {
        self.platform.freshen_directory().await;
        let actor = Actor::Operator(operator.name.to_string());
        loop {
            let snapshot = self.platform.directory.read()?;
            let none = || Error::new(Code::NotFound, "no apply is under way");
            let wanted = wanted(&snapshot).map_err(|fault| internal(&fault))?.ok_or_else(none)?;
            let version = topology::read(&snapshot)
                .map_err(|fault| internal(&fault))?
                .map_or(0, |(version, _)| version);
            drop(snapshot);
            let end = ApplyTurn {
                operation: wanted.operation,
                after: version,
                then: None,
            };
            match self.platform.at_directory(actor.clone(), end).await {
                Ok(()) => return self.get_operation(Id(wanted.operation)).await,
                // A step was done meanwhile.
                Err(error) if error.code == Code::Contention => {
                    self.platform.freshen_directory().await;
                }
                Err(error) => return Err(error),
            }
        }
    }
}
