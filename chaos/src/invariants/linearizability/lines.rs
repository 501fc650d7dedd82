//! A run's register operations as lines that an independent checker can read, for example porcupine with its key-value model.
//!
//! One event a line, in the order of one monotonic clock, in the notation of Clojure (EDN), as Jepsen writes it:
//! `{:process 3, :type :invoke, :f :put, :key "acme/k7", :value "v91"}`, then the same with `:ok`. A read is `:get`, its value `nil`
//! when it is asked and "" for a register that is not there. What certainly failed, and a read without an answer, is left out; a
//! write without an answer is its `:invoke` alone, and its process is not heard of again. The key is the tenant's slug, a slash,
//! and the record's id.
//!
//! Two events of one microsecond are concurrent here, so calls are written before ends. A process whose next operation began in
//! the very microsecond in which the last one ended therefore goes on under a new number.

use std::collections::HashMap;
use std::io::{self, BufRead, Write};

use anyhow::{Context, Result, anyhow, bail};

use crate::history::{Action, History, Operation, Outcome, Tenant};

/// One line.
struct Line<'a> {
    at: u64,
    is_ok: bool,
    process: u64,
    function: &'static str,
    key: String,
    value: Option<&'a str>,
}

/// Writes the register operations of a history.
pub fn write(history: &History, out: &mut impl Write) -> io::Result<()> {
    let mut lines = Vec::new();
    let mut renamed = Renamed::of(history);
    for operation in &history.operations {
        let (function, key, asked, told) = match &operation.action {
            Action::Write { key, value } => ("put", key, Some(value.as_str()), value.as_str()),
            Action::Read { key, seen } => ("get", key, None, seen.as_deref().unwrap_or("")),
            _ => continue,
        };
        let is_unknown = operation.outcome == Outcome::Unknown;
        if operation.outcome == Outcome::Failed || (is_unknown && function == "get") {
            continue;
        }
        let slug = history
            .tenants
            .get(operation.tenant)
            .map_or("", |tenant| tenant.slug.as_str());
        let line = |at, is_ok, process, value| Line {
            at,
            is_ok,
            process,
            function,
            key: format!("{slug}/{key}"),
            value,
        };
        let process = renamed.process(operation);
        lines.push(line(operation.invoked_us, false, process, asked));
        if !is_unknown {
            lines.push(line(operation.completed_us, true, process, Some(told)));
        }
    }
    lines.sort_by_key(|line| (line.at, line.is_ok));
    for line in lines {
        let kind = if line.is_ok { "ok" } else { "invoke" };
        let value = line.value.map_or_else(|| "nil".to_owned(), quote);
        let Line { process, function, .. } = line;
        let key = quote(&line.key);
        writeln!(
            out,
            "{{:process {process}, :type :{kind}, :f :{function}, :key {key}, :value {value}}}"
        )?;
    }
    Ok(())
}

/// The numbers under which processes go on.
struct Renamed {
    next: u64,
    /// For each process its number and when its last operation ended.
    now: HashMap<u64, (u64, u64)>,
}

impl Renamed {
    fn of(history: &History) -> Self {
        let last = history.operations.iter().map(|operation| operation.process).max();
        Self {
            next: last.map_or(0, |last| last + 1),
            now: HashMap::new(),
        }
    }

    /// The number of the process that did the next operation.
    fn process(&mut self, operation: &Operation) -> u64 {
        let (number, ended) = *self.now.get(&operation.process).unwrap_or(&(operation.process, 0));
        let must_change = self.now.contains_key(&operation.process) && operation.invoked_us <= ended;
        let number = if must_change { self.next } else { number };
        self.next += u64::from(must_change);
        self.now.insert(operation.process, (number, operation.completed_us));
        number
    }
}

