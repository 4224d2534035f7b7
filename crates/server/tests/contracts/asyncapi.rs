//! The topics are what `docs/asyncapi.json` says: the same ones, and every message that a running service leaves in them
//! or publishes over MQTT is one that its channel describes.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::sync::mpsc::{Receiver, channel};

use log::embedded::EmbeddedLog;
use log::{Log, Topic};
use model::{Record, proto};
use prost::Message;
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{Packet, Publish};
use rumqttc::v5::{Client, Event, MqttOptions};
use serde_json::{Value, json};
use urban_neuron_server::engine_configs;
use urban_neuron_server::operations::{TopicScan, scan};

use crate::running::{PATIENCE, Running, eventually, root};
use crate::schema::Document;

const PREFIX: &str = "urban-neuron.";

const RULES: &str = r#"
[[rule]]
id = "level-high"
title = "the water stands high"
severity = "critical"
when = "water_level > 2 m"

[[rule]]
id = "level-high-shadow"
title = "a lower limit, tried out"
severity = "critical"
when = "water_level > 1 m"
shadow = true
"#;

fn written() -> Value {
    serde_json::from_str(&std::fs::read_to_string(root().join("docs/asyncapi.json")).unwrap()).unwrap()
}

/// Channels of a server, by their address.
fn channels<'a>(document: &'a Value, server: &str) -> BTreeMap<&'a str, &'a Value> {
    let server = json!([{ "$ref": format!("#/servers/{server}") }]);
    let all = document["channels"].as_object().unwrap().values();
    let of_it = all.filter(|channel| channel["servers"] == server);
    of_it.map(|channel| (channel["address"].as_str().unwrap(), channel)).collect()
}

#[test]
fn every_topic_of_the_log_is_described_and_no_other() {
    let document = written();
    let channels = channels(&document, "kafka");
    let topics: BTreeSet<String> =
        Topic::ALL.into_iter().map(|topic| format!("{PREFIX}{}", topic.name())).collect();
    assert_eq!(channels.keys().map(|address| (*address).to_owned()).collect::<BTreeSet<_>>(), topics);
    for topic in Topic::ALL {
        let channel = &channels[&*format!("{PREFIX}{}", topic.name())]["bindings"]["kafka"];
        assert_eq!(channel["topic"], format!("{PREFIX}{}", topic.name()));
        let cleanup = if topic.is_compacted() { "compact" } else { "delete" };
        assert_eq!(channel["topicConfiguration"]["cleanup.policy"], json!([cleanup]), "{}", topic.name());
        let partitions = if topic.partition_count(7) == 7 { "log.partitions" } else { "1" };
        assert_eq!(channel["x-partitions"], partitions, "{}", topic.name());
    }
}

#[test]
fn every_reference_leads_somewhere_and_every_message_is_of_a_channel() {
    let document = written();
    let text = document.to_string();
    for reference in text.split("\"$ref\":\"").skip(1).map(|rest| rest.split('"').next().unwrap()) {
        match reference.strip_prefix('#') {
            Some(pointer) => assert!(document.pointer(pointer).is_some(), "{reference}"),
            None => assert!(root().join("docs").join(reference).exists(), "{reference}"),
        }
    }
    for kind in ["messages", "schemas"] {
        for name in document["components"][kind].as_object().unwrap().keys() {
            assert!(text.contains(&format!("#/components/{kind}/{name}\"")), "nobody uses {name}");
        }
    }
    let operated: BTreeSet<&str> = document["operations"]
        .as_object()
        .unwrap()
        .values()
        .map(|operation| operation["channel"]["$ref"].as_str().unwrap())
        .collect();
    let channels = document["channels"].as_object().unwrap().keys();
    assert_eq!(operated.len(), channels.len(), "an operation a channel");
}

/// The document, and which of its messages were met.
struct Described {
    document: Value,
    schemas: Document,
    met: BTreeSet<String>,
}

/// A message as it was met.
struct Met<'a> {
    key: Option<&'a [u8]>,
    headers: Value,
    payload: Payload<'a>,
}

#[derive(Clone, Copy)]
enum Payload<'a> {
    Nothing,
    Bytes(&'a [u8]),
}

