//! Which ranges of keys serve a list: the records by id, or an index whose first parts are asked to be something, whose next part may
//! be asked to lie in a range, and whose parts from there on are the order.
//!
//! Where all parts of a unique index are asked to be something, its entries name the few records that can be in the list, and the list is
//! served by their ids.
//!
//! What an index does not serve is left to whoever reads the rows: a plan says where to look, not what to keep. Several ranges stand
//! in the order of their keys and do not overlap, so that reading one after the other is in order.

use std::collections::BTreeSet;
use std::ops::Bound;

use api::body::record::ListQuery;
use api::error::{Code, Error};
use storage::table::{IndexEntry, Record as RecordKey, UniqueEntry};
use storage::{Direction, Element, KeyRange, Snapshot, Space, Table};
use uuid::Uuid;

use super::ranges::{combined, limited};
use super::schema::{Collection, IndexSpec, Part};
use super::value::Record;
use super::want::{Want, equality, order, part, want};
use crate::expr::Expression;
use crate::machine::reader::Reader;
use crate::service::error::internal;

/// Most ranges of a plan. Raised: long `in` lists are looked up one by one. Lowered: they are read past.
const RANGES: usize = 100;

/// How a list is served.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Plan {
    /// The index; none: by id.
    pub(super) index: Option<u32>,
    /// The keys of the whole list, ascending.
    pub(super) ranges: Vec<KeyRange>,
    /// From which end.
    pub(super) direction: Direction,
    /// How many parts of the index have one value, or one of several, in all of them.
    pub(super) fixed: usize,
    /// The order that the ranges do not have: what they hold must be sorted.
    pub(super) sort: Option<Vec<(Part, Direction)>>,
}

/// What a list asks for.
#[derive(Clone, Debug, Default)]
pub(super) struct Asked {
    /// Equalities of the query, which every record of the list must keep.
    pub(super) equals: Vec<(Part, Element)>,
    wants: Vec<(Part, Want)>,
    order: Vec<Part>,
    direction: Option<Direction>,
    /// The order, part by part, with directions that may differ.
    sort: Vec<(Part, Direction)>,
    is_mixed: bool,
}

impl Asked {
    /// Reads a query; `filter` is the one that it names.
    pub(super) fn read(collection: &Collection, query: &ListQuery, filter: Option<&Expression>) -> Result<Self, Error> {
        let mut asked = Self::default();
        let ordered = order(collection, query.order.as_deref())?;
        asked.order = ordered.parts.iter().map(|(part, _)| *part).collect();
        (asked.direction, asked.is_mixed) = (ordered.direction, ordered.is_mixed);
        asked.sort = ordered.parts;
        for (name, text) in &query.equals {
            let (part, element) = equality(collection, name, text)?;
            asked.wants.push((part, Want::OneOf(vec![element.clone()])));
            asked.equals.push((part, element));
        }
        for (slot, ask) in filter.map(Expression::conjuncts).unwrap_or_default() {
            if let Some((part, kind)) = part(collection, slot)
                && let Some(want) = want(kind, ask)
            {
                asked.want(part, want);
            }
        }
        Ok(asked)
    }

    /// One more thing that is asked of a part; limits of one part become one range.
    fn want(&mut self, part: Part, want: Want) {
        if let Want::Between(low, high) = &want {
            let known = self.wants.iter_mut().find_map(|(other, want)| match want {
                Want::Between(known_low, known_high) if *other == part => Some((known_low, known_high)),
                _ => None,
            });
            if let Some((known_low, known_high)) = known {
                // Of two limits on one side either is right, and the rows are looked at anyway.
                if matches!(known_low, Bound::Unbounded) {
                    known_low.clone_from(low);
                }
                if matches!(known_high, Bound::Unbounded) {
                    known_high.clone_from(high);
                }
                return;
            }
        }
        self.wants.push((part, want));
    }

    fn wanted(&self, part: Part, choose: impl Fn(&Want) -> bool) -> Option<&Want> {
        self.wants
            .iter()
            .find(|(other, want)| *other == part && choose(want))
            .map(|(_, want)| want)
    }

    /// Whether a record keeps the equalities.
    pub(super) fn equals_hold<S: AsRef<str>>(&self, record: &Record<S>) -> bool {
        self.equals.iter().all(|(part, wanted)| part.element(record) == *wanted)
    }

    /// Whether the ranges of a plan hold no record that breaks an equality.
    pub(super) fn is_covered(&self, plan: &Plan) -> bool {
        plan.fixed >= self.equals.len() && self.equals.len() == self.wants.len()
    }

    /// The ranges that serve it best: in its order where an index has that, and else without, to be sorted.
    pub(super) fn plan(&self, snapshot: &Snapshot, space: Space, collection: &Collection) -> Result<Plan, Error> {
        if !self.is_mixed
            && let Some(plan) = self.in_order(snapshot, space, collection)?
        {
            return Ok(plan);
        }
        let loose = Self {
            order: Vec::new(),
            direction: None,
            ..self.clone()
        };
        let plan = loose.in_order(snapshot, space, collection)?;
        let plan = plan.ok_or_else(|| internal(&"a list without an order has no plan"))?;
        Ok(Plan {
            sort: Some(self.sort.clone()),
            ..plan
        })
    }

