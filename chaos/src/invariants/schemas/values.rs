//! Whether the records have what their writers gave them, under today's schema.

use std::collections::BTreeSet;

use serde_json::Value;

use super::super::lives::{Fields, Made, as_text, lives};
use super::super::names;
use super::super::support::{Findings, View, acknowledged, when};
use crate::ending::Record;

/// Looks at every record.
pub(super) fn judge(view: View<'_>, findings: &mut Findings) {
    let slug = &view.tenant.slug;
    let Some(left) = &view.ending.left else { return };
    let shape = Shape::of(left);
    let lives = lives(view, names::SHAPED);
    for (id, life) in &lives {
        let made = life.made();
        let held = view.record(names::SHAPED, id);
        let ends = endings(&made);
        if !ends.is_empty() && !ends.iter().any(|end| shape.fits(end.as_ref(), held)) {
            let end = ends[0].map_or_else(
                || "nothing".to_owned(),
                |made| format!("{:?} ({})", made.fields, when(made.operation)),
            );
            findings.add(format!("{slug}: {id} is {held:?}; it was left as {end}"));
        }
    }
    let mut there = BTreeSet::new();
    for (id, record) in view.records(names::SHAPED).filter(|(id, _)| !lives.contains_key(id)) {
        match ballast(view, record) {
            Some(number) => {
                there.insert(number);
                let fields = names::ballast(&view.tenant.tag, number);
                if !shape.has(record, &fields, false) || record.version != 1 {
                    findings.add(format!(
                        "{slug}: {id} is {record:?}; nobody has changed it since it was {fields:?}"
                    ));
                }
            }
            None => findings.add(format!("{slug}: {id} is {record:?}, and nobody made it")),
        }
    }
    // A run without the collection has none of it.
    if !lives.is_empty() {
        for number in (0..names::BALLAST).filter(|number| !there.contains(number)) {
            findings.add(format!("{slug}: number {number} of the first records is gone"));
        }
    }
}

/// The number of a record that is there from the beginning.
fn ballast(view: View<'_>, record: &Record) -> Option<u64> {
    let mark = record.fields.get(names::SHAPED_MARK)?.as_str()?;
    let number = mark.strip_prefix(&format!("{}-ballast-", view.tenant.tag))?.parse().ok()?;
    (number < names::BALLAST).then_some(number)
}

/// What a record may be at the end: as the last request left it, or the one before where nobody knows of the last. None: nothing.
fn endings<'a>(made: &[Made<'a>]) -> Vec<Option<Made<'a>>> {
    let state = |made: &Made<'a>| (!made.deleted).then_some(*made);
    let Some((last, before)) = made.split_last() else {
        return Vec::new();
    };
    if acknowledged(last.operation) {
        return vec![state(last)];
    }
    vec![before.last().and_then(state), state(last)]
}

/// What today's schema asks of a record.
struct Shape {
    is_integer: bool,
    is_level_required: bool,
}

impl Shape {
    fn of(schema: &Value) -> Self {
        let fields = &schema["fields"];
        Self {
            is_integer: fields[names::SHAPED_AMOUNT]["type"] == "integer",
            is_level_required: fields[names::SHAPED_LEVEL]["required"] == true,
        }
    }

    /// Whether a record is as it was left.
    fn fits(&self, left: Option<&Made<'_>>, held: Option<&Record>) -> bool {
        match (left, held) {
            (None, None) => true,
            (Some(made), Some(record)) => {
                // What was restored is not known where the version is one of which nobody knows.
                let has = made.fields.is_none_or(|fields| self.has(record, fields, made.restored));
                record.version == made.version && has
            }
            _ => false,
        }
    }

    /// Whether a record has these values. What was restored may lack what had been dropped by then.
    fn has(&self, record: &Record, fields: &Fields, restored: bool) -> bool {
        let same = |name: &str| record.fields.get(name) == fields.get(name);
        let amount = record.fields.get(names::SHAPED_AMOUNT);
        let wanted = fields.get(names::SHAPED_AMOUNT).map(as_text);
        let is_amount = match amount {
            Some(amount) => Some(as_text(amount)) == wanted && amount.is_string() != self.is_integer,
            None => restored || wanted.is_none(),
        };
        let is_level = !self.is_level_required || record.fields.contains_key(names::SHAPED_LEVEL);
        is_amount
            && is_level
            && [names::SHAPED_MARK, names::SHAPED_CODE, names::SHAPED_GROUP]
                .into_iter()
                .all(same)
    }
}
