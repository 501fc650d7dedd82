//! What the fuzz targets of `fuzz/` call: each function takes bytes, does with them what a node would, and panics where that breaks a
//! promise. It is here because what it calls is private. Compiled for tests, and for who asks for the feature `fuzzing`.

use bytes::Bytes;

/// Opens a log whose frames and damage are chosen by the bytes.
pub fn log(data: &[u8]) {
    crate::wal::fuzzing::log(data);
}

/// Reads the bytes as the parts that a log is made of.
pub fn log_parts(data: &[u8]) {
    crate::wal::fuzzing::parts(data);
}

/// Reads the bytes as frames of a peer.
pub fn peer_frames(data: &[u8]) {
    crate::peer::fuzzing::frames(data);
}

/// Reads the bytes as every message of a peer.
pub fn peer_messages(data: &[u8]) {
    crate::peer::fuzzing::messages(&Bytes::copy_from_slice(data));
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    /// Runs a target over its seeds, so that all of it is held without a fuzzer too.
    fn seeds(target: &str, run: impl Fn(&[u8])) {
        let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus-seed").join(target);
        let mut count = 0;
        for entry in std::fs::read_dir(&seeds).expect("the seeds of the target") {
            let path = entry.expect("a seed").path();
            eprintln!("{}", path.display());
            run(&std::fs::read(&path).expect("a seed"));
            count += 1;
        }
        assert!(count > 0, "{target} has no seeds");
    }

    #[test]
    fn every_target_holds_over_its_seeds() {
        seeds("log", log);
        seeds("log_parts", log_parts);
        seeds("peer_frames", peer_frames);
        seeds("peer_messages", peer_messages);
    }
}
