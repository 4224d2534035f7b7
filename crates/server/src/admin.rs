//! The admin HTTP server: health, metrics, alerts, dead letters, log and lake.
//!
//! It has a thread and a runtime of its own, so that a busy gateway does not make a probe fail. It decides nothing: health
//! is what the components say, answers come from [`Operations`]. Invariant: `/health` needs no token and never blocks.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use axum::Router;
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::sync::{Semaphore, watch};
use tracing::warn;

use crate::config::{AdminSection, Listen, Secret};
use crate::health::Health;
use crate::listening;
use crate::operations::{About, Operations};
use crate::rule_operations::RuleOperations;

mod alert_routes;
mod answer;
mod openapi;
mod routes;
mod rule_routes;
mod watching;

/// Histograms are folded this often, read or not, or they would grow.
const UPKEEP_INTERVAL: Duration = Duration::from_secs(5);
/// Longest wait at a stop for answers that are being given.
const STOP_WAIT: Duration = Duration::from_secs(1);
/// Threads that may block on the log for requests; watchers have their own limit beside it.
const BLOCKING_THREADS: usize = 8;

/// What the server answers from.
#[derive(Clone)]
pub struct AdminParts {
    pub about: About,
    pub health: Health,
    pub metrics: PrometheusHandle,
    pub operations: Arc<dyn Operations>,
    pub rules: Arc<dyn RuleOperations>,
    pub lake_root: PathBuf,
}

/// Shared by all requests.
#[derive(Clone)]
struct AdminState {
    parts: Arc<AdminParts>,
    token: Option<Secret>,
    watchers: Arc<Semaphore>,
    stop: watch::Receiver<bool>,
}

/// A running admin server. Dropping it stops it.
pub struct Admin {
    addresses: Vec<SocketAddr>,
    stop: watch::Sender<bool>,
    thread: Option<JoinHandle<()>>,
}

/// The server did not start.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    #[error("admin.listen: {address}: {source}")]
    Listen { address: SocketAddr, source: io::Error },
    #[error("the admin server's runtime: {0}")]
    Runtime(io::Error),
}

impl Admin {
    /// Listens and answers until it is stopped.
    ///
    /// # Errors
    /// An address cannot be listened on; a missing IPv6 loopback that nobody asked for is a warning.
    pub fn start(config: &AdminSection, parts: AdminParts) -> Result<Admin, AdminError> {
        let listeners = bind(&config.listen)?;
        let addresses = listeners.iter().filter_map(|listener| listener.local_addr().ok()).collect();
        let watchers = config.watchers_max as usize;
        let (stop, stopped) = watch::channel(false);
        let state = AdminState {
            parts: Arc::new(parts),
            token: config.token.clone(),
            watchers: Arc::new(Semaphore::new(watchers)),
            stop: stopped,
        };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .max_blocking_threads(BLOCKING_THREADS + watchers)
            .thread_name("admin-blocking")
            .build()
            .map_err(AdminError::Runtime)?;
        let thread = std::thread::Builder::new()
            .name("admin".to_owned())
            .spawn(move || {
                runtime.block_on(serve(listeners, state));
                // A question to a log that does not answer must not hold up the stop.
                runtime.shutdown_background();
            })
            .map_err(AdminError::Runtime)?;
        Ok(Admin { addresses, stop, thread: Some(thread) })
    }

    /// Where it listens; with port 0 in the config, what the system chose.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }
}

impl Drop for Admin {
    fn drop(&mut self) {
        // Nobody listens when the thread ended already.
        self.stop.send(true).ok();
        if let Some(thread) = self.thread.take() {
            // It panics only where the process ends anyway.
            thread.join().ok();
        }
    }
}

fn bind(listen: &Listen) -> Result<Vec<TcpListener>, AdminError> {
    let bind = |address| {
        let listener = TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        Ok(listener)
    };
    listening::addresses("admin.listen", listen)
        .into_iter()
        .map(|address| bind(address).map_err(|source| AdminError::Listen { address, source }))
        .collect()
}

async fn serve(listeners: Vec<TcpListener>, state: AdminState) {
    let router = routes::router(state.clone());
    let mut servers = tokio::task::JoinSet::new();
    for listener in listeners {
        servers.spawn(serve_one(listener, router.clone(), state.stop.clone()));
    }
    let mut stop = state.stop.clone();
    let mut upkeep = tokio::time::interval(UPKEEP_INTERVAL);
    loop {
        tokio::select! {
            _ = upkeep.tick() => state.parts.metrics.run_upkeep(),
            _ = stop.wait_for(|is_stopped| *is_stopped) => break,
        }
    }
    // A client that does not read its answer is not waited for.
    let ended = async { while servers.join_next().await.is_some() {} };
    if tokio::time::timeout(STOP_WAIT, ended).await.is_err() {
        warn!("an admin request was cut off by the stop");
    }
}

async fn serve_one(listener: TcpListener, router: Router, mut stop: watch::Receiver<bool>) {
    let address = listener.local_addr().ok();
    let listener = match tokio::net::TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => return warn!(?address, %error, "the admin listener cannot be used"),
    };
    let stopped = async move {
        // An error means that the server was dropped, which is a stop too.
        stop.wait_for(|is_stopped| *is_stopped).await.ok();
    };
    if let Err(error) = axum::serve(listener, router).with_graceful_shutdown(stopped).await {
        warn!(?address, %error, "the admin listener ended");
    }
}
