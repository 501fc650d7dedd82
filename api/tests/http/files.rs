//! Files over HTTP: their bytes in and out, what a cache and a browser are told, links, and uploads that go on.

use api::body::file::{File, Upload};
use api::client::{Answer, Call, Client};
use api::problem::Problem;
use bytes::Bytes;
use http::Method;
use serde_json::{Value, json};

use crate::support::Running;

/// Makes a call below `acme/files`.
async fn call(client: &Client, method: Method, path: &str, headers: &[(&'static str, &str)], body: &[u8]) -> Answer<Bytes> {
    let mut call = Call::new(method, format!("/v1/tenants/acme/files{path}"));
    for (name, value) in headers {
        call = call.header(name, value);
    }
    call.body = Bytes::copy_from_slice(body);
    client.call(call).await.expect("an answer")
}

fn problem(answer: &Answer<Bytes>) -> (u16, String) {
    let problem: Problem = serde_json::from_slice(&answer.body).expect("a problem");
    (answer.status.as_u16(), problem.code)
}

fn header<'a>(answer: &'a Answer<Bytes>, name: &str) -> &'a str {
    answer.headers.get(name).map_or("", |value| value.to_str().expect("text"))
}

async fn create(client: &Client, query: &str, media_type: &str, body: &[u8]) -> File {
    let made = call(client, Method::POST, query, &[("content-type", media_type)], body).await;
    assert_eq!(made.status.as_u16(), 201, "{:?}", made.body);
    let file: File = serde_json::from_slice(&made.body).expect("a file");
    assert_eq!(header(&made, "location"), format!("/v1/tenants/acme/files/{}", file.id));
    file
}

