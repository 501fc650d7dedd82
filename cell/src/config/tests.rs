//! What a file may not say, one test a rule; and the example that comes with CloudNest.

use std::path::Path;

use super::*;

/// A small sound file: every test breaks it in one place.
const SOUND: &str = r#"cluster = "acme"
operator_token = { env = "CLOUDNEST_OPERATOR_TOKEN" }

[directory]
voters = ["one-a", "one-b", "two-a"]

[[region]]
name = "one"

[[region]]
name = "two"

[[node]]
name = "one-a"
number = 1
region = "one"
api = "127.0.0.1:7411"
peer = "127.0.0.1:17411"

[[node]]
name = "one-b"
number = 2
region = "one"
api = "127.0.0.1:7412"
peer = "127.0.0.1:17412"

[[node]]
name = "one-c"
number = 3
region = "one"
api = "127.0.0.1:7413"
peer = "127.0.0.1:17413"

[[node]]
name = "two-a"
number = 4
region = "two"
api = "127.0.0.1:7421"
peer = "127.0.0.1:17421"

[[cell]]
name = "one-shared"
number = 2
region = "one"
nodes = ["one-a", "one-b", "one-c"]

[[cell]]
name = "two-shared"
number = 3
region = "two"
kind = "dedicated"
nodes = ["two-a"]

[[plan]]
name = "free"
"#;

/// The one error of the sound file after replacing `from` (which must be there) by `to`.
#[track_caller]
fn broken(from: &str, to: &str) -> String {
    let errors = all_broken(from, to);
    assert_eq!(errors.len(), 1, "one error is expected: {errors:#?}");
    errors[0].clone()
}

#[track_caller]
fn all_broken(from: &str, to: &str) -> Vec<String> {
    assert!(SOUND.contains(from), "the sound file has {from:?}");
    errors_of(&SOUND.replacen(from, to, 1))
}

#[track_caller]
fn errors_of(text: &str) -> Vec<String> {
    let errors = Config::parse(text, Path::new("cluster.toml")).expect_err("the file is wrong");
    errors.0.iter().map(ToString::to_string).collect()
}

/// The file without the lines from `first` up to the next empty one.
fn without(section: &str, first: &str) -> String {
    let start = section.find(first).expect("the section is there");
    let end = section[start..]
        .find("\n\n")
        .map_or(section.len(), |length| start + length + 2);
    format!("{}{}", &section[..start], &section[end..])
}

#[test]
fn the_example_is_sound() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../cluster.toml");
    let config = Config::load(&path).unwrap_or_else(|errors| panic!("{errors}"));
    let regions: Vec<&str> = config.topology.regions.iter().map(|region| region.name.as_str()).collect();
    assert_eq!(regions, ["us-east-1", "eu-west-1", "ap-southeast-1"]);
    for (region, first) in [("us-east-1", 7411), ("eu-west-1", 7421), ("ap-southeast-1", 7431)] {
        let ports: Vec<u16> = config.region_nodes(region).iter().map(|node| node.api.port()).collect();
        assert_eq!(ports, [first, first + 1, first + 2]);
        let cells = config.region_cells(region);
        assert_eq!(cells.len(), 1);
        assert_eq!((cells[0].kind, cells[0].nodes.len()), (CellKind::Shared, 3));
    }
    let plans: Vec<&str> = config.topology.plans.iter().map(|plan| plan.name.as_str()).collect();
    assert_eq!(plans, ["free", "team", "enterprise"]);
    assert_eq!(config.operator_token, Some(Secret::Env("CLOUDNEST_OPERATOR_TOKEN".into())));
}

#[test]
fn the_fourth_region_of_the_example_needs_only_its_comment_signs_removed() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../cluster.toml");
    let text = std::fs::read_to_string(path).expect("the example");
    let start = text.find("# [[region]]").expect("a fourth region");
    let end = text.find("# ---- Plans").expect("plans");
    let uncommented: String = text[start..end]
        .lines()
        .map(|line| format!("{}\n", line.trim_start_matches(['#', ' '])))
        .collect();
    let config = Config::parse(
        &format!("{}{uncommented}{}", &text[..start], &text[end..]),
        Path::new("cluster.toml"),
    )
    .unwrap_or_else(|errors| panic!("{errors}"));
    assert_eq!(
        (
            config.topology.regions.len(),
            config.topology.nodes.len(),
            config.topology.cells.len()
        ),
        (4, 12, 4)
    );
    assert_eq!(config.topology.regions[3].name, "sa-east-1");
}

