//! What a subscriber is told, and the options of rumqttc that follow from it.

use std::path::PathBuf;
use std::time::Duration;

use rumqttc::{MqttOptions, QoS, SubscribeFilter, TlsConfiguration, Transport};

use super::broker_url::BrokerUrl;
use super::{SubscriberError, tls};

/// Largest packet that MQTT can say. The codec takes all of them: one that it refused would end the connection, and the
/// broker would send it again on the next, for ever.
const CODEC_BYTES_MAX: usize = 268_435_455 + 5;
/// Largest packet that we send: CONNECT and SUBSCRIBE.
const SENT_BYTES_MAX: usize = 1 << 20;

/// One subscriber.
#[derive(Clone, Debug)]
pub struct SubscriberConfig {
    pub url: BrokerUrl,
    /// The broker keeps what is not acknowledged under it: one a process, the same after a restart. Not empty.
    pub client_id: String,
    pub credentials: Option<BrokerCredentials>,
    /// Used with `mqtts` only.
    pub tls: BrokerTls,
    /// Topic filters; at least one.
    pub topics: Vec<String>,
    pub qos: SubscriptionQos,
    /// Group of a shared subscription, `$share/{group}/{filter}`: its members divide the messages.
    pub share: Option<String>,
    /// At least a second.
    pub keep_alive: Duration,
    /// Messages taken and not acknowledged; up to 9 more where they came in one read.
    pub in_flight_max: u16,
    /// A message with a larger packet is acknowledged and dropped with an ERROR: nothing else frees the broker of it.
    pub packet_bytes_max: usize,
    /// The first wait before connecting again, and the longest; between them it doubles, with jitter.
    pub reconnect_min: Duration,
    pub reconnect_max: Duration,
    /// How long a connection attempt, and a write to the broker, may take.
    pub network_timeout: Duration,
}

/// What is asked of the broker. QoS 2 is not: rumqttc forgets its state over a reconnect and then takes the broker's
/// PUBREL for an error; a redelivery of QoS 1 is one event anyway (I8).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SubscriptionQos {
    AtMostOnce,
    AtLeastOnce,
}

/// Name and password at the broker. `Debug` shows no password.
#[derive(Clone, PartialEq, Eq)]
pub struct BrokerCredentials {
    pub username: String,
    pub password: String,
}

/// PEM files for `mqtts`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BrokerTls {
    /// Authorities to trust; the system's when not set.
    pub ca_path: Option<PathBuf>,
    /// Our own certificate and its key.
    pub client: Option<(PathBuf, PathBuf)>,
}

impl SubscriberConfig {
    pub fn new(url: BrokerUrl, client_id: impl Into<String>, topics: Vec<String>) -> Self {
        SubscriberConfig {
            url,
            client_id: client_id.into(),
            credentials: None,
            tls: BrokerTls::default(),
            topics,
            qos: SubscriptionQos::AtLeastOnce,
            share: None,
            keep_alive: Duration::from_secs(30),
            in_flight_max: 1_000,
            packet_bytes_max: 1 << 20,
            reconnect_min: Duration::from_millis(500),
            reconnect_max: Duration::from_secs(30),
            network_timeout: Duration::from_secs(10),
        }
    }

    /// The filters as the broker is asked for them.
    pub(super) fn filters(&self) -> Vec<SubscribeFilter> {
        let qos = match self.qos {
            SubscriptionQos::AtMostOnce => QoS::AtMostOnce,
            SubscriptionQos::AtLeastOnce => QoS::AtLeastOnce,
        };
        let filter = |topic: &String| match &self.share {
            Some(group) => format!("$share/{group}/{topic}"),
            None => topic.clone(),
        };
        self.topics.iter().map(|topic| SubscribeFilter::new(filter(topic), qos)).collect()
    }

