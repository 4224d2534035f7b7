//! The paths of the admin server.

use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::{Deserialize, Serialize};

use super::AdminState;
use super::alert_routes;
use super::answer::Refusal;
use super::openapi::openapi;
use super::rule_routes;
use super::watching::watch_alerts;
use crate::dead_letters::{DeadLetterFilter, DeadLetterSummary, DeadLetterView, RedriveOutcome};
use crate::health::{Cause, Role};
use crate::lake_description::{self, LakeDescription};
use crate::operations::{About, LogDescription, OperationError, Operations};

pub(super) fn router(state: AdminState) -> Router {
    let guarded = Router::new()
        .route("/metrics", get(metrics))
        .route("/v1/about", get(about))
        .route("/v1/openapi.json", get(openapi))
        .route("/v1/alerts", get(alerts))
        .route("/v1/alerts/watch", get(watch_alerts))
        .route("/v1/alerts/{alert_id}", get(alert_events))
        .merge(alert_routes::routes())
        .route("/v1/dead-letters", get(dead_letters))
        .route("/v1/dead-letters/{partition}/{offset}", get(dead_letter))
        .route("/v1/dead-letters/{partition}/{offset}/redrive", post(redrive))
        .route("/v1/log", get(describe_log))
        .route("/v1/lake", get(describe_lake))
        .merge(rule_routes::router())
        .route_layer(middleware::from_fn_with_state(state.clone(), require_token));
    Router::new()
        .route("/health/live", get(|| async { Json(Liveness { status: "live" }) }))
        .route("/health/ready", get(ready))
        .merge(guarded)
        .method_not_allowed_fallback(|| async {
            Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "this path has no such method")
        })
        .fallback(|| async { Refusal::new(StatusCode::NOT_FOUND, "no such path") })
        .with_state(state)
}

async fn require_token(State(state): State<AdminState>, request: Request, next: Next) -> Response {
    if let Some(token) = &state.token {
        let given = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let given = given.and_then(|value| value.strip_prefix("Bearer ")).unwrap_or_default();
        if !is_equal(given.as_bytes(), token.reveal().as_bytes()) {
            return Refusal::new(StatusCode::UNAUTHORIZED, "a bearer token is wanted, see admin.token")
                .into_response();
        }
    }
    next.run(request).await
}

/// Compares all bytes, so that the time taken says nothing of how many agree.
fn is_equal(given: &[u8], wanted: &[u8]) -> bool {
    given.len() == wanted.len()
        && given.iter().zip(wanted).fold(0, |difference, (a, b)| difference | (a ^ b)) == 0
}

#[derive(Serialize)]
struct Liveness {
    status: &'static str,
}

#[derive(Deserialize)]
struct ReadyQuery {
    role: Option<String>,
}

#[derive(Serialize)]
struct Readiness {
    is_ready: bool,
    causes: Vec<Cause>,
}

async fn ready(
    State(state): State<AdminState>,
    query: Result<Query<ReadyQuery>, QueryRejection>,
) -> Result<Response, Refusal> {
    let Query(query) = query?;
    let role = query.role.map(|role| role.parse::<Role>()).transpose();
    let role = role.map_err(|error| Refusal::new(StatusCode::BAD_REQUEST, error.to_string()))?;
    let causes = state.parts.health.causes(role);
    let status = if causes.is_empty() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    Ok((status, Json(Readiness { is_ready: causes.is_empty(), causes })).into_response())
}

async fn metrics(State(state): State<AdminState>) -> Response {
    let text = state.parts.metrics.render();
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response()
}

async fn about(State(state): State<AdminState>) -> Json<About> {
    Json(state.parts.about.clone())
}

async fn alerts(State(state): State<AdminState>) -> Result<Json<Vec<model::Alert>>, Refusal> {
    ask(state, |operations| operations.firing()).await
}

async fn alert_events(
    State(state): State<AdminState>,
    path: Result<Path<String>, PathRejection>,
) -> Result<Json<Vec<model::Alert>>, Refusal> {
    let Path(alert_id) = path?;
    ask(state, move |operations| operations.alert_events(&alert_id)).await
}

async fn dead_letters(
    State(state): State<AdminState>,
    query: Result<Query<DeadLetterFilter>, QueryRejection>,
) -> Result<Json<Vec<DeadLetterSummary>>, Refusal> {
    let Query(filter) = query?;
    ask(state, move |operations| operations.dead_letters(&filter)).await
}

async fn dead_letter(
    State(state): State<AdminState>,
    path: Result<Path<(u32, i64)>, PathRejection>,
) -> Result<Json<DeadLetterView>, Refusal> {
    let Path((partition, offset)) = path?;
    ask(state, move |operations| operations.dead_letter(partition, offset)).await
}

async fn redrive(
    State(state): State<AdminState>,
    path: Result<Path<(u32, i64)>, PathRejection>,
) -> Result<Json<RedriveOutcome>, Refusal> {
    let Path((partition, offset)) = path?;
    ask(state, move |operations| operations.redrive(partition, offset)).await
}

async fn describe_log(State(state): State<AdminState>) -> Result<Json<LogDescription>, Refusal> {
    ask(state, |operations| operations.describe_log()).await
}

async fn describe_lake(State(state): State<AdminState>) -> Result<Json<LakeDescription>, Refusal> {
    let root = state.parts.lake_root.clone();
    let described = tokio::task::spawn_blocking(move || lake_description::describe(&root)).await;
    let failed = |words: String| Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, words);
    let description = described.map_err(|error| failed(error.to_string()))?;
    description.map(Json).map_err(|error| failed(error.to_string()))
}

/// Asks on a thread that may block.
pub(super) async fn ask<T: Send + 'static>(
    state: AdminState,
    question: impl FnOnce(&dyn Operations) -> Result<T, OperationError> + Send + 'static,
) -> Result<Json<T>, Refusal> {
    let operations = state.parts.operations.clone();
    match tokio::task::spawn_blocking(move || question(operations.as_ref())).await {
        Ok(answer) => Ok(Json(answer?)),
        Err(error) => Err(Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string())),
    }
}
