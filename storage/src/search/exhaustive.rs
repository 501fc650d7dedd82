//! What is found, held against a second way to say it, which looks at every record and values all of it: made-up records, in several segments, some
//! written again and some deleted, and questions of every kind.

use std::collections::{BTreeMap, BTreeSet};

use super::*;

const SPACE: Space = Space(7);
const RECORDS: u32 = 700;
/// What texts are made of: words with forms, beginnings and typos in common, the first ones in many records and the last in few.
const VOCABULARY: [&str; 24] = [
    "form",
    "election",
    "leader",
    "follow",
    "elections",
    "formation",
    "from",
    "follower",
    "leaders",
    "fork",
    "forms",
    "farm",
    "elects",
    "reader",
    "leading",
    "formats",
    "elation",
    "ladder",
    "fellow",
    "electron",
    "folower",
    "formations",
    "loader",
    "zebra",
];

/// SplitMix64.
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % end
    }

    fn word(&mut self) -> &'static str {
        let (one, other) = (self.below(24), self.below(24));
        VOCABULARY[usize::try_from(one * other / 23).expect("small").min(23)]
    }

    /// At most 12 words: with their stems fewer than 40, of which the engine keeps the exact number.
    fn text(&mut self) -> String {
        let count = self.below(12);
        (0..count).map(|_| self.word()).collect::<Vec<_>>().join(" ")
    }
}

/// A word of a question.
#[derive(Clone, Debug)]
struct Asked {
    word: Word,
    is_prefix: bool,
}

/// A part of a text: how often it has each term, and how many there are. A term of a stem begins with a dot.
struct Text {
    terms: BTreeMap<String, u32>,
    length: u32,
}

fn english() -> Language {
    Language::of("en").expect("a language")
}

fn split(text: &str) -> Text {
    let mut terms: BTreeMap<String, u32> = BTreeMap::new();
    for word in words(text, english()) {
        *terms.entry(word.text).or_default() += 1;
        if let Some(stem) = word.stem {
            *terms.entry(format!(".{stem}")).or_default() += 1;
        }
    }
    let length = terms.values().sum();
    Text { terms, length }
}

/// How many letters are too many, too few, other ones, or changed places.
fn typos(one: &str, other: &str) -> usize {
    let (one, other): (Vec<_>, Vec<_>) = (one.chars().collect(), other.chars().collect());
    let mut rows = vec![vec![0; other.len() + 1]; one.len() + 1];
    for i in 0..=one.len() {
        for j in 0..=other.len() {
            rows[i][j] = match (i, j) {
                (0, _) => j,
                (_, 0) => i,
                _ => {
                    let same = one[i - 1] == other[j - 1];
                    let swapped = i > 1 && j > 1 && one[i - 1] == other[j - 2] && one[i - 2] == other[j - 1];
                    let least = (rows[i - 1][j].min(rows[i][j - 1]) + 1).min(rows[i - 1][j - 1] + usize::from(!same));
                    if swapped { least.min(rows[i - 2][j - 2] + 1) } else { least }
                }
            };
        }
    }
    rows[one.len()][other.len()]
}

impl Asked {
    /// How often each way of fitting a term, but for being near, takes it, with how well it fits then.
    fn fits(&self, term: &str) -> Vec<f64> {
        let Word { text, stem, .. } = &self.word;
        let mut fits = Vec::new();
        fits.extend((term == text).then_some(1.0));
        fits.extend((term.strip_prefix('.') == Some(stem.as_deref().unwrap_or(text))).then_some(0.8));
        fits.extend((stem.as_deref() == Some(term)).then_some(0.8));
        fits.extend((self.is_prefix && term != text && term.starts_with(text.as_str())).then_some(0.65));
        fits
    }

    fn near(&self, term: &str) -> Option<f64> {
        let text = &self.word.text;
        let forgiven = match text.len() {
            ..4 => 0,
            4..8 => 1,
            _ => 2,
        };
        let typos = (term[..1] == text[..1]).then(|| typos(term, text))?;
        match typos {
            1 if forgiven >= 1 => Some(0.4),
            2 if forgiven >= 2 => Some(0.25),
            _ => None,
        }
    }

    /// Whether it is in so many texts that it is no typo.
    fn is_known(&self, records: &BTreeMap<u32, [Text; 2]>) -> bool {
        let terms = records.values().flatten().flat_map(|text| text.terms.keys());
        terms.map(|term| self.fits(term).len()).sum::<usize>() >= 100
    }

    fn rarity(&self, records: &BTreeMap<u32, [Text; 2]>) -> u64 {
        let having = |part: usize| {
            let texts = records
                .values()
                .filter(|texts| texts[part].terms.contains_key(&self.word.text));
            texts.count()
        };
        let (all, having) = (records.len() as f64, having(0).max(having(1)) as f64);
        let logarithm = (1.0 + (all - having + 0.5) / (having + 0.5)).ln();
        (logarithm * 2.0).round() as u64 + 1
    }

