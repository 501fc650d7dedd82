//! Reading one section: values that keep their place in the text, and everything that has the wrong form.

use std::collections::BTreeSet;
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::error::{Findings, suggestion};

/// A value with its place in the text and the key that it belongs to.
#[derive(Clone, Debug)]
pub(super) struct At<T> {
    pub(super) value: T,
    pub(super) span: Range<usize>,
    pub(super) key: &'static str,
}

/// A secret or its place, as written.
#[derive(Clone, Debug)]
pub(super) enum RawSecret {
    File(String),
    Env(String),
}

/// Whether a key must be there; and if so, what to write.
#[derive(Clone, Copy, Debug)]
pub(super) enum Need {
    Required(&'static str),
    Optional,
}

/// One table while it is read. The keys that were asked for are the ones that it may have: [`Section::finish`] reports the others.
pub(super) struct Section<'s, 'i, 'f> {
    name: &'static str,
    span: Range<usize>,
    table: &'s DeTable<'i>,
    asked: BTreeSet<&'static str>,
    findings: &'s mut Findings<'f>,
}

impl<'s, 'i, 'f> Section<'s, 'i, 'f> {
    pub(super) fn of_file(table: &'s DeTable<'i>, findings: &'s mut Findings<'f>) -> Self {
        Self {
            name: "",
            span: 0..0,
            table,
            asked: BTreeSet::new(),
            findings,
        }
    }

    /// The value of a key. `key` carries the section's name, as messages show it.
    fn take(&mut self, key: &'static str, need: Need) -> Option<&'s Spanned<DeValue<'i>>> {
        let short = key.rsplit('.').next().unwrap_or(key);
        self.asked.insert(short);
        let value = self
            .table
            .iter()
            .find(|(name, _)| name.get_ref() == short)
            .map(|(_, value)| value);
        if let (None, Need::Required(fix)) = (value, need) {
            self.findings.add(&self.span, key, "is missing", fix);
        }
        value
    }

    fn wrong(&mut self, key: &'static str, value: &Spanned<DeValue<'i>>, wanted: &str) {
        let what = format!("is {}, not {wanted}", kind_of(value.get_ref()));
        self.findings.add(&value.span(), key, what, format!("write {wanted}"));
    }

    pub(super) fn text(&mut self, key: &'static str, need: Need) -> Option<At<String>> {
        let value = self.take(key, need)?;
        let Some(text) = value.get_ref().as_str() else {
            self.wrong(key, value, "a text in quotes");
            return None;
        };
        Some(At {
            value: text.to_owned(),
            span: value.span(),
            key,
        })
    }

    pub(super) fn number(&mut self, key: &'static str, need: Need) -> Option<At<u64>> {
        let value = self.take(key, need)?;
        let number = value
            .get_ref()
            .as_integer()
            .and_then(|digits| u64::from_str_radix(digits.as_str(), digits.radix()).ok());
        let Some(number) = number.filter(|number| i64::try_from(*number).is_ok()) else {
            self.wrong(key, value, "a whole number from 0");
            return None;
        };
        Some(At {
            value: number,
            span: value.span(),
            key,
        })
    }

    pub(super) fn flag(&mut self, key: &'static str) -> Option<At<bool>> {
        let value = self.take(key, Need::Optional)?;
        let Some(flag) = value.get_ref().as_bool() else {
            self.wrong(key, value, "true or false");
            return None;
        };
        Some(At {
            value: flag,
            span: value.span(),
            key,
        })
    }

    pub(super) fn texts(&mut self, key: &'static str, need: Need) -> Option<At<Vec<At<String>>>> {
        let value = self.take(key, need)?;
        let Some(items) = value.get_ref().as_array() else {
            self.wrong(key, value, "a list of texts");
            return None;
        };
        let mut texts = Vec::new();
        for item in items {
            match item.get_ref().as_str() {
                Some(text) => texts.push(At {
                    value: text.to_owned(),
                    span: item.span(),
                    key,
                }),
                None => self.wrong(key, item, "a text in quotes"),
            }
        }
        Some(At {
            value: texts,
            span: value.span(),
            key,
        })
    }

