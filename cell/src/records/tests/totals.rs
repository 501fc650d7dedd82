//! Totals: whatever happens to records, what is counted of them is what a walk finds.

use rig::random::Random;

use super::schemas::{put as define, schema};
use super::*;
use crate::documents::settle::{DocumentSettle, Merged};
use crate::documents::update::DocumentUpdate;
use crate::records::collection_define::CollectionDefine;
use crate::records::collection_put::CollectionPut;
use crate::records::count::{RecordsCount, walked};
use crate::records::evolve::change::CollectionChange;
use crate::records::evolve::drop::CollectionDrop;
use crate::records::evolve::step::OperationStep;
use crate::records::evolve::work::{self, Phase};
use crate::records::import_lines::ImportLines;
use crate::records::line::{Line, Reading};
use crate::records::restore::restore;
use crate::records::schema_check::check;
use crate::records::totals::{self, Totals, TotalsRow};
use crate::records::trim::SpaceTrim;
use crate::space::open::SpaceOpen;

/// What is counted; none: it is not known.
fn counted(stage: &Stage) -> Option<Totals> {
    totals::read(&stage.snapshot(), SPACE).expect("no fault")
}

/// What is there.
fn found(stage: &Stage) -> Totals {
    walked(&stage.snapshot(), SPACE).expect("a walk").totals()
}

/// A collection with a document, whose schema changes.
fn pages(wide: bool) -> Json {
    let mut fields = json!({ "title": {"type": "text"}, "body": {"type": "document"} });
    if wide {
        fields["size"] = json!({"type": "integer", "default": 7, "required": true});
    }
    json!({ "fields": fields })
}

/// One of many things that happen to records. What is refused has no effect.
fn happen(stage: &mut Stage, random: &mut Random, step: u64) {
    let number = u128::from(random.below(12)) + 1;
    let text = "x".repeat(usize::try_from(random.below(300)).expect("few") + 1);
    let operation = match random.below(14) {
        0..3 => task(number, &text),
        3 => create("tasks", number, json!({ "title": text, "parent": id(number % 5 + 1) })),
        4 => operation(BatchVerb::Patch, "tasks", number, json!({ "title": text })),
        5 => create("comments", number + 100, json!({ "task": id(number), "body": text })),
        6 => operation(BatchVerb::Delete, "tasks", number, Json::Null),
        7 => operation(BatchVerb::Delete, "comments", number + 100, Json::Null),
        8 => create("pages", number + 200, json!({ "title": text })),
        9 => return import(stage, random, step),
        10 => return write_document(stage, number + 200, text.as_bytes()),
        11 => return bring_back(stage, number, u64::from(random.below(3) == 0) + 1),
        12 => return evolve(stage, random, step),
        _ => {
            let before = stage.header().stamp.saturating_sub(random.below(200));
            let trim = SpaceTrim {
                events_before: before,
                history_before: before,
            };
            return stage.apply(trim).result.map(drop).expect("trimmed");
        }
    };
    let more = task(number + 1, "beside it");
    let all = if random.below(4) == 0 {
        vec![operation, more]
    } else {
        vec![operation]
    };
    if let Ok(command) = decide_all(stage, &all) {
        let schema = Some(stage.header().schema);
        let _ = stage.apply_as(command, None, schema).result;
    }
}

fn import(stage: &mut Stage, random: &mut Random, step: u64) {
    let catalog = stage.catalog();
    let tasks = catalog.named("tasks").expect("tasks");
    let reading = Reading {
        texts: false,
        upsert: false,
    };
    let lines = (1..=5).map(|number| {
        let own = id(u128::from(random.below(15)) + 1);
        let text = json!({ "title": format!("line {number}"), "id": own }).to_string();
        Line::read(tasks, number, text.as_bytes(), own, reading).expect("a line")
    });
    let lines: Vec<Line> = lines.collect();
    let mut import = [0; 32];
    import[..8].copy_from_slice(&step.to_be_bytes());
    let command = ImportLines {
        import,
        collection: tasks.number,
        upsert: None,
        after: 0,
        last: 5,
        lines,
        refused: 0,
    };
    stage.apply(command).result.expect("imported");
}

fn write_document(stage: &mut Stage, number: u128, bytes: &[u8]) {
    let catalog = stage.catalog();
    let Some(pages) = catalog.named("pages") else { return };
    let Some(record) = read(stage, "pages", number) else { return };
    let (collection, field) = (pages.number, pages.field("body").expect("a field").number);
    let id = id(number);
    let update = DocumentUpdate {
        collection,
        id,
        field,
        version: record.version,
        update: bytes.to_vec(),
    };
    let last = stage.apply(update).result.expect("stored");
    let merged = last.is_multiple_of(3).then(|| Merged {
        from: if last == 3 { 1 } else { last - 3 },
        to: last,
        update: bytes.to_vec(),
    });
    let settle = DocumentSettle {
        collection,
        id,
        field,
        text: format!("text {}", bytes.len()),
        merged,
    };
    stage.apply(settle).result.map(drop).expect("settled");
}

