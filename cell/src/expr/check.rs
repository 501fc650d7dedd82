//! The check of a tree: every name becomes a slot, every type is known or comes from a `json` field, every limit is kept.

use cel::IdedExpr;
use cel::common::ast::{CallExpr, ComprehensionExpr, Expr, LiteralValue, SelectExpr, operators};

use super::slot::{Of, Slot};
use super::types::{self, Type};
use crate::records::schema::Collection;

/// Most items of a list.
const ITEMS: usize = 100;
/// Most `+` that may join texts or lists. Raised: what is joined is copied once more for each. Lowered: names of many parts cannot be
/// put together.
const JOINS: usize = 10;
/// Most items of lists that are made anew for each item of a comprehension, those left out that are written out. Raised: a large item is
/// copied as often. Lowered: less can be mapped to.
const MADE_ITEMS: usize = 4;

/// What names an expression may use.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Scope<'a> {
    /// The fields of the records of a collection, by their names alone; `now`, `today`.
    Filter(&'a Collection),
    /// `auth`, `now`, `today`, and where they are there `record` and `new`.
    Rule {
        /// The collection of both.
        collection: &'a Collection,
        /// Whether there is a stored record.
        record: bool,
        /// Whether there is one to be.
        new: bool,
    },
}

/// See the module.
pub(super) struct Checker<'a> {
    scope: Scope<'a>,
    /// Variables of the comprehension around.
    variables: Vec<(String, Type<'a>)>,
    in_body: bool,
    nodes: usize,
    joins: usize,
    made_items: usize,
}

impl<'a> Checker<'a> {
    pub(super) fn new(scope: Scope<'a>) -> Self {
        Self {
            scope,
            variables: Vec::new(),
            in_body: false,
            nodes: 0,
            joins: 0,
            made_items: 0,
        }
    }

