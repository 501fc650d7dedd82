//! Which spaces commands were applied to, for whoever follows what is stored. No part of applying: nothing that is stored depends on it.

use std::collections::BTreeSet;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use storage::Space;

/// What was touched since it was taken last.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Spaces {
    /// These spaces.
    pub(crate) some: BTreeSet<Space>,
    /// Any of them: the state was replaced by another replica's.
    pub(crate) all: bool,
}

impl Spaces {
    fn is_empty(&self) -> bool {
        self.some.is_empty() && !self.all
    }
}

#[derive(Debug, Default)]
struct State {
    spaces: Spaces,
    /// Somebody waits for what follows.
    hurried: bool,
    ended: bool,
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Touched {
    state: Mutex<State>,
    changed: Condvar,
}

impl Touched {
    /// Commands were applied to these spaces.
    pub(crate) fn touch(&self, spaces: impl Iterator<Item = Space>) {
        let mut state = self.lock();
        let slept = state.spaces.is_empty();
        state.spaces.some.extend(spaces);
        if slept && !state.spaces.is_empty() {
            self.changed.notify_all();
        }
    }

    /// The state was replaced by another replica's.
    pub(crate) fn replaced(&self) {
        self.lock().spaces.all = true;
        self.changed.notify_all();
    }

    /// Somebody waits for a space to be followed.
    pub(crate) fn hurry(&self, space: Space) {
        let mut state = self.lock();
        state.spaces.some.insert(space);
        state.hurried = true;
        self.changed.notify_all();
    }

    /// Whoever follows is to end.
    pub(crate) fn end(&self) {
        self.lock().ended = true;
        self.changed.notify_all();
    }

    /// Whether it is to end.
    pub(crate) fn has_ended(&self) -> bool {
        self.lock().ended
    }

    /// Waits until something was touched, or the time is up.
    pub(crate) fn wait(&self, most: Duration) {
        let quiet = |state: &mut State| state.spaces.is_empty() && !state.ended;
        drop(self.changed.wait_timeout_while(self.lock(), most, quiet));
    }

    /// Rests, unless somebody waits or it is to end.
    pub(crate) fn rest(&self, most: Duration) {
        let calm = |state: &mut State| !state.hurried && !state.ended;
        drop(self.changed.wait_timeout_while(self.lock(), most, calm));
    }

    /// Pauses, unless it is to end.
    pub(crate) fn pause(&self, most: Duration) {
        drop(self.changed.wait_timeout_while(self.lock(), most, |state| !state.ended));
    }

    /// Whether nothing was touched since it was taken last.
    pub(crate) fn is_quiet(&self) -> bool {
        self.lock().spaces.is_empty()
    }

    /// What was touched since this was asked last.
    pub(crate) fn take(&self) -> Spaces {
        let mut state = self.lock();
        state.hurried = false;
        std::mem::take(&mut state.spaces)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // What is locked is whole after every statement, whatever panicked.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_touched_is_taken_once() {
        let touched = Touched::default();
        assert!(touched.is_quiet());
        touched.touch([Space(3), Space(2), Space(3)].into_iter());
        assert!(!touched.is_quiet());
        touched.hurry(Space(9));
        touched.wait(Duration::from_secs(60));
        touched.rest(Duration::from_secs(60));
        let some = BTreeSet::from([Space(2), Space(3), Space(9)]);
        assert_eq!(touched.take(), Spaces { some, all: false });
        assert_eq!(touched.take(), Spaces::default());
        touched.replaced();
        assert!(touched.take().all);
        touched.end();
        touched.pause(Duration::from_secs(60));
        touched.wait(Duration::from_secs(60));
        assert!(touched.has_ended());
    }
}
