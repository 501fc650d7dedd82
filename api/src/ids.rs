//! Identifiers that the public sees. Each parses once, at the gate; behind it nothing is a bare string.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize};
use uuid::Uuid;

/// A tenant's public name: 2 to 40 of `a-z`, `0-9` and `-`, starting with a letter and not ending with `-`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, utoipa::ToSchema)]
#[serde(transparent)]
#[schema(value_type = String, pattern = "^[a-z][a-z0-9-]{0,38}[a-z0-9]$")]
pub struct Slug(String);

/// The name of a collection or field: 1 to 40 of `a-z`, `0-9` and `_`, starting with a letter.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, utoipa::ToSchema)]
#[serde(transparent)]
#[schema(value_type = String, pattern = "^[a-z][a-z0-9_]{0,39}$")]
pub struct Name(String);

/// The id of a record, token or operation, as users see it: a UUID.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Id(pub Uuid);

/// The number of a node. It is assigned once and never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct NodeNumber(pub u64);

/// Why a text is not the identifier that it should be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct IdError(String);

impl Slug {
    /// The text of the slug.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Name {
    /// The text of the name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Slug {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let inner = text
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
        let edges = text.starts_with(|c: char| c.is_ascii_lowercase()) && !text.ends_with('-');
        if (2..=40).contains(&text.len()) && inner && edges {
            return Ok(Self(text.to_owned()));
        }
        Err(IdError(format!(
            "{:?} is not a tenant name: use 2 to 40 of a-z, 0-9 and -, start with a letter and do not end with -",
            shorten(text)
        )))
    }
}

impl FromStr for Name {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let inner = text
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
        if (1..=40).contains(&text.len()) && inner && text.starts_with(|c: char| c.is_ascii_lowercase()) {
            return Ok(Self(text.to_owned()));
        }
        Err(IdError(format!(
            "{:?} is not a name: use 1 to 40 of a-z, 0-9 and _, and start with a letter",
            shorten(text)
        )))
    }
}

impl FromStr for Id {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        match Uuid::try_parse(text) {
            Ok(uuid) if text.len() == 36 => Ok(Self(uuid)),
            _ => Err(IdError(format!(
                "{:?} is not an id: use a UUID such as 0198c0de-0000-7000-8000-000000000001",
                shorten(text)
            ))),
        }
    }
}

impl<'de> Deserialize<'de> for Slug {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl fmt::Display for Slug {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.hyphenated().fmt(f)
    }
}

impl fmt::Display for NodeNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// At most 60 characters of a text that goes into a message.
fn shorten(text: &str) -> String {
    text.chars().take(60).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slug_is_lower_case_and_bounded() {
        for good in ["ab", "acme", "acme-2", "a0"] {
            assert_eq!(good.parse::<Slug>().expect("a good slug").as_str(), good);
        }
        let long = "a".repeat(41);
        for bad in ["", "a", "Acme", "acme-", "-acme", "1acme", "a b", "ü1", long.as_str()] {
            assert!(bad.parse::<Slug>().is_err(), "{bad:?} must be refused");
        }
    }

    #[test]
    fn an_id_is_a_hyphenated_uuid() {
        assert!("0198c0de-0000-7000-8000-000000000001".parse::<Id>().is_ok());
        for bad in [
            "",
            "1",
            "0198c0de00007000800000000000001",
            "0198c0de-0000-7000-8000-00000000000g",
        ] {
            assert!(bad.parse::<Id>().is_err(), "{bad:?} must be refused");
        }
    }
}
