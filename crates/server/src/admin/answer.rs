//! What an admin request is answered when it is not simply a value.

use axum::Json;
use axum::extract::rejection::{BytesRejection, PathRejection, QueryRejection};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use crate::operations::{ErrorAnswer, OperationError};

/// A refusal with its status, as `{"error": "..."}`; rule files that do not load get `diagnostics` beside it.
pub(super) struct Refusal {
    status: StatusCode,
    answer: ErrorAnswer,
}

impl Refusal {
    pub(super) fn new(status: StatusCode, words: impl Into<String>) -> Self {
        Refusal { status, answer: ErrorAnswer { error: words.into(), diagnostics: Vec::new() } }
    }
}

impl From<OperationError> for Refusal {
    fn from(error: OperationError) -> Self {
        if let OperationError::BrokenRules { words, diagnostics } = error {
            let answer = ErrorAnswer { error: words, diagnostics };
            return Refusal { status: StatusCode::UNPROCESSABLE_ENTITY, answer };
        }
        let status = match &error {
            OperationError::NotFound(_) => StatusCode::NOT_FOUND,
            OperationError::Invalid(_) => StatusCode::BAD_REQUEST,
            OperationError::Refused(_) => StatusCode::CONFLICT,
            OperationError::Stalled { .. }
            | OperationError::Log(_)
            | OperationError::NotDone(_)
            | OperationError::Unavailable(_) => StatusCode::SERVICE_UNAVAILABLE,
            OperationError::Admin(_) | OperationError::Failed(_) | OperationError::BrokenRules { .. } => {
                StatusCode::INTERNAL_SERVER_ERROR
            }
        };
        Refusal::new(status, error.to_string())
    }
}

/// What axum could not read of a request is refused in the same shape as anything else.
macro_rules! refuse_rejections {
    ($($rejection:ty),*) => {$(
        impl From<$rejection> for Refusal {
            fn from(rejection: $rejection) -> Self {
                Refusal::new(rejection.status(), rejection.body_text())
            }
        }
    )*};
}

refuse_rejections!(BytesRejection, PathRejection, QueryRejection);

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        (self.status, Json(self.answer)).into_response()
    }
}
