//! TLS for clients: what is negotiated, who is trusted, and certificates that change while the server runs.

use std::sync::Arc;
use std::time::Duration;

use api::client::{Call, Client};
use api::server::{CertificateError, Certificates, ServerConfig};
use http::Method;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::support::{LONG, Running, read_all};

/// Issued the two certificates below, which are for `localhost` and `127.0.0.1`.
pub(crate) const AUTHORITY: &[u8] = include_bytes!("tls/authority.pem");
const FIRST: (&[u8], &[u8]) = (include_bytes!("tls/first.pem"), include_bytes!("tls/first.key"));
const SECOND: (&[u8], &[u8]) = (include_bytes!("tls/second.pem"), include_bytes!("tls/second.key"));
/// The ends of their validity, in seconds since the epoch.
const EXPIRES: (i64, i64) = (4_906_020_046, 4_940_580_046);

pub(crate) fn first() -> Arc<Certificates> {
    Arc::new(Certificates::new(FIRST.0, FIRST.1).expect("a certificate"))
}

/// A connection whose handshake is done.
pub(crate) async fn connect(node: &Running, protocols: &[&str]) -> TlsStream<TcpStream> {
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_slice(AUTHORITY).expect("an authority"))
        .expect("added");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
    let stream = TcpStream::connect(node.address).await.expect("a connection");
    let name = ServerName::try_from("localhost").expect("a name");
    TlsConnector::from(Arc::new(config))
        .connect(name, stream)
        .await
        .expect("a handshake")
}

fn certificate_of(stream: &TlsStream<TcpStream>) -> CertificateDer<'static> {
    stream.get_ref().1.peer_certificates().expect("certificates")[0]
        .clone()
        .into_owned()
}

fn client(node: &Running) -> Client {
    let url = format!("https://localhost:{}", node.address.port());
    Client::new(&url, "cnt_member").expect("a client").with_timeout(LONG)
}

#[tokio::test]
async fn requests_are_served_over_tls_and_browsers_told_to_come_back_that_way() {
    let node = Running::secure(ServerConfig::default(), &first()).await;
    let trusting = client(&node).with_authorities(AUTHORITY).expect("an authority");
    for _ in 0..2 {
        let answer = trusting
            .call(Call::new(Method::GET, "/v1/tenants/acme/me"))
            .await
            .expect("an answer");
        assert_eq!(
            (answer.status.as_u16(), &answer.headers["strict-transport-security"]),
            (200, &"max-age=31536000".parse().expect("a value"))
        );
    }
    let plain = Running::start().await;
    let answer = plain
        .client("")
        .call(Call::new(Method::GET, "/livez"))
        .await
        .expect("an answer");
    assert!(!answer.headers.contains_key("strict-transport-security"));
}

#[tokio::test]
async fn the_client_trusts_whom_it_was_told_to_and_nobody_else() {
    let node = Running::secure(ServerConfig::default(), &first()).await;
    let untold = client(&node).livez().await.expect_err("nobody is trusted");
    assert!(untold.to_string().contains("needs certificates of authorities"), "{untold}");
    // A certificate that signs nothing is no authority of this one.
    let other = client(&node).with_authorities(SECOND.0).expect("a certificate");
    other.livez().await.expect_err("another authority");
    let pinned = client(&node).with_certificate(FIRST.0).expect("a certificate");
    pinned.livez().await.expect("the very certificate");
    let pinned = client(&node).with_certificate(SECOND.0).expect("a certificate");
    let error = pinned.livez().await.expect_err("another certificate");
    assert!(error.to_string().contains("another certificate"), "{error}");
    // The certificate is for 127.0.0.1 too, and for no other host.
    let url = format!("https://{}", node.address);
    let by_address = Client::new(&url, "")
        .expect("a client")
        .with_authorities(AUTHORITY)
        .expect("trust");
    by_address.livez().await.expect("an answer");
    let url = format!("https://[::ffff:127.0.0.1]:{}", node.address.port());
    let by_another = Client::new(&url, "")
        .expect("a client")
        .with_authorities(AUTHORITY)
        .expect("trust");
    by_another.livez().await.expect_err("not the name in the certificate");
    assert!(client(&node).with_authorities(b"nothing").is_err());
}

