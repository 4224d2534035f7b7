//! The users in force: each with its password, what it may do, and the password that was last found right.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use gateway::mqtt_endpoint::Identity;
use hashbrown::HashMap;
use model::DeviceRights;
use parking_lot::Mutex;
use sha2::{Digest, Sha256};

use super::password::StoredPassword;

/// How long a password that was found right is known again without the cost of its check.
const REMEMBERED_FOR: Duration = Duration::from_secs(24 * 3600);

/// What the file says of one user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserSpec {
    pub name: String,
    /// `None`: by certificate only.
    pub password: Option<StoredPassword>,
    /// The name in a certificate that makes its owner this user.
    pub certificate: Option<String>,
    pub devices: DeviceRights,
    /// Topic filters below which it may subscribe.
    pub subscribe: Vec<Box<str>>,
}

/// One user in force.
#[derive(Debug)]
pub struct User {
    spec: UserSpec,
    identity: Arc<Identity>,
    remembered: Mutex<Option<Remembered>>,
}

/// A password that was found right.
#[derive(Debug)]
struct Remembered {
    digest: KeyedDigest,
    /// Where it was last said.
    address: IpAddr,
    at: Instant,
}

/// The digest of a password under a key that lives as long as the process: of no use to who has not the key.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct KeyedDigest([u8; 32]);

/// Makes [`KeyedDigest`]s.
pub struct DigestKey([u8; 32]);

impl DigestKey {
    pub fn random() -> Self {
        use argon2::password_hash::phc::Salt;
        let mut key = [0; 32];
        for half in key.chunks_exact_mut(16) {
            half.copy_from_slice(&Salt::generate()[..16]);
        }
        DigestKey(key)
    }

    pub fn digest(&self, password: &[u8]) -> KeyedDigest {
        KeyedDigest(Sha256::new().chain_update(self.0).chain_update(password).finalize().into())
    }
}

impl std::fmt::Debug for KeyedDigest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("[redacted]")
    }
}

impl User {
    fn new(spec: UserSpec) -> Self {
        let identity = Identity::new(&spec.name, spec.devices.clone(), spec.subscribe.clone());
        User { spec, identity: Arc::new(identity), remembered: Mutex::default() }
    }

    pub fn identity(&self) -> &Arc<Identity> {
        &self.identity
    }

    pub fn password(&self) -> Option<&StoredPassword> {
        self.spec.password.as_ref()
    }

    /// Whether this password was found right not long ago; where it was, it now comes from `address`.
    pub fn recognizes(&self, digest: KeyedDigest, address: IpAddr, now: Instant) -> bool {
        let mut remembered = self.remembered.lock();
        let known = remembered.as_mut().filter(|known| known.digest == digest && is_fresh(known, now));
        let Some(known) = known else { return false };
        (known.address, known.at) = (address, now);
        true
    }

    /// Whether its password last came from there.
    pub fn is_at_home(&self, address: IpAddr, now: Instant) -> bool {
        self.remembered.lock().as_ref().is_some_and(|known| known.address == address && is_fresh(known, now))
    }

    /// The password was found right.
    pub fn remember(&self, digest: KeyedDigest, address: IpAddr, now: Instant) {
        *self.remembered.lock() = Some(Remembered { digest, address, at: now });
    }
}

fn is_fresh(known: &Remembered, now: Instant) -> bool {
    now.saturating_duration_since(known.at) < REMEMBERED_FOR
}

/// All users of one file.
#[derive(Debug, Default)]
pub struct Users {
    by_name: HashMap<Box<str>, Arc<User>>,
    by_certificate: HashMap<Box<str>, Arc<User>>,
}

/// What a new file changes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UserChanges {
    pub added: usize,
    pub changed: usize,
    pub removed: usize,
}

impl Users {
    /// Names and certificates are unique: the file sees to it.
    pub fn new(specs: Vec<UserSpec>) -> Self {
        let mut users = Users::default();
        specs.into_iter().for_each(|spec| users.add(Arc::new(User::new(spec))));
        users
    }

