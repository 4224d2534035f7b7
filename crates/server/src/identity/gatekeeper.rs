//! Lets clients of the MQTT endpoint in: by certificate or password, not faster than somebody may fail.
//!
//! An address that fails too often is not looked at for a while. A user whose password is guessed too often from anywhere is
//! not let in for a while but from where it was at home, so that guessing locks nobody out.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use gateway::mqtt::ReasonCode;
use gateway::mqtt_endpoint::{Admission, Applicant, Authenticator, Identity};
use parking_lot::RwLock;

use super::failure_limiter::FailureLimiter;
use super::password::PASSWORD_BYTES_MAX;
use super::password_checks::PasswordChecks;
use super::users::{DigestKey, User, UserChanges, UserSpec, Users};

/// A refusal is not said sooner after the question: neither who exists nor how far a check came is to be seen from the
/// time, and one connection guesses once in that time.
const REFUSAL_DELAY: Duration = Duration::from_secs(1);

/// How often somebody may fail.
#[derive(Clone, Copy, Debug)]
pub struct GatekeeperLimits {
    /// Failures a minute of one user from where it is not at home.
    pub failures_per_user: u32,
    /// Failures a minute from one address; IPv6 by /64.
    pub failures_per_address: u32,
    /// Threads that check argon2id passwords.
    pub password_threads: u32,
}

/// The users in force, and what keeps strangers from guessing.
pub struct Gatekeeper {
    users: RwLock<Arc<Users>>,
    key: DigestKey,
    of_users: FailureLimiter,
    of_addresses: FailureLimiter,
    checks: PasswordChecks,
}

impl Gatekeeper {
    /// # Errors
    /// The threads that check passwords cannot be started.
    pub fn start(users: Vec<UserSpec>, limits: GatekeeperLimits) -> std::io::Result<Self> {
        let now = Instant::now();
        Ok(Gatekeeper {
            users: RwLock::new(Arc::new(Users::new(users))),
            key: DigestKey::random(),
            of_users: FailureLimiter::per_minute(limits.failures_per_user, now),
            of_addresses: FailureLimiter::per_minute(limits.failures_per_address, now),
            checks: PasswordChecks::start(limits.password_threads)?,
        })
    }

    /// Puts the users of a new file in force. Who is changed or gone is revoked: the caller wakes the connections.
    pub fn replace(&self, users: Vec<UserSpec>) -> UserChanges {
        let mut in_force = self.users.write();
        let (users, changes) = in_force.replaced_by(users);
        *in_force = Arc::new(users);
        changes
    }

    async fn decide(&self, applicant: &Applicant<'_>) -> Result<Arc<Identity>, ReasonCode> {
        if self.of_addresses.is_slowed(network(applicant.address), Instant::now()) {
            return Err(ReasonCode::CONNECTION_RATE_EXCEEDED);
        }
        let users = self.users.read().clone();
        if let Some(user) = applicant.certificate_names.and_then(|names| users.find_certificate(names)) {
            return self.by_certificate(user, applicant);
        }
        let user = applicant.username.and_then(|name| users.find(name));
        let found = match (user, applicant.password) {
            (Some(user), Some(password)) if password.len() <= PASSWORD_BYTES_MAX => {
                self.by_password(user, password, applicant.address).await?
            }
            _ => None,
        };
        found.ok_or_else(|| {
            let now = Instant::now();
            if let Some(user) = user {
                self.of_users.fail(user.identity().name(), now);
            }
            self.of_addresses.fail(network(applicant.address), now);
            ReasonCode::BAD_USER_NAME_OR_PASSWORD
        })
    }

    /// A certificate is enough; a name that is said beside it must be the same user's.
    fn by_certificate(
        &self,
        user: &Arc<User>,
        applicant: &Applicant<'_>,
    ) -> Result<Arc<Identity>, ReasonCode> {
        let identity = user.identity();
        if applicant.username.is_none_or(|name| name == identity.name()) {
            return Ok(identity.clone());
        }
        self.of_addresses.fail(network(applicant.address), Instant::now());
        Err(ReasonCode::NOT_AUTHORIZED)
    }

    async fn by_password(
        &self,
        user: &Arc<User>,
        password: &[u8],
        address: IpAddr,
    ) -> Result<Option<Arc<Identity>>, ReasonCode> {
        let now = Instant::now();
        if self.of_users.is_slowed(user.identity().name(), now) && !user.is_at_home(address, now) {
            return Err(ReasonCode::CONNECTION_RATE_EXCEEDED);
        }
        let digest = self.key.digest(password);
        if user.recognizes(digest, address, now) {
            return Ok(Some(user.identity().clone()));
        }
        let is_it = match user.password() {
            None => false,
            Some(stored) if stored.is_slow() => {
                let answer = self.checks.is_password(user.clone(), password, address).await;
                answer.map_err(|_| ReasonCode::SERVER_BUSY)?
            }
            Some(stored) => stored.is(password),
        };
        if is_it {
            user.remember(digest, address, Instant::now());
        }
        Ok(is_it.then(|| user.identity().clone()))
    }
}

impl Authenticator for Gatekeeper {
    fn check<'a>(&'a self, applicant: Applicant<'a>) -> Admission<'a> {
        Box::pin(async move {
            let no_sooner_than = tokio::time::Instant::now() + REFUSAL_DELAY;
            let answer = self.decide(&applicant).await;
            if answer.is_err() {
                tokio::time::sleep_until(no_sooner_than).await;
            }
            answer
        })
    }
}

/// What failures of an address count for: whoever has one IPv6 address has all of its /64.
fn network(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(address) => IpAddr::V6((u128::from(address) >> 64 << 64).into()),
    }
}

#[cfg(test)]
mod tests;
