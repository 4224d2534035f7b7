//! A service in this process, a device that publishes to it, and HTTP as a client sees it.

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::Packet;
use rumqttc::v5::{Client, Event, MqttOptions};
use serde_json::Value;
use urban_neuron_server::config::{Config, Sources};
use urban_neuron_server::health::Role;
use urban_neuron_server::pipeline::Service;

/// Longest wait for anything here.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// An embedded deployment with two log partitions and a folder of rule files.
pub struct Running {
    pub directory: tempfile::TempDir,
    settings: Vec<String>,
    pub admin: SocketAddr,
    pub mqtt: SocketAddr,
    service: Option<Service>,
}

/// What a command did.
pub struct Ran {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

impl Running {
    /// Starts with these rule files, given as (name, text).
    pub fn start(rules: &[(&str, &str)]) -> Self {
        Self::with_registry(rules, &[])
    }

    /// The same with files of a registry.
    pub fn with_registry(rules: &[(&str, &str)], registry: &[(&str, &str)]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let put = |folder: &str, files: &[(&str, &str)]| {
            let folder = directory.path().join(folder);
            std::fs::create_dir(&folder).unwrap();
            for (name, text) in files {
                std::fs::write(folder.join(name), text).unwrap();
            }
            folder
        };
        let (folder, registry_folder) = (put("rules", rules), put("registry", registry));
        let (admin, mqtt) = (free_address(), free_address());
        let mut settings = vec![
            format!("data_dir={:?}", directory.path().join("data").display().to_string()),
            format!("rules.paths=[{:?}]", folder.display().to_string()),
            format!("admin.listen={admin}"),
            format!("mqtt.endpoint.listen={mqtt}"),
            "mqtt.endpoint.listen_websocket=\"\"".to_owned(),
            "coap.listen=\"\"".to_owned(),
            "log.partitions=2".to_owned(),
            "lake.roll_age=200ms".to_owned(),
        ];
        if !registry.is_empty() {
            settings.push(format!("registry.path={:?}", registry_folder.display().to_string()));
        }
        let mut running = Running { directory, settings, admin, mqtt, service: None };
        running.restart();
        running
    }

    pub fn restart(&mut self) {
        self.stop();
        self.service = Some(Service::start(&self.config(), &Role::ALL).unwrap());
        eventually("the service is ready", || self.get("/health/ready").0 == 200);
        // What is read before that is not known to the rules.
        eventually("a rule set is in force on both log partitions", || {
            let partitions = self.get("/v1/rules").1["partitions"].as_array().cloned().unwrap_or_default();
            partitions.len() == 2 && partitions.iter().all(|partition| partition["n"].is_u64())
        });
    }

    pub fn stop(&mut self) {
        if let Some(service) = self.service.take() {
            service.stop(None);
        }
    }

    pub fn rules_folder(&self) -> PathBuf {
        self.directory.path().join("rules")
    }

    pub fn get(&self, path: &str) -> (u16, Value) {
        self.request("GET", path, "")
    }

    /// Status and answer; one that is no JSON as a text.
    pub fn request(&self, method: &str, path: &str, body: &str) -> (u16, Value) {
        let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
        let request =
            ureq::http::Request::builder().method(method).uri(format!("http://{}{path}", self.admin));
        let mut response = agent.run(request.body(body.to_owned()).unwrap()).unwrap();
        let text = response.body_mut().read_to_string().unwrap();
        let value = serde_json::from_str(&text).unwrap_or(Value::String(text));
        (response.status().as_u16(), value)
    }

    /// The config that it runs with.
    pub fn config(&self) -> Config {
        Config::load(&Sources { settings: self.settings.clone(), ..Sources::default() }).unwrap()
    }

    pub fn mqtt_options(&self, client_id: &str) -> MqttOptions {
        MqttOptions::new(client_id, self.mqtt.ip().to_string(), self.mqtt.port())
    }

    /// Publishes flat JSON of a device, and waits for the acknowledgement.
    pub fn publish(&self, device: &str, payload: &str) {
        let mut options = self.mqtt_options("test-device");
        options.set_clean_start(true);
        let (client, mut connection) = Client::new(options, 8);
        let topic = format!("urban-neuron/v1/devices/{device}/telemetry");
        client.publish(topic, QoS::AtLeastOnce, false, payload.to_owned()).unwrap();
        for event in connection.iter() {
            if let Event::Incoming(Packet::PubAck(_)) = event.unwrap() {
                return;
            }
        }
        panic!("the connection ended without an acknowledgement");
    }

    /// Runs a command on this deployment.
    pub fn command(&self, args: &[&str]) -> Ran {
        let settings = self.settings.iter().flat_map(|setting| ["--set", setting]);
        let ran = Command::new(env!("CARGO_BIN_EXE_urban-neuron"))
            .args(args)
            .args(settings)
            .env_clear()
            .output()
            .unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Ran { code: ran.status.code().unwrap(), stdout: text(ran.stdout), stderr: text(ran.stderr) }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Looks until it is so.
pub fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "in vain: {what}");
        std::thread::yield_now();
    }
}

/// Of the repository.
pub fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}
