//! Which authorities a client command trusts over TLS: those of a file that it is given, or else the machine's own list.
//!
//! The list is where OpenSSL and everybody who links it look: in the file of `SSL_CERT_FILE`, or at the place that the system's
//! packages keep up to date. So an authority that a company adds to its machines is trusted here too, and one that is taken off is not.

use std::path::{Path, PathBuf};

use api::client::ClientError;
use api::error::Outcome;

/// Where systems keep their list.
const LISTS: [&str; 6] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
    "/usr/local/etc/ssl/cert.pem",
];
/// Largest list, in bytes.
const LIST_BYTES: u64 = 16 * 1024 * 1024;

/// The certificates, as PEM.
pub(super) fn read(given: Option<&Path>) -> Result<Vec<u8>, ClientError> {
    let named = given
        .map(Path::to_owned)
        .or_else(|| std::env::var_os("SSL_CERT_FILE").map(PathBuf::from));
    let path = named.or_else(|| LISTS.iter().map(PathBuf::from).find(|path| path.exists()));
    let Some(path) = path else {
        return Err(failed(
            "this machine has no list of authorities to check the server's certificate with: name a file with --ca",
        ));
    };
    let length = std::fs::metadata(&path).map(|metadata| metadata.len());
    match length.and_then(|length| {
        if length > LIST_BYTES {
            Ok(Vec::new())
        } else {
            std::fs::read(&path)
        }
    }) {
        Ok(pem) if !pem.is_empty() => Ok(pem),
        Ok(_) => Err(failed(&format!(
            "{} is no list of certificates: name another with --ca",
            path.display()
        ))),
        Err(error) => Err(failed(&format!("read the authorities in {}: {error}", path.display()))),
    }
}

fn failed(message: &str) -> ClientError {
    ClientError::Transport {
        outcome: Outcome::NotApplied,
        message: message.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_named_is_read_or_complained_about_by_name() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("ca.pem");
        assert!(read(Some(&path)).expect_err("not there").to_string().contains("ca.pem"));
        std::fs::write(&path, "").expect("written");
        assert!(
            read(Some(&path))
                .expect_err("empty")
                .to_string()
                .contains("name another with --ca")
        );
        std::fs::write(&path, "x").expect("written");
        assert_eq!(read(Some(&path)).expect("read"), b"x");
    }
}
