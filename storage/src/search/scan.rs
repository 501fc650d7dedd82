//! Going through a list: all of it, or what it has of some documents. A list is compressed in blocks; blocks without any of those documents are not unpacked.

use tantivy::TERMINATED;
use tantivy::index::InvertedIndexReader;
use tantivy::postings::{BlockSegmentPostings, TermInfo};
use tantivy::schema::IndexRecordOption;

use super::SearchError;
use super::budget::Budget;

/// A document is looked for, instead of met, where the list is this many times longer than what is looked for.
const SEEK_RATIO: usize = 8;

/// Opens the lists of one dictionary, one after the other, in the same memory.
pub(super) struct Scan<'i> {
    index: &'i InvertedIndexReader,
    option: IndexRecordOption,
    postings: Option<BlockSegmentPostings>,
}

impl<'i> Scan<'i> {
    /// Of lists that say how often a document has a word.
    pub(super) fn with_times(index: &'i InvertedIndexReader) -> Self {
        Scan {
            index,
            option: IndexRecordOption::WithFreqs,
            postings: None,
        }
    }

    /// Of documents alone.
    pub(super) fn plain(index: &'i InvertedIndexReader) -> Self {
        Scan {
            option: IndexRecordOption::Basic,
            ..Scan::with_times(index)
        }
    }

    fn open(&mut self, list: &TermInfo) -> Result<&mut BlockSegmentPostings, SearchError> {
        match &mut self.postings {
            Some(postings) => self.index.reset_block_postings_from_terminfo(list, postings)?,
            none => *none = Some(self.index.read_block_postings_from_terminfo(list, self.option)?),
        }
        Ok(self.postings.get_or_insert_with(BlockSegmentPostings::empty))
    }

    /// Hands each document of a list to `note`, ascending, with how often it has the word.
    pub(super) fn all(
        &mut self,
        list: &TermInfo,
        budget: &mut Budget,
        mut note: impl FnMut(u32, u32),
    ) -> Result<(), SearchError> {
        let postings = self.open(list)?;
        while postings.block_len() > 0 {
            budget.spend(postings.block_len())?;
            for place in 0..postings.block_len() {
                note(postings.doc(place), postings.freq(place));
            }
            postings.advance();
        }
        Ok(())
    }

    /// The same for those documents only that are in `wanted`, which ascend.
    pub(super) fn among(
        &mut self,
        list: &TermInfo,
        wanted: impl ExactSizeIterator<Item = u32>,
        budget: &mut Budget,
        mut note: impl FnMut(u32, u32),
    ) -> Result<(), SearchError> {
        let postings = self.open(list)?;
        if wanted.len().saturating_mul(SEEK_RATIO) < postings.doc_freq() as usize {
            for document in wanted {
                budget.spend(1)?;
                let place = postings.seek(document);
                match postings.doc(place) {
                    TERMINATED => return Ok(()),
                    found if found == document => note(document, postings.freq(place)),
                    _ => {}
                }
            }
            return Ok(());
        }
        let mut wanted = wanted.peekable();
        while let Some(last) = postings.docs().last().copied() {
            budget.spend(postings.block_len())?;
            let (documents, mut place) = (postings.docs(), 0);
            while let Some(document) = wanted.next_if(|document| *document <= last) {
                // The last one of the block is not before it.
                while documents[place] < document {
                    place += 1;
                }
                if documents[place] == document {
                    note(document, postings.freq(place));
                }
            }
            if wanted.peek().is_none() {
                return Ok(());
            }
            postings.advance();
        }
        Ok(())
    }

    /// How many documents of a list are not in `deleted`, which ascend.
    pub(super) fn alive(&mut self, list: &TermInfo, deleted: &[u32], budget: &mut Budget) -> Result<u64, SearchError> {
        let mut count = u64::from(list.doc_freq);
        if !deleted.is_empty() {
            self.among(list, deleted.iter().copied(), budget, |_, _| count -= 1)?;
        }
        Ok(count)
    }
}
