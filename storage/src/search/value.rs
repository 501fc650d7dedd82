//! What a word is worth in a text: BM25, in whole numbers, with a constant for the usual length of texts.

use std::sync::LazyLock;

use tantivy::fieldnorm::FieldNormReader;

use super::Part;

/// BM25: how soon a word that comes again counts no more, and how much long texts lose.
const K1: f64 = 1.2;
const B: f64 = 0.6;
/// What one is in whole numbers.
const UNIT: f64 = 256.0;
/// Lengths that the engine tells apart: it keeps one byte of each text's.
const LENGTHS: usize = 256;

/// What a text of each length that the engine tells apart loses, by part.
static LOST: LazyLock<[[f64; LENGTHS]; Part::ALL.len()]> = LazyLock::new(|| {
    Part::ALL.map(|part| {
        let lost = |length| K1 * (1.0 - B + B * f64::from(FieldNormReader::id_to_fieldnorm(length)) / part.usual_words());
        std::array::from_fn(|length| u8::try_from(length).map_or(0.0, lost))
    })
});

/// What a word is worth that fits so well, in texts of one part.
pub(super) struct Value {
    lost: &'static [f64; LENGTHS],
    weight: f64,
    fit: f64,
}

impl Value {
    pub(super) fn of(part: Part, fit: f64) -> Value {
        Value {
            lost: &LOST[part as usize],
            weight: part.weight(),
            fit,
        }
    }

    /// Where it comes so often in a text of this length, which is one of those that the engine tells apart.
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "it is positive and below a thousand units"
    )]
    pub(super) fn worth(&self, times: u32, length: u8) -> u64 {
        let times = f64::from(times);
        let saturated = times * (K1 + 1.0) / (times + self.lost[usize::from(length)]);
        ((saturated * self.weight * self.fit * UNIT) as u64).max(1)
    }
}
