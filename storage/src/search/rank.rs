//! Matches, in an order that every replica has.
//!
//! A replica's index consists of segments, of which other replicas have others, with documents that are deleted but still there. So nothing here
//! takes a figure of a segment: how rare a word is is counted over documents that are not deleted; how long texts usually are is a constant;
//! and what a document is worth for a word is rounded to a whole number before anything is added up, so that no order of additions shows.
//! Two that are worth the same follow by their ids. What comes out is a function of the space's documents and the question.
//!
//! Worth is BM25 a part, times what the part weighs and how well the word fits, summed over parts; a document is worth the sum over
//! clauses, each times its rarity: the logarithm of the share of records that have its word, in steps, so that a cursor stays good while a
//! tenant goes on writing.
//!
//! Every clause becomes a list of documents with their worth, the rarest first; the lists of the next are only looked at where the list so far
//! has documents. What is read is counted: a question that reads too much, or for too long, ends and says so.

use std::collections::BinaryHeap;

use tantivy::postings::{Postings, SegmentPostings, TermInfo};
use tantivy::schema::IndexRecordOption;
use tantivy::{DocSet, Searcher, SegmentReader, TERMINATED};

use super::question::{Clause, Pattern, Question};
use super::shape::{COLLECTION, Fields, HIGH, LOW, SPACE, head};
use super::{Part, SearchError};
use crate::pace::Stopwatch;

/// Most places in lists that one question reads. Raised: questions of frequent words on large tenants take longer. Lowered: they are refused.
const POSTINGS: u64 = 20_000_000;
/// How many are read between two looks at the time.
const TIME_STEP: u64 = 4_096;
/// BM25: how soon a word that comes again counts no more, and how much long texts lose.
const K1: f64 = 1.2;
const B: f64 = 0.6;
/// What one is in whole numbers.
const UNIT: f64 = 256.0;
/// Steps of rarity between two powers of e.
const RARITY_STEPS: f64 = 2.0;
/// A list is looked into, instead of read, where what is looked for is this many times shorter.
const SEEK_RATIO: u64 = 16;

/// Where a record stands in what was found. The greater one comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rank {
    /// What it is worth.
    pub score: u64,
    /// Its id.
    pub id: [u8; 16],
    /// Its collection.
    pub collection: u32,
}

impl Ord for Rank {
    fn cmp(&self, other: &Rank) -> std::cmp::Ordering {
        let place = |rank: &Rank| (rank.id, rank.collection);
        self.score.cmp(&other.score).then_with(|| place(other).cmp(&place(self)))
    }
}

impl PartialOrd for Rank {
    fn partial_cmp(&self, other: &Rank) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// The best, the best first.
    pub ranks: Vec<Rank>,
    /// How many there are in all, those before `after` too.
    pub matches: u64,
}

/// Documents of one segment, ascending, each with what it is worth.
type Worths = Vec<(u32, u64)>;

/// One question to one state of an index.
pub(super) struct Search<'a> {
    searcher: &'a Searcher,
    fields: &'a Fields,
    question: &'a Question,
    head: String,
    watch: Stopwatch,
    read: u64,
}

impl<'a> Search<'a> {
    pub(super) fn new(searcher: &'a Searcher, fields: &'a Fields, question: &'a Question) -> Self {
        Search {
            searcher,
            fields,
            question,
            head: head(question.space),
            watch: Stopwatch::start(),
            read: 0,
        }
    }

    /// The best `limit` that come after `after`.
    pub(super) fn run(mut self, after: Option<Rank>, limit: usize) -> Result<Found, SearchError> {
        let rarities = self.rarities()?;
        let mut best: BinaryHeap<std::cmp::Reverse<Rank>> = BinaryHeap::new();
        let mut matches = 0;
        for segment in self.searcher.segment_readers() {
            let worths = self.matching(segment, &rarities)?;
            let columns = segment.fast_fields();
            let column = |name| columns.column_first_or_default::<u64>(name);
            let (spaces, collections) = (column(SPACE)?, column(COLLECTION)?);
            let (highs, lows) = (column(HIGH)?, column(LOW)?);
            for (document, score) in worths {
                let collection = collections.get_val(document);
                if spaces.get_val(document) != self.question.space.0 || !self.is_asked(collection) {
                    continue;
                }
                matches += 1;
                if best.len() == limit && best.peek().is_none_or(|worst| score < worst.0.score) {
                    continue;
                }
                let id = (u128::from(highs.get_val(document)) << 64) | u128::from(lows.get_val(document));
                let rank = Rank {
                    score,
                    id: id.to_be_bytes(),
                    collection: u32::try_from(collection).unwrap_or(u32::MAX),
                };
                if after.is_none_or(|after| rank < after) {
                    best.push(std::cmp::Reverse(rank));
                }
                if best.len() > limit {
                    best.pop();
                }
            }
        }
        let ranks = best.into_sorted_vec().into_iter().map(|reversed| reversed.0).collect();
        Ok(Found { ranks, matches })
    }

    fn is_asked(&self, collection: u64) -> bool {
        let wanted = |collections: &Vec<u32>| u32::try_from(collection).is_ok_and(|one| collections.binary_search(&one).is_ok());
        self.question.collections.as_ref().is_none_or(wanted)
    }

    /// What each needed clause is multiplied with.
    fn rarities(&mut self) -> Result<Vec<u64>, SearchError> {
        if !self.question.by_rarity {
            return Ok(vec![1; self.question.needed.len()]);
        }
        let records = self.records()?;
        let mut rarities = Vec::with_capacity(self.question.needed.len());
        for clause in &self.question.needed {
            let mut rarest = records;
            for pattern in clause.patterns() {
                rarest = rarest.min(self.frequency(pattern)?);
            }
            rarities.push(rarity(records, rarest));
        }
        Ok(rarities)
    }

