use std::sync::Arc;
use std::time::Duration;

use api::body::record::ListQuery;
use api::error::Code;

use super::*;
use crate::records::budget::Budget;
use crate::records::query::{list, list_within};

fn some_tasks() -> Stage {
    let mut stage = Stage::with_template("workspace");
    for number in 1..=9u128 {
        let status = if number % 3 == 0 { "done" } else { "todo" };
        let fields = json!({"title": format!("t{number}"), "status": status});
        run(&mut stage, &[create("tasks", number, fields)]).result.expect("stored");
    }
    stage
}

fn titles(stage: &Stage, query: &ListQuery) -> Result<(Vec<String>, Option<String>), Error> {
    let catalog = stage.catalog();
    let collection = Arc::clone(catalog.named("tasks").expect("tasks"));
    let page = list(
        &stage.snapshot(),
        SPACE,
        &collection,
        query,
        Sight::default(),
        &Expand::default(),
    )?;
    let title = |record: &api::body::record::Record| {
        let fields: Json = serde_json::from_str(record.fields.get()).expect("JSON");
        fields["title"].as_str().expect("a title").to_owned()
    };
    Ok((page.items.iter().map(title).collect(), page.next_cursor))
}

fn query(limit: usize, order: Option<&str>, equals: &[(&str, &str)]) -> ListQuery {
    let equals = equals
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    ListQuery {
        limit,
        order: order.map(str::to_owned),
        equals,
        ..ListQuery::default()
    }
}

#[test]
fn pages_follow_each_other_without_gaps_in_both_directions() {
    let stage = some_tasks();
    for (order, expected) in [
        (None, "t1 t2 t3 t4 t5 t6 t7 t8 t9"),
        (Some("created_at"), "t1 t2 t3 t4 t5 t6 t7 t8 t9"),
        (Some("-created_at"), "t9 t8 t7 t6 t5 t4 t3 t2 t1"),
    ] {
        let mut all = Vec::new();
        let mut wanted = query(4, order, &[]);
        loop {
            let (titles, next) = titles(&stage, &wanted).expect("a page");
            all.extend(titles);
            if next.is_none() {
                break;
            }
            wanted.cursor = next;
        }
        assert_eq!(all.join(" "), expected, "{order:?}");
    }
}

#[test]
fn equalities_and_order_come_from_one_index() {
    let stage = some_tasks();
    let (found, next) = titles(&stage, &query(50, Some("-created_at"), &[("status", "done")])).expect("a page");
    assert_eq!((found.join(" ").as_str(), next), ("t9 t6 t3", None));
    let (found, _) = titles(&stage, &query(50, None, &[("status", "done")])).expect("a page");
    assert_eq!(found.join(" "), "t3 t6 t9");
}

#[test]
fn a_page_stays_right_while_records_come_and_go() {
    let mut stage = some_tasks();
    let first = query(3, Some("created_at"), &[]);
    let (_, cursor) = titles(&stage, &first).expect("a page");
    run(&mut stage, &[operation(BatchVerb::Delete, "tasks", 3, Json::Null)])
        .result
        .expect("deleted");
    run(&mut stage, &[operation(BatchVerb::Delete, "tasks", 4, Json::Null)])
        .result
        .expect("deleted");
    run(&mut stage, &[task(10, "t10")]).result.expect("stored");
    let (found, _) = titles(
        &stage,
        &ListQuery {
            cursor,
            limit: 50,
            ..first
        },
    )
    .expect("a page");
    assert_eq!(found.join(" "), "t5 t6 t7 t8 t9 t10");
}

