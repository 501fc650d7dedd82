//! What somebody types into a field of search, and the excerpts of what is found.

use storage::search::Language;

use crate::search::snippet::excerpt;
use crate::search::syntax::parse;

/// Reads a question, which ends with the first line, and cuts an excerpt of the rest. A question is refused or has something to look for; an
/// excerpt is a part of the text, with everything escaped and marks that open and close.
pub fn search(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let (question, text) = text.split_once('\n').unwrap_or((&text, ""));
    let code = Language::codes().nth(question.len() % 19);
    let language = code.and_then(Language::of).unwrap_or_default();
    let Ok(parsed) = parse(question, language) else { return };
    assert!(!parsed.needed.is_empty(), "a question without a word is answered");
    let Some(html) = excerpt(text, &parsed.needed, language) else {
        return;
    };
    let mut plain = String::new();
    let (mut rest, mut marked, mut marks) = (html.as_str(), false, 0);
    while let Some(character) = rest.chars().next() {
        let tag = if marked { "</mark>" } else { "<mark>" };
        if let Some(after) = rest.strip_prefix(tag) {
            (rest, marked, marks) = (after, !marked, marks + 1);
            continue;
        }
        let entity = [("&amp;", '&'), ("&lt;", '<'), ("&gt;", '>'), ("&quot;", '"'), ("&#39;", '\'')]
            .into_iter()
            .find(|(entity, _)| rest.starts_with(entity));
        assert!(entity.is_some() || !"&<>\"'".contains(character), "{html:?} is not escaped");
        plain.push(entity.map_or(character, |(_, character)| character));
        rest = &rest[entity.map_or(character.len_utf8(), |(entity, _)| entity.len())..];
    }
    assert!(!marked && marks > 0, "{html:?} has marks that do not close, or none");
    let inner = plain.strip_prefix('…').unwrap_or(&plain);
    let inner = inner.strip_suffix('…').unwrap_or(inner);
    assert!(text.contains(inner), "{plain:?} is no part of {text:?}");
}