#[test]
fn what_the_file_says_is_what_the_node_gets() {
    let config = Config::parse(SOUND, Path::new("/etc/cloudnest/cluster.toml")).unwrap_or_else(|errors| panic!("{errors}"));
    let node = config.node("two-a").expect("a node");
    assert_eq!(
        (node.number, node.region.as_str(), node.endpoint.as_str()),
        (4, "two", "http://127.0.0.1:7421")
    );
    assert_eq!((node.peer.port(), &node.data), (17421, &None));
    assert_eq!(config.topology.cells[1].kind, CellKind::Dedicated);
    assert_eq!(config.topology.directory_voters, ["one-a", "one-b", "two-a"]);
    assert_eq!((config.timing, config.tls), (Timing::default(), None));
    assert_eq!(
        (
            config.topology.plans[0].weight,
            config.topology.plans[0].events_days,
            config.topology.plans[0].history_days
        ),
        (1, 7, 30)
    );
}

#[test]
fn paths_are_relative_to_the_file_and_carry_the_node() {
    let text =
        format!("{SOUND}\n[tls]\nauthority = \"tls/ca.pem\"\ncertificate = \"tls/{{name}}.pem\"\nkey = \"/keys/{{name}}.key\"\n")
            .replace("{ env = \"CLOUDNEST_OPERATOR_TOKEN\" }", "{ file = \"operator.token\" }")
            .replace("number = 1", "number = 1\ndata = \".\"");
    let text = format!("{text}[api_tls]\ncertificate = \"api/{{name}}.pem\"\nkey = \"/keys/api.key\"\n");
    let config = Config::parse(&text, Path::new("/etc/cloudnest/cluster.toml")).unwrap_or_else(|errors| panic!("{errors}"));
    let api = config.api_tls.as_ref().expect("api_tls").of_node("two-a");
    assert_eq!(api.certificate, Path::new("/etc/cloudnest/api/two-a.pem"));
    assert_eq!(api.key, Path::new("/keys/api.key"));
    assert_eq!(config.node("two-a").expect("a node").endpoint, "https://127.0.0.1:7421");
    let tls = config.tls.as_ref().expect("tls").of_node("one-a");
    assert_eq!(tls.certificate, Path::new("/etc/cloudnest/tls/one-a.pem"));
    assert_eq!(tls.key, Path::new("/keys/one-a.key"));
    assert_eq!(
        config.operator_token,
        Some(Secret::File("/etc/cloudnest/operator.token".into()))
    );
    assert_eq!(config.topology.nodes[0].data.as_deref(), Some(Path::new("/etc/cloudnest/.")));
}

#[test]
fn the_scheduler_is_on_unless_it_is_switched_off() {
    let scheduler = |text: &str| {
        Config::parse(text, Path::new("cluster.toml"))
            .expect("a sound file")
            .scheduler
    };
    assert!(scheduler(SOUND));
    assert!(!scheduler(&format!("{SOUND}\n[scheduler]\nenabled = false\n")));
    assert!(broken("voters =", "voters = [\"one-a\"]\n\n[scheduler]\nenabled = 1\n#").contains("scheduler.enabled"));
}

#[test]
fn an_unknown_key_is_refused_with_the_one_that_was_meant() {
    assert_eq!(
        broken("kind = \"dedicated\"", "knid = \"dedicated\""),
        "cluster.toml:51:1: cell.knid: is not a key of the configuration; did you mean \"kind\"?"
    );
    assert_eq!(
        broken("cluster = \"acme\"", "cluster = \"acme\"\nsize = 3"),
        "cluster.toml:2:1: size: is not a key of the configuration; there are: api_tls, cell, cluster, directory, node, operator_token, plan, region, scheduler, timing, tls"
    );
    assert!(broken("voters =", "extra = 1\nvoters =").starts_with("cluster.toml:5:1: directory.extra: is not a key"));
    let errors = all_broken("{ env =", "{ enf =");
    assert_eq!(
        errors,
        ["cluster.toml:2:20: operator_token.enf: is not a key of the configuration; did you mean \"env\"?"]
    );
}

