//! The log: opaque bytes replicated by many Raft groups in one process.
