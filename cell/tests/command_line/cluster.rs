//! `cluster up`: what it prints, whom it starts again, and that nothing outlives it.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use rig::layout::Layout;

use crate::process::{Running, eventually, lives, run, signal};

/// A cluster of one region that `cluster up` runs.
pub(crate) struct Up {
    pub(crate) running: Running,
    pub(crate) config: PathBuf,
    pub(crate) data: PathBuf,
    pub(crate) nodes: Vec<String>,
    pub(crate) urls: Vec<String>,
    pub(crate) token: String,
}

impl Up {
    pub(crate) fn start(dir: &Path, region: &str, nodes: usize) -> Self {
        Self::start_with(dir, region, nodes, "")
    }

    /// The same with more in its configuration.
    pub(crate) fn start_with(dir: &Path, region: &str, nodes: usize, more: &str) -> Self {
        // A port that was free may be taken before its node binds it: then the whole ends, and is begun anew elsewhere.
        (1..=5)
            .find_map(|attempt| Self::attempt(&dir.join(format!("attempt-{attempt}")), region, nodes, more))
            .expect("free ports")
    }

    #[track_caller]
    fn attempt(dir: &Path, region: &str, nodes: usize, more: &str) -> Option<Self> {
        let layout = Layout::new(&[(region, nodes)]).unwrap();
        let (config, data) = (dir.join("cluster.toml"), dir.join("data"));
        std::fs::create_dir_all(dir).unwrap();
        std::fs::write(&config, layout.to_toml() + more).unwrap();
        let running = Running::start(&arguments(&config, &data));
        if !running.says("ready") {
            assert!(running.has_complained("is in use"), "{}", running.complaint("error:"));
            return None;
        }
        let token = std::fs::read_to_string(data.join("operator.token"))
            .unwrap()
            .trim()
            .to_owned();
        let scheme = if more.contains("[api_tls]") { "https" } else { "http" };
        let urls = layout.nodes.iter().map(|node| format!("{scheme}://{}", node.api)).collect();
        let nodes = layout.nodes.into_iter().map(|node| node.name).collect();
        Some(Self {
            running,
            config,
            data,
            nodes,
            urls,
            token,
        })
    }

    /// The process that a node was started as, the last time.
    pub(crate) fn pid(&self, node: &str) -> u32 {
        self.next_pid(node, 0).0
    }

    /// The first process of a node after `skip` lines of output.
    pub(crate) fn next_pid(&self, node: &str, skip: usize) -> (u32, usize) {
        let (line, skip) = self.running.line(skip, &format!("node {node} pid "));
        (line.rsplit(' ').next().unwrap().parse().unwrap(), skip)
    }
}

fn arguments<'a>(config: &'a Path, data: &'a Path) -> [&'a str; 6] {
    [
        "cluster",
        "up",
        "--config",
        config.to_str().unwrap(),
        "--data",
        data.to_str().unwrap(),
    ]
}

/// The node that leads the shared cell.
pub(crate) fn leader(up: &Up) -> String {
    let said = run(&[
        "cluster",
        "status",
        "--json",
        "--config",
        up.config.to_str().unwrap(),
        "--data",
        up.data.to_str().unwrap(),
    ]);
    let report: serde_json::Value = serde_json::from_str(&said.out).unwrap_or_else(|_| panic!("{}", said.err));
    let cells = report["cells"].as_array().unwrap();
    let shared = cells.iter().find(|cell| cell["kind"] == "shared").unwrap();
    shared["leader"].as_str().unwrap().to_owned()
}

#[test]
fn a_killed_node_is_started_again_and_sigterm_stops_all() {
    let dir = tempfile::tempdir().unwrap();
    let mut up = Up::start(dir.path(), "one", 3);
    assert_eq!(up.nodes, ["onea", "oneb", "onec"]);
    let mode = std::fs::metadata(up.data.join("operator.token"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    assert!(up.nodes.contains(&leader(&up)));

    let (first, skip) = up.next_pid("oneb", 0);
    signal("KILL", first);
    let (second, _) = up.next_pid("oneb", skip);
    assert_ne!(first, second);
    up.running.complaint("[oneb] ended unasked");
    let (first, skip) = up.next_pid("onec", 0);
    signal("TERM", first);
    let (third, _) = up.next_pid("onec", skip);
    assert!(lives(third), "a node that ended by itself is started again too");

    let pids = [up.pid("onea"), second, third];
    assert!(up.running.stop().success());
    assert!(pids.iter().all(|pid| !lives(*pid)), "all have ended before it does");

    let again = Running::start(&arguments(&up.config, &up.data));
    again.line(0, "ready");
    let token = std::fs::read_to_string(up.data.join("operator.token")).unwrap();
    assert_eq!(token.trim(), up.token, "the token is made once");
}

#[test]
fn nodes_die_with_their_supervisor() {
    let dir = tempfile::tempdir().unwrap();
    let mut up = Up::start(dir.path(), "one", 1);
    let pid = up.pid("onea");
    assert!(lives(pid));
    let second = run(&arguments(&up.config, &up.data));
    assert_eq!(second.code, 1);
    assert!(second.err.contains("another `cluster up` runs one"), "{}", second.err);
    signal("KILL", up.running.pid());
    up.running.ended();
    eventually("the node's end", || !lives(pid));
}

#[test]
fn a_node_that_cannot_start_ends_the_whole_with_its_reason() {
    let dir = tempfile::tempdir().unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut layout = Layout::new(&[("one", 1)]).unwrap();
    layout.nodes[0].api = taken.local_addr().unwrap();
    let (config, data) = (dir.path().join("cluster.toml"), dir.path().join("data"));
    std::fs::write(&config, layout.to_toml()).unwrap();
    let said = run(&arguments(&config, &data));
    assert_eq!(said.code, 1);
    assert!(
        said.err.contains(&format!("port {}", layout.nodes[0].api.port())),
        "{}",
        said.err
    );
    assert!(said.err.contains("the node onea does not start"), "{}", said.err);
    drop(taken);
}

#[test]
fn the_data_of_another_node_is_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let mut up = Up::start(dir.path(), "one", 3);
    assert!(up.running.stop().success());
    let data = up.data.join("oneb");
    let said = run(&[
        "node",
        "--config",
        up.config.to_str().unwrap(),
        "--node",
        "onea",
        "--data",
        data.to_str().unwrap(),
    ]);
    assert_eq!(said.code, 1);
    assert!(said.err.contains("oneb"), "{}", said.err);
}
