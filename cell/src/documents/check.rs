//! What bytes from clients may look like before the library of Yjs reads them.
//!
//! The library believes what a message says of itself: it reserves memory for as many entries as are announced, and calls itself for each level of
//! a nested value. Here the bytes are walked without either, in the order in which `yrs` 0.28 reads them (`Update::decode` and what it calls; numbers
//! wrap as there, so that both read the same). What is not whole is refused.

/// Levels of a nested value, as in an array within an array.
const LEVELS: usize = 100;
/// Longest number, in bytes.
const NUMBER_BYTES: usize = 11;

/// What an update is refused for.
type Walked<T> = Result<T, &'static str>;

/// Walks an update. How many types it has (elements, maps and the like), which may be in each other.
pub(super) fn update(bytes: &[u8]) -> Walked<usize> {
    let mut walk = Walk(bytes);
    let mut types = 0;
    for _ in 0..walk.small()? {
        let blocks = walk.small()?;
        walk.large()?;
        walk.small()?;
        for _ in 0..blocks {
            types += usize::from(walk.block()?);
        }
    }
    for _ in 0..walk.small()? {
        walk.large()?;
        for _ in 0..walk.small()? {
            walk.small()?;
            walk.small()?;
        }
    }
    Ok(types)
}

/// Walks a state vector.
pub(super) fn vector(bytes: &[u8]) -> Walked<()> {
    let mut walk = Walk(bytes);
    for _ in 0..walk.small()? {
        walk.large()?;
        walk.small()?;
    }
    Ok(())
}

/// What is left to be walked.
struct Walk<'a>(&'a [u8]);

impl<'a> Walk<'a> {
    fn byte(&mut self) -> Walked<u8> {
        let (first, rest) = self.0.split_first().ok_or("it ends too early")?;
        self.0 = rest;
        Ok(*first)
    }

