//! How a browser is to take a content: as a file to keep, unless it is asked to be shown and can do no harm.
//!
//! What people upload is theirs, not ours: a page or a script among it must not run as if this server had made it. So everything is an
//! attachment, and only pictures, sounds, films and plain text are shown where the request asks for that. `Content-Security-Policy: sandbox` and
//! `X-Content-Type-Options: nosniff` go with all of it.

/// What may be shown: nothing of it runs.
const QUIET: [&str; 12] = [
    "image/png",
    "image/jpeg",
    "image/gif",
    "image/webp",
    "image/avif",
    "image/bmp",
    "audio/mpeg",
    "audio/ogg",
    "audio/wav",
    "video/mp4",
    "video/webm",
    "text/plain",
];

/// The value of `Content-Disposition` (RFC 6266) for a file of this name and media type.
pub(super) fn of(name: &str, media_type: &str, is_shown: bool) -> String {
    let essence = media_type.split(';').next().unwrap_or_default().trim();
    let is_quiet = QUIET.iter().any(|quiet| quiet.eq_ignore_ascii_case(essence));
    let kind = if is_shown && is_quiet { "inline" } else { "attachment" };
    // For those who do not read filename*: what is no plain ASCII is left to a line.
    let is_plain = |c: char| matches!(c, ' '..='~') && !matches!(c, '"' | '\\' | '%');
    let plain: String = name.chars().map(|c| if is_plain(c) { c } else { '_' }).collect();
    let mut text = format!("{kind}; filename=\"{plain}\"");
    if plain != name {
        text.push_str("; filename*=UTF-8''");
        for byte in name.bytes() {
            match byte {
                // attr-char of RFC 8187.
                b'0'..=b'9'
                | b'A'..=b'Z'
                | b'a'..=b'z'
                | b'!'
                | b'#'
                | b'$'
                | b'&'
                | b'+'
                | b'-'
                | b'.'
                | b'^'
                | b'_'
                | b'`'
                | b'|'
                | b'~' => {
                    text.push(char::from(byte));
                }
                byte => text.push_str(&format!("%{byte:02X}")),
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_can_do_no_harm_is_shown_and_any_name_is_written_safely() {
        assert_eq!(of("a.png", "image/png", true), "inline; filename=\"a.png\"");
        assert_eq!(of("a.png", "image/png", false), "attachment; filename=\"a.png\"");
        for active in [
            "text/html",
            "image/svg+xml",
            "text/xml",
            "application/javascript",
            "application/pdf",
            "TEXT/HTML",
            "x",
        ] {
            assert!(of("a", active, true).starts_with("attachment;"), "{active}");
        }
        assert!(of("a.txt", "Text/Plain; charset=utf-8", true).starts_with("inline;"));
        assert_eq!(
            of("\"ü\\%.txt", "text/plain", false),
            "attachment; filename=\"____.txt\"; filename*=UTF-8''%22%C3%BC%5C%25.txt"
        );
    }
}
