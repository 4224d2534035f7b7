//! Strangers are turned away: by password, by certificate, and from devices that are not theirs. With clients of others.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::Packet;
use rumqttc::v5::{Client, Connection, Event, MqttOptions};

use crate::binary::{Deployment, free_address};
use crate::drain::eventually;
use crate::lake_rows;

const SECRET: &str = "correct horse battery";

/// `urban-neuron` with these arguments and stdin.
fn urban_neuron(arguments: &[&str], stdin: &str) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_urban-neuron"))
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(stdin.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

fn hash(password: &str) -> String {
    let output = urban_neuron(&["users", "hash"], &format!("{password}\n"));
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// Two devices behind two gateways, and users of both.
fn deployment(directory: &Path, users: &str) -> Deployment {
    let registry = directory.join("registry");
    fs::create_dir(&registry).unwrap();
    fs::write(registry.join("devices.csv"), "device_id,gateway_id\nm-1,gw-1\nm-2,gw-2\n").unwrap();
    write_users(directory, users);
    Deployment::new(directory)
        .set(format!("registry.path={}", registry.display()))
        .set("registry.unregistered=quarantine")
        .set(format!("mqtt.endpoint.credentials_path={}", directory.join("users.toml").display()))
        .set("lake.roll_age=100ms")
}

/// Renamed into its place, as an editor does.
fn write_users(directory: &Path, users: &str) {
    fs::write(directory.join("aside"), users).unwrap();
    fs::rename(directory.join("aside"), directory.join("users.toml")).unwrap();
}

fn telemetry(device: &str) -> String {
    format!("urban-neuron/v1/devices/{device}/telemetry")
}

fn mosquitto_pub(port: u16, device: &str, more: &[&str]) -> Output {
    let (port, topic) = (port.to_string(), telemetry(device));
    let arguments = ["-h", "127.0.0.1", "-p", &port, "-q", "1", "-t", &topic, "-m", r#"{"x":1}"#];
    Command::new("mosquitto_pub").args(arguments).args(more).output().expect("mosquitto-clients is installed")
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// Whether mosquitto was told so: it writes the words of the two versions differently.
fn is_bad_password(said: &str) -> bool {
    said.to_lowercase().contains("bad user name or password")
}

/// A connected client of MQTT 5.0.
fn connect(deployment: &Deployment, client_id: &str, user: &str, password: &str) -> (Client, Connection) {
    let mut options = MqttOptions::new(client_id, "127.0.0.1", deployment.mqtt.port());
    options.set_credentials(user, password).set_keep_alive(Duration::from_secs(30));
    let (client, mut connection) = Client::new(options, 10);
    match connection.recv().unwrap().unwrap() {
        Event::Incoming(Packet::ConnAck(_)) => {}
        other => panic!("{other:?}"),
    }
    (client, connection)
}

#[test]
fn a_user_speaks_for_its_own_devices_until_it_is_revoked() {
    let directory = tempfile::tempdir().unwrap();
    let gateway = format!("[users.gw-1]\npassword = \"{}\"\ngateway_id = \"gw-1\"\n", hash(SECRET));
    let reader = format!("[users.wall]\npassword = \"{}\"\nrole = \"reader\"\n", hash("wall"));
    let operator = format!("[users.duty]\npassword = \"{}\"\nrole = \"operator\"\n", hash("duty"));
    let deployment = deployment(directory.path(), &format!("{gateway}{reader}{operator}"));
    let service = deployment.start(&[]);
    let port = deployment.mqtt.port();
    let publish = |device: &str, version: &str, user: &str, password: &str| {
        said(&mosquitto_pub(port, device, &["-V", version, "-u", user, "-P", password]))
    };
    for version in ["mqttv311", "mqttv5"] {
        assert_eq!(publish("m-1", version, "gw-1", SECRET), "", "{version}");
        let refused = publish("m-1", version, "gw-1", "guessed-and-wrong");
        assert!(is_bad_password(&refused), "{refused}");
    }
    // Another's device, and one that nobody registered.
    for device in ["m-2", "m-3"] {
        let refused = publish(device, "mqttv5", "gw-1", SECRET);
        assert!(refused.contains("Not authorized"), "{device}: {refused}");
    }
    assert!(publish("m-1", "mqttv5", "wall", "wall").contains("Not authorized"));
    eventually("two land", || deployment.metric("urban_neuron_lake_rows_total") == 2.0);
    assert_eq!(deployment.metric("urban_neuron_dead_lettered_messages_total"), 0.0);
    assert_eq!(deployment.metric("urban_neuron_mqtt_endpoint_refused_messages_total"), 3.0);
    let (_, page) = deployment.get("/metrics").unwrap();
    assert!(page.contains(r#"urban_neuron_mqtt_endpoint_refused_messages_total{reason="not_authorized"} 3"#));

    // Commands on alerts are the operator's; that none fires is found out behind the door.
    let command = |user: &str, password: &str| {
        let topic = format!("urban-neuron/v1/commands/alerts/{}", "0".repeat(32));
        let message = r#"{"command":"acknowledge"}"#;
        let who = ["-h", "127.0.0.1", "-V", "mqttv5", "-u", user, "-P", password, "-q", "1"];
        let port = port.to_string();
        let published =
            Command::new("mosquitto_pub").args(who).args(["-p", &port, "-t", &topic, "-m", message]).output();
        said(&published.unwrap())
    };
    assert!(command("gw-1", SECRET).contains("Not authorized"));
    assert!(command("wall", "wall").contains("Not authorized"));
    assert_eq!(command("duty", "duty"), "");
    assert!(publish("m-1", "mqttv5", "duty", "duty").contains("Not authorized"));

    let forged = "x\n2026-01-01T00:00:00Z ERROR forged: all is lost\u{1b}[31m\u{202e}";
    let (client, mut connection) = connect(&deployment, forged, "gw-1", SECRET);
    client.publish(telemetry("m-2"), QoS::AtLeastOnce, false, r#"{"x":1}"#).unwrap();
    loop {
        if let Event::Incoming(Packet::PubAck(ack)) = connection.recv().unwrap().unwrap() {
            assert!(format!("{ack:?}").contains("NotAuthorized"), "{ack:?}");
            break;
        }
    }
    write_users(directory.path(), &format!("{gateway}role = \n"));
    eventually("a broken file is said", || service.log().contains("the file of users is broken"));
    write_users(directory.path(), &reader);
    let end = loop {
        if let Err(error) = connection.recv().unwrap() {
            break format!("{error:?}");
        }
    };
    assert!(end.contains("NotAuthorized"), "{end}");
    assert!(is_bad_password(&publish("m-1", "mqttv311", "gw-1", SECRET)));

    let (log, (_, page)) = (service.log(), deployment.get("/metrics").unwrap());
    assert!(log.contains("event=\"publish_refused\"") && log.contains("event=\"revoked\""), "{log}");
    assert!(log.contains("forged") && !log.contains("\n2026-01-01") && !log.contains('\u{202e}'), "{log}");
    for secret in [SECRET, "guessed-and-wrong", "$argon2id$", "horse"] {
        assert!(!log.contains(secret) && !page.contains(secret), "{secret} is shown");
    }
    service.stop();
    assert!(lake_rows::read(&deployment.lake()).iter().all(|row| row.device_id == "m-1"));
}

#[test]
fn a_certificate_of_our_own_authority_is_a_user() {
    let directory = tempfile::tempdir().unwrap();
    let tls = |name: &str| directory.path().join(name).display().to_string();
    for (folder, client) in [("ours", "gw-1"), ("foreign", "gw-1")] {
        let made = urban_neuron(
            &["tls", "init", "--dir", &tls(folder), "--names", "localhost,127.0.0.1", "--clients", client],
            "",
        );
        assert!(made.status.success(), "{made:?}");
    }
    let users = "[users.one]\ncertificate = \"gw-1\"\ngateway_id = \"gw-1\"\n";
    let address = free_address();
    let deployment = deployment(directory.path(), users)
        .set(format!("mqtt.endpoint.listen_tls={address}"))
        .set(format!("mqtt.endpoint.certificate_path={}", tls("ours/server.pem")))
        .set(format!("mqtt.endpoint.key_path={}", tls("ours/server.key")))
        .set(format!("mqtt.endpoint.client_ca_path={}", tls("ours/ca.pem")));
    let service = deployment.start(&[]);
    let publish = |device: &str, folder: &str| {
        let (ca, certificate, key) = (
            tls("ours/ca.pem"),
            tls(&format!("{folder}/client-gw-1.pem")),
            tls(&format!("{folder}/client-gw-1.key")),
        );
        let shown = ["--cafile", &ca, "--cert", &certificate, "--key", &key, "-V", "mqttv5"];
        mosquitto_pub(address.port(), device, &shown)
    };
    let accepted = publish("m-1", "ours");
    assert!(accepted.status.success() && said(&accepted).is_empty(), "{accepted:?}");
    assert!(said(&publish("m-2", "ours")).contains("Not authorized"));
    assert!(!publish("m-1", "foreign").status.success());
    // Over plain TCP there is no certificate, and this user has no password.
    let plain = mosquitto_pub(deployment.mqtt.port(), "m-1", &["-u", "one", "-P", "x"]);
    assert!(!plain.status.success(), "{plain:?}");
    eventually("one lands", || deployment.metric("urban_neuron_lake_rows_total") == 1.0);
    service.stop();
}
