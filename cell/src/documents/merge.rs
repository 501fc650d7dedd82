//! What Yjs knows of updates: whether they can be read, what they say together, what somebody lacks, and the text.
//!
//! Updates come from clients. The library that reads them is trusted with their format, and not with everything that a format can be used
//! for: where it panics, that is an update that cannot be read; and what it may see at all is looked at before ([`super::check`]).

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use yrs::branch::{Branch, BranchPtr};
use yrs::types::xml::XmlOut;
use yrs::updates::decoder::Decode;
use yrs::updates::encoder::Encode;
use yrs::{Doc, GetString, Options, Out, ReadTxn, StateVector, TextRef, Transact, Update, XmlFragment, XmlFragmentRef};

use super::rows::Stored;
use super::{TEXT_CHARS, check};
use crate::records::rest::core_time;

/// So many types, each within the other, are deleted on any stack: the library calls itself for each. Documents with more get a stack of their own.
const SHALLOW: usize = 200;
/// That stack, in bytes: as many types as fit into a document, of 2 KiB each. What is not used of it takes no memory.
const STACK: usize = 256 * 1024 * 1024;

/// Updates that cannot be read, or not be applied to the document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Unreadable(pub(crate) String);

/// A document, put together.
pub(crate) struct Whole(Doc);

/// Puts a document together and works with it; and how long that was on a core. `more`: an update that is to come to it meanwhile; empty: none.
pub(crate) fn with<T: Send>(
    stored: &Stored,
    more: &[u8],
    work: impl FnOnce(&Whole) -> T + Send,
) -> (Result<T, Unreadable>, Duration) {
    let start = core_time();
    let run = || Whole::of(stored).map(|whole| work(&whole));
    let (done, elsewhere) = match types(stored, more) {
        Ok(types) if types <= SHALLOW => (run(), Duration::ZERO),
        Ok(_) => on_a_large_stack(run),
        Err(error) => (Err(error), Duration::ZERO),
    };
    (done, core_time() - start + elsewhere)
}

/// How many types a document and an update that comes to it have at most.
fn types(stored: &Stored, more: &[u8]) -> Result<usize, Unreadable> {
    let updates = stored.updates.iter().map(|(_, update)| update.as_slice());
    let updates = updates.chain((!more.is_empty()).then_some(more));
    let types = updates.map(|update| check::update(update).map_err(unreadable));
    types.sum()
}

/// Runs something on a thread of its own; and how long that was on a core.
fn on_a_large_stack<T: Send>(run: impl FnOnce() -> Result<T, Unreadable> + Send) -> (Result<T, Unreadable>, Duration) {
    let timed = || {
        let done = run();
        (done, core_time())
    };
    let done = std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().name("document".to_owned()).stack_size(STACK);
        let thread = thread.spawn_scoped(scope, timed).map_err(unreadable)?;
        thread.join().map_err(|_| not_well_formed())
    });
    done.unwrap_or_else(|error| (Err(error), Duration::ZERO))
}

impl Whole {
    /// Puts a document together.
    pub(crate) fn of(stored: &Stored) -> Result<Self, Unreadable> {
        let doc = Doc::with_options(Options {
            // A number of a client that never writes.
            client_id: yrs::block::ClientID::new(1),
            ..Options::default()
        });
        let whole = Self(doc);
        for (_, update) in &stored.updates {
            whole.apply(update)?;
        }
        Ok(whole)
    }

    /// Applies an update.
    pub(crate) fn apply(&self, update: &[u8]) -> Result<(), Unreadable> {
        guarded(|| {
            check::update(update).map_err(unreadable)?;
            let update = Update::decode_v1(update).map_err(unreadable)?;
            self.0.transact_mut().apply_update(update).map_err(unreadable)
        })
    }

    /// What somebody who has so much lacks.
    pub(crate) fn lacking(&self, has: &[u8]) -> Result<Vec<u8>, Unreadable> {
        guarded(|| {
            check::vector(has).map_err(unreadable)?;
            let has = StateVector::decode_v1(has).map_err(unreadable)?;
            Ok(self.0.transact().encode_state_as_update_v1(&has))
        })
    }

