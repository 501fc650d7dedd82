//! Filtered lists: whatever index serves one, it holds what reading every record would find.

use std::sync::Arc;

use api::body::record::ListQuery;
use api::error::Code;
use rig::random::Random;

use super::*;
use crate::expr::{Expression, Facts, Scope};
use crate::records::query::list;
use crate::records::schema::Collection;

/// Records of the property test.
const RECORDS: u128 = 120;

fn query(filter: &str, order: Option<&str>) -> ListQuery {
    ListQuery {
        limit: 50,
        filter: (!filter.is_empty()).then(|| filter.to_owned()),
        order: order.map(str::to_owned),
        ..ListQuery::default()
    }
}

fn collection(stage: &Stage) -> Arc<Collection> {
    Arc::clone(stage.catalog().named("tasks").expect("tasks"))
}

/// The numbers of all records of a list, page by page.
fn numbers(stage: &Stage, query: &ListQuery) -> Result<Vec<u128>, Error> {
    let (collection, snapshot) = (collection(stage), stage.snapshot());
    let (mut all, mut query) = (Vec::new(), query.clone());
    loop {
        let page = list(&snapshot, SPACE, &collection, &query, Sight::default(), &Expand::default())?;
        all.extend(page.items.iter().map(|record| record.id.0.as_u128()));
        if page.next_cursor.is_none() {
            return Ok(all);
        }
        query.cursor = page.next_cursor;
    }
}

fn some_tasks() -> Stage {
    let mut stage = Stage::with_template("workspace");
    for number in 1..=12u128 {
        let status = ["todo", "done", "in_progress"][number as usize % 3];
        let mut fields = json!({ "title": format!("t{number}"), "status": status, "labels": [format!("l{}", number % 4)] });
        if number % 2 == 0 {
            fields["points"] = json!(number);
        }
        run(&mut stage, &[create("tasks", number, fields)]).result.expect("stored");
    }
    stage
}

