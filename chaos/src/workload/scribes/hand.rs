//! What a scribe has in its hands: its copy, the changes that it waits for, and what it found to be wrong.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use tokio::time::Instant;

use super::{Page, lock};
use crate::ending;
use crate::history::{Action, Outcome, Stroke};
use crate::invariants::names;
use crate::workload::client::{Begun, Client};
use crate::yjs::{Clocks, Paper};

/// The mean time from one change to the next, in milliseconds.
const PACE_MS: u64 = 600;
/// A document of so many bytes is not written any more, only taken from.
const LONG: usize = 12_000;
/// Of a hundred changes so many take a mark away, and so many write one at the end; the others write one somewhere.
const ERASED: u64 = 15;
const APPENDED: u64 = 55;
/// What is not as it should be is told so often: one is enough to fail a run.
const ODD: usize = 20;

/// A change that nobody has acknowledged.
struct Change {
    number: u64,
    begun: Begun,
    mark: String,
    stroke: Stroke,
}

/// See the module.
pub(super) struct Hand {
    pub(super) client: Client,
    pub(super) page: Arc<Page>,
    /// Its number among clients.
    number: u64,
    /// Its number as a client of Yjs.
    name: u64,
    pub(super) paper: Paper,
    /// Changes so far.
    pub(super) changes: u64,
    waiting: Vec<Change>,
    /// Marks of this life that are acknowledged.
    mine: Vec<String>,
    /// When the next change is.
    pub(super) due: Instant,
    pub(super) left: ending::Scribe,
}

impl Hand {
    pub(super) fn new(client: Client, page: Arc<Page>, number: usize) -> Self {
        let mut hand = Self {
            client,
            page,
            number: number as u64,
            name: 0,
            paper: Paper::new(0),
            changes: 0,
            waiting: Vec::new(),
            mine: Vec::new(),
            due: Instant::now(),
            left: ending::Scribe::default(),
        };
        hand.begin_anew();
        hand
    }

    /// How it is left.
    pub(super) fn leave(mut self) -> ending::Scribe {
        self.left.waiting = self.waiting.len();
        self.forget_waiting();
        (self.left.text, self.left.clocks) = (self.paper.text(), self.paper.clocks());
        self.left
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.client.controls.is_stopped()
    }

    /// A time below this many milliseconds.
    pub(super) fn within(&mut self, milliseconds: u64) -> Duration {
        Duration::from_millis(self.client.random.below(milliseconds))
    }

    /// The numbers of the changes that it waits for.
    pub(super) fn waits_for(&self) -> Vec<u64> {
        self.waiting.iter().map(|change| change.number).collect()
    }

    /// Another client of Yjs, with nothing.
    pub(super) fn begin_anew(&mut self) {
        self.forget_waiting();
        self.mine.clear();
        self.left.lives += 1;
        self.name = (self.number << 24) | self.left.lives;
        self.paper = Paper::new(self.name);
    }

    /// What was not acknowledged may or may not have been taken.
    fn forget_waiting(&mut self) {
        for change in std::mem::take(&mut self.waiting) {
            self.record(&change, Outcome::Unknown);
        }
    }

    fn record(&mut self, change: &Change, outcome: Outcome) {
        let action = Action::Scribe {
            page: self.page.id.clone(),
            client: self.name,
            mark: change.mark.clone(),
            stroke: change.stroke,
        };
        self.client.end_apart(&change.begun, action, outcome);
    }

    pub(super) fn take(&mut self, update: &[u8]) -> Result<()> {
        let taken = self.paper.apply(update);
        if let Err(error) = &taken {
            self.odd(format!("what a server said cannot be taken: {error:#}"));
        }
        taken
    }

    /// A server has at least what had been in answers.
    pub(super) fn compare(&mut self, node: usize, known: &Clocks, said: &Clocks) {
        for (client, clock) in known {
            let has = said.get(client).copied().unwrap_or(0);
            if has < *clock {
                self.odd(format!(
                    "{clock} of client {client} were acknowledged, and node {node}, asked afterwards, has {has}"
                ));
            }
        }
    }

    /// Looks which of the changes that were asked about are in an answer.
    pub(super) fn weigh(&mut self, update: &[u8], about: &[u64]) -> Result<()> {
        let whole = match Paper::of(update) {
            Ok(whole) => whole,
            Err(error) => {
                self.odd(format!("what a server has cannot be read: {error:#}"));
                return Err(error);
            }
        };
        let text = whole.text();
        let words: HashSet<&str> = text.split_whitespace().collect();
        for (client, clock) in whole.clocks() {
            let mut taken = lock(&self.page.taken);
            let most = taken.entry(client).or_default();
            *most = clock.max(*most);
        }
        for change in std::mem::take(&mut self.waiting) {
            let is_there = words.contains(change.mark.as_str());
            if !about.contains(&change.number) || is_there == (change.stroke == Stroke::Erase) {
                self.waiting.push(change);
                continue;
            }
            self.record(&change, Outcome::Ok);
            if is_there {
                self.mine.push(change.mark);
            }
        }
        Ok(())
    }

    /// One change of its copy, and the update that says so; none: there was nothing to do.
    pub(super) fn change(&mut self) -> Option<Vec<u8>> {
        self.due = self.client.due(PACE_MS);
        let text = self.paper.text();
        let (is_long, drawn) = (text.len() > LONG, self.client.random.below(100));
        if !self.mine.is_empty() && (is_long || drawn < ERASED) {
            // The remainder of a length fits.
            let place = self.client.random.below(self.mine.len() as u64) as usize;
            let mark = self.mine.swap_remove(place);
            let Some(at) = text.find(&format!("{mark} ")) else {
                self.odd(format!("{mark}, which was acknowledged, is not in its copy any more"));
                return None;
            };
            let update = self.paper.remove(short(at), short(mark.len() + 1));
            self.wait_for(mark, Stroke::Erase);
            return Some(update);
        }
        if is_long {
            return None;
        }
        let mark = names::word(&self.client.value());
        let ends = text.match_indices(' ').map(|(at, _)| at + 1);
        let (at, stroke) = if drawn < ERASED + APPENDED {
            (text.len(), Stroke::Append)
        } else {
            let ends: Vec<_> = ends.collect();
            let place = (self.client.random.draw() as usize).checked_rem(ends.len());
            (place.map_or(0, |place| ends[place]), Stroke::Insert)
        };
        let update = self.paper.insert(short(at), &format!("{mark} "));
        self.wait_for(mark, stroke);
        Some(update)
    }

    fn wait_for(&mut self, mark: String, stroke: Stroke) {
        self.changes += 1;
        self.waiting.push(Change {
            number: self.changes,
            begun: self.client.begin(),
            mark,
            stroke,
        });
    }

    pub(super) fn odd(&mut self, what: String) {
        if self.left.odd.len() < ODD {
            self.left.odd.push(what);
        }
    }
}

/// A place in a document that is not long.
fn short(at: usize) -> u32 {
    u32::try_from(at).unwrap_or(u32::MAX)
}
