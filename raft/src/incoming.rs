//! The receiving end of a snapshot, which the thread of consensus passes on and may have to let go of at any step.
//!
//! Letting go of what came in closes and removes a file, and closing one writes. So a sink that is dropped where a runtime runs goes on
//! one of its blocking threads. Where none runs (on the thread that applies) it goes at once.

use std::io;

use bytes::Bytes;
use tokio::runtime::Handle;

use crate::{Mark, SnapshotSink};

/// See the module. All of its methods may block.
pub(crate) struct Incoming(Option<Box<dyn SnapshotSink>>);

impl Incoming {
    pub(crate) fn new(sink: Box<dyn SnapshotSink>) -> Incoming {
        Incoming(Some(sink))
    }

    fn sink(&mut self) -> io::Result<&mut Box<dyn SnapshotSink>> {
        self.0.as_mut().ok_or_else(gone)
    }

    /// Takes the next chunk. Fails as the sink does.
    pub(crate) fn write(&mut self, chunk: Bytes) -> io::Result<()> {
        self.sink()?.write(chunk)
    }

    /// All chunks are there. Fails as the sink does.
    pub(crate) fn finish(&mut self) -> io::Result<()> {
        self.sink()?.finish()
    }

    /// Swaps it in for the machine's state, and returns the mark that came with it. Fails as the sink does.
    pub(crate) fn install(mut self) -> io::Result<Mark> {
        self.0.take().ok_or_else(gone)?.install()
    }

    /// Lets go of it here and now.
    pub(crate) fn discard(mut self) {
        drop(self.0.take());
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        let Some(sink) = self.0.take() else { return };
        match Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn_blocking(move || drop(sink))),
            Err(_) => drop(sink),
        }
    }
}

fn gone() -> io::Error {
    io::Error::other("the snapshot was let go")
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{SyncSender, sync_channel};
    use std::thread::{self, ThreadId};
    use std::time::Duration;

    use super::*;

    /// Tells on which thread it is dropped.
    struct Tells(SyncSender<ThreadId>);

    impl SnapshotSink for Tells {
        fn write(&mut self, _: Bytes) -> io::Result<()> {
            Ok(())
        }

        fn install(self: Box<Self>) -> io::Result<Mark> {
            Ok(Mark::default())
        }
    }

    impl Drop for Tells {
        fn drop(&mut self) {
            let _ = self.0.send(thread::current().id());
        }
    }

    #[test]
    fn a_sink_is_never_let_go_on_the_thread_of_a_runtime() {
        let (tell, told) = sync_channel(1);
        let sink = || Incoming::new(Box::new(Tells(tell.clone())));
        let deadline = Duration::from_secs(60);
        let here = thread::current().id();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async { drop(sink()) });
        assert_ne!(told.recv_timeout(deadline).unwrap(), here);
        drop(sink());
        assert_eq!(told.recv_timeout(deadline).unwrap(), here, "without a runtime");
        runtime.block_on(async { sink().discard() });
        assert_eq!(told.recv_timeout(deadline).unwrap(), here, "as asked");
    }
}