    /// Checks a node and what is below it, and makes it ready to be evaluated.
    pub(super) fn check(&mut self, node: &mut IdedExpr) -> Result<Type<'a>, String> {
        self.nodes += 1;
        if self.nodes > super::NODES {
            return Err(format!("the expression has more than {} parts", super::NODES));
        }
        match &mut node.expr {
            Expr::Literal(literal) => literal_type(literal),
            Expr::Ident(name) => {
                if let Some((_, known)) = self.variables.iter().rev().find(|(variable, _)| variable == name) {
                    return Ok(*known);
                }
                let (slot, known) = self.name(name)?;
                *name = slot.identifier(self.in_body);
                Ok(known)
            }
            Expr::Select(_) => self.select(node),
            Expr::List(list) => {
                if list.elements.len() > ITEMS {
                    return Err(format!(
                        "a list has {} items, at most {ITEMS} are allowed",
                        list.elements.len()
                    ));
                }
                if self.in_body {
                    let written = |element: &&IdedExpr| matches!(element.expr, Expr::Literal(_));
                    self.made_items += list.elements.iter().filter(|element| !written(element)).count();
                    // Each `map` and `filter` has one of its own.
                    if self.made_items > MADE_ITEMS {
                        return Err(format!(
                            "lists inside of map and filter have more than {MADE_ITEMS} items that are not written out"
                        ));
                    }
                }
                let mut texts = true;
                for element in &mut list.elements {
                    texts &= self.check(element)? == Type::Text;
                }
                Ok(if texts { Type::Texts } else { Type::List })
            }
            Expr::Call(_) => self.call(node),
            Expr::Comprehension(comprehension) => self.comprehension(comprehension),
            Expr::Map(_) | Expr::Struct(_) | Expr::Unspecified => Err("maps and messages cannot be written here".to_owned()),
        }
    }

    /// A name that stands alone.
    fn name(&self, name: &str) -> Result<(Slot, Type<'a>), String> {
        match (name, self.scope) {
            ("now", _) => Ok((Slot::Now, Type::Timestamp)),
            ("today", _) => Ok((Slot::Today, Type::Date)),
            (_, Scope::Filter(collection)) => field(collection, Of::Record, name),
            (_, Scope::Rule { record, new, .. }) => Err(format!(
                "there is no name {name:?}; there are {}",
                ["auth.…", "record.…", "new.…", "now", "today"]
                    .into_iter()
                    .filter(|name| (record || *name != "record.…") && (new || *name != "new.…"))
                    .collect::<Vec<_>>()
                    .join(", ")
            )),
        }
    }

    /// `auth.x`, `record.x`, `new.x`; or a member of what a `json` field holds.
    fn select(&mut self, node: &mut IdedExpr) -> Result<Type<'a>, String> {
        let Expr::Select(select) = &mut node.expr else {
            return Err("it cannot be read".to_owned());
        };
        let root = match &select.operand.expr {
            Expr::Ident(name) if !self.variables.iter().any(|(variable, _)| variable == name) => {
                self.member(name, &select.field)?
            }
            _ => None,
        };
        if let Some((slot, known)) = root {
            let asks = select.test;
            node.expr = Expr::Ident(slot.identifier(self.in_body));
            if asks {
                *node = is_there(std::mem::take(node));
                return Ok(Type::Bool);
            }
            return Ok(known);
        }
        let SelectExpr { operand, test, field } = select;
        match self.check(operand)? {
            Type::Any if *test => Ok(Type::Bool),
            Type::Any => Ok(Type::Any),
            other => Err(format!("{other} has no member {field:?}")),
        }
    }

    /// What a name with a dot stands for; none: the name has no members of its own.
    fn member(&self, root: &str, name: &str) -> Result<Option<(Slot, Type<'a>)>, String> {
        let Scope::Rule { collection, record, new } = self.scope else {
            return Ok(None);
        };
        let slot = match (root, name) {
            ("auth", "id") => (Slot::AuthId, Type::Text),
            ("auth", "name") => (Slot::AuthName, Type::Text),
            ("auth", "role") => (Slot::AuthRole, Type::Choice(super::facts::roles())),
            ("auth", _) => return Err(format!("auth has id, name and role, and no {name:?}")),
            ("record", _) if record => field(collection, Of::Record, name)?,
            ("new", _) if new => field(collection, Of::New, name)?,
            ("record" | "new", _) => return Err(format!("there is no {root:?} here")),
            _ => return Ok(None),
        };
        Ok(Some(slot))
    }

    /// `all`, `exists`, `exists_one`, `map`, `filter`.
    fn comprehension(&mut self, comprehension: &mut ComprehensionExpr) -> Result<Type<'a>, String> {
        if self.in_body {
            return Err("all, exists, map and filter cannot stand inside each other, nor behind each other".to_owned());
        }
        if comprehension.iter_var2.is_some() {
            return Err("all, exists, map and filter take one variable here".to_owned());
        }
        // What is gone through must be there already: of lists that are made by others no limit would hold.
        self.in_body = true;
        let range = self.check(&mut comprehension.iter_range);
        self.in_body = false;
        let item = match range? {
            Type::Texts => Type::Text,
            Type::List | Type::Any => Type::Any,
            other => return Err(format!("{other} is not a list")),
        };
        let start = self.check(&mut comprehension.accu_init)?;
        self.variables.push((comprehension.iter_var.clone(), item));
        self.variables.push((
            comprehension.accu_var.clone(),
            if start == Type::Texts { Type::List } else { start },
        ));
        self.in_body = true;
        let checked = [
            &mut comprehension.loop_cond,
            &mut comprehension.loop_step,
            &mut comprehension.result,
        ]
        .into_iter()
        .try_fold(Type::Any, |_, part| self.check(part));
        self.in_body = false;
        self.variables.truncate(self.variables.len().saturating_sub(2));
        checked
    }

    /// An operator, a function or a method.
    fn call(&mut self, node: &mut IdedExpr) -> Result<Type<'a>, String> {
        let Expr::Call(CallExpr { func_name, target, args }) = &mut node.expr else {
            return Err("it cannot be read".to_owned());
        };
        if target.is_none()
            && let Some((literal, known)) = super::call::literal(func_name, args)?
        {
            node.expr = Expr::Literal(literal);
            return Ok(known);
        }
        let mut operands: Vec<&mut IdedExpr> = target.iter_mut().map(AsMut::as_mut).chain(args.iter_mut()).collect();
        let mut known = Vec::with_capacity(operands.len());
        for operand in &mut operands {
            known.push(self.check(operand)?);
        }
        match (func_name.as_str(), operands.as_mut_slice(), known.as_slice()) {
            (operators::IN, [item, list], [is, within]) => {
                items_like(list, *is)?;
                if let Type::Texts = within {
                    types::become_like(item, *is, Type::Text)?;
                }
            }
            (name, [left, right], [is, other]) if super::call::compares(name) => types::agree(left, *is, right, *other)?,
            (operators::CONDITIONAL, [_, left, right], [_, is, other]) => types::agree(left, *is, right, *other)?,
            _ => {}
        }
        let result = super::call::result(func_name, target.is_some(), &known)?;
        let own = matches!(args.first(), Some(IdedExpr { expr: Expr::Ident(name), .. }) if name.starts_with('@'));
        if func_name == operators::ADD && !own && result.may_be_long() {
            self.joins += 1;
            if self.joins > JOINS {
                return Err(format!("more than {JOINS} texts or lists are put together with +"));
            }
        }
        Ok(result)
    }
}

