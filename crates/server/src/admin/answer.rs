//! What an admin request is answered when it is not simply a value.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use crate::operations::{ErrorAnswer, OperationError};

/// A refusal with its status, as `{"error": "..."}`.
pub(super) struct Refusal {
    status: StatusCode,
    words: String,
}

impl Refusal {
    pub(super) fn new(status: StatusCode, words: impl Into<String>) -> Self {
        Refusal { status, words: words.into() }
    }
}

impl From<OperationError> for Refusal {
    fn from(error: OperationError) -> Self {
        let status = match &error {
            OperationError::NotFound(_) => StatusCode::NOT_FOUND,
            OperationError::Invalid(_) => StatusCode::BAD_REQUEST,
            OperationError::Refused(_) => StatusCode::CONFLICT,
            OperationError::Stalled { .. } | OperationError::Log(_) | OperationError::NotDone(_) => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            OperationError::Admin(_) => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Refusal::new(status, error.to_string())
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        (self.status, Json(ErrorAnswer { error: self.words })).into_response()
    }
}
