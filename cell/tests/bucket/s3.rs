//! Files in a bucket: the program speaks S3 with a server that looks at signatures and conditions as S3 does.

use super::server::{BUCKET, Bucket, Way, moto};
use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_live_in_a_bucket_and_outlive_what_becomes_of_nodes_and_of_the_way_there() {
    let Some(moto) = moto("files") else { return };
    let mut bucket = Bucket::start(&moto).await;
    let way = Way::to(bucket.address).await;
    let directory = tempfile::tempdir().expect("a directory");
    let file = |name: &str, text: &str| {
        let path = directory.path().join(name);
        fs::write(&path, text).expect("a file");
        path
    };
    let (key, secret) = (file("key", &bucket.key), file("secret", &bucket.secret));
    let mut layout = Layout::one_region(1).expect("a layout");
    layout.files = Some(format!(
        "store = \"s3://{BUCKET}/{{region}}\"\nendpoint = \"http://{}\"\naccess_key = {{ file = {key:?} }}\n\
         secret_key = {{ file = {secret:?} }}",
        way.address
    ));
    let cluster = start(layout);
    let acme = tenant::create(&cluster, "acme", Some("workspace")).await.expect("a tenant");
    let beta = tenant::create(&cluster, "beta", Some("workspace")).await.expect("a tenant");
    let content = noise("large.bin", 7 * MIB + 3);
    let large = put(&acme, "large.bin", content.len()).await;
    put(&beta, "large.bin", content.len()).await;
    assert_everywhere(&cluster, &acme, &large, &content).await;
    let kept = bucket.names("chunks");
    assert_eq!((kept.len(), chunks(&cluster.data()).len()), (16, 0), "{kept:?}");
    assert!(kept.iter().all(|name| name.starts_with("eu-west-1/chunks/")), "{kept:?}");
    restart(&cluster);
    assert_everywhere(&cluster, &acme, &large, &content).await;
    // It cannot be reached; it hangs. Either is told in the same words.
    way.open.send_replace(false);
    is_told_and_others_go_on(&acme, &large).await;
    way.open.send_replace(true);
    assert_everywhere(&cluster, &acme, &large, &content).await;
    bucket.hang(true);
    is_told_and_others_go_on(&acme, &large).await;
    bucket.hang(false);
    assert_everywhere(&cluster, &acme, &large, &content).await;
    // A key that is no longer the right one is read anew.
    fs::write(&secret, "not the secret").expect("a wrong one");
    restart(&cluster);
    is_told_and_others_go_on(&acme, &large).await;
    fs::write(&secret, &bucket.secret).expect("the right one");
    assert_everywhere(&cluster, &acme, &large, &content).await;
    what_rots_is_refused(&cluster, &bucket, &acme, &large, &content).await;
    // What a deleted tenant had goes, and so does what hung and was answered for to nobody; what is named stays, however old.
    delete(&operator(&cluster), "beta").await;
    assert!(bucket.age() >= kept.len());
    restart(&cluster);
    until("the end of what nothing names", async || {
        // In order, so that the first tenant's come first.
        (bucket.names("chunks") == kept[..8]).then_some(())
    })
    .await;
    assert_everywhere(&cluster, &acme, &large, &content).await;
    delete(&operator(&cluster), "acme").await;
    restart(&cluster);
    until("an empty bucket", async || bucket.names("chunks").is_empty().then_some(())).await;
}

/// A bit of each object is another one: no byte of it is served.
async fn what_rots_is_refused(cluster: &Cluster, bucket: &Bucket, tenant: &Tenant, file: &File, content: &[u8]) {
    let names = bucket.names("chunks");
    bucket.turn(&names);
    let download = Call::new(Method::GET, format!("/v1/tenants/{}/files/{}/content", tenant.slug, file.id));
    let (status, told, after) = refusal(&tenant.client, download).await;
    assert!(
        status == 503 && told.contains("is damaged in the store") && after.is_some(),
        "{status} {told}"
    );
    bucket.turn(&names);
    assert_everywhere(cluster, tenant, file, content).await;
}