#[test]
fn a_name_is_used_once_among_its_kind() {
    assert_eq!(
        broken("name = \"two\"", "name = \"one\"\n[[region]]\nname = \"two\""),
        "cluster.toml:11:8: region.name: the region one is used in line 8 already; give each region one section"
    );
    let plan = format!("{SOUND}[[plan]]\nname = \"free\"\n");
    assert!(errors_of(&plan)[0].contains("plan.name: the plan free is used in line"));
    assert!(broken("name = \"two-shared\"", "name = \"one-shared\"").contains("cell.name: the cell one-shared is used in line"));
    assert!(all_broken("name = \"one-b\"", "name = \"one-a\"")[0].contains("directory.voters"));
    assert!(
        all_broken("name = \"one-b\"", "name = \"one-a\"")[1].contains("node.name: the node one-a is used in line 14 already")
    );
}

#[test]
fn a_number_is_used_once_among_its_kind() {
    assert_eq!(
        broken("number = 4", "number = 1"),
        "cluster.toml:36:10: node.number: the node number 1 is used in line 15 already; give each node a number of its own, never used before"
    );
    assert!(broken("number = 3\nregion = \"two\"", "number = 2\nregion = \"two\"").contains("the cell number 2 is used in line"));
    assert!(broken("number = 1", "number = 0").contains("0 is not the number of a node; count from 1"));
    assert!(
        broken("number = 2\nregion = \"one\"\nnodes", "number = 1\nregion = \"one\"\nnodes")
            .contains("the directory's group is 1")
    );
}

#[test]
fn an_address_is_used_once_whatever_listens_there() {
    assert_eq!(
        broken("127.0.0.1:7412", "127.0.0.1:7411"),
        "cluster.toml:24:7: node.api: the address 127.0.0.1:7411 is used in line 17 already; give each listener an address and port of its own"
    );
    assert!(broken("127.0.0.1:17412", "127.0.0.1:7411").contains("node.peer: the address 127.0.0.1:7411 is used in line 17"));
}

#[test]
fn a_cell_stays_in_one_region() {
    assert_eq!(
        broken("[\"one-a\", \"one-b\", \"one-c\"]", "[\"one-a\", \"one-b\", \"two-a\"]"),
        "cluster.toml:45:28: cell.nodes: the node \"two-a\" is in two, the cell in one: a cell stays in one region; name nodes of one only"
    );
}

#[test]
fn a_cell_has_an_odd_number_of_replicas() {
    let four = "[[node]]\nname = \"one-d\"\nnumber = 9\nregion = \"one\"\napi = \"127.0.0.1:7419\"\npeer = \"127.0.0.1:17419\"\n\n[[plan]]";
    let text = SOUND
        .replace("[[plan]]", four)
        .replace("\"one-b\", \"one-c\"]", "\"one-b\", \"one-c\", \"one-d\"]");
    let even = "an even number survives no more failures";
    assert_eq!(
        errors_of(&text),
        [format!(
            "cluster.toml:45:9: cell.nodes: a cell with 4 replicas; name 1, 3 or 5 nodes: {even}"
        )]
    );
    let two = broken("[\"one-a\", \"one-b\", \"one-c\"]", "[\"one-a\", \"one-b\"]");
    assert_eq!(
        two,
        format!("cluster.toml:45:9: cell.nodes: a cell with 2 replicas; name 1, 3 or 5 nodes: {even}")
    );
    assert!(broken("[\"two-a\"]\n\n[[plan", "[]\n\n[[plan").contains("a cell with 0 replicas"));
    assert!(broken("\"one-b\", \"one-c\"]", "\"one-b\", \"one-b\"]").contains("names the node \"one-b\" twice"));
}

#[test]
fn the_directory_has_an_odd_number_of_voters_in_several_regions() {
    assert_eq!(
        broken(
            "voters = [\"one-a\", \"one-b\", \"two-a\"]",
            "voters = [\"one-a\", \"two-a\"]"
        ),
        "cluster.toml:5:10: directory.voters: an even number of voters (2); name 1, 3 or 5 nodes: an even number survives no more failures"
    );
    let third = "[[region]]\nname = \"three\"\n\n[[node]]\nname = \"three-a\"\nnumber = 9\nregion = \"three\"\napi = \"127.0.0.1:7431\"\npeer = \"127.0.0.1:17431\"\n";
    let gathered = SOUND.replace("\"one-b\", \"two-a\"]", "\"one-b\", \"one-c\"]");
    assert!(
        Config::parse(&gathered, Path::new("cluster.toml")).is_ok(),
        "two regions have no majority that outlives either"
    );
    assert!(errors_of(&format!("{gathered}{third}"))[0].contains("all voters are in one region"));
}

