//! A node's data directory: whose it is, and in which format.
//!
//! `node.toml` says it. A directory of another node or cluster, or of a newer version, is refused by name before anything in
//! it is touched.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use serde::{Deserialize, Serialize};

/// The format of the directory's layout.
pub(crate) const FORMAT: u32 = 1;
/// The file that says whose it is.
const FILE: &str = "node.toml";

/// Whose a data directory is.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Owner {
    format: u32,
    cluster: String,
    node: String,
    number: u64,
}

/// A data directory of this node.
pub(crate) struct Data {
    root: PathBuf,
}

impl Data {
    /// Opens a node's directory, or makes it.
    pub(crate) fn open(root: &Path, cluster: &str, node: &str, number: u64) -> anyhow::Result<Self> {
        fs::create_dir_all(root).with_context(|| format!("create the data directory {}", root.display()))?;
        let path = root.join(FILE);
        let owner = Owner {
            format: FORMAT,
            cluster: cluster.to_owned(),
            node: node.to_owned(),
            number,
        };
        match fs::read_to_string(&path) {
            Ok(text) => check(&path, &text, &owner)?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => write(root, &path, &owner)?,
            Err(error) => return Err(error).with_context(|| format!("read {}", path.display())),
        }
        let data = Self { root: root.to_owned() };
        match fs::remove_dir_all(data.scratch()) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(error).with_context(|| format!("remove what is left in {}", data.scratch().display()))
            }
            _ => Ok(data),
        }
    }

    /// All of it.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// Where the log is.
    pub(crate) fn log(&self) -> PathBuf {
        self.root.join("log")
    }

    /// Where the copy of the directory is, on a node that does not vote in it.
    pub(crate) fn copy(&self) -> PathBuf {
        self.root.join("store").join("copy")
    }

    /// Where stores are made that nobody needs after a restart.
    pub(crate) fn scratch(&self) -> PathBuf {
        self.root.join("scratch")
    }

    /// Where the store of a group is.
    pub(crate) fn store(&self, group: u64) -> PathBuf {
        self.root.join("store").join(group.to_string())
    }
}

fn check(path: &Path, text: &str, owner: &Owner) -> anyhow::Result<()> {
    let found: Owner = match toml::from_str(text) {
        Ok(found) => found,
        Err(error) => match text
            .parse::<toml::Table>()
            .ok()
            .and_then(|table| table.get("format")?.as_integer())
        {
            Some(format) if format > i64::from(FORMAT) => {
                bail!(
                    "{} has format {format}, this version knows up to {FORMAT}: use a newer cloudnest",
                    path.display()
                )
            }
            _ => bail!("{} cannot be read: {error}", path.display()),
        },
    };
    if found.format > FORMAT {
        bail!(
            "{} has format {}, this version knows up to {FORMAT}: use a newer cloudnest",
            path.display(),
            found.format
        );
    }
    if (&found.cluster, &found.node, found.number) != (&owner.cluster, &owner.node, owner.number) {
        bail!(
            "{} belongs to node {} (number {}) of cluster {}, not to node {} (number {}) of cluster {}: \
             give each node a data directory of its own",
            path.display(),
            found.node,
            found.number,
            found.cluster,
            owner.node,
            owner.number,
            owner.cluster
        );
    }
    Ok(())
}

fn write(root: &Path, path: &Path, owner: &Owner) -> anyhow::Result<()> {
    let in_use = fs::read_dir(root)
        .with_context(|| format!("read {}", root.display()))?
        .any(|entry| entry.is_ok_and(|entry| entry.file_name() == "log" || entry.file_name() == "store"));
    if in_use {
        bail!(
            "{} has data in it but no {FILE}: it is damaged, or not a data directory of cloudnest",
            root.display()
        );
    }
    let staged = root.join("node.toml.new");
    let text = toml::to_string(owner).context("encode the owner of the data directory")?;
    let mut file = fs::File::create(&staged).with_context(|| format!("create {}", staged.display()))?;
    file.write_all(text.as_bytes())
        .and_then(|()| file.sync_all())
        .with_context(|| format!("write {}", staged.display()))?;
    fs::rename(&staged, path).with_context(|| format!("rename {}", staged.display()))?;
    fs::File::open(root)
        .and_then(|dir| dir.sync_all())
        .with_context(|| format!("sync {}", root.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_belongs_to_one_node() {
        let dir = tempfile::tempdir().expect("a directory");
        Data::open(dir.path(), "c", "a", 1).expect("the first start");
        Data::open(dir.path(), "c", "a", 1).expect("the second start");
        let error = Data::open(dir.path(), "c", "b", 2).map(|_| ()).expect_err("another node");
        assert!(
            error.to_string().contains("belongs to node a (number 1) of cluster c"),
            "{error}"
        );
    }

    #[test]
    fn a_newer_directory_is_refused_by_name() {
        let dir = tempfile::tempdir().expect("a directory");
        fs::write(dir.path().join(FILE), "format = 2\nshape = \"new\"\n").expect("write");
        let error = Data::open(dir.path(), "c", "a", 1).map(|_| ()).expect_err("a newer version");
        assert!(error.to_string().contains("format 2"), "{error}");
    }

    #[test]
    fn data_without_an_owner_is_refused() {
        let dir = tempfile::tempdir().expect("a directory");
        fs::create_dir(dir.path().join("log")).expect("a log");
        assert!(Data::open(dir.path(), "c", "a", 1).is_err());
    }
}
