//! The tenant `demo`: a project, five tasks, a comment.

use std::time::Duration;

use anyhow::{Context, anyhow};
use api::body::control::NewTenant;
use api::body::record::{Batch, BatchOperation, BatchVerb, Fields, ListQuery};
use api::body::token::{NewToken, Role};
use api::error::Code;
use api::ids::{Id, Name, Slug};
use api::service::{Location, Operator, Placement, Reach, RequestContext, Service, Timing};
use serde_json::{Value, json};
use uuid::Uuid;

use super::super::Result;
use super::place::REGION;

/// Its name.
pub(super) const TENANT: &str = "demo";
/// Longest time until it is served.
const SERVED: Duration = Duration::from_secs(30);
/// Between two looks where nobody says that something changed.
const POLL: Duration = Duration::from_millis(50);

/// Whether it is there.
pub(super) async fn exists(service: &dyn Service, operator: &Operator) -> Result<bool> {
    match service.tenant(operator, &slug()?).await {
        Ok(_) => Ok(true),
        Err(error) if error.code == Code::NotFound => Ok(false),
        Err(error) => Err(anyhow::Error::new(error).context("look for the tenant demo").into()),
    }
}

/// Creates it with its sample records, or completes what an earlier start left; returns a token of it.
pub(super) async fn create(service: &dyn Service, operator: &Operator) -> Result<String> {
    let slug = slug()?;
    let new = NewTenant {
        slug: slug.clone(),
        name: Some("Demo".to_owned()),
        region: REGION.to_owned(),
        plan: None,
        dedicated: false,
        template: Some("workspace".to_owned()),
    };
    let token = match service.tenant_create(operator, new, None).await {
        Ok(tenant) => tenant.admin_token,
        Err(error) if error.code == Code::AlreadyExists => None,
        Err(error) => return Err(anyhow::Error::new(error).context("create the tenant demo").into()),
    };
    let placement = tokio::time::timeout(SERVED, served(service, &slug))
        .await
        .context("wait for the tenant demo")?;
    let token = match token {
        Some(token) => token,
        None => mint(service, operator, &placement).await?,
    };
    let timing = std::sync::Arc::new(Timing::default());
    let principal = service
        .authenticate(&placement, &token, &timing)
        .await
        .context("use the token of demo")?;
    samples(
        service,
        &RequestContext {
            placement,
            principal,
            timing,
        },
    )
    .await?;
    Ok(token)
}

async fn served(service: &dyn Service, slug: &Slug) -> Placement {
    loop {
        if let Location::Here(placement) = service.locate(slug, Reach::Leader) {
            return placement;
        }
        let _ = tokio::time::timeout(POLL, service.leader_change()).await;
    }
}

async fn mint(service: &dyn Service, operator: &Operator, placement: &Placement) -> Result<String> {
    let new = NewToken {
        name: "dev".to_owned(),
        role: Role::Owner,
        scopes: None,
        expires_at: None,
    };
    let token = service
        .tenant_token(operator, placement, new, None)
        .await
        .context("make a token of demo")?;
    Ok(token.secret.ok_or_else(|| anyhow!("the new token of demo has no secret"))?)
}

/// Adds the sample records, all or none, unless there are records already.
async fn samples(service: &dyn Service, ctx: &RequestContext) -> Result {
    let query = ListQuery {
        limit: 1,
        ..ListQuery::default()
    };
    let projects = service
        .records(ctx, &name("projects")?, query)
        .await
        .context("look for records of demo")?;
    let projects = projects.body.read().context("read the records of demo")?;
    if projects.items.is_empty() {
        service
            .batch(
                ctx,
                Batch {
                    operations: operations()?,
                },
                None,
            )
            .await
            .context("add the sample records of demo")?;
    }
    Ok(())
}

fn operations() -> Result<Vec<BatchOperation>> {
    let project = id();
    let mut operations = vec![create_record(
        "projects",
        project,
        json!({ "key": "DEMO", "name": "Launch", "description": "A project to look around in.", "lead": "ada" }),
    )?];
    let tasks = [
        json!({ "title": "Write the announcement", "assignee": "ada", "labels": ["docs"], "points": 3, "status": "in_progress", "priority": "high" }),
        json!({ "title": "Invite the first customers", "assignee": "grace", "labels": ["customers"], "points": 2, "status": "todo" }),
        json!({ "title": "Measure the sign-up page", "assignee": "ada", "labels": ["growth", "web"], "points": 5 }),
        json!({ "title": "Answer the security questionnaire", "assignee": "alan", "labels": ["security"], "points": 8, "status": "done", "priority": "urgent" }),
        json!({ "title": "Plan the second release", "description": "After the first week of feedback.", "points": 1 }),
    ];
    let mut first_task = None;
    for mut task in tasks {
        let id = id();
        first_task.get_or_insert(id);
        task["project"] = json!(project);
        operations.push(create_record("tasks", id, task)?);
    }
    let comment = json!({ "task": first_task, "author": "grace", "body": "I can review it on Tuesday." });
    operations.push(create_record("comments", id(), comment)?);
    Ok(operations)
}

fn create_record(collection: &str, id: Id, fields: Value) -> Result<BatchOperation> {
    let fields: Fields = serde_json::from_value(fields).context("read a sample record")?;
    Ok(BatchOperation {
        op: BatchVerb::Create,
        collection: name(collection)?,
        id: Some(id),
        if_match: None,
        fields: Some(fields),
    })
}

fn id() -> Id {
    Id(Uuid::now_v7())
}

fn name(text: &str) -> Result<Name> {
    Ok(text.parse::<Name>().context("name a collection")?)
}

fn slug() -> Result<Slug> {
    Ok(TENANT.parse::<Slug>().context("name the tenant")?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_a_project_five_tasks_and_a_comment_that_belong_together() {
        let operations = operations().expect("sample records");
        let of = |collection: &str| {
            operations
                .iter()
                .filter(|one| one.collection.as_str() == collection)
                .collect::<Vec<_>>()
        };
        assert_eq!((of("projects").len(), of("tasks").len(), of("comments").len()), (1, 5, 1));
        let project = of("projects")[0].id.map(|id| json!(id));
        assert!(
            of("tasks")
                .iter()
                .all(|task| task.fields.as_ref().and_then(|fields| fields.get("project").cloned()) == project)
        );
    }
}
