//! The config: one TOML file, under the environment, under `--set`; everything that is wrong is said at once.
//!
//! [`Config::load`] is pure: the file's text, the environment, the flags and the reader of secrets are given. Inner types cannot hold nonsense; what fits two keys together is a sentence in [`cross_check`].
//! The keys are read by name rather than through serde, which stops at the first thing that is wrong.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

pub mod byte_size;
mod coap_section;
pub mod duration;
mod error;
mod lake_section;
mod listen;
mod log_section;
mod mqtt_section;
mod reader;
mod secret;
mod service_sections;
mod spelling;
mod tree;

pub use coap_section::CoapSection;
pub use error::{ConfigError, ConfigErrors, Place};
pub use lake_section::LakeSection;
pub use listen::Listen;
pub use log_section::{LogKind, LogSection, SaslSection, TlsSection};
pub use mqtt_section::{EndpointSection, ServerTls, SubscriberSection};
pub use reader::{KeyDoc, ReadSecret};
pub use secret::Secret;
pub use service_sections::{
    AdminSection, AlertsMqttSection, CatalogSection, GatewaySection, RegistrySection, RulesSection,
    TestingSection,
};

use reader::{Reader, Section};

/// Room that a record needs beside the payload it carries.
const RECORD_OVERHEAD_BYTES: u64 = 64 * byte_size::KIB;
const SUBSCRIBERS_MAX: usize = 64;

/// A config that makes sense.
#[derive(Clone, Debug)]
pub struct Config {
    pub data_dir: PathBuf,
    pub tenant: String,
    /// A name of the time zone database.
    pub time_zone: String,
    /// How long a stop may take to drain.
    pub drain_deadline: Duration,
    pub log: LogSection,
    pub gateway: GatewaySection,
    pub mqtt_endpoint: EndpointSection,
    pub mqtt_subscribers: Vec<SubscriberSection>,
    pub coap: CoapSection,
    pub catalog: CatalogSection,
    pub lake: LakeSection,
    pub registry: RegistrySection,
    pub rules: RulesSection,
    pub alerts_mqtt: Option<AlertsMqttSection>,
    pub admin: AdminSection,
    pub testing: TestingSection,
}

/// All that a config is made of.
#[derive(Clone, Debug)]
pub struct Sources {
    /// Path and text of the config file.
    pub file: Option<(PathBuf, String)>,
    /// The process environment; what does not start with `URBAN_NEURON__` is ignored.
    pub environment: BTreeMap<String, String>,
    /// `key=value` of each `--set`, in order.
    pub settings: Vec<String>,
    /// Reads the file that a secret's `*_path` names.
    pub read_secret: ReadSecret,
}

impl Default for Sources {
    fn default() -> Self {
        Sources {
            file: None,
            environment: BTreeMap::new(),
            settings: Vec::new(),
            read_secret: |path| std::fs::read_to_string(path),
        }
    }
}

impl Config {
    /// Reads and checks a config.
    ///
    /// # Errors
    /// Everything that is wrong with it, in the order of the file.
    pub fn load(sources: &Sources) -> Result<Config, ConfigErrors> {
        let mut reader = Reader::new(sources.read_secret);
        let mut table = tree::Table::new();
        if let Some((path, text)) = &sources.file {
            table = tree::parse_file(path, text, &mut reader.errors);
        }
        tree::apply_environment(&mut table, &sources.environment, &mut reader.errors);
        tree::apply_settings(&mut table, &sources.settings, &mut reader.errors);
        let config = reader.read(table, Config::read);
        cross_check(&config, &mut reader);
        if reader.errors.is_empty() {
            return Ok(config);
        }
        let line = |error: &ConfigError| match error.place {
            Place::File { line, .. } => line,
            _ => usize::MAX,
        };
        reader.errors.sort_by_key(line);
        Err(ConfigErrors(reader.errors))
    }

    fn read(s: &mut Section<'_>) -> Config {
        let data_dir = s
            .path("data_dir", "./urban-neuron-data", "Directory of everything that is kept on this machine.")
            .unwrap_or_else(|| PathBuf::from("."));
        let (mqtt_endpoint, mqtt_subscribers) = s.section("mqtt", |s| {
            (
                s.section("endpoint", EndpointSection::read),
                s.sections("subscriber", SUBSCRIBERS_MAX, SubscriberSection::read),
            )
        });
        let config = Config {
            tenant: s.text(
                "tenant",
                "default",
                "Whose data this is: the lake's column tenant. 1 to 64 of a-z, 0-9, _ and -.",
            ),
            time_zone: s.text(
                "time_zone",
                "Asia/Shanghai",
                "Zone of dialects that carry none and of rules' schedules; a name of the tz database.",
            ),
            drain_deadline: s.duration(
                "drain_deadline",
                "30s",
                "1s"..="10m",
                "How long a stop may take to make durable and acknowledge what is in flight.",
            ),
            log: s.section("log", LogSection::read),
            gateway: s.section("gateway", GatewaySection::read),
            mqtt_endpoint,
            mqtt_subscribers,
            coap: s.section("coap", CoapSection::read),
            catalog: s.section("catalog", CatalogSection::read),
            lake: s.section("lake", |s| LakeSection::read(s, &data_dir)),
            registry: s.section("registry", RegistrySection::read),
            rules: s.section("rules", RulesSection::read),
            alerts_mqtt: s.section("alerts", |s| s.section("mqtt", AlertsMqttSection::read)),
            admin: s.section("admin", AdminSection::read),
            testing: s.section("testing", TestingSection::read),
            data_dir,
        };
        service_sections::refuse_unsupported(s);
        config
    }
}

