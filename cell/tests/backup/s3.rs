//! Backups in a bucket: the program speaks S3 with a server that looks at signatures and conditions as S3 does.

use std::fs;

use api::body::record::NewRecord;

use super::server::{BUCKET, Bucket, Way, moto};
use super::*;

/// Why the backup does not work, as soon as it does not.
async fn failure(cluster: &Cluster) -> String {
    until("the failure to be told of", async || {
        told(cluster, SHARED).await?.backup?.error
    })
    .await
}

/// Waits until the cell has another base than now.
async fn based_again(cluster: &Cluster) {
    let base = async || told(cluster, SHARED).await?.backup?.base_at;
    let before = until("a base", base).await;
    until("another base", async || base().await.filter(|now| *now != before)).await;
}

async fn goes_on(cluster: &Cluster) {
    until("the backup to go on", async || {
        told(cluster, SHARED).await?.backup?.error.is_none().then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bucket_is_backed_up_to_and_restored_from() {
    let Some(moto) = moto("backups") else { return };
    let bucket = Bucket::start(&moto).await;
    let way = Way::to(bucket.address).await;
    let directory = tempfile::tempdir().expect("a directory");
    let file = |name: &str, text: &str| {
        let path = directory.path().join(name);
        fs::write(&path, text).expect("a file");
        path
    };
    let (key, secret) = (file("key", &bucket.key), file("secret", &bucket.secret));
    let mut layout = Layout::one_region(1).expect("a layout");
    layout.backup = Some(format!(
        "store = \"s3://{BUCKET}/{{region}}\"\nendpoint = \"http://{}\"\naccess_key = {{ file = {key:?} }}\n\
         secret_key = {{ file = {secret:?} }}\nevery_seconds = 1\nbase_every_seconds = 5",
        way.address
    ));
    let cluster = Cluster::up(Options::new(layout, env!("CARGO_BIN_EXE_cloudnest").into())).expect("a cluster");
    based(&cluster).await;
    let operator = operator(&cluster);
    let acme = tenant::create(&cluster, "acme", Some("workspace")).await.expect("a tenant");
    write(&acme, "FIRST").await;
    contents::put(&acme, "file.bin", 3_000_000).await;
    let first = Moment::of(&acme).await;
    comes_back(&operator, "first", "acme", &first).await;
    // A time behind a base that has the tenant, and needs both its pieces and the log.
    until("a base with a tenant", async || {
        (!bucket.names("bases").is_empty()).then_some(())
    })
    .await;
    based_again(&cluster).await;
    write(&acme, "SECOND").await;
    let second = Moment::of(&acme).await;
    comes_back(&operator, "second", "acme", &second).await;
    damage_in_the_bucket_is_named(&operator, &bucket, &second).await;
    let moments = writes_go_on_without_the_bucket(&cluster, &acme, &way).await;
    for (at, moment) in moments.iter().enumerate() {
        comes_back(&operator, &format!("away-{at}"), "acme", moment).await;
    }
    // The secret is read anew with every round: a wrong one is told of by what to do, and nobody waits for it.
    fs::write(&secret, "not the secret").expect("a wrong one");
    let why = until("the key to be named", async || {
        Some(failure(&cluster).await).filter(|why| why.contains("does not let this key"))
    })
    .await;
    assert!(why.contains("check the id of the access key and its secret"), "{why}");
    let once = tenant::client(&cluster.addresses(), cluster.operator_token()).expect("a client");
    let refusal = once.with_retries(0).tenant_restore("none", &wanted("acme", None), None).await;
    let why = refused(&refusal.expect_err("the key is wrong"));
    assert!(
        why.contains("503") && why.contains("check the id of the access key and its secret"),
        "{why}"
    );
    write(&acme, "LAST").await;
    let last = Moment::of(&acme).await;
    fs::write(&secret, &bucket.secret).expect("the right one");
    goes_on(&cluster).await;
    comes_back(&operator, "last", "acme", &last).await;
}

/// A bit of each object of one kind at a time is another one: the restore names it, and nothing is there afterwards.
async fn damage_in_the_bucket_is_named(operator: &Client, bucket: &Bucket, moment: &Moment) {
    for folder in ["bases", "log", "chunks"] {
        let names = bucket.names(folder);
        assert!(!names.is_empty(), "there is nothing in {folder}");
        bucket.turn(&names);
        let failed = restore(operator, "spoilt", &wanted("acme", Some(&moment.at))).await;
        let why = failed.error.unwrap_or_default();
        let is_named = names.iter().any(|name| why.contains(name.trim_start_matches("eu-west-1/")));
        assert!(
            failed.status == "failed" && why.contains("is damaged") && is_named,
            "{folder}: {why}"
        );
        assert!(
            operator.tenant_show("spoilt").await.is_err(),
            "{folder}: nothing of it is there"
        );
        bucket.turn(&names);
    }
    comes_back(operator, "spoilt", "acme", moment).await;
}

/// No write fails while the bucket cannot be reached. What the tenant was meanwhile.
async fn writes_go_on_without_the_bucket(cluster: &Cluster, acme: &Tenant, way: &Way) -> Vec<Moment> {
    way.open.send_replace(false);
    failure(cluster).await;
    let mut moments = Vec::new();
    for number in 0..20 {
        let fields = json!({ "key": format!("AWAY{number}"), "name": "away" });
        let new = NewRecord {
            id: None,
            fields: fields.as_object().cloned().unwrap_or_default(),
        };
        let once = acme.client.clone().with_retries(0);
        let stored = once.record_create("acme", "projects", &new, None).await;
        stored.expect("a write while the bucket is away");
        if number % 7 == 0 {
            moments.push(Moment::of(acme).await);
        }
    }
    way.open.send_replace(true);
    goes_on(cluster).await;
    moments
}