#[test]
fn an_order_that_no_index_has_is_sorted() {
    let mut stage = some_tasks();
    for (number, points) in [(1, 5), (4, 1), (7, 5), (2, 9)] {
        let patch = operation(BatchVerb::Patch, "tasks", number, json!({ "points": points }));
        run(&mut stage, &[patch]).result.expect("stored");
    }
    for (order, equals, expected) in [
        ("points", vec![], "t3 t5 t6 t8 t9 t4 t1 t7 t2"),
        ("-points", vec![], "t2 t1 t7 t4 t3 t5 t6 t8 t9"),
        ("-points,-created_at", vec![], "t2 t7 t1 t4 t9 t8 t6 t5 t3"),
        ("-status,created_at", vec![], "t1 t2 t4 t5 t7 t8 t3 t6 t9"),
        ("-points,title", vec![("status", "todo")], "t2 t1 t7 t4 t5 t8"),
    ] {
        for limit in [1, 2, 4, 50] {
            let mut all = Vec::new();
            let mut wanted = query(limit, Some(order), &equals);
            loop {
                let (titles, next) = titles(&stage, &wanted).expect("a page");
                assert!(titles.len() <= limit);
                all.extend(titles);
                if next.is_none() {
                    break;
                }
                wanted.cursor = next;
            }
            assert_eq!(all.join(" "), expected, "{order:?} by {limit}");
        }
    }
}

#[test]
fn a_list_that_is_too_long_to_be_sorted_is_refused_with_the_index_that_would_serve_it() {
    let stage = some_tasks();
    let wanted = query(5, Some("points"), &[("status", "done")]);
    let collection = Arc::clone(stage.catalog().named("tasks").expect("tasks"));
    let mut spent = Budget::whole_of(2);
    let page = list_within(
        &stage.snapshot(),
        SPACE,
        &collection,
        &wanted,
        Sight::default(),
        &Expand::default(),
        &mut spent,
    );
    let error = page.map(|_| ()).expect_err("too many");
    assert_eq!(error.code, Code::FilterTooBroad);
    assert!(error.detail.contains("[status, points]"), "{}", error.detail);
}

#[test]
fn a_wrong_parameter_of_a_list_is_named() {
    let stage = some_tasks();
    for (order, equals) in [
        (Some("nothing"), vec![]),
        (Some("labels"), vec![]),
        (None, vec![("labels", "x")]),
    ] {
        let error = titles(&stage, &query(5, order, &equals)).expect_err("a wrong parameter");
        assert_eq!(error.code, Code::InvalidParameter);
    }
}

#[test]
fn a_cursor_of_another_list_is_refused() {
    let stage = some_tasks();
    let (_, cursor) = titles(&stage, &query(2, Some("created_at"), &[])).expect("a page");
    for wrong in [cursor.expect("a cursor"), "!".to_owned(), "AAAA".to_owned(), String::new()] {
        let other = ListQuery {
            cursor: Some(wrong),
            ..query(2, None, &[("status", "done")])
        };
        assert_eq!(titles(&stage, &other).expect_err("another list").code, Code::InvalidCursor);
    }
}

#[test]
fn counting_counts_the_whole_list() {
    let stage = some_tasks();
    let collection = Arc::clone(stage.catalog().named("tasks").expect("tasks"));
    let counted = ListQuery {
        count: true,
        ..query(2, None, &[("status", "todo")])
    };
    assert_eq!(
        list(
            &stage.snapshot(),
            SPACE,
            &collection,
            &counted,
            Sight::default(),
            &Expand::default()
        )
        .expect("a page")
        .count,
        Some(6)
    );
}

#[test]
fn a_glance_gives_a_whole_page_or_none() {
    let stage = some_tasks();
    let (catalog, snapshot) = (stage.catalog(), stage.snapshot());
    let tasks = catalog.named("tasks").expect("tasks");
    let glance = |mut budget: Budget| {
        let (sight, expand) = (Sight::default(), Expand::default());
        let page = list_within(&snapshot, SPACE, tasks, &query(4, None, &[]), sight, &expand, &mut budget);
        page.expect("no refusal")
            .map(|page| page.read().expect("JSON"))
            .map(|page| (page.items.len(), page.next_cursor.is_some()))
    };
    assert_eq!(glance(Budget::glance_of(Duration::ZERO)), None);
    assert_eq!(glance(Budget::glance_of(Duration::from_secs(3600))), Some((4, true)));
    assert_eq!(glance(Budget::whole()), Some((4, true)));
}
