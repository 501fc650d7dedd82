//! Comments on tasks, and tasks that are deleted with their comments.

use serde_json::json;

use super::ask::Ask;
use super::claim::delete;
use super::client::Client;
use super::tenants::new_id;
use crate::history::{Action, Outcome};

/// Tasks that a client keeps.
const TASKS: usize = 4;

/// Comments on one of the client's own tasks, which is made first where it has none. A comment may come after the task was
/// deleted: it is then refused.
pub(super) async fn comment(client: &mut Client) {
    if client.tasks.len() < TASKS {
        make_task(client).await;
    }
    let Some(last) = client.tasks.len().checked_sub(1) else {
        return;
    };
    // The remainder of a length fits.
    let task = client.tasks[client.random.below(last as u64 + 1) as usize].clone();
    let id = new_id(&mut client.random);
    let begun = client.begin();
    let (outcome, position) = send(client, &id, &task).await;
    client.end(&begun, Action::Comment { id, task }, outcome, position);
}

async fn send(client: &mut Client, id: &str, task: &str) -> (Outcome, Option<u64>) {
    let body = client.value();
    let ask = Ask {
        method: "POST",
        path: "/records/comments".to_owned(),
        body: Some(json!({ "id": id, "fields": { "task": task, "body": body } })),
        key: Some(id),
        again: true,
    };
    let told = client.ask(&ask).await;
    (told.outcome(), told.position)
}

/// A task is no operation of the history: only one that was acknowledged is used.
async fn make_task(client: &mut Client) {
    let (id, title) = (new_id(&mut client.random), client.value());
    let ask = Ask {
        method: "POST",
        path: "/records/tasks".to_owned(),
        body: Some(json!({ "id": id, "fields": { "title": title } })),
        key: Some(&id),
        again: true,
    };
    if client.ask(&ask).await.good.is_some() {
        client.tasks.push(id);
    }
}

/// Deletes one of the client's own tasks, and tries a comment on it afterwards.
pub(super) async fn remove_task(client: &mut Client) {
    let Some(task) = client.tasks.pop() else {
        return comment(client).await;
    };
    let begun = client.begin();
    let (outcome, position) = delete(client, format!("/records/tasks/{task}")).await;
    client.end(&begun, Action::RemoveTask { task: task.clone() }, outcome, position);
    if outcome == Outcome::Ok {
        let id = new_id(&mut client.random);
        let begun = client.begin();
        let (outcome, position) = send(client, &id, &task).await;
        client.end(&begun, Action::Comment { id, task }, outcome, position);
    }
}
