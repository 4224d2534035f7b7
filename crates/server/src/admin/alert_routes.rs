//! What is done with an alert over HTTP: `POST /v1/alerts/{alert_id}/acknowledge`, `/comment`, `/silence`.

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::routing::{MethodRouter, post};
use axum::{Json, Router};
use model::Alert;

use super::AdminState;
use super::answer::Refusal;
use super::routes::ask;
use crate::alert_command::{CommandDraft, CommandKind};
use crate::operations::OperationError;

pub(super) fn routes() -> Router<AdminState> {
    Router::new()
        .route("/v1/alerts/{alert_id}/acknowledge", on_alert(CommandKind::Acknowledge))
        .route("/v1/alerts/{alert_id}/comment", on_alert(CommandKind::Comment))
        .route("/v1/alerts/{alert_id}/silence", on_alert(CommandKind::Silence))
}

fn on_alert(kind: CommandKind) -> MethodRouter<AdminState> {
    post(move |state, path, body| command(kind, state, path, body))
}

/// Answers with the event once the rules have said it.
async fn command(
    kind: CommandKind,
    State(state): State<AdminState>,
    Path(alert_id): Path<String>,
    body: Bytes,
) -> Result<Json<Alert>, Refusal> {
    let draft = CommandDraft::read(&body).and_then(|draft| draft.on_alert(&alert_id)?.of_kind(kind));
    let draft = draft.map_err(|error| OperationError::Malformed(error.to_string()))?;
    ask(state, move |operations| operations.command(draft)).await
}