    /// How many records the space has in the index.
    fn records(&mut self) -> Result<u64, SearchError> {
        let term = self.fields.of_space(self.question.space);
        let mut records = 0;
        for segment in self.searcher.segment_readers() {
            let index = segment.inverted_index(self.fields.of)?;
            if let Some(info) = index.get_term_info(&term)? {
                let postings = index.read_postings_from_terminfo(&info, IndexRecordOption::Basic)?;
                records += self.alive(segment, postings)?;
            }
        }
        Ok(records)
    }

    /// How many records have a word, in the part in which most have it.
    fn frequency(&mut self, pattern: &Pattern) -> Result<u64, SearchError> {
        let mut most = 0;
        for part in self.fields.parts {
            let mut records = 0;
            for segment in self.searcher.segment_readers() {
                let index = segment.inverted_index(part)?;
                if let Some(info) = pattern.own_term(index.terms(), &self.head)? {
                    let postings = index.read_postings_from_terminfo(&info, IndexRecordOption::Basic)?;
                    records += self.alive(segment, postings)?;
                }
            }
            most = most.max(records);
        }
        Ok(most)
    }

    /// How many documents of a list are not deleted.
    fn alive(&mut self, segment: &SegmentReader, mut postings: SegmentPostings) -> Result<u64, SearchError> {
        let Some(alive) = segment.alive_bitset() else {
            return Ok(u64::from(postings.doc_freq()));
        };
        let mut count = 0;
        let mut document = postings.doc();
        while document != TERMINATED {
            count += u64::from(alive.is_alive(document));
            document = postings.advance();
            self.step()?;
        }
        Ok(count)
    }

    /// The documents of a segment that match, with what they are worth.
    fn matching(&mut self, segment: &SegmentReader, rarities: &[u64]) -> Result<Worths, SearchError> {
        let question = self.question;
        let mut clauses = Vec::with_capacity(question.needed.len());
        for (clause, rarity) in question.needed.iter().zip(rarities) {
            let lists = self.lists(segment, clause)?;
            clauses.push((lists.shortest(), *rarity, lists));
        }
        clauses.sort_by_key(|(length, ..)| *length);
        let mut found: Option<Worths> = None;
        for (_, rarity, lists) in &clauses {
            let mut worths = self.worths(segment, lists, found.as_deref())?;
            worths.iter_mut().for_each(|(_, worth)| *worth *= rarity);
            found = Some(match found {
                None => worths,
                Some(found) => both(found, &worths),
            });
            if found.as_ref().is_some_and(Vec::is_empty) {
                return Ok(Vec::new());
            }
        }
        let mut found = found.unwrap_or_default();
        if let Some(alive) = segment.alive_bitset() {
            found.retain(|(document, _)| alive.is_alive(*document));
        }
        for clause in &question.excluded {
            let lists = self.lists(segment, clause)?;
            let without = self.worths(segment, &lists, Some(&found))?;
            found.retain(|(document, _)| without.binary_search_by_key(document, |(other, _)| *other).is_err());
        }
        Ok(found)
    }

    /// The lists of a clause, by part and pattern.
    fn lists(&self, segment: &SegmentReader, clause: &Clause) -> Result<Lists, SearchError> {
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
    fn worths(&mut self, segment: &SegmentReader, lists: &Lists, within: Option<&[(u32, u64)]>) -> Result<Worths, SearchError> {
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
        patterns: &[Vec<(f64, TermInfo)>],
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

    fn step(&mut self) -> Result<(), SearchError> {
        self.read += 1;
        if !self.read.is_multiple_of(TIME_STEP) {
            return Ok(());
        }
        if self.read > POSTINGS {
            let what = "the words are in too many records to go through: ask for rarer ones, or in fewer collections";
            return Err(SearchError::TooBroad(what.to_owned()));
        }
        match self.watch.elapsed() > self.question.time {
            true => Err(SearchError::TimedOut(self.question.time.as_millis())),
            false => Ok(()),
        }
    }
}

/// The lists of a clause.
struct Lists {
    /// By part: the terms of each pattern, with how well each fits.
    parts: Vec<(Part, Vec<Vec<(f64, TermInfo)>>)>,
}

impl Lists {
    /// How many documents the clause can have at most.
    fn shortest(&self) -> u64 {
        let of_part = |(_, patterns): &(Part, Vec<Vec<(f64, TermInfo)>>)| patterns.iter().map(|terms| documents(terms)).min();
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

/// How much rarer than all a word of so many records is: BM25's logarithm, in steps, and one step at least.
#[allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "counts of records, and a logarithm of their share"
)]
fn rarity(records: u64, having: u64) -> u64 {
    let (records, having) = (records as f64, having.min(records) as f64);
    let logarithm = (1.0 + (records - having + 0.5) / (having + 0.5)).ln();
    (logarithm * RARITY_STEPS).round() as u64 + 1
}

/// The documents of both, with what they are worth together.
fn both(found: Worths, next: &[(u32, u64)]) -> Worths {
    let mut next = next.iter().peekable();
    let together = found.into_iter().filter_map(|(document, worth)| {
        while next.next_if(|(other, _)| *other < document).is_some() {}
        let (_, more) = next.next_if(|(other, _)| *other == document)?;
        Some((document, worth + more))
    });
    together.collect()
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
