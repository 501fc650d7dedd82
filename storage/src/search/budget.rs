//! What one question may read. What is read is counted; a question that reads too much ends and says so. Every few thousand places who asks is
//! asked whether it has taken too long; it may rest before it answers.

use super::SearchError;

/// Most places in lists that one question reads. Raised: questions of frequent words on large tenants take longer. Lowered: they are refused.
const PLACES: u64 = 20_000_000;
/// Most terms of all dictionaries that one question stands for: they are kept until it is answered, some 50 bytes each. Raised: questions of short
/// beginnings take more memory. Lowered: they are refused.
const TERMS: usize = 400_000;
/// How many places are read until it is asked whether that took too long.
const STEP: u64 = 4_096;

/// See the module.
pub(super) struct Budget<'a> {
    is_over: &'a mut dyn FnMut() -> bool,
    read: u64,
    terms: usize,
    /// How many had been read when it was asked last.
    looked: u64,
}

impl<'a> Budget<'a> {
    pub(super) fn new(is_over: &'a mut dyn FnMut() -> bool) -> Self {
        Budget {
            is_over,
            read: 0,
            terms: 0,
            looked: 0,
        }
    }

    /// Counts terms that are kept. Fails where that was too much.
    pub(super) fn keep(&mut self, terms: usize) -> Result<(), SearchError> {
        self.terms += terms;
        if self.terms <= TERMS {
            return Ok(());
        }
        let what = "too many words are like those that were typed: type more of them";
        Err(SearchError::TooBroad(what.to_owned()))
    }

    /// Counts places that are read. Fails where that was too much.
    pub(super) fn spend(&mut self, places: usize) -> Result<(), SearchError> {
        self.read += places as u64;
        if self.read - self.looked < STEP {
            return Ok(());
        }
        self.looked = self.read;
        if self.read > PLACES {
            let what = "the words are in too many records to go through: ask for rarer ones, or in fewer collections";
            return Err(SearchError::TooBroad(what.to_owned()));
        }
        match (self.is_over)() {
            true => Err(SearchError::TimedOut),
            false => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_ends_at_its_terms_its_places_and_its_time() {
        let (mut never, mut at_once) = (|| false, || true);
        let mut budget = Budget::new(&mut never);
        assert!(budget.keep(TERMS).is_ok());
        assert!(matches!(budget.keep(1), Err(SearchError::TooBroad(_))));
        let mut budget = Budget::new(&mut never);
        assert!(budget.spend(usize::try_from(PLACES).expect("small")).is_ok());
        assert!(budget.spend(1).is_ok(), "it looks every so many places only");
        let step = usize::try_from(STEP).expect("small");
        assert!(matches!(budget.spend(step), Err(SearchError::TooBroad(_))));
        let mut budget = Budget::new(&mut at_once);
        assert!(budget.spend(step - 1).is_ok());
        assert!(matches!(budget.spend(1), Err(SearchError::TimedOut)));
    }
}
