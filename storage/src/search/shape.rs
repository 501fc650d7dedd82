//! What is in an index: the fields of a document, and the terms that it is found by.
//!
//! Every term of a text begins with its space. So the dictionary has the tenants one after the other, and what is looked for, completed
//! or forgiven is looked for among the words of one tenant alone; the number of documents behind a word is that tenant's too. That is the
//! first of two fences; the second is the column `space` of a document, which is compared with the question's for every match (`rank`).
//!
//! A document is found by what it is of as well: its space, its collection, itself. One deletion takes away either.
//! A *mark* is a document without texts: it says how far a space is indexed.

use tantivy::schema::{FAST, Field, IndexRecordOption, NumericOptions, Schema, TextFieldIndexing, TextOptions};
use tantivy::tokenizer::{Token, TokenStream, Tokenizer};
use tantivy::{Index, TantivyDocument, Term};

use super::words::words;
use super::{Indexed, Language, Part, SpaceMark};
use crate::space::Space;

/// Raised by each change of what is in an index or of how words are cut: an index of another version is built anew.
pub(super) const VERSION: u32 = 1;
/// Most words of one text that are indexed. Raised: one record can fill the dictionary. Lowered: the ends of long texts are not found.
const TEXT_WORDS: usize = 50_000;
/// The name of the tokenizer that knows the form of what is handed to it.
const TOKENIZER: &str = "words";
/// What a term of a stem begins with, after its space: no word does.
pub(super) const STEM: char = '\u{1}';
/// Bytes of what the terms of a space begin with.
const HEAD_BYTES: usize = 16;
/// What separates the parts of what a document is of.
const OF: char = '/';
/// What a mark is of, before its space.
const MARK: &str = "mark/";

/// The fields.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fields {
    /// What a document is of.
    pub(super) of: Field,
    /// Texts, by part.
    pub(super) parts: [Field; Part::ALL.len()],
    space: Field,
    collection: Field,
    high: Field,
    low: Field,
    shape: Field,
}

/// The columns.
pub(super) const SPACE: &str = "space";
/// The collection of a document.
pub(super) const COLLECTION: &str = "collection";
/// The first half of the id of a document; of a mark, the position.
pub(super) const HIGH: &str = "high";
/// The second half; of a mark, the stamp.
pub(super) const LOW: &str = "low";
/// Of a mark: the shape that documents of the space have.
pub(super) const SHAPE: &str = "shape";

/// The schema of an index.
pub(super) fn schema() -> (Schema, Fields) {
    let mut builder = Schema::builder();
    let of = TextFieldIndexing::default()
        .set_tokenizer(TOKENIZER)
        .set_index_option(IndexRecordOption::Basic)
        .set_fieldnorms(false);
    let text = TextFieldIndexing::default()
        .set_tokenizer(TOKENIZER)
        .set_index_option(IndexRecordOption::WithFreqsAndPositions);
    let column = NumericOptions::default() | FAST;
    let of = builder.add_text_field("of", TextOptions::default().set_indexing_options(of));
    let parts = Part::ALL.map(|part| {
        let options = TextOptions::default().set_indexing_options(text.clone());
        builder.add_text_field(part.name(), options)
    });
    let [space, collection, high, low, shape] =
        [SPACE, COLLECTION, HIGH, LOW, SHAPE].map(|name| builder.add_u64_field(name, column.clone()));
    let fields = Fields {
        of,
        parts,
        space,
        collection,
        high,
        low,
        shape,
    };
    (builder.build(), fields)
}

/// Teaches an index how its texts are read.
pub(super) fn prepare(index: &Index) {
    index.tokenizers().register(TOKENIZER, Lines::default());
}

/// What the terms of a space begin with.
pub(super) fn head(space: Space) -> String {
    format!("{:016x}", space.0)
}

impl Fields {
    /// The term of all documents of a space.
    pub(super) fn of_space(&self, space: Space) -> Term {
        Term::from_field_text(self.of, &head(space))
    }

