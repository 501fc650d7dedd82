//! What an expression is evaluated on: slots to values.

use std::borrow::Cow;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;

use api::body::token::Role;
use cel::common::types::{CelBool, CelDouble, CelInt, CelList, CelMap, CelNull, CelString};
use cel::common::value::{CowVal, Val};
use cel::context::VariableResolver;
use serde_json::Value as Json;
use uuid::Uuid;

use super::slot::{Of, Slot};
use crate::records::value::{Doc, Record, Value};

/// How much one evaluation may look at, in bytes of text. Raised: one over a large record takes longer. Lowered: large records have no
/// value sooner.
const BUDGET_BYTES: usize = 1024 * 1024;
/// What a byte of a `json` field costs of it: it is parsed, and made into values one by one.
const JSON_COST: usize = 16;
/// The same inside a comprehension, where each item is copied as often as it is named.
const JSON_ITEM_COST: usize = 64;
/// Longest text that has a value inside a comprehension, in bytes.
const SHORT_BYTES: usize = 1_000;
/// Most items of an array inside a `json` field.
const ARRAY_ITEMS: usize = 100;
/// Microseconds of a day.
const DAY_US: u64 = 86_400_000_000;

/// Who asks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Auth<'a> {
    /// As `created_by` shows it: `token:0198…`.
    pub(crate) id: &'a str,
    /// The name of its token.
    pub(crate) name: &'a str,
    /// Its role.
    pub(crate) role: Role,
}

/// The facts of one evaluation; texts of records are of any kind.
#[derive(Debug)]
pub(crate) struct Facts<'a, S = String> {
    /// The stored record.
    pub(crate) record: Option<(Uuid, &'a Record<S>)>,
    /// The record to be.
    pub(crate) new: Option<(Uuid, &'a Doc<S>)>,
    /// Who asks.
    pub(crate) auth: Option<Auth<'a>>,
    /// Microseconds since the epoch.
    pub(crate) now: u64,
}

impl<S> Default for Facts<'_, S> {
    fn default() -> Self {
        Self {
            record: None,
            new: None,
            auth: None,
            now: 0,
        }
    }
}

/// Facts that are looked at, and how much of them may still be.
pub(super) struct Looked<'f, S> {
    facts: &'f Facts<'f, S>,
    left: AtomicUsize,
}

impl<'f, S: AsRef<str>> Looked<'f, S> {
    pub(super) fn new(facts: &'f Facts<'f, S>) -> Self {
        let left = AtomicUsize::new(BUDGET_BYTES);
        Self { facts, left }
    }

    /// Takes the cost of a value. None: too much has been looked at.
    fn pay(&self, value: Option<&Value<S>>, short: bool) -> Option<()> {
        let cost = match value {
            Some(Value::Text(text)) => text.as_ref().len(),
            Some(Value::List(items)) => items.iter().map(|item| item.as_ref().len() + 16).sum(),
            Some(Value::Json(text)) => text
                .as_ref()
                .len()
                .saturating_mul(if short { JSON_ITEM_COST } else { JSON_COST }),
            _ => return Some(()),
        };
        let left = self.left.load(Relaxed).checked_sub(cost);
        self.left.store(left.unwrap_or(0), Relaxed);
        left.map(drop)
    }

    /// What a slot stands for, where that is a plain value.
    pub(super) fn scalar(&self, slot: Slot, short: bool) -> Result<Scalar<'f>, Missing> {
        let facts = self.facts;
        let record = || facts.record.ok_or(Missing::Value);
        let integer = |value: u64| Scalar::Integer(i64::try_from(value).unwrap_or(i64::MAX));
        let id = |id: Uuid| Scalar::Text(id.hyphenated().to_string().into());
        let auth = || facts.auth.ok_or(Missing::Value);
        Ok(match slot {
            Slot::Field(..) => return self.field(slot, short),
            Slot::Id(Of::Record) => id(record()?.0),
            Slot::Id(Of::New) => id(facts.new.ok_or(Missing::Value)?.0),
            Slot::Version => integer(record()?.1.version),
            Slot::CreatedAt => integer(record()?.1.created),
            Slot::UpdatedAt => integer(record()?.1.updated),
            Slot::CreatedBy => Scalar::Text(record()?.1.by.to_string().into()),
            Slot::AuthId => Scalar::Text(auth()?.id.into()),
            Slot::AuthName => Scalar::Text(auth()?.name.into()),
            Slot::AuthRole => Scalar::Text(auth()?.role.name().into()),
            Slot::Now => integer(facts.now),
            Slot::Today => integer(facts.now / DAY_US),
        })
    }

    /// What is stored in a field.
    fn stored(&self, slot: Slot) -> Option<Option<&'f Value<S>>> {
        match slot {
            Slot::Field(Of::Record, number) => Some(self.facts.record?.1.doc.get(number)),
            Slot::Field(Of::New, number) => Some(self.facts.new?.1.get(number)),
            _ => None,
        }
    }

    fn field(&self, slot: Slot, short: bool) -> Result<Scalar<'f>, Missing> {
        let value = match self.stored(slot).ok_or(Missing::Value)? {
            Some(Value::List(_) | Value::Json(_)) => return Err(Missing::Plain),
            value => value,
        };
        self.pay(value, short).ok_or(Missing::Value)?;
        Ok(match value {
            Some(Value::Bool(value)) => Scalar::Bool(*value),
            Some(Value::Integer(value) | Value::Timestamp(value)) => Scalar::Integer(*value),
            Some(Value::Number(value)) => Scalar::Number(*value),
            Some(Value::Text(text)) if short && text.as_ref().len() > SHORT_BYTES => return Err(Missing::Value),
            Some(Value::Text(text)) => Scalar::Text(text.as_ref().into()),
            Some(Value::Date(days)) => Scalar::Integer(i64::from(*days)),
            Some(Value::Reference(id)) => Scalar::Text(id.hyphenated().to_string().into()),
            None | Some(Value::List(_) | Value::Json(_)) => Scalar::Null,
        })
    }
}

