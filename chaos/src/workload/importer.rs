//! Imports, one after the other, into one tenant: large commands between the small ones of everybody else. Each goes on under its
//! `Import-Id` until it is answered.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::time::{sleep, timeout};

use super::controls::Controls;
use super::tenants::Workspace;
use crate::history::{Action, Operation, Outcome};
use crate::invariants::names;

/// Lines of one import: some 150 KB, which go into one command.
const LINES: u32 = 400;
/// Between two imports. Raised: less bulk. Lowered: the single requests are held up by it.
const PAUSE: Duration = Duration::from_millis(300);
/// How long an import may take.
const WITHIN: Duration = Duration::from_secs(60);
/// How long one that is under way when the load ends is waited for.
const CATCH_UP: Duration = Duration::from_secs(2);
/// How often it is looked whether the load has ended.
const LOOK: Duration = Duration::from_millis(50);

/// Imports until the load ends.
pub(super) async fn import(nodes: &[SocketAddr], workspace: &Workspace, controls: &Controls) {
    let Ok(client) = rig::tenant::client(nodes, &workspace.token) else {
        return;
    };
    for number in 0_u64.. {
        let id = format!("{}-import-{number}", workspace.tag);
        let lines = lines(&id);
        let invoked_us = controls.now_us();
        let import = rig::import::import(&client, &workspace.slug, names::BULK, &id, &lines, WITHIN);
        let done = tokio::select! {
            done = import => done.ok(),
            () = over(controls) => None,
        };
        let stored = done.map(|done| done.summary.imported);
        controls.record(Operation {
            process: controls.process(),
            tenant: workspace.place,
            action: Action::Import {
                id,
                lines: LINES,
                stored,
            },
            invoked_us,
            completed_us: controls.now_us(),
            outcome: if stored.is_some() { Outcome::Ok } else { Outcome::Unknown },
            position: None,
        });
        if controls.is_stopped() {
            return;
        }
        // What is imported is most of what there is.
        sleep(controls.pause(controls.pause(PAUSE))).await;
    }
}

/// Resolves a while after the load has ended.
async fn over(controls: &Controls) {
    while !controls.is_stopped() {
        sleep(LOOK).await;
    }
    let _ = timeout(CATCH_UP, std::future::pending::<()>()).await;
}

fn lines(id: &str) -> Vec<u8> {
    let filler =
        "as it is in a real export, where most of a line is text that somebody wrote once and nobody looks for. ".repeat(3);
    (0..LINES)
        .flat_map(|line| {
            let fields = serde_json::json!({ names::BULK_IMPORT: id, names::BULK_LINE: line, "filler": filler });
            format!("{fields}\n").into_bytes()
        })
        .collect()
}
