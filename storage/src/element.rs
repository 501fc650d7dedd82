//! Elements: values inside index keys, in bytes whose order is that of the values. Lower kinds sort first; see the head of `key` for how
//! each is written.

use crate::key::{KeyError, push_hex, take_array};

/// A value inside an index key; see the head of this module for how it is written and ordered.
#[derive(Clone, Debug, PartialEq)]
pub enum Element {
    /// No value; sorts first.
    Null,
    /// False sorts before true.
    Bool(bool),
    /// A whole number.
    Integer(i64),
    /// A number; -0.0 equals 0.0 and every NaN sorts last.
    Number(f64),
    /// Text, ordered by its UTF-8 bytes.
    Text(String),
    /// An id, ordered by its bytes.
    Uuid([u8; 16]),
}

impl Element {
    /// Appends the bytes that it has in keys: their order is that of the values, and none is a prefix of another's.
    pub fn write_ordered(&self, out: &mut Vec<u8>) {
        put_element(self, out);
    }
}

pub(crate) fn put_element(element: &Element, out: &mut Vec<u8>) {
    match element {
        Element::Null => out.push(1),
        Element::Bool(value) => out.extend_from_slice(&[2, u8::from(*value)]),
        Element::Integer(value) => {
            out.push(3);
            out.extend_from_slice(&(value.cast_unsigned() ^ (1 << 63)).to_be_bytes());
        }
        Element::Number(value) => {
            out.push(4);
            out.extend_from_slice(&number_to_bits(*value).to_be_bytes());
        }
        Element::Text(value) => {
            out.push(5);
            put_text(value, out);
        }
        Element::Uuid(value) => {
            out.push(6);
            out.extend_from_slice(value);
        }
    }
}

pub(crate) fn take_element(kind: u8, from: &mut &[u8]) -> Result<Element, KeyError> {
    match kind {
        1 => Ok(Element::Null),
        2 => match take_array(from)? {
            [0] => Ok(Element::Bool(false)),
            [1] => Ok(Element::Bool(true)),
            _ => Err(KeyError::Malformed),
        },
        3 => take_array(from).map(|bytes| Element::Integer((u64::from_be_bytes(bytes) ^ (1 << 63)).cast_signed())),
        4 => take_array(from).map(|bytes| Element::Number(number_from_bits(u64::from_be_bytes(bytes)))),
        5 => take_text(from).map(Element::Text),
        6 => take_array(from).map(Element::Uuid),
        _ => Err(KeyError::Malformed),
    }
}

pub(crate) fn show_element(element: &Element, out: &mut String) {
    match element {
        Element::Null => out.push_str("null"),
        Element::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
        Element::Integer(value) => out.push_str(&value.to_string()),
        Element::Number(value) => out.push_str(&format!("{value:?}")),
        Element::Text(value) => out.push_str(&format!("{value:?}")),
        Element::Uuid(value) => push_hex(value, out),
    }
}

/// What a text ends with.
pub(crate) const TEXT_END: [u8; 2] = [0, 0];

const SIGN: u64 = 1 << 63;

fn number_to_bits(value: f64) -> u64 {
    let canonical = if value == 0.0 {
        0.0
    } else if value.is_nan() {
        f64::NAN.abs()
    } else {
        value
    };
    let bits = canonical.to_bits();
    if bits & SIGN == 0 { bits ^ SIGN } else { !bits }
}

fn number_from_bits(bits: u64) -> f64 {
    f64::from_bits(if bits & SIGN == 0 { !bits } else { bits ^ SIGN })
}

pub(crate) fn put_text(text: &str, out: &mut Vec<u8>) {
    for byte in text.bytes() {
        out.push(byte);
        if byte == 0 {
            out.push(0xFF);
        }
    }
    out.extend_from_slice(&TEXT_END);
}

pub(crate) fn take_text(from: &mut &[u8]) -> Result<String, KeyError> {
    let mut text = Vec::new();
    loop {
        let [byte] = take_array(from)?;
        if byte != 0 {
            text.push(byte);
            continue;
        }
        match take_array(from)? {
            [0xFF] => text.push(0),
            [0] => return String::from_utf8(text).map_err(|_| KeyError::Malformed),
            _ => return Err(KeyError::Malformed),
        }
    }
}
