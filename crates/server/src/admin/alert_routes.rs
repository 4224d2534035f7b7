//! What is done with an alert over HTTP: `POST /v1/alerts/{alert_id}/acknowledge`, `/comment`, `/silence`.

use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, PathRejection};
use axum::extract::{Path, State};
use axum::routing::post;
use axum::{Json, Router};
use model::Alert;

use super::AdminState;
use super::answer::Refusal;
use super::routes::ask;
use crate::alert_command::{CommandDraft, CommandKind};
use crate::operations::OperationError;

type AlertPath = Result<Path<String>, PathRejection>;
type Body = Result<Bytes, BytesRejection>;

pub(super) fn routes() -> Router<AdminState> {
    Router::new()
        .route("/v1/alerts/{alert_id}/acknowledge", post(acknowledge))
        .route("/v1/alerts/{alert_id}/comment", post(comment))
        .route("/v1/alerts/{alert_id}/silence", post(silence))
}

async fn acknowledge(state: State<AdminState>, path: AlertPath, body: Body) -> Result<Json<Alert>, Refusal> {
    command(CommandKind::Acknowledge, state, path, body).await
}

async fn comment(state: State<AdminState>, path: AlertPath, body: Body) -> Result<Json<Alert>, Refusal> {
    command(CommandKind::Comment, state, path, body).await
}

async fn silence(state: State<AdminState>, path: AlertPath, body: Body) -> Result<Json<Alert>, Refusal> {
    command(CommandKind::Silence, state, path, body).await
}

/// Answers with the event once the rules have said it.
async fn command(
    kind: CommandKind,
    State(state): State<AdminState>,
    path: AlertPath,
    body: Body,
) -> Result<Json<Alert>, Refusal> {
    let Path(alert_id) = path?;
    let draft = CommandDraft::read(&body?).and_then(|draft| draft.on_alert(&alert_id)?.of_kind(kind));
    let draft = draft.map_err(|error| OperationError::Invalid(error.to_string()))?;
    ask(state, move |operations| operations.command(draft)).await
}