    fn add(&mut self, user: Arc<User>) {
        if let Some(certificate) = &user.spec.certificate {
            self.by_certificate.insert(certificate.as_str().into(), user.clone());
        }
        self.by_name.insert(user.spec.name.as_str().into(), user);
    }

    /// The users of a new file. Who is the same in it stays who it is; who is changed or not in it is revoked.
    pub fn replaced_by(&self, specs: Vec<UserSpec>) -> (Users, UserChanges) {
        let (mut users, mut changes) = (Users::default(), UserChanges::default());
        for spec in specs {
            match self.by_name.get(spec.name.as_str()) {
                Some(same) if same.spec == spec => users.add(same.clone()),
                before => {
                    if before.is_some() {
                        changes.changed += 1
                    } else {
                        changes.added += 1
                    }
                    users.add(Arc::new(User::new(spec)));
                }
            }
        }
        for (name, user) in &self.by_name {
            let now = users.by_name.get(name);
            if now.is_none() {
                changes.removed += 1;
            }
            if !now.is_some_and(|now| Arc::ptr_eq(now, user)) {
                user.identity.revoke();
            }
        }
        (users, changes)
    }

    pub fn find(&self, name: &str) -> Option<&Arc<User>> {
        self.by_name.get(name)
    }

    /// The user that one of a certificate's names stands for: the first that does.
    pub fn find_certificate(&self, names: &[String]) -> Option<&Arc<User>> {
        names.iter().find_map(|name| self.by_certificate.get(name.as_str()))
    }

    pub fn len(&self) -> usize {
        self.by_name.len()
    }

    pub fn is_empty(&self) -> bool {
        self.by_name.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    fn spec(name: &str, password: &str) -> UserSpec {
        UserSpec {
            name: name.to_owned(),
            password: Some(StoredPassword::of_plain(password)),
            certificate: Some(format!("cn-{name}")),
            devices: DeviceRights::All,
            subscribe: Vec::new(),
        }
    }

    #[test]
    fn who_is_the_same_stays_and_all_others_are_revoked() {
        let users = Users::new(vec![spec("same", "1"), spec("changed", "2"), spec("gone", "3")]);
        let (next, changes) =
            users.replaced_by(vec![spec("same", "1"), spec("changed", "x"), spec("new", "4")]);
        assert_eq!(changes, UserChanges { added: 1, changed: 1, removed: 1 });
        let is_revoked = |name| users.find(name).unwrap().identity().is_revoked();
        assert_eq!(["same", "changed", "gone"].map(is_revoked), [false, true, true]);
        assert!(Arc::ptr_eq(users.find("same").unwrap(), next.find("same").unwrap()));
        for name in ["same", "changed", "new"] {
            assert!(!next.find(name).unwrap().identity().is_revoked(), "{name}");
            let by_certificate = next.find_certificate(&["?".to_owned(), format!("cn-{name}")]).unwrap();
            assert_eq!(by_certificate.identity().name(), name);
        }
        assert!(next.find("gone").is_none() && next.find_certificate(&["cn-gone".to_owned()]).is_none());
        assert!(!format!("{next:?}").contains("Digest("), "no digest is printed");
    }

    #[test]
    fn a_password_is_remembered_for_a_day_and_with_its_address() {
        let users = Users::new(vec![spec("u", "p")]);
        let (user, key, now) = (users.find("u").unwrap(), DigestKey::random(), Instant::now());
        let (home, abroad) = (Ipv4Addr::new(10, 0, 0, 1).into(), Ipv4Addr::new(10, 0, 0, 2).into());
        let (right, wrong) = (key.digest(b"p"), key.digest(b"q"));
        assert!(!user.recognizes(right, home, now), "nothing was found right yet");
        user.remember(right, home, now);
        assert!(user.recognizes(right, home, now) && !user.recognizes(wrong, home, now));
        assert!(user.is_at_home(home, now) && !user.is_at_home(abroad, now));
        assert!(user.recognizes(right, abroad, now));
        assert!(user.is_at_home(abroad, now) && !user.is_at_home(home, now));
        assert!(!user.recognizes(right, home, now + REMEMBERED_FOR));
        assert_ne!(DigestKey::random().digest(b"p"), right, "each process has a key of its own");
    }
}
