//! `--map FIELD=SOURCE`: fields that are called something else in the file.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::str::FromStr;

use serde_json::value::RawValue;

/// One renamed key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Rename {
    /// The field of the record; empty: the key is left out.
    field: String,
    /// The key in the file.
    source: String,
}

impl Rename {
    /// The field of the record; empty: the key is left out.
    pub(super) fn field(&self) -> &str {
        &self.field
    }

    /// The key in the file.
    pub(super) fn source(&self) -> &str {
        &self.source
    }
}

impl FromStr for Rename {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once('=') {
            Some((field, source)) if !source.is_empty() => Ok(Self {
                field: field.to_owned(),
                source: source.to_owned(),
            }),
            _ => Err("write FIELD=SOURCE, such as title=summary".to_owned()),
        }
    }
}

/// A line with its keys renamed. One that is not a JSON object stays as it is: the server says what is wrong with it, under its
/// number. Values keep every digit that they have.
pub(super) fn apply<'l>(renames: &[Rename], line: &'l [u8]) -> Cow<'l, [u8]> {
    if renames.is_empty() {
        return Cow::Borrowed(line);
    }
    let Ok(mut object) = serde_json::from_slice::<BTreeMap<String, &RawValue>>(line) else {
        return Cow::Borrowed(line);
    };
    // Two steps, so that `a=b` and `b=a` swap.
    let taken: Vec<(&Rename, &RawValue)> = renames
        .iter()
        .filter_map(|rename| Some((rename, *object.get(&rename.source)?)))
        .collect();
    for (rename, _) in &taken {
        object.remove(&rename.source);
    }
    for (rename, value) in taken {
        if !rename.field.is_empty() {
            object.insert(rename.field.clone(), value);
        }
    }
    match serde_json::to_vec(&object) {
        Ok(renamed) => Cow::Owned(renamed),
        Err(_) => Cow::Borrowed(line),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn renamed(maps: &[&str], line: &str) -> String {
        let renames: Vec<Rename> = maps.iter().map(|map| map.parse().expect("a rename")).collect();
        String::from_utf8(apply(&renames, line.as_bytes()).into_owned()).expect("UTF-8")
    }

    #[test]
    fn keys_get_the_names_of_fields() {
        assert_eq!(
            renamed(&["title=summary"], r#"{"summary": "x", "n": 1.50}"#),
            r#"{"n":1.50,"title":"x"}"#
        );
        assert_eq!(renamed(&["a=b", "b=a"], r#"{"a":1,"b":2}"#), r#"{"a":2,"b":1}"#);
        assert_eq!(renamed(&["=secret"], r#"{"a":1,"secret":2}"#), r#"{"a":1}"#);
        assert_eq!(
            renamed(&["a=x", "b=x"], r#"{"x":12345678901234567890123}"#),
            r#"{"a":12345678901234567890123,"b":12345678901234567890123}"#
        );
    }

    #[test]
    fn what_has_no_such_key_or_is_no_object_stays() {
        assert_eq!(renamed(&["a=b"], r#"{"c":1}"#), r#"{"c":1}"#);
        for bad in ["", "not json", "[1]", r#"{"a":"#] {
            assert_eq!(renamed(&["a=b"], bad), bad);
        }
        assert!("title".parse::<Rename>().is_err() && "title=".parse::<Rename>().is_err());
    }
}
