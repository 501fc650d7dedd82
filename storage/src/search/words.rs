//! Words: what a text is cut into, for documents and for questions alike.
//!
//! A word is a run of letters and digits, in lower case, without accents. Chinese, Japanese and Korean, which do not say where a word ends
//! (or glue to it what is not part of it), are cut into pairs of characters: a question of two or more is a phrase of pairs, and a question
//! of one is a prefix of them. With a word goes its stem, where the language has one and it differs.
//!
//! CAVEATS: Thai, Lao, Khmer and Burmese do not mark words either, and are cut at spaces only.

use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

use super::language::Language;

/// Longest word, in characters: what is longer is cut. Raised: hashes and data fill the dictionary. Lowered: long identifiers become alike.
pub(super) const WORD_CHARS: usize = 64;

/// A word of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Word {
    /// As it is looked for: folded.
    pub text: String,
    /// Its stem, folded, where it is another one.
    pub stem: Option<String>,
    /// Where it begins, in bytes of the text.
    pub start: usize,
    /// Where it ends.
    pub end: usize,
    /// What it was cut out as.
    pub cut: Cut,
}

/// What a word was cut out as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// A run of letters and digits.
    Run,
    /// Two characters that stand next to each other in a text without spaces.
    Pair,
    /// The last character of such a text.
    Last,
}

/// The words of a text, in order.
pub fn words(text: &str, language: Language) -> Words<'_> {
    Words {
        text,
        rest: text.char_indices().peekable(),
        run: Vec::new(),
        language,
    }
}

/// See [`words`].
#[derive(Debug)]
pub struct Words<'t> {
    text: &'t str,
    rest: std::iter::Peekable<std::str::CharIndices<'t>>,
    /// What is left of a run of characters without spaces: the start of each, and its end.
    run: Vec<(usize, usize)>,
    language: Language,
}

impl Iterator for Words<'_> {
    type Item = Word;

    fn next(&mut self) -> Option<Word> {
        loop {
            if let Some(word) = self.pair() {
                return Some(word);
            }
            let (start, first) = self.rest.find(|(_, character)| is_of_word(*character))?;
            let dense = is_dense(first);
            let mut end = start + first.len_utf8();
            let mut characters = if dense { vec![(start, end)] } else { Vec::new() };
            while let Some((at, next)) = self.rest.peek().copied() {
                let is_mark = !next.is_ascii() && is_combining_mark(next);
                if !is_mark && (!is_of_word(next) || is_dense(next) != dense) {
                    break;
                }
                end = at + next.len_utf8();
                match is_mark {
                    true => characters.last_mut().map(|last| last.1 = end).unwrap_or_default(),
                    false if dense => characters.push((at, end)),
                    false => {}
                }
                self.rest.next();
            }
            if dense {
                characters.reverse();
                self.run = characters;
                continue;
            }
            let word = self.word(start, end);
            if !word.text.is_empty() {
                return Some(word);
            }
        }
    }
}

impl Words<'_> {
    /// The next pair of a run.
    fn pair(&mut self) -> Option<Word> {
        let (start, end) = self.run.pop()?;
        let (end, cut) = match self.run.last() {
            Some((_, end)) => (*end, Cut::Pair),
            None => (end, Cut::Last),
        };
        Some(Word {
            text: fold(&self.text[start..end]),
            stem: None,
            start,
            end,
            cut,
        })
    }

    fn word(&self, start: usize, end: usize) -> Word {
        let whole = &self.text[start..end];
        let cut = match whole.len() > WORD_CHARS {
            true => whole.char_indices().nth(WORD_CHARS).map_or(whole, |(at, _)| &whole[..at]),
            false => whole,
        };
        let lower = cut.to_lowercase();
        let text = fold(&lower);
        // Most words are their own stems: nothing is made of those.
        let stem = self
            .language
            .stem(&lower)
            .filter(|stem| *stem != text)
            .map(|stem| fold(&stem));
        Word {
            stem: stem.filter(|stem| *stem != text && !stem.is_empty()),
            text,
            start,
            end,
            cut: Cut::Run,
        }
    }
}

