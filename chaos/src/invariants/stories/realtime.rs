//! What is there of documents and of presence at the end of a story.

use std::collections::BTreeMap;

use super::Story;
use crate::ending::{Call, CallAt, Page, PageCopy, Scribe};

impl Story {
    /// A document that two nodes give so, and its record and one who wrote it as well.
    pub(in crate::invariants) fn page(&mut self, id: &str, text: &str) -> &mut Page {
        let clocks = BTreeMap::from([(5, 9)]);
        let copy = |node: &str| PageCopy {
            node: node.to_owned(),
            text: text.to_owned(),
            clocks: clocks.clone(),
            shown: Some(text.to_owned()),
        };
        let scribe = Scribe {
            text: text.to_owned(),
            clocks: clocks.clone(),
            ..Scribe::default()
        };
        let tenant = &mut self.ending.tenants[0];
        tenant.pages.push(Page {
            id: id.to_owned(),
            copies: ["n1", "n2"].map(copy).into(),
            sought: Vec::new(),
            scribes: vec![scribe],
        });
        tenant.pages.last_mut().unwrap()
    }

    /// A topic at which one visitor was in the end.
    pub(in crate::invariants) fn call(&mut self, mark: &str) {
        let at = CallAt {
            node: "n1".to_owned(),
            heard: vec![mark.to_owned()],
            there: vec![mark.to_owned()],
            ..CallAt::default()
        };
        self.ending.tenants[0].calls.push(Call {
            topic: "registers".to_owned(),
            said: vec![mark.to_owned()],
            nodes: vec![at],
        });
    }
}
