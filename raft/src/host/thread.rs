//! The thread named `raft`: consensus and the peers' connections of one node.
//!
//! Both run on one current-thread runtime: measured, one thread beats two everywhere, and nothing on it blocks. Disk writes are on
//! the log's own thread, applying is on a thread for each group, and everything else that may block goes to the runtime's blocking
//! threads. When it is told to stop, or when nobody holds the host any more, it ends the groups, then the apply threads, and the log
//! last, so that nothing is cut off that was acknowledged.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::oneshot;

use super::{ApplyThreads, Stop, lock};
use crate::log_room::LogRoom;
use crate::peer::{LinkTask, Net, OnStream, accept_loop};
use crate::wal::{LogOptions, Wal};
use crate::{Error, log_room};

/// What the raft thread is started with.
pub(super) struct RaftThread {
    pub(super) net: Arc<Net>,
    pub(super) wal: Wal,
    pub(super) room: Arc<LogRoom>,
    pub(super) log_options: LogOptions,
    pub(super) log_dir: PathBuf,
    pub(super) links: Vec<LinkTask>,
    pub(super) listener: std::net::TcpListener,
    pub(super) on_stream: OnStream,
    pub(super) stopped: oneshot::Receiver<Stop>,
    pub(super) apply_threads: ApplyThreads,
}

impl RaftThread {
    /// Makes the runtime and starts the thread on it.
    pub(super) fn start(self) -> Result<Handle, Error> {
        let failed = |source| Error::Io {
            verb: "start raft thread",
            source,
        };
        self.listener.set_nonblocking(true).map_err(failed)?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .thread_name("raft-blocking")
            .max_blocking_threads(16)
            .build()
            .map_err(failed)?;
        let handle = runtime.handle().clone();
        let listener = {
            let _in_runtime = runtime.enter();
            tokio::net::TcpListener::from_std(self.listener.try_clone().map_err(failed)?).map_err(failed)?
        };
        std::thread::Builder::new()
            .name("raft".to_owned())
            .spawn(move || self.run(runtime, listener))
            .map_err(failed)?;
        Ok(handle)
    }

    fn run(mut self, runtime: tokio::runtime::Runtime, listener: tokio::net::TcpListener) {
        let stopped = &mut self.stopped;
        let (net, links, on_stream) = (&self.net, std::mem::take(&mut self.links), self.on_stream.take());
        let answer = runtime.block_on(async {
            for link in links {
                tokio::spawn(link.run(Arc::clone(net)));
            }
            let (room, dir) = (Arc::clone(&self.room), self.log_dir.clone());
            tokio::spawn(log_room::run(
                room,
                self.wal.clone(),
                self.log_options.clone(),
                dir,
                Arc::clone(net),
            ));
            tokio::spawn(accept_loop(Arc::clone(net), listener, on_stream));
            let answer = stopped.await.ok();
            for replica in net.inbox.take_all() {
                let _ = replica.raft.shutdown().await;
                replica.queue.end("the host was shut down");
            }
            answer
        });
        runtime.shutdown_timeout(Duration::from_secs(5));
        let threads = std::mem::take(&mut *lock(&self.apply_threads));
        for (_, thread) in threads {
            let _ = thread.join();
        }
        let closed = self.wal.close().map_err(|error| Error::Log(error.to_string()));
        if let Some(answer) = answer {
            let _ = answer.send(closed);
        }
    }
}
