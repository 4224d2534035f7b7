//! The file of users, in one of two forms by its name: `*.toml` says what each may do, any other name is a line each.
//!
//! ```toml
//! [users.gw-7]
//! password = "$argon2id$..."      # or sha256:...; left out: by certificate only
//! certificate = "gw-7.city.example"
//! gateway_id = "gw-7"             # publishes for itself and what the registry puts behind it
//! devices = ["pump-*"]            # and for these
//!
//! [users.wall]
//! password = "$argon2id$..."
//! role = "reader"
//! subscribe = ["urban-neuron/v1/alerts/water/#"]
//! ```
//!
//! ```text
//! name:password
//! name:sha256:hex digits
//! name:$argon2id$...
//! ```
//! A user of a line may do everything.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use gateway::mqtt::topic;
use gateway::mqtt_endpoint::ALERTS_ROOT;
use hashbrown::HashSet;
use model::device_rights::PATTERNS_MAX;
use model::{DeviceRights, SomeDevices};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::password::StoredPassword;
use super::users::UserSpec;

/// Users that one file may hold.
pub const USERS_MAX: usize = 1_000_000;
/// Longest name of a user, bytes.
pub const NAME_BYTES_MAX: usize = 256;
/// Topic filters of one user.
pub const FILTERS_MAX: usize = 64;
/// Errors that are said of one file.
pub const ERRORS_KEPT_MAX: usize = 100;

/// The file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum UserFileError {
    #[error("{path}: {source}")]
    Unreadable { path: PathBuf, source: io::Error },
    #[error("{0}")]
    Broken(UserErrors),
}

/// The first errors of a file, and how many there are.
#[derive(Debug)]
pub struct UserErrors {
    path: PathBuf,
    /// Line from 1, and what is wrong there. Never holds a password or a hash.
    kept: Vec<(usize, String)>,
    total: usize,
}

impl fmt::Display for UserErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.display();
        for (at, (line, what)) in self.kept.iter().enumerate() {
            let line_break = if at == 0 { "" } else { "\n" };
            write!(f, "{line_break}{path}:{line}: {what}")?;
        }
        match self.total - self.kept.len() {
            0 => Ok(()),
            more => write!(f, "\n{path}: and {more} more"),
        }
    }
}

/// Reads a file.
///
/// # Errors
/// It cannot be read, or says something that is no user: all of it, with lines.
pub fn read(path: &Path) -> Result<Vec<UserSpec>, UserFileError> {
    let text = std::fs::read_to_string(path)
        .map_err(|source| UserFileError::Unreadable { path: path.to_owned(), source })?;
    let mut file = UserFile::default();
    if path.extension().is_some_and(|extension| extension == "toml") {
        file.read_toml(&text);
    } else {
        file.read_lines(&text);
    }
    if file.total == 0 {
        return Ok(file.users);
    }
    let errors = UserErrors { path: path.to_owned(), kept: file.errors, total: file.total };
    Err(UserFileError::Broken(errors))
}

/// A file as far as it is read.
#[derive(Default)]
struct UserFile {
    users: Vec<UserSpec>,
    names: HashSet<String>,
    certificates: HashSet<String>,
    errors: Vec<(usize, String)>,
    total: usize,
}

impl UserFile {
    fn error(&mut self, line: usize, what: impl Into<String>) {
        self.total += 1;
        if self.errors.len() < ERRORS_KEPT_MAX {
            self.errors.push((line, what.into()));
        }
    }

    fn add(&mut self, line: usize, user: UserSpec) {
        if user.name.is_empty() || user.name.len() > NAME_BYTES_MAX {
            self.error(line, format!("a name has 1 to {NAME_BYTES_MAX} bytes"));
        }
        if !self.names.insert(user.name.clone()) {
            self.error(line, "the name stands there twice");
        }
        if let Some(certificate) = &user.certificate
            && !self.certificates.insert(certificate.clone())
        {
            self.error(line, format!("another user has the certificate {certificate:?}"));
        }
        if self.users.len() == USERS_MAX {
            self.error(line, format!("more than {USERS_MAX} users"));
        }
        if self.total == 0 {
            self.users.push(user);
        }
    }

