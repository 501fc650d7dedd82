//! The table of nodes: whether they are reached, their versions, disks and certificates.

use api::body::node::Node;

use super::super::super::output::{Tone, plain};
use crate::node::certificates::expiry::{Notice, notice};

/// Room on a node's disk below which the table warns, in bytes: 5 GiB.
const ROOM_BYTES: u64 = 5 << 30;

/// The head of the table.
pub(super) const HEAD: [&str; 10] = [
    "NODE",
    "REGION",
    "NUMBER",
    "ENDPOINT",
    "REACHABLE",
    "VERSION",
    "LEVEL",
    "DISK FREE",
    "CERTIFICATE",
    "",
];

/// The row of a node.
pub(super) fn row(node: &Node, now: i64) -> Vec<(String, Tone)> {
    let reachable = if node.reachable {
        ("yes".to_owned(), Tone::Good)
    } else {
        ("no".to_owned(), Tone::Bad)
    };
    vec![
        plain(&*node.name),
        plain(&*node.region),
        plain(node.number.to_string()),
        plain(&*node.endpoint),
        reachable,
        plain(known(node.version.as_deref())),
        plain(known(node.level)),
        disk(node),
        certificate(node, now),
        match node.draining {
            Some(true) => ("drains".to_owned(), Tone::Warning),
            _ => plain(""),
        },
    ]
}

/// What was said, or a question mark.
pub(super) fn known(said: Option<impl ToString>) -> String {
    said.map_or_else(|| "?".to_owned(), |said| said.to_string())
}

/// What is free on the disk of a node's data, and of how much.
fn disk(node: &Node) -> (String, Tone) {
    let (Some(free), Some(size)) = (node.disk_free_bytes, node.disk_bytes) else {
        return plain("?");
    };
    let gib = |bytes: u64| bytes as f64 / f64::from(1 << 30);
    let text = format!("{:.1} of {:.1} GiB", gib(free), gib(size));
    (text, if free < ROOM_BYTES { Tone::Warning } else { Tone::Plain })
}

/// How long the certificate is valid that a node proves itself to others with.
fn certificate(node: &Node, now: i64) -> (String, Tone) {
    let Some(end) = end(node) else { return plain("?") };
    match notice(end, now) {
        None => plain(format!("{} days", (end - now) / 86_400)),
        Some(found @ Notice::Soon { .. }) => (found.to_string(), Tone::Warning),
        Some(Notice::Ended) => ("has ended".to_owned(), Tone::Bad),
    }
}

fn end(node: &Node) -> Option<i64> {
    let end: jiff::Timestamp = node.certificate_expires_at.as_ref()?.parse().ok()?;
    Some(end.as_second())
}

/// What is to be said of certificates that end soon.
pub(super) fn warnings(nodes: &[Node], now: i64) -> Vec<String> {
    let warning = |node: &Node| {
        let notice = notice(end(node)?, now)?;
        let renew = "make another with `cloudnest certs create` and put it in its place; no restart is needed";
        Some(format!("the certificate of {} for other nodes {notice}: {renew}", node.name))
    };
    nodes.iter().filter_map(warning).collect()
}

#[cfg(test)]
mod tests {
    use api::ids::NodeNumber;

    use super::*;

    #[test]
    fn certificates_that_end_soon_are_spoken_of() {
        let now = 1_800_000_000;
        let node = |left: Option<i64>| Node {
            name: "a".into(),
            number: NodeNumber(1),
            region: "r".into(),
            endpoint: String::new(),
            reachable: true,
            certificate_expires_at: left.map(|left| super::super::super::super::certs::moment(now + left)),
            draining: None,
            version: None,
            level: None,
            disk_free_bytes: None,
            disk_bytes: None,
            started_at: None,
        };
        const DAY: i64 = 86_400;
        for (left, shown, tone, warned) in [
            (None, "?", Tone::Plain, false),
            (Some(30 * DAY), "30 days", Tone::Plain, false),
            (Some(13 * DAY), "ends in 13 days", Tone::Warning, true),
            (Some(-1), "has ended", Tone::Bad, true),
        ] {
            assert_eq!(certificate(&node(left), now), (shown.to_owned(), tone));
            let said = warnings(&[node(left)], now);
            assert_eq!(said.len(), usize::from(warned), "{said:?}");
            assert!(
                said.iter()
                    .all(|line| line.contains("certificate of a") && line.contains("certs create"))
            );
        }
    }
}
