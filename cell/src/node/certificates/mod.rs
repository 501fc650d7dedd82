//! What the node proves itself with to clients and to other nodes: read from its files at start, and again when they have changed.
//!
//! Files are looked at every few seconds and on SIGHUP, by their content: who replaces them need tell nobody, and neither renames nor
//! links nor clocks confuse it. New ones are taken for connections that open from then on. Ones that cannot be used are reported, once,
//! with the file and the reason, and the old ones stay; a certificate that was replaced before its key is such a case for a moment.
//! A certificate that ends soon is spoken of once a day (`expiry`).
//!
//! What there is to prove is a [`Proof`]: `clients`, `peers`. Looking after it is the same for both.

mod clients;
pub(crate) mod expiry;
mod peers;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};
use tokio::signal::unix::{SignalKind, signal};

pub(super) use self::clients::Clients;
pub(crate) use self::peers::identity;

/// Between two looks at the files.
const LOOK: Duration = Duration::from_secs(5);
/// Largest file, in bytes. Raised: a wrong path reads a large file. Lowered: long chains are refused.
const FILE_BYTES: u64 = 1024 * 1024;
/// Between two reminders of the same certificate, seconds.
const REMINDER_SECONDS: i64 = 86_400;

/// One of the files that something is proved with.
#[derive(Clone, Debug)]
struct File {
    /// `certificate`, `key` or `authority`.
    what: &'static str,
    /// The section of the configuration that names it.
    section: &'static str,
    path: PathBuf,
}

/// Something that is proved with files.
pub(super) trait Proof: Send + 'static {
    /// What it is, such as `the certificate for clients`.
    const WHAT: &'static str;
    /// What goes on where new files cannot be used.
    const OTHERWISE: &'static str;
    /// What renews it.
    const RENEW: &'static str;

    /// Where its certificate is.
    fn certificate(&self) -> &Path;
    /// Reads its files, all of them or an error.
    fn read(&self) -> anyhow::Result<Vec<Vec<u8>>>;
    /// Takes what was read; an error changes nothing.
    fn take(&self, contents: &[Vec<u8>]) -> anyhow::Result<()>;
    /// Is told that files could not even be read.
    fn refuse(&self) {}
    /// Until when the certificate is valid, in seconds since the epoch.
    fn expires_at(&self) -> i64;
}

/// Keeps a proof as its files are.
pub(super) struct Keeper<P> {
    proof: P,
    /// What was tried last, be it taken or refused; none: what could not be read, and why.
    tried: Result<Vec<Vec<u8>>, String>,
    /// When the end of the certificate was last spoken of, in seconds since the epoch.
    reminded: Option<i64>,
}

impl<P: Proof> Keeper<P> {
    /// Goes on from what the files held when they were read for the first time.
    fn new(proof: P, contents: Vec<Vec<u8>>) -> Self {
        let mut keeper = Self {
            proof,
            tried: Ok(contents),
            reminded: None,
        };
        keeper.remind(jiff::Timestamp::now().as_second());
        keeper
    }

    /// Follows the files until the node stops; with `hangup`, SIGHUP has it look at once.
    pub(super) async fn run(mut self, hangup: bool) {
        let mut looks = tokio::time::interval(LOOK);
        let mut asked = None;
        if hangup {
            match signal(SignalKind::hangup()) {
                Ok(signals) => asked = Some(signals),
                Err(error) => tracing::warn!(%error, "listen for SIGHUP"),
            }
        }
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
                self.remind(jiff::Timestamp::now().as_second());
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
        let now = self.proof.read().map_err(|error| format!("{error:#}"));
        if now == self.tried {
            return;
        }
        let result = match &now {
            Ok(contents) => self.proof.take(contents).map_err(|error| format!("{error:#}")),
            Err(error) => {
                self.proof.refuse();
                Err(error.clone())
            }
        };
        self.tried = now;
        match result {
            Ok(()) => {
                tracing::info!(certificate = %self.proof.certificate().display(), "took {}", P::WHAT.replacen("the", "the new", 1));
                self.reminded = None;
            }
            Err(why) => tracing::error!("{why}; {}", P::OTHERWISE),
        }
    }

    /// A node starts with a certificate that is not valid any more, because a cluster that does not come up is worse; but it says so,
    /// and says before that it will come to this.
    fn remind(&mut self, now: i64) {
        let Some(notice) = expiry::notice(self.proof.expires_at(), now) else {
            self.reminded = None;
            return;
        };
        if self.reminded.is_some_and(|at| (now - at).abs() < REMINDER_SECONDS) {
            return;
        }
        self.reminded = Some(now);
        let certificate = self.proof.certificate().display();
        let (what, renew) = (P::WHAT, P::RENEW);
        match notice {
            expiry::Notice::Ended => tracing::error!(%certificate, "{what} {notice}: {renew}, a restart is not needed"),
            expiry::Notice::Soon { .. } => tracing::warn!(%certificate, "{what} {notice}: {renew}, a restart is not needed"),
        }
    }
}

fn read(files: &[File], whom: &str) -> anyhow::Result<Vec<Vec<u8>>> {
    let read = |File { what, section, path }: &File| {
        let context = || format!("read the {what} for {whom} in {} ({section}.{what})", path.display());
        let length = std::fs::metadata(path).with_context(context)?.len();
        if length > FILE_BYTES {
            bail!(
                "{} has {length} bytes, which is not a {what} ({section}.{what})",
                path.display()
            );
        }
        std::fs::read(path).with_context(context)
    };
    files.iter().map(read).collect()
}

#[cfg(test)]
mod tests;
