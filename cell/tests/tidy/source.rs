//! As much of Rust's grammar as the rules need.

use std::ops::Range;

/// The code of a text: comments, strings and character literals become blanks, line breaks stay, so that places are the same.
pub(crate) fn code(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = bytes.to_vec();
    let mut at = 0;
    while at < bytes.len() {
        let end = skipped(bytes, at);
        if end == at {
            at += 1;
            continue;
        }
        out[at..end]
            .iter_mut()
            .filter(|byte| **byte != b'\n')
            .for_each(|byte| *byte = b' ');
        at = end;
    }
    String::from_utf8(out).expect("blanks take whole characters' places")
}

/// The end of the comment or literal that begins at `at`; `at` where none does.
fn skipped(bytes: &[u8], at: usize) -> usize {
    let rest = &bytes[at..];
    let after_word = at > 0 && (bytes[at - 1].is_ascii_alphanumeric() || bytes[at - 1] == b'_');
    if rest.starts_with(b"//") {
        return at + rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len());
    }
    if rest.starts_with(b"/*") {
        return at + block_comment(rest);
    }
    if !after_word && let Some(length) = raw_string(rest) {
        return at + length;
    }
    match rest[0] {
        b'"' => at + quoted(rest, b'"'),
        b'\'' if rest.get(1) == Some(&b'\\') => at + quoted(rest, b'\''),
        // One character between quotes; else it is a lifetime. A character is at most four bytes.
        b'\'' => (3..=6)
            .find(|end| rest.get(end - 1) == Some(&b'\'') && is_one_character(&rest[1..end - 1]))
            .map_or(at, |end| at + end),
        _ => at,
    }
}

fn is_one_character(bytes: &[u8]) -> bool {
    std::str::from_utf8(bytes).is_ok_and(|text| text.chars().count() == 1)
}

fn block_comment(rest: &[u8]) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < rest.len() {
        let step = match rest.get(at..at + 2) {
            Some(b"/*") => 1,
            Some(b"*/") => -1,
            _ => 0,
        };
        depth += step;
        at += if step == 0 { 1 } else { 2 };
        if depth == 0 {
            break;
        }
    }
    at
}

fn raw_string(rest: &[u8]) -> Option<usize> {
    let start = ["br", "cr", "r"]
        .iter()
        .find(|prefix| rest.starts_with(prefix.as_bytes()))?
        .len();
    let hashes = rest[start..].iter().take_while(|byte| **byte == b'#').count();
    if rest.get(start + hashes) != Some(&b'"') {
        return None;
    }
    let mut closing = vec![b'"'];
    closing.extend(std::iter::repeat_n(b'#', hashes));
    let body = start + hashes + 1;
    let length = rest[body..].windows(closing.len()).position(|window| window == closing);
    Some(length.map_or(rest.len(), |length| body + length + closing.len()))
}

fn quoted(rest: &[u8], quote: u8) -> usize {
    let mut at = 1;
    while at < rest.len() && rest[at] != quote {
        at += if rest[at] == b'\\' { 2 } else { 1 };
    }
    (at + 1).min(rest.len())
}

/// Where the bracket that opens at `open` closes: the place behind it.
fn closing(code: &str, open: usize) -> usize {
    let mut depth = 0_usize;
    for (at, byte) in code.bytes().enumerate().skip(open) {
        match byte {
            b'{' => depth += 1,
            b'}' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return at + 1;
        }
    }
    code.len()
}

/// The ranges of `#[cfg(test)] mod NAME { … }`.
pub(crate) fn test_modules(code: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut from = 0;
    while let Some(at) = code[from..].find("#[cfg(test)]").map(|at| from + at) {
        let rest = &code[at..];
        let brace = rest.find('{').unwrap_or(rest.len());
        let is_module = words(&rest[..brace]).any(|(_, word)| word == "mod") && !rest[..brace].contains(';');
        let end = if is_module { closing(code, at + brace) } else { at + 1 };
        if is_module {
            found.push(at..end);
        }
        from = end;
    }
    found
}

/// The code without its test modules, which become blank lines.
pub(crate) fn without_tests(code: &str) -> String {
    let mut out = code.as_bytes().to_vec();
    for range in test_modules(code) {
        out[range]
            .iter_mut()
            .filter(|byte| **byte != b'\n')
            .for_each(|byte| *byte = b' ');
    }
    String::from_utf8(out).expect("blanks take whole characters' places")
}

/// Names and keywords with their places.
pub(crate) fn words(code: &str) -> impl Iterator<Item = (usize, &str)> {
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let bytes = code.as_bytes();
    let mut at = 0;
    std::iter::from_fn(move || {
        while at < bytes.len() && !is_part(bytes[at]) {
            at += 1;
        }
        let start = at;
        while at < bytes.len() && is_part(bytes[at]) {
            at += 1;
        }
        (start < at).then(|| (start, &code[start..at]))
    })
}

