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
//! Every clause becomes a list of documents with their worth, the rarest first; of the lists of the next only that is looked at, and valued, which the list
//! so far has. What is read is counted: a question that reads too much, or for too long, ends and says so.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::SearchError;
use super::budget::Budget;
use super::lists::{Lists, Reading, Worths};
use super::question::{Clause, Question};
use super::scan::Scan;
use super::shape::{Fields, head};
use super::view::{Segment, View};

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

/// One question to one state of an index.
pub(super) struct Search<'a> {
    reading: Reading<'a>,
    question: &'a mut Question,
}

/// The best so far, at most so many.
struct Best {
    limit: usize,
    after: Option<Rank>,
    ranks: BinaryHeap<Reverse<Rank>>,
}

impl<'a> Search<'a> {
    pub(super) fn new(
        view: &'a View,
        fields: &'a Fields,
        question: &'a mut Question,
        is_over: &'a mut dyn FnMut() -> bool,
    ) -> Self {
        let reading = Reading {
            view,
            fields,
            head: head(question.space),
            budget: Budget::new(is_over),
        };
        Search { reading, question }
    }

    /// The best `limit` that come after `after`.
    pub(super) fn run(mut self, after: Option<Rank>, limit: usize) -> Result<Found, SearchError> {
        let by_count = self.question.by_rarity;
        let mut lists = |clauses: &mut [Clause]| -> Result<Vec<_>, SearchError> {
            clauses
                .iter_mut()
                .map(|clause| self.reading.lists(clause, by_count))
                .collect()
        };
        let needed = lists(&mut self.question.needed)?;
        let excluded = lists(&mut self.question.excluded)?;
        let rarities = self.rarities(&needed)?;
        let mut best = Best {
            limit,
            after,
            ranks: BinaryHeap::new(),
        };
        let mut matches = 0;
        let view = self.reading.view;
        for (at, segment) in view.segments().enumerate() {
            let needed = needed
                .iter()
                .zip(&rarities)
                .map(|(lists, rarity)| (&lists[at], *rarity))
                .collect();
            let excluded: Vec<_> = excluded.iter().map(|lists| &lists[at]).collect();
            let worths = self.matching(segment, needed, &excluded)?;
            matches += self.keep(segment, worths, &mut best)?;
        }
        let ranks = best.ranks.into_sorted_vec().into_iter().map(|reversed| reversed.0).collect();
        Ok(Found { ranks, matches })
    }

    /// Keeps the best of the matches of a segment; how many are of what was asked.
    fn keep(&self, segment: Segment<'_>, worths: Worths, best: &mut Best) -> Result<u64, SearchError> {
        if worths.is_empty() {
            return Ok(0);
        }
        let columns = segment.columns()?;
        let mut matches = 0;
        for (document, score) in worths {
            let collection = columns.collection.get_val(document);
            if columns.space.get_val(document) != self.question.space.0 || !self.is_asked(collection) {
                continue;
            }
            matches += 1;
            if best.is_below(score) {
                continue;
            }
            let id = (u128::from(columns.high.get_val(document)) << 64) | u128::from(columns.low.get_val(document));
            best.offer(Rank {
                score,
                id: id.to_be_bytes(),
                collection: u32::try_from(collection).unwrap_or(u32::MAX),
            });
        }
        Ok(matches)
    }

    fn is_asked(&self, collection: u64) -> bool {
        let wanted = |collections: &Vec<u32>| u32::try_from(collection).is_ok_and(|one| collections.binary_search(&one).is_ok());
        self.question.collections.as_ref().is_none_or(wanted)
    }

    /// What each needed clause is multiplied with.
    fn rarities(&mut self, needed: &[Vec<Lists>]) -> Result<Vec<u64>, SearchError> {
        if !self.question.by_rarity {
            return Ok(vec![1; needed.len()]);
        }
        let records = self.records()?;
        let clauses = self.question.needed.iter().zip(needed);
        let rarity = |(clause, lists): (&Clause, &Vec<Lists>)| Ok(rarity(records, self.reading.rarest(lists, clause)?));
        clauses.map(rarity).collect()
    }

    /// How many records the space has in the index.
    fn records(&mut self) -> Result<u64, SearchError> {
        let Reading {
            view, fields, budget, ..
        } = &mut self.reading;
        let term = fields.of_space(self.question.space);
        view.records(self.question.space, || {
            let mut records = 0;
            for segment in view.segments() {
                let index = segment.reader.inverted_index(fields.of)?;
                if let Some(list) = index.get_term_info(&term)? {
                    records += Scan::plain(&index).alive(&list, segment.deleted(), budget)?;
                }
            }
            Ok(records)
        })
    }

    /// The documents of a segment that match, with what they are worth.
    fn matching(
        &mut self,
        segment: Segment<'_>,
        mut needed: Vec<(&Lists, u64)>,
        excluded: &[&Lists],
    ) -> Result<Worths, SearchError> {
        needed.sort_by_key(|(lists, _)| lists.shortest());
        let mut found: Option<Worths> = None;
        for (lists, rarity) in needed {
            let mut worths = self.reading.worths(segment, lists, found.as_deref())?;
            worths.iter_mut().for_each(|(_, worth)| *worth *= rarity);
            let together = match found {
                None => worths,
                Some(found) => both(found, &worths),
            };
            if together.is_empty() {
                return Ok(Vec::new());
            }
            found = Some(together);
        }
        let mut found = found.unwrap_or_default();
        if let Some(alive) = segment.reader.alive_bitset() {
            found.retain(|(document, _)| alive.is_alive(*document));
        }
        for lists in excluded {
            let without = self.reading.worths(segment, lists, Some(&found))?;
            found.retain(|(document, _)| without.binary_search_by_key(document, |(other, _)| *other).is_err());
        }
        Ok(found)
    }
}

impl Best {
    /// Whether what is worth so much is not among them, whatever its id is.
    fn is_below(&self, score: u64) -> bool {
        self.ranks.len() == self.limit && self.ranks.peek().is_none_or(|worst| score < worst.0.score)
    }

    fn offer(&mut self, rank: Rank) {
        if self.after.is_none_or(|after| rank < after) {
            self.ranks.push(Reverse(rank));
        }
        if self.ranks.len() > self.limit {
            self.ranks.pop();
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
