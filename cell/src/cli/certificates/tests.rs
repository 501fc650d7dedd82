use std::os::unix::fs::PermissionsExt;

use super::*;
use crate::node::certificates::identity;

fn config(cluster: &str) -> Config {
    let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../cluster.toml")).expect("the example");
    let text = text.replace("cluster = \"cloudnest\"", &format!("cluster = {cluster:?}"));
    Config::parse(&text, Path::new("cluster.toml")).expect("sound")
}

fn made(dir: &Path, config: &Config, order: Order) -> Vec<Issued> {
    issue(dir, config, order).expect("issued")
}

fn load(dir: &Path, node: &str) -> Identity {
    identity(&files_in(dir).of_node(node)).expect("an identity")
}

#[test]
fn certificates_are_made_once_and_keys_are_private() {
    let dir = tempfile::tempdir().expect("a directory");
    let (tls, config) = (dir.path().join("tls"), config("one"));
    assert!(made(&tls, &config, Order::default()).iter().all(|one| *one == Issued::Made));
    let first = load(&tls, "us-east-1a");
    assert!(made(&tls, &config, Order::default()).iter().all(|one| *one == Issued::Kept));
    assert_eq!(first, load(&tls, "us-east-1a"));
    for key in ["authority.key", "us-east-1a.key", "eu-west-1c.key"] {
        let mode = std::fs::metadata(tls.join(key)).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{key}");
    }
    for node in &config.topology.nodes {
        let identity = load(&tls, &node.name);
        identity.check("one", NodeId(node.number), &node.region).expect("its own");
    }
    let renewed = made(
        &tls,
        &config,
        Order {
            renew: true,
            ..Order::default()
        },
    );
    assert!(renewed.iter().all(|one| *one == Issued::Made));
    let second = load(&tls, "us-east-1a");
    assert_ne!(first.key_pem, second.key_pem);
    assert_eq!(first.authority_pem, second.authority_pem);
    let other = issue(&tls, &self::config("two"), Order::default()).expect_err("another cluster");
    assert!(matches!(other, Failure::Failed(error) if error.to_string().contains("those of the cluster \"one\"")));
}

#[test]
fn what_a_node_cannot_use_is_made_again_to_its_key() {
    let dir = tempfile::tempdir().expect("a directory");
    let (tls, config) = (dir.path(), config("one"));
    made(tls, &config, Order::default());
    let before = load(tls, "us-east-1a");
    let authority = authority(tls, "one").expect("an authority");
    let stranger = make_authority("one").expect("an authority");
    let of =
        |authority: &Authority, region: &str, days| authority.issue_to(&before.key_pem, NodeId(1), region, days).expect("issued");
    for (other, words) in [
        (of(&authority, "elsewhere", 397), "in the region elsewhere"),
        (of(&stranger, "us-east-1", 397), "none of the authorities"),
        (of(&authority, "us-east-1", 0), "expired"),
        (
            authority.issue(NodeId(1), "us-east-1", 397).expect("issued"),
            "cannot be used together",
        ),
    ] {
        std::fs::write(tls.join("us-east-1a.pem"), &other.certificate_pem).expect("written");
        let issued = made(tls, &config, Order::default());
        assert!(
            matches!(&issued[0], Issued::Again(why) if why.contains(words)),
            "{words}: {:?}",
            issued[0]
        );
        assert!(issued[1..].iter().all(|one| *one == Issued::Kept));
        let after = load(tls, "us-east-1a");
        assert_eq!(after.key_pem, before.key_pem);
        after.check("one", NodeId(1), "us-east-1").expect("its own");
    }
    // One whose whole life is short is not made again at once.
    let short = of(&authority, "us-east-1", 10);
    std::fs::write(tls.join("us-east-1a.pem"), &short.certificate_pem).expect("written");
    assert_eq!(made(tls, &config, Order::default())[0], Issued::Kept);
}

#[test]
fn a_node_finds_its_files_beside_its_data_and_has_them_mended_where_the_authority_is() {
    let dir = tempfile::tempdir().expect("a directory");
    let config = config("one");
    let node = config.node("eu-west-1b").expect("a node");
    assert!(
        of_node(&config, node, &dir.path().join("elsewhere"), None).is_err(),
        "it may not fill a directory that is not its own"
    );
    let made = of_node(&config, node, &dir.path().join("eu-west-1b"), None).expect("made");
    let found = of_node(&config, node, &dir.path().join("elsewhere"), None).expect("found");
    let tls = dir.path().join("tls");
    let named = of_node(&config, node, Path::new("/nowhere/x"), Some(&tls)).expect("named");
    assert_eq!((&made, &made), (&found, &named));
    let authority = authority(&tls, "one").expect("an authority");
    let key = load(&tls, &node.name).key_pem;
    let wrong = authority
        .issue_to(&key, NodeId(node.number), "elsewhere", 397)
        .expect("issued");
    let certificate = tls.join("eu-west-1b.pem");
    std::fs::write(&certificate, &wrong.certificate_pem).expect("written");
    // As on a node's own machine.
    std::fs::rename(tls.join("authority.key"), tls.join("kept-elsewhere")).expect("renamed");
    of_node(&config, node, Path::new("/nowhere/x"), Some(&tls)).expect("named");
    assert_eq!(std::fs::read_to_string(&certificate).expect("read"), wrong.certificate_pem);
    std::fs::rename(tls.join("kept-elsewhere"), tls.join("authority.key")).expect("renamed");
    of_node(&config, node, Path::new("/nowhere/x"), Some(&tls)).expect("named");
    load(&tls, &node.name)
        .check("one", NodeId(node.number), "eu-west-1")
        .expect("its own");
}
