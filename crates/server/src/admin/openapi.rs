//! `/v1/openapi.json`: the description of this server, complete in itself.

use std::sync::LazyLock;

use axum::http::header;
use axum::response::{IntoResponse, Response};
use serde_json::Value;

const ALERT_SCHEMA: &str = "schemas/alert.schema.json";

/// As `docs/openapi.json` has it, with the schema of alerts in place of the reference to its file.
static DOCUMENT: LazyLock<String> = LazyLock::new(|| {
    let parse = |text| serde_json::from_str::<Value>(text).expect("a test parses the documents");
    let mut document = parse(include_str!("../../../../docs/openapi.json"));
    let mut alert = parse(include_str!("../../../../docs/schemas/alert.schema.json"));
    // With an id of its own, the references inside it stay inside it.
    alert["$id"] = ALERT_SCHEMA.into();
    document["components"]["schemas"]["Alert"] = alert;
    document.to_string()
});

pub(super) async fn openapi() -> Response {
    ([(header::CONTENT_TYPE, "application/json")], DOCUMENT.as_str()).into_response()
}
