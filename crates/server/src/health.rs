//! Whether this process can do its work, by role and component, each with the cause when it cannot.
//!
//! Components say how they are; nothing here looks at them. A role that was asked for and whose components have not
//! spoken yet is starting, so not ready.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;
use serde::Serialize;

/// What a process does; one process may do all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    Gateway,
    Lake,
    Rules,
}

impl Role {
    pub const ALL: [Role; 3] = [Role::Gateway, Role::Lake, Role::Rules];

    pub const fn name(self) -> &'static str {
        match self {
            Role::Gateway => "gateway",
            Role::Lake => "lake",
            Role::Rules => "rules",
        }
    }
}

impl std::fmt::Display for Role {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// The text names no role.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no role: gateway, lake or rules is wanted")]
pub struct RoleError(pub String);

impl std::str::FromStr for Role {
    type Err = RoleError;

    fn from_str(text: &str) -> Result<Self, RoleError> {
        Role::ALL.into_iter().find(|role| role.name() == text).ok_or_else(|| RoleError(text.to_owned()))
    }
}

/// The cause, if any, of each component of each role.
type Components = BTreeMap<(Role, String), Option<String>>;

/// Shared by all components and the admin server.
#[derive(Clone, Debug)]
pub struct Health {
    roles: Arc<[Role]>,
    components: Arc<Mutex<Components>>,
}

/// Why a role is not ready.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Cause {
    pub role: Role,
    pub component: String,
    pub cause: String,
}

impl Health {
    /// Health of a process that has these roles.
    pub fn new(roles: &[Role]) -> Self {
        Health { roles: roles.into(), components: Arc::default() }
    }

    pub fn roles(&self) -> &[Role] {
        &self.roles
    }

    /// How a component is: `None` is well, else the cause. A change is logged, so callers may say the same often.
    pub fn set(&self, component: &str, role: Role, cause: Option<String>) {
        let mut components = self.components.lock();
        let old = components.insert((role, component.to_owned()), cause.clone());
        match (old, cause) {
            // What a component begins with is no change for the worse.
            (None, Some(cause)) => tracing::info!(role = role.name(), component, cause, "not ready yet"),
            (Some(old), Some(cause)) if old.as_ref() != Some(&cause) => {
                tracing::warn!(role = role.name(), component, cause, "not ready");
            }
            (Some(Some(_)), None) => tracing::info!(role = role.name(), component, "ready again"),
            _ => {}
        }
    }

    /// The component is no part of this process any more: its partition went to another.
    pub fn forget(&self, component: &str, role: Role) {
        self.components.lock().remove(&(role, component.to_owned()));
    }

    /// What keeps `role`, or any of this process's roles, from being ready; empty when it is.
    pub fn causes(&self, role: Option<Role>) -> Vec<Cause> {
        let components = self.components.lock();
        let mut causes = Vec::new();
        for role in role.map_or_else(|| self.roles.to_vec(), |role| vec![role]) {
            let mut has_component = false;
            for ((of, component), cause) in components.iter().filter(|((of, _), _)| *of == role) {
                has_component = true;
                if let Some(cause) = cause {
                    causes.push(Cause { role: *of, component: component.clone(), cause: cause.clone() });
                }
            }
            if !has_component {
                let cause =
                    if self.roles.contains(&role) { "starting" } else { "this process has no such role" };
                causes.push(Cause { role, component: "process".to_owned(), cause: cause.to_owned() });
            }
        }
        causes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_role_is_ready_when_all_its_components_are_well() {
        let health = Health::new(&[Role::Gateway, Role::Lake]);
        let causes = |role| health.causes(role).into_iter().map(|cause| cause.cause).collect::<Vec<_>>();
        assert_eq!(causes(None), ["starting", "starting"]);
        health.set("log", Role::Gateway, None);
        health.set("root", Role::Lake, None);
        health.set("partition 3", Role::Lake, Some("gap".to_owned()));
        assert_eq!(causes(Some(Role::Gateway)), [""; 0]);
        assert_eq!(causes(None), ["gap"]);
        health.set("partition 3", Role::Lake, None);
        assert_eq!(causes(None), [""; 0]);
        assert_eq!(causes(Some(Role::Rules)), ["this process has no such role"]);
        health.set("partition 3", Role::Lake, Some("gap".to_owned()));
        health.forget("partition 3", Role::Lake);
        assert_eq!(causes(None), [""; 0]);
    }
}
