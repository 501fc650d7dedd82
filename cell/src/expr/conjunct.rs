//! What an expression asks of single fields: those parts of it that all must hold and that an index can serve.

use cel::IdedExpr;
use cel::common::ast::{CallExpr, Expr, LiteralValue, operators};

use super::Expression;
use super::slot::Slot;

/// A value that is written out.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Literal {
    Null,
    Bool(bool),
    Integer(i64),
    Number(f64),
    Text(String),
}

/// What is asked of a field.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Ask {
    /// It is one of these.
    OneOf(Vec<Literal>),
    /// It is above this, or, where it is said, equal.
    Above(Literal, bool),
    /// It is below this, or, where it is said, equal.
    Below(Literal, bool),
    /// It begins with this.
    StartsWith(String),
}

impl Expression {
    /// What must hold of single fields wherever the whole expression holds. There may be more to it than that.
    pub(crate) fn conjuncts(&self) -> Vec<(Slot, Ask)> {
        let mut found = Vec::new();
        gather(&self.tree, &mut found);
        found
    }
}

fn gather(node: &IdedExpr, found: &mut Vec<(Slot, Ask)>) {
    match &node.expr {
        Expr::Call(CallExpr { func_name, args, .. }) if func_name == operators::LOGICAL_AND => {
            args.iter().for_each(|side| gather(side, found));
        }
        Expr::Call(call) => found.extend(ask(call)),
        Expr::Ident(_) => found.extend(slot(node).map(|slot| (slot, Ask::OneOf(vec![Literal::Bool(true)])))),
        _ => {}
    }
}

fn ask(call: &CallExpr) -> Option<(Slot, Ask)> {
    match (call.func_name.as_str(), &call.target, call.args.as_slice()) {
        (operators::LOGICAL_NOT, None, [operand]) => Some((slot(operand)?, Ask::OneOf(vec![Literal::Bool(false)]))),
        (operators::IN, None, [operand, list]) => {
            let Expr::List(list) = &list.expr else { return None };
            let items: Option<Vec<_>> = list.elements.iter().map(literal).collect();
            Some((slot(operand)?, Ask::OneOf(items?)))
        }
        ("startsWith", Some(target), [argument]) => match literal(argument)? {
            Literal::Text(text) => Some((slot(target)?, Ask::StartsWith(text))),
            _ => None,
        },
        (name, None, [left, right]) => match (slot(left), slot(right)) {
            (Some(slot), None) => Some((slot, compared(name, literal(right)?)?)),
            (None, Some(slot)) => Some((slot, compared(flipped(name), literal(left)?)?)),
            _ => None,
        },
        _ => None,
    }
}

fn compared(name: &str, literal: Literal) -> Option<Ask> {
    Some(match name {
        operators::EQUALS => Ask::OneOf(vec![literal]),
        operators::GREATER => Ask::Above(literal, false),
        operators::GREATER_EQUALS => Ask::Above(literal, true),
        operators::LESS => Ask::Below(literal, false),
        operators::LESS_EQUALS => Ask::Below(literal, true),
        _ => return None,
    })
}

/// The same comparison read from the other side.
fn flipped(name: &str) -> &str {
    match name {
        operators::GREATER => operators::LESS,
        operators::GREATER_EQUALS => operators::LESS_EQUALS,
        operators::LESS => operators::GREATER,
        operators::LESS_EQUALS => operators::GREATER_EQUALS,
        other => other,
    }
}

fn slot(node: &IdedExpr) -> Option<Slot> {
    match &node.expr {
        Expr::Ident(name) => Slot::parse(name).map(|(slot, _)| slot),
        _ => None,
    }
}

/// A value that is written out; none: the node is something else.
pub(super) fn literal(node: &IdedExpr) -> Option<Literal> {
    let Expr::Literal(literal) = &node.expr else { return None };
    Some(match literal {
        LiteralValue::Null => Literal::Null,
        LiteralValue::Boolean(value) => Literal::Bool(*value.inner()),
        LiteralValue::Int(value) => Literal::Integer(*value.inner()),
        LiteralValue::Double(value) => Literal::Number(*value.inner()),
        LiteralValue::String(text) => Literal::Text(text.inner().to_owned()),
        LiteralValue::Bytes(_) | LiteralValue::UInt(_) => return None,
    })
}
