//! What a stranger may put where a value belongs. Used against the front alone, and against a whole node.

use api::client::Call;

/// A value as it stands in JSON, which it may or may not be.
pub(crate) fn values() -> Vec<Vec<u8>> {
    let mut values: Vec<Vec<u8>> = TEXTS.iter().map(|text| [b"\"", *text, b"\""].concat()).collect();
    values.extend(OTHERS.iter().map(|value| value.as_bytes().to_vec()));
    values.push(format!("\"{}\"", "x".repeat(300_000)).into());
    values.push(format!("\"{}\"", "\u{1f600}".repeat(10_000)).into());
    values.push(format!("1{}", "0".repeat(40)).into());
    values.push(format!("0.{}1", "0".repeat(10_000)).into());
    values.push(format!("{}1{}", "[".repeat(50), "]".repeat(50)).into());
    values
}

/// The inside of a JSON text.
pub(crate) const TEXTS: [&[u8]; 30] = [
    b"",
    b" ",
    b"\\u0000",
    b"a\\u0000b",
    b"\\ud800",
    b"\\udc00\\ud800",
    b"\\ud83d\\ude00",
    b"\\uffff\\ufffe",
    b"\\ufeffx",
    b"\xef\xbb\xbfx",
    // Two ways to write the same letter.
    b"\xc3\xa9",
    b"e\xcc\x81",
    // From right to left, and letters without width.
    b"\xe2\x80\xaetxt.exe",
    b"a\xe2\x80\x8bb",
    b"\xf0\x9f\x91\xa8\xe2\x80\x8d\xf0\x9f\x91\xa9",
    // Not UTF-8: overlong, a surrogate, beyond the last letter, cut off, and bytes that are never there.
    b"\xc0\xaf",
    b"\xe0\x80\xaf",
    b"\xed\xa0\x80",
    b"\xf4\x90\x80\x80",
    b"\xe2\x82",
    b"\xff\xfe",
    // Control characters, as they are and written out.
    b"\x01",
    b"a\nb",
    b"\\u001b[2J",
    b"\\r\\nset-cookie: a=b",
    b"../../etc/passwd",
    b"' OR '1'='1",
    b"${7*7}{{7*7}}",
    b"%00%2e%2e%2f",
    b"\\x41",
];

const OTHERS: [&str; 28] = [
    "null",
    "true",
    "0",
    "-0",
    "-0.0",
    "1e400",
    "-1e400",
    "1e-400",
    "1E+2",
    "0.1",
    "9007199254740993",
    "9223372036854775807",
    "9223372036854775808",
    "18446744073709551616",
    "-9223372036854775809",
    "01",
    "+1",
    ".5",
    "1.",
    "NaN",
    "Infinity",
    "0x10",
    "1_000",
    "'x'",
    "{}",
    "[]",
    "[null,[],{}]",
    "{\"a\":1,\"a\":2}",
];

/// Calls whose body has a value at `@`.
const PLACES: [(&str, &str, &str); 25] = [
    ("POST", "records/tasks", "@"),
    ("POST", "records/tasks", "{\"fields\":@}"),
    ("POST", "records/tasks", "{@:1}"),
    ("POST", "records/tasks", "{\"id\":@,\"fields\":{\"title\":\"x\"}}"),
    ("POST", "records/tasks", "{\"fields\":{\"title\":@}}"),
    ("POST", "records/tasks", "{\"fields\":{\"title\":\"x\",@:1}}"),
    ("POST", "records/tasks", "{\"fields\":{\"title\":\"x\",\"points\":@}}"),
    ("POST", "records/tasks", "{\"fields\":{\"title\":\"x\",\"labels\":[@]}}"),
    ("POST", "records/tasks", "{\"fields\":{\"title\":\"x\",\"due_on\":@}}"),
    ("POST", "records/tasks", "{\"fields\":{\"title\":\"x\",\"project\":@}}"),
    ("POST", "records/tasks", "{\"fields\":{\"title\":\"x\",\"status\":@}}"),
    (
        "PATCH",
        "records/tasks/0198c0de-0000-7000-8000-000000000001",
        "{\"fields\":{\"title\":@}}",
    ),
    (
        "PUT",
        "records/tasks/0198c0de-0000-7000-8000-000000000002",
        "{\"fields\":{\"title\":@}}",
    ),
    ("POST", "tokens", "{\"name\":@,\"role\":\"guest\"}"),
    ("POST", "tokens", "{\"name\":\"x\",\"role\":@}"),
    ("POST", "tokens", "{\"name\":\"x\",\"role\":\"guest\",\"scopes\":[@]}"),
    ("POST", "tokens", "{\"name\":\"x\",\"role\":\"guest\",\"expires_at\":@}"),
    ("PUT", "collections/odd", "{\"fields\":{@:{\"type\":\"text\"}}}"),
    ("PUT", "collections/odd", "{\"fields\":{\"a\":{\"type\":@}}}"),
    (
        "PUT",
        "collections/odd",
        "{\"fields\":{\"a\":{\"type\":\"text\",\"default\":@}}}",
    ),
    (
        "PUT",
        "collections/odd",
        "{\"fields\":{\"a\":{\"type\":\"text\"}},\"rules\":{\"read\":@}}",
    ),
    (
        "PUT",
        "collections/odd",
        "{\"fields\":{\"a\":{\"type\":\"number\",\"min\":@}}}",
    ),
    (
        "POST",
        "batch",
        "{\"operations\":[{\"op\":@,\"collection\":\"tasks\",\"fields\":{}}]}",
    ),
    (
        "POST",
        "batch",
        "{\"operations\":[{\"op\":\"create\",\"collection\":@,\"fields\":{}}]}",
    ),
    ("POST", "records/tasks/import", "{\"title\":@}\n{\"title\":\"next\"}\n"),
];