impl Described {
    fn new() -> Self {
        let document = written();
        Described { schemas: Document::beside_alert(document.clone()), document, met: BTreeSet::new() }
    }

    /// The message is one of those of its channel.
    fn check(&mut self, channel: &Value, met: &Met<'_>) {
        let mut refused = Vec::new();
        let names: Vec<String> = channel["messages"].as_object().unwrap().keys().cloned().collect();
        for name in names {
            match self.fits(&name, met) {
                Ok(()) => {
                    self.met.insert(name);
                    return;
                }
                Err(why) => refused.push(format!("{name}: {why}")),
            }
        }
        panic!("{}: a message that is none of it:\n{}", channel["address"], refused.join("\n"));
    }

    fn fits(&self, name: &str, met: &Met<'_>) -> Result<(), String> {
        let pointer = format!("/components/messages/{name}");
        let message = self.document.pointer(&pointer).unwrap();
        if let Some(key) = met.key {
            let key = String::from_utf8_lossy(key).into_owned();
            self.schemas.check(&format!("{pointer}/bindings/kafka/key"), &key.into())?;
        }
        self.schemas.check(&format!("{pointer}/headers"), &met.headers)?;
        if message["payload"]["schemaFormat"].is_null() {
            let payload = match met.payload {
                Payload::Nothing => Value::Null,
                Payload::Bytes([]) => Value::String(String::new()),
                Payload::Bytes(bytes) => serde_json::from_slice(bytes).map_err(|error| error.to_string())?,
            };
            return self.schemas.check(&format!("{pointer}/payload"), &payload);
        }
        let Payload::Bytes(bytes) = met.payload else {
            return Err("no value".to_owned());
        };
        let wanted = &message["payload"];
        let member = member_of(wanted["x-message"].as_str().unwrap(), bytes)?;
        let members = wanted["x-member"].as_str().unwrap_or(member);
        if members.split('|').any(|one| one == member) { Ok(()) } else { Err(format!("it is {member}")) }
    }
}

/// Reads a protobuf of ours; which member of its `oneof` it is.
fn member_of(message: &str, bytes: &[u8]) -> Result<&'static str, String> {
    use proto::dead_letter::Record as Letter;
    use proto::log_record::Record as Log;
    let wrong = |error: prost::DecodeError| error.to_string();
    match message {
        "urban_neuron.v1.LogRecord" => match proto::LogRecord::decode(bytes).map_err(wrong)?.record {
            Some(Log::Telemetry(_)) => Ok("telemetry"),
            Some(Log::Tick(_)) => Ok("tick"),
            Some(Log::Heartbeat(_)) => Ok("heartbeat"),
            Some(Log::RuleSet(_)) => Ok("rule_set"),
            None => Err("no member".to_owned()),
        },
        "urban_neuron.v1.DeadLetter" => match proto::DeadLetter::decode(bytes).map_err(wrong)?.record {
            Some(Letter::Rejected(_)) => Ok("rejected"),
            Some(Letter::Redriven(_)) => Ok("redriven"),
            None => Err("no member".to_owned()),
        },
        "urban_neuron.v1.Session" => proto::Session::decode(bytes).map(|_| "session").map_err(wrong),
        other => panic!("{other} is no message of ours"),
    }
}

/// A subscriber of all alerts, and what it is told.
struct Subscriber {
    client: Client,
    publishes: Receiver<Publish>,
}

impl Subscriber {
    fn start(options: MqttOptions) -> Self {
        let (client, mut connection) = Client::new(options, 64);
        client.subscribe("urban-neuron/v1/alerts/#", QoS::AtLeastOnce).unwrap();
        let (told, publishes) = channel();
        let (ready, is_ready) = channel();
        std::thread::spawn(move || {
            for event in connection.iter() {
                match event {
                    Ok(Event::Incoming(Packet::SubAck(_))) => ready.send(()).unwrap(),
                    // The test has all that it waits for.
                    Ok(Event::Incoming(Packet::Publish(publish))) => drop(told.send(publish)),
                    Ok(_) => {}
                    Err(_) => return,
                }
            }
        });
        is_ready.recv_timeout(PATIENCE).unwrap();
        Subscriber { client, publishes }
    }

