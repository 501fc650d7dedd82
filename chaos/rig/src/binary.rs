//! Where the built program is.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

/// Names the program to test, where it is not beside the current executable.
pub const BINARY_VARIABLE: &str = "CLOUDNEST_BIN";

/// The program: what `CLOUDNEST_BIN` names, else `cloudnest` in the directory of the current executable's profile, else in
/// that of the other profile.
pub fn find() -> Result<PathBuf> {
    let named = std::env::var_os(BINARY_VARIABLE).map(PathBuf::from);
    let own = std::env::current_exe().context("find the current executable")?;
    choose(named, &own)
}

/// Builds the program in the profile of the current executable and returns its path; where `CLOUDNEST_BIN` is set, that one,
/// unbuilt. For tests, which cannot know that somebody built it before. The whole workspace is selected, as `cargo test
/// --workspace` does, so that the features of dependencies are the same and little is built twice.
pub fn build(cargo: &str) -> Result<PathBuf> {
    if std::env::var_os(BINARY_VARIABLE).is_some() {
        return find();
    }
    let own = std::env::current_exe().context("find the current executable")?;
    let profile = profile_directory(&own).context("find the build directory of the current executable")?;
    let mut command = Command::new(cargo);
    command.args(["build", "--quiet", "--workspace", "--bin", "cloudnest"]);
    if profile.file_name().is_some_and(|name| name == "release") {
        command.arg("--release");
    }
    if let Some(target) = profile.parent() {
        command.arg("--target-dir").arg(target);
    }
    let status = command.status().context("run cargo build")?;
    if !status.success() {
        bail!("cargo build --bin cloudnest failed with {status}");
    }
    choose(None, &own)
}

/// `target/PROFILE` of an executable in it or in its `deps`.
fn profile_directory(executable: &Path) -> Option<&Path> {
    let directory = executable.parent()?;
    if directory.file_name().is_some_and(|name| name == "deps" || name == "examples") {
        directory.parent()
    } else {
        Some(directory)
    }
}

fn choose(named: Option<PathBuf>, own: &Path) -> Result<PathBuf> {
    if let Some(path) = named {
        if path.is_file() {
            return Ok(path);
        }
        bail!("{BINARY_VARIABLE} names {}, which is not a file", path.display());
    }
    let profile = profile_directory(own).context("find the build directory of the current executable")?;
    let mut tried = vec![profile.join("cloudnest")];
    if let Some(target) = profile.parent() {
        tried.extend(["release", "debug"].map(|other| target.join(other).join("cloudnest")));
    }
    if let Some(found) = tried.iter().find(|path| path.is_file()) {
        return Ok(found.clone());
    }
    let places = tried
        .iter()
        .map(|path| path.display().to_string())
        .collect::<Vec<_>>()
        .join(", ");
    bail!("there is no cloudnest binary (tried {places}): build it with `cargo build -p cloudnest`, or set {BINARY_VARIABLE}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_own_profile_comes_first_then_the_other() {
        let root = tempfile::tempdir().unwrap();
        let at = |path: &str| root.path().join(path);
        for profile in ["release", "debug/deps"] {
            std::fs::create_dir_all(at(profile)).unwrap();
        }
        let own = at("debug/deps/some_test-0123");
        let refused = choose(None, &own).unwrap_err().to_string();
        assert!(refused.contains("cargo build -p cloudnest"), "{refused}");

        std::fs::write(at("release/cloudnest"), "").unwrap();
        assert_eq!(choose(None, &own).unwrap(), at("release/cloudnest"));
        std::fs::write(at("debug/cloudnest"), "").unwrap();
        assert_eq!(choose(None, &own).unwrap(), at("debug/cloudnest"));

        assert_eq!(choose(Some(at("release/cloudnest")), &own).unwrap(), at("release/cloudnest"));
        assert!(choose(Some(at("absent")), &own).is_err());
    }
}