    fn read_lines(&mut self, text: &str) {
        for (at, line) in text.trim_start_matches('\u{feff}').lines().enumerate() {
            if line.trim().is_empty() || line.starts_with('#') {
                continue;
            }
            let Some((name, password)) = line.split_once(':').filter(|(_, password)| !password.is_empty())
            else {
                self.error(at + 1, "name:password is wanted");
                continue;
            };
            let is_stored = password.starts_with("sha256:") || password.starts_with("$argon2");
            let password = if is_stored {
                StoredPassword::parse(password)
            } else {
                Ok(StoredPassword::of_plain(password))
            };
            match password {
                Ok(password) => self.add(at + 1, unrestricted(name, Some(password), None)),
                Err(error) => self.error(at + 1, error.to_string()),
            }
        }
    }

    fn read_toml(&mut self, text: &str) {
        let (table, syntax_errors) = DeTable::parse_recoverable(text);
        let line_of = |at: usize| {
            1 + text.as_bytes()[..at.min(text.len())].iter().filter(|byte| **byte == b'\n').count()
        };
        for error in &syntax_errors {
            self.error(line_of(error.span().map_or(0, |span| span.start)), error.message());
        }
        for (key, value) in table.get_ref() {
            match value.get_ref().as_table() {
                Some(users) if key.get_ref() == "users" => {
                    for (name, value) in users {
                        self.read_user(name.get_ref(), line_of(name.span().start), value, &line_of);
                    }
                }
                _ => {
                    let what = format!("the unknown key {:?}: [users.NAME] is wanted", key.get_ref());
                    self.error(line_of(key.span().start), what);
                }
            }
        }
    }

    fn read_user(
        &mut self,
        name: &str,
        line: usize,
        value: &Spanned<DeValue<'_>>,
        line_of: &impl Fn(usize) -> usize,
    ) {
        let Some(keys) = value.get_ref().as_table() else {
            return self.error(line, "a user that is no table");
        };
        let mut written = Written::default();
        for (key, value) in keys {
            if let Err(what) = written.take(key.get_ref(), value.get_ref()) {
                self.error(line_of(key.span().start), what);
            }
        }
        match written.into_user(name) {
            Ok(user) => self.add(line, user),
            Err(what) => self.error(line, format!("{name:?}: {what}")),
        }
    }
}

/// The keys of one user, as far as they make sense one by one.
#[derive(Default)]
struct Written {
    password: Option<StoredPassword>,
    certificate: Option<String>,
    gateway_id: Option<String>,
    devices: Option<Vec<Box<str>>>,
    subscribe: Option<Vec<Box<str>>>,
    role: Role,
    /// A key was wrong: what is missing then is no second error.
    is_broken: bool,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Role {
    #[default]
    Gateway,
    Reader,
    Operator,
    Admin,
}

impl Written {
    fn take(&mut self, key: &str, value: &DeValue<'_>) -> Result<(), String> {
        let taken = self.try_take(key, value);
        self.is_broken |= taken.is_err();
        taken
    }

    fn try_take(&mut self, key: &str, value: &DeValue<'_>) -> Result<(), String> {
        let text =
            || value.as_str().filter(|text| !text.is_empty()).ok_or(format!("{key}: a text is wanted"));
        match key {
            // The text of a password is in no error.
            "password" => {
                self.password = Some(StoredPassword::parse(text()?).map_err(|error| error.to_string())?);
            }
            "certificate" => self.certificate = Some(text()?.to_owned()),
            "gateway_id" => {
                model::device_id::check(text()?).map_err(|error| format!("gateway_id: {error}"))?;
                self.gateway_id = Some(text()?.to_owned());
            }
            "devices" => self.devices = Some(texts(key, value, PATTERNS_MAX)?),
            "subscribe" => self.subscribe = Some(filters(texts(key, value, FILTERS_MAX)?)?),
            "role" => {
                self.role = match text()? {
                    "gateway" => Role::Gateway,
                    "reader" => Role::Reader,
                    "operator" => Role::Operator,
                    "admin" => Role::Admin,
                    other => {
                        return Err(format!(
                            "role: gateway, reader, operator or admin is wanted, found {other:?}"
                        ));
                    }
                };
            }
            _ => {
                let keys = "password, certificate, gateway_id, devices, subscribe and role";
                return Err(format!("the unknown key {key:?}: there are {keys}"));
            }
        }
        Ok(())
    }