/// What must hold between keys.
fn cross_check(config: &Config, reader: &mut Reader) {
    let is_tenant =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'_' | b'-');
    if !(1..=64).contains(&config.tenant.len()) || !config.tenant.bytes().all(is_tenant) {
        reader.error_at(
            "tenant",
            format!("1 to 64 of a-z, 0-9, _ and - are wanted, found {:?}", config.tenant),
        );
    }
    if let Err(error) = jiff::tz::TimeZone::get(&config.time_zone) {
        reader.error_at("time_zone", error.to_string());
    }
    let log = &config.log;
    if config.mqtt_endpoint.packet_bytes_max + RECORD_OVERHEAD_BYTES > log.record_bytes_max {
        let message = "is the largest packet and must fit a record with 64KiB to spare: raise log.record_bytes_max or lower it";
        reader.error_at("mqtt.endpoint.packet_bytes_max", message);
    }
    if config.coap.body_bytes_max + RECORD_OVERHEAD_BYTES > log.record_bytes_max {
        let message = "is the largest body and must fit a record with 64KiB to spare: raise log.record_bytes_max or lower it";
        reader.error_at("coap.body_bytes_max", message);
    }
    if log.record_bytes_max > log.appender_bytes_max {
        reader.error_at("log.appender_bytes_max", "must hold the largest record, log.record_bytes_max");
    }
    match log.kind {
        LogKind::Kafka if log.bootstrap_servers.is_empty() => {
            reader.error_at(
                "log.bootstrap_servers",
                "is wanted with log.kind = \"kafka\", as in [\"127.0.0.1:9092\"]",
            );
        }
        LogKind::Embedded if !log.bootstrap_servers.is_empty() => {
            reader.error_at(
                "log.bootstrap_servers",
                "has no meaning for the embedded log: set log.kind = \"kafka\" or leave it out",
            );
        }
        LogKind::Embedded if log.bytes_max < 2 * log.segment_bytes => {
            reader.error_at("log.bytes_max", "must hold two segments, see log.segment_bytes");
        }
        _ => {}
    }
    check_open_listeners(config, reader);
}

/// Nobody is let in from other machines by accident.
fn check_open_listeners(config: &Config, reader: &mut Reader) {
    let endpoint = &config.mqtt_endpoint;
    let listeners = [
        ("mqtt.endpoint.listen", &endpoint.listen),
        ("mqtt.endpoint.listen_tls", &endpoint.listen_tls),
        ("mqtt.endpoint.listen_websocket", &endpoint.listen_websocket),
    ];
    for (key, listen) in listeners {
        // A certificate that only our authority gives is a credential.
        let is_mutual =
            key.ends_with("_tls") && endpoint.tls.as_ref().is_some_and(|tls| tls.client_ca_path.is_some());
        let is_guarded = !endpoint.is_open_to_anybody() || endpoint.allow_anonymous || is_mutual;
        if let Some(address) = listen.open_address().filter(|_| !is_guarded) {
            let message = format!(
                "{address} is open to other machines: set mqtt.endpoint.credentials_path, or say mqtt.endpoint.allow_anonymous = true"
            );
            reader.error_at(key, message);
        }
    }
    let coap = &config.coap;
    if let Some(address) = coap.listen.open_address().filter(|_| !coap.allow_anonymous) {
        let message = format!(
            "{address} is open to other machines, and plain CoAP knows no credentials: say coap.allow_anonymous = true where the network keeps others out"
        );
        reader.error_at("coap.listen", message);
    }
    let admin = &config.admin;
    if let Some(address) =
        admin.listen.open_address().filter(|_| admin.token.is_none() && !admin.allow_anonymous)
    {
        let message = format!(
            "{address} is open to other machines: set admin.token_path, or say admin.allow_anonymous = true"
        );
        reader.error_at("admin.listen", message);
    }
}

/// Every key with its default, range and words, in the order of the sections.
pub fn documented_keys() -> Vec<KeyDoc> {
    let mut reader = Reader::documenting();
    reader.read(tree::Table::new(), Config::read);
    reader.docs
}

#[cfg(test)]
mod tests;