    /// A path to a PEM file. The content itself in its place is a secret that was written down.
    pub(super) fn path(&mut self, key: &'static str, need: Need) -> Option<At<String>> {
        let path = self.text(key, need)?;
        if path.value.contains("-----BEGIN") || path.value.contains('\n') {
            let fix = "write it to a file that only the node can read, and put the file's path here";
            self.findings
                .add(&path.span, key, "holds a certificate or key instead of a file's path", fix);
            return None;
        }
        Some(path)
    }

    pub(super) fn secret(&mut self, key: &'static str) -> Option<At<RawSecret>> {
        const FORM: &str = "write { file = \"…\" } or { env = \"…\" } instead";
        let value = self.take(key, Need::Optional)?;
        let span = value.span();
        if value.get_ref().is_str() {
            self.findings
                .add(&span, key, "is a secret written into the file (a literal secret)", FORM);
            return None;
        }
        let Some(table) = value.get_ref().as_table() else {
            self.findings.add(
                &span,
                key,
                format!("is {}, not where a secret is", kind_of(value.get_ref())),
                FORM,
            );
            return None;
        };
        let mut inner = Section {
            name: key,
            span: span.clone(),
            table,
            asked: BTreeSet::new(),
            findings: self.findings,
        };
        let (file, env) = (inner.text("file", Need::Optional), inner.text("env", Need::Optional));
        let unknown = inner.finish();
        let secret = match (file, env) {
            (Some(file), None) => RawSecret::File(file.value),
            (None, Some(env)) => RawSecret::Env(env.value),
            (Some(_), Some(_)) => {
                self.findings
                    .add(&span, key, "names both a file and an environment variable", FORM);
                return None;
            }
            (None, None) => {
                if !unknown {
                    self.findings
                        .add(&span, key, "names neither a file nor an environment variable", FORM);
                }
                return None;
            }
        };
        Some(At {
            value: secret,
            span,
            key,
        })
    }

    /// A `[section]`.
    pub(super) fn table<T>(
        &mut self,
        key: &'static str,
        need: Need,
        read: impl FnOnce(&mut Section<'_, 'i, 'f>) -> T,
    ) -> Option<T> {
        let value = self.take(key, need)?;
        let Some(table) = value.get_ref().as_table() else {
            self.wrong(key, value, "a section in single brackets");
            return None;
        };
        let mut inner = Section {
            name: key,
            span: value.span(),
            table,
            asked: BTreeSet::new(),
            findings: self.findings,
        };
        let section = read(&mut inner);
        inner.finish();
        Some(section)
    }

    /// All `[[section]]`s of a name. At least one is needed.
    pub(super) fn list<T>(&mut self, key: &'static str, read: impl Fn(&mut Section<'_, 'i, 'f>) -> T) -> Vec<T> {
        let Some(value) = self.take(key, Need::Required("add at least one section in double brackets")) else {
            return Vec::new();
        };
        let Some(items) = value.get_ref().as_array() else {
            self.wrong(key, value, "a section in double brackets");
            return Vec::new();
        };
        if items.is_empty() {
            self.findings
                .add(&value.span(), key, "is empty", "add at least one section in double brackets");
        }
        let mut sections = Vec::new();
        for item in items {
            let Some(table) = item.get_ref().as_table() else {
                self.wrong(key, item, "a section in double brackets");
                continue;
            };
            let mut inner = Section {
                name: key,
                span: item.span(),
                table,
                asked: BTreeSet::new(),
                findings: self.findings,
            };
            sections.push(read(&mut inner));
            inner.finish();
        }
        sections
    }

    /// Reports every key that nobody asked for; true: there was one.
    pub(super) fn finish(self) -> bool {
        let mut unknown = false;
        for (name, _) in self.table {
            if !self.asked.contains(name.get_ref().as_ref()) {
                unknown = true;
                let key = if self.name.is_empty() {
                    name.get_ref().to_string()
                } else {
                    format!("{}.{}", self.name, name.get_ref())
                };
                self.findings.add(
                    &name.span(),
                    key,
                    "is not a key of the configuration",
                    suggestion(name.get_ref(), self.asked.iter().copied()),
                );
            }
        }
        unknown
    }
}

fn kind_of(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a text",
        DeValue::Integer(_) => "a number",
        DeValue::Float(_) => "a number with a fraction",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a section",
    }
}
