//! Made-up documents and questions for searches over any number of them: words of syllables, drawn by Zipf's law.
//!
//! 50,000 words, the word of rank r with weight 1/r; a document has 40 to 79 of them; a question has a common word (rank 20 to 499) and
//! a rarer one (rank 100 to 2,999). The same number gives the same document on every machine.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use anyhow::{Context, Result};
use rig::random::Random;

/// Different words.
const WORDS: u64 = 50_000;
/// What they are made of.
const SYLLABLES: [&str; 16] = [
    "ba", "co", "di", "fu", "ga", "he", "ki", "lo", "mu", "ne", "pa", "ro", "si", "tu", "ve", "zo",
];
/// Questions that are asked again and again.
pub const QUESTIONS: u64 = 2_000;

/// Draws documents and questions.
#[derive(Debug)]
pub struct Corpus {
    words: Vec<String>,
    /// Weights of all words up to each, in billionths of the first one's.
    weights: Vec<u64>,
}

impl Default for Corpus {
    fn default() -> Self {
        let weights = (1..=WORDS).scan(0, |sum, rank| {
            *sum += 1_000_000_000 / rank;
            Some(*sum)
        });
        Self {
            words: (0..WORDS).map(word).collect(),
            weights: weights.collect(),
        }
    }
}

/// A word of two syllables or more: no two are equal.
fn word(rank: u64) -> String {
    let mut left = rank + SYLLABLES.len() as u64;
    let mut word = String::new();
    while left > 0 {
        word.push_str(SYLLABLES[(left % 16) as usize]);
        left /= 16;
    }
    word
}

impl Corpus {
    /// The words of a document.
    pub fn document(&self, number: u64) -> String {
        let mut random = Random::new(number);
        let count = 40 + random.below(40);
        let total = self.weights.last().copied().unwrap_or(1);
        let mut text = String::new();
        for at in 0..count {
            let drawn = random.below(total);
            let rank = self.weights.partition_point(|sum| *sum <= drawn);
            if at > 0 {
                text.push(' ');
            }
            text.push_str(&self.words[rank]);
        }
        text
    }

    /// One of the questions.
    pub fn question(&self, number: u64) -> String {
        let mut random = Random::new(u64::MAX - number % QUESTIONS);
        let mut one = |from: u64, end: u64| &self.words[(from + random.below(end - from)) as usize];
        let mut text = one(20, 500).clone();
        text.push(' ');
        text.push_str(one(100, 3_000));
        text
    }

    /// Writes `docs.csv` (number, text) and `questions.txt` into a directory, for other programs to be measured with.
    pub fn write(&self, directory: &Path, documents: u64) -> Result<()> {
        std::fs::create_dir_all(directory).with_context(|| format!("make {}", directory.display()))?;
        let file = |name: &str| {
            let path = directory.join(name);
            File::create(&path).with_context(|| format!("write {}", path.display()))
        };
        let mut out = BufWriter::new(file("docs.csv")?);
        for number in 0..documents {
            writeln!(out, "{number},{}", self.document(number))?;
        }
        out.flush()?;
        let questions = (0..QUESTIONS).try_fold(String::new(), |mut all, number| {
            writeln!(all, "{}", self.question(number))?;
            anyhow::Ok(all)
        })?;
        Ok(file("questions.txt")?.write_all(questions.as_bytes())?)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn words_differ_and_the_same_number_is_the_same_document() {
        let corpus = Corpus::default();
        assert_eq!(corpus.words.iter().collect::<BTreeSet<_>>().len() as u64, WORDS);
        assert_eq!(corpus.document(7), Corpus::default().document(7));
        assert_ne!(corpus.document(7), corpus.document(8));
        let words = corpus.document(9).split(' ').count();
        assert!((40..80).contains(&words), "{words}");
    }

    #[test]
    fn the_first_word_is_as_frequent_as_the_law_says() {
        let corpus = Corpus::default();
        let (mut first, mut all) = (0, 0);
        for number in 0..2_000 {
            let text = corpus.document(number);
            first += text.split(' ').filter(|word| **word == *corpus.words[0]).count();
            all += text.split(' ').count();
        }
        // One part in the 50,000th harmonic number, 11.4.
        let share = first as f64 / all as f64;
        assert!((0.080..0.096).contains(&share), "{share}");
    }

    #[test]
    fn what_is_written_for_others_is_what_is_asked_here() {
        let directory = tempfile::tempdir().expect("a directory");
        let corpus = Corpus::default();
        corpus.write(directory.path(), 3).expect("written");
        let read = |name: &str| std::fs::read_to_string(directory.path().join(name)).expect("read");
        assert_eq!(
            read("docs.csv").lines().nth(2),
            Some(format!("2,{}", corpus.document(2)).as_str())
        );
        assert_eq!(read("questions.txt").lines().count() as u64, QUESTIONS);
        assert_eq!(
            read("questions.txt").lines().next(),
            Some(corpus.question(QUESTIONS).as_str())
        );
    }
}
