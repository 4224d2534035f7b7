//! The log's topics in Kafka: made where they are missing, else checked, because what a topic says of itself decides what
//! the log can promise.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;
use std::time::{Duration, Instant};

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaErrorCode;

use super::config::KafkaConfig;
use super::control::c_name;
use super::native::{Handle, TopicDescription, describe_topics};
use crate::{Error, Topic};

/// How often a topic that was just made is looked at.
const LOOK_INTERVAL: Duration = Duration::from_millis(50);
/// Fewer replicas, and one lost disk or two lose what was acknowledged.
const REPLICAS_SOUND: usize = 3;
const IN_SYNC_SOUND: i64 = 2;

/// Makes or checks every topic; returns the id of telemetry's.
pub(super) fn ensure(config: &KafkaConfig, handle: &Arc<Handle>) -> Result<[u8; 16], Error> {
    let admin: AdminClient<DefaultClientContext> =
        config.client().create().map_err(|source| Error::Kafka { action: "make a client", source })?;
    let missing = missing(config, handle)?;
    if !missing.is_empty() {
        create(config, &admin, &missing)?;
    }
    let described = await_leaders(config, handle)?;
    for (topic, description) in Topic::ALL.into_iter().zip(&described) {
        check_partitions(config, topic, description)?;
    }
    for (topic, settings) in settings(config, &admin)? {
        let name = config.topic_name(topic);
        check_settings(config, topic, &settings)
            .map_err(|why| Error::Refused(format!("kafka topic {name}: {why}")))?;
        let concerns = concerns(config, topic, described[topic as usize].replicas, &settings);
        if !concerns.is_empty() {
            tracing::warn!(
                kafka_topic = name,
                concerns = concerns.join("; "),
                "kafka may lose what was acknowledged"
            );
        }
    }
    Ok(described[Topic::Telemetry as usize].id)
}

type Described = Vec<Result<TopicDescription, RDKafkaErrorCode>>;

fn describe(config: &KafkaConfig, handle: &Arc<Handle>) -> Result<Described, Error> {
    let names: Vec<_> =
        Topic::ALL.into_iter().map(|topic| c_name(config.topic_name(topic))).collect::<Result<_, _>>()?;
    describe_topics(handle, &names, config.request_wait_max)
        .map_err(|source| Error::Kafka { action: "describe the topics", source })
}

fn missing(config: &KafkaConfig, handle: &Arc<Handle>) -> Result<Vec<Topic>, Error> {
    let described = describe(config, handle)?;
    let is_missing = |(_, found): &(Topic, Result<_, RDKafkaErrorCode>)| {
        matches!(found, Err(RDKafkaErrorCode::UnknownTopicOrPartition))
    };
    Ok(Topic::ALL.into_iter().zip(described).filter(is_missing).map(|(topic, _)| topic).collect())
}

fn create(
    config: &KafkaConfig,
    admin: &AdminClient<DefaultClientContext>,
    missing: &[Topic],
) -> Result<(), Error> {
    let batch_bytes_max = config.batch_bytes_max().to_string();
    let retention_ms = config.retention.as_millis().to_string();
    let names: Vec<_> = missing.iter().map(|topic| config.topic_name(*topic)).collect();
    let topics: Vec<_> = missing
        .iter()
        .zip(&names)
        .map(|(topic, name)| {
            let partitions = topic.partition_count(config.partitions) as i32;
            // -1 is the broker's own default.
            let replicas = config.replication_factor.map_or(-1, i32::from);
            let new = NewTopic::new(name, partitions, TopicReplication::Fixed(replicas))
                .set("message.timestamp.type", "LogAppendTime")
                .set("max.message.bytes", &batch_bytes_max)
                .set("cleanup.policy", cleanup_policy(*topic));
            let new = if topic.is_compacted() { new } else { new.set("retention.ms", &retention_ms) };
            if replicas >= REPLICAS_SOUND as i32 { new.set("min.insync.replicas", "2") } else { new }
        })
        .collect();
    let answers = block_on(admin.create_topics(&topics, &options(config)))
        .map_err(|source| Error::Kafka { action: "create the topics", source })?;
    for answer in answers {
        match answer {
            Ok(name) => tracing::info!(kafka_topic = name, "created"),
            // Another process of the deployment was first; what it made is checked like any other.
            Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
            Err((name, code)) => {
                return Err(Error::Refused(format!("kafka topic {name} cannot be created: {code}")));
            }
        }
    }
    Ok(())
}

