//! Secrets are named, never written down: `{ file = "…" }` or `{ env = "…" }`.

use std::fmt;
use std::path::PathBuf;

/// Longest secret, in bytes. Raised: a wrong path reads a large file into memory. Lowered: long keys are refused.
const SECRET_BYTES: u64 = 64 * 1024;

/// Where a secret is. Its value is read when it is needed, and is never part of the configuration.
#[derive(Clone, PartialEq, Eq)]
pub enum Secret {
    /// A file; white space around its content is dropped.
    File(PathBuf),
    /// An environment variable.
    Env(String),
}

/// Why a secret cannot be read. Never carries any of it.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// The file cannot be read.
    #[error("cannot read the secret in {}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The variable is not set.
    #[error("the environment variable {0} is not set")]
    NotSet(String),
    /// The variable or file holds nothing.
    #[error("{0} is empty")]
    Empty(String),
    /// The file is longer than any secret.
    #[error("{} is longer than {SECRET_BYTES} bytes: it is not a secret", .0.display())]
    TooLong(PathBuf),
}

impl Secret {
    /// The secret itself, without white space around it.
    pub fn read(&self) -> Result<String, SecretError> {
        let value = match self {
            Self::Env(name) => std::env::var(name).map_err(|_| SecretError::NotSet(name.clone()))?,
            Self::File(path) => {
                let failed = |source| SecretError::File {
                    path: path.clone(),
                    source,
                };
                if std::fs::metadata(path).map_err(failed)?.len() > SECRET_BYTES {
                    return Err(SecretError::TooLong(path.clone()));
                }
                std::fs::read_to_string(path).map_err(failed)?
            }
        };
        match value.trim() {
            "" => Err(SecretError::Empty(self.to_string())),
            secret => Ok(secret.to_owned()),
        }
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "the file {}", path.display()),
            Self::Env(name) => write!(f, "the environment variable {name}"),
        }
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secret({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_without_its_line_break() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("token");
        std::fs::write(&path, "cno_abc\n").expect("written");
        assert_eq!(Secret::File(path).read().expect("a secret"), "cno_abc");
    }

    #[test]
    fn what_is_missing_or_empty_is_named() {
        let dir = tempfile::tempdir().expect("a directory");
        let empty = dir.path().join("empty");
        std::fs::write(&empty, "\n").expect("written");
        assert!(matches!(Secret::File(empty).read(), Err(SecretError::Empty(_))));
        assert!(matches!(
            Secret::File(dir.path().join("none")).read(),
            Err(SecretError::File { .. })
        ));
        let unset = Secret::Env("CLOUDNEST_TEST_NEVER_SET".into()).read().expect_err("not set");
        assert_eq!(
            unset.to_string(),
            "the environment variable CLOUDNEST_TEST_NEVER_SET is not set"
        );
    }
}
