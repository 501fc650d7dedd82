//! Types of expressions, and how what is written next to a value becomes one of its kind: a text next to a date is that day.

use std::fmt;

use cel::IdedExpr;
use cel::common::ast::{Expr, LiteralValue};
use jiff::SignedDuration;
use uuid::Uuid;

use crate::records::schema::Kind;
use crate::records::time;

/// The type of an expression.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Type<'a> {
    /// Not known before it is evaluated: what comes out of a `json` field.
    Any,
    Null,
    Bool,
    Integer,
    Number,
    Text,
    /// One of these texts.
    Choice(&'a [String]),
    /// The text of a UUID.
    Id,
    /// Days since the epoch.
    Date,
    /// Microseconds since the epoch.
    Timestamp,
    /// Microseconds.
    Duration,
    /// A list of texts.
    Texts,
    /// Any other list.
    List,
}

impl fmt::Display for Type<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Type::Any => "a value of a json field",
            Type::Null => "null",
            Type::Bool => "true or false",
            Type::Integer => "an integer",
            Type::Number => "a number",
            Type::Text => "a text",
            Type::Choice(_) => "an option of a select",
            Type::Id => "an id",
            Type::Date => "a date",
            Type::Timestamp => "a time",
            Type::Duration => "a duration",
            Type::Texts => "a list of texts",
            Type::List => "a list",
        })
    }
}

impl<'a> Type<'a> {
    /// The type of a field.
    pub(super) fn of(kind: &'a Kind) -> Self {
        match kind {
            Kind::Text | Kind::User | Kind::Document => Type::Text,
            Kind::Number => Type::Number,
            Kind::Integer | Kind::Sequence { .. } => Type::Integer,
            Kind::Bool => Type::Bool,
            Kind::Date => Type::Date,
            Kind::Timestamp => Type::Timestamp,
            Kind::Select(options) => Type::Choice(options),
            Kind::MultiSelect(_) | Kind::Tags => Type::Texts,
            Kind::Reference { .. } => Type::Id,
            Kind::Json => Type::Any,
        }
    }

    /// Whether it is one, as far as anybody knows.
    pub(super) fn may_be(self, other: Type<'_>) -> bool {
        self == Type::Any || self.class() == other.class()
    }

    /// What can be compared with each other has one class.
    fn class(self) -> u8 {
        match self {
            Type::Any => 0,
            Type::Null => 1,
            Type::Bool => 2,
            Type::Integer | Type::Number => 3,
            Type::Text | Type::Choice(_) | Type::Id => 4,
            Type::Date => 5,
            Type::Timestamp => 6,
            Type::Duration => 7,
            Type::Texts | Type::List => 8,
        }
    }

    /// Whether a value of it may be as long as its parts together.
    pub(super) fn may_be_long(self) -> bool {
        self == Type::Any || matches!(self.class(), 4 | 8)
    }

    /// Whether values of it have an order.
    pub(super) fn is_ordered(self) -> bool {
        !matches!(self, Type::Null | Type::Texts | Type::List)
    }
}

/// Makes two sides of a comparison one kind: a literal text beside a date, time, duration, id or option becomes one. The error says why
/// they cannot be compared.
pub(super) fn agree(left: &mut IdedExpr, is: Type<'_>, right: &mut IdedExpr, other: Type<'_>) -> Result<(), String> {
    let (is, other) = (become_like(left, is, other)?, become_like(right, other, is)?);
    if is.may_be(other) || other.may_be(is) || is == Type::Null || other == Type::Null {
        return Ok(());
    }
    Err(format!("{is} and {other} cannot be compared"))
}

/// Turns a literal text into what stands beside it. Returns the type that it has then.
pub(super) fn become_like<'a>(node: &mut IdedExpr, is: Type<'a>, beside: Type<'a>) -> Result<Type<'a>, String> {
    let Expr::Literal(LiteralValue::String(text)) = &node.expr else {
        return Ok(is);
    };
    let text = text.inner();
    let integer = |value: i64| Expr::Literal(LiteralValue::Int(value.into()));
    let wrong = |wanted: &str| format!("{text:?} is not {wanted}");
    node.expr = match beside {
        Type::Date => integer(i64::from(
            time::parse_date(text).ok_or_else(|| wrong("a date such as \"2026-11-22\""))?,
        )),
        Type::Timestamp => integer(time::parse_timestamp(text).ok_or_else(|| wrong("a time such as \"2026-11-22T09:00:00Z\""))?),
        Type::Duration => integer(duration(text).ok_or_else(|| wrong("a duration such as \"72h\""))?),
        Type::Id => {
            let id: Uuid = text.parse().map_err(|_| wrong("an id"))?;
            Expr::Literal(LiteralValue::String(id.hyphenated().to_string().into()))
        }
        Type::Choice(options) if !options.iter().any(|option| option == text) => {
            let known: Vec<_> = options.iter().take(10).map(|option| format!("{option:?}")).collect();
            return Err(format!("{text:?} is none of the options, which are {}", known.join(", ")));
        }
        _ => return Ok(is),
    };
    Ok(beside)
}

/// The microseconds of a duration as CEL writes them: `1h30m`, `500ms`.
pub(super) fn duration(text: &str) -> Option<i64> {
    let duration: SignedDuration = text.parse().ok()?;
    i64::try_from(duration.as_micros()).ok()
}
