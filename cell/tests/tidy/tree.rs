//! The repository's text files, in memory.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::OnceLock;

/// Directories that hold nothing of ours, or nothing that is committed.
const SKIPPED: [&str; 5] = ["target", ".git", "node_modules", "cloudnest-data", ".claude"];
/// Larger files are data.
const FILE_BYTES: u64 = 2 * 1024 * 1024;

/// Texts by path, relative to the root, with `/` between the parts.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tree {
    pub(crate) files: BTreeMap<String, String>,
}

impl Tree {
    /// The repository that this test belongs to.
    pub(crate) fn of_repository() -> Self {
        static TREE: OnceLock<Tree> = OnceLock::new();
        TREE.get_or_init(Self::read_now).clone()
    }

    /// The same, read again.
    pub(crate) fn read_now() -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"))
            .parent()
            .expect("the crate has a parent directory");
        let mut tree = Self::default();
        tree.read(root, "");
        assert!(
            tree.files.contains_key("Cargo.lock"),
            "the root of the repository has a lock file"
        );
        tree
    }

    fn read(&mut self, directory: &Path, prefix: &str) {
        for entry in std::fs::read_dir(directory).expect("list a directory").flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            // A file may vanish while a build or an editor is at work.
            let Ok(metadata) = entry.metadata() else { continue };
            // In a second work tree `.git` is a file.
            if SKIPPED.contains(&name.as_str()) {
                continue;
            }
            if metadata.is_dir() {
                self.read(&entry.path(), &format!("{prefix}{name}/"));
            } else if metadata.is_file()
                && metadata.len() <= FILE_BYTES
                && let Ok(text) = std::fs::read_to_string(entry.path())
            {
                self.files.insert(format!("{prefix}{name}"), text);
            }
        }
    }

    /// The same with another text for one file.
    pub(crate) fn with(mut self, path: &str, text: &str) -> Self {
        self.files.insert(path.to_owned(), text.to_owned());
        self
    }

    /// The same with a text at the end of one file.
    pub(crate) fn with_end(self, path: &str, end: &str) -> Self {
        let text = self.text(path).to_owned() + end;
        self.with(path, &text)
    }

    /// The same with a line behind one that is there.
    pub(crate) fn with_line_after(self, path: &str, line: &str, added: &str) -> Self {
        let text = self.text(path);
        // Some manifests have no such section yet.
        let text = if text.contains(line) {
            text.replacen(line, &format!("{line}\n{added}"), 1)
        } else {
            format!("{text}\n{line}\n{added}\n")
        };
        self.with(path, &text)
    }

    /// The same with a piece of one file replaced, which must be there.
    pub(crate) fn replacing(self, path: &str, from: &str, to: &str) -> Self {
        assert!(self.text(path).contains(from), "{path} has {from:?}");
        let text = self.text(path).replacen(from, to, 1);
        self.with(path, &text)
    }

    /// The text of a file that must be there.
    pub(crate) fn text(&self, path: &str) -> &str {
        self.files
            .get(path)
            .unwrap_or_else(|| panic!("{path} is part of the repository"))
    }

    /// The Rust files below a directory.
    pub(crate) fn rust(&self, below: &str) -> impl Iterator<Item = (&str, &str)> {
        let files = self
            .files
            .iter()
            .filter(move |(path, _)| path.starts_with(below) && path.ends_with(".rs"));
        files.map(|(path, text)| (path.as_str(), text.as_str()))
    }
}
