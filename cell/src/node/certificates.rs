//! The certificate for clients: read from its files at start, and again when they have changed.
//!
//! Files are looked at every few seconds and on SIGHUP, by their content: who replaces them need tell nobody, and neither renames nor
//! links nor clocks confuse it. New ones are taken for connections that open from then on. Ones that cannot be used are reported, once,
//! with the file and the reason, and the old ones stay; a certificate that was replaced before its key is such a case for a moment.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use api::server::{CertificateError, Certificates};
use tokio::signal::unix::{SignalKind, signal};

use crate::config::ApiTls;

/// Between two looks at the files.
const LOOK: Duration = Duration::from_secs(5);
/// Largest file, in bytes. Raised: a wrong path reads a large file. Lowered: long chains are refused.
const FILE_BYTES: u64 = 1024 * 1024;

/// The content of the two files.
#[derive(Clone, PartialEq, Eq)]
struct Pair {
    certificate: Vec<u8>,
    key: Vec<u8>,
}

/// Keeps a certificate as its files are.
pub(super) struct Keeper {
    files: ApiTls,
    certificates: Arc<Certificates>,
    /// What was tried last, be it taken or refused; none: what could not be read, and why.
    tried: Result<Pair, String>,
}

impl Keeper {
    /// Reads the files for the first time. Blocking.
    pub(super) fn start(files: ApiTls) -> anyhow::Result<Self> {
        let pair = read(&files)?;
        let certificates = Certificates::new(&pair.certificate, &pair.key).map_err(|error| blame(&files, &error))?;
        let certificates = Arc::new(certificates);
        warn_if_expired(&files, &certificates);
        Ok(Self {
            files,
            certificates,
            tried: Ok(pair),
        })
    }

    /// What the server proves itself with.
    pub(super) fn certificates(&self) -> Arc<Certificates> {
        Arc::clone(&self.certificates)
    }

    /// Follows the files until the node stops.
    pub(super) async fn run(mut self) {
        let mut looks = tokio::time::interval(LOOK);
        let mut asked = match signal(SignalKind::hangup()) {
            Ok(asked) => Some(asked),
            Err(error) => {
                tracing::warn!(%error, "listen for SIGHUP");
                None
            }
        };
        loop {
            let hangup = async {
                match &mut asked {
                    Some(asked) => asked.recv().await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                _ = looks.tick() => {}
                _ = hangup => {}
            }
            let looked = tokio::task::spawn_blocking(move || {
                self.look();
                self
            });
            match looked.await {
                Ok(keeper) => self = keeper,
                // The runtime ends.
                Err(_) => return,
            }
        }
    }

    /// Takes what the files hold by now, if it is new and can be used. Blocking.
    fn look(&mut self) {
        let now = read(&self.files).map_err(|error| format!("{error:#}"));
        if now == self.tried {
            return;
        }
        let result = match &now {
            Ok(pair) => self
                .certificates
                .replace(&pair.certificate, &pair.key)
                .map_err(|error| format!("{:#}", blame(&self.files, &error))),
            Err(error) => {
                self.certificates.refuse();
                Err(error.clone())
            }
        };
        self.tried = now;
        match result {
            Ok(()) => {
                tracing::info!(certificate = %self.files.certificate.display(), "took the new certificate for clients");
                warn_if_expired(&self.files, &self.certificates);
            }
            Err(why) => tracing::error!("{why}; clients are served with the certificate that was there before"),
        }
    }
}

fn read(files: &ApiTls) -> anyhow::Result<Pair> {
    let read = |what: &str, path: &Path| {
        let context = || format!("read the {what} for clients in {} (api_tls.{what})", path.display());
        let length = std::fs::metadata(path).with_context(context)?.len();
        if length > FILE_BYTES {
            bail!(
                "{} has {length} bytes, which is not a {what} (api_tls.{what})",
                path.display()
            );
        }
        std::fs::read(path).with_context(context)
    };
    Ok(Pair {
        certificate: read("certificate", &files.certificate)?,
        key: read("key", &files.key)?,
    })
}

/// The file that an error is about.
fn blame(files: &ApiTls, error: &CertificateError) -> anyhow::Error {
    match error {
        CertificateError::Certificate(_) => anyhow!("{error} ({}, api_tls.certificate)", files.certificate.display()),
        CertificateError::Key(_) => anyhow!("{error} ({}, api_tls.key)", files.key.display()),
        CertificateError::Pair(_) => {
            anyhow!(
                "{error} ({} and {}, api_tls)",
                files.certificate.display(),
                files.key.display()
            )
        }
    }
}

/// A node starts with a certificate that is not valid any more, because a cluster that does not come up is worse; but it says so.
fn warn_if_expired(files: &ApiTls, certificates: &Certificates) {
    let now = jiff::Timestamp::now().as_second();
    let left = certificates.expires_at() - now;
    let certificate = files.certificate.display();
    if left <= 0 {
        tracing::error!(%certificate, "the certificate for clients is not valid any more: replace it, a restart is not needed");
    } else if left < 7 * 24 * 3_600 {
        tracing::warn!(%certificate, hours = left / 3_600, "the certificate for clients is valid for less than a week");
    }
}

#[cfg(test)]
mod tests {
    use raft::{NodeId, make_authority};