#[test]
fn a_reference_to_nothing_is_refused_with_the_one_that_was_meant() {
    let region = all_broken("region = \"two\"\napi", "region = \"tow\"\napi");
    assert!(
        region
            .iter()
            .any(|error| error.contains("node.region: \"tow\" is not a region of this file; did you mean \"two\"?")),
        "{region:?}"
    );
    assert_eq!(
        broken("\"one-b\", \"one-c\"]", "\"one-b\", \"one-x\"]"),
        "cluster.toml:45:28: cell.nodes: \"one-x\" is not a node of this file; did you mean \"one-a\"?"
    );
    assert!(broken("\"two-a\"]", "\"towa\"]").contains("directory.voters: \"towa\" is not a node of this file"));
    assert!(
        broken("kind = \"dedicated\"", "kind = \"shard\"").contains("\"shard\" is not a kind of cell; did you mean \"shared\"?")
    );
}

#[test]
fn a_literal_secret_is_refused_and_not_repeated() {
    let error = broken("{ env = \"CLOUDNEST_OPERATOR_TOKEN\" }", "\"cno_verysecret\"");
    assert_eq!(
        error,
        "cluster.toml:2:18: operator_token: is a secret written into the file (a literal secret); write { file = \"…\" } or { env = \"…\" } instead"
    );
    let both = broken("{ env = \"CLOUDNEST_OPERATOR_TOKEN\" }", "{ env = \"A\", file = \"b\" }");
    assert!(both.contains("names both a file and an environment variable"));
    assert!(broken("{ env = \"CLOUDNEST_OPERATOR_TOKEN\" }", "{}").contains("names neither"));
    let tls = format!("{SOUND}[tls]\nauthority = \"a\"\ncertificate = \"b\"\nkey = \"-----BEGIN PRIVATE KEY-----\"\n");
    assert!(errors_of(&tls)[0].contains("tls.key: holds a certificate or key instead of a file's path"));
    let half = format!("{SOUND}[api_tls]\ncertificate = \"a\"\n");
    assert!(errors_of(&half)[0].contains("api_tls.key: is missing"));
}

#[test]
fn an_address_is_ip_and_port() {
    for bad in ["localhost:7412", "127.0.0.1", "127.0.0.1:99999", "7412"] {
        let error = broken("127.0.0.1:7412", bad);
        assert!(
            error.starts_with(&format!(
                "cluster.toml:24:7: node.api: \"{bad}\" is not an address; write an IP address"
            )),
            "{error}"
        );
    }
    assert!(broken("127.0.0.1:7412", "127.0.0.1:0").contains("leaves the port open"));
    assert!(broken("127.0.0.1:17412", "0.0.0.0:17412").contains("is every address of a machine"));
    assert!(broken("127.0.0.1:7412", "0.0.0.0:7412").contains("no client can use it; add endpoint"));
    assert!(broken("127.0.0.1:7412\"", "0.0.0.0:7412\"\nendpoint = \"eu.example.com\"").contains("is not a base URL"));
    let public = SOUND.replace("127.0.0.1:7412\"", "0.0.0.0:7412\"\nendpoint = \"https://eu.example.com/\"");
    let config = Config::parse(&public, Path::new("cluster.toml")).unwrap_or_else(|errors| panic!("{errors}"));
    assert_eq!(config.topology.nodes[1].endpoint, "https://eu.example.com");
}

#[test]
fn a_name_has_a_form() {
    let long = "a".repeat(41);
    for bad in ["", "Acme", "a_b", "-a", "a-", "1a", "a b", &long] {
        let error = broken("cluster = \"acme\"", &format!("cluster = {bad:?}"));
        assert!(
            error.starts_with(&format!(
                "cluster.toml:1:11: cluster: {bad:?} is not a name; use 1 to 40 of a-z"
            )),
            "{error}"
        );
    }
    assert!(broken("name = \"free\"", "name = \"Free\"").contains("plan.name: \"Free\" is not a name"));
    assert!(broken("name = \"one-shared\"", "name = \"directory\"").contains("is the control group's name"));
}