impl<S: AsRef<str> + Sync> VariableResolver for Looked<'_, S> {
    fn resolve<'b>(&'b self, variable: &str) -> Option<CowVal<'b, 'b>> {
        let (slot, short) = Slot::parse(variable)?;
        match self.scalar(slot, short) {
            Ok(scalar) => Some(scalar.into_val()),
            Err(Missing::Value) => None,
            Err(Missing::Plain) => {
                let value = self.stored(slot)?;
                self.pay(value, short)?;
                compound(value?, short)
            }
        }
    }
}

/// Why there is no plain value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Missing {
    /// There is none at all: the expression is false, unless it does not matter.
    Value,
    /// It is a list or what a `json` field holds.
    Plain,
}

/// A plain value, or null.
#[derive(Debug)]
pub(super) enum Scalar<'v> {
    Null,
    Bool(bool),
    Integer(i64),
    Number(f64),
    Text(Cow<'v, str>),
}

impl<'v> Scalar<'v> {
    fn into_val(self) -> CowVal<'v, 'v> {
        match self {
            Scalar::Null => CowVal::owned(CelNull),
            Scalar::Bool(value) => CowVal::owned(CelBool::from(value)),
            Scalar::Integer(value) => CowVal::owned(CelInt::from(value)),
            Scalar::Number(value) => CowVal::owned(CelDouble::from(value)),
            Scalar::Text(Cow::Borrowed(text)) => CowVal::owned(CelString::from(text)),
            Scalar::Text(Cow::Owned(text)) => CowVal::owned(CelString::from(text)),
        }
    }
}

/// A list or what a `json` field holds. None, which makes the expression false: it is too large to be looked at.
fn compound<S: AsRef<str>>(value: &Value<S>, short: bool) -> Option<CowVal<'_, '_>> {
    Some(match value {
        Value::List(items) if items.len() <= ARRAY_ITEMS => {
            let texts = items
                .iter()
                .map(|item| Box::new(CelString::from(item.as_ref())) as Box<dyn Val>);
            CowVal::owned(CelList::from(texts.collect::<Vec<_>>()))
        }
        Value::Json(text) => CowVal::Owned(document(&serde_json::from_str(text.as_ref()).ok()?, short)?),
        _ => return None,
    })
}

/// A value of a `json` field.
fn document<'v>(json: &Json, short: bool) -> Option<Box<dyn Val + 'v>> {
    Some(match json {
        Json::Null => Box::new(CelNull),
        Json::Bool(value) => Box::new(CelBool::from(*value)),
        Json::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(integer), _) => Box::new(CelInt::from(integer)),
            (None, double) => Box::new(CelDouble::from(double?)),
        },
        Json::String(text) if short && text.len() > SHORT_BYTES => return None,
        Json::String(text) => Box::new(CelString::from(text.clone())),
        Json::Array(items) if items.len() > ARRAY_ITEMS => return None,
        Json::Array(items) => {
            let items: Option<Vec<_>> = items.iter().map(|item| document(item, short)).collect();
            Box::new(CelList::from(items?))
        }
        Json::Object(members) if members.len() > ARRAY_ITEMS => return None,
        Json::Object(members) => {
            let members: Option<std::collections::HashMap<_, _>> = members
                .iter()
                .map(|(name, value)| Some((name.clone().into(), document(value, short)?)))
                .collect();
            Box::new(CelMap::from(members?))
        }
    })
}

const ROLES: [Role; 4] = [Role::Owner, Role::Admin, Role::Member, Role::Guest];

/// The names of all roles.
pub(super) fn roles() -> &'static [String] {
    static NAMES: std::sync::OnceLock<Vec<String>> = std::sync::OnceLock::new();
    NAMES.get_or_init(|| ROLES.iter().map(|role| role.name().to_owned()).collect())
}