    fn next(&self) -> Publish {
        self.publishes.recv_timeout(PATIENCE).expect("a subscriber is told")
    }
}

#[test]
fn every_message_is_one_of_its_channel() {
    let mut running = Running::start(&[("rules.toml", RULES)]);
    let mut options = running.mqtt_options("watcher");
    options.set_clean_start(false).set_session_expiry_interval(Some(3_600));
    let subscriber = Subscriber::start(options);
    running.publish("井-1", r#"{"water_level": 2.6}"#);
    let mut described = Described::new();
    let raised = subscriber.next();
    check_mqtt(&mut described, &raised);
    let late = Subscriber::start(running.mqtt_options("late"));
    let retained = late.next();
    assert!(retained.retain, "who joins late gets what fires now");
    check_mqtt(&mut described, &retained);
    let alert: model::Alert = serde_json::from_slice(&raised.payload).unwrap();
    let command = |kind: &str, body: &str| {
        running.request("POST", &format!("/v1/alerts/{}/{kind}", alert.alert_id), body)
    };
    assert_eq!(command("silence", r#"{"by": "Wang", "for": "2h"}"#).0, 200);
    check_mqtt(&mut described, &subscriber.next());
    running.publish("井-1", r#"{"water_level": 0.5}"#);
    for _ in 0..2 {
        check_mqtt(&mut described, &subscriber.next());
    }
    for bad in ["{\"water_level\": ", "[{\"water_level\": 1.0}]"] {
        running.publish("m-2", bad);
    }
    eventually("a dead letter is there", || {
        !running.get("/v1/dead-letters").1.as_array().unwrap().is_empty()
    });
    subscriber.client.disconnect().unwrap();
    late.client.disconnect().unwrap();
    let mut options = running.mqtt_options("watcher");
    options.set_clean_start(true);
    Subscriber::start(options).client.disconnect().unwrap();
    running.stop();

    let log =
        EmbeddedLog::open(engine_configs::embedded(&running.config(), |error| panic!("{error}"))).unwrap();
    let document = described.document.clone();
    let channels = channels(&document, "kafka");
    for topic in Topic::ALL {
        let channel = channels[&*format!("{PREFIX}{}", topic.name())];
        for partition in 0..topic.partition_count(log.partitions()) {
            scan(&log, &TopicScan::all(topic, partition), |record| {
                described.check(channel, &met(record));
                ControlFlow::Continue(())
            })
            .unwrap();
        }
    }
    let all: BTreeSet<String> =
        document["components"]["messages"].as_object().unwrap().keys().cloned().collect();
    let unmet: Vec<&String> = all.difference(&described.met).collect();
    // What devices and people send is checked where it is taken; a redrive that works has a test of its own.
    assert_eq!(unmet, ["deviceReport", "mqttAlertCommand", "redriven"]);
}

fn met<'a>(record: &Record<'a>) -> Met<'a> {
    let header = |(name, value): (&str, &[u8])| {
        (name.to_owned(), Value::String(String::from_utf8(value.to_vec()).unwrap()))
    };
    Met {
        key: Some(record.key),
        headers: Value::Object(record.headers().map(header).collect()),
        payload: if record.is_tombstone { Payload::Nothing } else { Payload::Bytes(record.value) },
    }
}

fn check_mqtt(described: &mut Described, publish: &Publish) {
    let topic = std::str::from_utf8(&publish.topic).unwrap();
    let document = described.document.clone();
    let channels = channels(&document, "mqtt");
    let (_, channel) = channels.into_iter().find(|(address, _)| fits_address(topic, address)).expect(topic);
    let properties = publish.properties.iter().flat_map(|properties| properties.user_properties.iter());
    let properties = properties.map(|(name, value)| (name.clone(), Value::String(value.clone())));
    let headers = Value::Object(properties.collect());
    described.check(channel, &Met { key: None, headers, payload: Payload::Bytes(&publish.payload) });
}

/// `{name}` in an address stands for one level.
fn fits_address(topic: &str, address: &str) -> bool {
    let (topic, address): (Vec<_>, Vec<_>) = (topic.split('/').collect(), address.split('/').collect());
    topic.len() == address.len()
        && topic.iter().zip(&address).all(|(level, wanted)| wanted.starts_with('{') || level == wanted)
}
