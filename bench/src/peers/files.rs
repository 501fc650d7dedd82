//! Where an installed program is, and a place for its data.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// The directories of `PATH`.
pub(super) fn path() -> Vec<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).collect()
}

/// The first of these directories that holds all of these programs.
pub(super) fn holding(directories: &[PathBuf], programs: &[&str]) -> Option<PathBuf> {
    let holds = |directory: &&PathBuf| programs.iter().all(|program| directory.join(program).is_file());
    directories.iter().find(holds).cloned()
}

/// A temporary directory that others may look into, as a server must that runs as another user.
pub(super) fn temporary(name: &str) -> Result<tempfile::TempDir> {
    let prefix = format!("cloudnest-bench-{name}-");
    let directory = tempfile::Builder::new()
        .prefix(&prefix)
        .tempdir()
        .context("make a temporary directory")?;
    let open = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(directory.path(), open).context("open the temporary directory to others")?;
    Ok(directory)
}

/// The last lines of a file, for an error.
pub(super) fn tail(file: &Path) -> String {
    const LINES: usize = 20;
    let text = std::fs::read(file).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<_> = text.lines().collect();
    lines[lines.len().saturating_sub(LINES)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_must_hold_all_of_the_programs() {
        let root = tempfile::tempdir().unwrap();
        let place = |name: &str| root.path().join(name);
        for (directory, program) in [("a", "initdb"), ("b", "initdb"), ("b", "postgres")] {
            std::fs::create_dir_all(place(directory)).unwrap();
            std::fs::write(place(directory).join(program), "").unwrap();
        }
        let directories = ["a", "b", "c"].map(place);
        assert_eq!(holding(&directories, &["initdb", "postgres"]), Some(place("b")));
        assert_eq!(holding(&directories, &["initdb", "psql"]), None);
    }

    #[test]
    fn of_a_long_file_the_end_is_shown() {
        let root = tempfile::tempdir().unwrap();
        let file = root.path().join("log");
        let lines: Vec<_> = (0..100).map(|number| number.to_string()).collect();
        std::fs::write(&file, lines.join("\n")).unwrap();
        let tail = tail(&file);
        assert!(tail.starts_with("80\n") && tail.ends_with("\n99"), "{tail}");
        assert_eq!(super::tail(&root.path().join("absent")), "");
    }
}
