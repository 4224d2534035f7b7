//! Who may connect.

use crate::mqtt::ReasonCode;

/// Decides whether a client may connect. Called on the thread of the connection: it must not block.
pub trait Authenticator: Send + Sync + 'static {
    /// # Errors
    /// The reason that the CONNACK gives: [`ReasonCode::BAD_USER_NAME_OR_PASSWORD`], [`ReasonCode::NOT_AUTHORIZED`], ...
    fn check(
        &self,
        client_id: &str,
        username: Option<&str>,
        password: Option<&[u8]>,
    ) -> Result<(), ReasonCode>;
}

/// Lets everyone in. That it only serves loopback addresses is the configuration's to see to.
#[derive(Clone, Copy, Debug, Default)]
pub struct AllowAnyone;

impl Authenticator for AllowAnyone {
    fn check(&self, _: &str, _: Option<&str>, _: Option<&[u8]>) -> Result<(), ReasonCode> {
        Ok(())
    }
}