/// Functions that have a body: name and lines, from `fn` to the closing brace.
pub(crate) fn functions(code: &str) -> Vec<(String, usize)> {
    let mut found = Vec::new();
    for (start, _) in words(code).filter(|(_, word)| *word == "fn") {
        let Some((after, name)) = words(&code[start + 2..]).next() else {
            continue;
        };
        // `fn` without a name is the type of a function.
        if !code[start + 2..start + 2 + after].trim().is_empty() {
            continue;
        }
        if let Some(open) = body(code, start + 2 + after) {
            let lines = code[start..closing(code, open)].lines().count();
            found.push((name.to_owned(), lines));
        }
    }
    found
}

/// The brace that opens a function's body; `None` for a declaration. A `;` inside `[u8; 4]` ends nothing.
fn body(code: &str, from: usize) -> Option<usize> {
    let mut depth = 0_usize;
    for (at, byte) in code.bytes().enumerate().skip(from) {
        match byte {
            b'(' | b'[' => depth += 1,
            b')' | b']' => depth = depth.saturating_sub(1),
            b';' if depth == 0 => return None,
            b'{' if depth == 0 => return Some(at),
            _ => {}
        }
    }
    None
}

/// What a place stands in.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Surrounding<'a> {
    /// A loop, inside its function.
    Loop,
    /// A function of this name, in no loop.
    Function(&'a str),
    /// Neither.
    Nothing,
}

/// The innermost loop or function around a place.
pub(crate) fn surrounding(code: &str, at: usize) -> Surrounding<'_> {
    let mut depth = 0_usize;
    for (place, byte) in code.bytes().enumerate().take(at).collect::<Vec<_>>().into_iter().rev() {
        match byte {
            b'}' => depth += 1,
            b'{' if depth > 0 => depth -= 1,
            b'{' => {
                // The words since the statement's begin say what the block is.
                let start = code[..place].rfind(['{', '}', ';']).map_or(0, |found| found + 1);
                let head: Vec<_> = words(&code[start..place]).map(|(_, word)| word).collect();
                if let Some(name) = head
                    .iter()
                    .position(|word| *word == "fn")
                    .and_then(|found| head.get(found + 1))
                {
                    return Surrounding::Function(name);
                }
                if head.iter().any(|word| ["loop", "while", "for"].contains(word)) {
                    return Surrounding::Loop;
                }
            }
            _ => {}
        }
    }
    Surrounding::Nothing
}

/// The number, from 1, of the line that holds a place.
pub(crate) fn line_of(text: &str, at: usize) -> usize {
    text.as_bytes()[..at].iter().filter(|byte| **byte == b'\n').count() + 1
}

mod tests {
    use super::*;

    #[test]
    fn comments_and_strings_are_not_code() {
        let text = "a(\"//x\\\" {\"); // b {\n/* c /* d */ { */ e('{', '\\'', 'ä'); r#\"f \" {\"#; g::<'h>();\n";
        let code = code(text);
        assert_eq!(code.len(), text.len());
        let words = words(&code).map(|(_, word)| word).collect::<Vec<_>>();
        assert_eq!(words, ["a", "e", "g", "h"]);
        assert_eq!(code.lines().count(), 2);
    }

    #[test]
    fn functions_are_found_with_their_lines() {
        let code = code(
            "fn a(x: fn(u8)) -> [u8; 2] {\n    if x { }\n}\ntrait T { fn declared(&self); fn b() { } }\nfn c<F>() where F: Fn() {\n\n}\n",
        );
        let found = functions(&code);
        assert_eq!(found, [("a".to_owned(), 3), ("b".to_owned(), 1), ("c".to_owned(), 3)]);
    }

    #[test]
    fn a_test_module_is_cut_out_and_a_test_only_item_is_not() {
        let text = "#[cfg(test)]\nmod tests;\n#[cfg(test)]\nuse a;\nfn b() {}\n#[cfg(test)]\npub(crate) mod tests {\n fn c() {}\n}\nfn d() {}\n";
        let cut = without_tests(text);
        assert_eq!(
            functions(&cut).iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(),
            ["b", "d"]
        );
        assert_eq!(line_of(text, text.find("fn d").unwrap()), 10);
    }

    #[test]
    fn a_place_is_in_a_loop_or_in_a_function() {
        let code = "fn a() { while b().is_ok() { if c { HERE } } THERE } ELSEWHERE";
        let at = |word: &str| surrounding(code, code.find(word).unwrap());
        assert_eq!(at("HERE"), Surrounding::Loop);
        assert_eq!(surrounding(code, code.find("THERE }").unwrap()), Surrounding::Function("a"));
        assert_eq!(at("ELSEWHERE"), Surrounding::Nothing);
    }
}
