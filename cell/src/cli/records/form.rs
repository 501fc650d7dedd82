//! How a file of records is written.

use std::path::Path;

use clap::ValueEnum;

/// How a file of records is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Form {
    /// A JSON object a line
    Jsonl,
    /// Comma-separated values; the first record names the fields
    Csv,
}

impl Form {
    /// The form that a file's name tells, `.gz` aside: CSV where it ends with `.csv`.
    pub(super) fn of(path: &Path) -> Self {
        let name = path.to_string_lossy().to_ascii_lowercase();
        let plain = name.strip_suffix(".gz").unwrap_or(&name);
        if plain.ends_with(".csv") { Self::Csv } else { Self::Jsonl }
    }

    /// What a line of it is called.
    pub(super) fn unit(self) -> &'static str {
        match self {
            Self::Jsonl => "line",
            Self::Csv => "record",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_tells_the_form() {
        for (name, form) in [
            ("a/tasks.csv", Form::Csv),
            ("TASKS.CSV.GZ", Form::Csv),
            ("tasks.jsonl.gz", Form::Jsonl),
            ("csv", Form::Jsonl),
            ("-", Form::Jsonl),
        ] {
            assert_eq!(Form::of(Path::new(name)), form, "{name}");
        }
    }
}
