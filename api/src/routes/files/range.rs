//! The part of a content that a request asks for (RFC 9110, 14).

use std::ops::Range;

/// What of a content is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// All of it.
    Whole,
    /// These bytes: one at least.
    Of(Range<u64>),
    /// Bytes that it does not have.
    None,
}

/// Reads a `Range` header for a content of so many bytes. One that cannot be read, and one that asks for several parts, is as good as none.
pub(super) fn part(header: Option<&str>, size: u64) -> Part {
    let Some(text) = header.and_then(|text| text.trim().strip_prefix("bytes=")) else {
        return Part::Whole;
    };
    let Some((first, last)) = text.split_once('-') else {
        return Part::Whole;
    };
    let number = |text: &str| match text.trim() {
        "" => Some(None),
        text => crate::query::digits(text).map(Some),
    };
    match (number(first), number(last)) {
        (Some(Some(first)), Some(last)) if last.is_none_or(|last| last >= first) => match first < size {
            true => Part::Of(first..last.map_or(size, |last| last.saturating_add(1).min(size))),
            false => Part::None,
        },
        (Some(None), Some(Some(last))) => match last.min(size) {
            0 => Part::None,
            last => Part::Of(size - last..size),
        },
        _ => Part::Whole,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_what_the_content_has_of_it() {
        let of = |text| part(Some(text), 10);
        for (text, wanted) in [
            ("bytes=0-0", Part::Of(0..1)),
            ("bytes=2-5", Part::Of(2..6)),
            ("bytes=2-", Part::Of(2..10)),
            ("bytes=2-99", Part::Of(2..10)),
            ("bytes=2-18446744073709551615", Part::Of(2..10)),
            ("bytes=-3", Part::Of(7..10)),
            ("bytes=-99", Part::Of(0..10)),
            ("bytes=9-9", Part::Of(9..10)),
            ("bytes=10-", Part::None),
            ("bytes=-0", Part::None),
        ] {
            assert_eq!(of(text), wanted, "{text}");
        }
        for whole in [
            "bytes=5-2",
            "bytes=-",
            "bytes=a-b",
            "bytes=0-1,3-4",
            "lines=0-1",
            "bytes=0",
            "bytes=99999999999999999999-",
        ] {
            assert_eq!(of(whole), Part::Whole, "{whole}");
        }
        assert_eq!(part(None, 10), Part::Whole);
        assert_eq!(part(Some("bytes=0-"), 0), Part::None);
    }
}
