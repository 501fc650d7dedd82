//! The load: sequential clients over all nodes and tenants, each operation recorded with its times and its outcome.
//!
//! One thread with a runtime of its own drives all clients, a follower of events for each tenant, an importer, one who changes
//! schemas and those who write to what it changes, and an observer that asks every node who leads. A client draws an operation, does it (one file a kind), records it, and pauses so that the whole stays at a
//! bounded rate. A client's first attempt always goes to its own node, so that whoever is cut off keeps its clients.
//!
//! Invariants: a process whose operation ended unknown gets a new number. Every value is unique in the run and starts with its
//! tenant's tag, except names that are claimed, which are meant to collide. Records are grouped into epochs, so that a long run
//! does not put all its operations on the same keys.

mod architect;
mod ask;
mod borrower;
mod claim;
mod client;
mod comment;
mod controls;
mod crafter;
pub(crate) mod follower;
mod importer;
mod keys;
mod librarian;
mod line;
mod list;
mod number;
mod observer;
mod once;
mod pulse;
mod register;
mod scribes;
pub(crate) mod seeker;
mod shapes;
mod state;
mod streams;
mod tenants;
mod tus;
pub(crate) mod visitor;

use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;

use anyhow::{Context, Result};

pub use controls::{Controls, Seen};
pub(crate) use observer::observe;
pub use pulse::{Beat, Pulse};
pub use scribes::Scribes;
pub use streams::{Streams, among};
pub use tenants::{Workspace, prepare, slugs};

use architect::Architect;
use client::Client;
use crafter::{CRAFTERS, Crafter};
use librarian::Librarian;
use seeker::Seeker;
use visitor::Visitor;

/// Clients that take turns over nodes and tenants.
pub const CLIENTS: usize = 24;

/// The number of the first visitor.
const VISITORS: usize = 300;

/// A running load.
pub struct Load {
    controls: Arc<Controls>,
    thread: JoinHandle<Vec<Vec<crate::ending::Event>>>,
}

impl Load {
    /// Starts all clients, followers and the observer.
    pub fn start(
        controls: Arc<Controls>,
        nodes: &[SocketAddr],
        workspaces: &[Workspace],
        token: &str,
        seed: u64,
    ) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .context("start the load's runtime")?;
        let (shared, nodes, workspaces) = (controls.clone(), nodes.to_vec(), workspaces.to_vec());
        let token = token.to_owned();
        let run = move || {
            let clients = async {
                let tasks: Vec<_> = (0..CLIENTS)
                    .map(|number| {
                        let workspace = workspaces[number / nodes.len() % workspaces.len()].clone();
                        let client = Client::new(number, nodes.clone(), workspace, shared.clone(), seed);
                        tokio::spawn(client.run())
                    })
                    .collect();
                let mut builders = builders(&nodes, workspaces.first(), &shared, seed);
                builders.extend(librarians(&nodes, &workspaces, &shared, seed));
                builders.extend(visitors(&nodes, &workspaces, &shared, seed));
                let followers: Vec<_> = workspaces
                    .iter()
                    .map(|one| tokio::spawn(follower::follow(nodes.clone(), one.clone(), shared.clone())))
                    .collect();
                let observer = tokio::spawn(observer::observe(nodes.clone(), token, shared.clone()));
                for task in tasks.into_iter().chain(builders) {
                    // A client that panicked has recorded what it did before.
                    let _ = task.await;
                }
                let mut followed = Vec::new();
                for follower in followers {
                    followed.push(follower.await.unwrap_or_default());
                }
                let _ = observer.await;
                followed
            };
            let importer = async {
                if let Some(workspace) = workspaces.last() {
                    importer::import(&nodes, workspace, &shared).await;
                }
            };
            runtime.block_on(async { tokio::join!(clients, importer).0 })
        };
        let thread = std::thread::Builder::new()
            .name("load".to_owned())
            .spawn(run)
            .context("start the load's thread")?;
        Ok(Self { controls, thread })
    }

    /// Ends it; returns the events that each tenant's follower got.
    pub fn stop(self) -> Result<Vec<Vec<crate::ending::Event>>> {
        self.controls.stop();
        self.thread.join().ok().context("the load's thread panicked")
    }
}

/// Who changes the schemas of a tenant, and who writes to what they change.
fn builders(
    nodes: &[SocketAddr],
    workspace: Option<&Workspace>,
    controls: &Arc<Controls>,
    seed: u64,
) -> Vec<tokio::task::JoinHandle<()>> {
    let Some(workspace) = workspace else { return Vec::new() };
    let crafter = |number| Crafter::new(CLIENTS + number, nodes.to_vec(), workspace.clone(), controls.clone(), seed);
    let mut all: Vec<_> = (0..CRAFTERS).map(|number| tokio::spawn(crafter(number).run())).collect();
    all.push(tokio::spawn(Architect::new(crafter(CRAFTERS)).run()));
    all
}

/// Who changes the files of each tenant and who reads them, who writes notes and who searches them.
fn librarians(
    nodes: &[SocketAddr],
    workspaces: &[Workspace],
    controls: &Arc<Controls>,
    seed: u64,
) -> Vec<tokio::task::JoinHandle<()>> {
    let first = CLIENTS + CRAFTERS + 1;
    let client = |number: usize, workspace: &Workspace| {
        Client::patient(first + number, nodes.to_vec(), workspace.clone(), controls.clone(), seed)
    };
    let pairs = workspaces.iter().enumerate().flat_map(|(place, workspace)| {
        let [writer, reader] = [0, 1].map(|number| Librarian::new(client(4 * place + number, workspace)));
        let [author, searcher] = [2, 3].map(|number| Seeker::new(client(4 * place + number, workspace)));
        [
            tokio::spawn(writer.run()),
            tokio::spawn(reader.read()),
            tokio::spawn(author.write()),
            tokio::spawn(searcher.search()),
        ]
    });
    pairs.collect()
}

/// Who comes to topics of each tenant, one from each node.
fn visitors(
    nodes: &[SocketAddr],
    workspaces: &[Workspace],
    controls: &Arc<Controls>,
    seed: u64,
) -> Vec<tokio::task::JoinHandle<()>> {
    let places = workspaces
        .iter()
        .flat_map(|workspace| (0..nodes.len()).map(move |node| (workspace, node)));
    let visitor = |(number, (workspace, node)): (usize, (&Workspace, usize))| {
        let client = Client::patient(VISITORS + number, nodes.to_vec(), workspace.clone(), controls.clone(), seed);
        tokio::spawn(Visitor::new(client, nodes, node).run())
    };
    places.enumerate().map(visitor).collect()
}
