//! Why a simulation could not be run. A connection that is lost meanwhile is no error: it is opened again.

use std::path::PathBuf;

#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    #[error("the address {url:?} is not understood, {wanted} is wanted")]
    Address { url: String, wanted: &'static str },
    /// Nobody answered in the whole time.
    #[error("the broker {broker} could not be reached: {cause}")]
    Unreachable { broker: String, cause: String },
    /// Trying again would not help.
    #[error("the broker {broker} refused the client {client_id}: {code}")]
    Refused { broker: String, client_id: String, code: String },
    /// An answer that the standard does not allow.
    #[error("the broker {broker} broke the protocol: {what}")]
    Protocol { broker: String, what: String },
    #[error("the connection to the broker {broker} failed")]
    Connection {
        broker: String,
        #[source]
        source: std::io::Error,
    },
    #[error("the ledger {path} could not be written", path = path.display())]
    Ledger {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("a runtime or thread could not be started")]
    Runtime(#[source] std::io::Error),
}
