//! Scribes: clients of Yjs that write the same few documents over WebSockets, at different nodes, whatever happens to those.
//!
//! Each has a copy of its own and goes on writing while it has no connection; it comes back at the next node and synchronises both ways,
//! as an editor does. Now and then one closes its window: it forgets all that it has, and begins anew as another client of Yjs.
//! Two of the tenants have a document each, with three scribes, which begins with as many changes as make it sure that it gets more updates than
//! are kept apart: they are merged in every run.
//!
//! **When a change is acknowledged.** A server says nothing to the one who writes; it tells the others once the change is in the log of a
//! quorum. So the scribe asks: behind what it has written it sends, over the same connection, a question for all of the document, as somebody
//! who has nothing. Its change is acknowledged once an answer has it (or, of what it takes away, has it no more). That is what any other
//! client would be told, it is read from what is applied, and nothing but the change itself can make it so: no absence of an error is
//! taken for an answer, and no copy of the scribe's own. The answer is weighed and thrown away. What a scribe has comes from the first
//! exchange of its connection and from what the server tells it afterwards; so one that is left out is seen at the end.
//!
//! **What is looked at on the way.** A server begins by saying how much of each client it has. That is never less than what had been in an
//! answer before the connection was opened: a scribe that came back would give again what was lost, and hide it.
//!
//! After the load nobody writes, and scribes stay until they have what everybody has.

mod hand;
mod scribe;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result};
use api::ids::Id;
use rig::random::Random;

use self::hand::Hand;
use self::scribe::Scribe;
use super::client::Client;
use super::controls::Controls;
use super::tenants::{Workspace, new_id};
use crate::ending;
use crate::yjs::Clocks;

/// Tenants that have documents.
const TENANTS: usize = 2;
/// Documents of a tenant.
const PAGES: usize = 1;
/// Who writes one.
const SCRIBES: usize = 3;
/// The number of the first of them among clients.
const FIRST: usize = 200;
/// How long one may take, after all is healed, until its changes are taken, and until it has those of the others.
const ENDS_WITHIN: Duration = Duration::from_secs(60);

/// A document, and what all its scribes know of it.
struct Page {
    id: String,
    uuid: Id,
    title: String,
    /// The most of each client of Yjs that was in an answer.
    taken: Mutex<Clocks>,
}

/// How far a scribe is, for whoever waits.
#[derive(Default)]
struct Standing {
    /// Nobody writes any more, it is connected, and all its changes are taken.
    settled: bool,
    /// Its copy.
    copy: (String, Clocks),
}

/// A scribe as whoever waits sees it.
struct Seen {
    place: usize,
    page: Arc<Page>,
    standing: Arc<Mutex<Standing>>,
}

/// All scribes of a run.
pub struct Scribes {
    over: Arc<AtomicBool>,
    seen: Vec<Seen>,
    thread: Option<JoinHandle<Result<Vec<ending::Scribe>>>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Whoever panicked while holding it left whole values behind: each is set at once.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Scribes {
    /// Starts them.
    pub fn start(controls: &Arc<Controls>, nodes: &[SocketAddr], workspaces: &[Workspace], seed: u64) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .context("start the scribes' runtime")?;
        let mut random = Random::new(seed ^ 0x0073_6372_6962_6573);
        let (mut all, mut seen) = (Vec::new(), Vec::new());
        for (workspace, number) in workspaces
            .iter()
            .take(TENANTS)
            .flat_map(|one| (0..PAGES).map(move |number| (one, number)))
        {
            let id = new_id(&mut random);
            let page = Arc::new(Page {
                uuid: id.parse()?,
                id,
                title: format!("{}-page-{number}", workspace.tag),
                taken: Mutex::default(),
            });
            for scribe in 0..SCRIBES {
                let number = FIRST + all.len();
                let client = Client::patient(number, nodes.to_vec(), workspace.clone(), controls.clone(), seed);
                let standing = Arc::<Mutex<Standing>>::default();
                seen.push(Seen {
                    place: workspace.place,
                    page: page.clone(),
                    standing: standing.clone(),
                });
                let hand = Hand::new(client, page.clone(), number);
                all.push(Scribe::new(hand, nodes, (number, scribe == 0), standing));
            }
        }
        let over = Arc::new(AtomicBool::new(false));
        let ends = over.clone();
        let run = move || {
            runtime.block_on(async {
                let tasks: Vec<_> = all.into_iter().map(|scribe| tokio::spawn(scribe.run(ends.clone()))).collect();
                let mut left = Vec::new();
                for task in tasks {
                    left.push(task.await.context("a scribe panicked")?);
                }
                Ok(left)
            })
        };
        let thread = std::thread::Builder::new()
            .name("scribes".to_owned())
            .spawn(run)
            .context("start the scribes' thread")?;
        Ok(Self {
            over,
            seen,
            thread: Some(thread),
        })
    }

    /// The ids of the documents of a tenant, by its place.
    pub fn pages(&self, place: usize) -> Vec<String> {
        let own = self.seen.iter().filter(|seen| seen.place == place);
        let mut ids: Vec<_> = own.map(|seen| seen.page.id.clone()).collect();
        ids.dedup();
        ids
    }

    /// Waits, after the load has ended, until all that they have written is taken: nothing is written from then on. Those that are not
    /// through in time are ended, and the checker tells.
    pub fn settle(&self) {
        let is_settled = || self.seen.iter().all(|seen| lock(&seen.standing).settled);
        if !rig::cluster::poll(ENDS_WITHIN, || is_settled() || crate::stop::is_asked()) {
            self.over.store(true, Ordering::Relaxed);
        }
    }

    /// Waits until each has what its document is, as far as that comes in time, and ends them: for each the document's id, and how it was left.
    pub(crate) fn end(mut self, is: impl Fn(&str) -> Option<(String, Clocks)>) -> Result<Vec<(String, ending::Scribe)>> {
        let goals: Vec<_> = self.seen.iter().map(|seen| is(&seen.page.id)).collect();
        let is_there = || {
            let mut pairs = self.seen.iter().zip(&goals);
            pairs.all(|(seen, goal)| goal.as_ref().is_none_or(|goal| lock(&seen.standing).copy == *goal))
        };
        // Whoever is not there by then is told by the checker.
        let _ = rig::cluster::poll(ENDS_WITHIN, || {
            is_there() || self.over.load(Ordering::Relaxed) || crate::stop::is_asked()
        });
        self.over.store(true, Ordering::Relaxed);
        let thread = self.thread.take().context("the scribes have ended before")?;
        let left = thread.join().ok().context("the scribes' thread panicked")??;
        Ok(self.seen.iter().map(|seen| seen.page.id.clone()).zip(left).collect())
    }
}

impl Drop for Scribes {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
    }
}
