//! What a client's certificate calls its owner. The certificate has been verified before; only names are read here.

use rustls_pki_types::CertificateDer;
use webpki::EndEntityCert;

/// Names of one certificate at most; further ones are passed over.
const NAMES_MAX: usize = 16;

/// DER of the object identifier 2.5.4.3, common name.
const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];
const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const OBJECT_IDENTIFIER: u8 = 0x06;
const UTF8_STRING: u8 = 0x0c;
const PRINTABLE_STRING: u8 = 0x13;

/// The common name of the subject, then the DNS and URI names.
pub(super) fn names(certificate: &CertificateDer<'_>) -> Vec<String> {
    let Ok(certificate) = EndEntityCert::try_from(certificate) else { return Vec::new() };
    let common_name = common_name(certificate.subject());
    let others = certificate.valid_dns_names().chain(certificate.valid_uri_names());
    common_name.into_iter().chain(others).take(NAMES_MAX).map(str::to_owned).collect()
}

/// The common name in the DER of a subject: relative names, each a set of attributes.
fn common_name(subject: &[u8]) -> Option<&str> {
    let mut relative_names = match element(subject) {
        // With or without the head of the sequence around them.
        Some((SEQUENCE, content, [])) => content,
        _ => subject,
    };
    while let Some((SET, mut attributes, rest)) = element(relative_names) {
        while let Some((SEQUENCE, attribute, next)) = element(attributes) {
            if let Some((OBJECT_IDENTIFIER, COMMON_NAME, value)) = element(attribute)
                && let Some((UTF8_STRING | PRINTABLE_STRING, text, _)) = element(value)
            {
                return std::str::from_utf8(text).ok().filter(|name| !name.is_empty());
            }
            attributes = next;
        }
        relative_names = rest;
    }
    None
}

/// The first element of DER: its tag, its content, and what follows it.
fn element(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = der.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (len, rest) = match first {
        0..=0x7f => (usize::from(first), rest),
        0x81 => (usize::from(*rest.first()?), &rest[1..]),
        0x82 => (usize::from(u16::from_be_bytes([*rest.first()?, *rest.get(1)?])), &rest[2..]),
        // A name of 64 KiB is nobody's.
        _ => return None,
    };
    (len <= rest.len()).then(|| (tag, &rest[..len], &rest[len..]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rcgen::{CertificateParams, DnType, KeyPair, SanType};

    fn certificate(common_name: Option<&str>, others: Vec<SanType>) -> CertificateDer<'static> {
        let mut params = CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::OrganizationName, "A city");
        if let Some(name) = common_name {
            params.distinguished_name.push(DnType::CommonName, name);
        }
        params.subject_alt_names = others;
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().clone()
    }

    #[test]
    fn the_common_name_stands_first() {
        let dns = |name: &str| SanType::DnsName(name.try_into().unwrap());
        let uri = SanType::URI("urn:gateway:7".try_into().unwrap());
        let long = "n".repeat(300);
        assert_eq!(
            names(&certificate(Some("gw-\u{6c34}"), vec![dns("gw.example"), uri.clone()])),
            ["gw-\u{6c34}", "gw.example", "urn:gateway:7"]
        );
        assert_eq!(names(&certificate(None, vec![uri])), ["urn:gateway:7"]);
        assert_eq!(names(&certificate(Some(&long), vec![])), [long]);
        assert!(names(&certificate(None, vec![])).is_empty());
        assert!(names(&CertificateDer::from(vec![1, 2, 3])).is_empty());
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            common_name(&bytes);
        }
    }
}
