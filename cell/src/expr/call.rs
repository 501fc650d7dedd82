//! What may be called, with what, and what comes out.

use cel::IdedExpr;
use cel::common::ast::{Expr, LiteralValue, operators};

use super::types::{Type, duration};
use crate::records::time;

/// Whether both operands must be of one kind.
pub(super) fn compares(name: &str) -> bool {
    is_order(name) || matches!(name, operators::EQUALS | operators::NOT_EQUALS)
}

fn is_order(name: &str) -> bool {
    matches!(
        name,
        operators::LESS | operators::LESS_EQUALS | operators::GREATER | operators::GREATER_EQUALS
    )
}

/// `timestamp("…")`, `date("…")` and `duration("…")`: numbers from here on.
pub(super) fn literal<'a>(name: &str, arguments: &[IdedExpr]) -> Result<Option<(LiteralValue, Type<'a>)>, String> {
    let kind = match name {
        "timestamp" => Type::Timestamp,
        "date" => Type::Date,
        "duration" => Type::Duration,
        _ => return Ok(None),
    };
    let [
        IdedExpr {
            expr: Expr::Literal(LiteralValue::String(text)),
            ..
        },
    ] = arguments
    else {
        return Err(format!("{name}() takes one text that is written out"));
    };
    let text = text.inner();
    let value = match kind {
        Type::Timestamp => time::parse_timestamp(text),
        Type::Date => time::parse_date(text).map(i64::from),
        _ => duration(text),
    };
    let value = value.ok_or_else(|| format!("{text:?} is not {kind}"))?;
    Ok(Some((LiteralValue::Int(value.into()), kind)))
}

/// The type that a call has with operands of these types; the first is the target of a method.
pub(super) fn result<'a>(name: &str, is_method: bool, known: &[Type<'a>]) -> Result<Type<'a>, String> {
    let wrong = || {
        let shown: Vec<_> = known.iter().map(ToString::to_string).collect();
        format!("{} does not take {}", shown_name(name), shown.join(" and "))
    };
    let all = |wanted: Type<'_>| known.iter().all(|one| one.may_be(wanted));
    let fits = match (name, known) {
        (operators::LOGICAL_AND | operators::LOGICAL_OR, [_, _])
        | (operators::LOGICAL_NOT | operators::NOT_STRICTLY_FALSE, [_]) => all(Type::Bool),
        (operators::CONDITIONAL, [condition, _, _]) => condition.may_be(Type::Bool),
        (operators::EQUALS | operators::NOT_EQUALS, [_, _]) => true,
        (_, [left, right]) if is_order(name) => left.is_ordered() && right.is_ordered(),
        (operators::IN, [_, list]) => matches!(list, Type::Any | Type::Texts | Type::List),
        (operators::INDEX, [list, at]) => matches!(list, Type::Any | Type::Texts | Type::List) && at.class_is_index(),
        (operators::NEGATE, [one]) => one.may_be(Type::Integer) || *one == Type::Duration,
        (operators::ADD | operators::SUBSTRACT | operators::MULTIPLY | operators::DIVIDE | operators::MODULO, [left, right]) => {
            return sum(name, *left, *right).ok_or_else(wrong);
        }
        ("startsWith" | "endsWith" | "contains", [_, _]) if is_method => all(Type::Text),
        ("size", [one]) => one.may_be(Type::Text) || one.may_be(Type::List),
        ("int" | "double", [one]) if !is_method => one.may_be(Type::Integer),
        _ if is_known(name) => false,
        _ => return Err(format!("there is no function {:?} here", shown_name(name))),
    };
    if !fits {
        return Err(wrong());
    }
    Ok(match name {
        operators::CONDITIONAL => known.get(1).copied().unwrap_or(Type::Any),
        operators::NEGATE => known.first().copied().unwrap_or(Type::Any),
        operators::INDEX if known.first() == Some(&Type::Texts) => Type::Text,
        operators::INDEX => Type::Any,
        "size" | "int" => Type::Integer,
        "double" => Type::Number,
        _ => Type::Bool,
    })
}

fn is_known(name: &str) -> bool {
    matches!(name, "startsWith" | "endsWith" | "contains" | "size" | "int" | "double") || name.starts_with(['_', '!', '-', '@'])
}

/// Arithmetic. None: these do not go together.
fn sum<'a>(name: &str, left: Type<'a>, right: Type<'a>) -> Option<Type<'a>> {
    let (adds, subtracts) = (name == operators::ADD, name == operators::SUBSTRACT);
    Some(match (left, right) {
        (Type::Any, _) | (_, Type::Any) => Type::Any,
        (Type::Integer, Type::Integer) => Type::Integer,
        (Type::Number, Type::Number) if name != operators::MODULO => Type::Number,
        (Type::Text | Type::Choice(_) | Type::Id, Type::Text | Type::Choice(_) | Type::Id) if adds => Type::Text,
        (Type::Texts | Type::List, Type::Texts | Type::List) if adds => Type::List,
        (Type::Timestamp, Type::Timestamp) | (Type::Duration, Type::Duration) if subtracts => Type::Duration,
        (Type::Timestamp, Type::Duration) if adds || subtracts => Type::Timestamp,
        (Type::Duration, Type::Timestamp) if adds => Type::Timestamp,
        (Type::Duration, Type::Duration) if adds => Type::Duration,
        (Type::Date, Type::Integer) if adds || subtracts => Type::Date,
        (Type::Date, Type::Date) if subtracts => Type::Integer,
        _ => return None,
    })
}

/// An operator as it is written.
fn shown_name(name: &str) -> String {
    name.trim_matches(['_', '@']).to_owned()
}

impl Type<'_> {
    /// Whether it may be the place of an item, or the name of a member.
    fn class_is_index(self) -> bool {
        self.may_be(Type::Integer) || self.may_be(Type::Text)
    }
}
