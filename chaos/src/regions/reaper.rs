//! Kills one node at a time, starts it again after a while, and leaves a calm until the next one may be killed.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rig::http;
use rig::random::Random;

use super::KILL;
use crate::field::Field;
use crate::timeline::Fired;

/// How long a killed node stays away at most, in milliseconds.
const AWAY_MS: u64 = 1_200;
/// How long a node may take to be asked whether it is ready.
const READY_TIMEOUT: Duration = Duration::from_secs(1);

/// A node that was killed.
struct Dead {
    place: usize,
    back: Instant,
    started: bool,
    /// Its place among what has fired.
    fired: usize,
}

/// See the module.
pub(super) struct Reaper {
    random: Random,
    /// How long a calm is at most, in milliseconds.
    calm_ms: u64,
    dead: Option<Dead>,
    /// Nobody is killed before.
    next: Instant,
    /// What has been done so far, kills and whatever else, in order.
    pub(super) fired: Vec<Fired>,
}

impl Reaper {
    pub(super) fn new(seed: u64, calm_ms: u64) -> Self {
        Self {
            random: Random::new(seed),
            calm_ms,
            dead: None,
            next: Instant::now(),
            fired: Vec::new(),
        }
    }

    /// Nobody is dead.
    pub(super) fn is_idle(&self) -> bool {
        self.dead.is_none()
    }

    /// Somebody may be killed.
    pub(super) fn is_due(&self) -> bool {
        self.is_idle() && Instant::now() >= self.next
    }

    /// How long somebody could have been killed.
    pub(super) fn overdue(&self) -> Duration {
        Instant::now().saturating_duration_since(self.next)
    }

    /// A calm begins.
    pub(super) fn calm(&mut self) {
        self.next = Instant::now() + Duration::from_millis(self.random.below(self.calm_ms));
    }

    /// Kills a node.
    pub(super) fn kill(&mut self, field: &mut Field<'_>, name: &str, said: String) -> Result<()> {
        let place = field.cluster.nodes().iter().position(|node| node.name == name);
        let place = place.with_context(|| format!("there is no node {name}"))?;
        let at_us = field.controls.now_us();
        field.kill(&[place])?;
        self.dead = Some(Dead {
            place,
            back: Instant::now() + Duration::from_millis(self.random.below(AWAY_MS)),
            started: false,
            fired: self.fired.len(),
        });
        self.fired.push(Fired {
            fault: KILL.to_owned(),
            nodes: vec![name.to_owned()],
            at_us,
            healed_us: at_us,
            said,
            trouble: None,
        });
        Ok(())
    }

    /// Starts who was killed when it is time, and whoever has ended by itself, but for the one that was asked to. Whether the one that was
    /// killed is ready again just now.
    pub(super) fn tend(&mut self, field: &mut Field<'_>, asked: Option<usize>) -> Result<bool> {
        let mut is_back = false;
        if let Some(dead) = &mut self.dead
            && Instant::now() >= dead.back
        {
            if !dead.started {
                field.start(&[dead.place])?;
                dead.started = true;
                self.fired[dead.fired].healed_us = field.controls.now_us();
            }
            let address = field.cluster.nodes()[dead.place].api;
            is_back = matches!(http::status(address, "/readyz", "", READY_TIMEOUT), Ok((200, _)));
        }
        if is_back {
            self.dead = None;
            self.calm();
        }
        for place in 0..field.network.nodes() {
            let is_dead = self.dead.as_ref().is_some_and(|dead| dead.place == place && !dead.started);
            if !is_dead && asked != Some(place) && !field.runs(place) {
                let (name, words) = (field.name(place), field.last_words(place));
                field
                    .findings
                    .push(format!("{name} ended by itself; the end of its log: {words}"));
                field.start(&[place])?;
            }
        }
        Ok(is_back)
    }
}
