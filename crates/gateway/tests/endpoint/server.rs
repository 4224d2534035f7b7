//! One endpoint on a free port, stopped with the test.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use model::proto::Session;
use urban_neuron_gateway::AlertBoard;
use urban_neuron_gateway::mqtt_endpoint::{
    AllowAnyone, Authenticator, EndpointAddresses, EndpointConfig, EndpointCounts, MqttEndpoint,
};

use super::fake_log::{FakeLog, PATIENCE};

pub(crate) const LOOPBACK: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

pub(crate) struct Server {
    endpoint: Option<MqttEndpoint>,
    pub(crate) address: SocketAddr,
    pub(crate) board: AlertBoard,
}

/// What differs from the defaults.
pub(crate) struct Setup {
    pub(crate) config: EndpointConfig,
    pub(crate) board: AlertBoard,
    pub(crate) authenticator: Arc<dyn Authenticator>,
    pub(crate) sessions: Vec<(String, Session)>,
}

impl Default for Setup {
    fn default() -> Self {
        let board = AlertBoard::default();
        board.set_live(true);
        // Two threads, so that sessions move between them.
        let config = EndpointConfig { threads: 2, listen: vec![LOOPBACK], ..EndpointConfig::default() };
        Setup { config, board, authenticator: Arc::new(AllowAnyone::default()), sessions: Vec::new() }
    }
}

impl Setup {
    pub(crate) fn with(change: impl FnOnce(&mut EndpointConfig)) -> Self {
        let mut setup = Setup::default();
        change(&mut setup.config);
        setup
    }

    pub(crate) fn start(self, log: &FakeLog) -> Server {
        let Setup { config, board, authenticator, sessions } = self;
        let endpoint =
            MqttEndpoint::start(config, log.clone(), board.clone(), authenticator, sessions).unwrap();
        let address = endpoint.addresses().tcp[0];
        Server { endpoint: Some(endpoint), address, board }
    }
}

impl Server {
    pub(crate) fn start(log: &FakeLog) -> Self {
        Setup::default().start(log)
    }

    fn endpoint(&self) -> &MqttEndpoint {
        self.endpoint.as_ref().unwrap()
    }

    pub(crate) fn addresses(&self) -> EndpointAddresses {
        self.endpoint().addresses().clone()
    }

    pub(crate) fn counts(&self) -> EndpointCounts {
        self.endpoint().counters().counts()
    }

    pub(crate) fn reload_tls(&self) {
        self.endpoint().tls().unwrap().reload().unwrap();
    }

    pub(crate) fn wake_connections(&self) {
        self.endpoint().connections_waker().wake_all();
    }

    /// Waits until the counts are as wanted: they follow what clients see by a moment.
    pub(crate) fn wait_counts(&self, is_so: impl Fn(EndpointCounts) -> bool) {
        eventually(&format!("counts {:?}", self.counts()), || is_so(self.counts()));
    }

    /// Stops on another thread, which ends when it is done.
    pub(crate) fn begin_stop(mut self, deadline: Duration) -> std::thread::JoinHandle<()> {
        let endpoint = self.endpoint.take().unwrap();
        std::thread::spawn(move || endpoint.stop(deadline))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(endpoint) = self.endpoint.take() {
            endpoint.stop(Duration::ZERO);
        }
    }
}

pub(crate) fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "never: {what}");
        std::thread::yield_now();
    }
}