fn bring_back(stage: &mut Stage, number: u128, version: u64) {
    let (snapshot, catalog) = (stage.snapshot(), stage.catalog());
    let view = View {
        snapshot: &snapshot,
        catalog: &catalog,
        space: SPACE,
        asker: None,
    };
    if let Ok(command) = restore(&view, "tasks", id(number), version, None) {
        let schema = Some(stage.header().schema);
        let _ = stage.apply_as(command, None, schema).result;
    }
}

/// Takes what is under way one step further, or begins with something.
fn evolve(stage: &mut Stage, random: &mut Random, step: u64) {
    let under_way = work::list(&stage.snapshot(), SPACE).expect("no fault");
    if let Some(work) = under_way.iter().find(|work| work.phase != Phase::Ended) {
        let id = work.id;
        stage.apply(OperationStep { id }).result.map(drop).expect("a step");
        return;
    }
    let catalog = stage.catalog();
    let operation = id(u128::from(step) + 10_000);
    let schema_now = Some(stage.header().schema);
    match catalog.named("pages") {
        None => define(stage, "pages", &schema(pages(false))),
        Some(old) if random.below(3) == 0 => {
            let drop = CollectionDrop {
                number: old.number,
                if_match: None,
                operation,
            };
            stage.apply_as(drop, None, schema_now).result.expect("begun");
        }
        Some(old) => {
            let wanted = schema(pages(old.field("size").is_none()));
            let name = "pages".parse().expect("a name");
            let checked = check(&name, &wanted, Some(old), &catalog, old.number).expect("a good schema");
            let put = CollectionPut {
                collection: checked.collection,
                created: false,
                needs_empty: false,
            };
            let define = CollectionDefine {
                put,
                policy: checked.policy,
            };
            let change = CollectionChange {
                define,
                moved: checked.moved,
                operation,
            };
            let _ = stage.apply_as(change, None, schema_now).result;
        }
    }
}

#[test]
fn after_whatever_happens_the_totals_are_what_a_walk_finds() {
    let mut most = 0;
    for seed in 1..=8 {
        let (mut random, mut stage) = (Random::new(seed), Stage::with_template("workspace"));
        assert_eq!(counted(&stage), Some(Totals::default()));
        for step in 0..300 {
            happen(&mut stage, &mut random, step);
            let (counted, found) = (counted(&stage), found(&stage));
            assert_eq!(counted, Some(found), "seed {seed}, step {step}");
            most = most.max(found.records);
        }
    }
    assert!(most > 15, "little happened: {most} records at most");
}

#[test]
fn a_space_of_before_is_counted_while_it_is_written() {
    for seed in 1..=8 {
        let mut random = Random::new(seed);
        let mut stage = Stage::opened_with::<SpaceOpen>("workspace");
        let mut step = 0;
        let mut live = |stage: &mut Stage, random: &mut Random, steps| {
            (0..steps).for_each(|_| {
                step += 1;
                happen(stage, random, step);
            });
        };
        live(&mut stage, &mut random, 100);
        assert_eq!(totals::row(&stage.snapshot(), SPACE).expect("no fault"), None);
        // Whoever ends what nobody began changes nothing.
        let base = Default::default();
        stage.apply(RecordsCount::End { since: 1, base }).result.expect("passed over");
        assert_eq!(totals::row(&stage.snapshot(), SPACE).expect("no fault"), None);
        stage.apply(RecordsCount::Begin).result.expect("begun");
        live(&mut stage, &mut random, 40);
        // Begun again, it goes on.
        stage.apply(RecordsCount::Begin).result.expect("passed over");
        let snapshot = stage.snapshot();
        let row = totals::row(&snapshot, SPACE).expect("no fault");
        let Some(TotalsRow::Counting { since, grown }) = row else {
            panic!("it is not being counted: {row:?}")
        };
        live(&mut stage, &mut random, 40);
        assert_eq!(counted(&stage), None, "not yet");
        let base = walked(&snapshot, SPACE).expect("a walk").minus(grown);
        let end = RecordsCount::End { since, base };
        let other = RecordsCount::End { since: since + 1, base };
        stage.apply(other).result.expect("passed over");
        assert_eq!(counted(&stage), None, "of another beginning");
        stage.apply(end).result.expect("ended");
        assert_eq!(counted(&stage), Some(found(&stage)), "seed {seed}");
        stage.apply(end).result.expect("passed over");
        live(&mut stage, &mut random, 40);
        assert_eq!(counted(&stage), Some(found(&stage)), "seed {seed}");
    }
}
