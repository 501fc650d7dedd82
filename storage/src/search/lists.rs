//! The lists behind a clause, read: which documents have its words, and what each is worth for them.

use tantivy::postings::{Postings, SegmentPostings, TermInfo};
use tantivy::schema::IndexRecordOption;
use tantivy::{DocSet, SegmentReader, TERMINATED};

use super::question::{Clause, Pattern};
use super::rank::{Search, Worths};
use super::{Part, SearchError};

/// BM25: how soon a word that comes again counts no more, and how much long texts lose.
const K1: f64 = 1.2;
const B: f64 = 0.6;
/// What one is in whole numbers.
const UNIT: f64 = 256.0;
/// A list is looked into, instead of read, where what is looked for is this many times shorter.
const SEEK_RATIO: u64 = 16;

impl Search<'_> {
    /// The lists of a clause, by part and pattern.
    pub(super) fn lists(&self, segment: &SegmentReader, clause: &Clause) -> Result<Lists, SearchError> {
        let patterns = clause.patterns();
        let mut parts = Vec::with_capacity(Part::ALL.len());
        for part in Part::ALL {
            let index = segment.inverted_index(self.fields.parts[part as usize])?;
            let terms = |pattern: &Pattern| pattern.terms(index.terms(), &self.head);
            parts.push((part, patterns.iter().map(terms).collect::<Result<Vec<_>, _>>()?));
        }
        Ok(Lists { parts })
    }

    /// The documents of a clause with what they are worth; those of `within` only, where it says which.
    pub(super) fn worths(
        &mut self,
        segment: &SegmentReader,
        lists: &Lists,
        within: Option<&[(u32, u64)]>,
    ) -> Result<Worths, SearchError> {
        let mut worths: Vec<(u32, Part, u64)> = Vec::new();
        for (part, patterns) in &lists.parts {
            match patterns.as_slice() {
                [terms] => self.words(segment, *part, terms, within, &mut worths)?,
                patterns => self.phrases(segment, *part, patterns, within, &mut worths)?,
            }
        }
        // What fits best counts in each part, and the parts add up.
        worths.sort_unstable();
        let mut summed: Worths = Vec::new();
        let mut rest = worths.as_slice();
        while let Some((document, part, _)) = rest.first().copied() {
            let length = rest.partition_point(|(other, same, _)| (*other, *same) == (document, part));
            let best = rest[length - 1].2;
            match summed.last_mut().filter(|(last, _)| *last == document) {
                Some((_, worth)) => *worth += best,
                None => summed.push((document, best)),
            }
            rest = &rest[length..];
        }
        Ok(summed)
    }

    /// The documents of one part that have any of these words.
    fn words(
        &mut self,
        segment: &SegmentReader,
        part: Part,
        terms: &[(f64, TermInfo)],
        within: Option<&[(u32, u64)]>,
        out: &mut Vec<(u32, Part, u64)>,
    ) -> Result<(), SearchError> {
        if terms.is_empty() {
            return Ok(());
        }
        let field = self.fields.parts[part as usize];
        let index = segment.inverted_index(field)?;
        let lengths = segment.get_fieldnorms_reader(field)?;
        for (fit, info) in terms {
            let mut postings = index.read_postings_from_terminfo(info, IndexRecordOption::WithFreqs)?;
            let mut note = |document, postings: &SegmentPostings| {
                let worth = worth(part, *fit, postings.term_freq(), lengths.fieldnorm(document));
                out.push((document, part, worth));
            };
            let seeks = within.filter(|within| (within.len() as u64).saturating_mul(SEEK_RATIO) < u64::from(info.doc_freq));
            match seeks {
                Some(within) => {
                    for (document, _) in within {
                        if postings.doc() < *document {
                            postings.seek(*document);
                        }
                        if postings.doc() == *document {
                            note(*document, &postings);
                        }
                        self.step()?;
                    }
                }
                None => {
                    while postings.doc() != TERMINATED {
                        note(postings.doc(), &postings);
                        postings.advance();
                        self.step()?;
                    }
                }
            }
        }
        Ok(())
    }

    /// The documents of one part that have these words one after the other.
    fn phrases(
        &mut self,
        segment: &SegmentReader,
        part: Part,
        patterns: &[Terms],
        within: Option<&[(u32, u64)]>,
        out: &mut Vec<(u32, Part, u64)>,
    ) -> Result<(), SearchError> {
        if patterns.iter().any(Vec::is_empty) {
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
            begins = Some(match begins {
                None => here,
                Some(before) => meet(before, &here),
            });
        }
        let field = self.fields.parts[part as usize];
        let lengths = segment.get_fieldnorms_reader(field)?;
        for (document, places) in begins.unwrap_or_default() {
            let times = u32::try_from(places.len()).unwrap_or(u32::MAX);
            out.push((document, part, worth(part, 1.0, times, lengths.fieldnorm(document))));
        }
        Ok(())
    }

    /// Where any of these words stands, less `offset`: by document, ascending. `wanted`: the documents that matter.
    fn places(
        &mut self,
        segment: &SegmentReader,
        part: Part,
        terms: &[(f64, TermInfo)],
        offset: u32,
        wanted: Option<Vec<(u32, Vec<u32>)>>,
    ) -> Result<Vec<(u32, Vec<u32>)>, SearchError> {
        let index = segment.inverted_index(self.fields.parts[part as usize])?;
        let mut found = wanted.unwrap_or_default();
        let is_open = found.is_empty();
        let mut positions = Vec::new();
        for (_, info) in terms {
            let mut postings = index.read_postings_from_terminfo(info, IndexRecordOption::WithFreqsAndPositions)?;
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
                self.step()?;
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

/// The terms of a pattern in one dictionary, each with how well it fits.
type Terms = Vec<(f64, TermInfo)>;

/// The lists of a clause.
pub(super) struct Lists {
    /// By part: the terms of each pattern, with how well each fits.
    parts: Vec<(Part, Vec<Terms>)>,
}

impl Lists {
    /// How many documents the clause can have at most.
    pub(super) fn shortest(&self) -> u64 {
        let of_part = |(_, patterns): &(Part, Vec<Terms>)| patterns.iter().map(|terms| documents(terms)).min();
        self.parts.iter().filter_map(of_part).sum()
    }
}

fn documents(terms: &[(f64, TermInfo)]) -> u64 {
    terms.iter().map(|(_, info)| u64::from(info.doc_freq)).sum()
}

/// What a word that comes so often in a text of so many words is worth.
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "it is positive and below a thousand units"
)]
fn worth(part: Part, fit: f64, times: u32, words: u32) -> u64 {
    let (times, words) = (f64::from(times), f64::from(words));
    let longer = K1 * (1.0 - B + B * words / part.usual_words());
    let saturated = times * (K1 + 1.0) / (times + longer);
    ((saturated * part.weight() * fit * UNIT) as u64).max(1)
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