    /// What a record is worth for it.
    fn worth(&self, texts: &[Text; 2], is_known: bool) -> u64 {
        let of_part = |(part, text): (Part, &Text)| {
            let terms = text.terms.iter().flat_map(|(term, times)| {
                let near = (!is_known).then(|| self.near(term)).flatten();
                let fits = self.fits(term).into_iter().chain(near);
                fits.map(|fit| {
                    let (times, length) = (f64::from(*times), f64::from(text.length));
                    let lost = 1.2 * (1.0 - 0.6 + 0.6 * length / part.usual_words());
                    let saturated = times * (1.2 + 1.0) / (times + lost);
                    ((saturated * part.weight() * fit * 256.0) as u64).max(1)
                })
            });
            terms.max().unwrap_or_default()
        };
        [Part::Title, Part::Body].into_iter().zip(texts).map(of_part).sum()
    }
}

/// Makes an index of random records in one of many ways; what is in it at the end.
fn made(directory: &std::path::Path, random: &mut Random) -> (SearchIndex, BTreeMap<u32, [Text; 2]>) {
    let (index, _) = SearchIndex::open(directory).expect("opened");
    let mut writer = index.writer().expect("a writer");
    let mut records = BTreeMap::new();
    for round in 0..4 {
        for number in (0..RECORDS).filter(|number| round == 0 || number % 5 == round) {
            let texts = [random.text(), random.text()];
            let parts = [Part::Title, Part::Body]
                .into_iter()
                .zip(texts.iter().map(|text| text.as_str().into()));
            let indexed = Indexed {
                space: SPACE,
                collection: 1,
                id: u128::from(number).to_be_bytes(),
                language: english(),
                texts: parts.collect(),
            };
            writer.put(&indexed).expect("put");
            // Another space has the same words, and more often.
            let space = Space(8);
            writer.put(&Indexed { space, ..indexed }).expect("put");
            records.insert(number, texts.map(|text| split(&text)));
            if random.below(90) == 0 {
                writer.commit(1).expect("committed");
            }
        }
    }
    for number in (0..RECORDS).filter(|number| number % 9 == 3) {
        writer.remove(SPACE, 1, u128::from(number).to_be_bytes());
        records.remove(&number);
    }
    writer.commit(2).expect("committed");
    (index, records)
}

/// The same question for the index.
fn question(needed: &[Asked], excluded: &[Asked], by_rarity: bool) -> Question {
    let clause = |asked: &Asked| {
        let pattern = Pattern::loose(&asked.word);
        Clause::Word(if asked.is_prefix { pattern.prefix() } else { pattern })
    };
    Question {
        space: SPACE,
        needed: needed.iter().map(clause).collect(),
        excluded: excluded.iter().map(clause).collect(),
        collections: None,
        by_rarity,
    }
}

#[test]
fn an_order_is_that_of_valuing_everything() {
    let mut seen = BTreeSet::new();
    for seed in 0..3 {
        let mut random = Random(seed);
        let directory = tempfile::tempdir().expect("a directory");
        let (index, records) = made(directory.path(), &mut random);
        for _ in 0..40 {
            let mut some = |most: u64, least: u64| -> Vec<Asked> {
                let count = least + random.below(most);
                let mut one = || {
                    let (text, is_prefix) = (random.word(), random.below(3) == 0);
                    let cut = if is_prefix { 2 + random.below(3) as usize } else { text.len() };
                    let word = words(&text[..cut.min(text.len())], english()).next().expect("a word");
                    Asked { word, is_prefix }
                };
                (0..count).map(|_| one()).collect()
            };
            let (needed, excluded) = (some(3, 1), some(2, 0));
            let by_rarity = random.below(4) > 0;
            let weighed = |list: &[Asked]| -> Vec<_> {
                let one = |asked: &Asked| {
                    let rarity = if by_rarity { asked.rarity(&records) } else { 1 };
                    (asked.clone(), by_rarity && asked.is_known(&records), rarity)
                };
                list.iter().map(one).collect()
            };
            let (wants, shuns) = (weighed(&needed), weighed(&excluded));
            seen.extend(wants.iter().map(|(_, is_known, _)| *is_known));
            let mut expected: Vec<Rank> = Vec::new();
            for (number, texts) in &records {
                let worths: Vec<_> = wants
                    .iter()
                    .map(|(asked, is_known, rarity)| asked.worth(texts, *is_known) * rarity)
                    .collect();
                let shunned = shuns.iter().any(|(asked, is_known, _)| asked.worth(texts, *is_known) > 0);
                if !shunned && worths.iter().all(|worth| *worth > 0) {
                    expected.push(Rank {
                        score: worths.iter().sum(),
                        id: u128::from(*number).to_be_bytes(),
                        collection: 1,
                    });
                }
            }
            expected.sort_by(|one, other| other.cmp(one));
            let what = format!("seed {seed}: {needed:?} but {excluded:?}");
            let (mut pages, mut after) = (Vec::new(), None);
            loop {
                let page = index
                    .find(&mut question(&needed, &excluded, by_rarity), after, 13, &mut || false)
                    .expect("found");
                assert_eq!(page.matches, expected.len() as u64, "{what}");
                after = page.ranks.last().copied();
                pages.extend(page.ranks);
                if after.is_none() {
                    break;
                }
            }
            assert_eq!(pages, expected, "{what}");
        }
    }
    assert_eq!(seen.len(), 2, "some words were known, and some were not");
}
