//! What a config may say, what it may not, and that the docs and the samples agree with it.

#![allow(clippy::panic)]

use std::path::Path;

use super::*;

fn load(text: &str) -> Result<Config, ConfigErrors> {
    Config::load(&Sources { file: Some((PathBuf::from("city.toml"), text.to_owned())), ..Sources::default() })
}

fn load_with(text: &str, environment: &[(&str, &str)], settings: &[&str]) -> Result<Config, ConfigErrors> {
    Config::load(&Sources {
        file: Some((PathBuf::from("city.toml"), text.to_owned())),
        environment: environment
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect(),
        settings: settings.iter().map(|setting| (*setting).to_owned()).collect(),
        ..Sources::default()
    })
}

/// Loads what must be refused and gives its errors, one a line.
fn refusal(text: &str, environment: &[(&str, &str)], settings: &[&str]) -> String {
    load_with(text, environment, settings).expect_err("the config is refused").to_string()
}

#[test]
fn nothing_said_is_one_process_on_loopback() {
    let config = Config::load(&Sources::default()).expect("the defaults hold");
    assert_eq!(config.data_dir, PathBuf::from("./urban-neuron-data"));
    assert_eq!(config.lake.root, PathBuf::from("./urban-neuron-data/lake"));
    assert_eq!((config.log.kind, config.log.partitions), (LogKind::Embedded, 8));
    assert_eq!(config.mqtt_endpoint.listen, Listen::loopbacks(1883));
    assert!(config.mqtt_endpoint.listen_tls.is_off());
    assert_eq!(config.lake.roll_bytes, 128 << 20);
    assert_eq!(config.lake.roll_age, Duration::from_secs(60));
    assert!(config.mqtt_subscribers.is_empty() && config.alerts_mqtt.is_none());
}

#[test]
fn a_flag_beats_the_environment_beats_the_file() {
    let file = "[lake]\nroll_age = \"1s\"\nroll_rows = 1\nroll_bytes = \"1MiB\"";
    let environment =
        [("URBAN_NEURON__LAKE__ROLL_AGE", "2s"), ("URBAN_NEURON__LAKE__ROLL_ROWS", "2"), ("PATH", "/bin")];
    let config = load_with(file, &environment, &["lake.roll_age=3s"]).expect("it holds");
    assert_eq!(config.lake.roll_age, Duration::from_secs(3));
    assert_eq!((config.lake.roll_rows, config.lake.roll_bytes), (2, 1 << 20));
}

#[test]
fn everything_wrong_is_said_at_once_with_its_line() {
    let text = "tenant = \"Not Ok\"\n[lake]\nroll_age = \"60x\"\nroll_bytes = 5\nrol_rows = 3\n[log]\npartitions = 0\nkind = \"pulsar\"\n\n[[mqtt.subscriber]]\nurl = \"http://b\"\n[lamps]\n";
    let expected = [
        "city.toml:1: tenant: 1 to 64 of a-z, 0-9, _ and - are wanted, found \"Not Ok\"",
        "city.toml:3: lake.roll_age: \"60x\" is no span of time: write a whole number and ms, s, m, h or d, as in \"60s\"",
        "city.toml:4: lake.roll_bytes: a text with a unit is wanted, found the number 5",
        "city.toml:5: lake.rol_rows: no such key; did you mean \"roll_rows\"?",
        "city.toml:7: log.partitions: wanted 1 to 1024, found the number 0",
        "city.toml:8: log.kind: one of \"embedded\", \"kafka\" is wanted, found the text \"pulsar\"",
        "city.toml:11: mqtt.subscriber[0].url: mqtt://host:port or mqtts://host:port is wanted, found \"http://b\"",
    ];
    let found = refusal(text, &[], &[]);
    for line in expected {
        assert!(found.lines().any(|found| found == line), "{line}\nis not in\n{found}");
    }
    assert!(found.contains("city.toml:12: lamps: no such key; known here are data_dir"), "{found}");
    assert!(found.contains("mqtt.subscriber[0].topics: at least one topic filter"), "{found}");
}

#[test]
fn broken_toml_is_said_with_its_line() {
    let found = refusal("tenant = \"a\"\n[lake\nroll_age = \"1s\"\n", &[], &[]);
    assert!(found.starts_with("city.toml:2: "), "{found}");
}

#[test]
fn overrides_are_toml_or_bare_text() {
    let settings = [
        "mqtt.endpoint.listen=[\"127.0.0.1:0\", \"[::1]:0\"]",
        "admin.listen=127.0.0.1:0",
        "tenant=7",
        "lake.roll_rows=1_000",
        "mqtt.subscriber=[{url = \"mqtt://b:1883\", topics = [\"a/#\"]}]",
        "log={segment_bytes = \"1MiB\", partitions = 2}",
    ];
    let config = load_with("[log]\npartitions = 4\nbytes_max = \"1GiB\"", &[], &settings).expect("it holds");
    assert_eq!((config.mqtt_endpoint.listen.addresses.len(), config.admin.listen.addresses.len()), (2, 1));
    assert_eq!((config.tenant.as_str(), config.lake.roll_rows), ("7", 1000));
    assert_eq!(config.mqtt_subscribers[0].topics, ["a/#"]);
    assert_eq!(
        (config.log.partitions, config.log.segment_bytes, config.log.bytes_max),
        (2, 1 << 20, 1 << 30)
    );
}