/// Items of a list that is written out become like the value that is looked for.
fn items_like(list: &mut IdedExpr, is: Type<'_>) -> Result<(), String> {
    let Expr::List(list) = &mut list.expr else { return Ok(()) };
    for item in &mut list.elements {
        let own = match &item.expr {
            Expr::Literal(literal) => literal_type(literal)?,
            _ => Type::Any,
        };
        let own = types::become_like(item, own, is)?;
        if !(own.may_be(is) || is.may_be(own) || own == Type::Null) {
            return Err(format!("{is} and {own} cannot be compared"));
        }
    }
    Ok(())
}

/// A field or what every record has, by its name.
fn field<'a>(collection: &'a Collection, of: Of, name: &str) -> Result<(Slot, Type<'a>), String> {
    match (name, of) {
        ("id", _) => Ok((Slot::Id(of), Type::Id)),
        ("version", Of::Record) => Ok((Slot::Version, Type::Integer)),
        ("created_at", Of::Record) => Ok((Slot::CreatedAt, Type::Timestamp)),
        ("updated_at", Of::Record) => Ok((Slot::UpdatedAt, Type::Timestamp)),
        ("created_by", Of::Record) => Ok((Slot::CreatedBy, Type::Text)),
        _ => match collection.field(name) {
            Some(field) => Ok((Slot::Field(of, field.number), Type::of(&field.kind))),
            None => Err(format!("{} has no field {name:?}", collection.name)),
        },
    }
}

/// `has(x)` of something that is always there or null.
fn is_there(node: IdedExpr) -> IdedExpr {
    let id = node.id;
    let null = IdedExpr {
        id,
        expr: Expr::Literal(LiteralValue::Null),
    };
    let expr = Expr::Call(CallExpr {
        func_name: operators::NOT_EQUALS.to_owned(),
        target: None,
        args: vec![node, null],
    });
    IdedExpr { id, expr }
}

fn literal_type<'a>(literal: &LiteralValue) -> Result<Type<'a>, String> {
    match literal {
        LiteralValue::Boolean(_) => Ok(Type::Bool),
        LiteralValue::Double(_) => Ok(Type::Number),
        LiteralValue::Int(_) => Ok(Type::Integer),
        LiteralValue::Null => Ok(Type::Null),
        LiteralValue::String(_) => Ok(Type::Text),
        LiteralValue::Bytes(_) | LiteralValue::UInt(_) => Err("bytes and unsigned integers cannot be written here".to_owned()),
    }
}
