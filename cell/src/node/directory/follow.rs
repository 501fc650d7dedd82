//! Keeps a copy of the directory as the directory is: follows a voter, and another one when that is gone.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow};
use raft::NodeId;
use tokio::io::AsyncWriteExt;
use tokio::time::sleep;

use super::copy::Copy;
use super::feed::{self, Frame};
use crate::directory::{GROUP, changes};
use crate::node::platform::Platform;
use crate::node::transfer::Wanted;

/// Between two attempts, doubling from the first to the second.
const PAUSE: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));

/// Follows for as long as this node has a copy.
pub(crate) async fn run(platform: Arc<Platform>) {
    let mut pause = PAUSE.0;
    loop {
        let Some(copy) = platform.directory.copy() else {
            sleep(PAUSE.1).await;
            continue;
        };
        let before = copy.position();
        for voter in platform.directory_voters() {
            if let Err(error) = follow(&platform, &copy, NodeId(voter)).await {
                tracing::debug!(
                    voter,
                    error = format!("{error:#}"),
                    "a voter of the directory cannot be followed any more"
                );
            }
            copy.led_by(None);
        }
        pause = if copy.position() > before {
            PAUSE.0
        } else {
            (pause * 2).min(PAUSE.1)
        };
        sleep(pause).await;
    }
}

/// Follows one voter until it is gone.
async fn follow(platform: &Platform, copy: &Arc<Copy>, voter: NodeId) -> anyhow::Result<()> {
    while !copy.has_ended() {
        if copy.store().is_some() {
            listen(platform, copy, voter).await?;
        }
        if !copy.has_ended() {
            fetch(platform, copy, voter).await?;
        }
    }
    Ok(())
}

/// Takes the changes that a voter tells, until the copy needs the whole state or is not needed any more.
async fn listen(platform: &Platform, copy: &Arc<Copy>, voter: NodeId) -> anyhow::Result<()> {
    let mut stream = platform.host.dial(voter).await.context("dial")?;
    let mut head = vec![feed::MARK];
    head.extend_from_slice(&copy.position().to_be_bytes());
    stream.write_all(&head).await?;
    stream.flush().await?;
    loop {
        match feed::receive(&mut stream).await? {
            Frame::Alive(leader) => copy.led_by(leader),
            Frame::Changed(leader, delta) => {
                copy.led_by(leader);
                let taking = Arc::clone(copy);
                tokio::task::spawn_blocking(move || {
                    let store = taking.store().ok_or_else(|| anyhow!("the copy is not there"))?;
                    changes::take(&store, delta)?;
                    taking.tell()
                })
                .await??;
            }
            Frame::Whole => return Ok(()),
        }
        if copy.store().is_none() {
            return Ok(());
        }
    }
}

/// Fetches the whole state from a voter.
async fn fetch(platform: &Platform, copy: &Arc<Copy>, voter: NodeId) -> anyhow::Result<()> {
    let taking = Arc::clone(copy);
    let (receiving, writer) = tokio::task::spawn_blocking(move || {
        let receiving = taking.receiving()?;
        let writer = receiving.writer()?;
        anyhow::Ok((receiving, writer))
    })
    .await??;
    let wanted = Wanted {
        group: GROUP,
        least: copy.applied().max(1),
        from_leader: false,
    };
    let received = platform.fetch(voter, wanted, writer).await.context("fetch the directory")?;
    let taking = Arc::clone(copy);
    tokio::task::spawn_blocking(move || taking.install(receiving, received)).await??;
    tracing::info!(voter = voter.0, position = copy.position(), "fetched the directory");
    Ok(())
}
