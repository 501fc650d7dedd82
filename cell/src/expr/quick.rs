//! The plain part of the language without its interpreter: comparisons of what is asked for with what is written out, put together with
//! `&&`, `||` and `!`.
//!
//! Most rules and filters are nothing else, and a list holds one of each against every record that it reads. CEL's interpreter compares
//! the names of operators and allocates values; here an expression was made of numbers when it was compiled, and nothing is copied.
//! What comes out is what the interpreter says: a test holds the two against each other. Where a value is neither null nor one of the
//! plain ones (a list, what a `json` field holds), the interpreter is asked.

use std::cmp::Ordering;

use cel::IdedExpr;
use cel::common::ast::{CallExpr, Expr, operators};

use super::conjunct::{Literal, literal};
use super::facts::{Looked, Missing, Scalar};
use super::slot::Slot;

/// See the module.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Quick {
    Is(Side),
    And(Box<(Quick, Quick)>),
    Or(Box<(Quick, Quick)>),
    Not(Box<Quick>),
    /// Whether both are equal.
    Equal(Side, Side),
    /// Whether the first stands so to the second.
    Order(Side, Ordering, bool, Side),
    In(Side, Vec<Literal>),
}

/// Something that has a value.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Side {
    Slot(Slot),
    Literal(Literal),
}

type Outcome = Result<bool, Missing>;

impl Quick {
    /// What a checked tree says; none: it says more than can be said here.
    pub(super) fn of(node: &IdedExpr) -> Option<Self> {
        let Expr::Call(CallExpr { func_name, target, args }) = &node.expr else {
            return Some(Self::Is(side(node)?));
        };
        let both = |left: &IdedExpr, right: &IdedExpr| Some(Box::new((Self::of(left)?, Self::of(right)?)));
        match (func_name.as_str(), target, args.as_slice()) {
            (operators::LOGICAL_AND, None, [left, right]) => Some(Self::And(both(left, right)?)),
            (operators::LOGICAL_OR, None, [left, right]) => Some(Self::Or(both(left, right)?)),
            (operators::LOGICAL_NOT, None, [one]) => Some(Self::Not(Box::new(Self::of(one)?))),
            (operators::EQUALS, None, [left, right]) => Some(Self::Equal(side(left)?, side(right)?)),
            (operators::NOT_EQUALS, None, [left, right]) => Some(Self::Not(Box::new(Self::Equal(side(left)?, side(right)?)))),
            (operators::IN, None, [one, list]) => {
                let Expr::List(list) = &list.expr else { return None };
                let items: Option<Vec<_>> = list.elements.iter().map(literal).collect();
                Some(Self::In(side(one)?, items?))
            }
            (name, None, [left, right]) => {
                let (order, or_equal) = order(name)?;
                Some(Self::Order(side(left)?, order, or_equal, side(right)?))
            }
            _ => None,
        }
    }

    /// What the interpreter would say.
    pub(super) fn holds<S: AsRef<str>>(&self, looked: &Looked<'_, S>) -> Outcome {
        match self {
            Self::Is(side) => match side.value(looked)? {
                Scalar::Bool(value) => Ok(value),
                _ => Err(Missing::Value),
            },
            Self::And(both) => joined(both, false, looked),
            Self::Or(both) => joined(both, true, looked),
            Self::Not(one) => one.holds(looked).map(|holds| !holds),
            Self::Equal(left, right) => {
                let (left, right) = (left.value(looked)?, right.value(looked)?);
                Ok(left.equals(&right))
            }
            Self::Order(left, order, or_equal, right) => {
                let (left, right) = (left.value(looked)?, right.value(looked)?);
                let is = left.compare(&right).ok_or(Missing::Value)?;
                Ok(is == *order || (*or_equal && is.is_eq()))
            }
            Self::In(one, items) => {
                let one = one.value(looked)?;
                Ok(items.iter().any(|item| Scalar::from(item).equals(&one)))
            }
        }
    }
}

/// `&&` and `||`: one side that decides does so, even if the other has no value.
fn joined<S: AsRef<str>>(both: &(Quick, Quick), decides: bool, looked: &Looked<'_, S>) -> Outcome {
    let left = both.0.holds(looked);
    if left == Ok(decides) || left == Err(Missing::Plain) {
        return left;
    }
    let right = both.1.holds(looked)?;
    if right == decides { Ok(right) } else { left.map(|_| right) }
}

fn order(name: &str) -> Option<(Ordering, bool)> {
    Some(match name {
        operators::LESS => (Ordering::Less, false),
        operators::LESS_EQUALS => (Ordering::Less, true),
        operators::GREATER => (Ordering::Greater, false),
        operators::GREATER_EQUALS => (Ordering::Greater, true),
        _ => return None,
    })
}

fn side(node: &IdedExpr) -> Option<Side> {
    match &node.expr {
        Expr::Ident(name) => match Slot::parse(name)? {
            (slot, false) => Some(Side::Slot(slot)),
            _ => None,
        },
        _ => literal(node).map(Side::Literal),
    }
}

impl Side {
    fn value<'v, S: AsRef<str>>(&'v self, looked: &Looked<'v, S>) -> Result<Scalar<'v>, Missing> {
        match self {
            Self::Slot(slot) => looked.scalar(*slot, false),
            Self::Literal(literal) => Ok(literal.into()),
        }
    }
}

impl<'v> From<&'v Literal> for Scalar<'v> {
    fn from(literal: &'v Literal) -> Self {
        match literal {
            Literal::Null => Scalar::Null,
            Literal::Bool(value) => Scalar::Bool(*value),
            Literal::Integer(value) => Scalar::Integer(*value),
            Literal::Number(value) => Scalar::Number(*value),
            Literal::Text(text) => Scalar::Text(text.as_str().into()),
        }
    }
}

impl Scalar<'_> {
    fn equals(&self, other: &Scalar<'_>) -> bool {
        matches!((self, other), (Scalar::Null, Scalar::Null)) || self.compare(other).is_some_and(Ordering::is_eq)
    }

    /// None: they cannot be compared.
    #[allow(clippy::cast_precision_loss, reason = "CEL compares integers with numbers so")]
    fn compare(&self, other: &Scalar<'_>) -> Option<Ordering> {
        match (self, other) {
            (Scalar::Bool(one), Scalar::Bool(other)) => Some(one.cmp(other)),
            (Scalar::Integer(one), Scalar::Integer(other)) => Some(one.cmp(other)),
            (Scalar::Number(one), Scalar::Number(other)) => one.partial_cmp(other),
            (Scalar::Integer(one), Scalar::Number(other)) => (*one as f64).partial_cmp(other),
            (Scalar::Number(one), Scalar::Integer(other)) => one.partial_cmp(&(*other as f64)),
            (Scalar::Text(one), Scalar::Text(other)) => Some(one.as_ref().cmp(other.as_ref())),
            _ => None,
        }
    }
}
