//! The ends of all logs of a cluster: what a failed test shows.

use super::Cluster;

/// Lines of each log.
const TAIL_LINES: usize = 60;

impl Cluster {
    /// The ends of all logs.
    pub fn tails(&self) -> String {
        let mut out = String::new();
        let own = std::fs::read_dir(self.directory.path())
            .into_iter()
            .flatten()
            .flatten()
            .map(|entry| entry.path());
        let mut names: Vec<_> = own
            .filter(|path| path.extension().is_some_and(|kind| kind == "stdout" || kind == "stderr"))
            .collect();
        names.extend(self.nodes().iter().map(|node| self.data().join(&node.name).join("node.log")));
        names.sort();
        for path in names {
            let log = String::from_utf8_lossy(&std::fs::read(&path).unwrap_or_default()).into_owned();
            let lines: Vec<_> = log.lines().collect();
            let tail = &lines[lines.len().saturating_sub(TAIL_LINES)..];
            let name = path.strip_prefix(self.directory.path()).unwrap_or(&path).display();
            out.push_str(&format!(
                "--- {name}: the last {} of {} lines\n{}\n",
                tail.len(),
                lines.len(),
                tail.join("\n")
            ));
        }
        out
    }
}