#[test]
fn a_missing_section_or_key_is_named() {
    let errors = errors_of("");
    for key in ["cluster", "directory", "region", "node", "cell", "plan"] {
        let start = format!("cluster.toml:1:1: {key}: is missing; ");
        assert!(
            errors.iter().any(|error| error.starts_with(&start)),
            "{key} is not in {errors:#?}"
        );
    }
    assert_eq!(errors.len(), 6, "{errors:#?}");
    assert!(errors_of(&without(SOUND, "[directory]"))[0].contains("directory: is missing; add [directory]"));
    assert_eq!(
        broken("number = 4\n", ""),
        "cluster.toml:34:1: node.number: is missing; a number that no other node has or had, from 1"
    );
    assert!(broken("voters = [\"one-a\", \"one-b\", \"two-a\"]", "").contains("cluster.toml:4:1: directory.voters: is missing"));
}

#[test]
fn a_region_without_nodes_is_refused() {
    let error = broken("name = \"two\"", "name = \"two\"\n[[region]]\nname = \"three\"");
    assert!(error.contains("region.name: the region \"three\" has no node"), "{error}");
}

#[test]
fn a_value_of_the_wrong_kind_is_refused() {
    assert!(broken("number = 4", "number = \"4\"").contains("node.number: is a text, not a whole number from 0"));
    assert!(broken("number = 4", "number = -4").contains("is a number, not a whole number from 0"));
    assert!(broken("cluster = \"acme\"", "cluster = true").contains("cluster: is true or false, not a text in quotes"));
    assert!(
        broken("name = \"free\"", "name = \"free\"\ndedicated = 1").contains("plan.dedicated: is a number, not true or false")
    );
    assert!(broken("name = \"free\"", "name = \"free\"\nweight = 0").contains("0 would allow nothing"));
    assert!(all_broken("[[plan]]", "[plan]")[0].contains("plan: is a section, not a section in double brackets"));
}

#[test]
fn timing_leaves_room_for_lost_heartbeats() {
    let with = |timing: &str| errors_of(&format!("{SOUND}[timing]\n{timing}\n"));
    assert!(with("heartbeat_ms = 5")[0].contains("timing.heartbeat_ms: a heartbeat every 5 ms is too often"));
    assert!(with("heartbeat_ms = 100")[0].contains("an election after 150 ms, with a heartbeat every 100 ms"));
    assert!(with("election_max_ms = 150")[0].contains("timing.election_max_ms: 150 ms do not fit"));
}

#[test]
fn what_is_not_toml_is_reported_with_its_place() {
    let errors = errors_of("cluster = \"acme\"\n[[node]\nname = 1\n");
    assert!(errors[0].starts_with("cluster.toml:2:"), "{errors:?}");
    assert!(errors[0].contains("this is not TOML"), "{errors:?}");
}

#[test]
fn all_errors_come_at_once_and_in_the_order_of_the_file() {
    let text = SOUND
        .replace("cluster = \"acme\"", "cluster = \"ACME\"")
        .replace("number = 4", "number = 1")
        .replace("127.0.0.1:7412", "nowhere")
        .replace("name = \"free\"", "nmae = \"free\"");
    let lines: Vec<String> = errors_of(&text);
    assert_eq!(lines.len(), 5, "{lines:#?}");
    for (line, start) in lines.iter().zip([
        "cluster.toml:1:",
        "cluster.toml:24:",
        "cluster.toml:36:",
        "cluster.toml:54:1: plan.name",
        "cluster.toml:55:1: plan.nmae",
    ]) {
        assert!(line.starts_with(start), "{line} starts with {start}");
    }
}

#[test]
fn a_file_that_is_not_there_is_an_error_like_any_other() {
    let dir = tempfile::tempdir().expect("a directory");
    let errors = Config::load(&dir.path().join("none.toml")).expect_err("not there");
    assert!(errors.to_string().contains("none.toml:1:1: cannot read the file"), "{errors}");
}

/// The sound file with a backup of its first region.
fn with_backup(keys: &str) -> String {
    SOUND.replacen("name = \"one\"\n", &format!("name = \"one\"\n\n[region.backup]\n{keys}\n"), 1)
}

#[test]
fn a_backup_belongs_to_its_region() {
    let text = with_backup("store = \"file://backups/{region}\"\nevery_seconds = 5");
    let config = Config::parse(&text, Path::new("/etc/cloudnest/cluster.toml")).unwrap_or_else(|errors| panic!("{errors}"));
    let backup = config.backup("one").expect("it has one");
    let directory = Path::new("/etc/cloudnest/backups/one").to_owned();
    assert_eq!(backup.store.place, storage::objects::Place::Directory(directory));
    assert_eq!(
        (backup.every_seconds, backup.base_every_seconds, backup.keep_days),
        (5, 86_400, 7)
    );
    assert_eq!(config.backup("two"), None);
}

