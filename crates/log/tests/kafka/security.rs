//! TLS and SASL.

use urban_neuron_log::Log;
use urban_neuron_log::kafka::{KafkaConfig, KafkaLog, SaslConfig, SaslMechanism, TlsConfig};
use urban_neuron_log::{Appender, Error, Topic};

use crate::{append, appender, config, shared_broker, until_durable};

fn over_tls(address: &str) -> KafkaConfig {
    let broker = shared_broker();
    let mut config = config(broker, "secure", 1);
    config.bootstrap_servers = address.into();
    config.tls = Some(TlsConfig { ca: Some(broker.authority()), certificate: None, key: None, verify: true });
    config
}

fn with_password(password: &str) -> KafkaConfig {
    let mut config = over_tls(&shared_broker().sasl);
    config.sasl = Some(SaslConfig {
        mechanism: SaslMechanism::ScramSha256,
        username: "urban".into(),
        password: password.into(),
    });
    config
}

#[test]
fn records_go_over_tls_and_sasl_and_strangers_are_refused() {
    for (before, config) in (0..).zip([over_tls(&shared_broker().tls), with_password("neuron")]) {
        let log = KafkaLog::connect(config).unwrap();
        let mut appender = appender(&log);
        append(&mut appender, 0, "sealed");
        let ticket = appender.flush();
        until_durable(&mut appender, ticket);
        assert_eq!(log.offsets(Topic::Telemetry, 0).unwrap(), 0..before + 1);
    }
    let mut unknown_authority = over_tls(&shared_broker().tls);
    unknown_authority.tls = Some(TlsConfig { ca: None, certificate: None, key: None, verify: true });
    for (config, word) in [(with_password("wrong"), "uthentication"), (unknown_authority, "certificate")] {
        match KafkaLog::connect(config).err() {
            Some(Error::Refused(why)) => assert!(why.contains(word), "{why}"),
            other => panic!("a stranger was let in, or got {other:?}"),
        }
    }
}
