//! Who may connect to the MQTT endpoint: a file of users, `name:password` or `name:sha256:hex digits` a line.
//!
//! Passwords are kept as digests only. Device passwords are long random texts, so one round of SHA-256 is enough;
//! people's passwords do not belong here, which the docs say.

use std::path::{Path, PathBuf};

use gateway::mqtt::ReasonCode;
use gateway::mqtt_endpoint::Authenticator;
use hashbrown::HashMap;
use sha2::{Digest, Sha256};

/// Users that one file may hold.
pub const USERS_MAX: usize = 1_000_000;

/// The users of one file.
#[derive(Clone)]
pub struct Credentials {
    digests: HashMap<String, [u8; 32]>,
}

/// The file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CredentialsError {
    #[error("{path}: {source}")]
    Read { path: PathBuf, source: std::io::Error },
    #[error("{path}:{line}: {what}")]
    Line { path: PathBuf, line: usize, what: &'static str },
}

impl Credentials {
    /// Reads a file.
    ///
    /// # Errors
    /// It cannot be read, or a line is no user.
    pub fn read(path: &Path) -> Result<Self, CredentialsError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| CredentialsError::Read { path: path.to_owned(), source })?;
        Self::parse(&text).map_err(|(line, what)| CredentialsError::Line {
            path: path.to_owned(),
            line,
            what,
        })
    }

    fn parse(text: &str) -> Result<Self, (usize, &'static str)> {
        let mut digests = HashMap::new();
        for (at, line) in text.lines().enumerate() {
            let error = |what| (at + 1, what);
            if line.trim().is_empty() || line.starts_with('#') {
                continue;
            }
            let (name, password) = line.split_once(':').ok_or(error("name:password is wanted"))?;
            if name.is_empty() || password.is_empty() {
                return Err(error("neither name nor password is empty"));
            }
            let digest = match password.strip_prefix("sha256:") {
                Some(digits) => {
                    parse_digest(digits).ok_or(error("64 hex digits are wanted after sha256:"))?
                }
                None => digest(password.as_bytes()),
            };
            if digests.insert(name.to_owned(), digest).is_some() {
                return Err(error("the name stands there twice"));
            }
            if digests.len() > USERS_MAX {
                return Err(error("too many users"));
            }
        }
        Ok(Credentials { digests })
    }

    /// Whether this user may connect.
    pub fn allow(&self, username: Option<&str>, password: Option<&[u8]>) -> bool {
        let known = username.and_then(|name| self.digests.get(name));
        // Digests are compared, so how many bytes agree says nothing of the password.
        known.zip(password).is_some_and(|(known, password)| digest(password) == *known)
    }
}

impl Authenticator for Credentials {
    fn check(&self, _: &str, username: Option<&str>, password: Option<&[u8]>) -> Result<(), ReasonCode> {
        if self.allow(username, password) { Ok(()) } else { Err(ReasonCode::BAD_USER_NAME_OR_PASSWORD) }
    }
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials").field("users", &self.digests.len()).finish()
    }
}

fn digest(password: &[u8]) -> [u8; 32] {
    Sha256::digest(password).into()
}

fn parse_digest(digits: &str) -> Option<[u8; 32]> {
    let mut digest = [0; 32];
    if digits.len() != 64 || !digits.is_ascii() {
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

    #[test]
    fn only_a_user_with_its_password_is_allowed() {
        let text = "# gateways\n\ngw-1:long:random\ngw-2:sha256:2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b\n";
        let credentials = Credentials::parse(text).expect("it parses");
        let allow =
            |name: Option<&str>, password: Option<&str>| credentials.allow(name, password.map(str::as_bytes));
        assert!(allow(Some("gw-1"), Some("long:random")));
        assert!(allow(Some("gw-2"), Some("secret")));
        for (name, password) in [
            (Some("gw-1"), Some("long")),
            (Some("gw-1"), None),
            (None, Some("secret")),
            (Some("gw-3"), Some("secret")),
            (None, None),
        ] {
            assert!(!allow(name, password), "{name:?} {password:?}");
        }
        assert!(!format!("{credentials:?}").contains("gw-1"));
    }

    #[test]
    fn a_bad_line_is_named() {
        for (text, line) in [("gw", 1), ("\n:x", 2), ("a:", 1), ("a:b\na:c", 2), ("a:sha256:12", 1)] {
            assert_eq!(Credentials::parse(text).expect_err("refused").0, line, "{text:?}");
        }
    }
}
