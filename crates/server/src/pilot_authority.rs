//! A private authority for a pilot, in a folder: it signs certificates for the server and for clients. Its key lies beside
//! them in the clear, which is what makes it one for pilots only.

use std::fs;
use std::io::{self, Write};
use std::net::IpAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use jiff::civil::Date;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};

/// How long the authority is valid, days.
const AUTHORITY_DAYS: i32 = 3650;
/// The subject of every authority that is made here, by which a folder's is known again.
const AUTHORITY_NAME: &str = "urban-neuron pilot authority";
/// Longest name in a certificate, bytes (RFC 5280, upper bound of a common name).
const NAME_BYTES_MAX: usize = 64;

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    #[error("{path}: {source}")]
    File { path: PathBuf, source: io::Error },
    #[error("{path} is there already: move it away for a new one")]
    Exists { path: PathBuf },
    #[error(
        "{0:?} is no name for a certificate: 1 to {NAME_BYTES_MAX} letters, digits, . _ and - are wanted"
    )]
    Name(String),
    #[error("{path} without {missing}: the authority is not whole")]
    NotWhole { path: PathBuf, missing: PathBuf },
    #[error("the certificate cannot be made: {0}")]
    Certificate(#[from] rcgen::Error),
}

/// The authority of a folder.
pub struct PilotAuthority {
    folder: PathBuf,
    issuer: Issuer<'static, KeyPair>,
    today: Date,
    /// What was written.
    written: Vec<PathBuf>,
}

impl PilotAuthority {
    /// Takes the authority of `folder` (`ca.pem`, `ca.key`), or makes one there.
    ///
    /// # Errors
    /// The folder cannot be written, or holds one half of an authority.
    pub fn open(folder: &Path, today: Date) -> Result<Self, AuthorityError> {
        fs::create_dir_all(folder).map_err(file_error(folder))?;
        let (certificate_path, key_path) = (folder.join("ca.pem"), folder.join("ca.key"));
        let mut params = params(AUTHORITY_NAME, today, AUTHORITY_DAYS);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let mut written = Vec::new();
        let key = match (certificate_path.exists(), key_path.exists()) {
            (true, true) => {
                KeyPair::from_pem(&fs::read_to_string(&key_path).map_err(file_error(&key_path))?)?
            }
            (false, false) => {
                let key = KeyPair::generate()?;
                let certificate = params.self_signed(&key)?;
                write_new(&key_path, &key.serialize_pem(), 0o600)?;
                write_new(&certificate_path, &certificate.pem(), 0o644)?;
                written.extend([certificate_path, key_path]);
                key
            }
            (true, false) => {
                return Err(AuthorityError::NotWhole { path: certificate_path, missing: key_path });
            }
            (false, true) => {
                return Err(AuthorityError::NotWhole { path: key_path, missing: certificate_path });
            }
        };
        Ok(PilotAuthority { folder: folder.to_owned(), issuer: Issuer::new(params, key), today, written })
    }

    /// `server.pem` and `server.key`, for these host names and addresses.
    ///
    /// # Errors
    /// A name is none, or the files are there already.
    pub fn make_server(&mut self, names: &[String], days: i32) -> Result<(), AuthorityError> {
        for name in names {
            if name.parse::<IpAddr>().is_err() {
                check_name(name)?;
            }
        }
        let common_name = names.first().map_or("server", String::as_str);
        let mut params = params(common_name, self.today, days);
        params.subject_alt_names = CertificateParams::new(names)?.subject_alt_names;
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        self.sign(params, "server")
    }

    /// `client-NAME.pem` and `client-NAME.key`; the name is the certificate's.
    ///
    /// # Errors
    /// The name is none, or the files are there already.
    pub fn make_client(&mut self, name: &str, days: i32) -> Result<(), AuthorityError> {
        check_name(name)?;
        let mut params = params(name, self.today, days);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        self.sign(params, &format!("client-{name}"))
    }

    /// The files that were written, in order.
    pub fn written(&self) -> &[PathBuf] {
        &self.written
    }

    fn sign(&mut self, mut params: CertificateParams, file: &str) -> Result<(), AuthorityError> {
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &self.issuer)?;
        let path = |extension: &str| self.folder.join(format!("{file}.{extension}"));
        let (certificate_path, key_path) = (path("pem"), path("key"));
        write_new(&key_path, &key.serialize_pem(), 0o600)?;
        write_new(&certificate_path, &certificate.pem(), 0o644)?;
        self.written.extend([certificate_path, key_path]);
        Ok(())
    }
}

/// What all certificates have; valid from the day before, for clocks that are behind.
fn params(common_name: &str, today: Date, days: i32) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, common_name);
    let midnight = |date: Date| {
        rcgen::date_time_ymd(date.year().into(), date.month().unsigned_abs(), date.day().unsigned_abs())
    };
    params.not_before = midnight(today.yesterday().unwrap_or(today));
    params.not_after = midnight(today.checked_add(jiff::Span::new().days(days)).unwrap_or(Date::MAX));
    params
}

/// A name is also one of a file.
fn check_name(name: &str) -> Result<(), AuthorityError> {
    let is_good = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    let is_name =
        (1..=NAME_BYTES_MAX).contains(&name.len()) && name.bytes().all(is_good) && !name.starts_with('.');
    if is_name { Ok(()) } else { Err(AuthorityError::Name(name.to_owned())) }
}

/// Writes a file that is not there yet.
fn write_new(path: &Path, text: &str, mode: u32) -> Result<(), AuthorityError> {
    let mut options = fs::OpenOptions::new();
    let opened = options.write(true).create_new(true).mode(mode).open(path);
    let mut file = opened.map_err(|source| match source.kind() {
        io::ErrorKind::AlreadyExists => AuthorityError::Exists { path: path.to_owned() },
        _ => AuthorityError::File { path: path.to_owned(), source },
    })?;
    file.write_all(text.as_bytes()).map_err(file_error(path))
}

fn file_error(path: &Path) -> impl Fn(io::Error) -> AuthorityError {
    move |source| AuthorityError::File { path: path.to_owned(), source }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn an_authority_is_made_once_and_keys_are_its_owner_s() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().join("tls");
        let today = jiff::civil::date(2026, 2, 3);
        let mut first = PilotAuthority::open(&folder, today).unwrap();
        first.make_server(&["localhost".to_owned(), "127.0.0.1".to_owned()], 800).unwrap();
        first.make_client("gw-1", 800).unwrap();
        assert_eq!(first.written().len(), 6);
        let authority = fs::read(folder.join("ca.pem")).unwrap();
        let mut second = PilotAuthority::open(&folder, today).unwrap();
        second.make_client("gw-2", 800).unwrap();
        assert_eq!(fs::read(folder.join("ca.pem")).unwrap(), authority);
        assert!(matches!(second.make_client("gw-1", 800), Err(AuthorityError::Exists { .. })));
        for key in ["ca.key", "server.key", "client-gw-1.key"] {
            assert_eq!(fs::metadata(folder.join(key)).unwrap().permissions().mode() & 0o777, 0o600, "{key}");
        }
        for name in ["", "../x", "a/b", ".x", "a b", &"n".repeat(65)] {
            assert!(matches!(second.make_client(name, 800), Err(AuthorityError::Name(_))), "{name:?}");
        }
        fs::remove_file(folder.join("ca.key")).unwrap();
        assert!(matches!(PilotAuthority::open(&folder, today), Err(AuthorityError::NotWhole { .. })));
    }
}
