//! `/v1/alerts/watch`: every alert event as a line of JSON for as long as the client listens. A thread reads the log for
//! each watcher; a client that reads slowly holds up its own thread only.

use std::ops::ControlFlow;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use model::Alert;
use tokio::sync::mpsc;
use tracing::warn;

use super::AdminState;
use super::answer::Refusal;

/// Lines on their way to one client.
const LINES_MAX: usize = 256;

pub(super) async fn watch_alerts(State(state): State<AdminState>) -> Result<Response, Refusal> {
    let Ok(permit) = state.watchers.clone().try_acquire_owned() else {
        return Err(Refusal::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "admin.watchers_max clients watch already",
        ));
    };
    let (lines, received) = mpsc::channel(LINES_MAX);
    let operations = state.parts.operations.clone();
    let stop = state.stop.clone();
    tokio::task::spawn_blocking(move || {
        let _permit = permit;
        let mut each = |alert: Option<Alert>| {
            if *stop.borrow() || lines.blocking_send(line_of(alert)).is_err() {
                return ControlFlow::Break(());
            }
            ControlFlow::Continue(())
        };
        if let Err(error) = operations.watch(&mut each) {
            warn!(%error, "a watcher of alerts ends");
        }
    });
    let body = Body::from_stream(Lines(received));
    Ok(([(header::CONTENT_TYPE, "application/x-ndjson")], body).into_response())
}

/// The alert on a line; an empty line says that the service is there.
fn line_of(alert: Option<Alert>) -> Bytes {
    let mut line = alert.as_ref().map(crate::alert_stream::alert_json).unwrap_or_default();
    line.push('\n');
    line.into()
}

/// The channel as a stream of body parts.
struct Lines(mpsc::Receiver<Bytes>);

impl futures_util::Stream for Lines {
    type Item = Result<Bytes, std::convert::Infallible>;

    fn poll_next(
        mut self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Self::Item>> {
        self.0.poll_recv(context).map(|line| line.map(Ok))
    }
}