    use super::*;

    fn issue(files: &ApiTls) -> (String, String) {
        let identity = make_authority("test")
            .expect("an authority")
            .issue(NodeId(1), "here", 30)
            .expect("issued");
        std::fs::write(&files.certificate, &identity.certificate_pem).expect("written");
        std::fs::write(&files.key, &identity.key_pem).expect("written");
        (identity.certificate_pem, identity.key_pem)
    }

    #[test]
    fn what_the_files_hold_is_taken_once_and_what_is_wrong_is_not() {
        let dir = tempfile::tempdir().expect("a directory");
        let files = ApiTls {
            certificate: dir.path().join("api.pem"),
            key: dir.path().join("api.key"),
        };
        let count = |keeper: &Keeper| {
            let certificates = format!("{:?}", keeper.certificates);
            let number = |name: &str| -> u64 {
                let rest = certificates.split_once(&format!("{name}: ")).expect(name).1;
                rest.chars()
                    .take_while(char::is_ascii_digit)
                    .collect::<String>()
                    .parse()
                    .expect("a number")
            };
            (number("replaced"), number("refused"))
        };
        assert!(Keeper::start(files.clone()).is_err_and(|error| format!("{error:#}").contains("api.pem (api_tls.certificate)")));
        issue(&files);
        let mut keeper = Keeper::start(files.clone()).expect("started");
        keeper.look();
        assert_eq!(count(&keeper), (0, 0), "nothing is new");
        let (certificate, _) = issue(&files);
        for _ in 0..2 {
            keeper.look();
            assert_eq!(count(&keeper), (1, 0), "taken, once");
        }
        std::fs::write(&files.key, "nonsense").expect("written");
        for _ in 0..2 {
            keeper.look();
            assert_eq!(count(&keeper), (1, 1), "refused, and reported once");
        }
        std::fs::remove_file(&files.key).expect("removed");
        keeper.look();
        keeper.look();
        assert_eq!(count(&keeper), (1, 2), "gone, and reported once");
        // The certificate before its key, as some tools do it: taken when both are there.
        let (_, key) = issue(&files);
        std::fs::write(&files.key, "").expect("written");
        keeper.look();
        std::fs::write(&files.key, key).expect("written");
        keeper.look();
        assert_eq!(count(&keeper), (2, 3));
        assert!(!certificate.is_empty());
    }

    #[test]
    fn the_file_that_is_wrong_is_named() {
        let files = ApiTls {
            certificate: "api.pem".into(),
            key: "api.key".into(),
        };
        let of = |error| blame(&files, &error).to_string();
        assert!(of(CertificateError::Certificate("x".into())).ends_with("x (api.pem, api_tls.certificate)"));
        assert!(of(CertificateError::Key("x".into())).ends_with("x (api.key, api_tls.key)"));
        assert!(of(CertificateError::Pair("x".into())).ends_with("x (api.pem and api.key, api_tls)"));
    }
}
