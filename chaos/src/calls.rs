//! Presence when everybody is quiet: whoever has gone is gone, one visitor comes from each node, all hear each other and are shown at every
//! node, and after they have gone, half of them without a word, nobody is there.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use api::body::live::{LiveAsk, Presence};
use api::client::LiveConnection;
use tokio::time::{sleep, timeout};

use crate::ending::{Call, CallAt, Sitting};
use crate::field::Field;
use crate::invariants::{names, presence};
use crate::reader::{Reader, readers};
use crate::workload::{Controls, Workspace, visitor};

/// How long those who are there may take to hear of each other when nothing fails: what a node does at its next look, every five
/// seconds, it has done twice by then. A connection that is told to resume meanwhile is opened anew.
const HEARD_WITHIN: Duration = Duration::from_secs(12);
/// Between two looks.
const PAUSE: Duration = Duration::from_millis(50);

/// A visitor at one node.
struct There {
    mark: String,
    live: Option<LiveConnection>,
    sitting: Sitting,
}

/// Calls at each topic of a tenant, until somebody stays who has gone.
pub async fn read(field: &Field<'_>, workspace: &Workspace) -> Result<Vec<Call>> {
    let mut calls: Vec<Call> = Vec::new();
    for (number, topic) in visitor::topics(workspace).into_iter().enumerate() {
        let call = call(field, workspace, &topic, number).await;
        let call = call.with_context(|| format!("call at {topic} of {}", workspace.slug))?;
        let stays = call.nodes.iter().any(|at| !at.before.is_empty() || !at.after.is_empty());
        calls.push(call);
        if stays {
            break;
        }
    }
    Ok(calls)
}

async fn call(field: &Field<'_>, workspace: &Workspace, topic: &str, number: usize) -> Result<Call> {
    let mut readers = readers(field, workspace);
    let mut call = Call {
        topic: topic.to_owned(),
        ..Call::default()
    };
    let before = nobody(&mut readers, topic).await?;
    let stays = before.iter().any(|there| !there.is_empty());
    for (reader, before) in readers.iter().zip(before) {
        call.nodes.push(CallAt {
            node: reader.name.clone(),
            before,
            ..CallAt::default()
        });
    }
    if stays {
        // Who comes would not be told from who stays.
        return Ok(call);
    }
    let marks = (0..readers.len()).map(|node| names::word(&format!("{}-call-{number}-{node}", workspace.tag)));
    call.said = marks.collect();
    let mut visitors: Vec<There> = call.said.iter().map(|mark| visitor(topic, mark)).collect();
    meet(field.controls, workspace, &readers, &mut visitors).await;
    for (place, reader) in readers.iter_mut().enumerate() {
        call.nodes[place].heard = presence::at_last(&visitors[place].sitting);
        call.nodes[place].there = there_once(reader, topic, HEARD_WITHIN, |there| *there == sorted(&call.said)).await?;
    }
    for (place, visitor) in visitors.iter_mut().enumerate() {
        if let Some(live) = visitor.live.as_mut().filter(|_| place.is_multiple_of(2)) {
            // The others drop their connections without a word.
            visitor::send(live, &LiveAsk::Leave {}).await?;
        }
    }
    drop(visitors);
    for (at, after) in call.nodes.iter_mut().zip(nobody(&mut readers, topic).await?) {
        at.after = after;
    }
    Ok(call)
}

/// Who is there as each node answers, once nobody is, or when time is up: the time is the same for all.
async fn nobody(readers: &mut [Reader<'_>], topic: &str) -> Result<Vec<Vec<String>>> {
    let deadline = Instant::now() + Duration::from_micros(presence::GONE_WITHIN_US);
    let mut there = Vec::new();
    for reader in readers {
        let left = deadline.saturating_duration_since(Instant::now());
        there.push(there_once(reader, topic, left, |there| there.is_empty()).await?);
    }
    Ok(there)
}

fn visitor(topic: &str, mark: &str) -> There {
    There {
        mark: mark.to_owned(),
        live: None,
        sitting: Sitting {
            topic: topic.to_owned(),
            ..Sitting::default()
        },
    }
}

fn sorted(marks: &[String]) -> Vec<String> {
    let mut marks = marks.to_vec();
    marks.sort_unstable();
    marks
}

/// All come, and listen until each has heard of all, or time is up. Whose connection ends comes back, as it is to.
async fn meet(controls: &Controls, workspace: &Workspace, readers: &[Reader<'_>], visitors: &mut [There]) {
    let deadline = Instant::now() + HEARD_WITHIN;
    let all = sorted(&visitors.iter().map(|one| one.mark.clone()).collect::<Vec<_>>());
    let hears_all = |one: &There| one.live.is_some() && presence::at_last(&one.sitting) == all;
    while !visitors.iter().all(hears_all) && Instant::now() < deadline {
        for (reader, one) in readers.iter().zip(visitors.iter_mut()) {
            if one.live.is_none()
                && let Ok(mut live) = visitor::open(reader.node, workspace).await
                && visitor::say(&mut live, &one.sitting.topic, &one.mark).await.is_ok()
            {
                one.sitting.heard.clear();
                one.live = Some(live);
            }
            let Some(live) = &mut one.live else { continue };
            let Ok(said) = timeout(PAUSE, live.next()).await else {
                continue;
            };
            let is_over = match said {
                Ok(Some(said)) => visitor::hear(controls, &mut one.sitting, said).is_err(),
                _ => true,
            };
            if is_over {
                one.live = None;
            }
        }
    }
}

/// What those say who are at a topic, as a node answers: once it is so, or when time is up.
async fn there_once(
    reader: &mut Reader<'_>,
    topic: &str,
    within: Duration,
    is_so: impl Fn(&Vec<String>) -> bool,
) -> Result<Vec<String>> {
    let path = format!("/presence?topic={topic}");
    let deadline = Instant::now() + within;
    loop {
        let (status, bytes) = reader.ask(&path).await?;
        ensure!(status == 200, "{path}: {status} {}", String::from_utf8_lossy(&bytes));
        let presence: Presence = serde_json::from_slice(&bytes).context("read who is there")?;
        let marks: Vec<_> = presence.members.iter().map(|member| visitor::seen(member).mark).collect();
        let marks = sorted(&marks);
        if is_so(&marks) || Instant::now() > deadline || crate::stop::is_asked() {
            return Ok(marks);
        }
        sleep(PAUSE).await;
    }
}
