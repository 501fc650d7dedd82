//! A stream of events gives each event that was asked for once, in order, as it is, whatever becomes of nodes, leaders and tenants meanwhile.
//!
//! How it works: the events that each consumer got, over all its connections, are held against the tenant's whole history as it was read back at
//! the end: from the position at which the stream began, those that it asked for, and no others. Streams go on until they have the last event,
//! or a minute has passed since all was healed; one that ends before its last event did not resume. What a filter holds of is known from what
//! the clients asked for: the name of a claim never changes.
//!
//! CAVEATS: how late an event comes is not judged. The typed feed hides what comes twice; connections that are read message by message do not.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use super::Invariant;
use super::support::{Findings, View, of_each};
use crate::ending::{Ending, Event, Stream, Wanted};
use crate::history::{Action, History};
use crate::verdict::Verdict;
use crate::workload::among;

/// The promise.
pub struct Streams;

impl Invariant for Streams {
    fn name(&self) -> &'static str {
        "streams"
    }

    fn check(&self, history: &History, ending: &Ending, _: Duration) -> Verdict {
        of_each(history, ending, |view, findings| {
            let claims = claims(view.operations().map(|operation| &operation.action));
            for stream in &view.ending.streams {
                judge(view, stream, &claims, findings);
            }
        })
    }

    /// One event of a stream did not come.
    fn damage(&self, history: &History, ending: &Ending) -> Option<(History, Ending)> {
        let mut ending = ending.clone();
        let mut streams = ending.tenants.iter_mut().flat_map(|tenant| &mut tenant.streams);
        let stream = streams.find(|stream| !stream.events.is_empty())?;
        stream.events.remove(stream.events.len() / 2);
        Some((history.clone(), ending))
    }
}

/// The names of claims by their ids.
pub(crate) fn claims<'a>(actions: impl Iterator<Item = &'a Action>) -> HashMap<&'a str, &'a str> {
    let claim = |action: &'a Action| match action {
        Action::Claim { name, id } => Some((id.as_str(), name.as_str())),
        _ => None,
    };
    actions.filter_map(claim).collect()
}

/// The last event that a stream is to get.
pub(crate) fn last(events: &[Event], wanted: &Wanted, claims: &HashMap<&str, &str>) -> u64 {
    let name = |id: &str| claims.get(id).copied();
    among(events, wanted, &name).last().map_or(0, |event| event.position)
}

fn judge(view: View<'_>, stream: &Stream, claims: &HashMap<&str, &str>, findings: &mut Findings) {
    let (slug, by) = (&view.tenant.slug, format!("{} ({:?})", stream.by, stream.wanted));
    for odd in &stream.odd {
        findings.add(format!("{slug}: {by}: {odd}"));
    }
    let Some(after) = stream.began else {
        findings.add(format!("{slug}: {by} never began, in {} connections", stream.connections));
        return;
    };
    let name = |id: &str| claims.get(id).copied();
    let all = among(&view.ending.events, &stream.wanted, &name);
    let wanted: Vec<&Event> = all.filter(|event| event.position > after).collect();
    let known: BTreeMap<u64, &Event> = view.ending.events.iter().map(|event| (event.position, event)).collect();
    let mut last = after;
    for (at, event) in stream.events.iter().enumerate() {
        let position = event.position;
        if wanted.get(at) == Some(&event) {
            last = position;
            continue;
        }
        let what = match wanted.get(at) {
            _ if position <= last => format!("{position} came after {last}"),
            Some(next) if next.position < position => format!("{} did not come: {position} came after {last}", next.position),
            _ if known.get(&position).is_some_and(|known| *known == event) => format!("{position} was not asked for"),
            _ => format!("{event:?} came, where {:?} is", known.get(&position)),
        };
        findings.add(format!("{slug}: {by}: {what}"));
        return;
    }
    if let Some(next) = wanted.get(stream.events.len()) {
        findings.add(format!(
            "{slug}: {by} ended at {last} in {} connections, and {} more were to come, the first of them {}",
            stream.connections,
            wanted.len() - stream.events.len(),
            next.position
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::invariants::stories::{Story, claim};

    const CHECKER: Streams = Streams;

    /// Three claims, of which two are followed by name, and a register.
    fn story() -> Story {
        let mut story = Story::new();
        for (name, id) in [("acme-name-3", "a"), ("acme-name-4", "b"), ("acme-name-13", "c")] {
            story.ok(0, 10, claim(name, id));
            story.event("record.created", "claims", id, 1);
        }
        story.event("record.created", "registers", "r", 1);
        story.event("record.deleted", "claims", "a", 2);
        story.follows(Wanted::All, &[1, 2, 3, 4, 5]);
        story.follows(Wanted::Claims("3".to_owned()), &[1, 3, 5]);
        story.follows(Wanted::Collections(vec!["registers".to_owned()]), &[4]);
        story
    }

    fn stream(story: &mut Story, place: usize) -> &mut Stream {
        &mut story.ending.tenants[0].streams[place]
    }

    #[test]
    fn streams_that_give_what_was_asked_for_are_green() {
        story().assert_damage_is_found(&CHECKER);
        Story::new().assert_no_damage(&CHECKER);
        let mut late = story();
        stream(&mut late, 0).events.drain(..3);
        stream(&mut late, 0).began = Some(3);
        late.assert_green(&CHECKER);
    }

    #[test]
    fn gaps_repeats_and_what_was_not_asked_for_are_found() {
        let mut gap = story();
        stream(&mut gap, 0).events.remove(2);
        gap.assert_finds(&CHECKER, &["3 did not come: 4 came after 2"]);
        let mut twice = story();
        let event = stream(&mut twice, 0).events[1].clone();
        stream(&mut twice, 0).events.insert(2, event);
        twice.assert_finds(&CHECKER, &["2 came after 2"]);
        let mut order = story();
        stream(&mut order, 0).events.swap(3, 4);
        order.assert_finds(&CHECKER, &["4 did not come: 5 came after 3"]);
        let mut more = story();
        let event = stream(&mut more, 0).events[1].clone();
        stream(&mut more, 1).events.insert(1, event);
        more.assert_finds(&CHECKER, &["2 was not asked for"]);
        let mut missed = story();
        stream(&mut missed, 1).events.remove(1);
        missed.assert_finds(&CHECKER, &["3 did not come"]);
        let mut other = story();
        stream(&mut other, 0).events[4].told += 1;
        other.assert_finds(&CHECKER, &["position: 5", "came, where"]);
    }

    #[test]
    fn streams_that_did_not_go_on_are_found() {
        let mut ended = story();
        stream(&mut ended, 0).events.truncate(3);
        ended.assert_finds(&CHECKER, &["ended at 3", "2 more were to come, the first of them 4"]);
        let mut never = story();
        stream(&mut never, 0).began = None;
        never.assert_finds(&CHECKER, &["never began"]);
        let mut odd = story();
        stream(&mut odd, 2).odd.push("told to resume after 1".to_owned());
        odd.assert_finds(&CHECKER, &["told to resume after 1"]);
    }

    #[test]
    fn the_last_event_of_a_stream_is_the_last_that_it_wants() {
        let story = story();
        let claims = claims(story.history.operations.iter().map(|operation| &operation.action));
        let last = |wanted| last(&story.ending.tenants[0].events, &wanted, &claims);
        assert_eq!((last(Wanted::All), last(Wanted::Claims("4".to_owned()))), (5, 2));
        assert_eq!(last(Wanted::Collections(vec!["lists".to_owned()])), 0);
    }
}
