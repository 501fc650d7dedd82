//! A tour of the client: everything that an application does with a tenant, against a server that `cloudnest dev` started.
//!
//! ```text
//! cloudnest dev &
//! cargo run -p cloudnest-api --example tour -- http://127.0.0.1:7400 demo $(sed -n 's/^demo=//p' cloudnest-data/dev.tokens)
//! ```
//!
//! `cell/tests/command_line/tour.rs` runs it, so that what stands here works.
#![allow(clippy::print_stdout, reason = "an example tells what it does")]

use api::body::record::BatchVerb;
use api::client::{Client, ClientError, TypedRecord};
use api::error::Code;
use api::ids::Id;
use serde::{Deserialize, Serialize};
use serde_json::json;

/// A task of the `workspace` template, as far as this program is interested. What it leaves out is left alone by a patch.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Task {
    title: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    points: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    project: Option<Id>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Project {
    name: String,
    key: String,
}

fn task(title: &str, points: u32) -> Task {
    Task {
        title: title.to_owned(),
        points: Some(points),
        ..Task::default()
    }
}

/// The tour.
pub(crate) async fn tour(url: &str, slug: &str, token: &str) -> Result<(), ClientError> {
    // Failed calls are made again, up to five times, where that cannot have a second effect.
    let client = Client::new(url, token)?.with_retries(5);
    let tenant = client.tenant(slug);
    let me = tenant.me().await?;
    println!("{} is {:?} of {}", me.name, me.role, me.tenant);

    let tasks = tenant.records("tasks").of::<Task>();
    one_record(&tasks).await?;
    many_records(&tenant, &tasks).await?;
    what_happened(&tenant, &tasks).await
}

type Tasks = api::client::Records<Task>;

/// Create, read, change, lose a race, delete.
async fn one_record(tasks: &Tasks) -> Result<(), ClientError> {
    let made = tasks.create(&task("Order the cake", 3)).send().await?;
    println!("{} has the status {:?}", made.id, made.fields.status);

    // Any replica that has got as far as our own writes may answer.
    let read = tasks.get(made.id).own_writes().send().await?;
    assert_eq!(read.fields, made.fields);

    let patch = json!({ "status": "todo" });
    let changed = tasks.patch(made.id, &patch).if_version(made.version).send().await?;
    // Somebody who still has the version from before is told so, and nothing is overwritten.
    let late = tasks.patch(made.id, &json!({ "points": 8 })).if_version(made.version);
    match late.send().await {
        Err(error) if error.kind() == Some(Code::VersionMismatch) => println!("it is at version {}", changed.version),
        other => panic!("a race was won twice: {other:?}"),
    }

    // What is wrong with a change is said place by place.
    let wrong = tasks.patch(made.id, &json!({ "points": "many", "titel": "?" })).send().await;
    for place in wrong.expect_err("it does not fit the schema").errors() {
        println!("{}: {}", place.pointer, place.message);
    }

    // An id of our own makes a PUT safe to repeat by hand.
    let id = Id(uuid::Uuid::now_v7());
    tasks.put(id, &task("Bake it ourselves", 8)).send().await?;
    tasks.delete(id).send().await?;
    assert!(tasks.get(id).find().await?.is_none());
    Ok(())
}

/// Batches, imports, and lists over pages.
async fn many_records(tenant: &api::client::TenantClient, tasks: &Tasks) -> Result<(), ClientError> {
    let mut batch = tenant.batch();
    let project = Project {
        name: "Party".to_owned(),
        key: "TOUR".to_owned(),
    };
    let party = batch.create("projects", &project);
    for title in ["Invite everybody", "Find a hall"] {
        let invite = Task {
            project: Some(party),
            ..task(title, 1)
        };
        batch.create("tasks", &invite);
    }
    batch.check("projects", party);
    let reply = batch.send().await?;
    assert_eq!(reply.results.last().map(|result| result.op), Some(BatchVerb::Check));

    // Under the same name a second import goes on after what the first one stored: here, after everything.
    let rows: Vec<Task> = (0..120).map(|n| task(&format!("Chair {n}"), 1 + n % 3)).collect();
    let import = || {
        tasks
            .import()
            .id("chairs")
            .on_failure(|failure| println!("line {}", failure.line))
    };
    let first = import().rows(&rows).await?;
    let second = import().rows(&rows).await?;
    assert_eq!((first.imported, second.position), (120, first.position));

    let page = tasks
        .list()
        .filter("points >= 2 && title.startsWith(\"Chair\")")
        .order("-created_at")
        .limit(10)
        .count();
    let page = page.send().await?;
    println!(
        "{:?} chairs have two points or more; here are {}",
        page.count,
        page.items.len()
    );

    let mut chairs = 0;
    let mut all = tasks.list().limit(50).fields(["title"]).stream();
    while let Some(task) = all.next().await? {
        chairs += u32::from(task.fields.title.starts_with("Chair"));
    }
    assert_eq!(chairs, 120);

    // What a task refers to comes with it.
    let with_project = tasks.list().equals("project", party).expand("project").send().await?;
    for task in &with_project.items {
        let project: Option<TypedRecord<Project>> = task.expanded("project")?;
        println!(
            "{} belongs to {:?}",
            task.fields.title,
            project.map(|project| project.fields.name)
        );
    }
    assert_eq!(with_project.items.len(), 2);
    Ok(())
}

/// Events, once and as they come.
async fn what_happened(tenant: &api::client::TenantClient, tasks: &Tasks) -> Result<(), ClientError> {
    let position = tenant.position();
    let mut past = tenant.events().send();
    let mut events = 0;
    while let Some(event) = past.next().await? {
        events = event.position;
    }
    println!("{events} things have happened");

    // A follower goes on over broken connections; what it has seen is one number, to be kept wherever the program keeps things.
    let mut feed = tenant.events().after(position).follow();
    let made = tasks.create(&task("Say thank you", 1)).send().await?;
    let event = feed.next().await?.expect("a feed that follows has no end");
    assert_eq!(
        (event.kind.as_str(), event.record),
        ("record.created", Some(made.id.to_string()))
    );
    println!("seen up to position {}", feed.position());

    let mut export = tenant.export().await?;
    let mut lines = 0;
    while export.next().await?.is_some() {
        lines += 1;
    }
    println!("an export has {lines} lines");
    Ok(())
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [url, slug, token] = arguments.as_slice() else {
        panic!("usage: tour URL TENANT TOKEN");
    };
    if let Err(error) = tour(url, slug, token).await {
        panic!("{error}");
    }
}