/// Every topic's description, once all of their partitions can be used.
fn await_leaders(config: &KafkaConfig, handle: &Arc<Handle>) -> Result<Vec<TopicDescription>, Error> {
    let deadline = Instant::now() + config.request_wait_max;
    loop {
        let described: Result<Vec<_>, _> = describe(config, handle)?.into_iter().collect();
        let code = match described {
            Ok(topics) if topics.iter().all(|topic| topic.led == topic.partitions) => return Ok(topics),
            Ok(_) => RDKafkaErrorCode::LeaderNotAvailable,
            Err(code) => code,
        };
        if Instant::now() > deadline {
            return Err(Error::Kafka { action: "wait for the topics", source: KafkaError::Global(code) });
        }
        std::thread::sleep(LOOK_INTERVAL);
    }
}

fn check_partitions(config: &KafkaConfig, topic: Topic, found: &TopicDescription) -> Result<(), Error> {
    let expected = topic.partition_count(config.partitions);
    if found.partitions == expected {
        return Ok(());
    }
    Err(Error::Refused(format!(
        "kafka topic {} has {} partitions, log.partitions = {} asks for {expected}",
        config.topic_name(topic),
        found.partitions,
        config.partitions,
    )))
}

type Settings = BTreeMap<String, String>;

fn settings(
    config: &KafkaConfig,
    admin: &AdminClient<DefaultClientContext>,
) -> Result<Vec<(Topic, Settings)>, Error> {
    let names = Topic::ALL.map(|topic| config.topic_name(topic));
    let resources: Vec<_> = names.iter().map(|name| ResourceSpecifier::Topic(name)).collect();
    let answers = block_on(admin.describe_configs(&resources, &options(config)))
        .map_err(|source| Error::Kafka { action: "read the topics' settings", source })?;
    // Answers come in the order of the questions.
    Topic::ALL
        .into_iter()
        .zip(answers)
        .map(|(topic, answer)| {
            let resource = answer.map_err(|code| Error::Kafka {
                action: "read a topic's settings",
                source: KafkaError::Global(code),
            })?;
            let entries = resource.entries.into_iter();
            Ok((topic, entries.filter_map(|entry| Some((entry.name, entry.value?))).collect()))
        })
        .collect()
}

/// What makes a topic unusable as it is.
fn check_settings(config: &KafkaConfig, topic: Topic, settings: &Settings) -> Result<(), String> {
    let setting = |name: &str| settings.get(name).map_or("", String::as_str);
    let expected = [("message.timestamp.type", "LogAppendTime"), ("cleanup.policy", cleanup_policy(topic))];
    for (name, value) in expected {
        if setting(name) != value {
            return Err(format!("{name} is {:?}, the log needs {value:?}", setting(name)));
        }
    }
    let batch_bytes_max = number(settings, "max.message.bytes").unwrap_or(0);
    if batch_bytes_max < config.batch_bytes_max() as i64 {
        return Err(format!(
            "max.message.bytes is {batch_bytes_max}, log.record_bytes_max = {} needs {}",
            config.record_bytes_max,
            config.batch_bytes_max()
        ));
    }
    Ok(())
}

