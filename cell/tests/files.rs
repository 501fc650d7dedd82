//! Files over HTTP on real nodes: what is uploaded comes back from every node, whatever dies, rots or moves on the way.

use std::path::PathBuf;
use std::time::Duration;

use api::body::control::TenantMove;
use api::body::file::{AttachedTo, File, NewLink};
use api::client::{Call, Client, ClientError, FromArchive, Method};
use api::ids::Id;
use api::service::FileList;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};
use rig::cluster::{Cluster, Options};
use rig::http::{Connection, Request};
use rig::layout::Layout;
use rig::tenant::{self, Tenant};
use rig::wait::until;
use serde_json::json;

const MIB: usize = 1 << 20;
/// How long a node that was killed may take to be there again, and an answer.
const RESTART: Duration = Duration::from_secs(60);

fn up() -> Cluster {
    let mut layout = Layout::one_region(3).expect("a layout");
    layout.dedicated = 1;
    Cluster::up(Options::new(layout, env!("CARGO_BIN_EXE_cloudnest").into())).expect("a cluster")
}

/// Bytes that are the same each time and compress badly.
fn noise(seed: u64, bytes: usize) -> Bytes {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut out = Vec::with_capacity(bytes + 8);
    while out.len() < bytes {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        out.extend_from_slice(&state.to_le_bytes());
    }
    out.truncate(bytes);
    out.into()
}

/// A client of each node.
fn clients(cluster: &Cluster, tenant: &Tenant) -> Vec<Client> {
    let nodes = cluster.nodes().iter();
    let of = |address| tenant::client_of(address, &tenant.token).expect("a client").with_retries(20);
    nodes.map(|node| of(node.api)).collect()
}

async fn create(tenant: &Tenant, name: &str, content: &Bytes) -> File {
    let made = tenant
        .client
        .file_create(&tenant.slug, name, "application/x-noise", None, content.clone(), Some(name));
    made.await.expect("created").body
}

async fn read(client: &Client, slug: &str, id: Id, version: Option<u64>) -> Result<Vec<u8>, ClientError> {
    let mut content = client.file_content(slug, id, version).await?;
    let mut bytes = Vec::new();
    while let Some(piece) = content.next().await? {
        bytes.extend_from_slice(&piece);
    }
    Ok(bytes)
}

async fn assert_everywhere(cluster: &Cluster, tenant: &Tenant, id: Id, wanted: &[u8]) {
    for (client, node) in clients(cluster, tenant).iter().zip(cluster.nodes()) {
        let found = read(client, &tenant.slug, id, None).await.expect("the content");
        assert!(found == wanted, "{} has another content", node.name);
    }
}

/// The chunks on the disk of a node, by name.
fn chunks(cluster: &Cluster, node: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut left = vec![cluster.data().join(node).join("store")];
    while let Some(directory) = left.pop() {
        let Ok(entries) = std::fs::read_dir(&directory) else {
            continue;
        };
        for path in entries.flatten().map(|entry| entry.path()) {
            let is_chunk = path.file_name().is_some_and(|name| name.len() == 64);
            match path.is_dir() {
                true => left.push(path),
                false if is_chunk => found.push(path),
                false => {}
            }
        }
    }
    found.sort();
    found
}

/// Whether what lies there is what its name says.
fn is_right(path: &PathBuf) -> bool {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    std::fs::read(path).is_ok_and(|bytes| blake3::hash(&bytes).to_string() == name)
}

/// Bytes as they would come from a file.
fn pieces(bytes: &Bytes) -> impl Stream<Item = std::io::Result<Bytes>> + use<> {
    let bytes = bytes.clone();
    stream::iter((0..bytes.len()).step_by(300_000)).map(move |at| Ok(bytes.slice(at..bytes.len().min(at + 300_000))))
}

/// Sends what follows of an upload until all of it is there, however often that breaks off.
async fn send(client: &Client, slug: &str, id: Id, content: &Bytes) -> Id {
    until("the end of the upload", async || {
        let state = client.upload_state(slug, id).await.ok()?.body;
        if let Some(file) = state.file {
            return Some(file);
        }
        let rest = content.slice(state.offset as usize..);
        let _ = client.upload_send(slug, id, state.offset, pieces(&rest)).await;
        None
    })
    .await
}

