//! The cluster as it is wanted and as it is: what lies between, and how one becomes the other.
//!
//! `cluster.toml` says what is wanted, the directory what is. `difference` tells an operator what lies between. `check` refuses what
//! would lose data or a quorum, before anything is changed. `step` gives the next of the steps that lead there, each of which leaves a
//! cluster that works: first what is added is described, then cells are formed and their replicas changed, one group at a time, and what
//! is no longer wanted goes last. A step is a function of the two topologies alone, so that whoever leads the directory goes on where
//! another one stopped, and a second apply of the same file has nothing to do.
//!
//! What is wanted is kept in the directory while it is brought about (`begin`, `turn`), one at a time. The leader of the directory does the
//! steps (`node::applying`).

pub(crate) mod begin;
pub(crate) mod check;
pub(crate) mod difference;
pub(crate) mod limited;
pub(crate) mod step;
pub(crate) mod turn;
pub(crate) mod wire;