#[test]
fn a_bare_text_is_no_list_and_a_list_has_no_members_to_set() {
    let found =
        refusal("", &[("URBAN_NEURON__RULES__PATHS", "a.toml")], &["log.bootstrap_servers=b:9092", "lake"]);
    assert!(found.contains("environment URBAN_NEURON__RULES__PATHS: rules.paths: a list is wanted, as in [\"a\", \"b\"], found the text \"a.toml\""), "{found}");
    assert!(found.contains("--set: log.bootstrap_servers: a list is wanted"), "{found}");
    assert!(found.contains("--set: \"lake\" is no key=value"), "{found}");
    let found = refusal(
        "[[mqtt.subscriber]]\nurl = \"mqtt://b\"\ntopics = [\"a\"]",
        &[],
        &["mqtt.subscriber.url=mqtt://c"],
    );
    assert!(found.contains("a list is replaced whole"), "{found}");
}

#[test]
fn secrets_come_from_the_environment_or_a_file() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("token");
    std::fs::write(&path, "s3cret\n").expect("written");
    let config = load(&format!("[admin]\ntoken_path = {path:?}")).expect("it holds");
    assert_eq!(config.admin.token.as_ref().map(Secret::reveal), Some("s3cret"));
    assert!(!format!("{config:?}").contains("s3cret"));

    let config = load_with("", &[("URBAN_NEURON__ADMIN__TOKEN", "007")], &[]).expect("it holds");
    assert_eq!(config.admin.token.as_ref().map(Secret::reveal), Some("007"));

    let found = refusal("[admin]\ntoken = \"x\"", &[], &["admin.token=y"]);
    assert!(found.contains("admin.token: a secret comes from the environment or a file"), "{found}");
    assert!(
        refusal("[admin]\ntoken_path = \"/no/such\"", &[], &[])
            .contains("city.toml:2: admin.token_path: /no/such: ")
    );
}

#[test]
fn nobody_is_let_in_by_accident() {
    let open = "[mqtt.endpoint]\nlisten = \"0.0.0.0:1883\"";
    assert!(
        refusal(open, &[], &[])
            .contains("city.toml:2: mqtt.endpoint.listen: 0.0.0.0:1883 is open to other machines")
    );
    assert!(load_with(open, &[], &["mqtt.endpoint.allow_anonymous=true"]).is_ok());
    assert!(load_with(open, &[], &["mqtt.endpoint.credentials_path=/etc/users"]).is_ok());
    assert!(load("[mqtt.endpoint]\nlisten = \"[::ffff:127.0.0.1]:1883\"").is_ok());
    assert!(refusal("", &[], &["admin.listen=[::]:9600"]).contains("admin.listen: [::]:9600 is open"));
}

#[test]
fn what_does_not_fit_together_is_refused() {
    let cases = [
        ("log.kind=kafka", "log.bootstrap_servers: is wanted"),
        ("log.bootstrap_servers=[\"a:1\"]", "log.bootstrap_servers: has no meaning"),
        ("mqtt.endpoint.packet_bytes_max=4MiB", "mqtt.endpoint.packet_bytes_max: is the largest packet"),
        ("log.segment_bytes=1GiB\u{0}log.bytes_max=1GiB", "log.bytes_max: must hold two segments"),
        ("mqtt.endpoint.listen_tls=127.0.0.1:8883", "mqtt.endpoint.listen_tls: needs certificate_path"),
        ("mqtt.endpoint.key_path=k", "mqtt.endpoint.certificate_path: is missing"),
        ("time_zone=Mars/Olympus", "time_zone: "),
        ("lake.root=s3://bucket/lake", "lake.root: an object store is not supported yet"),
        ("lake.roll_age=2h", "lake.roll_age: is not longer"),
        ("coap.listen_dtls=127.0.0.1:5684", "coap.listen_dtls: this listener is not supported yet"),
        ("coap.listen=0.0.0.0:5683", "coap.listen: 0.0.0.0:5683 is open to other machines"),
        ("coap.body_bytes_max=8388608", "coap.body_bytes_max: is the largest body"),
        ("coap.body_bytes_max=5", "coap.body_bytes_max: wanted 1KiB to 16MiB"),
        ("push.listen=127.0.0.1:9601", "push.listen: this listener is not supported yet"),
        ("log.spool.enabled=true", "log.spool.enabled: the spool is not supported yet"),
        ("testing.abort_at=x:0", "testing.abort_at: name or name:nth"),
        ("mqtt.endpoint.listen=localhost:1883", "mqtt.endpoint.listen: addresses with ports are wanted"),
        ("log.sasl.mechanism=PLAIN", "log.sasl.username: is wanted"),
    ];
    for (settings, expected) in cases {
        let settings: Vec<&str> = settings.split('\0').collect();
        let found = refusal("", &[], &settings);
        assert!(found.contains(expected), "{settings:?}: {found}");
    }
}

#[test]
fn every_sample_config_holds() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/config");
    let mut count = 0;
    for entry in std::fs::read_dir(&dir).expect("the samples are there") {
        let path = entry.expect("an entry").path();
        if path.extension().is_some_and(|extension| extension == "toml") {
            let text = std::fs::read_to_string(&path).expect("readable");
            // The files of a city's secrets are not in the repository.
            let read_secret: ReadSecret = |_| Ok("secret".to_owned());
            let sources = Sources { file: Some((path.clone(), text)), read_secret, ..Sources::default() };
            if let Err(errors) = Config::load(&sources) {
                panic!("{}:\n{errors}", path.display());
            }
            count += 1;
        }
    }
    assert!(count >= 2, "{count} samples in {}", dir.display());
}
