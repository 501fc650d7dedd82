//! The lists behind a clause: which they are, and which documents are in them with what each is worth.
//!
//! Words that are near a typed one are looked for only where that one, with its other forms and all that begins like it, is rare: what is in
//! [`KNOWN`] texts and more is no typo. That is counted over documents that are not deleted, so that every replica comes to the same.

use tantivy::SegmentReader;

use super::budget::Budget;
use super::question::{Clause, Terms};
use super::scan::Scan;
use super::shape::Fields;
use super::value::Value;
use super::view::{Segment, View};
use super::{Part, SearchError};

/// A word that so many texts of a space have is no typo. Raised: typos of words that many mistype are forgiven, too, and questions take longer. Lowered:
/// a typo that some have written finds only theirs.
const KNOWN: u64 = 100;
/// Bits of what a document is worth for a word, and of its part, where both are put behind its number.
const WORTH_BITS: u32 = 30;

/// Documents of one segment, ascending, each with what it is worth.
pub(super) type Worths = Vec<(u32, u64)>;

/// The lists of a clause in one segment: by part, those of each of its patterns.
pub(super) struct Lists(Vec<(Part, Vec<Terms>)>);

/// Who looks into one state of an index for one space.
pub(super) struct Reading<'v> {
    pub(super) view: &'v View,
    pub(super) fields: &'v Fields,
    /// What the terms of the space begin with.
    pub(super) head: String,
    pub(super) budget: Budget<'v>,
}

impl Reading<'_> {
    /// The lists of a clause, by segment. `by_count`: what many have is no typo, and its pattern forgets that it could be.
    pub(super) fn lists(&mut self, clause: &mut Clause, by_count: bool) -> Result<Vec<Lists>, SearchError> {
        let mut all = Vec::new();
        for segment in self.view.segments() {
            let mut parts = Vec::with_capacity(Part::ALL.len());
            for part in Part::ALL {
                let index = segment.reader.inverted_index(self.fields.parts[part as usize])?;
                let mut patterns = Vec::with_capacity(clause.patterns().len());
                for pattern in clause.patterns() {
                    let terms = pattern.terms(index.terms(), &self.head)?;
                    self.budget.keep(terms.meant.len())?;
                    patterns.push(terms);
                }
                parts.push((part, patterns));
            }
            all.push(Lists(parts));
        }
        let forgiving = clause.patterns_mut().iter_mut().enumerate();
        for (place, pattern) in forgiving.filter(|(_, pattern)| pattern.forgives()) {
            if by_count && self.is_known(&all, place)? {
                pattern.means_itself();
                continue;
            }
            for (segment, lists) in self.view.segments().zip(&mut all) {
                for (part, patterns) in &mut lists.0 {
                    let index = segment.reader.inverted_index(self.fields.parts[*part as usize])?;
                    let terms = &mut patterns[place];
                    let before = terms.meant.len();
                    pattern.add_near(index.terms(), &self.head, terms)?;
                    self.budget.keep(terms.meant.len() - before)?;
                }
            }
        }
        Ok(all)
    }

    /// Whether a pattern of a clause is of a word that many texts have, in any form.
    fn is_known(&mut self, all: &[Lists], place: usize) -> Result<bool, SearchError> {
        let mut count = 0;
        for (segment, lists) in self.view.segments().zip(all) {
            let deleted = segment.deleted();
            for (part, patterns) in &lists.0 {
                let index = segment.reader.inverted_index(self.fields.parts[*part as usize])?;
                let mut scan = Scan::plain(&index);
                for (_, list) in &patterns[place].meant {
                    // What is long enough whatever is deleted need not be looked into.
                    let least = u64::from(list.doc_freq).saturating_sub(deleted.len() as u64);
                    count += match count + least >= KNOWN {
                        true => least,
                        false => scan.alive(list, deleted, &mut self.budget)?,
                    };
                    if count >= KNOWN {
                        return Ok(true);
                    }
                }
            }
        }
        Ok(false)
    }

    /// How many records have the rarest word of a clause, each word counted in the part in which most have it.
    pub(super) fn rarest(&mut self, all: &[Lists], clause: &Clause) -> Result<u64, SearchError> {
        let mut rarest = u64::MAX;
        for place in 0..clause.patterns().len() {
            let mut by_part = [0; Part::ALL.len()];
            for (segment, lists) in self.view.segments().zip(all) {
                for (part, patterns) in &lists.0 {
                    let Some(own) = &patterns[place].own else { continue };
                    let index = segment.reader.inverted_index(self.fields.parts[*part as usize])?;
                    by_part[*part as usize] += Scan::plain(&index).alive(own, segment.deleted(), &mut self.budget)?;
                }
            }
            rarest = rarest.min(by_part.into_iter().max().unwrap_or_default());
        }
        Ok(rarest)
    }

    /// The documents of a clause with what they are worth; those of `within` only, where it says which.
    pub(super) fn worths(
        &mut self,
        segment: Segment<'_>,
        lists: &Lists,
        within: Option<&[(u32, u64)]>,
    ) -> Result<Worths, SearchError> {
        let mut noted = Vec::new();
        for (part, patterns) in &lists.0 {
            match patterns.as_slice() {
                [terms] => self.words(segment.reader, *part, terms, within, &mut noted)?,
                patterns => self.phrases(segment.reader, *part, patterns, within, &mut noted)?,
            }
        }
        Ok(summed(noted))
    }

    /// The documents of one part that have any of these words.
    fn words(
        &mut self,
        segment: &SegmentReader,
        part: Part,
        terms: &Terms,
        within: Option<&[(u32, u64)]>,
        out: &mut Vec<u64>,
    ) -> Result<(), SearchError> {
        if terms.meant.is_empty() {
            return Ok(());
        }
        let field = self.fields.parts[part as usize];
        let index = segment.inverted_index(field)?;
        let lengths = segment.get_fieldnorms_reader(field)?;
        let mut scan = Scan::with_times(&index);
        for (fit, list) in &terms.meant {
            let value = Value::of(part, *fit);
            let note = |document, times| out.push(noted(document, part, value.worth(times, lengths.fieldnorm_id(document))));
            match within {
                Some(within) => scan.among(list, within.iter().map(|(document, _)| *document), &mut self.budget, note)?,
                None => scan.all(list, &mut self.budget, note)?,
            }
        }
        Ok(())
    }
}

