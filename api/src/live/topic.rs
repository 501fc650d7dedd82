//! What a topic is about, and who may be there: whoever may read it.

use crate::error::{Code, Error, Result};
use crate::gate;
use crate::ids::{Id, Name};
use crate::service::{RequestContext, Service};

/// Reads a topic: `COLLECTION` or `COLLECTION/ID`.
fn parse(topic: &str) -> Result<(Name, Option<Id>)> {
    let wrong = || Error::new(Code::InvalidParameter, "topic: must be COLLECTION or COLLECTION/ID");
    match topic.split_once('/') {
        None => Ok((topic.parse().map_err(|_| wrong())?, None)),
        Some((collection, id)) => {
            let id: Id = id.parse().map_err(|_| wrong())?;
            // One record has one topic.
            if topic.rsplit('/').next() != Some(id.to_string().as_str()) {
                return Err(Error::new(
                    Code::InvalidParameter,
                    format!("topic: write it {collection}/{id}"),
                ));
            }
            Ok((collection.parse().map_err(|_| wrong())?, Some(id)))
        }
    }
}

/// Refuses a topic that the principal may not read.
pub(crate) async fn check(service: &dyn Service, ctx: &RequestContext, topic: &str) -> Result<()> {
    let (collection, id) = parse(topic)?;
    if !gate::in_scope(&ctx.principal, collection.as_str()) {
        return Err(gate::out_of_scope(collection.as_str()));
    }
    match id {
        Some(id) => service.record(ctx, &collection, id, Vec::new()).await.map(drop),
        None => service.collection(ctx, &collection).await.map(drop),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_is_a_collection_or_a_record() {
        assert!(parse("tasks").expect("a topic").1.is_none());
        let id = "0198c5f0-0000-7000-8000-00000000000a";
        assert!(parse(&format!("tasks/{id}")).expect("a topic").1.is_some());
        let upper = format!("tasks/{}", id.to_uppercase());
        for wrong in ["", "Tasks", "tasks/", "tasks/1", "tasks/1/2", &upper] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
