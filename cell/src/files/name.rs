//! What a file may be called, and what its media type may be.
//!
//! A name is one name: nothing in it leads anywhere when somebody saves the file under it.

use api::limits::{FILE_NAME_BYTES, MEDIA_TYPE_BYTES};

/// The media type of bytes of which nothing is known.
pub(crate) const UNKNOWN: &str = "application/octet-stream";

/// Why a name is none; nothing: it is one.
pub(crate) fn wrong_name(name: &str) -> Option<String> {
    let hidden =
        |c: char| c.is_control() || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    if name.is_empty() {
        return Some("is empty: a file has a name of 1 to 255 bytes".to_owned());
    }
    if name.len() > FILE_NAME_BYTES {
        return Some(format!("is {} bytes long, at most {FILE_NAME_BYTES} are allowed", name.len()));
    }
    if name == "." || name == ".." {
        return Some(format!("is {name:?}, which is a directory and no file"));
    }
    if let Some(at) = name.find(['/', '\\']) {
        let found = &name[at..=at];
        return Some(format!(
            "has a {found:?} at byte {at}: a name has no path; leave the directories away"
        ));
    }
    if let Some((at, found)) = name.char_indices().find(|(_, c)| hidden(*c)) {
        return Some(format!(
            "has the character {} at byte {at}, which is not shown: leave it away",
            found.escape_unicode()
        ));
    }
    if name.trim() != name {
        return Some("begins or ends with a space: leave it away".to_owned());
    }
    None
}

/// Why a media type is none; nothing: it is one.
pub(crate) fn wrong_media_type(text: &str) -> Option<String> {
    let is_token = |text: &str| {
        !text.is_empty()
            && text
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+.^_`|~-".contains(&byte))
    };
    let essence = text.split(';').next().unwrap_or_default().trim_end();
    let is_one = essence
        .split_once('/')
        .is_some_and(|(kind, sub)| is_token(kind) && is_token(sub));
    if text.len() > MEDIA_TYPE_BYTES {
        return Some(format!(
            "is {} bytes long, at most {MEDIA_TYPE_BYTES} are allowed",
            text.len()
        ));
    }
    if is_one && text.bytes().all(|byte| (b' '..=b'~').contains(&byte)) {
        return None;
    }
    Some("is no media type: write one such as application/pdf".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_leads_nowhere_and_says_all_of_itself() {
        for good in [
            "a",
            "report.pdf",
            "Q3 … übersicht (2).xlsx",
            ".profile",
            "a..b",
            &"x".repeat(255),
        ] {
            assert_eq!(wrong_name(good), None, "{good}");
        }
        let long = "x".repeat(256);
        let wrong = [
            ("", "empty"),
            (".", "directory"),
            ("..", "directory"),
            ("a/b", "\"/\" at byte 1"),
            ("..\\a", "\"\\\\\" at byte 2"),
            ("/etc/passwd", "at byte 0"),
            ("a\0b", "\\u{0}"),
            ("a\nb", "\\u{a}"),
            ("gpj.\u{202e}exe", "\\u{202e}"),
            (" a", "space"),
            (long.as_str(), "256 bytes"),
        ];
        for (name, why) in wrong {
            let found = wrong_name(name).unwrap_or_default();
            assert!(found.contains(why), "{name:?}: {found}");
        }
    }

    #[test]
    fn a_media_type_has_two_parts() {
        for good in [
            UNKNOWN,
            "text/plain; charset=utf-8",
            "image/svg+xml",
            "application/vnd.ms-excel",
        ] {
            assert_eq!(wrong_media_type(good), None, "{good}");
        }
        for wrong in [
            "",
            "text",
            "text/",
            "/plain",
            "te xt/plain",
            "text/plain\r\nX: y",
            "text/plain; n=ü",
            &"a/b".repeat(99),
        ] {
            assert!(wrong_media_type(wrong).is_some(), "{wrong}");
        }
    }
}
