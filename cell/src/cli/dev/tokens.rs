//! `dev.tokens`: the secrets of a development server, a line each.

use std::path::{Path, PathBuf};

use super::super::files::{self, Access};
use super::super::{Result, secret};

/// The tokens of a data directory.
#[derive(Debug)]
pub(super) struct Tokens {
    dir: PathBuf,
    /// The operator's.
    pub(super) operator: String,
    /// The demo tenant's, once it is there.
    pub(super) demo: Option<String>,
}

impl Tokens {
    /// The tokens of a directory; its first operator token where there is none.
    pub(super) fn load(dir: &Path) -> Result<Self> {
        let text = files::read(&dir.join("dev.tokens"))?.unwrap_or_default();
        let value = |name: &str| {
            text.lines()
                .find_map(|line| line.trim().strip_prefix(name)?.strip_prefix('='))
                .map(str::to_owned)
        };
        let operator = match value("operator").filter(|token| secret::is_operator_token(token)) {
            Some(token) => token,
            // `cluster up` or an edited file may have left one: the directory knows that one.
            None => match files::read(&dir.join("operator.token"))?.filter(|token| secret::is_operator_token(token)) {
                Some(token) => token,
                None => secret::operator_token()?,
            },
        };
        let tokens = Self {
            dir: dir.to_owned(),
            operator,
            demo: value("demo"),
        };
        tokens.store()?;
        Ok(tokens)
    }

    /// Writes the files: `dev.tokens` for people, `operator.token` for the configuration.
    pub(super) fn store(&self) -> Result {
        let mut text = format!("operator={}\n", self.operator);
        if let Some(demo) = &self.demo {
            text.push_str(&format!("demo={demo}\n"));
        }
        files::write(&self.dir.join("dev.tokens"), &text, Access::Private)?;
        files::write(
            &self.dir.join("operator.token"),
            &format!("{}\n", self.operator),
            Access::Private,
        )
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn tokens_are_made_once_and_kept_for_their_owner() {
        let dir = tempfile::tempdir().expect("a directory");
        let mut first = Tokens::load(dir.path()).expect("tokens");
        assert_eq!(first.demo, None);
        first.demo = Some("cnt_x".into());
        first.store().expect("stored");
        let again = Tokens::load(dir.path()).expect("tokens");
        assert_eq!(
            (again.operator, again.demo.as_deref()),
            (first.operator.clone(), Some("cnt_x"))
        );
        let path = dir.path().join("dev.tokens");
        assert_eq!(std::fs::metadata(&path).expect("there").permissions().mode() & 0o777, 0o600);
        assert_eq!(
            std::fs::read_to_string(path).expect("read"),
            format!("operator={}\ndemo=cnt_x\n", first.operator)
        );
    }
}
