//! Nobody sees anything of another tenant.
//!
//! How it works: every value that the workload writes starts with its tenant's tag, and no tag is a part of another. The
//! harness looked for foreign tags in every body as it came; here its findings count, and every text in every record that
//! was read back, however deep and keys of objects included, is looked through once more. And the workload tries its key on another
//! tenant, on every node: none may accept it.
//!
//! CAVEATS: log files, metrics and backups are not looked through here.

use std::time::Duration;

use serde_json::Value;

use super::Invariant;
use super::support::{Findings, View, views, when};
use crate::ending::Ending;
use crate::history::{Action, History, Tenant};
use crate::verdict::Verdict;

/// The promise.
pub struct Isolation;

impl Invariant for Isolation {
    fn name(&self) -> &'static str {
        "isolation"
    }

    fn check(&self, history: &History, ending: &Ending, _: Duration) -> Verdict {
        let views = match views(history, ending) {
            Ok(views) => views,
            Err(verdict) => return verdict,
        };
        let mut findings = Findings::default();
        for body in &history.foreign_tags {
            findings.add(format!("a reply holds another tenant's tag: {body}"));
        }
        for view in views {
            for tag in &view.ending.foreign_tags {
                findings.add(format!("{}: the export holds the tag {tag}", view.tenant.slug));
            }
            records(view, &history.tenants, &mut findings);
            trespasses(view, &mut findings);
        }
        findings.verdict()
    }

    /// A text in a record becomes another tenant's.
    fn damage(&self, history: &History, ending: &Ending) -> Option<(History, Ending)> {
        let mut ending = ending.clone();
        for (index, tenant) in ending.tenants.iter_mut().enumerate() {
            let others = history.tenants.iter().enumerate();
            let other = others
                .filter(|(other, _)| *other != index)
                .map(|(_, other)| other)
                .find(|other| !other.tag.is_empty())?;
            let records = tenant.records.values_mut().flat_map(|records| records.values_mut());
            let text = records
                .flat_map(|record| record.fields.values_mut())
                .find(|value| value.is_string());
            if let Some(text) = text {
                *text = Value::String(format!("{}leak", other.tag));
                return Some((history.clone(), ending));
            }
        }
        None
    }
}

fn trespasses(view: View<'_>, findings: &mut Findings) {
    for operation in view.operations() {
        if let Action::Trespass { there, accepted, .. } = &operation.action {
            let (slug, told) = (&view.tenant.slug, when(operation));
            for node in accepted {
                findings.add(format!("node {node} accepted a key of {slug} for {there} ({told})"));
            }
        }
    }
}

fn records(view: View<'_>, tenants: &[Tenant], findings: &mut Findings) {
    let foreign: Vec<&Tenant> = tenants
        .iter()
        .enumerate()
        .filter(|(index, tenant)| *index != view.index && !tenant.tag.is_empty())
        .map(|(_, tenant)| tenant)
        .collect();
    for (collection, records) in &view.ending.records {
        for (id, record) in records {
            let mut texts = Vec::new();
            for value in record.fields.values() {
                gather(value, &mut texts);
            }
            let leaks = texts.iter().flat_map(|text| {
                let owners = foreign.iter().filter(|tenant| text.contains(&tenant.tag));
                owners.map(move |owner| (text, &owner.slug))
            });
            for (text, owner) in leaks {
                findings.add(format!(
                    "{}: {id} in {collection} holds {text:?} of {owner}",
                    view.tenant.slug
                ));
            }
        }
    }
}

/// Every text of a value.
fn gather<'a>(value: &'a Value, texts: &mut Vec<&'a str>) {
    match value {
        Value::String(text) => texts.push(text),
        Value::Array(values) => values.iter().for_each(|value| gather(value, texts)),
        Value::Object(fields) => {
            for (name, value) in fields {
                texts.push(name);
                gather(value, texts);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::invariants::stories::{Story, trespass};

    const CHECKER: Isolation = Isolation;

    fn story() -> Story {
        let mut story = Story::new();
        story.holds(
            "registers",
            "r",
            json!({ "value": "acme-v1", "more": { "deep": ["acme-v2", 3, null] } }),
        );
        story
    }

    #[test]
    fn what_is_ones_own_is_green() {
        story().assert_damage_is_found(&CHECKER);
        Story::new().assert_no_damage(&CHECKER);
    }

    #[test]
    fn a_foreign_text_however_deep_is_found() {
        for fields in [
            json!({ "value": "acme-v1 zeta-v1" }),
            json!({ "more": { "deep": ["zeta-v1"] } }),
            json!({ "more": { "zeta-v1": 3 } }),
        ] {
            let mut story = story();
            story.holds("registers", "q", fields);
            story.assert_finds(&CHECKER, &["acme: q in registers", "of zeta"]);
        }
    }

    #[test]
    fn a_key_that_is_accepted_elsewhere_is_found() {
        let mut refused = story();
        refused.ok(0, 10, trespass("zeta", &[], 3));
        refused.assert_green(&CHECKER);
        let mut accepted = story();
        accepted.ok(0, 10, trespass("zeta", &[1], 2));
        accepted.assert_finds(&CHECKER, &["node 1 accepted a key of acme for zeta"]);
    }

    #[test]
    fn what_the_harness_saw_counts() {
        let mut reply = story();
        reply.history.foreign_tags.push("GET r: zeta-".to_owned());
        reply.assert_finds(&CHECKER, &["a reply", "GET r: zeta-"]);
        let mut export = story();
        export.ending.tenants[1].foreign_tags.push("acme-".to_owned());
        export.assert_finds(&CHECKER, &["zeta: the export", "acme-"]);
    }
}