#[tokio::test]
async fn a_content_comes_back_whole_in_parts_and_only_where_it_is_wanted() {
    let running = Running::start().await;
    let client = running.client("cnt_member");
    let bytes: Vec<u8> = (0..10_000_u32).map(|at| (at % 251) as u8).collect();
    let file = create(&client, "?name=%C3%BCbung.bin", "application/x-thing", &bytes).await;
    assert_eq!((file.name.as_str(), file.size), ("übung.bin", 10_000));
    let path = format!("/{}/content", file.id);
    let get = async |headers: &[(&'static str, &str)]| call(&client, Method::GET, &path, headers, b"").await;
    let tag = format!("\"{}\"", file.blake3);

    let whole = get(&[("accept-encoding", "gzip")]).await;
    assert_eq!((whole.status.as_u16(), &whole.body[..]), (200, &bytes[..]));
    for (name, value) in [
        ("content-length", "10000"),
        ("content-type", "application/x-thing"),
        ("etag", &tag),
        ("accept-ranges", "bytes"),
        (
            "content-disposition",
            "attachment; filename=\"_bung.bin\"; filename*=UTF-8''%C3%BCbung.bin",
        ),
        ("x-content-type-options", "nosniff"),
        ("repr-digest", "sha-256=:BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=:"),
        ("content-encoding", ""),
    ] {
        assert_eq!(header(&whole, name), value, "{name}");
    }
    assert!(header(&whole, "content-security-policy").starts_with("sandbox"));

    let part = get(&[("range", "bytes=100-199")]).await;
    assert_eq!((part.status.as_u16(), &part.body[..]), (206, &bytes[100..200]));
    assert_eq!(
        (header(&part, "content-range"), header(&part, "content-length")),
        ("bytes 100-199/10000", "100")
    );
    let end = get(&[("range", "bytes=-5"), ("if-range", &tag)]).await;
    assert_eq!((end.status.as_u16(), &end.body[..]), (206, &bytes[9_995..]));
    let other = get(&[("range", "bytes=-5"), ("if-range", "\"another\"")]).await;
    assert_eq!(
        (other.status.as_u16(), other.body.len()),
        (200, 10_000),
        "it has changed: all of it"
    );
    let beyond = get(&[("range", "bytes=10000-")]).await;
    assert_eq!(problem(&beyond), (416, "range_not_satisfiable".to_owned()));
    assert_eq!(header(&beyond, "content-range"), "bytes */10000");

    let known = get(&[("if-none-match", &format!("\"x\", W/{tag}"))]).await;
    assert_eq!((known.status.as_u16(), header(&known, "etag")), (304, tag.as_str()));
    let gone = get(&[("if-match", "\"another\"")]).await;
    assert_eq!(problem(&gone), (412, "version_mismatch".to_owned()));
    let head = call(&client, Method::HEAD, &path, &[("range", "bytes=0-9")], b"").await;
    assert_eq!(
        (head.status.as_u16(), header(&head, "content-length"), head.body.len()),
        (206, "10", 0)
    );
    let picture = create(&client, "?name=a.png", "image/png", b"png").await;
    let shown = call(
        &client,
        Method::GET,
        &format!("/{}/content?inline=true", picture.id),
        &[],
        b"",
    )
    .await;
    assert_eq!(header(&shown, "content-disposition"), "inline; filename=\"a.png\"");
}

#[tokio::test]
async fn files_are_changed_listed_and_deleted_and_wrong_requests_say_what_is_wrong() {
    let running = Running::start().await;
    let client = running.client("cnt_member");
    let record = "0198c0de-0000-7000-8000-000000000001";
    let attached = format!("?name=a.txt&collection=tasks&record={record}");
    let file = create(&client, &attached, "text/plain", b"one").await;
    let path = format!("/{}", file.id);
    assert_eq!(file.attached_to.expect("attached").record.to_string(), record);
    let tag = format!("\"{}\"", file.blake3);
    let put = call(
        &client,
        Method::PUT,
        &format!("{path}/content"),
        &[("if-match", &tag)],
        b"two",
    )
    .await;
    let second: File = serde_json::from_slice(&put.body).expect("a file");
    assert_eq!((put.status.as_u16(), second.size, header(&put, "etag")), (200, 3, "\"2\""));
    let stale = call(
        &client,
        Method::PUT,
        &format!("{path}/content"),
        &[("if-match", &tag)],
        b"three",
    )
    .await;
    assert_eq!(problem(&stale).0, 412);
    let patch = json!({ "name": "b.txt", "attached_to": null }).to_string();
    let json_type = [("content-type", "application/json")];
    let patched = call(&client, Method::PATCH, &path, &json_type, patch.as_bytes()).await;
    let patched: Value = serde_json::from_slice(&patched.body).expect("a file");
    assert_eq!((&patched["name"], &patched["attached_to"]), (&json!("b.txt"), &Value::Null));
    let list = call(&client, Method::GET, &format!("?collection=tasks&record={record}"), &[], b"").await;
    assert_eq!(list.body, Bytes::from_static(b"{\"items\":[],\"next_cursor\":null}"));
    let known = call(&client, Method::GET, &path, &[("if-none-match", "\"3\"")], b"").await;
    assert_eq!(known.status.as_u16(), 304);

    for (method, wrong, code) in [
        (Method::POST, "", 400),
        (Method::POST, "?name=a&record=1", 400),
        (Method::POST, "?name=a&x=1", 400),
        (Method::GET, "?collection=tasks", 400),
        (Method::GET, "/not-an-id", 400),
        (Method::DELETE, &format!("{path}/versions/0"), 400),
        (Method::POST, &format!("{path}/versions/9/restore"), 404),
        (Method::PUT, &path, 405),
    ] {
        assert_eq!(
            problem(&call(&client, method.clone(), wrong, &[], b"x").await).0,
            code,
            "{method} {wrong}"
        );
    }
    let guest = running.client("cnt_guest");
    assert_eq!(problem(&call(&guest, Method::DELETE, &path, &[], b"").await).0, 403);
    assert_eq!(call(&client, Method::DELETE, &path, &[], b"").await.status.as_u16(), 204);
    assert_eq!(problem(&call(&client, Method::GET, &path, &[], b"").await).0, 404);
}

#[tokio::test]
async fn an_upload_with_a_key_is_made_once_and_another_content_is_another_request() {
    let running = Running::start().await;
    let client = running.client("cnt_member");
    let keyed = async |query: &str, body: &'static [u8]| {
        let headers = [("idempotency-key", "k1"), ("content-type", "text/plain")];
        call(&client, Method::POST, query, &headers, body).await
    };
    let first = keyed("?name=a", b"one").await;
    assert_eq!(first.body, keyed("?name=a", b"one").await.body);
    assert_eq!(
        problem(&keyed("?name=b", b"one").await),
        (422, "idempotency_mismatch".to_owned())
    );
}

#[tokio::test]
async fn a_link_opens_its_file_and_nothing_else() {
    let running = Running::start().await;
    let client = running.client("cnt_member");
    let file = create(&client, "?name=a", "text/plain", b"one").await;
    let body = json!({ "expires_in": 60 }).to_string();
    let headers = [("content-type", "application/json")];
    let made = call(
        &client,
        Method::POST,
        &format!("/{}/links", file.id),
        &headers,
        body.as_bytes(),
    )
    .await;
    let link: Value = serde_json::from_slice(&made.body).expect("a link");
    let path = link["path"].as_str().expect("a path");
    let nobody = running.client("");
    let open = async |path: &str| nobody.call(Call::new(Method::GET, path)).await.expect("an answer");
    assert_eq!(open(path).await.body, Bytes::from_static(b"one"));
    assert_eq!(problem(&open(&path.replace("right", "wrong")).await).0, 403);
    let metadata = path.replace("/content", "");
    assert_eq!(problem(&open(&metadata).await).0, 401, "a link is to the content");
    for wrong in [json!({ "expires_in": 0 }), json!({ "expires_in": 99_999_999 }), json!({})] {
        let refused = call(
            &client,
            Method::POST,
            &format!("/{}/links", file.id),
            &headers,
            wrong.to_string().as_bytes(),
        )
        .await;
        assert_eq!(problem(&refused).0, 422, "{wrong}");
    }
}

#[tokio::test]
async fn an_upload_goes_on_as_tus_says() {
    let running = Running::start().await;
    let client = running.client("cnt_member");
    let version = ("tus-resumable", "1.0.0");
    let octets = ("content-type", "application/offset+octet-stream");
    let metadata = ("upload-metadata", "filename YS50eHQ=,filetype dGV4dC9wbGFpbg==");
    let options = call(&client, Method::OPTIONS, "/uploads", &[], b"").await;
    assert_eq!((options.status.as_u16(), header(&options, "tus-version")), (204, "1.0.0"));
    assert_eq!(header(&options, "tus-checksum-algorithm"), "sha1,sha256");

    let begun = call(
        &client,
        Method::POST,
        "/uploads",
        &[version, metadata, ("upload-length", "10")],
        b"",
    )
    .await;
    assert_eq!((begun.status.as_u16(), header(&begun, "upload-offset")), (201, "0"));
    assert_eq!(header(&begun, "tus-resumable"), "1.0.0");
    let path = header(&begun, "location")
        .strip_prefix("/v1/tenants/acme/files")
        .expect("a path")
        .to_owned();
    let write = async |headers: &[(&'static str, &str)], body: &[u8]| call(&client, Method::PATCH, &path, headers, body).await;
    let first = write(&[version, octets, ("upload-offset", "0")], b"hello").await;
    assert_eq!((first.status.as_u16(), header(&first, "upload-offset")), (204, "5"));
    let again = write(&[version, octets, ("upload-offset", "0")], b"hello").await;
    assert_eq!(problem(&again), (409, "offset_mismatch".to_owned()));
    assert_eq!(header(&again, "tus-resumable"), "1.0.0");
    let summed = ("upload-checksum", "sha1 AAAAAAAAAAAAAAAAAAAAAAAAAAA=");
    let wrong = write(&[version, octets, ("upload-offset", "5"), summed], b"world").await;
    assert_eq!(problem(&wrong), (460, "checksum_mismatch".to_owned()));
    let head = call(&client, Method::HEAD, &path, &[version], b"").await;
    let told = (
        head.status.as_u16(),
        header(&head, "upload-offset"),
        header(&head, "upload-length"),
    );
    assert_eq!(told, (200, "5", "10"));
    assert_eq!(
        (header(&head, "cache-control"), header(&head, "upload-metadata")),
        ("no-store", metadata.1)
    );
    let last = write(&[version, octets, ("upload-offset", "5")], b"world").await;
    assert_eq!((last.status.as_u16(), header(&last, "upload-offset")), (204, "10"));
    let done = call(&client, Method::GET, &path, &[], b"").await;
    let upload: Upload = serde_json::from_slice(&done.body).expect("an upload");
    let file = upload.file.expect("a file");
    let content = call(&client, Method::GET, &format!("/{file}/content"), &[], b"").await;
    assert_eq!(
        (&content.body[..], header(&content, "content-type")),
        (&b"helloworld"[..], "text/plain")
    );

    let at_once = [version, metadata, octets, ("upload-length", "3")];
    let at_once = call(&client, Method::POST, "/uploads", &at_once, b"abc").await;
    assert_eq!((at_once.status.as_u16(), header(&at_once, "upload-offset")), (201, "3"));
    let length = ("upload-length", "3");
    for (headers, code) in [
        (vec![metadata, length], 412),
        (vec![("tus-resumable", "0.2.2"), metadata, length], 412),
        (vec![version, metadata], 400),
        (vec![version, length], 400),
        (vec![version, metadata, ("upload-length", "4294967297")], 413),
    ] {
        let refused = call(&client, Method::POST, "/uploads", &headers, b"").await;
        assert_eq!(problem(&refused).0, code, "{headers:?}");
        assert_eq!(header(&refused, "tus-version"), if code == 412 { "1.0.0" } else { "" });
    }
    assert_eq!(problem(&write(&[version, ("upload-offset", "10")], b"x").await).0, 415);
    assert_eq!(problem(&write(&[version, octets], b"x").await).0, 400);
    assert_eq!(
        call(&client, Method::DELETE, &path, &[version], b"").await.status.as_u16(),
        204
    );
    assert_eq!(problem(&call(&client, Method::GET, &path, &[], b"").await).0, 404);
}
