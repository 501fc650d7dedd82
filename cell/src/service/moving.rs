//! Moves of tenants between cells, as operators ask for them. Out of their region only where the request names the other one.

use api::body::control::{Operation, TenantMove};
use api::error::{Code, Error, Result};
use api::ids::{Id, Slug};
use api::service::{Idempotency, Operator};
use uuid::Uuid;

use super::Front;
use super::error::{internal, refused};
use super::tenant_life::{show_operation, unsure};
use super::tenants::{operators_key, wrong};
use crate::config::{CellEntry, CellKind};
use crate::directory::move_begin::{self, MoveAcross, MoveBegin};
use crate::directory::move_turn::{MoveTurn, Turn};
use crate::directory::moves::{self, Stage, Told};
use crate::directory::query::no_tenant;
use crate::machine::refusal::Refusal;
use crate::machine::rows::Actor;

/// How often a dedicated cell is looked for: somebody else may take the one that was free.
const CHOICES: usize = 3;

impl Front {
    pub(super) async fn move_tenant(
        &self,
        operator: &Operator,
        slug: &Slug,
        to: TenantMove,
        key: Option<Idempotency>,
    ) -> Result<Operation> {
        let key = key.map(|key| operators_key(operator, key));
        let fresh = self.platform.freshen_directory().await;
        let absent = || if fresh { no_tenant(slug.as_str()) } else { unsure() };
        let tenant = self.platform.tenant(slug.as_str())?.ok_or_else(absent)?;
        let running = moves::read(&self.platform.directory.read()?, tenant.uid);
        let running = running.map_err(|fault| internal(&fault))?;
        for choice in 1.. {
            // Whoever asks again while it runs is told of it, though its dedicated cell is not free any more.
            let cell = match &running {
                Some(running) => running.to,
                None => self.free_target(operator, slug.as_str(), &tenant.region, &to).await?.number,
            };
            let begin = MoveBegin {
                slug: slug.to_string(),
                to: cell,
                dedicated: self.is_dedicated(cell),
                operation: Uuid::now_v7(),
            };
            let (operation, actor) = (begin.operation, Actor::Operator(operator.name.to_string()));
            let asked = match to.region.clone().filter(|region| *region != tenant.region) {
                Some(region) => {
                    self.platform
                        .directory_command(actor, key, MoveAcross { begin, region })
                        .await?
                }
                None => self.platform.directory_command(actor, key, begin).await?,
            };
            match asked {
                Err(Refusal::Invalid { .. }) if to.dedicated && choice < CHOICES => {
                    self.platform.freshen_directory().await;
                }
                Err(refusal) => return Err(refused(&refusal)),
                Ok(told) => {
                    if told.operation.id == operation {
                        self.platform.moves.counts.begun();
                        tracing::info!(tenant = slug.as_str(), cell, %operation, "a tenant is to move to another cell");
                    }
                    self.platform.moves.look();
                    return Ok(show_told(&told));
                }
            }
        }
        Err(internal(&"a choice of cells has no end"))
    }

    /// The cell that a request names; a dedicated one is made where none is free.
    async fn free_target(&self, operator: &Operator, slug: &str, region: &str, to: &TenantMove) -> Result<CellEntry> {
        let goes_to = to.region.as_deref().unwrap_or(region);
        match self.move_target(slug, region, to) {
            Err(error) if to.dedicated && error.code == Code::Unavailable && goes_to == self.platform.me.region => {
                self.make_dedicated(&Actor::Operator(operator.name.to_string())).await?;
                self.move_target(slug, region, to)
            }
            target => target,
        }
    }

    /// The cell that a request names.
    fn move_target(&self, slug: &str, home: &str, to: &TenantMove) -> Result<CellEntry> {
        let config = self.platform.topology();
        let region = to.region.as_deref().unwrap_or(home);
        if !config.regions.iter().any(|known| known.name == region) {
            let names: Vec<_> = config.regions.iter().map(|region| region.name.as_str()).collect();
            return Err(wrong(
                "/region",
                format!("{region:?} is not a region; there are: {}", names.join(", ")),
            ));
        }
        let name = match (&to.cell, to.dedicated) {
            (Some(name), false) => name,
            (None, true) => {
                let snapshot = self.platform.directory.read()?;
                let number = self.choose_cell(&snapshot, slug, region, true)?;
                let chosen = config.cells.iter().find(|cell| cell.number == number);
                return chosen
                    .cloned()
                    .ok_or_else(|| internal(&"the cell that was chosen is not there"));
            }
            _ => {
                let message = "takes the name of a cell, or leave it out and say \"dedicated\": true";
                return Err(wrong("/cell", message.to_owned()));
            }
        };
        let cells = config.region_cells(region);
        if let Some(cell) = cells.iter().find(|cell| cell.name == *name) {
            return Ok(CellEntry::clone(cell));
        }
        Err(wrong(
            "/cell",
            match config.cells.iter().find(|cell| cell.name == *name) {
                Some(cell) => format!(
                    "is a cell of {0}; the tenant's content stays in {region}, unless the request says \"region\": \"{0}\"",
                    cell.region
                ),
                None => {
                    let names: Vec<_> = cells.iter().map(|cell| cell.name.as_str()).collect();
                    format!("{name:?} is not a cell of {region}; there are: {}", names.join(", "))
                }
            },
        ))
    }

    fn is_dedicated(&self, cell: u64) -> bool {
        let topology = self.platform.topology();
        topology.cell(cell).is_some_and(|entry| entry.kind == CellKind::Dedicated)
    }

    pub(super) async fn call_off(&self, operator: &Operator, id: Id) -> Result<Operation> {
        let fresh = self.platform.freshen_directory().await;
        let read = |id: Uuid| -> Result<Option<Told>> {
            let snapshot = self.platform.directory.read()?;
            moves::told(&snapshot, id).map_err(|fault| internal(&fault))
        };
        let absent = || match fresh {
            true => Error::new(Code::NotFound, format!("there is no operation {id}")),
            false => unsure(),
        };
        let told = read(id.0)?.ok_or_else(absent)?;
        if told.operation.kind != move_begin::KIND {
            return Err(too_late("only a move can be called off"));
        }
        let running = moves::all(&self.platform.directory.read()?).map_err(|fault| internal(&fault))?;
        if let Some(moving) = running.iter().find(|moving| moving.operation == id.0) {
            let command = MoveTurn {
                uid: moving.uid,
                operation: id.0,
                turn: Turn::CallOff,
            };
            let actor = Actor::Operator(operator.name.to_string());
            let now = self.platform.directory_command(actor, None, command).await?;
            let now = now.map_err(|refusal| refused(&refusal))?;
            if now.is_some_and(|moving| moving.stage == Stage::Departing) {
                return Err(too_late(
                    "the tenant is served by the other cell already: move it back instead",
                ));
            }
            self.platform.moves.look();
        }
        self.platform.freshen_directory().await;
        Ok(show_told(&read(id.0)?.unwrap_or(told)))
    }
}

fn too_late(why: &str) -> Error {
    Error::new(Code::ChangeUnderWay, why)
}

/// An operation with what it says of itself.
pub(super) fn show_told(told: &Told) -> Operation {
    let mut shown = show_operation(&told.operation);
    if told.is_called_off {
        shown.status = "cancelled".to_owned();
    }
    shown.phase = told.phase.map(|phase| phase.name().to_owned());
    shown
}
