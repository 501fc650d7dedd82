//! Strict JSON: what a client sends is taken as it is meant, or refused with the place that is wrong.
//!
//! serde_json alone is lenient where two readers could disagree: of two equal keys it takes the last. So a body is read twice.
//! The first pass walks it and refuses duplicate keys, deep nesting, bad UTF-8 and trailing bytes; the second reads the type.
//! When one of them fails, a further walk finds the JSON pointer of the place: good bodies never pay for it.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;

use serde::de::{DeserializeOwned, DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_path_to_error::Segment;

use crate::error::{Code, Error, FieldError};
use crate::limits::JSON_DEPTH;

/// How many keys of an object are compared one by one before a set is made of them.
const FEW_KEYS: usize = 16;

/// Reads a body.
pub(crate) fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, Error> {
    if body.is_empty() {
        return Err(malformed(
            String::new(),
            "the body is empty; expected a JSON object".to_owned(),
        ));
    }
    if let Err(error) = std::str::from_utf8(body) {
        return Err(malformed(String::new(), format!("byte {} is not UTF-8", error.valid_up_to())));
    }
    let mut walk = serde_json::Deserializer::from_slice(body);
    let walked = Strict { depth: 0 }.deserialize(&mut walk).and_then(|()| walk.end());
    if let Err(error) = walked {
        return Err(malformed(pointer_at(body, offset_of(body, &error)), plain(&error)));
    }
    serde_json::from_slice(body).map_err(|_| misfit::<T>(body))
}

/// Why well-formed JSON is not a `T`, with the place. Reads it again, minding the way: only bad bodies pay for that.
fn misfit<T: DeserializeOwned>(body: &[u8]) -> Error {
    match serde_path_to_error::deserialize::<_, T>(&mut serde_json::Deserializer::from_slice(body)) {
        Ok(_) => Error::new(Code::Internal, "a body was refused and then taken"),
        Err(error) => {
            let pointer = pointer_of(error.path());
            Error::fields(vec![FieldError {
                pointer,
                message: plain(error.inner()),
            }])
        }
    }
}

/// The JSON pointer of a path.
fn pointer_of(path: &serde_path_to_error::Path) -> String {
    let mut pointer = String::new();
    for segment in path {
        match segment {
            Segment::Seq { index } => pointer.push_str(&format!("/{index}")),
            Segment::Map { key } => push_key(&mut pointer, key),
            Segment::Enum { .. } | Segment::Unknown => {}
        }
    }
    pointer
}

fn push_key(pointer: &mut String, key: &str) {
    pointer.push('/');
    pointer.push_str(&key.replace('~', "~0").replace('/', "~1"));
}

fn malformed(pointer: String, message: String) -> Error {
    let mut error = Error::new(
        Code::MalformedBody,
        format!("{pointer}: {message}").trim_start_matches(": ").to_owned(),
    );
    error.errors.push(FieldError { pointer, message });
    error
}

/// The message without serde_json's line and column.
fn plain(error: &serde_json::Error) -> String {
    let text = error.to_string();
    match text.rfind(" at line ") {
        Some(end) => text[..end].to_owned(),
        None => text,
    }
}

/// The offset in the body at which reading stopped.
fn offset_of(body: &[u8], error: &serde_json::Error) -> usize {
    let lines_before = error.line().saturating_sub(1);
    let mut start = 0;
    for _ in 0..lines_before {
        match body[start..].iter().position(|byte| *byte == b'\n') {
            Some(end) => start += end + 1,
            None => break,
        }
    }
    (start + error.column()).min(body.len())
}

/// The first pass.
struct Strict {
    depth: usize,
}

impl Strict {
    fn deeper<E: serde::de::Error>(&self) -> Result<Strict, E> {
        if self.depth >= JSON_DEPTH {
            return Err(E::custom(format_args!("nested deeper than {JSON_DEPTH} levels")));
        }
        Ok(Strict { depth: self.depth + 1 })
    }
}

impl<'de> DeserializeSeed<'de> for Strict {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        let inner = self.deeper()?;
        while items.next_element_seed(Strict { depth: inner.depth })?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<(), A::Error> {
        let inner = self.deeper()?;
        let mut few: Vec<Cow<'de, str>> = Vec::new();
        let mut many: HashSet<Cow<'de, str>> = HashSet::new();
        while let Some(Key(key)) = entries.next_key()? {
            let twice = if few.len() < FEW_KEYS {
                few.contains(&key)
            } else {
                many.contains(&key) || few.contains(&key)
            };
            if twice {
                return Err(A::Error::custom(format_args!("the key {key:?} is there twice")));
            }
            if few.len() < FEW_KEYS {
                few.push(key);
            } else {
                many.insert(key);
            }
            entries.next_value_seed(Strict { depth: inner.depth })?;
        }
        Ok(())
    }
}

/// A key, borrowed where it has no escapes.
struct Key<'de>(Cow<'de, str>);

impl<'de> serde::Deserialize<'de> for Key<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl<'de> Visitor<'de> for Text {
            type Value = Key<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a key")
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Key<'de>, E> {
                Ok(Key(Cow::Borrowed(text)))
            }

            fn visit_str<E>(self, text: &str) -> Result<Key<'de>, E> {
                Ok(Key(Cow::Owned(text.to_owned())))
            }
        }
        deserializer.deserialize_str(Text)
    }
}

