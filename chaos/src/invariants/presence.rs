//! Presence shows who is there: nobody who never said so, nobody for long who has gone, and everybody when all is well.
//!
//! How it works: visitors say marks that nobody else says, at topics of which one has the same name with every tenant. Whatever a listener
//! hears was said by somebody of its own tenant at that topic, and not later than it was heard. Whoever went, with or without a word, is gone
//! for every listener that still hears something [`GONE_WITHIN_US`] later. When everybody is quiet nobody is there who has gone; then one visitor
//! comes from each node, each hears of all, every node shows all, and after they have gone it shows nobody.
//!
//! CAVEATS: presence is in the memory of the leader's node, and ends with the connection: who is not seen while nodes fail is not judged, nor
//! how soon somebody is seen. A load of seconds is over before anybody has to be gone: there the end judges, and long runs the rest.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use api::limits::{LIVE_LOOK_SECONDS, LIVE_SILENCE_SECONDS};

use super::Invariant;
use super::support::{Findings, View, of_each};
use crate::ending::{Call, Ending, Sitting, Visitor};
use crate::history::History;
use crate::verdict::Verdict;

#[cfg(test)]
mod tests;

/// How long somebody may be shown who has gone, in microseconds: 60 s. A connection that is silent is let go after thirty seconds, at the
/// next look, which comes every five. Where the leader changes, the one that was it sends its listeners away at its next look; what that costs
/// is once more a look, and the twenty seconds for which a fault holds a node or a link at most. Higher, somebody who stays for ever is
/// found in longer runs only; lower, a node that stood still makes a run red.
pub const GONE_WITHIN_US: u64 = (LIVE_SILENCE_SECONDS + 2 * LIVE_LOOK_SECONDS + 20) * 1_000_000;

/// The promise.
pub struct Presence;

impl Invariant for Presence {
    fn name(&self) -> &'static str {
        "presence"
    }

    fn check(&self, history: &History, ending: &Ending, _: Duration) -> Verdict {
        of_each(history, ending, |view, findings| {
            let said = said(view);
            for sitting in &view.ending.sittings {
                listened(view, sitting, &said, findings);
            }
            for call in &view.ending.calls {
                called(view, call, findings);
            }
        })
    }

    /// A node still shows somebody at the end.
    fn damage(&self, history: &History, ending: &Ending) -> Option<(History, Ending)> {
        let mut ending = ending.clone();
        let calls = ending.tenants.iter_mut().flat_map(|tenant| &mut tenant.calls);
        let (mark, node) = calls
            .filter_map(|call| Some((call.said.first()?.clone(), call.nodes.first_mut()?)))
            .next()?;
        node.after.push(mark);
        Some((history.clone(), ending))
    }
}

/// Who said a mark, and when.
struct Saying<'a> {
    sitting: &'a Sitting,
    at_us: u64,
}

/// By mark.
fn said(view: View<'_>) -> HashMap<&str, Saying<'_>> {
    let sittings = view.ending.sittings.iter();
    let all = sittings.flat_map(|sitting| sitting.said.iter().map(move |(mark, at_us)| (sitting, mark, *at_us)));
    all.map(|(sitting, mark, at_us)| (mark.as_str(), Saying { sitting, at_us }))
        .collect()
}

fn listened(view: View<'_>, listener: &Sitting, said: &HashMap<&str, Saying<'_>>, findings: &mut Findings) {
    let (slug, topic) = (&view.tenant.slug, &listener.topic);
    for hearing in &listener.heard {
        for Visitor { mark, .. } in hearing.all.iter().flatten().chain(&hearing.came) {
            let at = hearing.at_us;
            match said.get(mark.as_str()) {
                None => findings.add(format!(
                    "{slug}: {mark:?} was heard at {topic}, and nobody says that ({at} us)"
                )),
                Some(saying) if saying.sitting.topic != *topic => {
                    let other = &saying.sitting.topic;
                    findings.add(format!("{slug}: {mark} was heard at {topic}, and said at {other} ({at} us)"));
                }
                Some(saying) if saying.at_us > at => {
                    let later = saying.at_us;
                    findings.add(format!(
                        "{slug}: {mark} was heard at {topic} at {at} us, and said at {later} us"
                    ));
                }
                Some(_) => {}
            }
        }
    }
    for (mark, until_us) in shown(listener) {
        let Some(saying) = said.get(mark) else { continue };
        let (went, by) = (saying.sitting.ended_us, &saying.sitting.by);
        if until_us > went.saturating_add(GONE_WITHIN_US) {
            findings.add(format!(
                "{slug}: {mark} was shown at {topic} until {until_us} us, and had gone at {went} us ({by})"
            ));
        }
    }
}

/// The marks that a listener was shown, each with the time until which it was.
fn shown(listener: &Sitting) -> Vec<(&str, u64)> {
    let (mut there, mut shown): (BTreeMap<&str, &str>, Vec<_>) = (BTreeMap::new(), Vec::new());
    for hearing in &listener.heard {
        let before = there.clone();
        apply(&mut there, hearing);
        let gone = before.iter().filter(|(session, mark)| there.get(*session) != Some(*mark));
        shown.extend(gone.map(|(_, mark)| (*mark, hearing.at_us)));
    }
    shown.extend(there.values().map(|mark| (*mark, listener.heard_us)));
    shown
}

fn apply<'a>(there: &mut BTreeMap<&'a str, &'a str>, hearing: &'a crate::ending::Hearing) {
    if let Some(all) = &hearing.all {
        there.clear();
        there.extend(all.iter().map(|one| (one.session.as_str(), one.mark.as_str())));
    }
    there.extend(hearing.came.iter().map(|one| (one.session.as_str(), one.mark.as_str())));
    there.retain(|session, _| !hearing.went.iter().any(|gone| gone == session));
}

/// Who is there as far as a listener has heard at last.
pub(crate) fn at_last(listener: &Sitting) -> Vec<String> {
    let mut there = BTreeMap::new();
    listener.heard.iter().for_each(|hearing| apply(&mut there, hearing));
    let mut marks: Vec<_> = there.into_values().map(str::to_owned).collect();
    marks.sort_unstable();
    marks
}

fn called(view: View<'_>, call: &Call, findings: &mut Findings) {
    let (slug, topic) = (&view.tenant.slug, &call.topic);
    let mut said = call.said.clone();
    said.sort_unstable();
    for at in &call.nodes {
        let node = &at.node;
        if !at.before.is_empty() {
            findings.add(format!("{slug}: {node} shows {:?} at {topic}, and they have gone", at.before));
        }
        if at.heard != said {
            let heard = &at.heard;
            findings.add(format!(
                "{slug}: the visitor at {node} hears of {heard:?} at {topic}, there are {said:?}"
            ));
        }
        if at.there != said {
            findings.add(format!("{slug}: {node} shows {:?} at {topic}, there are {said:?}", at.there));
        }
        if !at.after.is_empty() {
            findings.add(format!("{slug}: {node} still shows {:?} at {topic}, all have gone", at.after));
        }
    }
}