    pub(super) fn options(&self) -> Result<MqttOptions, SubscriberError> {
        self.check().map_err(SubscriberError::Config)?;
        let mut options = MqttOptions::new(&self.client_id, self.url.host(), self.url.port());
        options
            .set_clean_session(false)
            .set_manual_acks(true)
            .set_keep_alive(self.keep_alive)
            .set_max_packet_size(CODEC_BYTES_MAX, SENT_BYTES_MAX);
        if let Some(BrokerCredentials { username, password }) = &self.credentials {
            options.set_credentials(username, password);
        }
        if self.url.is_tls() {
            let config = TlsConfiguration::Rustls(tls::client_config(&self.tls)?);
            options.set_transport(Transport::tls_with_config(config));
        }
        Ok(options)
    }

    fn check(&self) -> Result<(), &'static str> {
        let is_bad_filter = |topic: &String| {
            topic.is_empty() || topic.contains('\0') || topic.len() > usize::from(u16::MAX) / 2
        };
        if self.client_id.is_empty() || self.client_id.starts_with(' ') || self.client_id.len() > 1_024 {
            Err("client_id is empty, begins with a space, or is longer than 1,024 bytes")
        } else if self.topics.is_empty() || self.topics.iter().any(is_bad_filter) {
            Err("topics is empty, or holds an empty or overlong filter")
        } else if self.share.as_ref().is_some_and(|group| group.is_empty() || group.contains(['/', '+', '#']))
        {
            Err("share is empty or contains one of / + #")
        } else if self.keep_alive < Duration::from_secs(1) || self.keep_alive.as_secs() > u64::from(u16::MAX)
        {
            Err("keep_alive is not between 1 s and 65,535 s")
        } else if self.in_flight_max == 0 || self.packet_bytes_max == 0 {
            Err("in_flight_max and packet_bytes_max are at least 1")
        } else if self.reconnect_min.is_zero() || self.reconnect_min > self.reconnect_max {
            Err("reconnect_min is zero or longer than reconnect_max")
        } else if self.network_timeout < Duration::from_secs(1) {
            Err("network_timeout is shorter than 1 s")
        } else {
            Ok(())
        }
    }
}

impl std::fmt::Debug for BrokerCredentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BrokerCredentials").field("username", &self.username).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> SubscriberConfig {
        SubscriberConfig::new(
            "mqtt://broker".parse().expect("an address"),
            "city-1",
            vec!["a/#".to_owned(), "b".to_owned()],
        )
    }

    #[test]
    fn a_password_is_not_shown() {
        let credentials = BrokerCredentials { username: "me".to_owned(), password: "hunter2".to_owned() };
        let shown = format!("{:?}", SubscriberConfig { credentials: Some(credentials), ..config() });
        assert!(shown.contains("\"me\"") && !shown.contains("hunter2"), "{shown}");
    }

    #[test]
    fn filters_of_a_group_are_shared() {
        let paths = |config: SubscriberConfig| {
            config.filters().into_iter().map(|filter| filter.path).collect::<Vec<_>>()
        };
        assert_eq!(paths(config()), ["a/#", "b"]);
        let shared = SubscriberConfig { share: Some("lake".to_owned()), ..config() };
        assert_eq!(paths(shared), ["$share/lake/a/#", "$share/lake/b"]);
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        assert!(config().options().is_ok());
        let cases = [
            SubscriberConfig { client_id: String::new(), ..config() },
            SubscriberConfig { topics: Vec::new(), ..config() },
            SubscriberConfig { topics: vec![String::new()], ..config() },
            SubscriberConfig { share: Some("a/b".to_owned()), ..config() },
            SubscriberConfig { keep_alive: Duration::ZERO, ..config() },
            SubscriberConfig { in_flight_max: 0, ..config() },
            SubscriberConfig { reconnect_min: Duration::from_secs(60), ..config() },
        ];
        for case in cases {
            assert!(matches!(case.options(), Err(SubscriberError::Config(_))), "{case:?}");
        }
    }
}
