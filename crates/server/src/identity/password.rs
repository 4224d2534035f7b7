//! A password as it is kept: never itself.

use std::fmt;

use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use argon2::{Argon2, Params};
use sha2::{Digest, Sha256};

/// Longest password that is looked at, bytes.
pub const PASSWORD_BYTES_MAX: usize = 1024;
/// What one check of an argon2id password may cost: memory in KiB, passes, lanes.
pub const ARGON2_MEMORY_KIB_MAX: u32 = 256 << 10;
pub const ARGON2_PASSES_MAX: u32 = 16;
pub const ARGON2_LANES_MAX: u32 = 4;

const DIGEST_PREFIX: &str = "sha256:";
const ARGON2_PREFIX: &str = "$argon2id$";

/// A password that can be checked against, not read.
#[derive(Clone, PartialEq, Eq)]
pub enum StoredPassword {
    /// SHA-256, one round: for long random passwords of devices only.
    Digest([u8; 32]),
    /// For what people make up: a guess costs tens of milliseconds.
    Argon2(Box<PasswordHash>),
}

/// What is wrong with the text of a stored password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoredPasswordError {
    #[error("64 hex digits are wanted after sha256:")]
    Digest,
    #[error("the $argon2id$ text is no whole PHC string; `urban-neuron users hash` makes one")]
    Argon2,
    #[error(
        "a check of this argon2id password would cost too much: at most m={ARGON2_MEMORY_KIB_MAX}, t={ARGON2_PASSES_MAX}, p={ARGON2_LANES_MAX}"
    )]
    TooCostly,
    #[error("a password is $argon2id$... or sha256:..., as `urban-neuron users hash` prints it")]
    Unknown,
}

impl StoredPassword {
    /// Reads `sha256:` with 64 hex digits, or an argon2id PHC string.
    ///
    /// # Errors
    /// It is neither, or its check would cost too much.
    pub fn parse(text: &str) -> Result<Self, StoredPasswordError> {
        if let Some(digits) = text.strip_prefix(DIGEST_PREFIX) {
            return parse_digest(digits).map(StoredPassword::Digest).ok_or(StoredPasswordError::Digest);
        }
        if !text.starts_with(ARGON2_PREFIX) {
            return Err(StoredPasswordError::Unknown);
        }
        let hash = PasswordHash::new(text).map_err(|_| StoredPasswordError::Argon2)?;
        let params = Params::try_from(&hash).map_err(|_| StoredPasswordError::Argon2)?;
        if hash.salt.is_none() || hash.hash.is_none() {
            return Err(StoredPasswordError::Argon2);
        }
        let is_bounded = params.m_cost() <= ARGON2_MEMORY_KIB_MAX
            && params.t_cost() <= ARGON2_PASSES_MAX
            && params.p_cost() <= ARGON2_LANES_MAX;
        if is_bounded {
            Ok(StoredPassword::Argon2(Box::new(hash)))
        } else {
            Err(StoredPasswordError::TooCostly)
        }
    }

    /// The digest of a password that stands in the clear.
    pub fn of_plain(password: &str) -> Self {
        StoredPassword::Digest(Sha256::digest(password.as_bytes()).into())
    }

    /// Whether a check takes so long that it must not run on a thread with other work.
    pub fn is_slow(&self) -> bool {
        matches!(self, StoredPassword::Argon2(_))
    }

    /// Whether `password` is it. How many bytes agree is not to be seen from the time it takes: digests are compared.
    pub fn is(&self, password: &[u8]) -> bool {
        match self {
            StoredPassword::Digest(digest) => <[u8; 32]>::from(Sha256::digest(password)) == *digest,
            StoredPassword::Argon2(hash) => Argon2::default().verify_password(password, &**hash).is_ok(),
        }
    }
}

impl fmt::Debug for StoredPassword {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

/// The PHC string of a new password: argon2id with 19 MiB, two passes, one lane and a random salt.
///
/// # Errors
/// The system gives no randomness.
pub fn hash(password: &[u8]) -> Result<String, argon2::password_hash::Error> {
    Ok(Argon2::default().hash_password(password)?.to_string())
}

fn parse_digest(digits: &str) -> Option<[u8; 32]> {
    let mut digest = [0; 32];
    // A sign would be read as a part of the number.
    if digits.len() != 64 || !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return None;
    }
    for (at, byte) in digest.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&digits[2 * at..2 * at + 2], 16).ok()?;
    }
    Some(digest)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET_DIGEST: &str = "sha256:2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b";

    #[test]
    fn only_the_password_is_it() {
        let hashed = hash(b"secret").unwrap();
        assert!(hashed.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hashed}");
        assert_ne!(hashed, hash(b"secret").unwrap(), "each has a salt of its own");
        for stored in [StoredPassword::parse(&hashed), StoredPassword::parse(SECRET_DIGEST)] {
            let stored = stored.unwrap();
            assert!(stored.is(b"secret") && !stored.is(b"secre") && !stored.is(b""));
            assert_eq!(format!("{stored:?}"), "[redacted]");
        }
    }

    #[test]
    fn a_hash_of_another_program_is_read() {
        // Of the reference implementation: echo -n password | argon2 somesalt -id -t 2 -m 16 -p 4 -l 24
        let made = "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc";
        assert!(StoredPassword::parse(made).unwrap().is(b"password"));
    }

    #[test]
    fn what_is_no_stored_password_is_said() {
        for (text, error) in [
            ("secret", StoredPasswordError::Unknown),
            ("sha256:12", StoredPasswordError::Digest),
            (&SECRET_DIGEST.replace("2b", "+b"), StoredPasswordError::Digest),
            ("$argon2id$", StoredPasswordError::Argon2),
            ("$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ", StoredPasswordError::Argon2),
            ("$argon2d$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO0", StoredPasswordError::Unknown),
            (
                "$argon2id$v=19$m=4194304,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc",
                StoredPasswordError::TooCostly,
            ),
        ] {
            assert_eq!(StoredPassword::parse(text).err(), Some(error), "{text}");
        }
    }
}
