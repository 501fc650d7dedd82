//! TLS for clients, from the configuration to the command line, and a certificate that is replaced while a node runs.

use std::path::Path;

use crate::cluster::Up;
use crate::process::{Said, eventually, run, signal};

const AUTHORITY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../api/tests/http/tls/authority.pem");
const FIRST: (&str, &str) = (
    include_str!("../../../api/tests/http/tls/first.pem"),
    include_str!("../../../api/tests/http/tls/first.key"),
);
const SECOND: (&str, &str) = (
    include_str!("../../../api/tests/http/tls/second.pem"),
    include_str!("../../../api/tests/http/tls/second.key"),
);

fn write(dir: &Path, (certificate, key): (&str, &str)) {
    std::fs::write(dir.join("one.pem"), certificate).unwrap();
    std::fs::write(dir.join("one.key"), key).unwrap();
}

#[test]
fn a_node_serves_over_tls_and_takes_new_certificates_while_it_runs() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), FIRST);
    let at = dir.path().display();
    let more = format!("\n[api_tls]\ncertificate = \"{at}/{{name}}.pem\"\nkey = \"{at}/{{name}}.key\"\n");
    for suffix in ["pem", "key"] {
        std::os::unix::fs::symlink(format!("one.{suffix}"), dir.path().join(format!("onea.{suffix}"))).unwrap();
    }
    let mut up = Up::start_with(dir.path(), "one", 1, &more);
    let ask = |ca: Option<&str>| -> Said {
        let mut arguments = vec!["tenant", "list", "--url", &up.urls[0], "--token", &up.token];
        arguments.extend(ca.into_iter().flat_map(|ca| ["--ca", ca]));
        run(&arguments)
    };
    let served = || {
        let said = ask(Some(AUTHORITY));
        assert_eq!(said.code, 0, "{}", said.err);
    };
    served();
    let untrusted = ask(Some(&format!("{at}/one.pem")));
    assert_eq!(untrusted.code, 1);
    assert!(untrusted.err.contains("certificate"), "{}", untrusted.err);
    let missing = ask(Some("/nowhere/ca.pem"));
    assert!(missing.err.contains("/nowhere/ca.pem"), "{}", missing.err);

    let log = up.data.join("onea/node.log");
    let logged = |words: &[&str]| {
        let text = std::fs::read_to_string(&log).unwrap_or_default();
        text.lines().any(|line| words.iter().all(|word| line.contains(word)))
    };
    write(dir.path(), SECOND);
    signal("HUP", up.pid("onea"));
    eventually("the new certificate is taken", || {
        logged(&["took the new certificate for clients"])
    });
    served();
    write(dir.path(), ("nonsense", SECOND.1));
    signal("HUP", up.pid("onea"));
    eventually("the bad one is reported", || {
        logged(&["onea.pem", "api_tls.certificate", "the certificate that was there before"])
    });
    served();
    assert!(up.running.stop().success());
}

#[test]
fn a_certificate_that_cannot_be_used_stops_the_start_with_its_file() {
    let dir = tempfile::tempdir().unwrap();
    let layout = rig::layout::Layout::new(&[("one", 1)]).unwrap();
    std::fs::write(dir.path().join("api.pem"), FIRST.0).unwrap();
    std::fs::write(dir.path().join("api.key"), SECOND.1).unwrap();
    let config = dir.path().join("cluster.toml");
    let more = "\n[api_tls]\ncertificate = \"api.pem\"\nkey = \"api.key\"\n";
    std::fs::write(&config, layout.to_toml() + more).unwrap();
    let data = dir.path().join("onea");
    let (config, data) = (config.to_str().unwrap(), data.to_str().unwrap());
    let said = run(&["node", "--config", config, "--node", "onea", "--data", data]);
    assert_eq!(said.code, 1);
    assert!(said.err.contains("api.key, api_tls"), "{}", said.err);
}
