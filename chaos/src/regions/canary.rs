//! What is nowhere else: texts and numbers that a tenant writes, and whether they are found among bytes.
//!
//! A text of sixteen random letters and digits is looked for as it is, in hexadecimal, and in base64 at each of its three alignments, of
//! which what the bytes beside it have a part in is left out. A number is also looked for as eight bytes in either order, as they are and
//! with the sign turned over, as keys in order have it.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use rig::random::Random;

/// Letters and digits of a canary.
const LENGTH: usize = 16;
const LETTERS: &[u8; 36] = b"abcdefghijklmnopqrstuvwxyz0123456789";
const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// One of them.
#[derive(Clone, Debug)]
pub struct Canary {
    /// The region that it must not leave.
    pub region: String,
    /// What it is.
    pub what: &'static str,
    forms: Vec<Vec<u8>>,
}

/// A text that begins with a letter, as names must.
pub fn text(random: &mut Random) -> String {
    // The remainder of a length fits.
    let mut drawn = |letters: usize| char::from(LETTERS[random.below(letters as u64) as usize]);
    std::iter::once(drawn(26))
        .chain((1..LENGTH).map(|_| drawn(36)).collect::<Vec<_>>())
        .collect()
}

impl Canary {
    /// A text.
    pub fn of_text(region: &str, what: &'static str, text: &str) -> Self {
        let bytes = text.as_bytes();
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        let mut forms = vec![bytes.to_vec(), hex.to_uppercase().into_bytes(), hex.into_bytes()];
        for shift in 0..3 {
            let encoded = base64(&[&vec![b'x'; shift][..], bytes].concat());
            forms.push(encoded.as_bytes()[4..encoded.len() - 4].to_vec());
        }
        let region = region.to_owned();
        Self { region, what, forms }
    }

    /// An integer of many digits.
    pub fn of_integer(region: &str, what: &'static str, number: i64) -> Self {
        let mut canary = Self::of_text(region, what, &number.to_string());
        canary.forms.extend(both_ways(number as u64));
        canary
    }

    /// A number above zero.
    pub fn of_number(region: &str, what: &'static str, number: f64) -> Self {
        let mut canary = Self::of_text(region, what, &number.to_string());
        canary.forms.extend(both_ways(number.to_bits()));
        canary
    }
}

/// The bytes of a number in either order, as they are and with the sign turned over.
fn both_ways(bits: u64) -> [Vec<u8>; 4] {
    let ordered = bits ^ (1 << 63);
    [
        bits.to_be_bytes(),
        bits.to_le_bytes(),
        ordered.to_be_bytes(),
        ordered.to_le_bytes(),
    ]
    .map(|bytes| bytes.to_vec())
}

/// In base64, with its padding.
pub fn base64(bytes: &[u8]) -> String {
    let mut out = String::new();
    for group in bytes.chunks(3) {
        let word = group.iter().fold(0u32, |word, byte| word << 8 | u32::from(*byte)) << (8 * (3 - group.len()));
        for at in 0..4 {
            let digit = (word >> (18 - 6 * at) & 63) as usize;
            out.push(char::from(if at <= group.len() { BASE64[digit] } else { b'=' }));
        }
    }
    out
}

/// Looks for many canaries at once.
pub struct Search<'a> {
    canaries: &'a [Canary],
    /// By their first two bytes, the canary and its form.
    starts: Vec<Vec<(usize, usize)>>,
}

impl<'a> Search<'a> {
    /// For all of these.
    pub fn new(canaries: &'a [Canary]) -> Self {
        let mut starts = vec![Vec::new(); 1 << 16];
        for (place, canary) in canaries.iter().enumerate() {
            for (number, form) in canary.forms.iter().enumerate() {
                starts[pair(form)].push((place, number));
            }
        }
        Self { canaries, starts }
    }

    /// The canaries among these bytes, each once.
    pub fn among(&self, bytes: &[u8]) -> Vec<&'a Canary> {
        let mut found = vec![false; self.canaries.len()];
        for at in 0..bytes.len().saturating_sub(1) {
            for (place, number) in &self.starts[pair(&bytes[at..])] {
                if bytes[at..].starts_with(&self.canaries[*place].forms[*number]) {
                    found[*place] = true;
                }
            }
        }
        let places = found.iter().zip(self.canaries);
        places.filter(|(found, _)| **found).map(|(_, canary)| canary).collect()
    }

    /// The canaries in files below a directory, each with its file; and how many bytes were looked at.
    pub fn below(&self, directory: &Path) -> Result<(Vec<(&'a Canary, PathBuf)>, u64)> {
        let (mut found, mut seen) = (Vec::new(), 0);
        for path in files(directory)? {
            let bytes = std::fs::read(&path).with_context(|| format!("read {}", path.display()))?;
            seen += bytes.len() as u64;
            found.extend(self.among(&bytes).into_iter().map(|canary| (canary, path.clone())));
        }
        Ok((found, seen))
    }
}

fn pair(bytes: &[u8]) -> usize {
    usize::from(bytes[0]) << 8 | usize::from(bytes[1])
}

/// All files below a directory, or the file itself.
pub(super) fn files(path: &Path) -> Result<Vec<PathBuf>> {
    if path.is_file() {
        return Ok(vec![path.to_owned()]);
    }
    let mut all = Vec::new();
    for entry in std::fs::read_dir(path).with_context(|| format!("list {}", path.display()))? {
        let entry = entry.context("list a directory")?;
        let kind = entry.file_type().context("look at a file")?;
        if kind.is_dir() {
            all.extend(files(&entry.path())?);
        } else if kind.is_file() {
            all.push(entry.path());
        }
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_found_in_every_form_and_at_every_alignment() {
        let word = text(&mut Random::new(7));
        assert_eq!(word.len(), LENGTH);
        let canaries = [
            Canary::of_text("one", "other", &text(&mut Random::new(8))),
            Canary::of_text("one", "word", &word),
        ];
        let search = Search::new(&canaries);
        let found = |bytes: &[u8]| search.among(bytes).iter().map(|canary| canary.what).collect::<Vec<_>>();
        let hex: String = word.bytes().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(found(format!("a{word}b").as_bytes()), ["word"]);
        assert_eq!(found(hex.as_bytes()), ["word"]);
        for before in ["", "a", "ab", "abc", "abcd"] {
            assert_eq!(
                found(base64(format!("{before}{word} and more").as_bytes()).as_bytes()),
                ["word"]
            );
        }
        assert_eq!(found(&word.as_bytes()[1..]), [""; 0]);
        assert_eq!(found(b""), [""; 0]);
    }

    #[test]
    fn an_integer_is_found_as_text_and_as_bytes() {
        let number = 1_234_567_890_123_456_789_i64;
        let canaries = [Canary::of_integer("one", "number", number)];
        let search = Search::new(&canaries);
        let ordered = (number as u64) ^ (1 << 63);
        for bytes in [
            number.to_string().into_bytes(),
            number.to_be_bytes().to_vec(),
            number.to_le_bytes().to_vec(),
            ordered.to_be_bytes().to_vec(),
        ] {
            assert_eq!(search.among(&[&[0, 1][..], &bytes, &[2]].concat()).len(), 1);
        }
    }

    #[test]
    fn base64_is_that_of_everybody() {
        assert_eq!(
            ["", "f", "fo", "foo"].map(|text| base64(text.as_bytes())),
            ["", "Zg==", "Zm8=", "Zm9v"]
        );
    }
}
