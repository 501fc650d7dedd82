//! What commands print: lines, JSON, and tables that are calm in a pipe and coloured on a terminal.

use std::io::{self, IsTerminal, Write};

use anyhow::Context;
use comfy_table::{Attribute, Cell, Color, ContentArrangement, Table, presets};
use serde::Serialize;

use super::Result;

/// Blanks before and after a cell's text.
const PADDING: (u16, u16) = (0, 2);

/// The colour of a table's cell, by what it means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tone {
    Plain,
    Good,
    Warning,
    Bad,
}

/// Prints a line to standard output.
pub(super) fn line(text: &str) -> Result {
    write(&[text.as_bytes(), b"\n"])
}

/// Prints a value as JSON, indented, to standard output.
pub(super) fn json<T: Serialize>(value: &T) -> Result {
    line(&serde_json::to_string_pretty(value).context("write the reply as JSON")?)
}

/// Prints a value as one line of JSON to standard output.
pub(super) fn json_line<T: Serialize>(value: &T) -> Result {
    line(&serde_json::to_string(value).context("write the reply as JSON")?)
}

fn write(pieces: &[&[u8]]) -> Result {
    let mut out = io::stdout().lock();
    for piece in pieces {
        out.write_all(piece)?;
    }
    out.flush()?;
    Ok(())
}

/// Prints a table to standard output.
pub(super) fn table(head: &[&str], rows: Vec<Vec<(String, Tone)>>) -> Result {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    let terminal = io::stdout().is_terminal();
    if !terminal {
        table.force_no_tty();
    }
    table.set_content_arrangement(if terminal {
        ContentArrangement::Dynamic
    } else {
        ContentArrangement::Disabled
    });
    table.set_header(head.iter().map(|name| Cell::new(name).add_attribute(Attribute::Bold)));
    for row in rows {
        table.add_row(row.into_iter().map(|(text, tone)| match tone {
            Tone::Plain => Cell::new(text),
            Tone::Good => Cell::new(text).fg(Color::Green),
            Tone::Warning => Cell::new(text).fg(Color::Yellow),
            Tone::Bad => Cell::new(text).fg(Color::Red),
        }));
    }
    for column in table.column_iter_mut() {
        column.set_padding(PADDING);
    }
    for printed in table.to_string().lines() {
        line(printed.trim_end())?;
    }
    Ok(())
}

/// A plain cell of a table.
pub(super) fn plain(text: impl Into<String>) -> (String, Tone) {
    (text.into(), Tone::Plain)
}

/// The word before an error, red on a terminal.
pub(super) fn error_word() -> &'static str {
    if io::stderr().is_terminal() {
        "\u{1b}[1;31merror:\u{1b}[0m"
    } else {
        "error:"
    }
}

/// Whether a command failed only because nobody reads its output any more.
pub(super) fn is_closed_pipe(error: &anyhow::Error) -> bool {
    error
        .downcast_ref::<io::Error>()
        .is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

/// Asks on the terminal for a word before something that cannot be undone. Without a terminal nobody can be asked: yes.
pub(super) fn confirmed(question: &str, word: &str) -> Result<bool> {
    if !io::stdin().is_terminal() {
        return Ok(true);
    }
    eprint!("{question} Type {word:?} to go on: ");
    io::stderr().flush()?;
    let mut answer = String::new();
    io::stdin().read_line(&mut answer)?;
    Ok(answer.trim() == word)
}
