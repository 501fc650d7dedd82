//! How far the server's life has come.

use tokio::sync::watch;

/// The phases of a server, in order; none comes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    /// It serves.
    Serving,
    /// It serves, but says that it is not ready.
    Notice,
    /// It accepts no client and finishes what its clients have asked for. Other nodes are served as usual.
    Draining,
    /// It finishes what other nodes have asked for.
    Leaving,
    /// What is left ends now.
    Cut,
}

/// The phase, for all who have to act on it.
#[derive(Debug)]
pub(crate) struct Phases(watch::Sender<Phase>);

impl Phases {
    pub(crate) fn new() -> Self {
        Self(watch::Sender::new(Phase::Serving))
    }

    pub(crate) fn now(&self) -> Phase {
        *self.0.borrow()
    }

    pub(crate) fn advance(&self, to: Phase) {
        self.0.send_if_modified(|phase| {
            let later = to > *phase;
            *phase = to.max(*phase);
            later
        });
    }

    /// Resolves when a phase has come.
    pub(crate) fn reached(&self, wanted: Phase) -> impl Future<Output = ()> + Send + 'static {
        let mut phase = self.0.subscribe();
        async move {
            // An error: the server is gone, which is later than any phase.
            let _ = phase.wait_for(|phase| *phase >= wanted).await;
        }
    }
}