    /// The term of all documents of a collection.
    pub(super) fn of_collection(&self, space: Space, collection: u32) -> Term {
        Term::from_field_text(self.of, &format!("{}{OF}{collection:08x}", head(space)))
    }

    /// The term of one document.
    pub(super) fn of_record(&self, space: Space, collection: u32, id: [u8; 16]) -> Term {
        Term::from_field_text(self.of, &of_record(space, collection, id))
    }

    /// The term of the mark of a space.
    pub(super) fn of_mark(&self, space: Space) -> Term {
        Term::from_field_text(self.of, &format!("{MARK}{}", head(space)))
    }

    /// The document of a record.
    pub(super) fn document(&self, indexed: &Indexed<'_>) -> TantivyDocument {
        let Indexed {
            space, collection, id, ..
        } = *indexed;
        let mut document = TantivyDocument::default();
        let of = format!(
            "{}\n{}{OF}{collection:08x}\n{}",
            head(space),
            head(space),
            of_record(space, collection, id)
        );
        document.add_text(self.of, of);
        document.add_u64(self.space, space.0);
        document.add_u64(self.collection, u64::from(collection));
        let id = u128::from_be_bytes(id);
        document.add_u64(self.high, (id >> 64) as u64);
        document.add_u64(self.low, id as u64);
        for (part, text) in &indexed.texts {
            let lines = lines(space, text, indexed.language);
            if !lines.is_empty() {
                document.add_text(self.parts[*part as usize], lines);
            }
        }
        document
    }

    /// The document of a mark.
    pub(super) fn mark(&self, space: Space, mark: &SpaceMark) -> TantivyDocument {
        let mut document = TantivyDocument::default();
        document.add_text(self.of, format!("{MARK}{}", head(space)));
        document.add_u64(self.space, space.0);
        document.add_u64(self.collection, 0);
        document.add_u64(self.high, mark.position);
        document.add_u64(self.low, mark.stamp);
        document.add_u64(self.shape, mark.shape);
        document
    }
}

fn of_record(space: Space, collection: u32, id: [u8; 16]) -> String {
    format!("{}{OF}{collection:08x}{OF}{:032x}", head(space), u128::from_be_bytes(id))
}

/// A text as [`Lines`] reads it: a term a line.
fn lines(space: Space, text: &str, language: Language) -> String {
    let head = head(space);
    let mut lines = String::with_capacity(text.len() * 3);
    let mut line = |stem: Option<char>, term: &str| {
        if !lines.is_empty() {
            lines.push('\n');
        }
        lines.push_str(&head);
        lines.extend(stem);
        lines.push_str(term);
    };
    for word in words(text, language).take(TEXT_WORDS) {
        line(None, &word.text);
        if let Some(stem) = &word.stem {
            line(Some(STEM), stem);
        }
    }
    lines
}

/// Reads terms that stand on lines of their own. One of a stem stands where the word before it stands.
#[derive(Clone, Default)]
struct Lines {
    token: Token,
}

/// See [`Lines`].
struct LineStream<'a> {
    lines: std::str::Lines<'a>,
    token: &'a mut Token,
}

impl Tokenizer for Lines {
    type TokenStream<'a> = LineStream<'a>;

    fn token_stream<'a>(&'a mut self, text: &'a str) -> LineStream<'a> {
        self.token.reset();
        LineStream {
            lines: text.lines(),
            token: &mut self.token,
        }
    }
}

impl TokenStream for LineStream<'_> {
    fn advance(&mut self) -> bool {
        let Some(line) = self.lines.next() else { return false };
        if line.get(HEAD_BYTES..).is_none_or(|rest| !rest.starts_with(STEM)) {
            self.token.position = self.token.position.wrapping_add(1);
        }
        self.token.text.clear();
        self.token.text.push_str(line);
        true
    }

    fn token(&self) -> &Token {
        self.token
    }

    fn token_mut(&mut self) -> &mut Token {
        self.token
    }
}
