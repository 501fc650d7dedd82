use super::*;
use crate::make_authority;

fn identity(node: u64, region: &str) -> Identity {
    make_authority("test").unwrap().issue(NodeId(node), region, 10).unwrap()
}

fn refused(identity: &Identity, cluster: &str, node: u64, region: &str) -> String {
    match Tls::new(cluster, NodeId(node), region, identity) {
        Ok(_) => "taken".to_owned(),
        Err(error) => error.to_string(),
    }
}

#[test]
fn an_identity_works_only_for_its_own_node_region_and_cluster() {
    let identity = identity(7, "here");
    assert_eq!(refused(&identity, "test", 7, "here"), "taken");
    let other = refused(&identity, "test", 8, "here");
    assert!(
        other.contains("not that of node-8.test.cloudnest") && other.contains("made out to node-7.test.cloudnest"),
        "{other}"
    );
    let elsewhere = refused(&identity, "test", 7, "there");
    assert!(
        elsewhere.contains("in the region here, but the configuration has that node in there"),
        "{elsewhere}"
    );
    assert!(refused(&identity, "other", 7, "here").contains("node-7.other.cloudnest"));
    assert!(refused(&identity, "test", 7, "No Such").contains("region name"));
}

#[test]
fn a_certificate_without_a_region_is_refused_with_what_to_do() {
    let key = rcgen::KeyPair::generate().unwrap();
    let params = rcgen::CertificateParams::new(vec!["node-7.test.cloudnest".to_owned()]).unwrap();
    let old = params.self_signed(&key).unwrap();
    let why = check(old.der(), "test", NodeId(7), "here").unwrap_err();
    assert!(
        why.contains("names no region") && why.contains("cloudnest certs create"),
        "{why}"
    );
}

#[test]
fn what_is_not_this_nodes_own_replaces_nothing() {
    let authority = make_authority("test").unwrap();
    let first = authority.issue(NodeId(7), "here", 10).unwrap();
    let tls = Tls::new("test", NodeId(7), "here", &first).unwrap();
    let before = tls.certificate();
    let second = authority.issue(NodeId(7), "here", 10).unwrap();
    let of = |change: fn(&mut Identity, &Identity)| {
        let mut identity = second.clone();
        change(&mut identity, &first);
        tls.replace(&identity).unwrap_err().to_string()
    };
    for (error, words) in [
        (of(|new, old| new.key_pem.clone_from(&old.key_pem)), "cannot be used together"),
        (of(|new, _| new.key_pem.clear()), "the key cannot be read"),
        (of(|new, _| new.certificate_pem.clear()), "no certificate of this node"),
        (of(|new, _| new.authority_pem.clear()), "no certificate of an authority"),
        (
            of(|new, _| new.authority_pem = make_authority("test").unwrap().certificate_pem().to_owned()),
            "none of the authorities",
        ),
    ] {
        assert!(error.contains(words), "{error}");
    }
    for (node, region) in [(8, "here"), (7, "there")] {
        assert!(tls.replace(&authority.issue(NodeId(node), region, 10).unwrap()).is_err());
    }
    assert!(
        tls.replace(&authority.issue(NodeId(7), "here", 0).unwrap()).is_err(),
        "it has ended"
    );
    assert_eq!(tls.certificate(), before);
    tls.replace(&second).unwrap();
    assert_ne!(tls.certificate(), before);
    // A node starts with one that has ended: its peers refuse it, but what it holds can be read.
    let ended = authority.issue(NodeId(7), "here", 0).unwrap();
    assert_eq!(refused(&ended, "test", 7, "here"), "taken");
}

#[test]
fn several_authorities_count_while_they_change() {
    let (old, new) = (make_authority("test").unwrap(), make_authority("test").unwrap());
    let both = format!("{}{}", new.certificate_pem(), old.certificate_pem());
    for authority in [&old, &new] {
        let mut identity = authority.issue(NodeId(7), "here", 10).unwrap();
        identity.authority_pem.clone_from(&both);
        assert_eq!(refused(&identity, "test", 7, "here"), "taken");
    }
}
