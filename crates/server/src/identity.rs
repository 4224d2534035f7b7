//! Who may connect to the MQTT endpoint and what for: the file of users, their passwords and certificates, and what slows
//! down those who guess.
//!
//! ```text
//! CONNECT -> gatekeeper -> too many failures? -> certificate | remembered password | password checks (threads of their own)
//! users file -> users watch -> gatekeeper: changed and removed users are revoked, their connections end
//! ```
//! Invariants: nothing here blocks a thread of the endpoint; every queue and table is bounded; no password and no hash is
//! printed.

pub mod failure_limiter;
pub mod gatekeeper;
pub mod password;
pub mod password_checks;
pub mod user_file;
pub mod users;
pub mod users_watch;
