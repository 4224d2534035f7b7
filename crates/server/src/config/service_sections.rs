//! The smaller sections: `[gateway]`, `[catalog]`, `[registry]`, `[rules]`, `[alerts.mqtt]`, `[admin]`, `[testing]`, and those that
//! this version knows by name only.

use decode::Strangers;
use gateway::mqtt_subscriber::BrokerUrl;
use std::path::PathBuf;
use std::time::Duration;

use super::listen::Listen;
use super::reader::Section;
use super::secret::Secret;

/// `[gateway]`.
#[derive(Clone, Debug)]
pub struct GatewaySection {
    /// At least 1.
    pub threads: u32,
}

impl GatewaySection {
    pub(super) fn read(s: &mut Section<'_>) -> Self {
        let threads = s.count(
            "threads",
            0,
            0..=256,
            "Threads that read sockets, each with its own connections; 0 is half the processors.",
        );
        let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let half = u32::try_from(processors / 2).unwrap_or(u32::MAX);
        GatewaySection { threads: if threads == 0 { half.max(1) } else { threads } }
    }
}

/// `[catalog]`.
#[derive(Clone, Debug)]
pub struct CatalogSection {
    pub path: Option<PathBuf>,
}

impl CatalogSection {
    pub(super) fn read(s: &mut Section<'_>) -> Self {
        CatalogSection {
            path: s.path("path", "", "TOML file of further metrics, with their units and other names."),
        }
    }
}

/// `[registry]`.
#[derive(Clone, Debug)]
pub struct RegistrySection {
    pub path: Option<PathBuf>,
    /// What happens to messages of devices that are not in it.
    pub unregistered: Strangers,
}

impl RegistrySection {
    pub(super) fn read(s: &mut Section<'_>) -> Self {
        let text = "Directory of what is known of devices: devices.csv, models.toml, gateways.toml, assets.csv, zones.geojson.";
        let fates = [("accept", Strangers::Accept), ("quarantine", Strangers::Quarantine)];
        RegistrySection {
            path: s.path("path", "", text),
            unregistered: s.choice(
                "unregistered",
                &fates,
                "What becomes of a message whose device is not in the registry: it lands like any other, or it is set aside as a dead letter that can be redriven once the device is registered.",
            ),
        }
    }
}

/// `[rules]`.
#[derive(Clone, Debug)]
pub struct RulesSection {
    /// Files, or directories whose `*.toml` are read in order of their names.
    pub paths: Vec<PathBuf>,
    pub reload_interval: Duration,
    pub snapshot_interval: Duration,
}

impl RulesSection {
    pub(super) fn read(s: &mut Section<'_>) -> Self {
        let paths = s.texts("paths", "Rule files, and directories whose *.toml files are read.");
        RulesSection {
            paths: paths.into_iter().map(PathBuf::from).collect(),
            reload_interval: s.duration(
                "reload_interval",
                "2s",
                "100ms"..="1h",
                "How often the files are looked at for changes.",
            ),
            snapshot_interval: s.duration(
                "snapshot_interval",
                "30s",
                "1s"..="10m",
                "How often the state of each log partition is written.",
            ),
        }
    }
}

/// `[alerts.mqtt]`: a broker that alerts are published to.
#[derive(Clone, Debug)]
pub struct AlertsMqttSection {
    pub url: String,
    pub client_id: String,
    pub username: Option<String>,
    pub password: Option<Secret>,
    pub ca_path: Option<PathBuf>,
}

impl AlertsMqttSection {
    pub(super) fn read(s: &mut Section<'_>) -> Option<Self> {
        let url = s.text(
            "url",
            "",
            "Broker that alerts are published to beside the endpoint: mqtt://host:1883 or mqtts://host:8883.",
        );
        let client_id = s.text(
            "client_id",
            "urban-neuron-alerts",
            "Start of the client id there; the process adds its own end.",
        );
        let username = s.text("username", "", "Who we are there.");
        let password = s.secret("password", "password_path", "Its password.");
        let ca_path = s.path(
            "ca_path",
            "",
            "PEM file of the authorities to trust with mqtts; the system's when not set.",
        );
        if url.is_empty() {
            return None;
        }
        if let Err(error) = url.parse::<BrokerUrl>() {
            s.error("url", error.to_string());
        }
        Some(AlertsMqttSection {
            url,
            client_id,
            username: (!username.is_empty()).then_some(username),
            password,
            ca_path,
        })
    }
}

/// `[admin]`.
#[derive(Clone, Debug)]
pub struct AdminSection {
    pub listen: Listen,
    pub token: Option<Secret>,
    pub allow_anonymous: bool,
    pub watchers_max: u32,
}

impl AdminSection {
    pub(super) fn read(s: &mut Section<'_>) -> Self {
        AdminSection {
            listen: s.listen(
                "listen",
                Listen::loopbacks(9600),
                "Admin HTTP: health, metrics, alerts, dead letters, lake.",
            ),
            token: s.secret("token", "token_path", "Bearer token that everything but /health asks for."),
            allow_anonymous: s.flag(
                "allow_anonymous",
                false,
                "Answer anybody on addresses other than loopback.",
            ),
            watchers_max: s.count(
                "watchers_max",
                64,
                1..=10_000,
                "Clients that watch alerts at once; one more is told 503.",
            ),
        }
    }
}

/// `[testing]`: for crash tests of the whole process.
#[derive(Clone, Debug)]
pub struct TestingSection {
    /// Name of a failpoint, and which passing of it aborts.
    pub abort_at: Option<(String, u32)>,
}

impl TestingSection {
    pub(super) fn read(s: &mut Section<'_>) -> Self {
        let text = s.text(
            "abort_at",
            "",
            "For crash tests: the process aborts when it passes this failpoint, name or name:nth.",
        );
        if text.is_empty() {
            return TestingSection { abort_at: None };
        }
        let (name, nth) = text.split_once(':').unwrap_or((&text, "1"));
        let nth = nth.parse().unwrap_or(0);
        if nth == 0 || name.is_empty() {
            s.error("abort_at", format!("name or name:nth is wanted, nth from 1, found {text:?}"));
        }
        TestingSection { abort_at: Some((name.to_owned(), nth)) }
    }
}

/// Sections whose keys are known and whose parts are not here yet: said clearly rather than ignored.
pub(super) fn refuse_unsupported(s: &mut Section<'_>) {
    s.section("push", |s| {
        refuse_listen(s, "listen", "Platform push over HTTP (port 9601). Not supported by this version.")
    });
    s.section("field", |s| {
        refuse_listen(s, "listen", "Framed TCP of the field. Not supported by this version.")
    });
}

pub(super) fn refuse_listen(s: &mut Section<'_>, key: &'static str, text: &'static str) {
    if !s.listen(key, Listen::default(), text).is_off() {
        s.error(key, "this listener is not supported yet: leave it out or set it to \"\"");
    }
}
