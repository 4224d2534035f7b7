//! Asking a running service about its rules.

use super::{OperationError, RemoteOperations};
use crate::rule_operations::{
    RuleAnswer, RuleOperations, RuleSetSpan, RulesChanged, RulesInForce, ShadowReport,
};

impl RuleOperations for RemoteOperations {
    fn rules_in_force(&self) -> Result<RulesInForce, OperationError> {
        self.get("/v1/rules")
    }

    fn explain_rule(&self, rule_id: &str, device_id: &str) -> Result<RuleAnswer, OperationError> {
        self.get(&format!("/v1/rules/{}/devices/{}", in_path(rule_id), in_path(device_id)))
    }

    fn put_rule_file(&self, name: &str, text: &str) -> Result<RulesChanged, OperationError> {
        let request = self.agent.put(self.file(name)).content_type("application/toml");
        let request = request.config().timeout_global(Some(super::remote::ANSWER_TIMEOUT)).build();
        self.answer(self.authorized(request).send(text))
    }

    fn remove_rule_file(&self, name: &str) -> Result<RulesChanged, OperationError> {
        let request = self.agent.delete(self.file(name));
        let request = request.config().timeout_global(Some(super::remote::ANSWER_TIMEOUT)).build();
        self.answer(self.authorized(request).call())
    }

    fn rule_sets(&self) -> Result<Vec<RuleSetSpan>, OperationError> {
        self.get("/v1/rules/sets")
    }

    fn shadow_report(&self) -> Result<ShadowReport, OperationError> {
        self.get("/v1/rules/shadow")
    }
}

impl RemoteOperations {
    fn file(&self, name: &str) -> String {
        format!("{}/v1/rules/files/{}", self.base, in_path(name))
    }
}

/// A text as one part of a path.
fn in_path(text: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~');
    text.bytes()
        .map(|byte| if is_plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}