    fn into_user(self, name: &str) -> Result<UserSpec, &'static str> {
        let names_devices = self.gateway_id.is_some() || self.devices.is_some();
        if !self.is_broken {
            if self.password.is_none() && self.certificate.is_none() {
                return Err("a password or a certificate is wanted");
            }
            match self.role {
                Role::Gateway if !names_devices => {
                    return Err(
                        "a gateway needs a gateway_id or devices; whoever may do everything has role = \"admin\"",
                    );
                }
                Role::Reader | Role::Operator if names_devices => {
                    return Err("a reader or an operator has no gateway_id and no devices");
                }
                Role::Admin if names_devices || self.subscribe.is_some() => {
                    return Err("an admin may do everything: leave gateway_id, devices and subscribe out");
                }
                Role::Gateway | Role::Reader | Role::Operator | Role::Admin => {}
            }
        }
        let everything = || vec![all_alerts()];
        let (devices, subscribe) = match self.role {
            Role::Admin => (DeviceRights::All, everything()),
            Role::Reader => (DeviceRights::Nothing, self.subscribe.unwrap_or_else(everything)),
            Role::Operator => {
                let commands = SomeDevices { may_command: true, ..SomeDevices::default() };
                (DeviceRights::Some(commands), self.subscribe.unwrap_or_else(everything))
            }
            Role::Gateway => {
                let some = SomeDevices {
                    gateway_id: self.gateway_id.unwrap_or_default().into(),
                    patterns: self.devices.unwrap_or_default(),
                    may_command: false,
                };
                (DeviceRights::Some(some), self.subscribe.unwrap_or_default())
            }
        };
        let (password, certificate) = (self.password, self.certificate);
        Ok(UserSpec { devices, subscribe, ..unrestricted(name, password, certificate) })
    }
}

fn unrestricted(name: &str, password: Option<StoredPassword>, certificate: Option<String>) -> UserSpec {
    let subscribe = vec![all_alerts()];
    UserSpec { name: name.to_owned(), password, certificate, devices: DeviceRights::All, subscribe }
}

fn all_alerts() -> Box<str> {
    format!("{ALERTS_ROOT}/#").into()
}

fn texts(key: &str, value: &DeValue<'_>, count_max: usize) -> Result<Vec<Box<str>>, String> {
    let list = value.as_array().ok_or_else(|| format!("{key}: a list of texts is wanted"))?;
    if list.is_empty() || list.len() > count_max {
        return Err(format!("{key}: 1 to {count_max} texts are wanted, found {}", list.len()));
    }
    let text = |value: &Spanned<DeValue<'_>>| {
        value.get_ref().as_str().filter(|text| !text.is_empty()).map(Box::from)
    };
    let texts: Option<Vec<Box<str>>> = list.iter().map(text).collect();
    texts.ok_or_else(|| format!("{key}: each is a text that is not empty"))
}