fn is_of_word(character: char) -> bool {
    character.is_alphanumeric()
}

/// Whether a character is of a script that is cut into pairs.
fn is_dense(character: char) -> bool {
    matches!(u32::from(character),
        0x3005 | 0x3040..=0x30FF | 0x31F0..=0x31FF | 0x3400..=0x4DBF | 0x4E00..=0x9FFF | 0xAC00..=0xD7AF | 0xF900..=0xFAFF
        | 0xFF66..=0xFF9F | 0x20000..=0x323AF)
}

/// A text as it is compared: lower case, no accents, one form of what can be written in several.
pub(super) fn fold(text: &str) -> String {
    if text.is_ascii() {
        return text.to_ascii_lowercase();
    }
    let plain = text.nfkd().filter(|character| !is_accent(*character));
    let mut folded = String::with_capacity(text.len());
    for character in plain.nfc().flat_map(char::to_lowercase) {
        match character {
            'ß' => folded.push_str("ss"),
            'æ' => folded.push_str("ae"),
            'œ' => folded.push_str("oe"),
            'ø' => folded.push('o'),
            'ł' => folded.push('l'),
            'đ' | 'ð' => folded.push('d'),
            'ħ' => folded.push('h'),
            'ı' => folded.push('i'),
            'þ' => folded.push_str("th"),
            // What a lower case letter leaves behind: the dot of an İ.
            other if is_accent(other) => {}
            other => folded.push(other),
        }
    }
    folded
}

/// Marks that readers leave out: accents, and the points of Hebrew and Arabic. Those of other scripts are letters.
fn is_accent(character: char) -> bool {
    matches!(u32::from(character), 0x300..=0x36F | 0x591..=0x5C7 | 0x610..=0x61A | 0x64B..=0x65F | 0x670)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(text: &str) -> Vec<String> {
        words(text, Language::default()).map(|word| word.text).collect()
    }

    #[test]
    fn a_text_is_cut_at_what_is_no_letter_and_folded() {
        assert_eq!(
            texts("Fix CN-12: user_id, naïve Čeština!"),
            ["fix", "cn", "12", "user", "id", "naive", "cestina"]
        );
        assert_eq!(
            texts("STRASSE straße Ærø Łódź İstanbul"),
            ["strasse", "strasse", "aero", "lodz", "istanbul"]
        );
        assert_eq!(texts("e\u{301}te\u{301} ﬁne ①"), ["ete", "fine", "1"]);
        assert_eq!(texts("हिन्दी"), ["हिन्दी"], "marks that are letters stay");
        assert_eq!(texts(" …— "), Vec::<String>::new());
        assert_eq!(texts(&"x".repeat(500)), ["x".repeat(WORD_CHARS)]);
    }

    #[test]
    fn what_has_no_spaces_is_cut_into_pairs() {
        assert_eq!(texts("東京都"), ["東京", "京都", "都"]);
        assert_eq!(texts("v2の東京"), ["v2", "の東", "東京", "京"]);
        assert_eq!(texts("한국어"), ["한국", "국어", "어"]);
        assert_eq!(texts("がか"), ["がか", "か"], "the mark of a sound is no accent");
        let text = "ab 東京";
        let places: Vec<_> = words(text, Language::default())
            .map(|word| &text[word.start..word.end])
            .collect();
        assert_eq!(places, ["ab", "東京", "京"]);
    }

    #[test]
    fn a_stem_goes_along_where_it_differs() {
        let english = Language::of("en").expect("a language");
        let word = |text| words(text, english).next().expect("a word");
        assert_eq!(
            (word("Running").text, word("Running").stem),
            ("running".to_owned(), Some("run".to_owned()))
        );
        assert_eq!(word("run").stem, None);
        let german = Language::of("de").expect("a language");
        let stem = |text| words(text, german).next().and_then(|word| word.stem);
        assert_eq!(stem("Häuser"), Some("haus".to_owned()));
    }
}
