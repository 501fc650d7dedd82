//! What is wrong with a configuration: everything at once, each with its place in the file and what to do about it.

use std::fmt;
use std::ops::Range;
use std::path::PathBuf;

/// Names further away than this many edits are not suggested.
const SUGGESTION_EDITS: usize = 3;

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// The file, as it was named by the one who loaded it.
    pub file: PathBuf,
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
    /// The section and key, such as `node.region`; empty where the file as a whole is meant.
    pub key: String,
    /// What is wrong.
    pub what: String,
    /// What to do.
    pub fix: String,
}

/// Everything that is wrong with a configuration, in the order of the file. Never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigErrors(pub Vec<ConfigError>);

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}: ", self.file.display(), self.line, self.column)?;
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        write!(f, "{}", self.what)?;
        if !self.fix.is_empty() {
            write!(f, "; {}", self.fix)?;
        }
        Ok(())
    }
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, error) in self.0.iter().enumerate() {
            if number > 0 {
                f.write_str("\n")?;
            }
            error.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigError {}
impl std::error::Error for ConfigErrors {}

/// Collects errors while a text is read and checked.
#[derive(Debug)]
pub(super) struct Findings<'a> {
    file: PathBuf,
    text: &'a str,
    found: Vec<(usize, ConfigError)>,
}

impl<'a> Findings<'a> {
    pub(super) fn new(file: PathBuf, text: &'a str) -> Self {
        Self {
            file,
            text,
            found: Vec::new(),
        }
    }

    /// Adds what is wrong at a place of the text.
    pub(super) fn add(&mut self, span: &Range<usize>, key: impl Into<String>, what: impl Into<String>, fix: impl Into<String>) {
        let (line, column) = position(self.text, span.start);
        let error = ConfigError {
            file: self.file.clone(),
            line,
            column,
            key: key.into(),
            what: what.into(),
            fix: fix.into(),
        };
        self.found.push((span.start, error));
    }

    /// The line of a place, for messages that point to a second one.
    pub(super) fn line(&self, span: &Range<usize>) -> usize {
        position(self.text, span.start).0
    }

    /// All errors in the order of the file; none where nothing was found.
    pub(super) fn finish(mut self) -> Option<ConfigErrors> {
        self.found.sort_by_key(|(start, _)| *start);
        let errors: Vec<ConfigError> = self.found.into_iter().map(|(_, error)| error).collect();
        (!errors.is_empty()).then_some(ConfigErrors(errors))
    }
}

/// Line and column, both from 1, of a byte offset.
fn position(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..offset.min(text.len())).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    (line, column)
}

/// `did you mean "x"?` for the known name nearest to `given`, or the list of what there is.
pub(super) fn suggestion<'n>(given: &str, known: impl IntoIterator<Item = &'n str>) -> String {
    let known: Vec<&str> = known.into_iter().collect();
    let nearest = known.iter().map(|name| (edits(given, name), *name)).min();
    match nearest {
        Some((distance, name)) if distance <= SUGGESTION_EDITS.min(name.chars().count() / 3 + 1) => {
            format!("did you mean \"{name}\"?")
        }
        Some(_) => format!("there are: {}", known.join(", ")),
        None => "there are none".to_owned(),
    }
}

/// The Levenshtein distance of two texts, in characters.
fn edits(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (i, a) in left.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b) in right.iter().enumerate() {
            let replaced = diagonal + usize::from(a != *b);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[right.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_counted_in_lines_and_characters() {
        assert_eq!(position("ab\nüb = 1\n", 0), (1, 1));
        assert_eq!(position("ab\nüb = 1\n", 3), (2, 1));
        assert_eq!(position("ab\nüb = 1\n", 5), (2, 2));
    }

    #[test]
    fn the_nearest_name_is_suggested_and_a_distant_one_is_not() {
        assert_eq!(suggestion("regoin", ["region", "name"]), "did you mean \"region\"?");
        assert_eq!(suggestion("colour", ["region", "name"]), "there are: region, name");
        assert_eq!(suggestion("x", []), "there are none");
    }
}
