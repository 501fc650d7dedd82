//! The certificate for clients.

use std::path::Path;
use std::sync::Arc;

use anyhow::anyhow;
use api::server::{CertificateError, Certificates};

use super::{File, Keeper, Proof, read};
use crate::config::ApiTls;

/// See the module.
pub(in crate::node) struct Clients {
    files: ApiTls,
    certificates: Arc<Certificates>,
}

impl Keeper<Clients> {
    /// Reads the files for the first time. Blocking.
    pub(in crate::node) fn start(files: ApiTls) -> anyhow::Result<Self> {
        let contents = read_files(&files)?;
        let certificates = Certificates::new(&contents[0], &contents[1]).map_err(|error| blame(&files, &error))?;
        let certificates = Arc::new(certificates);
        Ok(Self::new(Clients { files, certificates }, contents))
    }

    /// What the server proves itself with.
    pub(in crate::node) fn certificates(&self) -> Arc<Certificates> {
        Arc::clone(&self.proof.certificates)
    }
}

impl Proof for Clients {
    const WHAT: &'static str = "the certificate for clients";
    const OTHERWISE: &'static str = "clients are served with the certificate that was there before";
    const RENEW: &'static str = "replace it";

    fn certificate(&self) -> &Path {
        &self.files.certificate
    }

    fn read(&self) -> anyhow::Result<Vec<Vec<u8>>> {
        read_files(&self.files)
    }

    fn take(&self, contents: &[Vec<u8>]) -> anyhow::Result<()> {
        let taken = self.certificates.replace(&contents[0], &contents[1]);
        taken.map_err(|error| blame(&self.files, &error))
    }

    fn refuse(&self) {
        self.certificates.refuse();
    }

    fn expires_at(&self) -> i64 {
        self.certificates.expires_at()
    }
}

/// Certificate and key.
fn read_files(files: &ApiTls) -> anyhow::Result<Vec<Vec<u8>>> {
    let file = |what, path: &Path| File {
        what,
        section: "api_tls",
        path: path.to_owned(),
    };
    read(&[file("certificate", &files.certificate), file("key", &files.key)], "clients")
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

#[cfg(test)]
mod tests {
    use super::*;

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
