//! What a tenant wrote stays in its region: canaries of every field are looked for on the disks of the others.

use std::path::{Path, PathBuf};
use std::time::Duration;

use api::body::control::NewTenant;
use api::body::record::{Fields, NewRecord};
use api::client::{Call, Client, Method};
use rig::cluster::{Cluster, Options};
use rig::layout::Layout;
use rig::tenant;
use serde_json::json;

/// The longest that anything here may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// A text that is nowhere else, for each thing that a tenant can write.
const CANARIES: [&str; 8] = [
    "Zebra-name-7f3a",
    "zebra-key-7f3a-idempotency",
    "zebra_collection_7f3a",
    "zebra_field_7f3a",
    "Zebra-value-7f3a",
    "zebra-token-7f3a",
    "zebra-patch-7f3a",
    "zebra-import-7f3a",
];

/// A canary as it may be written: plain, in hexadecimal, and in base64 at each of its three alignments.
fn forms(canary: &str) -> Vec<Vec<u8>> {
    let hex: String = canary.bytes().map(|byte| format!("{byte:02x}")).collect();
    let mut forms = vec![canary.as_bytes().to_vec(), hex.to_uppercase().into_bytes(), hex.into_bytes()];
    for shift in 0..3 {
        let shifted = [&vec![b'x'; shift][..], canary.as_bytes()].concat();
        let encoded = base64(&shifted);
        // What the bytes before and after it have a part in is left out.
        forms.push(encoded.as_bytes()[4..encoded.len() - 4].to_vec());
    }
    forms
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for group in bytes.chunks(3) {
        let word = group.iter().fold(0u32, |word, byte| word << 8 | u32::from(*byte)) << (8 * (3 - group.len()));
        for at in 0..4 {
            let digit = if at <= group.len() {
                DIGITS[(word >> (18 - 6 * at) & 63) as usize]
            } else {
                b'='
            };
            out.push(char::from(digit));
        }
    }
    out
}

/// All files below a directory, logs of the processes too.
fn files(directory: &Path, out: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(directory).expect("a directory").flatten() {
        match entry.file_type().expect("a type") {
            kind if kind.is_dir() => files(&entry.path(), out),
            kind if kind.is_file() => out.push(entry.path()),
            _ => {}
        }
    }
}

/// The canaries that are found below a directory, each with the file.
fn found(directory: &Path) -> Vec<String> {
    // By their first byte, so that one pass over a file looks for all.
    let mut by_first: Vec<Vec<(&str, Vec<u8>)>> = vec![Vec::new(); 256];
    for canary in CANARIES {
        for form in forms(canary) {
            by_first[usize::from(form[0])].push((canary, form));
        }
    }
    let mut all = Vec::new();
    files(directory, &mut all);
    let mut out = Vec::new();
    for path in all {
        // A file of a running node may go away meanwhile.
        let Ok(bytes) = std::fs::read(&path) else { continue };
        for (at, byte) in bytes.iter().enumerate() {
            for (canary, form) in &by_first[usize::from(*byte)] {
                if bytes[at..].starts_with(form) {
                    out.push(format!("{canary} in {}", path.display()));
                }
            }
        }
    }
    out
}

/// Writes every canary into a tenant of the first region.
async fn write_all(operator: &Client, region: &str) -> Client {
    let [name, key, collection, field, value, token, patch, import] = CANARIES;
    let new = NewTenant {
        slug: "acme".parse().expect("a slug"),
        name: Some(name.to_owned()),
        region: region.to_owned(),
        plan: None,
        dedicated: false,
        template: None,
    };
    let made = operator.tenant_create(&new, Some(key)).await.expect("a tenant").body;
    let acme = operator
        .clone()
        .with_token(&made.admin_token.expect("a token"))
        .expect("a client");
    let json = |body: serde_json::Value| body.to_string();
    let send = async |method: Method, path: String, media: &'static str, body: String| {
        let answer = acme.call(Call::new(method, path).body(media, body)).await.expect("an answer");
        assert!(answer.status.is_success(), "{}", String::from_utf8_lossy(&answer.body));
    };
    let base = "/v1/tenants/acme";
    let schema = json(json!({"fields": {field: {"type": "text"}}, "indexes": {"by": {"fields": [field]}}}));
    send(
        Method::PUT,
        format!("{base}/collections/{collection}"),
        "application/json",
        schema,
    )
    .await;
    let mut fields = Fields::new();
    fields.insert(field.to_owned(), json!(value));
    let record = acme
        .record_create("acme", collection, &NewRecord { id: None, fields }, Some(key))
        .await;
    let id = record.expect("a record").body.id;
    let records = format!("{base}/records/{collection}");
    send(
        Method::PATCH,
        format!("{records}/{id}"),
        "application/merge-patch+json",
        json(json!({"fields": {field: patch}})),
    )
    .await;
    send(
        Method::POST,
        format!("{base}/tokens"),
        "application/json",
        json(json!({"name": token, "role": "member"})),
    )
    .await;
    send(
        Method::POST,
        format!("{records}/import"),
        "application/x-ndjson",
        format!("{}\n", json!({field: import})),
    )
    .await;
    acme
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_that_a_tenant_wrote_is_on_a_disk_of_another_region() {
    let layout = Layout::new(&[("one", 1), ("two", 1), ("three", 1)]).expect("a layout");
    let cluster = Cluster::up(Options::new(layout.clone(), env!("CARGO_BIN_EXE_cloudnest").into())).expect("a cluster");
    let api = |name: &str| layout.node(name).expect("a node").api;
    let operator = tenant::client_of(api("onea"), cluster.operator_token()).expect("a client");
    let acme = write_all(&operator, "one").await;
    // Other regions are asked for it, and a directory that is told of the tenant is flushed by an orderly end.
    for other in ["twoa", "threea"] {
        let elsewhere = tenant::client_of(api(other), cluster.operator_token()).expect("a client");
        let deadline = std::time::Instant::now() + PATIENCE;
        while elsewhere.tenant_show("acme").await.is_err() {
            assert!(std::time::Instant::now() < deadline, "the tenant is not known at {other}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
    drop(acme);
    let mut cluster = cluster;
    cluster.stop().expect("an orderly end");
    for other in ["twoa", "threea"] {
        assert_eq!(found(&cluster.data().join(other)), Vec::<String>::new());
    }
    // The search finds what is there: in the tenant's own region, and where a leak is planted. Keys are kept as digests only.
    let own = found(&cluster.data().join("onea"));
    for canary in CANARIES.iter().filter(|canary| !canary.contains("idempotency")) {
        assert!(
            own.iter().any(|text| text.starts_with(canary)),
            "{canary} is not even in its own region: {own:?}"
        );
    }
    let leak = base64(b"x Zebra-value-7f3a and more");
    std::fs::write(cluster.data().join("twoa").join("leak"), leak).expect("a leak");
    assert_eq!(found(&cluster.data().join("twoa")).len(), 1);
}
