//! What the fuzz targets share: directories for those that open stores. `docs/fuzzing.md` says what each target holds and how to run it.

use std::path::Path;
use std::sync::OnceLock;

use tempfile::TempDir;

/// Memory where there is such a directory: the targets do not test the disk.
const MEMORY: &str = "/dev/shm";

fn directory() -> TempDir {
    let made = if Path::new(MEMORY).is_dir() {
        tempfile::tempdir_in(MEMORY)
    } else {
        tempfile::tempdir()
    };
    made.unwrap_or_else(|error| panic!("make a directory: {error}"))
}

/// Runs something in an empty directory that goes afterwards.
pub fn in_directory(run: impl FnOnce(&Path)) {
    run(directory().path());
}

/// A directory that stays as long as the process.
pub fn kept_directory() -> &'static Path {
    static KEPT: OnceLock<TempDir> = OnceLock::new();
    KEPT.get_or_init(directory).path()
}
