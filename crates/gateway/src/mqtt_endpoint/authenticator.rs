//! Who may connect, and as whom.

use std::fmt;
use std::future::ready;
use std::net::IpAddr;
use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use super::identity::Identity;
use crate::mqtt::ReasonCode;

/// What is known of somebody who wants to connect. All of it but the address and the certificate is only said.
#[derive(Clone, Copy)]
pub struct Applicant<'a> {
    pub client_id: &'a str,
    pub username: Option<&'a str>,
    pub password: Option<&'a [u8]>,
    /// Names of the certificate that it has shown, whose authority is one of ours: the subject's common name, then the
    /// alternative names. `None`: it has shown none.
    pub certificate_names: Option<&'a [String]>,
    pub address: IpAddr,
}

impl fmt::Debug for Applicant<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Applicant")
            .field("client_id", &self.client_id)
            .field("username", &self.username)
            .field("certificate_names", &self.certificate_names)
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

/// The answer, now or later: who it is, or the reason that the CONNACK gives ([`ReasonCode::BAD_USER_NAME_OR_PASSWORD`],
/// [`ReasonCode::NOT_AUTHORIZED`], [`ReasonCode::SERVER_BUSY`], ...).
pub type Admission<'a> = BoxFuture<'a, Result<Arc<Identity>, ReasonCode>>;

/// Decides whether a client may connect.
pub trait Authenticator: Send + Sync + 'static {
    /// Called, and its future polled, on the thread of the connection: neither may block. The future is dropped where the
    /// connection ends or the connect timeout passes.
    fn check<'a>(&'a self, applicant: Applicant<'a>) -> Admission<'a>;
}

/// Lets everyone in, with every right. That it only serves loopback addresses is the configuration's to see to.
#[derive(Clone, Debug)]
pub struct AllowAnyone(Arc<Identity>);

impl Default for AllowAnyone {
    fn default() -> Self {
        AllowAnyone(Arc::new(Identity::unrestricted("")))
    }
}

impl Authenticator for AllowAnyone {
    fn check<'a>(&'a self, _: Applicant<'a>) -> Admission<'a> {
        ready(Ok(self.0.clone())).boxed()
    }
}
