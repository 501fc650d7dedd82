//! Words one after the other: where in which documents that is so.

use tantivy::postings::Postings;
use tantivy::schema::IndexRecordOption;
use tantivy::{DocSet, SegmentReader, TERMINATED};

use super::lists::{Reading, documents, noted};
use super::question::Terms;
use super::value::Value;
use super::{Part, SearchError};

impl Reading<'_> {
    /// The documents of one part that have these words one after the other.
    pub(super) fn phrases(
        &mut self,
        segment: &SegmentReader,
        part: Part,
        patterns: &[Terms],
        within: Option<&[(u32, u64)]>,
        out: &mut Vec<u64>,
    ) -> Result<(), SearchError> {
        if patterns.iter().any(|terms| terms.meant.is_empty()) {
            return Ok(());
        }
        // Where it may begin, by document; the rarest word first.
        let mut order: Vec<usize> = (0..patterns.len()).collect();
        order.sort_by_key(|place| documents(&patterns[*place]));
        let nothing = |(document, _): &(u32, u64)| (*document, Vec::new());
        let mut begins: Option<Vec<(u32, Vec<u32>)>> = None;
        for place in order {
            let offset = u32::try_from(place).unwrap_or(u32::MAX);
            let wanted = match &begins {
                Some(begins) => Some(begins.iter().map(|(document, _)| (*document, Vec::new())).collect()),
                None => within.map(|within| within.iter().map(nothing).collect()),
            };
            let here = self.places(segment, part, &patterns[place], offset, wanted)?;
            let begin = match begins {
                None => here,
                Some(before) => meet(before, &here),
            };
            if begin.is_empty() {
                return Ok(());
            }
            begins = Some(begin);
        }
        let lengths = segment.get_fieldnorms_reader(self.fields.parts[part as usize])?;
        let value = Value::of(part, 1.0);
        for (document, places) in begins.unwrap_or_default() {
            let times = u32::try_from(places.len()).unwrap_or(u32::MAX);
            out.push(noted(document, part, value.worth(times, lengths.fieldnorm_id(document))));
        }
        Ok(())
    }

    /// Where any of these words stands, less `offset`: by document, ascending. `wanted`: the documents that matter.
    fn places(
        &mut self,
        segment: &SegmentReader,
        part: Part,
        terms: &Terms,
        offset: u32,
        wanted: Option<Vec<(u32, Vec<u32>)>>,
    ) -> Result<Vec<(u32, Vec<u32>)>, SearchError> {
        let index = segment.inverted_index(self.fields.parts[part as usize])?;
        let is_open = wanted.is_none();
        let mut found = wanted.unwrap_or_default();
        let mut positions = Vec::new();
        for (_, list) in &terms.meant {
            let mut postings = index.read_postings_from_terminfo(list, IndexRecordOption::WithFreqsAndPositions)?;
            let mut at = 0;
            loop {
                if !is_open {
                    let Some((document, _)) = found.get(at) else { break };
                    if postings.doc() < *document {
                        postings.seek(*document);
                    }
                }
                let document = postings.doc();
                if document == TERMINATED {
                    break;
                }
                self.budget.spend(1)?;
                if is_open {
                    postings.positions(&mut positions);
                    found.push((document, less(&positions, offset)));
                    postings.advance();
                    continue;
                }
                if found[at].0 == document {
                    postings.positions(&mut positions);
                    found[at].1.extend(less(&positions, offset));
                }
                at += 1;
            }
        }
        if is_open {
            found.sort_unstable();
            found.dedup_by(|next, kept| {
                let same = next.0 == kept.0;
                if same {
                    kept.1.append(&mut next.1);
                }
                same
            });
        }
        found.retain_mut(|(_, places)| {
            places.sort_unstable();
            places.dedup();
            !places.is_empty()
        });
        Ok(found)
    }
}

/// The documents that begin in both lists at the same place.
fn meet(before: Vec<(u32, Vec<u32>)>, here: &[(u32, Vec<u32>)]) -> Vec<(u32, Vec<u32>)> {
    let mut here = here.iter().peekable();
    let met = before.into_iter().filter_map(|(document, mut places)| {
        while here.next_if(|(other, _)| *other < document).is_some() {}
        let (_, others) = here.next_if(|(other, _)| *other == document)?;
        places.retain(|place| others.binary_search(place).is_ok());
        (!places.is_empty()).then_some((document, places))
    });
    met.collect()
}

/// Positions, each less by an offset; those that would lie before the text are none.
fn less(positions: &[u32], offset: u32) -> Vec<u32> {
    positions.iter().filter_map(|position| position.checked_sub(offset)).collect()
}
