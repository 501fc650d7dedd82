//! The OpenAPI document.

use std::collections::BTreeSet;

use serde_json::Value;

/// Set to anything, it makes the test below write the document instead of comparing it.
const REWRITE: &str = "CLOUDNEST_REWRITE_OPENAPI";

#[test]
fn the_checked_in_document_is_the_one_that_the_code_describes() {
    let described = api::openapi::document();
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/openapi.json");
    if std::env::var_os(REWRITE).is_some() {
        let text = serde_json::to_string_pretty(&described).expect("JSON");
        std::fs::write(path, text + "\n").expect("written");
        return;
    }
    let checked_in: Value = serde_json::from_str(api::openapi::DOCUMENT).expect("JSON");
    assert!(
        described == checked_in,
        "api/openapi.json is not what the code describes; look at the change, then run\n    {REWRITE}=1 cargo test -p \
         cloudnest-api --test http document"
    );
}

#[test]
fn every_reference_of_the_document_leads_somewhere() {
    let document = api::openapi::document();
    let mut wanted = BTreeSet::new();
    collect(&document, &mut wanted);
    assert!(wanted.len() > 30, "{wanted:?}");
    for reference in wanted {
        let pointer = reference.strip_prefix('#').expect("a local reference");
        assert!(document.pointer(pointer).is_some(), "{reference} leads nowhere");
    }
}

fn collect(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(members) => {
            if let Some(Value::String(reference)) = members.get("$ref") {
                found.insert(reference.clone());
            }
            members.values().for_each(|member| collect(member, found));
        }
        Value::Array(items) => items.iter().for_each(|item| collect(item, found)),
        _ => {}
    }
}

#[test]
fn operations_have_names_of_their_own_and_say_what_they_answer() {
    let document = api::openapi::document();
    let mut names = BTreeSet::new();
    for (path, methods) in document["paths"].as_object().expect("paths") {
        for (method, operation) in methods.as_object().expect("methods") {
            assert!(names.insert(operation["operationId"].to_string()), "{method} {path}");
            let replies = operation["responses"].as_object().expect("replies");
            let is_good = |status: &String| status.starts_with('2') || status == "101";
            assert!(replies.keys().any(is_good), "{method} {path}");
            assert!(replies.contains_key("500"), "{method} {path}");
        }
    }
    assert_eq!(names.len(), 78);
}
