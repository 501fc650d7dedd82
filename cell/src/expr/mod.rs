//! Expressions: CEL that users write, in filters, rules and guards of workflows.
//!
//! ```text
//!  text ── cel parses ──► tree ── `check` ──► tree of slots and numbers ──► Expression ── holds(facts)? ──► true or false
//!                           │ names, types, limits                             │
//!                           └► an error that says what is wrong               └► what it asks of single fields (`conjunct`)
//! ```
//!
//! An expression is checked when it is stored or received, against the schema: a name that no field has, a text that is none of a
//! select's options, a date compared with a number are errors then and not surprises later. Names become slots, so that evaluating
//! one looks up a number and not a name. Dates and times become numbers (days, microseconds), so that comparing them is as cheap as
//! it looks and an index can serve it.
//!
//! What is evaluated never fails: what has no value (a comparison with null, a key that a document does not have) makes the whole
//! expression false. So a filter leaves out what it cannot say anything about, and a rule that cannot be answered denies.
//!
//! Limits: see the constants here, in [`check`] and in [`facts`]. Together they bound what one evaluation may take, whatever the record
//! holds: what is long can be put together a few times only, what is gone through was there before, and what is looked at is paid for
//! out of a budget.
//!
//! Invariant: expressions are evaluated above the log only. What apply does depends on no expression.
//!
//! CAVEATS: there is no `matches`: regular expressions cost what they like. Arrays of more than 100 items inside a `json` field, and,
//! inside `all`, `exists`, `map` and `filter`, texts of more than 1,000 bytes, have no value. `size` counts characters of a text.

mod call;
mod check;
pub(crate) mod conjunct;
mod facts;
mod quick;
mod slot;
#[cfg(test)]
mod tests;
mod types;

use std::sync::{Arc, OnceLock};

use cel::common::types::CelBool;
use cel::parser::PrattParser;
use cel::{Context, Env, IdedExpr, Value};

pub(crate) use check::Scope;
pub(crate) use facts::{Auth, Facts};
pub(crate) use slot::{Of, Slot};

use check::Checker;
use facts::{Looked, Missing};
use quick::Quick;
use types::Type;

/// Longest expression, in characters.
pub(crate) const CHARS: usize = 2_000;
/// Most nodes of a tree. Raised: one evaluation takes longer. Lowered: long rules must be split.
const NODES: usize = 200;
/// How deep it may be nested.
const DEPTH: u16 = 50;

/// A checked expression.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Expression {
    tree: IdedExpr,
    /// The same for those that need no interpreter.
    quick: Option<Quick>,
}

impl Expression {
    /// Parses and checks an expression. The error is a sentence for whoever wrote it.
    pub(crate) fn compile(text: &str, scope: Scope<'_>) -> Result<Self, String> {
        let chars = text.chars().count();
        if chars > CHARS {
            return Err(format!("the expression has {chars} characters, at most {CHARS} are allowed"));
        }
        let parser = PrattParser::new()
            .max_recursion_depth(DEPTH)
            .max_expression_node_count(NODES)
            .error_reporting_limit(1);
        let mut tree = parser.parse(text).map_err(|errors| unparsed(&errors))?;
        match Checker::new(scope).check(&mut tree)? {
            Type::Bool | Type::Any => {
                let quick = Quick::of(&tree);
                Ok(Self { tree, quick })
            }
            other => Err(format!("the expression is {other}, and must be true or false")),
        }
    }

    /// Whether it is true of these facts.
    pub(crate) fn holds<S: AsRef<str> + Sync>(&self, facts: &Facts<'_, S>) -> bool {
        let quick = self.quick.as_ref().map(|quick| quick.holds(&Looked::new(facts)));
        match quick {
            Some(Ok(holds)) => holds,
            Some(Err(Missing::Value)) => false,
            Some(Err(Missing::Plain)) | None => self.interpreted(facts),
        }
    }

    fn interpreted<S: AsRef<str> + Sync>(&self, facts: &Facts<'_, S>) -> bool {
        let looked = Looked::new(facts);
        let mut context = Context::with_env(Arc::clone(environment()));
        context.set_variable_resolver(&looked);
        let value = Value::resolve_val(&self.tree, &context);
        value.is_ok_and(|value| value.downcast_ref::<CelBool>().is_some_and(|holds| *holds.inner()))
    }
}

/// The functions of CEL's standard library. Which of them may be called is said by `call`.
fn environment() -> &'static Arc<Env> {
    static ENVIRONMENT: OnceLock<Arc<Env>> = OnceLock::new();
    ENVIRONMENT.get_or_init(|| Arc::new(Env::stdlib()))
}

/// The first thing that is wrong.
fn unparsed(errors: &cel::ParseErrors) -> String {
    match errors.errors.first() {
        Some(error) => {
            let (line, column) = error.pos;
            let message: String = error.msg.chars().take(200).collect();
            format!("line {line}, column {column}: {message}")
        }
        None => "it cannot be read".to_owned(),
    }
}