/// What lets a topic lose records that were acknowledged or not yet read.
fn concerns(config: &KafkaConfig, topic: Topic, replicas: usize, settings: &Settings) -> Vec<String> {
    let mut concerns = Vec::new();
    if replicas < REPLICAS_SOUND {
        concerns.push(format!("replication is {replicas}, not {REPLICAS_SOUND}"));
    }
    match number(settings, "min.insync.replicas") {
        Some(count) if count < IN_SYNC_SOUND => {
            concerns.push(format!("min.insync.replicas is {count}, not {IN_SYNC_SOUND}"));
        }
        _ => {}
    }
    if settings.get("unclean.leader.election.enable").is_some_and(|value| value == "true") {
        concerns.push("unclean.leader.election.enable is true".into());
    }
    if !topic.is_compacted() {
        let retention_ms = number(settings, "retention.ms").unwrap_or(-1);
        if (0..config.retention.as_millis() as i64).contains(&retention_ms) {
            concerns.push(format!("retention.ms is {retention_ms}, log.retention is {:?}", config.retention));
        }
        let retention_bytes = number(settings, "retention.bytes").unwrap_or(-1);
        if retention_bytes >= 0 {
            concerns.push(format!("retention.bytes is {retention_bytes}: a burst shortens log.retention"));
        }
    }
    concerns
}

fn number(settings: &Settings, name: &str) -> Option<i64> {
    settings.get(name)?.parse().ok()
}

fn cleanup_policy(topic: Topic) -> &'static str {
    if topic.is_compacted() { "compact" } else { "delete" }
}

fn options(config: &KafkaConfig) -> AdminOptions {
    AdminOptions::new()
        .request_timeout(Some(config.request_wait_max))
        .operation_timeout(Some(config.request_wait_max))
}

/// rdkafka's admin client answers in futures, and this crate has no runtime; its requests end by themselves.
fn block_on<T>(future: impl Future<Output = T>) -> T {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(value) => return value,
            Poll::Pending => std::thread::park(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sound(topic: Topic) -> Settings {
        let config = KafkaConfig::new("");
        [
            ("message.timestamp.type", "LogAppendTime".to_owned()),
            ("cleanup.policy", cleanup_policy(topic).to_owned()),
            ("max.message.bytes", config.batch_bytes_max().to_string()),
            ("min.insync.replicas", "2".to_owned()),
            ("unclean.leader.election.enable", "false".to_owned()),
            ("retention.ms", config.retention.as_millis().to_string()),
            ("retention.bytes", "-1".to_owned()),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into()
    }

    #[test]
    fn what_breaks_a_promise_is_refused_by_name() {
        let config = KafkaConfig::new("");
        let cases = [
            (Topic::Telemetry, "message.timestamp.type", "CreateTime"),
            (Topic::Telemetry, "cleanup.policy", "compact"),
            (Topic::Sessions, "cleanup.policy", "compact,delete"),
            (Topic::Alerts, "max.message.bytes", "1048588"),
        ];
        for (topic, name, value) in cases {
            assert_eq!(check_settings(&config, topic, &sound(topic)), Ok(()));
            let mut settings = sound(topic);
            settings.insert(name.into(), value.into());
            let why = check_settings(&config, topic, &settings).unwrap_err();
            assert!(why.contains(name) && why.contains(value), "{why}");
        }
    }

    #[test]
    fn what_risks_a_loss_is_named() {
        let config = KafkaConfig::new("");
        assert!(concerns(&config, Topic::Telemetry, 3, &sound(Topic::Telemetry)).is_empty());
        let cases = [
            ("min.insync.replicas", "1"),
            ("unclean.leader.election.enable", "true"),
            ("retention.ms", "3600000"),
            ("retention.bytes", "1000000"),
        ];
        for (name, value) in cases {
            let mut settings = sound(Topic::Telemetry);
            settings.insert(name.into(), value.into());
            let concerns = concerns(&config, Topic::Telemetry, 1, &settings);
            assert!(concerns.len() == 2 && concerns[0].contains("replication") && concerns[1].contains(name));
        }
        let mut settings = sound(Topic::Telemetry);
        settings.insert("retention.ms".into(), "-1".into());
        assert!(concerns(&config, Topic::Telemetry, 3, &settings).is_empty(), "-1 keeps for ever");
    }
}