impl Lists {
    /// How many documents the clause can have at most.
    pub(super) fn shortest(&self) -> u64 {
        let of_part = |(_, patterns): &(Part, Vec<Terms>)| patterns.iter().map(documents).min();
        self.0.iter().filter_map(of_part).sum()
    }
}

/// How many documents a pattern can have at most.
pub(super) fn documents(terms: &Terms) -> u64 {
    terms.meant.iter().map(|(_, list)| u64::from(list.doc_freq)).sum()
}

/// A document with its part and what it is worth for a word of it, in that order, in one number.
pub(super) fn noted(document: u32, part: Part, worth: u64) -> u64 {
    (u64::from(document) << u32::BITS) | ((part as u64) << WORTH_BITS) | worth.min((1 << WORTH_BITS) - 1)
}

/// What documents are worth in all: what fits best counts in each part, and the parts add up.
fn summed(mut noted: Vec<u64>) -> Worths {
    // Each list ascends: this sort finds that, and puts them together.
    noted.sort();
    let mut summed: Worths = Vec::with_capacity(noted.len());
    for (place, note) in noted.iter().enumerate() {
        let is_best = noted
            .get(place + 1)
            .is_none_or(|next| next >> WORTH_BITS != note >> WORTH_BITS);
        if !is_best {
            continue;
        }
        let (document, worth) = ((note >> u32::BITS) as u32, note & ((1 << WORTH_BITS) - 1));
        match summed.last_mut().filter(|(last, _)| *last == document) {
            Some((_, sum)) => *sum += worth,
            None => summed.push((document, worth)),
        }
    }
    summed
}
