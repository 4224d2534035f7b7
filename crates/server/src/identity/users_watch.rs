//! The file of users is looked at while the process runs. A change that loads is in force within two looks, and whoever it
//! changes or leaves out loses the open connections. One that does not load changes nothing.

use std::convert::Infallible;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use gateway::mqtt_endpoint::ConnectionsWaker;
use metrics::Gauge;
use tracing::{error, info};

use super::gatekeeper::Gatekeeper;
use super::user_file::{self, UserFileError};
use super::users::{UserChanges, UserSpec};
use crate::settled_files::SettledFiles;

const LOOK_EVERY: Duration = Duration::from_millis(300);

/// What was seen of the file.
struct Looks<'f> {
    path: &'f Path,
    files: SettledFiles,
    broken: Gauge,
    said: Option<String>,
}

/// Follows the file until `stop`.
///
/// # Errors
/// None: what is wrong with a file is said, and the users before it stay.
pub fn follow(
    path: &Path,
    gatekeeper: &Gatekeeper,
    connections: &ConnectionsWaker,
    stop: &AtomicBool,
) -> Result<(), Infallible> {
    let broken = metrics::gauge!("urban_neuron_mqtt_endpoint_users_broken");
    let mut looks = Looks { path, files: SettledFiles::default(), broken, said: None };
    while !stop.load(Ordering::Relaxed) {
        match looks.look() {
            Ok(None) => {}
            Ok(Some(users)) => {
                looks.set_broken(None);
                let changes = gatekeeper.replace(users);
                if changes != UserChanges::default() {
                    connections.wake_all();
                    audit(changes);
                }
            }
            Err(error) => looks.set_broken(Some(error.to_string())),
        }
        std::thread::park_timeout(LOOK_EVERY);
    }
    Ok(())
}

fn audit(changes: UserChanges) {
    info!(
        target: "audit",
        event = "users_changed",
        added = changes.added,
        changed = changes.changed,
        removed = changes.removed,
        "the users have changed"
    );
}

impl Looks<'_> {
    /// The users of a file that has changed and rests.
    fn look(&mut self) -> Result<Option<Vec<UserSpec>>, UserFileError> {
        let settled = self.files.have_settled(vec![self.path.to_owned()]);
        match settled.map_err(|(path, source)| UserFileError::Unreadable { path, source })? {
            true => user_file::read(self.path).map(Some),
            false => Ok(None),
        }
    }

    fn set_broken(&mut self, cause: Option<String>) {
        self.broken.set(if cause.is_some() { 1.0 } else { 0.0 });
        if let Some(cause) = cause.as_ref().filter(|cause| self.said.as_ref() != Some(cause)) {
            error!(cause, "the file of users is broken, the users before it stay in force");
        }
        self.said = cause;
    }
}
