//! `--failed FILE`: the lines that were refused, in a form that can be mended and imported again.
//!
//! The file is of the same form as the source. Every line has, before its own fields under their final names, `_line` (its number in the
//! source), `_code` and `_message` (what is wrong, with a JSON pointer to the place). No field can be called that, so `records import`
//! leaves them out: mend the values, and import the file as it is, without `--map`. A line that is no JSON object is kept as a text, in
//! `_text`; what is mended in there is the line again. A line that was too long is named, but not kept.

use std::borrow::Cow;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::PathBuf;

use anyhow::{Context, anyhow};
use api::body::import::ImportFailure;
use api::limits::IMPORT_LINE_BYTES;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use super::super::Result;
use super::cells::write_record;
use super::form::Form;

/// What the file adds to a line.
pub(super) const COLUMNS: [&str; 3] = ["_line", "_code", "_message"];
/// A line that is not a JSON object.
const TEXT: &str = "_text";

/// The file, while it is written.
#[derive(Debug)]
pub(super) struct Failed {
    path: PathBuf,
    /// Written line by line: the server tells of each once, so that a command that is killed must not have them in memory.
    file: File,
    form: Form,
    lines: u64,
    /// The first error: it is told at the end, and stops no import.
    broken: Option<io::Error>,
}

impl Failed {
    /// Begins the file, which must not be there: it may hold lines that nobody has mended yet.
    pub(super) fn create(path: PathBuf, form: Form) -> Result<Self> {
        let opened = OpenOptions::new().write(true).create_new(true).open(&path);
        let file = match opened {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                let path = path.display();
                return Err(
                    anyhow!("{path} is there already: import what is mended in it, remove it, or name another file").into(),
                );
            }
            Err(error) => return Err(anyhow::Error::new(error).context(format!("make {}", path.display())).into()),
        };
        Ok(Self {
            path,
            file,
            form,
            lines: 0,
            broken: None,
        })
    }

    /// Adds a line. `head` is that of a CSV file; `line` is what was sent, with its line break.
    pub(super) fn add(&mut self, failure: &ImportFailure, head: &[u8], line: &[u8]) {
        let text = match self.form {
            Form::Jsonl => jsonl(failure, line),
            Form::Csv => csv(failure, head, line, self.lines == 0),
        };
        self.lines += 1;
        if let Err(error) = self.file.write_all(&text) {
            self.broken.get_or_insert(error);
        }
    }

    /// Ends the file; removes it where nothing was refused. How many lines it has.
    pub(super) fn finish(mut self) -> Result<u64> {
        if let Some(error) = self.broken.take() {
            return Err(anyhow::Error::new(error)
                .context(format!("write {}", self.path.display()))
                .into());
        }
        if self.lines == 0 {
            std::fs::remove_file(&self.path).with_context(|| format!("remove {}", self.path.display()))?;
        }
        Ok(self.lines)
    }
}

fn jsonl(failure: &ImportFailure, line: &[u8]) -> Vec<u8> {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    let added = json!({ "_line": failure.line, "_code": failure.code, "_message": failure.message });
    let mut text = added.to_string().into_bytes();
    text.pop();
    let is_object = serde_json::from_slice::<Map<String, Value>>(line).is_ok();
    let body = line.trim_ascii_start().strip_prefix(b"{").filter(|_| is_object);
    match body {
        Some(body) if body.trim_ascii_start().starts_with(b"}") => text.push(b'}'),
        Some(body) => {
            text.push(b',');
            text.extend_from_slice(body);
        }
        None => {
            let kept = if line.len() > IMPORT_LINE_BYTES {
                Cow::Borrowed("")
            } else {
                String::from_utf8_lossy(line)
            };
            text.extend_from_slice(format!(",\"{TEXT}\":{}}}", json!(kept)).as_bytes());
        }
    }
    text.push(b'\n');
    text
}