    /// All of it as one update.
    pub(crate) fn merged(&self) -> Result<Vec<u8>, Unreadable> {
        guarded(|| Ok(self.0.transact().encode_state_as_update_v1(&StateVector::default())))
    }

    /// How much of each client it has.
    pub(crate) fn state_vector(&self) -> Result<Vec<u8>, Unreadable> {
        guarded(|| Ok(self.0.transact().state_vector().encode_v1()))
    }

    /// The text: of all its parts by their names, without what formats them.
    pub(crate) fn text(&self) -> Result<String, Unreadable> {
        guarded(|| {
            let transaction = self.0.transact();
            let mut parts: Vec<_> = transaction.root_refs().map(|(name, part)| (name.to_owned(), part)).collect();
            parts.sort_by(|(one, _), (other, _)| one.cmp(other));
            let texts = parts.into_iter().map(|(_, part)| text_of(&transaction, part));
            let text = texts.filter(|text| !text.is_empty()).collect::<Vec<_>>().join("\n");
            Ok(text.chars().filter(|letter| *letter != '\0').take(TEXT_CHARS).collect())
        })
    }
}

/// Whether an update says nothing.
pub(crate) fn says_nothing(update: &[u8]) -> Result<bool, Unreadable> {
    guarded(|| {
        check::update(update).map_err(unreadable)?;
        Update::decode_v1(update).map(|update| update.is_empty()).map_err(unreadable)
    })
}

/// The text of a part of a document.
fn text_of<T: ReadTxn>(transaction: &T, part: Out) -> String {
    let branch = match part {
        Out::UndefinedRef(branch) => branch,
        Out::YText(text) => branch_of(&text),
        Out::YXmlFragment(fragment) => branch_of(&fragment),
        Out::YXmlText(text) => branch_of(&text),
        _ => return String::new(),
    };
    let plain = TextRef::from(branch).get_string(transaction);
    if !plain.is_empty() {
        return plain;
    }
    let fragment = XmlFragmentRef::from(branch);
    let texts = fragment.successors(transaction).filter_map(|node| match node {
        XmlOut::Text(text) => Some(TextRef::from(branch_of(&text)).get_string(transaction)),
        _ => None,
    });
    texts.collect::<Vec<_>>().join("\n")
}

fn branch_of(part: &impl AsRef<Branch>) -> BranchPtr {
    BranchPtr::from(part.as_ref())
}

fn unreadable(error: impl std::fmt::Display) -> Unreadable {
    Unreadable(error.to_string())
}

/// Runs what may panic.
fn guarded<T>(work: impl FnOnce() -> Result<T, Unreadable>) -> Result<T, Unreadable> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| Err(not_well_formed()))
}

fn not_well_formed() -> Unreadable {
    Unreadable("it is not well-formed".to_owned())
}

#[cfg(test)]
mod tests {
    use yrs::{Array, ArrayPrelim, Text};

    use super::*;

    fn stored(updates: &[Vec<u8>]) -> Stored {
        let updates = updates.iter().cloned().zip(1..).map(|(update, number)| (number, update));
        Stored {
            updates: updates.collect(),
        }
    }

    fn written(client: u64, words: &[&str]) -> Vec<Vec<u8>> {
        let doc = Doc::with_client_id(client);
        let text = doc.get_or_insert_text("text");
        let mut updates = Vec::new();
        for word in words {
            let mut transaction = doc.transact_mut();
            let end = text.len(&transaction);
            text.insert(&mut transaction, end, word);
            updates.push(transaction.encode_update_v1());
        }
        updates
    }