/// The node that leads the cell of the only tenant's kind.
async fn leader(cluster: &Cluster, tenant: &Tenant) -> String {
    let operator = tenant::client(&cluster.addresses(), cluster.operator_token()).expect("a client");
    let cell = operator.tenant_show(&tenant.slug).await.expect("the tenant").body.cell;
    until("a leader", async || {
        let cells = operator.cells().await.ok()?;
        cells.into_iter().find(|found| found.name == cell)?.leader
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_uploaded_comes_back_from_every_node_in_all_its_versions() {
    let cluster = up();
    let acme = tenant::create(&cluster, "acme", Some("workspace")).await.expect("a tenant");
    let globex = tenant::create(&cluster, "globex", Some("workspace")).await.expect("a tenant");
    let (one, two) = (noise(1, 3 * MIB + 17), noise(2, 100));
    let file = create(&acme, "noise.bin", &one).await;
    assert_eq!((file.size, file.version), (one.len() as u64, 1));
    assert_eq!(file.blake3, blake3::hash(&one).to_string());
    assert_eq!(create(&acme, "noise.bin", &one).await, file, "the same key");
    assert_everywhere(&cluster, &acme, file.id, &one).await;
    let client = &acme.client;
    let put = client
        .file_put("acme", file.id, None, Some(&file.blake3), two.clone())
        .await
        .expect("a version")
        .body;
    assert_eq!((put.version, put.content_type.as_str()), (2, "application/x-noise"));
    client
        .file_put("acme", file.id, None, Some(&file.blake3), two.clone())
        .await
        .expect_err("it has another content");
    assert_everywhere(&cluster, &acme, file.id, &two).await;
    for node in clients(&cluster, &acme) {
        assert!(read(&node, "acme", file.id, Some(1)).await.expect("the first version") == one);
        let call = Call::new(Method::GET, format!("/v1/tenants/acme/files/{}/content?version=1", file.id));
        let part = node
            .call(call.header("range", "bytes=1048570-2097160"))
            .await
            .expect("an answer");
        assert_eq!(part.status.as_u16(), 206);
        assert!(part.body == one.slice(1_048_570..2_097_161), "a part over chunks");
    }
    let restored = client.file_restore("acme", file.id, 1).await.expect("restored").body;
    assert_eq!(
        (restored.version, &restored.blake3, restored.sha256),
        (3, &file.blake3, file.sha256)
    );
    let versions = client
        .file_versions("acme", file.id, None)
        .await
        .expect("versions")
        .body
        .items;
    assert_eq!(
        versions.iter().map(|one| (one.version, one.current)).collect::<Vec<_>>(),
        [(3, true), (2, false), (1, false)]
    );

    // One that ends where a chunk does, and where the row of the upload is brought up to date.
    let even = noise(10, 16 * MIB);
    let begun = client.upload_begin("acme", even.len() as u64, "filename ZXZlbg==");
    let id = begun.await.expect("begun").body;
    let offset = client.upload_send("acme", id, 0, pieces(&even)).await;
    assert_eq!(offset.expect("all of it"), even.len() as u64);
    let became = client.upload_state("acme", id).await.expect("the upload").body.file;
    assert_everywhere(&cluster, &acme, became.expect("a file, at once"), &even).await;

    // Another tenant knows nothing of it, whatever id it names.
    let foreign = globex.client.file("globex", file.id).await.expect_err("none of its own");
    assert!(foreign.to_string().contains("there is no file"), "{foreign}");
    globex.client.file("acme", file.id).await.expect_err("not its tenant");
    // A link opens it without a token, for who has the whole of it.
    let link = client
        .file_link(
            "acme",
            file.id,
            &NewLink {
                expires_in: 60,
                version: Some(2),
            },
        )
        .await
        .expect("a link")
        .body;
    let nobody = tenant::client_of(cluster.nodes()[1].api, "").expect("a client");
    let opened = nobody
        .call(Call::new(Method::GET, link.path.clone()))
        .await
        .expect("an answer");
    assert_eq!((opened.status.as_u16(), &opened.body), (200, &two));
    let forged = nobody
        .call(Call::new(Method::GET, link.path.replace("version=2", "version=1")))
        .await
        .expect("an answer");
    assert_eq!(forged.status.as_u16(), 403);
    let revoked = acme
        .client
        .call(Call::new(Method::DELETE, "/v1/tenants/acme/files/links"))
        .await
        .expect("an answer");
    assert_eq!(revoked.status.as_u16(), 204);
    // What is not whole says no more than what is not right; without a signature it is no link.
    let path = link.path.split('?').next().expect("a path");
    for (query, expected) in [
        ("signature=abc", 403),
        ("signature=abc&version=x&expires=9", 403),
        ("signature=", 401),
        ("", 401),
    ] {
        let call = Call::new(Method::GET, format!("{path}?{query}"));
        let answered = nobody.call(call).await.expect("an answer");
        assert_eq!(answered.status.as_u16(), expected, "{query}: {answered:?}");
    }
    let late = nobody.call(Call::new(Method::GET, link.path)).await.expect("an answer");
    assert_eq!(late.status.as_u16(), 403, "all links are worthless");
    // Every change is an event.
    let events = client
        .call(Call::new(Method::GET, "/v1/tenants/acme/events?follow=false"))
        .await
        .expect("events");
    let text = String::from_utf8_lossy(&events.body).into_owned();
    assert_eq!(
        (
            text.matches("\"file.created\"").count(),
            text.matches("\"file.updated\"").count()
        ),
        (2, 2),
        "{text}"
    );
    assert!(text.contains(&format!("\"files/{}\"", file.id)));
}

/// A new record of `papers`, to attach files to.
async fn paper(client: &Client, title: &str) -> AttachedTo {
    let new = serde_json::from_value(json!({ "fields": { "title": title } })).expect("a record");
    let made = client.record_create("acme", "papers", &new, None).await.expect("stored");
    AttachedTo {
        collection: "papers".to_owned(),
        record: made.body.id,
    }
}

/// A client of the tenant with a new token of a role.
async fn somebody(admin: &Client, role: &str) -> Client {
    holder(admin, &json!({ "name": role, "role": role })).await
}

/// A client of the tenant with this new token.
async fn holder(admin: &Client, token: &serde_json::Value) -> Client {
    let made = Call::new(Method::POST, "/v1/tenants/acme/tokens").body("application/json", token.to_string());
    let made = admin.call(made).await.expect("an answer").body;
    let made: serde_json::Value = serde_json::from_slice(&made).expect("a token");
    let secret = made["secret"].as_str().expect("a secret");
    admin.clone().with_token(secret).expect("a client")
}

/// Who is refused is so before the content is sent, by every node.
async fn unsent(cluster: &Cluster, tenant: &Tenant, file: Id) {
    let missing = format!("/v1/tenants/acme/files?name=x&collection=papers&record={file}");
    let other = format!("/v1/tenants/acme/files/{file}/content");
    for node in cluster.nodes() {
        for (method, path, status) in [("POST", &missing, 404), ("PUT", &other, 412)] {
            let request = Request {
                method,
                path,
                token: &tenant.token,
                headers: &format!("content-length: 3000000\r\nif-match: \"{:064}\"\r\n\r\n", 0),
                body: b"",
            };
            let mut head = Vec::new();
            request.write_head(&mut head);
            let mut connection = Connection::open(node.api).await.expect("a connection");
            let answered = tokio::time::timeout(RESTART, connection.exchange(&head))
                .await
                .expect("it waits for the content");
            assert_eq!(answered.expect("an answer").status, status, "{method} at {}", node.name);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_is_seen_by_who_may_read_its_record() {
    let cluster = up();
    let acme = tenant::create(&cluster, "acme", Some("workspace")).await.expect("a tenant");
    let rules = json!({ "fields": { "title": { "type": "text" } }, "rules": { "read": "record.title == \"open\"" } });
    let path = "/v1/tenants/acme/collections/papers";
    let put = Call::new(Method::PUT, path).body("application/json", rules.to_string());
    assert_eq!(acme.client.call(put).await.expect("an answer").status.as_u16(), 201);
    let guest = somebody(&acme.client, "guest").await;
    let mut files = Vec::new();
    for title in ["open", "shut"] {
        let attached = paper(&acme.client, title).await;
        let made = acme
            .client
            .file_create("acme", title, "text/plain", Some(&attached), title.to_owned(), None);
        let list = FileList {
            attached_to: Some(attached.clone()),
            ..FileList::default()
        };
        files.push((made.await.expect("created").body.id, list));
    }
    let [(open, opens), (shut, shuts)] = &files[..] else {
        panic!("two files")
    };
    assert_eq!(read(&guest, "acme", *open, None).await.expect("it is open"), b"open");
    let hidden = read(&guest, "acme", *shut, None).await.expect_err("it is shut");
    assert!(hidden.to_string().contains("there is no file"), "{hidden}");
    let count = async |client: &Client, list: &FileList| client.files("acme", list).await.expect("a list").body.items.len();
    assert_eq!(
        (
            count(&guest, opens).await,
            count(&guest, shuts).await,
            count(&guest, &FileList::default()).await
        ),
        (1, 0, 1)
    );
    assert_eq!(
        (
            count(&acme.client, shuts).await,
            count(&acme.client, &FileList::default()).await
        ),
        (1, 2)
    );
    // A token for other collections hears of one that is there what it hears of one that is not.
    let other = json!({ "name": "other", "role": "guest", "scopes": ["tasks"] });
    let other = holder(&acme.client, &other).await;
    for collection in ["papers", "nothing"] {
        let path = format!("/v1/tenants/acme/files?collection={collection}&record={open}");
        let answered = other.call(Call::new(Method::GET, path)).await.expect("an answer");
        assert_eq!(answered.status.as_u16(), 403, "{collection}: {answered:?}");
    }
    let refused = guest
        .file_create("acme", "x", "text/plain", None, "x", None)
        .await
        .expect_err("a guest only reads");
    assert!(refused.to_string().contains("role"), "{refused}");
    unsent(&cluster, &acme, *open).await;
    for (name, why) in [("../x", "no path"), ("a%00", "ok")] {
        let made = acme.client.file_create("acme", name, "text/plain", None, "x", None).await;
        assert_eq!(made.is_ok(), why == "ok", "{name}");
        assert!(made.is_ok() || made.is_err_and(|error| error.to_string().contains(why)));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_is_changed_by_who_may_update_its_record() {
    let cluster = up();
    let acme = tenant::create(&cluster, "acme", Some("workspace")).await.expect("a tenant");
    let rules = json!({ "fields": { "title": { "type": "text" } }, "rules": { "update": "record.title == \"open\"" } });
    let put = Call::new(Method::PUT, "/v1/tenants/acme/collections/papers").body("application/json", rules.to_string());
    assert_eq!(acme.client.call(put).await.expect("an answer").status.as_u16(), 201);
    let member = somebody(&acme.client, "member").await;
    for title in ["open", "shut"] {
        let attached = paper(&acme.client, title).await;
        let file = acme
            .client
            .file_create("acme", title, "text/plain", Some(&attached), "1", None);
        let file = file.await.expect("an admin is bound by no rule").body.id;
        assert_eq!(read(&member, "acme", file, None).await.expect("it may be read"), b"1");
        let path = format!("/v1/tenants/acme/files/{file}");
        let calls = [
            Call::new(
                Method::POST,
                format!("/v1/tenants/acme/files?name=n&collection=papers&record={}", attached.record),
            )
            .body("text/plain", "2"),
            Call::new(Method::PUT, format!("{path}/content")).body("text/plain", "2"),
            Call::new(Method::PATCH, path.clone()).body("application/json", json!({ "name": "b" }).to_string()),
            Call::new(Method::DELETE, path),
        ];
        for call in calls {
            let what = format!("{call:?}");
            let answered = member.call(call).await.expect("an answer");
            let (status, body) = (answered.status.as_u16(), String::from_utf8_lossy(&answered.body).into_owned());
            match title {
                "open" => assert!(status < 300, "{what}: {status} {body}"),
                _ => assert!(
                    status == 403 && body.contains("the rule for update of papers does not allow it"),
                    "{what}: {status} {body}"
                ),
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_ends_only_for_who_may_still_change_its_record() {
    let cluster = up();
    let acme = tenant::create(&cluster, "acme", Some("workspace")).await.expect("a tenant");
    let rules = json!({ "read": "record.title != \"gone\"", "update": "record.title == \"open\"" });
    let papers = json!({ "fields": { "title": { "type": "text" } }, "rules": rules }).to_string();
    let put = Call::new(Method::PUT, "/v1/tenants/acme/collections/papers").body("application/json", papers);
    assert_eq!(acme.client.call(put).await.expect("an answer").status.as_u16(), 201);
    let member = somebody(&acme.client, "member").await;
    let paper = paper(&acme.client, "open").await;
    let made = member.file_create("acme", "a", "text/plain", Some(&paper), "before", None);
    let file = made.await.expect("created").body.id;
    let (id, record) = (STANDARD.encode(file.to_string()), STANDARD.encode(paper.record.to_string()));
    let mut uploads = Vec::new();
    for becomes in [
        format!("file {id}"),
        format!("filename Yg==,collection {},record {record}", STANDARD.encode("papers")),
    ] {
        let id = member.upload_begin("acme", 5, &becomes).await.expect("begun").body;
        let first = stream::iter([Ok(Bytes::from_static(b"aft"))]);
        assert_eq!(member.upload_send("acme", id, 0, first).await.expect("a part"), 3);
        uploads.push(id);
    }
    for (title, status, content) in [("shut", 403, "before"), ("gone", 404, "before"), ("open", 204, "after")] {
        let fields = serde_json::from_value(json!({ "title": title })).expect("fields");
        let patched = acme.client.record_patch("acme", "papers", paper.record, &fields, None, None);
        patched.await.expect("patched");
        for id in &uploads {
            let last = Call::new(Method::PATCH, format!("/v1/tenants/acme/files/uploads/{id}"))
                .header("tus-resumable", "1.0.0")
                .header("upload-offset", "3")
                .body("application/offset+octet-stream", "er");
            let answered = member.call(last).await.expect("an answer");
            assert_eq!(answered.status.as_u16(), status, "{title}: {answered:?}");
        }
        let found = read(&acme.client, "acme", file, None).await.expect("the content");
        assert_eq!(found, content.as_bytes(), "{title}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_goes_on_after_its_leader_has_died() {
    let cluster = up();
    let acme = tenant::create(&cluster, "acme", Some("workspace")).await.expect("a tenant");
    let content = noise(3, 21 * MIB + 4_321);
    let nodes = clients(&cluster, &acme);
    let id = nodes[0]
        .upload_begin("acme", content.len() as u64, "filename YmlnLmJpbg==")
        .await
        .expect("begun")
        .body;
    // It breaks off in the midst of a chunk: what has come is kept.
    let come = async |least: usize| {
        until("what came before it broke off", async || {
            let offset = nodes[1].upload_state("acme", id).await.ok()?.body.offset;
            (offset >= least as u64).then_some(offset)
        })
        .await
    };
    let breaks = stream::once(async {
        come(8 * MIB).await;
        Err(std::io::Error::other("the line is gone"))
    });
    let broken = pieces(&content.slice(..9 * MIB + 77)).chain(breaks);
    let sent = Box::pin(nodes[0].upload_send("acme", id, 0, broken)).await;
    sent.expect_err("it broke off");
    assert!(come(8 * MIB).await <= 9 * MIB as u64 + 77);
    let name = leader(&cluster, &acme).await;
    let pid = cluster.kill(&name).expect("killed");
    let other = cluster
        .nodes()
        .iter()
        .position(|node| node.name != name)
        .expect("another node");
    let file = send(&nodes[other], "acme", id, &content).await;
    cluster.wait_restarted(&name, pid, RESTART).expect("started again");
    cluster.wait_ready(&name, RESTART).expect("ready");
    assert_everywhere(&cluster, &acme, file, &content).await;
    let file = acme.client.file("acme", file).await.expect("the file").body;
    assert_eq!(
        (file.blake3, file.name.as_str()),
        (blake3::hash(&content).to_string(), "big.bin")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_and_a_rotten_chunk_are_repaired_and_never_served() {
    let cluster = up();
    let acme = tenant::create(&cluster, "acme", Some("workspace")).await.expect("a tenant");
    let content = noise(4, 4 * MIB + 5);
    let file = create(&acme, "noise.bin", &content).await;
    let names: Vec<String> = cluster.nodes().iter().map(|node| node.name.clone()).collect();
    for name in &names {
        until("every chunk on every disk", async || {
            (chunks(&cluster, name).len() == 5).then_some(())
        })
        .await;
    }
    let damage = |name: &str| {
        let found = chunks(&cluster, name);
        std::fs::remove_file(&found[0]).expect("lost");
        let mut bytes = std::fs::read(&found[1]).expect("a chunk");
        bytes[0] ^= 1;
        std::fs::write(&found[1], &bytes).expect("rotten");
        std::fs::write(&found[2], []).expect("empty");
        assert!(!found[..3].iter().any(is_right));
        found
    };
    // Who asks for it gets it right, and it is right from then on.
    let damaged = damage(&names[0]);
    let client = &clients(&cluster, &acme)[0];
    assert!(read(client, "acme", file.id, None).await.expect("the content") == content);
    assert!(damaged.iter().all(is_right), "it was repaired");
    // Nobody asks: the node itself looks.
    let damaged = damage(&names[1]);
    let pid = cluster.kill(&names[1]).expect("killed");
    cluster.wait_restarted(&names[1], pid, RESTART).expect("started again");
    until("the scrubber", async || damaged.iter().all(is_right).then_some(())).await;
    // What rots on every disk is an error and nothing else.
    for name in &names {
        let path = &chunks(&cluster, name)[4];
        std::fs::write(path, b"rotten").expect("rotten");
    }
    until("an error", async || read(client, "acme", file.id, None).await.err()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_that_moves_takes_its_files_along() {
    let cluster = up();
    let acme = tenant::create(&cluster, "acme", Some("workspace")).await.expect("a tenant");
    let (before, meanwhile) = (noise(5, 5 * MIB + 1), noise(6, 12 * MIB + 9));
    let file = create(&acme, "before.bin", &before).await;
    let id = acme
        .client
        .upload_begin("acme", meanwhile.len() as u64, "filename YS5iaW4=")
        .await
        .expect("begun")
        .body;
    let first = stream::iter([Ok(meanwhile.slice(..2 * MIB + 3))]);
    acme.client.upload_send("acme", id, 0, first).await.expect("a part");
    let operator = tenant::client(&cluster.addresses(), cluster.operator_token()).expect("a client");
    let cell = operator.tenant_show("acme").await.expect("the tenant").body.cell;
    let to = TenantMove {
        dedicated: true,
        ..TenantMove::default()
    };
    let begun = operator.tenant_move("acme", &to, None).await.expect("a move").body;
    let sent = send(&acme.client, "acme", id, &meanwhile).await;
    until("the end of the move", async || {
        let now = operator.operation(begun.id).await.ok()?.body;
        assert_ne!(now.status, "failed", "{now:?}");
        (now.status == "done").then_some(())
    })
    .await;
    assert_ne!(operator.tenant_show("acme").await.expect("the tenant").body.cell, cell);
    assert_everywhere(&cluster, &acme, file.id, &before).await;
    assert_everywhere(&cluster, &acme, sent, &meanwhile).await;
    let after = create(&acme, "after.bin", &noise(7, MIB)).await;
    assert_everywhere(&cluster, &acme, after.id, &noise(7, MIB)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_archive_carries_files_into_another_tenant() {
    let cluster = up();
    let acme = tenant::create(&cluster, "acme", Some("workspace")).await.expect("a tenant");
    let (one, two) = (noise(8, 2 * MIB + 9), noise(9, 77));
    let file = create(&acme, "a.bin", &one).await;
    acme.client
        .file_put("acme", file.id, None, None, two.clone())
        .await
        .expect("a version");
    let mut stream = until("an archive", async || acme.client.archive("acme").await.ok()).await;
    let mut archive = Vec::new();
    while let Some(piece) = stream.next().await.expect("a piece") {
        archive.extend_from_slice(&piece);
    }
    let operator = tenant::client(&cluster.addresses(), cluster.operator_token()).expect("a client");
    let new = FromArchive {
        region: cluster.layout().regions()[0].to_owned(),
        ..FromArchive::default()
    };
    let source = stream::iter([Ok(Bytes::from(archive))]);
    operator.tenant_from_archive("beta", &new, source).await.expect("a tenant");
    for node in clients(&cluster, &acme) {
        let found = read(&node, "beta", file.id, Some(1)).await.expect("the first version");
        assert!(found == one);
        assert!(read(&node, "beta", file.id, None).await.expect("the content") == two);
    }
}