#[test]
fn what_a_backup_may_not_say() {
    let wrong = [
        ("every_seconds = 20", "region.backup.store: is missing"),
        ("store = \"ftp://x\"", "is not the address of a store"),
        ("store = \"file:///b\"\nevery_seconds = 61", "61 does not fit; write 1 to 60"),
        ("store = \"file:///b\"\nkeep_days = 0", "0 does not fit"),
        (
            "store = \"file:///b\"\nkeep = 3",
            "region.backup.keep: is not a key of the configuration",
        ),
        (
            "store = \"file:///b\"\nendpoint = \"http://x\"",
            "is for a store that speaks S3",
        ),
        ("store = \"s3://b\"\naccess_key = { env = \"A\" }", "is one half of a key"),
        ("store = \"s3://b\"\naccess_key = \"AKIA\"", "a literal secret"),
    ];
    for (keys, expected) in wrong {
        let errors = errors_of(&with_backup(keys));
        assert!(errors.iter().any(|error| error.contains(expected)), "{keys}: {errors:#?}");
        assert!(
            errors.iter().all(|error| error.starts_with("cluster.toml:1")),
            "{keys}: {errors:#?}"
        );
    }
    let section = "[region.backup]\nstore = \"file:///b\"\n";
    let both = SOUND
        .replacen("name = \"one\"\n", &format!("name = \"one\"\n{section}"), 1)
        .replacen("name = \"two\"\n", &format!("name = \"two\"\n{section}"), 1);
    let errors = errors_of(&both);
    assert!(
        errors.len() == 1 && errors[0].contains("give each region its own"),
        "{errors:#?}"
    );
}

/// The sound file with a store for the files of its first region.
fn with_files(keys: &str) -> String {
    SOUND.replacen("name = \"one\"\n", &format!("name = \"one\"\n\n[region.files]\n{keys}\n"), 1)
}

#[test]
fn a_store_of_files_belongs_to_its_region() {
    let text = with_files("store = \"file://files/{region}\"");
    let config = Config::parse(&text, Path::new("/etc/cloudnest/cluster.toml")).unwrap_or_else(|errors| panic!("{errors}"));
    let store = config.files("one").expect("it has one");
    let directory = Path::new("/etc/cloudnest/files/one").to_owned();
    assert_eq!(store.place, storage::objects::Place::Directory(directory));
    assert_eq!((config.files("two"), config.backup("one")), (None, None));
    let keys = "store = \"s3://b/{region}\"\naccess_key = { env = \"CLOUDNEST_TEST_NEVER_SET\" }\nsecret_key = { env = \"B\" }";
    let config = Config::parse(&with_files(keys), Path::new("cluster.toml")).unwrap_or_else(|errors| panic!("{errors}"));
    let store = config.files("one").expect("it has one");
    assert_eq!(store.place.to_string(), "s3://b/one");
    let missing = store.credentials().expect_err("the variable is not set").to_string();
    assert!(missing.contains("CLOUDNEST_TEST_NEVER_SET is not set"), "{missing}");
}

#[test]
fn what_a_store_of_files_may_not_say() {
    let wrong = [
        ("endpoint = \"http://x\"", "region.files.store: is missing"),
        ("store = \"ftp://x\"", "is not the address of a store"),
        ("store = \"s3://\"", "names no directory or bucket"),
        (
            "store = \"file:///b\"\nkeep = 3",
            "region.files.keep: is not a key of the configuration",
        ),
        ("store = \"file:///b\"\nsigned_for = \"x\"", "is for a store that speaks S3"),
        ("store = \"s3://b\"\nsecret_key = { env = \"A\" }", "is one half of a key"),
        ("store = \"s3://b\"\naccess_key = \"AKIA\"", "a literal secret"),
        (
            "store = \"file:///b\"\n[region.backup]\nstore = \"file:///b\"",
            "backups another than files",
        ),
    ];
    for (keys, expected) in wrong {
        let errors = errors_of(&with_files(keys));
        assert!(errors.iter().any(|error| error.contains(expected)), "{keys}: {errors:#?}");
    }
}