#[tokio::test]
async fn the_handshake_says_which_version_of_http_is_spoken() {
    let node = Running::secure(ServerConfig::default(), &first()).await;
    for (offered, spoken) in [
        (&["h2", "http/1.1"][..], Some(&b"h2"[..])),
        (&["http/1.1"], Some(b"http/1.1")),
        (&[], None),
    ] {
        let mut stream = connect(&node, offered).await;
        assert_eq!(stream.get_ref().1.alpn_protocol(), spoken, "{offered:?}");
        if spoken != Some(b"h2") {
            let request = b"GET /livez HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
            stream.write_all(request).await.expect("sent");
            let mut reply = String::new();
            stream.read_to_string(&mut reply).await.expect("a reply, and a clean end");
            assert!(reply.starts_with("HTTP/1.1 200 "), "{reply}");
        }
    }
}

#[tokio::test]
async fn new_certificates_are_taken_without_a_restart_and_bad_ones_are_not() {
    let certificates = first();
    let node = Running::secure(ServerConfig::default(), &certificates).await;
    let metrics = async |line: &str| {
        let client = client(&node).with_authorities(AUTHORITY).expect("an authority");
        let text = client.call(Call::new(Method::GET, "/metrics")).await.expect("metrics").body;
        let text = String::from_utf8(text.to_vec()).expect("text");
        assert!(text.lines().any(|found| found == line), "{line} is not in {text}");
    };
    let expires = "cloudnest_tls_certificate_expires_timestamp_seconds";
    metrics(&format!("{expires} {}", EXPIRES.0)).await;
    let mut open = connect(&node, &[]).await;
    let before = certificate_of(&open);

    let cut = &SECOND.0[..SECOND.0.len() / 2];
    for (chain, key) in [
        (SECOND.0, FIRST.1),
        (FIRST.1, SECOND.1),
        (SECOND.0, SECOND.0),
        (b"", b""),
        (cut, SECOND.1),
    ] {
        certificates.replace(chain, key).expect_err("not a pair");
    }
    assert_eq!(certificate_of(&connect(&node, &[]).await), before);
    metrics("cloudnest_tls_certificate_loads_total{result=\"refused\"} 5").await;
    metrics(&format!("{expires} {}", EXPIRES.0)).await;

    certificates.replace(SECOND.0, SECOND.1).expect("a pair");
    assert_ne!(certificate_of(&connect(&node, &[]).await), before);
    metrics(&format!("{expires} {}", EXPIRES.1)).await;
    metrics("cloudnest_tls_certificate_loads_total{result=\"taken\"} 1").await;
    // What is open goes on.
    open.write_all(b"GET /livez HTTP/1.1\r\nhost: x\r\n\r\n").await.expect("sent");
    let mut start = [0; 12];
    open.read_exact(&mut start).await.expect("a reply");
    assert_eq!(&start, b"HTTP/1.1 200");
}

#[test]
fn what_is_wrong_with_a_certificate_is_said() {
    let refused = |chain: &[u8], key: &[u8]| Certificates::new(chain, key).expect_err("refused");
    assert!(matches!(refused(b"", FIRST.1), CertificateError::Certificate(_)));
    assert!(matches!(refused(FIRST.0, b"x"), CertificateError::Key(_)));
    assert!(matches!(refused(FIRST.0, SECOND.1), CertificateError::Pair(_)));
}

#[tokio::test]
async fn silence_and_other_protocols_end_at_the_handshake() {
    let config = ServerConfig {
        handshake: Duration::from_millis(150),
        ..ServerConfig::default()
    };
    let node = Running::secure(config, &first()).await;
    let hello = [0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3];
    for sent in [&b""[..], &hello, &[0x16], b"\x00\x01\x02"] {
        let mut stream = TcpStream::connect(node.address).await.expect("a connection");
        stream.write_all(sent).await.expect("sent");
        let reply = read_all(&mut stream).await;
        assert!(!reply.starts_with("HTTP"), "{sent:?}: {reply}");
    }
    let reply = node.raw(b"GET /livez HTTP/1.1\r\nhost: x\r\n\r\n").await;
    assert!(
        reply.starts_with("HTTP/1.1 400 ") && reply.contains("application/problem+json") && reply.contains("https://"),
        "{reply}"
    );
    let well_behaved = client(&node).with_authorities(AUTHORITY).expect("an authority");
    well_behaved.livez().await.expect("served all the while");
}
