//! Client certificates: whose authority is ours is somebody by its names; all others are nobody.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;

use rcgen::{
    CertificateParams, CertificateRevocationListParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose,
    IsCa, KeyPair, KeyUsagePurpose, RevokedCertParams, SerialNumber, date_time_ymd,
};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use rustls_pki_types::PrivateKeyDer;
use urban_neuron_gateway::mqtt::ReasonCode;
use urban_neuron_gateway::mqtt_endpoint::{Admission, Applicant, Authenticator, Identity, TlsFiles};

use super::fake_log::FakeLog;
use super::raw_client::{Connect, publish};
use super::server::{LOOPBACK, Setup};

/// Whoever shows a certificate is who it says.
struct ByCertificate;

impl Authenticator for ByCertificate {
    fn check<'a>(&'a self, applicant: Applicant<'a>) -> Admission<'a> {
        let name = applicant.certificate_names.and_then(<[String]>::first);
        let answer = name.map(|name| Arc::new(Identity::unrestricted(name)));
        Box::pin(std::future::ready(answer.ok_or(ReasonCode::NOT_AUTHORIZED)))
    }
}

type Authority = CertifiedIssuer<'static, KeyPair>;

fn authority() -> Authority {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// A certificate and its key; `until_year` is the first in which it is of no use.
fn certificate(
    authority: &Authority,
    name: &str,
    usage: ExtendedKeyUsagePurpose,
    until_year: i32,
) -> (rcgen::Certificate, KeyPair) {
    let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    params.not_before = date_time_ymd(2000, 1, 1);
    params.not_after = date_time_ymd(until_year, 1, 1);
    params.extended_key_usages = vec![usage];
    let key = KeyPair::generate().unwrap();
    (params.signed_by(&key, authority).unwrap(), key)
}

fn server_files(directory: &Path, authority: &Authority) -> TlsFiles {
    let (server, key) = certificate(authority, "server", ExtendedKeyUsagePurpose::ServerAuth, 2100);
    let write = |name: &str, text: String| {
        let path = directory.join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    TlsFiles {
        certificate_path: write("server.pem", server.pem()),
        key_path: write("server.key", key.serialize_pem()),
        client_ca_path: Some(write("ca.pem", authority.pem())),
        client_crl_path: None,
    }
}

/// Connects with a certificate and publishes; `None` where the server does not have it.
fn publish_with(
    port: u16,
    trusted: &Authority,
    shown: Option<(rcgen::Certificate, KeyPair)>,
) -> Option<Vec<u8>> {
    let mut roots = RootCertStore::empty();
    roots.add(trusted.der().clone()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder =
        ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let builder = builder.with_root_certificates(roots);
    let config = match shown {
        None => builder.with_no_client_auth(),
        Some((certificate, key)) => {
            let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
            builder.with_client_auth_cert(vec![certificate.der().clone()], key).unwrap()
        }
    };
    let connection = ClientConnection::new(Arc::new(config), "localhost".try_into().unwrap()).unwrap();
    let tcp = TcpStream::connect(("127.0.0.1", port)).unwrap();
    let mut stream = StreamOwned::new(connection, tcp);
    let mut said = Connect::default().encode();
    said.extend(publish(1, 1, "t", b"x", None));
    stream.write_all(&said).ok()?;
    let mut answers = vec![0; 8];
    stream.read_exact(&mut answers).ok()?;
    Some(answers)
}

#[test]
fn only_certificates_of_our_authority_are_anybody() {
    let log = FakeLog::instant();
    let (ours, foreign) = (authority(), authority());
    let directory = tempfile::tempdir().unwrap();
    let files = server_files(directory.path(), &ours);
    let mut setup = Setup::with(|config| {
        config.listen_tls = vec![LOOPBACK];
        config.tls = Some(files);
    });
    setup.authenticator = Arc::new(ByCertificate);
    let server = setup.start(&log);
    let port = server.addresses().tls[0].port();
    let client = |authority, until_year| {
        certificate(authority, "gw-1", ExtendedKeyUsagePurpose::ClientAuth, until_year)
    };
    let accepted = Some(vec![0x20, 2, 0, 0, 0x40, 2, 0, 1]);
    assert_eq!(publish_with(port, &ours, Some(client(&ours, 2100))), accepted);
    for (what, shown) in [
        ("none", None),
        ("of a foreign authority", Some(client(&foreign, 2100))),
        ("expired", Some(client(&ours, 2001))),
        ("of a server", Some(certificate(&ours, "gw-1", ExtendedKeyUsagePurpose::ServerAuth, 2100))),
    ] {
        assert_eq!(publish_with(port, &ours, shown), None, "a certificate {what}");
    }
    assert_eq!(log.pushed().len(), 1);
    // The plain listener of the same endpoint shows no certificate.
    let connect = Connect { level: 5, ..Connect::default() };
    assert_eq!(super::raw_client::RawClient::connect(server.address, &connect).1[1], 0x87);
}

/// A list that revokes the certificate with this serial number.
fn revocation_list(authority: &Authority, serial: u8) -> String {
    let revoked = RevokedCertParams {
        serial_number: SerialNumber::from_slice(&[serial]),
        revocation_time: date_time_ymd(2020, 1, 1),
        reason_code: None,
        invalidity_date: None,
    };
    let params = CertificateRevocationListParams {
        this_update: date_time_ymd(2020, 1, 1),
        next_update: date_time_ymd(2100, 1, 1),
        crl_number: SerialNumber::from(1),
        issuing_distribution_point: None,
        revoked_certs: vec![revoked],
        key_identifier_method: rcgen::KeyIdMethod::Sha256,
    };
    params.signed_by(authority).unwrap().pem().unwrap()
}

#[test]
fn files_are_read_again_and_a_revoked_certificate_is_nobody() {
    let log = FakeLog::instant();
    let (ours, next) = (authority(), authority());
    let directory = tempfile::tempdir().unwrap();
    let mut files = server_files(directory.path(), &ours);
    let list_path = directory.path().join("crl.pem");
    std::fs::write(&list_path, revocation_list(&ours, 9)).unwrap();
    files.client_crl_path = Some(list_path.clone());
    let mut setup = Setup::with(|config| {
        config.listen_tls = vec![LOOPBACK];
        config.tls = Some(files);
    });
    setup.authenticator = Arc::new(ByCertificate);
    let server = setup.start(&log);
    let port = server.addresses().tls[0].port();
    let client = |serial: u8| {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "gw-1");
        params.serial_number = Some(SerialNumber::from_slice(&[serial]));
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let key = KeyPair::generate().unwrap();
        Some((params.signed_by(&key, &ours).unwrap(), key))
    };
    assert!(publish_with(port, &ours, client(7)).is_some());
    std::fs::write(&list_path, revocation_list(&ours, 7)).unwrap();
    server.reload_tls();
    assert!(publish_with(port, &ours, client(7)).is_none());
    assert!(publish_with(port, &ours, client(8)).is_some());
    // A new certificate of the server, of another authority: clients that trust only the old one see it.
    let (renewed, key) = certificate(&next, "server", ExtendedKeyUsagePurpose::ServerAuth, 2100);
    std::fs::write(directory.path().join("server.pem"), renewed.pem()).unwrap();
    std::fs::write(directory.path().join("server.key"), key.serialize_pem()).unwrap();
    server.reload_tls();
    assert!(publish_with(port, &ours, client(8)).is_none());
    assert!(publish_with(port, &next, client(8)).is_some());
}
