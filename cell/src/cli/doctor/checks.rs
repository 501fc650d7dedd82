//! Checks of the configuration, the ports, the secrets, the clock and the limits of the process.

use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, SystemTime};

use rustix::process::{Resource, getrlimit};

use super::Finding;
use crate::config::Config;

/// Seconds since the epoch before which no clock can be right: 2026-01-01.
const EARLIEST_SECONDS: u64 = 1_767_225_600;
/// How far a file may be younger than the clock, in seconds.
const FUTURE_SECONDS: u64 = 2;
/// Descriptors that a busy node needs: connections, and files of its cells.
const DESCRIPTORS: u64 = 16_384;
/// Descriptors without which it does not get far.
const DESCRIPTORS_MIN: u64 = 1_024;
/// How long a listener on this machine has to answer.
const CONNECT: Duration = Duration::from_millis(300);
/// The port of `cloudnest dev`.
const DEV_PORT: u16 = 7400;

pub(super) fn config(path: Option<&Path>) -> (Finding, Option<Config>) {
    let Some(path) = path else {
        return (
            Finding::ok("config", "no cluster.toml here: only `cloudnest dev` is checked"),
            None,
        );
    };
    match Config::load(path) {
        Ok(config) => {
            let detail = format!(
                "{} is sound: {} nodes, {} cells",
                path.display(),
                config.topology.nodes.len(),
                config.topology.cells.len()
            );
            (Finding::ok("config", detail), Some(config))
        }
        Err(errors) => (
            Finding::fail(
                "config",
                format!("{} has {} mistakes", path.display(), errors.0.len()),
                errors.to_string(),
            ),
            None,
        ),
    }
}

/// Whether the ports of this machine are free, or taken by what answers there.
pub(super) fn ports(config: Option<&Config>, data: &Path) -> Finding {
    let dev = SocketAddr::from(([127, 0, 0, 1], DEV_PORT));
    let addresses: Vec<SocketAddr> = match config {
        Some(config) => config.topology.nodes.iter().flat_map(|node| [node.api, node.peer]).collect(),
        None => vec![dev],
    };
    let (mut free, mut taken) = (0, Vec::new());
    for address in addresses {
        match TcpListener::bind(address) {
            Ok(_) => free += 1,
            Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => taken.push(address),
            // The address of another machine.
            Err(_) => {}
        }
    }
    if taken.is_empty() {
        return Finding::ok("ports", format!("{free} free"));
    }
    let silent: Vec<String> = taken
        .iter()
        .filter(|address| TcpStream::connect_timeout(address, CONNECT).is_err())
        .map(ToString::to_string)
        .collect();
    if !silent.is_empty() {
        let advice = "something holds these ports without answering: end it, or choose other ports";
        return Finding::fail("ports", format!("silent: {}", silent.join(", ")), advice);
    }
    let list = taken.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let advice = format!(
        "fine if this is CloudNest with its data in {}; otherwise end it, or choose other ports",
        data.display()
    );
    Finding::warn("ports", format!("{free} free, in use: {list}"), advice)
}

/// Whether the files with secrets are for their owner only.
pub(super) fn secrets(data: &Path) -> Finding {
    let names = ["dev.tokens", "operator.token", "tls/authority.key"];
    let open: Vec<String> = names
        .iter()
        .map(|name| data.join(name))
        .filter(|path| fs::metadata(path).is_ok_and(|metadata| metadata.permissions().mode() & 0o077 != 0))
        .map(|path| path.display().to_string())
        .collect();
    if open.is_empty() {
        return Finding::ok("secrets", "for their owner only");
    }
    Finding::fail(
        "secrets",
        "others can read secrets",
        format!("chmod 600 {}; and replace what may have been read", open.join(" ")),
    )
}

/// Whether the clock can be right: after this program was written, and after the newest file of the data.
pub(super) fn clock(data: &Path) -> Finding {
    let advice = "set the clock and keep it right with NTP: a leader whose clock is off hands its cells over";
    let now = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs();
    if now < EARLIEST_SECONDS {
        return Finding::fail("clock", "it is behind by years", advice);
    }
    let newest = fs::read_dir(data)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.metadata().ok()?.modified().ok())
        .max();
    let ahead = newest
        .and_then(|newest| newest.duration_since(SystemTime::now()).ok())
        .unwrap_or_default()
        .as_secs();
    if ahead > FUTURE_SECONDS {
        return Finding::warn(
            "clock",
            format!("the data was written {ahead} s in the future: the clock was set back"),
            advice,
        );
    }
    Finding::ok("clock", "plausible")
}

/// Whether a node gets enough file descriptors. It raises its own limit to the hard one.
pub(super) fn descriptors() -> Finding {
    let most = getrlimit(Resource::Nofile).maximum.unwrap_or(u64::MAX);
    let detail = if most == u64::MAX {
        "no limit".to_owned()
    } else {
        format!("at most {most}")
    };
    let advice = format!("raise the hard limit to {DESCRIPTORS} or more: `ulimit -Hn`, LimitNOFILE of the service");
    match most {
        0..DESCRIPTORS_MIN => Finding::fail("file descriptors", detail, advice),
        DESCRIPTORS_MIN..DESCRIPTORS => Finding::warn("file descriptors", detail, advice),
        _ => Finding::ok("file descriptors", detail),
    }
}