    fn bytes(&mut self, length: usize) -> Walked<&'a [u8]> {
        let (bytes, rest) = self.0.split_at_checked(length).ok_or("it ends too early")?;
        self.0 = rest;
        Ok(bytes)
    }

    /// A number of 32 bits; what is beyond them wraps.
    fn small(&mut self) -> Walked<u32> {
        let (mut number, mut shift) = (0, 0_u32);
        for _ in 0..NUMBER_BYTES {
            let byte = self.byte()?;
            number |= u32::from(byte & 0x7f).wrapping_shl(shift);
            shift += 7;
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err("a number is too long")
    }

    /// A number of 64 bits, whatever it is.
    fn large(&mut self) -> Walked<()> {
        self.small().map(drop)
    }

    fn text(&mut self) -> Walked<()> {
        let length = self.small()? as usize;
        self.bytes(length).map(drop)
    }

    /// One block; whether it is a type.
    fn block(&mut self) -> Walked<bool> {
        const HAS_ORIGIN: u8 = 0x80;
        const HAS_RIGHT_ORIGIN: u8 = 0x40;
        const HAS_KEY: u8 = 0x20;
        let info = self.byte()?;
        // What was collected, and what is left out.
        if matches!(info, 0 | 10) {
            self.small()?;
            return Ok(false);
        }
        for flag in [HAS_ORIGIN, HAS_RIGHT_ORIGIN] {
            if info & flag != 0 {
                self.id()?;
            }
        }
        if info & (HAS_ORIGIN | HAS_RIGHT_ORIGIN) == 0 {
            match self.small()? {
                1 => self.text()?,
                _ => self.id()?,
            }
            if info & HAS_KEY != 0 {
                self.text()?;
            }
        }
        self.content(info & 0x0f)
    }

    fn id(&mut self) -> Walked<()> {
        self.large()?;
        self.small().map(drop)
    }

    /// What a block holds; whether it is a type.
    fn content(&mut self, kind: u8) -> Walked<bool> {
        match kind {
            // Deleted: how much.
            1 => self.small().map(drop)?,
            // JSON, of which the library reads one more than is announced.
            2 => {
                let more = i32::try_from(self.small()?).map_err(|_| "a list is too long")?;
                for _ in 0..=more {
                    self.text()?;
                }
            }
            // Bytes, text, an embedded value as JSON.
            3..=5 => self.text()?,
            // A format: its key and its value as JSON.
            6 => {
                self.text()?;
                self.text()?;
            }
            7 => {
                match self.byte()? {
                    // An element has a name.
                    3 => self.text()?,
                    0..=6 | 9 | 15 => {}
                    _ => return Err("it has a type that is not known"),
                }
                return Ok(true);
            }
            8 => {
                let values = self.small()?;
                self.values(u64::from(values))?;
            }
            // A document within: its name and its options.
            9 => {
                self.text()?;
                self.values(1)?;
            }
            _ => return Err("it has content that is not known"),
        }
        Ok(false)
    }

    /// So many values, nested ones with all that is in them.
    fn values(&mut self, count: u64) -> Walked<()> {
        // How many are left of each level, and whether each has a key before it.
        let mut levels = vec![(count, false)];
        while let Some((left, keyed)) = levels.last_mut() {
            if *left == 0 {
                levels.pop();
                continue;
            }
            *left -= 1;
            if *keyed {
                self.text()?;
            }
            match self.byte()? {
                120 | 121 | 126 | 127 => {}
                125 => self.large()?,
                124 => self.bytes(4).map(drop)?,
                122 | 123 => self.bytes(8).map(drop)?,
                116 | 119 => self.text()?,
                kind @ (117 | 118) => {
                    let inner = self.count()?;
                    if levels.len() == LEVELS {
                        return Err("its values are nested too deeply");
                    }
                    levels.push((inner, kind == 118));
                }
                _ => return Err("it has a value that is not known"),
            }
        }
        Ok(())
    }

    /// A number of 64 bits that says how many come. What wraps there cannot be meant, and is refused.
    fn count(&mut self) -> Walked<u64> {
        let before = self.0;
        let number = self.small()?;
        match before.len() - self.0.len() <= 4 {
            true => Ok(u64::from(number)),
            false => Err("a list is too long"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use yrs::types::Attrs;
    use yrs::updates::decoder::Decode;
    use yrs::{Any, Array, ArrayPrelim, Doc, Map, MapPrelim, ReadTxn, StateVector, Text, Transact, Update, XmlFragment};
    use yrs::{WriteTxn, XmlElementPrelim, XmlTextPrelim};

    use super::*;

    /// A document with everything in it that editors write.
    fn of_all_kinds() -> Vec<u8> {
        let doc = Doc::with_client_id(u64::from(u32::MAX));
        let mut transaction = doc.transact_mut();
        let text = transaction.get_or_insert_text("text");
        text.insert(&mut transaction, 0, "some words, and a ✓");
        let bold = Attrs::from([("bold".into(), true.into())]);
        text.format(&mut transaction, 2, 4, bold);
        text.insert_embed(&mut transaction, 3, Any::from("an image"));
        text.remove_range(&mut transaction, 1, 3);
        let array = transaction.get_or_insert_array("array");
        let nested = Any::from(vec![
            Any::Null,
            Any::Undefined,
            Any::from(1.5),
            Any::from(true),
            Any::from(7_i64),
        ]);
        array.push_back(&mut transaction, nested);
        array.push_back(&mut transaction, Any::from(vec![1_u8, 2, 3]));
        let map = array.push_back(&mut transaction, MapPrelim::from([("key", "value")]));
        let entries = HashMap::from([("one".to_owned(), Any::from("two"))]);
        map.insert(&mut transaction, "nested", Any::from(entries));
        map.insert(&mut transaction, "list", ArrayPrelim::from(["x"]));
        let fragment = transaction.get_or_insert_xml_fragment("xml");
        let element = fragment.push_back(&mut transaction, XmlElementPrelim::empty("p"));
        element.push_back(&mut transaction, XmlTextPrelim::new("text"));
        array.push_back(&mut transaction, Doc::new());
        array.remove(&mut transaction, 0);
        transaction.encode_state_as_update_v1(&StateVector::default())
    }

    #[test]
    fn what_the_library_writes_is_let_through_and_what_is_cut_is_not() {
        let whole = of_all_kinds();
        assert_eq!(update(&whole), Ok(4));
        for cut in 0..whole.len() {
            assert!(update(&whole[..cut]).is_err(), "{cut}");
        }
        assert_eq!((update(&[0, 0]), vector(&[0]), vector(&[1, 5, 3])), (Ok(0), Ok(()), Ok(())));
    }

    #[test]
    fn what_the_library_would_read_is_let_through_unless_it_is_nested_too_deeply() {
        let whole = of_all_kinds();
        let mut read = 0;
        for at in 0..whole.len() {
            for flip in [0x01, 0x02, 0x04, 0x10, 0x40] {
                let mut bad = whole.clone();
                bad[at] ^= flip;
                // Numbers that are too large make it panic.
                let reads = std::panic::catch_unwind(|| Update::decode_v1(&bad).is_ok()).unwrap_or_default();
                assert!(!reads || update(&bad).is_ok(), "{at} {flip}: {bad:?}");
                read += usize::from(reads);
            }
        }
        assert!(read > 100, "only {read} could be read");
    }

    #[test]
    fn announced_memory_and_endless_nesting_are_refused_before_the_library_sees_them() {
        let endless = [255, 255, 255, 255, 15];
        assert!(vector(&endless).is_err());
        assert!(update(&endless).is_err());
        assert!(update(&[[1].as_slice(), &endless, &[5, 0]].concat()).is_err());
        let mut deep = vec![1, 1, 5, 0, 8, 1, 1, b'a', 1];
        deep.extend([117, 1].repeat(130_000));
        assert_eq!(update(&deep), Err("its values are nested too deeply"));
        let mut flat = vec![1, 1, 5, 0, 8, 1, 1, b'a', 1];
        flat.extend([117, 1].repeat(20));
        flat.extend([126, 0]);
        assert_eq!(update(&flat), Ok(0));
        assert!(Update::decode_v1(&flat).is_ok());
    }
}
