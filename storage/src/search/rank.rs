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
use std::time::Duration;

use tantivy::postings::SegmentPostings;
use tantivy::schema::IndexRecordOption;
use tantivy::{DocSet, Searcher, SegmentReader, TERMINATED};

use super::SearchError;
use super::question::{Pattern, Question};
use super::shape::{COLLECTION, Fields, HIGH, LOW, SPACE, head};

/// Most places in lists that one question reads. Raised: questions of frequent words on large tenants take longer. Lowered: they are refused.
const POSTINGS: u64 = 20_000_000;
/// How many are read between two looks at the time.
const TIME_STEP: u64 = 4_096;
/// Steps of rarity between two powers of e.
const RARITY_STEPS: f64 = 2.0;

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
pub(super) type Worths = Vec<(u32, u64)>;

/// One question to one state of an index.
pub(super) struct Search<'a> {
    searcher: &'a Searcher,
    pub(super) fields: &'a Fields,
    question: &'a Question,
    /// What the terms of the space begin with.
    pub(super) head: String,
    began: Duration,
    read: u64,
}

impl<'a> Search<'a> {
    pub(super) fn new(searcher: &'a Searcher, fields: &'a Fields, question: &'a Question) -> Self {
        Search {
            searcher,
            fields,
            question,
            head: head(question.space),
            began: (question.clock)(),
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

    /// Counts one place that was read. Fails where that was too much.
    pub(super) fn step(&mut self) -> Result<(), SearchError> {
        self.read += 1;
        if !self.read.is_multiple_of(TIME_STEP) {
            return Ok(());
        }
        if self.read > POSTINGS {
            let what = "the words are in too many records to go through: ask for rarer ones, or in fewer collections";
            return Err(SearchError::TooBroad(what.to_owned()));
        }
        match (self.question.clock)().saturating_sub(self.began) > self.question.time {
            true => Err(SearchError::TimedOut(self.question.time.as_millis())),
            false => Ok(()),
        }
    }
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