/// Every value at every place of a tenant's calls.
pub(crate) fn bodies(tenant: &str) -> Vec<Call> {
    let mut calls = Vec::new();
    for (method, path, template) in PLACES {
        let media_type = if path.ends_with("import") {
            "application/x-ndjson"
        } else {
            "application/json"
        };
        let (before, after) = template.split_once('@').expect("a place");
        for value in values() {
            let body = [before.as_bytes(), &value, after.as_bytes()].concat();
            calls.push(call(tenant, method, path).body(media_type, body));
        }
    }
    calls
}

/// Every text in every parameter of a list, and in headers.
pub(crate) fn parameters(tenant: &str) -> Vec<Call> {
    let mut calls = Vec::new();
    for text in TEXTS {
        let encoded: String = text.iter().map(|byte| format!("%{byte:02x}")).collect();
        for name in [
            "filter",
            "order",
            "cursor",
            "fields",
            "expand",
            "limit",
            "count",
            "consistency",
            "x",
        ] {
            calls.push(call(tenant, "GET", &format!("records/tasks?{name}={encoded}")));
        }
        calls.push(call(tenant, "GET", &format!("records/{encoded}")));
        calls.push(call(tenant, "GET", &format!("records/tasks/{encoded}")));
        calls.push(call(tenant, "GET", &format!("events?after={encoded}&follow=false")));
    }
    let values = [
        "",
        "*",
        "\"",
        "\"1",
        "W/\"1\"",
        "\"99999999999999999999\"",
        "\"1\", \"2\"",
        "-1",
        "0x1",
        "\u{e9}",
        "a\tb",
    ];
    let long = "x".repeat(5_000);
    for value in values.into_iter().chain([long.as_str()]) {
        for name in [
            "if-none-match",
            "accept",
            "accept-encoding",
            "traceparent",
            "x-request-id",
            "range",
        ] {
            calls.push(call(tenant, "GET", "records/tasks").header(name, value));
        }
        for name in ["if-match", "idempotency-key", "content-encoding", "content-type", "import-id"] {
            let body = call(tenant, "POST", "records/tasks").body("application/json", "{\"fields\":{\"title\":\"x\"}}");
            calls.push(body.header(name, value));
        }
        calls.push(call(tenant, "GET", "events?follow=false").header("last-event-id", value));
    }
    calls
}

/// Bodies that are large in ways that small ones are not.
pub(crate) fn giants(tenant: &str) -> Vec<Call> {
    let many: String = (0..10_000).map(|number| format!("\"field_{number}\":{number},")).collect();
    let bodies = [
        "[".repeat(10_000_000),
        "{\"a\":".repeat(2_000_000),
        "[".repeat(500_000),
        format!("{{\"fields\":{{\"title\":{}1{}}}}}", "[".repeat(100_000), "]".repeat(100_000)),
        format!("{{\"fields\":{}1{}}}", "{\"a\":".repeat(100_000), "}".repeat(100_000)),
        format!("{{\"fields\":{{{many}\"title\":\"x\"}}}}"),
        format!("{{{many}\"fields\":{{\"title\":\"x\"}}}}"),
        format!("{{\"fields\":{{\"title\":\"x\",\"points\":{}}}}}", "9".repeat(900_000)),
        format!("{{\"fields\":{{\"title\":\"{}\"}}}}", "\\u0041".repeat(150_000)),
        format!(
            "{{\"fields\":{{\"title\":\"x\",\"labels\":[{}\"x\"]}}}}",
            "\"x\",".repeat(100_000)
        ),
        " ".repeat(1_000_000),
        format!("{{\"fields\":{{\"title\":\"x\"}}}}{}", " ".repeat(1_000_000)),
    ];
    let mut calls: Vec<Call> = Vec::new();
    for body in bodies {
        calls.push(call(tenant, "POST", "records/tasks").body("application/json", body));
    }
    let operations = "{\"op\":\"check\",\"collection\":\"tasks\",\"id\":\"0198c0de-0000-7000-8000-00000000000f\"},".repeat(1_001);
    let batch = format!("{{\"operations\":[{}]}}", operations.trim_end_matches(','));
    calls.push(call(tenant, "POST", "batch").body("application/json", batch));
    calls
}

fn call(tenant: &str, method: &str, path: &str) -> Call {
    Call::new(method.parse().expect("a method"), format!("/v1/tenants/{tenant}/{path}"))
}
