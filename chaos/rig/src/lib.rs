//! What chaos and bench both need: start a cluster from the built binary, drive load at it, look at its processes, and
//! check afterwards that nothing was lost.
//!
//! How it works. [`binary`] finds the program. [`layout`] writes a `cluster.toml` with free ports into a temporary directory.
//! [`cluster::Cluster`] starts it with `cluster up`, learns the nodes' process ids from its output, and kills, stops and
//! restarts nodes by id. [`load`] is the generator: connections of [`http`], closed or open loop, on a thread of its own with
//! a single-threaded runtime. [`probe`] reads processor time, memory, fsyncs and bytes on disk. [`import`] streams records in
//! bulk, and [`verify`] compares what the replicas hold. [`tasks`] are the records
//! and scripts that both write and read with.
//!
//! Invariants:
//! - Black box: nothing here imports the platform's crates but `api`. All goes over the command line and HTTP.
//! - Every process that the rig starts dies with it: on drop it is killed by its process id, and the kernel kills it when the
//!   rig itself is killed ([`nursery`]).
//! - Everything that waits has a deadline, and says at the end of it what it saw last.
//!
//! CAVEATS: Linux only (`/proc`, `setpriv`). The generator shares the machine with what it measures: its own cost is in every
//! figure.

pub mod binary;
pub mod clock;
pub mod cluster;
pub mod http;
pub mod import;
pub mod killer;
pub mod layout;
pub mod load;
pub mod nursery;
pub mod ports;
pub mod probe;
pub mod random;
pub mod tasks;
pub mod tenant;
pub mod verify;
pub mod wait;