fn filters(filters: Vec<Box<str>>) -> Result<Vec<Box<str>>, String> {
    let is_good = |filter: &str| topic::is_valid_filter(filter) && topic::is_within(filter, ALERTS_ROOT);
    match filters.iter().find(|filter| !is_good(filter)) {
        None => Ok(filters),
        Some(filter) => {
            Err(format!("subscribe: a topic filter below {ALERTS_ROOT} is wanted, found {filter:?}"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGEST: &str = "sha256:2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b";
    const ARGON2: &str =
        "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc";

    fn read_text(name: &str, text: &str) -> Result<Vec<UserSpec>, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        read(&path).map_err(|error| error.to_string().replace(&format!("{}/", folder.path().display()), ""))
    }

    #[test]
    fn a_user_of_a_line_may_do_everything() {
        let text = format!("# gateways\n\ngw-1:long:random\ngw-2:{DIGEST}\npeople:{ARGON2}\n");
        let users = read_text("users", &text).unwrap();
        let is = |at: usize, password: &str| users[at].password.as_ref().unwrap().is(password.as_bytes());
        assert!(is(0, "long:random") && is(1, "secret") && is(2, "password") && !is(0, "long"));
        for user in &users {
            assert_eq!(
                (&user.devices, &*user.subscribe[0]),
                (&DeviceRights::All, "urban-neuron/v1/alerts/#")
            );
        }
    }

    #[test]
    fn a_bad_line_is_named_and_its_password_is_not() {
        let errors =
            read_text("users", "gw\n:x\na:\na:hunter2\na:c\nb:sha256:12\nc:$argon2i$x\n").unwrap_err();
        let lines: Vec<&str> = errors.lines().map(|line| line.split(' ').next().unwrap()).collect();
        let expected = ["users:1:", "users:2:", "users:3:", "users:5:", "users:6:", "users:7:"];
        assert_eq!(lines, expected, "{errors}");
        assert!(!errors.contains("hunter2"));
    }

    #[test]
    fn roles_of_toml() {
        let text = format!(
            "[users.gw-7]\npassword = \"{ARGON2}\"\ngateway_id = \"gw-7\"\ndevices = [\"pump-*\"]\ncertificate = \"cn\"\n\
             [users.wall]\npassword = \"{DIGEST}\"\nrole = \"reader\"\nsubscribe = [\"urban-neuron/v1/alerts/water/#\"]\n\
             [users.\"any reader\"]\ncertificate = \"reader\"\nrole = \"reader\"\n\
             [users.root]\npassword = \"{DIGEST}\"\nrole = \"admin\"\n"
        );
        let users = read_text("users.toml", &text).unwrap();
        let find = |name: &str| users.iter().find(|user| user.name == name).unwrap();
        let behind =
            SomeDevices { gateway_id: "gw-7".into(), patterns: vec!["pump-*".into()], may_command: false };
        let gateway = find("gw-7");
        assert_eq!((&gateway.devices, gateway.subscribe.len()), (&DeviceRights::Some(behind), 0));
        assert_eq!(gateway.certificate.as_deref(), Some("cn"));
        assert_eq!(find("wall").devices, DeviceRights::Nothing);
        assert_eq!(find("wall").subscribe, ["urban-neuron/v1/alerts/water/#".into()]);
        assert!(find("any reader").password.is_none());
        assert_eq!(find("any reader").subscribe, [all_alerts()]);
        assert_eq!(
            (&find("root").devices, &find("root").subscribe),
            (&DeviceRights::All, &vec![all_alerts()])
        );
    }

    #[test]
    fn every_error_of_toml_is_said_with_its_line() {
        let text = format!(
            "color = 1\n[users.a]\npassword = \"hunter2\"\n[users.b]\npassword = \"{DIGEST}\"\n\
             [users.c]\ngateway_id = \"g\"\n[users.d]\npassword = \"{DIGEST}\"\nrole = \"king\"\n\
             [users.e]\npassword = \"{DIGEST}\"\nrole = \"reader\"\ndevices = [\"x\"]\n\
             [users.f]\ncertificate = \"n\"\nrole = \"admin\"\nsubscribe = [\"#\"]\n\
             [users.g]\ncertificate = \"n\"\nrole = \"admin\"\n[users.h]\ncertificate = \"n\"\nrole = \"admin\"\n"
        );
        let errors = read_text("users.toml", &text).unwrap_err();
        for wanted in [
            "users.toml:1: the unknown key \"color\"",
            "users.toml:3: a password is $argon2id$",
            "users.toml:4: \"b\": a gateway needs",
            "users.toml:6: \"c\": a password or a certificate is wanted",
            "users.toml:10: role: gateway, reader, operator or admin",
            "users.toml:11: \"e\": a reader or an operator has no",
            "users.toml:18: subscribe: a topic filter below",
            "users.toml:22: another user has the certificate",
        ] {
            assert!(errors.contains(wanted), "{wanted} in:\n{errors}");
        }
        assert_eq!(errors.lines().count(), 8 + usize::from(errors.contains("users.toml:19:")), "{errors}");
        assert!(!errors.contains("hunter2"));
        assert!(read_text("users.toml", "[users.a\n").unwrap_err().starts_with("users.toml:1:"));
        assert!(read_text("none.toml", "").unwrap().is_empty());
    }
}