#[test]
fn a_filter_keeps_what_it_is_true_of() {
    let stage = some_tasks();
    for (filter, order, expected) in [
        ("points >= 6", None, vec![6, 8, 10, 12]),
        (r#"status == "todo""#, None, vec![3, 6, 9, 12]),
        (r#"status == "todo" && points > 3"#, Some("-created_at"), vec![12, 6]),
        (
            r#"status in ["todo", "done"] && points == null"#,
            Some("created_at"),
            vec![1, 3, 7, 9],
        ),
        (
            r#"status in ["todo", "done"] && points == null"#,
            Some("status,created_at"),
            vec![1, 7, 3, 9],
        ),
        (r#""l1" in labels || title.endsWith("2")"#, None, vec![1, 2, 5, 9, 12]),
        (
            r#"created_at > "1970-01-01T00:00:00Z" && points < 4"#,
            Some("created_at"),
            vec![2],
        ),
        ("points > 100", None, vec![]),
    ] {
        assert_eq!(
            numbers(&stage, &query(filter, order)).expect(filter),
            expected,
            "{filter} {order:?}"
        );
    }
}

#[test]
fn equalities_filter_and_order_go_together() {
    let stage = some_tasks();
    let both = ListQuery {
        equals: vec![
            ("status".to_owned(), "todo".to_owned()),
            ("points".to_owned(), "6".to_owned()),
        ],
        ..query(r#"title == "t6""#, Some("-created_at"))
    };
    assert_eq!(numbers(&stage, &both).expect("a page"), [6]);
    let page = list(
        &stage.snapshot(),
        SPACE,
        &collection(&stage),
        &ListQuery {
            count: true,
            limit: 2,
            ..query("points > 2", None)
        },
        Sight::default(),
        &Expand::default(),
    );
    let page = page.expect("a page");
    assert_eq!((page.count, page.items.len()), (Some(5), 2));
}

#[test]
fn a_wrong_filter_is_refused() {
    let stage = some_tasks();
    for (filter, order, code, said) in [
        ("points >", None, Code::InvalidParameter, "filter: line 1"),
        (r#"status == "open""#, None, Code::InvalidParameter, "none of the options"),
    ] {
        let error = numbers(&stage, &query(filter, order)).expect_err(filter);
        assert_eq!(error.code, code, "{filter}: {error}");
        assert!(error.detail.contains(said), "{filter}: {error}");
    }
}

#[test]
fn a_filter_that_reads_too_much_is_refused_with_the_index_that_would_help() {
    let mut stage = Stage::with_template("workspace");
    for first in (0..20_100u128).step_by(300) {
        let batch: Vec<_> = (first..first + 300)
            .map(|number| create("tasks", number + 1, json!({ "title": "x", "points": 1 })))
            .collect();
        run(&mut stage, &batch).result.expect("stored");
    }
    let error = numbers(&stage, &query("points > 5 && title.startsWith('x')", None)).expect_err("too broad");
    assert_eq!(error.code, Code::FilterTooBroad);
    assert!(error.detail.contains("[points] would help"), "{error}");
    let error = numbers(&stage, &query("size(title) > 5", None)).expect_err("too broad");
    assert!(error.detail.contains("ask for less"), "{error}");
    // What is found at once costs nothing.
    let mut first = query("points > 0", None);
    first.limit = 10;
    let page = list(
        &stage.snapshot(),
        SPACE,
        &collection(&stage),
        &first,
        Sight::default(),
        &Expand::default(),
    )
    .expect("a page");
    assert_eq!(page.items.len(), 10);
}

#[test]
fn a_unique_value_names_its_record() {
    let mut stage = Stage::with_template("workspace");
    let people = json!({ "fields": { "email": { "type": "text", "unique": true }, "team": { "type": "text" }, "seat": { "type": "integer" } },
        "indexes": { "seats": { "fields": ["team", "seat"], "unique": true }, "by_created": { "fields": ["created_at"] } } });
    super::schemas::put(&mut stage, "people", &super::schemas::schema(people));
    for number in 1..=9u128 {
        let email = if number == 9 {
            Json::Null
        } else {
            json!(format!("p{number}@x"))
        };
        let fields = json!({ "email": email, "team": if number < 5 { "a" } else { "b" }, "seat": number });
        run(&mut stage, &[create("people", number, fields)]).result.expect("stored");
    }
    let catalog = stage.catalog();
    let people = catalog.named("people").expect("people").clone();
    let found = |filter: &str, order: Option<&str>| {
        let page = list(
            &stage.snapshot(),
            SPACE,
            &people,
            &query(filter, order),
            Sight::default(),
            &Expand::default(),
        );
        page.map(|page| page.items.iter().map(|one| one.id.0.as_u128()).collect::<Vec<_>>())
    };
    for (filter, order, expected) in [
        (r#"email == "p3@x""#, None, vec![3]),
        (r#"email == "p3@x""#, Some("-created_at"), vec![3]),
        (r#"email == "p3@x" && seat > 3"#, None, vec![]),
        (r#"email == "nobody""#, None, vec![]),
        (r#"email in ["p7@x", "p2@x", "nobody"]"#, None, vec![2, 7]),
        (r#"email in ["p7@x", "p2@x"]"#, Some("-created_at"), vec![7, 2]),
        (r#"team == "b" && seat in [5, 6, 1]"#, None, vec![5, 6]),
        ("email == null", None, vec![9]),
        (r#"email in ["p1@x", null]"#, None, vec![1, 9]),
    ] {
        assert_eq!(found(filter, order).expect(filter), expected, "{filter} {order:?}");
    }
    // The order does not matter to one record, whatever it is.
    assert_eq!(found(r#"email == "p3@x""#, Some("team")).expect("one record"), [3]);
    assert_eq!(found("seat > 3", Some("team,-seat")).expect("sorted"), [4, 9, 8, 7, 6, 5]);
}

/// Draws conditions and records.
struct Draw(Random);

impl Draw {
    fn below(&mut self, bound: u64) -> u64 {
        self.0.below(bound)
    }

    fn one<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[self.below(of.len() as u64) as usize]
    }

    /// A condition on a field.
    fn condition(&mut self) -> String {
        let (points, comparison) = (self.below(8), self.one(&["==", "!=", "<", "<=", ">", ">="]));
        let status = self.one(&["todo", "done", "cancelled"]);
        match self.below(12) {
            0 => format!("points {comparison} {points}"),
            1 => format!("{points} {comparison} points"),
            2 => format!("points in [{points}, null, {}]", self.below(8)),
            3 => format!("status {comparison} \"{status}\""),
            4 => format!("status in [\"{status}\", \"todo\"]"),
            5 => "points == null".to_owned(),
            6 => format!("assignee.startsWith(\"{}\")", self.one(&["a", "an", "b", ""])),
            7 => format!("assignee {comparison} \"{}\"", self.one(&["a", "ann", "bob"])),
            8 => format!("\"l{}\" in labels", self.below(4)),
            9 => format!("due_on {comparison} \"2026-01-0{}\"", 1 + self.below(5)),
            10 => format!("!({})", self.condition()),
            _ => format!(
                "created_at {comparison} timestamp(\"1970-01-01T00:00:00.0000{}0Z\")",
                1 + self.below(8)
            ),
        }
    }

    fn filter(&mut self) -> String {
        let conditions: Vec<_> = (0..1 + self.below(4)).map(|_| self.condition()).collect();
        match self.below(4) {
            0 => conditions.join(" || "),
            _ => conditions.join(" && "),
        }
    }

    fn record(&mut self, number: u128) -> BatchOperation {
        let mut fields = json!({
            "title": format!("t{number}"),
            "status": self.one(&["todo", "done", "in_progress", "cancelled"]),
            "labels": [format!("l{}", self.below(4)), format!("m{}", self.below(4))],
        });
        if self.below(4) > 0 {
            fields["points"] = json!(self.below(8));
        }
        if self.below(3) > 0 {
            fields["assignee"] = json!(self.one(&["a", "ann", "anna", "b", "bob"]));
        }
        if self.below(3) > 0 {
            fields["due_on"] = json!(format!("2026-01-0{}", 1 + self.below(5)));
        }
        create("tasks", number, fields)
    }
}

#[test]
fn every_list_is_what_reading_every_record_finds() {
    let mut random = Draw(Random::new(7));
    let mut stage = Stage::with_template("workspace");
    for number in 1..=RECORDS {
        let record = random.record(number);
        run(&mut stage, &[record]).result.expect("stored");
    }
    let collection = collection(&stage);
    let all: Vec<_> = (1..=RECORDS)
        .map(|number| (number, read(&stage, "tasks", number).expect("a record")))
        .collect();
    let mut served = 0;
    for _ in 0..600 {
        let (filter, order) = (
            random.filter(),
            random.one(&[
                "",
                "created_at",
                "-created_at",
                "status,created_at",
                "-assignee,created_at",
                "project,number",
            ]),
        );
        let expression =
            Expression::compile(&filter, Scope::Filter(&collection)).unwrap_or_else(|error| panic!("{filter}: {error}"));
        let kept = |(number, record): &(u128, Record)| {
            let facts = Facts {
                record: Some((id(*number), record)),
                ..Facts::default()
            };
            expression.holds(&facts).then_some(*number)
        };
        let expected: Vec<u128> = all.iter().filter_map(kept).collect();
        let mut wanted = query(&filter, (!order.is_empty()).then_some(order));
        wanted.limit = 1 + random.below(40) as usize;
        let found = match numbers(&stage, &wanted) {
            Ok(found) => found,
            Err(error) => {
                assert!(
                    error.code == Code::FilterTooBroad || order.starts_with('-'),
                    "{filter} {order}: {error}"
                );
                continue;
            }
        };
        served += 1;
        let mut sorted = found.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, expected, "{filter} by {order}");
        if order == "created_at" {
            assert_eq!(found, expected, "{filter} by {order}");
        }
        if order == "-created_at" {
            assert!(found.iter().rev().eq(expected.iter()), "{filter} by {order}");
        }
    }
    assert!(served > 300, "{served}");
}
