//! A sequential client: draws an operation, does it, records it, pauses.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rig::random::Random;

use super::ask::{Ask, Parcel, Told};
use super::controls::Controls;
use super::line::Line;
use super::tenants::Workspace;
use super::{claim, comment, keys, list, number, once, register, state};
use crate::history::{Action, Operation, Outcome};

/// The mean time from one operation to the next, in milliseconds: with 24 clients some 600 operations a second.
const PACE_MS: u64 = 40;
/// One client of so many is patient.
const PATIENT_OF: usize = 4;
/// How long records of an epoch are in use, in seconds. Raised: single keys get more operations than checkers like. Lowered: keys
/// are hardly contended.
const EPOCH_SECONDS: u64 = 20;

/// See the module.
pub(super) struct Client {
    pub(super) workspace: Workspace,
    pub(super) controls: Arc<Controls>,
    pub(super) random: Random,
    pub(super) line: Line,
    /// Acknowledged claims of its own that it has not released.
    pub(super) claims: Vec<String>,
    /// The register that it wrote last, and the position of that.
    pub(super) written: Option<(String, u64)>,
    /// Acknowledged tasks of its own that it has not removed.
    pub(super) tasks: Vec<String>,
    /// The task that it moves from state to state.
    pub(super) stateful: Option<String>,
    number: usize,
    process: u64,
    serial: u64,
}

/// An operation that has begun.
pub(super) struct Begun {
    invoked_us: u64,
}

impl Client {
    pub(super) fn new(number: usize, nodes: Vec<SocketAddr>, workspace: Workspace, controls: Arc<Controls>, seed: u64) -> Self {
        let process = controls.process();
        let line = Line::new(nodes, number);
        Self {
            workspace,
            controls,
            random: Random::new(seed.wrapping_mul(1_000).wrapping_add(number as u64)),
            line: if number.is_multiple_of(PATIENT_OF) {
                line.patient()
            } else {
                line
            },
            claims: Vec::new(),
            written: None,
            tasks: Vec::new(),
            stateful: None,
            number,
            process,
            serial: 0,
        }
    }

    /// One that waits longer for an answer: what it asks for takes its time.
    pub(super) fn patient(
        number: usize,
        nodes: Vec<SocketAddr>,
        workspace: Workspace,
        controls: Arc<Controls>,
        seed: u64,
    ) -> Self {
        let mut client = Self::new(number, nodes, workspace, controls, seed);
        client.line = client.line.patient();
        client
    }

    /// When the next operation is due, where one is every so many milliseconds.
    pub(super) fn due(&mut self, pace_ms: u64) -> tokio::time::Instant {
        let pause = Duration::from_millis(pace_ms / 2 + self.random.below(pace_ms));
        tokio::time::Instant::now() + self.controls.pause(pause)
    }

    /// The next operation begins at any node.
    pub(super) fn anywhere(&mut self) {
        let drawn = self.random.draw();
        self.line.start_at(drawn);
    }

    pub(super) async fn run(mut self) {
        let stagger = self.random.below(PACE_MS);
        tokio::time::sleep(Duration::from_millis(stagger)).await;
        while !self.controls.is_stopped() {
            let next = tokio::time::Instant::now()
                + self
                    .controls
                    .pause(Duration::from_millis(PACE_MS / 2 + self.random.below(PACE_MS)))
                    / self.controls.times();
            match self.random.below(100) {
                0..=24 => register::write(&mut self).await,
                25..=41 => register::read(&mut self).await,
                42..=44 => state::go(&mut self).await,
                45..=49 => register::read_at(&mut self).await,
                50..=64 => list::transaction(&mut self).await,
                65..=68 => list::read(&mut self).await,
                69..=76 => claim::claim(&mut self).await,
                77..=80 => claim::release(&mut self).await,
                81..=87 => number::number(&mut self).await,
                88..=93 => once::once(&mut self).await,
                94..=96 => comment::comment(&mut self).await,
                97 => comment::remove_task(&mut self).await,
                98 => keys::revoke(&mut self).await,
                _ => keys::trespass(&mut self).await,
            }
            tokio::time::sleep_until(next).await;
        }
    }

    /// The epoch that records are taken from now.
    pub(super) fn epoch(&self) -> u64 {
        self.controls.now_us() / (EPOCH_SECONDS * 1_000_000)
    }

    /// A value that nobody else writes.
    pub(super) fn value(&mut self) -> String {
        self.serial += 1;
        format!("{}-{}-{}", self.workspace.tag, self.number, self.serial)
    }

    /// A number that nobody else writes: lists hold numbers.
    pub(super) fn element(&mut self) -> u64 {
        self.serial += 1;
        ((self.workspace.place as u64 * super::CLIENTS as u64 + self.number as u64) << 32) | self.serial
    }

    pub(super) fn begin(&self) -> Begun {
        Begun {
            invoked_us: self.controls.now_us(),
        }
    }

    pub(super) async fn ask(&mut self, ask: &Ask<'_>) -> Told {
        self.line.ask(ask, &self.workspace, &self.controls).await
    }

    /// The same with bytes.
    pub(super) async fn send(&mut self, parcel: &Parcel<'_>) -> Told {
        self.line.send(parcel, &self.workspace, &self.controls).await
    }

    /// The same as [`Client::ask`], of what has this version only.
    pub(super) async fn ask_if(&mut self, ask: &Ask<'_>, version: u64) -> Told {
        self.line.ask_if(ask, Some(version), &self.workspace, &self.controls).await
    }

    /// Records an operation; a process that does not know how its own ended is not used again.
    pub(super) fn end(&mut self, begun: &Begun, action: Action, outcome: Outcome, position: Option<u64>) {
        self.controls.record(Operation {
            process: self.process,
            tenant: self.workspace.place,
            action,
            invoked_us: begun.invoked_us,
            completed_us: self.controls.now_us(),
            outcome,
            position: position.filter(|_| outcome == Outcome::Ok),
        });
        if outcome == Outcome::Unknown {
            self.process = self.controls.process();
        }
    }

    /// Records an operation beside which others of the same client were under way.
    pub(super) fn end_apart(&mut self, begun: &Begun, action: Action, outcome: Outcome) {
        self.process = self.controls.process();
        self.end(begun, action, outcome, None);
        self.process = self.controls.process();
    }
}