fn csv(failure: &ImportFailure, head: &[u8], line: &[u8], first: bool) -> Vec<u8> {
    let mut text = Vec::new();
    if first {
        text.extend_from_slice(COLUMNS.join(",").as_bytes());
        text.push(b',');
        text.extend_from_slice(head);
    }
    let number = failure.line.to_string();
    let added = [number.as_bytes(), failure.code.as_bytes(), failure.message.as_bytes()];
    write_record(added.into_iter(), &mut text);
    text.pop();
    text.push(b',');
    text.extend_from_slice(line);
    text
}

/// A line of such a file as it is imported again: without what was added. Other lines stay as they are.
pub(super) fn mended(line: &[u8]) -> Cow<'_, [u8]> {
    // Added keys come first, as written and as sorted; a look at every key of every line would cost more than all the rest.
    let body = line.trim_ascii_start().strip_prefix(b"{").map(<[u8]>::trim_ascii_start);
    if !body.is_some_and(|body| body.starts_with(b"\"_")) {
        return Cow::Borrowed(line);
    }
    let Ok(mut object) = serde_json::from_slice::<std::collections::BTreeMap<String, &RawValue>>(line) else {
        return Cow::Borrowed(line);
    };
    if !object.contains_key("_line") {
        return Cow::Borrowed(line);
    }
    if let Some(text) = object
        .get(TEXT)
        .and_then(|text| serde_json::from_str::<String>(text.get()).ok())
    {
        // A line break in it would shift the numbers of all that follow.
        return Cow::Owned(text.replace(['\n', '\r'], " ").into_bytes());
    }
    for column in COLUMNS {
        object.remove(column);
    }
    serde_json::to_vec(&object).map_or(Cow::Borrowed(line), Cow::Owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(line: u64) -> ImportFailure {
        ImportFailure {
            line,
            code: "invalid_fields".into(),
            message: "/points: must be a \"number\"".into(),
        }
    }

    #[test]
    fn a_line_that_was_refused_comes_back_as_it_was() {
        for line in [
            "{\"a\": 1.50, \"b\":\"ü\"}",
            "{}",
            "not json",
            "[1]",
            "{\"a\":",
            " {\"a\":12345678901234567890123}",
        ] {
            let written = jsonl(&failure(7), format!("{line}\n").as_bytes());
            let object: Value = serde_json::from_slice(&written).expect("a JSON object");
            assert_eq!(
                (object["_line"].as_u64(), object["_code"].as_str()),
                (Some(7), Some("invalid_fields"))
            );
            assert!(object["_message"].as_str().expect("a text").contains("/points"));
            let again = String::from_utf8(mended(&written).into_owned()).expect("UTF-8");
            let parse = |text: &str| serde_json::from_str::<Value>(text).ok();
            assert!(
                again == line || (parse(line).is_some() && parse(&again) == parse(line)),
                "{line} became {again}"
            );
        }
        let own = b"{\"title\":\"_line\"}";
        assert_eq!(&mended(own)[..], own);
        let long = vec![b'x'; IMPORT_LINE_BYTES + 1];
        assert!(jsonl(&failure(1), &long).len() < 200);
    }

    #[test]
    fn a_record_is_kept_with_its_head() {
        let first = csv(&failure(2), b"title,points\n", b"a,b\n", true);
        let expected = "_line,_code,_message,title,points\n2,invalid_fields,\"/points: must be a \"\"number\"\"\",a,b\n";
        assert_eq!(String::from_utf8_lossy(&first), expected);
        assert!(!csv(&failure(3), b"title,points\n", b"a,b\n", false).starts_with(b"_line"));
    }

    #[test]
    fn a_file_without_lines_is_removed_and_one_that_is_there_is_kept() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("failed.jsonl");
        let empty = Failed::create(path.clone(), Form::Jsonl).expect("made");
        assert!(matches!(empty.finish(), Ok(0)));
        assert!(!path.exists());
        let mut one = Failed::create(path.clone(), Form::Jsonl).expect("made");
        one.add(&failure(1), b"", b"{}\n");
        assert!(matches!(one.finish(), Ok(1)));
        assert!(Failed::create(path.clone(), Form::Jsonl).is_err());
        assert!(std::fs::read_to_string(path).expect("kept").starts_with("{\"_"));
    }
}
