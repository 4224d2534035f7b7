//! Asking a running service over its admin server.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::ops::ControlFlow;
use std::time::Duration;

use model::{Alert, LogId};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::{LogDescription, OperationError, Operations};
use crate::alert_command::CommandDraft;
use crate::config::{AdminSection, Secret};
use crate::dead_letters::{DeadLetterFilter, DeadLetterSummary, DeadLetterView, RedriveOutcome};
use crate::health::Role;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// Of a whole answer; listing a long topic takes its time.
pub(super) const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);
/// A listing of many alerts or dead letters is large, but not endless.
const ANSWER_BYTES_MAX: u64 = 256 << 20;

/// What a service says of itself, so that a command does not take another's answers for its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct About {
    pub version: String,
    pub log_id: String,
    pub roles: Vec<String>,
}

impl About {
    /// What this build says of a process with these roles over this log.
    pub fn new(log_id: &LogId, roles: &[Role]) -> Self {
        About {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            log_id: log_id.to_string(),
            roles: roles.iter().map(|role| role.name().to_owned()).collect(),
        }
    }
}

/// A service that answers.
pub struct RemoteOperations {
    pub(super) base: String,
    pub(super) agent: ureq::Agent,
    token: Option<Secret>,
}

impl RemoteOperations {
    /// The service of this log at one of the configured addresses; `None` when none answers.
    pub fn find(admin: &AdminSection, log_id: &str) -> Option<Self> {
        let mut remotes =
            admin.listen.addresses.iter().map(|address| Self::at(*address, admin.token.clone()));
        remotes.find(|remote| remote.get::<About>("/v1/about").is_ok_and(|about| about.log_id == log_id))
    }

    /// Whether the service has this role.
    pub fn has_role(&self, role: Role) -> bool {
        let about = self.get::<About>("/v1/about");
        about.is_ok_and(|about| about.roles.iter().any(|has| has == role.name()))
    }

    /// The service at `address`.
    pub fn at(address: SocketAddr, token: Option<Secret>) -> Self {
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_connect(Some(CONNECT_TIMEOUT))
            .proxy(None)
            .build();
        RemoteOperations { base: format!("http://{}", reachable(address)), agent: config.into(), token }
    }

    pub(super) fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, OperationError> {
        let request = self.agent.get(format!("{}{path}", self.base));
        let request = request.config().timeout_global(Some(ANSWER_TIMEOUT)).build();
        self.answer(self.authorized(request).call())
    }

    pub(super) fn authorized<B>(&self, request: ureq::RequestBuilder<B>) -> ureq::RequestBuilder<B> {
        match &self.token {
            Some(token) => request.header("Authorization", format!("Bearer {}", token.reveal())),
            None => request,
        }
    }

    pub(super) fn answer<T: DeserializeOwned>(
        &self,
        response: Result<ureq::http::Response<ureq::Body>, ureq::Error>,
    ) -> Result<T, OperationError> {
        let mut response = response.map_err(|error| self.failed(&error))?;
        let body = response.body_mut().with_config().limit(ANSWER_BYTES_MAX).read_to_vec();
        let body = body.map_err(|error| self.failed(&error))?;
        let status = response.status();
        if status.is_success() {
            return serde_json::from_slice(&body).map_err(|error| self.failed(&error));
        }
        let ErrorAnswer { error: words, diagnostics } = serde_json::from_slice(&body).unwrap_or_else(|_| {
            let error = String::from_utf8_lossy(&body).into_owned();
            ErrorAnswer { error, diagnostics: Vec::new() }
        });
        Err(match status.as_u16() {
            400 => OperationError::Invalid(words),
            404 => OperationError::NotFound(words),
            409 => OperationError::Refused(words),
            422 => OperationError::BrokenRules { words, diagnostics },
            _ => OperationError::Admin(format!("{}: {status}: {words}", self.base)),
        })
    }

    fn failed(&self, error: &dyn std::error::Error) -> OperationError {
        OperationError::Admin(format!("{}: {error}", self.base))
    }
}

/// What the admin server answers when it does not do what was asked.
#[derive(Debug, Serialize, Deserialize)]
pub struct ErrorAnswer {
    pub error: String,
    /// What is wrong with rule files that were given, in the order of files and places.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub diagnostics: Vec<rules::Diagnostic>,
}

/// A listener on every address is reached over loopback.
fn reachable(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        address.set_ip(if address.is_ipv4() {
            [127, 0, 0, 1].into()
        } else {
            std::net::Ipv6Addr::LOCALHOST.into()
        });
    }
    address
}

impl Operations for RemoteOperations {
    fn firing(&self) -> Result<Vec<Alert>, OperationError> {
        self.get("/v1/alerts")
    }

    fn alert_events(&self, alert_id: &str) -> Result<Vec<Alert>, OperationError> {
        self.get(&format!("/v1/alerts/{alert_id}"))
    }

    fn command(&self, draft: CommandDraft) -> Result<Alert, OperationError> {
        let missing = |field: &str| OperationError::Invalid(format!("{field}: is missing"));
        let alert_id = draft.alert_id.as_deref().ok_or_else(|| missing("alert_id"))?;
        let kind = draft.command.ok_or_else(|| missing("command"))?;
        let request = self.agent.post(format!("{}/v1/alerts/{alert_id}/{}", self.base, kind.name()));
        let request = request.config().timeout_global(Some(ANSWER_TIMEOUT)).build();
        let body = serde_json::to_vec(&draft).map_err(|error| self.failed(&error))?;
        let request = self.authorized(request).header("Content-Type", "application/json");
        self.answer(request.send(&body))
    }

    fn watch(&self, each: &mut dyn FnMut(Option<Alert>) -> ControlFlow<()>) -> Result<(), OperationError> {
        let request = self.authorized(self.agent.get(format!("{}/v1/alerts/watch", self.base)));
        let mut response = request.call().map_err(|error| self.failed(&error))?;
        if !response.status().is_success() {
            return self.answer::<()>(Ok(response));
        }
        let mut lines = BufReader::new(response.body_mut().as_reader());
        let mut line = String::new();
        loop {
            line.clear();
            if lines.read_line(&mut line).map_err(|error| self.failed(&error))? == 0 {
                return Ok(());
            }
            // An empty line says that the service is there and has nothing to say.
            let alert = match line.trim_end() {
                "" => None,
                json => Some(serde_json::from_str(json).map_err(|error| self.failed(&error))?),
            };
            if each(alert).is_break() {
                return Ok(());
            }
        }
    }

    fn dead_letters(&self, filter: &DeadLetterFilter) -> Result<Vec<DeadLetterSummary>, OperationError> {
        let reason = filter.reason.as_ref().map(|reason| format!("&reason={reason}")).unwrap_or_default();
        let open = filter.is_open_only;
        self.get(&format!("/v1/dead-letters?limit={}&is_open_only={open}{reason}", filter.limit))
    }

    fn dead_letter(&self, partition: u32, offset: i64) -> Result<DeadLetterView, OperationError> {
        self.get(&format!("/v1/dead-letters/{partition}/{offset}"))
    }

    fn redrive(&self, partition: u32, offset: i64) -> Result<RedriveOutcome, OperationError> {
        let request = self.agent.post(format!("{}/v1/dead-letters/{partition}/{offset}/redrive", self.base));
        let request = request.config().timeout_global(Some(ANSWER_TIMEOUT)).build();
        self.answer(self.authorized(request).send_empty())
    }

    fn describe_log(&self) -> Result<LogDescription, OperationError> {
        self.get("/v1/log")
    }
}
