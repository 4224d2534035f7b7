//! The paths below `/v1/rules`.

use axum::extract::rejection::{BytesRejection, PathRejection};
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::StatusCode;
use axum::routing::{get, put};
use axum::{Json, Router, body::Bytes};

use super::AdminState;
use super::answer::Refusal;
use crate::operations::OperationError;
use crate::rule_operations::{
    RULE_FILE_NAME_HELP, RuleAnswer, RuleOperations, RuleSetSpan, RulesChanged, RulesInForce, ShadowReport,
    is_rule_file_name,
};

/// Largest rule file that is taken over HTTP.
const RULE_FILE_BODY_BYTES_MAX: usize = 64 << 20;

pub(super) fn router() -> Router<AdminState> {
    let body_limit = DefaultBodyLimit::max(RULE_FILE_BODY_BYTES_MAX);
    Router::new()
        .route("/v1/rules", get(in_force))
        .route("/v1/rules/sets", get(sets))
        .route("/v1/rules/shadow", get(shadow))
        .route("/v1/rules/files/{name}", put(put_file).delete(remove_file).layer(body_limit))
        .route("/v1/rules/{rule_id}/devices/{device_id}", get(explain))
}

async fn in_force(State(state): State<AdminState>) -> Result<Json<RulesInForce>, Refusal> {
    ask(state, |rules| rules.rules_in_force()).await
}

async fn sets(State(state): State<AdminState>) -> Result<Json<Vec<RuleSetSpan>>, Refusal> {
    ask(state, |rules| rules.rule_sets()).await
}

async fn shadow(State(state): State<AdminState>) -> Result<Json<ShadowReport>, Refusal> {
    ask(state, |rules| rules.shadow_report()).await
}

async fn explain(
    State(state): State<AdminState>,
    path: Result<Path<(String, String)>, PathRejection>,
) -> Result<Json<RuleAnswer>, Refusal> {
    let Path((rule_id, device_id)) = path?;
    ask(state, move |rules| rules.explain_rule(&rule_id, &device_id)).await
}

async fn put_file(
    State(state): State<AdminState>,
    path: Result<Path<String>, PathRejection>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<RulesChanged>, Refusal> {
    let Path(name) = path?;
    let text = String::from_utf8(body?.into());
    let text = text
        .map_err(|error| Refusal::new(StatusCode::BAD_REQUEST, format!("a rule file is UTF-8: {error}")))?;
    check_name(&name)?;
    ask(state, move |rules| rules.put_rule_file(&name, &text)).await
}

async fn remove_file(
    State(state): State<AdminState>,
    path: Result<Path<String>, PathRejection>,
) -> Result<Json<RulesChanged>, Refusal> {
    let Path(name) = path?;
    check_name(&name)?;
    ask(state, move |rules| rules.remove_rule_file(&name)).await
}

fn check_name(name: &str) -> Result<(), Refusal> {
    if is_rule_file_name(name) {
        return Ok(());
    }
    Err(Refusal::new(StatusCode::BAD_REQUEST, format!("{name:?}: {RULE_FILE_NAME_HELP}")))
}

/// Asks on a thread that may block.
async fn ask<T: Send + 'static>(
    state: AdminState,
    question: impl FnOnce(&dyn RuleOperations) -> Result<T, OperationError> + Send + 'static,
) -> Result<Json<T>, Refusal> {
    let rules = state.parts.rules.clone();
    match tokio::task::spawn_blocking(move || question(rules.as_ref())).await {
        Ok(answer) => Ok(Json(answer?)),
        Err(error) => Err(Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string())),
    }
}