    /// The ranges that are in its order; none: no index has it.
    fn in_order(&self, snapshot: &Snapshot, space: Space, collection: &Collection) -> Result<Option<Plan>, Error> {
        let direction = self.direction.unwrap_or(Direction::Forward);
        for index in collection.indexes.iter().filter(|index| index.unique) {
            if let Some(ranges) = self.named(snapshot, space, collection, index)? {
                return Ok(Some(Plan {
                    index: None,
                    ranges,
                    direction,
                    fixed: 0,
                    sort: None,
                }));
            }
        }
        let usable = collection.indexes.iter().filter(|index| !index.unique);
        let best = usable
            .filter_map(|index| self.through(space, collection, index))
            .filter(|(score, _)| *score > 0 || !self.order.is_empty())
            .max_by_key(|(score, _)| *score);
        if let Some((score, (index, ranges))) = best {
            return Ok(Some(Plan {
                index: Some(index),
                ranges,
                direction,
                fixed: score / 2,
                sort: None,
            }));
        }
        Ok(self.order.is_empty().then(|| Plan {
            index: None,
            ranges: vec![RecordKey::range(space, collection.number)],
            direction,
            fixed: 0,
            sort: None,
        }))
    }

    /// The records that a unique index names; none: it does not say which, or in which order.
    fn named(
        &self,
        snapshot: &Snapshot,
        space: Space,
        collection: &Collection,
        index: &IndexSpec,
    ) -> Result<Option<Vec<KeyRange>>, Error> {
        let mut wanted: Vec<Vec<Element>> = vec![Vec::new()];
        for part in &index.parts {
            let Some(Want::OneOf(values)) = self.wanted(*part, |want| matches!(want, Want::OneOf(_))) else {
                return Ok(None);
            };
            // Values with a null are not compared, and have no entry.
            if values.contains(&Element::Null) || values.len() * wanted.len() > RANGES {
                return Ok(None);
            }
            wanted = combined(&wanted, values);
        }
        if wanted.len() > 1 && !self.order.is_empty() {
            return Ok(None);
        }
        let mut ids = BTreeSet::new();
        for values in wanted {
            let entry = UniqueEntry {
                space,
                collection: collection.number,
                index: index.number,
                values,
            };
            ids.extend(snapshot.row::<_, Uuid>(&entry).map_err(|fault| internal(&fault))?);
        }
        let alone = |id: Uuid| {
            let key = RecordKey {
                space,
                collection: collection.number,
                id: id.into_bytes(),
            };
            KeyRange::only(&key.key())
        };
        Ok(Some(ids.into_iter().map(alone).collect()))
    }

    /// The ranges of one index, and how much they leave out; none: they are not in order.
    fn through(&self, space: Space, collection: &Collection, index: &IndexSpec) -> Option<(usize, (u32, Vec<KeyRange>))> {
        let mut prefixes: Vec<Vec<Element>> = vec![Vec::new()];
        let mut order: &[Part] = &self.order;
        let mut fixed = 0;
        let mut many = false;
        for part in &index.parts {
            let Some(Want::OneOf(values)) = self.wanted(*part, |want| matches!(want, Want::OneOf(_))) else {
                break;
            };
            let leads = order.first() == Some(part);
            // Ranges of several values are in order only where the order begins with them, or where there is none.
            if values.len() != 1 && (many || !(order.is_empty() || leads) || values.len() > RANGES) {
                break;
            }
            many |= values.len() != 1;
            order = if leads { &order[1..] } else { order };
            prefixes = combined(&prefixes, values);
            fixed += 1;
        }
        let rest: Vec<Part> = order.iter().copied().filter(|part| !self.is_fixed(*part)).collect();
        let after = &index.parts[fixed..];
        if !after.starts_with(&rest) {
            return None;
        }
        let limit = after
            .first()
            .and_then(|part| self.wanted(*part, |want| !matches!(want, Want::OneOf(_))));
        let range = |leading: &[Element]| IndexEntry::range(space, collection.number, index.number, leading);
        let mut ranges: Vec<KeyRange> = prefixes.iter().map(|prefix| limited(&range, prefix, limit)).collect();
        ranges.retain(|range| !range.is_empty());
        ranges.sort_by(|one, other| one.start.cmp(&other.start));
        ranges.dedup();
        Some((2 * fixed + usize::from(limit.is_some()), (index.number, ranges)))
    }

    /// Whether every record of the list has the same value there.
    fn is_fixed(&self, part: Part) -> bool {
        self.wanted(part, |want| matches!(want, Want::OneOf(values) if values.len() == 1))
            .is_some()
    }

    /// The refusal of a list, with the index that would serve it.
    pub(super) fn no_index(&self, collection: &Collection, why: &str) -> Error {
        let mut parts: Vec<Part> = Vec::new();
        let equal = self.wants.iter().filter(|(_, want)| matches!(want, Want::OneOf(_)));
        let other = self.wants.iter().filter(|(_, want)| !matches!(want, Want::OneOf(_)));
        let limited = other
            .map(|(part, _)| part)
            .filter(|part| self.order.is_empty() || self.order.first() == Some(*part));
        for part in equal.map(|(part, _)| part).chain(&self.order).chain(limited.take(1)) {
            if !parts.contains(part) {
                parts.push(*part);
            }
        }
        let names: Vec<_> = parts.iter().take(4).map(|part| collection.part_name(*part)).collect();
        let detail = match names.as_slice() {
            [] => format!(
                "{why} of {}: ask for less, by equality or range of a field that is indexed",
                collection.name
            ),
            names => format!(
                "{why} of {}; an index over [{}] would help",
                collection.name,
                names.join(", ")
            ),
        };
        Error::new(Code::FilterTooBroad, detail)
    }
}
