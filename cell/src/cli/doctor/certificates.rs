//! Checks of certificates: that they are those of their nodes, and how long they are valid.

use std::path::{Path, PathBuf};

use raft::NodeId;

use super::super::certificates::files_in;
use super::super::certs::{self, files_of};
use super::Finding;
use crate::config::Config;
use crate::node::certificates::expiry::{Notice, notice};
use crate::node::certificates::identity;

const CHECK: &str = "certificates";

/// Whether the certificates that are on this machine can be used, and for how long.
pub(super) fn examine(config: Option<&Config>, data: &Path) -> Finding {
    let files: Vec<PathBuf> = match config {
        Some(config) => files_of(config, data).into_iter().collect(),
        None => in_data(data),
    };
    if files.is_empty() {
        return Finding::ok(CHECK, "none here yet");
    }
    let (mut wrong, mut soon) = (config.map(|config| unusable(config, data)).unwrap_or_default(), Vec::new());
    let now = jiff::Timestamp::now().as_second();
    let mut first = i64::MAX;
    for file in &files {
        match certs::read(file) {
            Err(why) => wrong.push(why),
            Ok(entries) => {
                for entry in entries {
                    first = first.min(entry.ends_at);
                    let said = |notice: Notice| format!("{} ({}) {notice}", file.display(), entry.subject);
                    match notice(entry.ends_at, now) {
                        Some(ended @ Notice::Ended) => wrong.push(said(ended)),
                        Some(near) => soon.push(said(near)),
                        None => {}
                    }
                }
            }
        }
    }
    let advice = "make others with `cloudnest certs create`, or have those for clients renewed, and put them in their place; no restart is needed";
    match (wrong.is_empty(), soon.is_empty()) {
        (false, _) => Finding::fail(CHECK, wrong.join("; "), advice),
        (true, false) => Finding::warn(CHECK, soon.join("; "), advice),
        (true, true) => Finding::ok(
            CHECK,
            format!("{} files, the first ends at {}", files.len(), certs::moment(first)),
        ),
    }
}

/// What is wrong with the certificates of nodes whose keys are here too.
fn unusable(config: &Config, data: &Path) -> Vec<String> {
    let tls = config.tls.clone().unwrap_or_else(|| files_in(&data.join("tls")));
    let wrong = |node: &crate::config::NodeEntry| {
        let files = tls.of_node(&node.name);
        let identity = identity(&files).ok()?;
        let error = identity.check(&config.cluster, NodeId(node.number), &node.region).err()?;
        Some(format!("{}: {error}", files.certificate.display()))
    };
    config.topology.nodes.iter().filter_map(wrong).collect()
}

/// What `dev` left in its data.
fn in_data(data: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(data.join("tls")).into_iter().flatten().flatten();
    let files = entries.map(|entry| entry.path());
    let mut files: Vec<PathBuf> = files
        .filter(|path| path.extension().is_some_and(|end| end == "pem"))
        .collect();
    files.sort();
    files
}

#[cfg(test)]
mod tests {
    use raft::make_authority;

    use super::super::Verdict;
    use super::*;

    #[test]
    fn what_ends_soon_is_a_warning_and_what_cannot_be_used_a_failure() {
        let dir = tempfile::tempdir().expect("a directory");
        let tls = dir.path().join("tls");
        std::fs::create_dir(&tls).expect("made");
        assert_eq!(examine(None, dir.path()).verdict, Verdict::Ok);
        let authority = make_authority("cloudnest").expect("an authority");
        std::fs::write(tls.join("authority.pem"), authority.certificate_pem()).expect("written");
        let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../cluster.toml");
        let config = Config::load(&example).expect("sound");
        let verdict = |region: &str, days| {
            let identity = authority.issue(NodeId(1), region, days).expect("issued");
            std::fs::write(tls.join("us-east-1a.pem"), &identity.certificate_pem).expect("written");
            std::fs::write(tls.join("us-east-1a.key"), &identity.key_pem).expect("written");
            [None, Some(&config)].map(|config| examine(config, dir.path()).verdict)
        };
        assert_eq!(verdict("us-east-1", 397), [Verdict::Ok; 2]);
        assert_eq!(verdict("us-east-1", 10), [Verdict::Warn; 2]);
        assert_eq!(verdict("us-east-1", 0), [Verdict::Fail; 2]);
        assert_eq!(
            verdict("elsewhere", 397),
            [Verdict::Ok, Verdict::Fail],
            "only the configuration knows the region"
        );
    }
}