    #[test]
    fn updates_of_two_people_say_the_same_in_any_order_and_merged() {
        let mut updates = written(11, &["one ", "two "]);
        updates.extend(written(12, &["three "]));
        let whole = Whole::of(&stored(&updates)).expect("a document");
        let text = whole.text().expect("a text");
        assert!(text.contains("one two ") && text.contains("three "), "{text}");
        updates.reverse();
        let other = Whole::of(&stored(&updates)).expect("a document");
        assert_eq!(other.text().expect("a text"), text);
        let merged = Whole::of(&stored(&[whole.merged().expect("an update")])).expect("a document");
        assert_eq!(merged.text().expect("a text"), text);
        assert_eq!(merged.state_vector(), whole.state_vector());
        whole.apply(&updates[0]).expect("once more");
        assert_eq!(whole.text().expect("a text"), text);
        assert_eq!((says_nothing(&[0, 0]), says_nothing(&updates[0])), (Ok(true), Ok(false)));
        let first = Whole::of(&stored(&updates[1..])).expect("a document");
        let lacking = whole.lacking(&first.state_vector().expect("a vector")).expect("an update");
        first.apply(&lacking).expect("applied");
        assert_eq!(first.text().expect("a text"), text);
    }

    #[test]
    fn what_is_no_update_is_refused_and_never_panics() {
        let whole = Whole::of(&Stored::default()).expect("a document");
        assert_eq!(whole.text().expect("a text"), "");
        let good = written(11, &["some words"]).remove(0);
        assert!(whole.apply(b"").is_err() && whole.apply(&[255; 40]).is_err());
        for cut in 0..good.len() {
            let mut bad = good.clone();
            bad.truncate(cut);
            // Whatever it is, nothing is torn down by it.
            let _ = Whole::of(&Stored::default()).expect("a document").apply(&bad);
            let mut bad = good.clone();
            bad[cut] ^= 0x55;
            let _ = Whole::of(&Stored::default()).expect("a document").apply(&bad);
        }
    }

    #[test]
    fn types_within_types_are_deleted_however_many_there_are() {
        const LEVELS: usize = 20_000;
        let deep = || {
            let doc = Doc::with_client_id(11);
            let root = doc.get_or_insert_array("root");
            let mut transaction = doc.transact_mut();
            let mut array = root.clone();
            for _ in 0..LEVELS {
                array = array.push_back(&mut transaction, ArrayPrelim::default());
            }
            let made = transaction.encode_update_v1();
            drop(transaction);
            let mut transaction = doc.transact_mut();
            root.remove(&mut transaction, 0);
            (made, transaction.encode_update_v1())
        };
        // The client's library calls itself as ours does.
        let client = std::thread::Builder::new().stack_size(STACK).spawn(deep).expect("a thread");
        let (made, removed) = client.join().expect("two updates");
        let (text, core) = with(&stored(&[made]), &removed, |whole| {
            whole
                .apply(&removed)
                .and_then(|()| whole.text())
                .map(|text| (text, core_time()))
        });
        let (text, there) = text.and_then(|text| text).expect("a text");
        assert_eq!(text, "");
        assert!(core >= there, "{core:?} of which {there:?} on another thread");
    }

    #[test]
    fn what_is_taken_can_be_read_and_merged_ever_after() {
        let (mut seed, mut taken) = (0x9E37_79B9_7F4A_7C15_u64, 0);
        let mut next = |below: usize| {
            // xorshift64*, Marsaglia 2003.
            seed ^= seed >> 12;
            seed ^= seed << 25;
            seed ^= seed >> 27;
            (seed.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) as usize % below
        };
        let mut updates = written(11, &["one ", "two ", "three "]);
        updates.extend(written(12, &["four", "five"]));
        let whole = Whole::of(&stored(&updates)).expect("a document").merged().expect("an update");
        for _ in 0..3_000 {
            let mut bad = if next(2) == 0 {
                whole.clone()
            } else {
                updates[next(5)].clone()
            };
            for _ in 0..=next(3) {
                let at = next(bad.len());
                bad[at] = next(256) as u8;
            }
            let document = Whole::of(&stored(&updates[..next(5)])).expect("a document");
            if document.apply(&bad).is_err() {
                continue;
            }
            taken += 1;
            let merged = document.text().and_then(|_| document.merged());
            let merged = merged.unwrap_or_else(|error| panic!("{bad:?} was taken: {error:?}"));
            let again = Whole::of(&stored(&[merged])).and_then(|again| again.text());
            assert_eq!(again, document.text(), "{bad:?}");
        }
        assert!(taken > 100, "only {taken} were taken");
    }
}
