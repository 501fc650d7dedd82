//! What a query asks of single parts of indexes: its equalities, its order, and what its filter says of fields, as values of keys.

use std::ops::Bound;

use api::error::{Code, Error};
use storage::{Direction, Element};
use uuid::Uuid;

use super::convert::query_value;
use super::schema::{Collection, Kind, Part};
use crate::expr::conjunct::{Ask, Literal};
use crate::expr::{Of, Slot};

/// Longest text in an index, in bytes: see `convert`.
const TEXT_BYTES: usize = 1_024;
/// The largest integer that a number holds exactly.
const EXACT: i64 = 1 << 53;

/// What is asked of one part of an index.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Want {
    /// One of these.
    OneOf(Vec<Element>),
    /// Between these; null never is.
    Between(Bound<Element>, Bound<Element>),
    /// A text that begins so.
    StartsWith(String),
}

/// The part of an index that a slot is, and its type; none: no index has it.
pub(super) fn part(collection: &Collection, slot: Slot) -> Option<(Part, &Kind)> {
    match slot {
        Slot::Field(Of::Record, number) => {
            let field = collection.field_numbered(number)?;
            field.kind.indexable().then_some((Part::Field(number), &field.kind))
        }
        Slot::CreatedAt => Some((Part::CreatedAt, &Kind::Timestamp)),
        Slot::UpdatedAt => Some((Part::UpdatedAt, &Kind::Timestamp)),
        _ => None,
    }
}

pub(super) fn want(kind: &Kind, ask: Ask) -> Option<Want> {
    let one = |literal: &Literal| element(kind, literal);
    // Null has no order: comparing with it is never true, and the rows say so.
    let limit = |literal: &Literal| one(literal).filter(|element| *element != Element::Null);
    let bound = |element, included| match included {
        true => Bound::Included(element),
        false => Bound::Excluded(element),
    };
    Some(match ask {
        Ask::OneOf(literals) => Want::OneOf(literals.iter().map(one).collect::<Option<_>>()?),
        Ask::Above(literal, included) => Want::Between(bound(limit(&literal)?, included), Bound::Unbounded),
        Ask::Below(literal, included) => Want::Between(Bound::Unbounded, bound(limit(&literal)?, included)),
        Ask::StartsWith(text) => match kind {
            Kind::Text | Kind::User | Kind::Select(_) if text.len() <= TEXT_BYTES && !text.is_empty() => Want::StartsWith(text),
            _ => return None,
        },
    })
}

/// A literal as the index of a field of this type has it; none: it has no such value.
pub(super) fn element(kind: &Kind, literal: &Literal) -> Option<Element> {
    Some(match (kind, literal) {
        (_, Literal::Null) => Element::Null,
        (Kind::Bool, Literal::Bool(value)) => Element::Bool(*value),
        (Kind::Integer | Kind::Sequence { .. } | Kind::Date | Kind::Timestamp, Literal::Integer(value)) => {
            Element::Integer(*value)
        }
        #[allow(clippy::cast_precision_loss, reason = "integers of this size are exact")]
        (Kind::Number, Literal::Integer(value)) if value.abs() <= EXACT => Element::Number(*value as f64),
        (Kind::Number, Literal::Number(value)) => Element::Number(*value),
        (Kind::Text | Kind::User | Kind::Select(_), Literal::Text(text)) if text.len() <= TEXT_BYTES => {
            Element::Text(text.clone())
        }
        (Kind::Reference { .. }, Literal::Text(text)) => Element::Uuid(text.parse::<Uuid>().ok()?.into_bytes()),
        _ => return None,
    })
}

pub(super) fn equality(collection: &Collection, name: &str, text: &str) -> Result<(Part, Element), Error> {
    let wrong = |message: String| Error::new(Code::InvalidParameter, format!("{name}: {message}"));
    let field = collection
        .field(name)
        .ok_or_else(|| wrong(format!("is neither a parameter nor a field of {}", collection.name)))?;
    if !field.kind.indexable() {
        return Err(wrong("is a list or json: use filter".to_owned()));
    }
    let value = query_value(field, text).map_err(wrong)?;
    Ok((
        Part::Field(field.number),
        value.map_or(Element::Null, |value| value.element()),
    ))
}

/// The parts of an order and its direction.
/// The order of a query: its parts, each with its direction. By id where there are none.
pub(super) fn order(collection: &Collection, order: Option<&str>) -> Result<Ordered, Error> {
    let wrong = |message: String| Error::new(Code::InvalidParameter, format!("order: {message}"));
    let mut ordered = Ordered::default();
    for name in order.unwrap_or("").split(',').filter(|name| !name.is_empty()) {
        let (name, this) = name
            .strip_prefix('-')
            .map_or((name, Direction::Forward), |name| (name, Direction::Backward));
        ordered.is_mixed |= *ordered.direction.get_or_insert(this) != this;
        let part = match (name, collection.field(name)) {
            ("id", _) => continue,
            ("created_at", _) => Part::CreatedAt,
            ("updated_at", _) => Part::UpdatedAt,
            (_, Some(field)) if field.kind.indexable() => Part::Field(field.number),
            (_, Some(_)) => return Err(wrong(format!("{name} is a list or json, which has no order"))),
            (_, None) => return Err(wrong(format!("{name:?} is not a field of {}", collection.name))),
        };
        ordered.parts.push((part, this));
    }
    Ok(ordered)
}

/// See [`order`].
#[derive(Clone, Debug, Default)]
pub(super) struct Ordered {
    /// The parts, each with its direction.
    pub(super) parts: Vec<(Part, Direction)>,
    /// The direction of the first; none: nothing was said.
    pub(super) direction: Option<Direction>,
    /// Whether they differ, so that no index has this order.
    pub(super) is_mixed: bool,
}
