//! The rig's own side of a cluster, against a shell script that behaves like `cluster up`.

use std::os::unix::fs::PermissionsExt;

use super::*;

/// A supervisor of one `sleep` per node: prints what `cluster up` prints, starts a dead node again, stops on SIGTERM.
const SUPERVISOR: &str = r#"#!/bin/bash
data="${@: -1}"
mkdir -p "$data"
echo token-of-the-operator > "$data/operator.token"
declare -A pids
trap 'for pid in "${pids[@]}"; do kill -9 $pid; done; exit 0' TERM
start() { bash -c 'exec -a "$0" sleep 1000' "$data/$1" >&- 2>&- & pids[$1]=$!; echo "node $1 pid $!"; }
for node in eu-west-1a eu-west-1b; do start $node; done
echo ready
while true; do
  sleep 0.05
  for node in "${!pids[@]}"; do [ -e /proc/${pids[$node]}/cmdline ] && kill -0 ${pids[$node]} 2>&- || start $node; done
done
"#;

fn script(text: &str) -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("cloudnest");
    std::fs::write(&path, text).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    (directory, path)
}

const LONG: Duration = Duration::from_secs(60);

#[test]
fn a_killed_node_comes_back_under_the_supervisor_and_nothing_outlives_the_cluster() {
    let (_directory, program) = script(SUPERVISOR);
    let cluster = Cluster::up(Options::new(Layout::one_region(1).unwrap(), program)).unwrap();
    assert_eq!(cluster.operator_token(), "token-of-the-operator");
    let old = cluster.kill("eu-west-1a").unwrap();
    let new = cluster.wait_restarted("eu-west-1a", old, LONG).unwrap();
    assert_ne!(old, new);
    assert!(is_alive(new) && !is_alive(old));
    drop(cluster);
    assert!(poll(LONG, || !is_alive(new)));
}

#[test]
fn a_stopped_cluster_ends_with_code_0_and_can_start_again() {
    let (_directory, program) = script(SUPERVISOR);
    let mut cluster = Cluster::up(Options::new(Layout::one_region(1).unwrap(), program)).unwrap();
    let pid = cluster.pid("eu-west-1a").unwrap();
    assert!(cluster.up_again().is_err());
    cluster.stop().unwrap();
    assert!(poll(LONG, || !is_alive(pid)));
    cluster.up_again().unwrap();
    assert!(is_alive(cluster.pid("eu-west-1a").unwrap()));
}

#[test]
fn a_cluster_that_does_not_start_says_what_it_printed() {
    let (_directory, program) = script("#!/bin/bash\necho the port is taken >&2\nexit 1\n");
    let error = Cluster::up(Options::new(Layout::one_region(1).unwrap(), program))
        .unwrap_err()
        .to_string();
    assert!(error.contains("the port is taken"), "{error}");
}

#[test]
fn a_process_of_somebody_else_is_not_signalled() {
    let error = send(std::process::id(), Signal::KILL, Path::new("/nowhere/at/all")).unwrap_err();
    assert!(error.to_string().contains("not of this cluster"), "{error}");
}
