//! Query parameters, decoded once, each taken at most once.

use crate::error::{Code, Error, Result};
use crate::limits;
use crate::service::Consistency;

/// Most parameters of a query.
const PARAMETERS: usize = 32;

/// The parameters that nobody has asked for yet.
#[derive(Debug, Default)]
pub(crate) struct Query(Vec<(String, String)>);

impl Query {
    /// Reads a URL's query.
    pub(crate) fn parse(query: Option<&str>) -> Result<Self> {
        let mut parameters: Vec<(String, String)> = Vec::new();
        for pair in query.unwrap_or_default().split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let (name, value) = (decode(name)?, decode(value)?);
            if parameters.iter().any(|(known, _)| *known == name) {
                return Err(invalid(&name, "is there twice"));
            }
            if parameters.len() == PARAMETERS {
                return Err(Error::new(
                    Code::InvalidParameter,
                    format!("more than {PARAMETERS} parameters"),
                ));
            }
            parameters.push((name, value));
        }
        Ok(Self(parameters))
    }

    /// Takes a parameter.
    pub(crate) fn take(&mut self, name: &str) -> Option<String> {
        let place = self.0.iter().position(|(known, _)| known == name)?;
        Some(self.0.swap_remove(place).1)
    }

    /// Whether a parameter is there.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(known, _)| known == name)
    }

    /// Takes a whole number.
    pub(crate) fn number(&mut self, name: &str) -> Result<Option<u64>> {
        match self.take(name) {
            None => Ok(None),
            Some(text) => match digits(&text) {
                Some(number) => Ok(Some(number)),
                None => Err(invalid(name, "must be a whole number")),
            },
        }
    }

    /// Takes `true` or `false`.
    pub(crate) fn flag(&mut self, name: &str) -> Result<Option<bool>> {
        match self.take(name).as_deref() {
            None => Ok(None),
            Some("true") => Ok(Some(true)),
            Some("false") => Ok(Some(false)),
            Some(_) => Err(invalid(name, "must be true or false")),
        }
    }

    /// Takes the size of a page.
    pub(crate) fn limit(&mut self) -> Result<usize> {
        match self.number("limit")? {
            None => Ok(limits::LIST_DEFAULT),
            Some(limit) => match usize::try_from(limit) {
                Ok(limit) if (1..=limits::LIST_MAX).contains(&limit) => Ok(limit),
                _ => Err(invalid("limit", &format!("must be from 1 to {}", limits::LIST_MAX))),
            },
        }
    }

    /// Takes the cursor of a list.
    pub(crate) fn cursor(&mut self) -> Result<Option<String>> {
        let cursor = self.take("cursor");
        let wrong = |cursor: &String| cursor.is_empty() || cursor.len() > limits::CURSOR_BYTES;
        if cursor.as_ref().is_some_and(wrong) {
            return Err(Error::new(Code::InvalidCursor, "the cursor is empty or too long"));
        }
        Ok(cursor)
    }

    /// Takes `consistency`.
    pub(crate) fn consistency(&mut self) -> Result<Consistency> {
        let Some(text) = self.take("consistency") else {
            return Ok(Consistency::Strong);
        };
        match text.as_str() {
            "strong" => Ok(Consistency::Strong),
            "local" => Ok(Consistency::Local),
            other => match other.strip_prefix("at-least:").and_then(digits) {
                Some(position) => Ok(Consistency::AtLeast(position)),
                None => Err(invalid("consistency", "must be strong, local or at-least:POSITION")),
            },
        }
    }

    /// Refuses what is left.
    pub(crate) fn finish(&self) -> Result<()> {
        match self.0.first() {
            None => Ok(()),
            Some((name, _)) => Err(invalid(name, "is not a parameter of this call")),
        }
    }

    /// All that is left, in the order of the names.
    pub(crate) fn rest(&mut self) -> Vec<(String, String)> {
        let mut rest = std::mem::take(&mut self.0);
        rest.sort();
        rest
    }
}

/// A parameter that is wrong.
pub(crate) fn invalid(name: &str, why: &str) -> Error {
    let name: String = name.chars().take(60).collect();
    Error::new(Code::InvalidParameter, format!("the parameter {name:?} {why}"))
}

/// A number written with digits only: `u64::from_str` would take a sign too.
pub(crate) fn digits(text: &str) -> Option<u64> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    text.parse().ok()
}

fn decode(text: &str) -> Result<String> {
    let wrong = || Error::new(Code::InvalidParameter, "the query is not percent-encoded UTF-8");
    if !text.bytes().any(|byte| matches!(byte, b'%' | b'+')) {
        return Ok(text.to_owned());
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let (high, low) = (rest.next().and_then(hex), rest.next().and_then(hex));
                high.zip(low).map(|(high, low)| high << 4 | low).ok_or_else(wrong)?
            }
            other => other,
        });
    }
    String::from_utf8(bytes).map_err(|_| wrong())
}

fn hex(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_decoded_and_taken_once() {
        let mut query = Query::parse(Some("a=b+c%C3%BC&limit=7&flag")).expect("a query");
        assert_eq!(query.take("a").as_deref(), Some("b cü"));
        assert_eq!(query.take("a"), None);
        assert_eq!(query.limit().expect("a limit"), 7);
        assert!(query.finish().is_err());
        assert_eq!(query.rest(), vec![("flag".to_owned(), String::new())]);
    }

    #[test]
    fn wrong_queries_are_refused() {
        for bad in ["a=1&a=2", "a=%", "a=%zz", "a=%ff", "a=%+1"] {
            assert!(Query::parse(Some(bad)).is_err(), "{bad}");
        }
        for bad in ["limit=0", "limit=501", "limit=-1", "limit=+1", "limit=99999999999999999999"] {
            assert!(Query::parse(Some(bad)).and_then(|mut query| query.limit()).is_err(), "{bad}");
        }
        for bad in ["consistency=weak", "consistency=at-least:", "consistency=at-least:-1"] {
            assert!(
                Query::parse(Some(bad)).and_then(|mut query| query.consistency()).is_err(),
                "{bad}"
            );
        }
    }
}
