//! Bytes as text in base64 (RFC 4648), as platforms wrap what a device sent.

use base64::Engine;
use base64::alphabet;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

/// Senders leave padding out, and bits of the last digit that belong to no byte.
const LENIENT: GeneralPurposeConfig = GeneralPurposeConfig::new()
    .with_decode_padding_mode(DecodePaddingMode::Indifferent)
    .with_decode_allow_trailing_bits(true);
const OF_STANDARD: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, LENIENT);
const OF_URLS: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, LENIENT);

/// The bytes of a text in either alphabet; nothing where it is none.
pub(crate) fn decode(text: &[u8]) -> Option<Vec<u8>> {
    OF_STANDARD.decode(text).or_else(|_| OF_URLS.decode(text)).ok()
}

pub(crate) fn encode(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

/// In the alphabet of URLs and without padding.
pub(crate) fn encode_for_url(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_alphabets_are_read_with_padding_or_without() {
        let bytes = [0xfb, 0xff, 0x01];
        for text in ["+/8B", "-_8B"] {
            assert_eq!(decode(text.as_bytes()).as_deref(), Some(&bytes[..]), "{text}");
        }
        for text in ["Zm8=", "Zm8", "Zm9"] {
            assert_eq!(decode(text.as_bytes()).as_deref(), Some(&b"fo"[..]), "{text}");
        }
        for text in ["Z", "Zm 9", "Zm9vY===", "井盖"] {
            assert_eq!(decode(text.as_bytes()), None, "{text}");
        }
        assert_eq!((encode(&bytes), encode_for_url(&bytes[..2])), ("+/8B".to_owned(), "-_8".to_owned()));
    }
}