/// One open array or object on the way to a place.
enum Level {
    Array(usize),
    Object(String),
}

/// The JSON pointer of the place where reading stopped: the value that ends or lies there.
fn pointer_at(body: &[u8], offset: usize) -> String {
    let mut levels: Vec<Level> = Vec::new();
    let mut expects_key = false;
    let mut at = 0;
    while at < offset {
        match body[at] {
            b'{' => {
                levels.push(Level::Object(String::new()));
                expects_key = true;
            }
            b'[' => {
                levels.push(Level::Array(0));
                expects_key = false;
            }
            b'}' | b']' => {
                levels.pop();
                expects_key = false;
            }
            b',' => match levels.last_mut() {
                Some(Level::Array(index)) => *index += 1,
                Some(Level::Object(key)) => {
                    key.clear();
                    expects_key = true;
                }
                None => {}
            },
            b'"' => {
                let end = string_end(body, at);
                if expects_key && let Some(Level::Object(key)) = levels.last_mut() {
                    *key = serde_json::from_slice(&body[at..end]).unwrap_or_default();
                    expects_key = false;
                }
                at = end;
                continue;
            }
            _ => {}
        }
        at += 1;
    }
    let mut pointer = String::new();
    for level in &levels {
        match level {
            Level::Array(index) => pointer.push_str(&format!("/{index}")),
            Level::Object(key) if key.is_empty() => {}
            Level::Object(key) => push_key(&mut pointer, key),
        }
    }
    pointer
}

/// The offset after the string that starts at `start`, or the end of the body.
fn string_end(body: &[u8], start: usize) -> usize {
    let mut at = start + 1;
    while let Some(byte) = body.get(at) {
        match byte {
            b'\\' => at += 2,
            b'"' => return at + 1,
            _ => at += 1,
        }
    }
    body.len()
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::body::record::{Batch, NewRecord};

    fn refused(body: &str) -> (Code, String, String) {
        let error = read::<NewRecord>(body.as_bytes()).expect_err(body);
        (error.code, error.errors[0].pointer.clone(), error.errors[0].message.clone())
    }

    #[test]
    fn a_good_body_is_read() {
        let new: NewRecord = read(br#" {"fields":{"title":"a","n":{"x":[1,2.5,true,null]}}} "#).expect("a body");
        assert_eq!(new.fields.len(), 2);
    }

    #[test]
    fn a_number_is_the_one_that_is_closest_to_what_is_written() {
        for text in [
            "21555555555555555555555555555555550.0",
            "2.1555555555555558e+34",
            "0.1",
            "5e-324",
            "123456789012345680.0",
        ] {
            let read: f64 = read(text.as_bytes()).expect(text);
            assert_eq!(read, text.parse::<f64>().expect(text), "{text}");
            let written = serde_json::to_string(&read).expect(text);
            assert_eq!(
                self::read::<f64>(written.as_bytes()).expect(text),
                read,
                "{text} is written as {written}"
            );
        }
    }

    #[test]
    fn what_is_not_json_is_malformed() {
        for body in [
            "",
            "{",
            "{}x",
            "{} {}",
            r#"{"fields":}"#,
            r#"{"fields":{"a":1e999}}"#,
            r#"{"fields":{"a":"\ud800"}}"#,
        ] {
            assert_eq!(
                read::<Value>(body.as_bytes()).expect_err(body).code,
                Code::MalformedBody,
                "{body}"
            );
        }
        assert_eq!(
            read::<Value>(b"{\"a\":\"\xff\"}").expect_err("bad UTF-8").code,
            Code::MalformedBody
        );
    }

    #[test]
    fn duplicate_keys_are_refused_even_when_escaped() {
        let (code, pointer, message) = refused(r#"{"fields":{"a":1,"b":{"k":1,"\u006b":2}}}"#);
        assert_eq!((code, pointer.as_str()), (Code::MalformedBody, "/fields/b/k"), "{message}");
        let wide: Vec<String> = (0..40).map(|n| format!("\"k{}\":1", n % 39)).collect();
        assert_eq!(
            refused(&format!("{{\"fields\":{{{}}}}}", wide.join(","))).0,
            Code::MalformedBody
        );
    }

    #[test]
    fn nesting_is_bounded() {
        let nested = |depth: usize| format!("{{\"fields\":{{\"a\":{}{}}}}}", "[".repeat(depth), "]".repeat(depth));
        assert!(read::<NewRecord>(nested(JSON_DEPTH - 2).as_bytes()).is_ok());
        assert_eq!(refused(&nested(JSON_DEPTH - 1)).0, Code::MalformedBody);
        assert_eq!(refused(&nested(100_000)).0, Code::MalformedBody);
    }

    #[test]
    fn wrong_values_name_their_place() {
        assert_eq!(refused(r#"{"fields":7}"#).1, "/fields");
        assert_eq!(
            refused("{}"),
            (Code::InvalidFields, String::new(), "missing field `fields`".into())
        );
        let (code, pointer, message) = refused("{\n \"fields\": {},\n \"extra\": 1}");
        assert_eq!((code, pointer.as_str()), (Code::InvalidFields, "/extra"), "{message}");
        let batch = br#"{"operations":[{"op":"check","collection":"a"},{"op":"create","collection":"Bad!"}]}"#;
        let error = read::<Batch>(batch).expect_err("a bad name");
        assert_eq!(error.errors[0].pointer, "/operations/1/collection");
    }
}
