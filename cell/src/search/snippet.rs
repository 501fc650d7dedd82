//! Excerpts: where in a text the words of a question are.
//!
//! What comes out is HTML: every character that means something there is escaped, and the only tags are `<mark>` around what was found.

use storage::search::{Clause, Language, words};

/// Longest excerpt, in characters of the text.
const EXCERPT_CHARS: usize = 240;
/// How many characters stand before the first word that was found.
const BEFORE_CHARS: usize = 60;
/// How much of a text is looked at, in bytes. What is found further on is not shown.
const TEXT_BYTES: usize = 200_000;
/// Most places that are looked at for the best excerpt.
const PLACES: usize = 500;

/// An excerpt of a text; none: nothing of the question is in it.
pub(crate) fn excerpt(text: &str, clauses: &[Clause], language: Language) -> Option<String> {
    let text = &text[..text.floor_char_boundary(TEXT_BYTES)];
    let patterns: Vec<_> = clauses.iter().flat_map(Clause::patterns).collect();
    let found = words(text, language).filter_map(|word| {
        let pattern = patterns.iter().position(|pattern| pattern.fits(&word))?;
        Some((word.start, word.end, pattern))
    });
    let found: Vec<_> = found.take(PLACES).collect();
    let (start, end) = window(text, &found)?;
    let mut html = String::with_capacity((end - start) * 2);
    if start > 0 {
        html.push('…');
    }
    let mut at = start;
    for (from, to) in joined(&found, start, end) {
        escape(&text[at..from], &mut html);
        html.push_str("<mark>");
        escape(&text[from..to], &mut html);
        html.push_str("</mark>");
        at = to;
    }
    escape(&text[at..end], &mut html);
    if end < text.len() {
        html.push('…');
    }
    Some(html)
}

/// The part of a text that has most of what was found.
fn window(text: &str, found: &[(usize, usize, usize)]) -> Option<(usize, usize)> {
    if text.chars().nth(EXCERPT_CHARS).is_none() {
        return found.first().map(|_| (0, text.len()));
    }
    let reach = |from: usize| {
        text[from..]
            .char_indices()
            .nth(EXCERPT_CHARS - BEFORE_CHARS)
            .map_or(text.len(), |(at, _)| from + at)
    };
    let worth = |(first, (from, ..)): (usize, &(usize, usize, usize))| {
        let within = found[first..].iter().take_while(|(_, to, _)| *to <= reach(*from));
        let mut patterns: Vec<_> = within.map(|(_, _, pattern)| *pattern).collect();
        let all = patterns.len();
        patterns.sort_unstable();
        patterns.dedup();
        // The first of those that are as good.
        (patterns.len(), all, std::cmp::Reverse(first))
    };
    let best = found.iter().enumerate().max_by_key(|place| worth(*place))?;
    let (from, to, _) = *best.1;
    let start = text[..from].char_indices().rev().nth(BEFORE_CHARS).map_or(0, |(at, _)| at);
    // It begins and ends with whole words, where there are any.
    let start = match text[start..from].find(char::is_whitespace) {
        Some(space) if start > 0 => start + space + 1,
        _ => start,
    };
    let end = reach(from).max(to);
    let end = match text[to..end].rfind(char::is_whitespace) {
        Some(space) if end < text.len() => to + space,
        _ => end,
    };
    Some((text.ceil_char_boundary(start).min(from), end))
}

/// What was found between two places, with what touches put together.
fn joined(found: &[(usize, usize, usize)], start: usize, end: usize) -> Vec<(usize, usize)> {
    let mut joined: Vec<(usize, usize)> = Vec::new();
    for (from, to, _) in found.iter().filter(|(from, to, _)| *from >= start && *to <= end) {
        match joined.last_mut().filter(|last| *from <= last.1) {
            Some(last) => last.1 = last.1.max(*to),
            None => joined.push((*from, *to)),
        }
    }
    joined
}

fn escape(text: &str, html: &mut String) {
    for character in text.chars() {
        match character {
            '&' => html.push_str("&amp;"),
            '<' => html.push_str("&lt;"),
            '>' => html.push_str("&gt;"),
            '"' => html.push_str("&quot;"),
            '\'' => html.push_str("&#39;"),
            other => html.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::syntax::parse;
    use super::*;

    fn of(text: &str, question: &str) -> Option<String> {
        let language = Language::of("en").expect("a language");
        excerpt(text, &parse(question, language).expect("a question").needed, language)
    }

    #[test]
    fn what_was_found_is_marked_and_all_else_is_text() {
        assert_eq!(
            of("Running <b>late</b> & \"loud\"", "runs").as_deref(),
            Some("<mark>Running</mark> &lt;b&gt;late&lt;/b&gt; &amp; &quot;loud&quot;")
        );
        assert_eq!(
            of("<script>alert('x')</script>", "script ").as_deref(),
            Some("&lt;<mark>script</mark>&gt;alert(&#39;x&#39;)&lt;/<mark>script</mark>&gt;")
        );
        assert_eq!(of("東京都の天気", "東京都 ").as_deref(), Some("<mark>東京都</mark>の天気"));
        assert_eq!(of("Étude", "etudes").as_deref(), Some("<mark>Étude</mark>"));
        assert_eq!(of("nothing", "else"), None);
        assert_eq!(of("", "else"), None);
    }

    #[test]
    fn a_long_text_is_cut_around_most_of_what_was_found() {
        let text = format!("needle {} needle thread {}", "straw ".repeat(200), "straw ".repeat(200));
        let excerpt = of(&text, "needle thread").expect("an excerpt");
        assert!(excerpt.starts_with('…') && excerpt.ends_with('…'), "{excerpt}");
        assert!(excerpt.contains("<mark>needle</mark> <mark>thread</mark>"), "{excerpt}");
        assert!(excerpt.chars().count() < 300, "{excerpt}");
        let dense = "東".repeat(1_000) + "京都" + &"西".repeat(1_000);
        assert!(of(&dense, "京都").expect("an excerpt").contains("<mark>京都</mark>"));
    }
}