/// Reads such lines as a history; its times are line numbers, and an operation without an end is unknown.
pub fn parse(input: impl BufRead) -> Result<History> {
    let mut history = History::default();
    let mut open: HashMap<u64, usize> = HashMap::new();
    for (number, line) in input.lines().enumerate() {
        let line = line.context("read the history")?;
        if line.trim().is_empty() {
            continue;
        }
        parse_line(&line, number as u64, &mut history, &mut open).with_context(|| format!("parse line {}", number + 1))?;
    }
    Ok(history)
}

fn parse_line(line: &str, at: u64, history: &mut History, open: &mut HashMap<u64, usize>) -> Result<()> {
    let fields = fields(line)?;
    let field = |name: &str| fields.get(name).ok_or_else(|| anyhow!("no {name} in {line}"));
    let process: u64 = field(":process")?.parse().context("parse :process")?;
    let value = field(":value")?;
    if field(":type")? == ":ok" {
        let index = open
            .remove(&process)
            .ok_or_else(|| anyhow!("process {process} asked nothing"))?;
        let operation = &mut history.operations[index];
        (operation.outcome, operation.completed_us) = (Outcome::Ok, at);
        if let Action::Read { seen, .. } = &mut operation.action {
            *seen = Some(unquote(value)?).filter(|seen| !seen.is_empty());
        }
        return Ok(());
    }
    let key = unquote(field(":key")?)?;
    let (slug, key) = key
        .split_once('/')
        .ok_or_else(|| anyhow!("the key {key:?} names no tenant"))?;
    let key = key.to_owned();
    let action = match field(":f")?.as_str() {
        ":put" => Action::Write {
            key,
            value: unquote(value)?,
        },
        ":get" => Action::Read { key, seen: None },
        other => bail!("{other} is not a register's"),
    };
    if open.insert(process, history.operations.len()).is_some() {
        bail!("process {process} asks while it waits");
    }
    let tenant = tenant(history, slug);
    history.operations.push(Operation {
        process,
        tenant,
        action,
        invoked_us: at,
        completed_us: at,
        outcome: Outcome::Unknown,
        position: None,
    });
    Ok(())
}

/// The place of a tenant, which is made when it is new. Its tag is not in the lines.
fn tenant(history: &mut History, slug: &str) -> usize {
    let known = history.tenants.iter().position(|tenant| tenant.slug == slug);
    known.unwrap_or_else(|| {
        history.tenants.push(Tenant {
            slug: slug.to_owned(),
            tag: String::new(),
        });
        history.tenants.len() - 1
    })
}

/// The fields of a line, as they are written.
fn fields(line: &str) -> Result<HashMap<String, String>> {
    let map = line.trim().strip_prefix('{').and_then(|rest| rest.strip_suffix('}'));
    let mut rest = map.ok_or_else(|| anyhow!("not a map: {line}"))?;
    let mut fields = HashMap::new();
    while !rest.is_empty() {
        let (name, after) = rest.split_once(' ').ok_or_else(|| anyhow!("no value: {rest}"))?;
        let end = end_of_value(after);
        fields.insert(name.to_owned(), after[..end].to_owned());
        rest = after[end..].trim_start_matches([',', ' ']);
    }
    Ok(fields)
}

/// Where a value ends: at its closing quote, or at the next comma.
fn end_of_value(text: &str) -> usize {
    if !text.starts_with('"') {
        return text.find(',').unwrap_or(text.len());
    }
    let mut is_escaped = false;
    for (at, byte) in text.bytes().enumerate().skip(1) {
        match byte {
            b'"' if !is_escaped => return at + 1,
            b'\\' => is_escaped = !is_escaped,
            _ => is_escaped = false,
        }
    }
    text.len()
}

fn quote(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

fn unquote(text: &str) -> Result<String> {
    let inner = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    let inner = inner.ok_or_else(|| anyhow!("not a string: {text}"))?;
    let mut plain = String::new();
    let mut chars = inner.chars();
    while let Some(next) = chars.next() {
        plain.extend(if next == '\\' { chars.next() } else { Some(next) });
    }
    Ok(plain)
}
