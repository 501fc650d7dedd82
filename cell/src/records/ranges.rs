//! Ranges of keys of an index, from what is asked of its parts.

use std::ops::Bound;

use storage::{Element, KeyRange};

use super::want::Want;

/// Each list with each of the values behind it.
pub(super) fn combined(lists: &[Vec<Element>], values: &[Element]) -> Vec<Vec<Element>> {
    let with = |list: &Vec<Element>, value: &Element| [list.as_slice(), std::slice::from_ref(value)].concat();
    let all = lists
        .iter()
        .flat_map(|list| values.iter().map(move |value| with(list, value)));
    all.collect()
}

/// The part of a range that a limit on the next value leaves.
pub(super) fn limited(range: &impl Fn(&[Element]) -> KeyRange, leading: &[Element], limit: Option<&Want>) -> KeyRange {
    let with = |element: &Element| range(&[leading, std::slice::from_ref(element)].concat());
    match limit {
        None | Some(Want::OneOf(_)) => range(leading),
        Some(Want::StartsWith(text)) => with(&Element::Text(text.clone())).starting_with(),
        Some(Want::Between(low, high)) => KeyRange {
            start: match low {
                Bound::Included(low) => with(low).start,
                Bound::Excluded(low) => with(low).end,
                Bound::Unbounded => with(&Element::Null).end,
            },
            end: match high {
                Bound::Included(high) => with(high).end,
                Bound::Excluded(high) => with(high).start,
                Bound::Unbounded => range(leading).end,
            },
        },
    }
}
