//! Topics that are not as the log needs them, and topics that lose their beginning.

use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions, AlterConfig, ResourceSpecifier};
use rdkafka::client::DefaultClientContext;
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use urban_neuron_log::kafka::KafkaLog;
use urban_neuron_log::{Appender, Disposition, Error, Log, ReadEvent, Reader, Topic};

use crate::{POLL, append, appender, config, shared_broker, until, until_durable};

#[test]
fn a_topic_that_keeps_the_producers_time_is_refused() {
    let broker = shared_broker();
    broker
        .tool("TopicCommand", &["--create", "--topic", "stamped.telemetry.v1", "--partitions", "2"])
        .unwrap();
    match KafkaLog::connect(config(broker, "stamped", 2)).err() {
        Some(Error::Refused(why)) => {
            assert!(why.contains("stamped.telemetry.v1") && why.contains("message.timestamp.type"), "{why}")
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn settings_changed_under_the_log_are_errors() {
    let config = config(shared_broker(), "changed", 1);
    let log = KafkaLog::connect(config.clone()).unwrap();
    let topic = config.topic_name(Topic::Telemetry);
    let change = AlterConfig::new(ResourceSpecifier::Topic(&topic))
        .set("message.timestamp.type", "CreateTime")
        .set("max.message.bytes", "10000");
    // Dropped before it is polled, the request is made all the same.
    drop(admin().alter_configs([&change], &AdminOptions::new()));
    until("a start sees the change", || {
        matches!(KafkaLog::connect(config.clone()), Err(Error::Refused(_))).then_some(())
    });

    let mut appender = appender(&log);
    append(&mut appender, 0, "stamped by the producer");
    let small = appender.flush();
    until_durable(&mut appender, small);
    let mut reader = log.reader(Topic::Telemetry, &[(0, 0)]).unwrap();
    let error = until("the reader refuses the record", || reader.poll(POLL).err());
    assert!(error.to_string().contains("message.timestamp.type"), "{error}");

    let value: Vec<u8> = noise().take(20_000).collect();
    appender.append(Topic::Telemetry, 0, b"device", Some(&value), &[]).unwrap();
    let large = appender.flush();
    let error = until("the broker refuses the record", || {
        appender.durable().map(|durable| assert!(durable < large)).err()
    });
    assert!(matches!(error, Error::Kafka { .. }), "{error}");
    assert_eq!(error.disposition(), Disposition::Stop, "{error}");
    assert!(log.trouble().unwrap().contains("appender failed"));
    drop(appender);
    assert_eq!(log.trouble(), None, "another appender may do better");
}

fn admin() -> AdminClient<DefaultClientContext> {
    ClientConfig::new().set("bootstrap.servers", &shared_broker().plain).create().unwrap()
}

/// Bytes that do not compress: a linear congruence, Knuth's.
fn noise() -> impl Iterator<Item = u8> {
    let mut seed = 1u64;
    std::iter::repeat_with(move || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 56) as u8
    })
}

/// Deletes the records of partition 0 of telemetry below this offset, as retention would.
fn delete_below(name: &str, offset: i64) {
    let mut offsets = TopicPartitionList::new();
    offsets.add_partition_offset(&format!("{name}.telemetry.v1"), 0, Offset::Offset(offset)).unwrap();
    // Dropped before it is polled, the request is made all the same; the log itself shows when it has been served.
    drop(admin().delete_records(&offsets, &AdminOptions::new()));
    let log = KafkaLog::connect(config(shared_broker(), name, 1)).unwrap();
    until("the records are deleted", || {
        (log.offsets(Topic::Telemetry, 0).unwrap().start == offset).then_some(())
    });
}

#[test]
fn records_that_vanish_before_a_reader_are_an_error_and_never_a_jump() {
    const RECORDS: i64 = 300;
    let mut config = config(shared_broker(), "vanish", 1);
    // The reader fetches a few of these ahead, never all.
    config.fetch_ahead_bytes_max = 64 * 1024;
    let log = KafkaLog::connect(config).unwrap();
    let mut appender = appender(&log);
    // Else all of it would be compressed into one fetch.
    let mut noise = noise();
    for _ in 0..RECORDS {
        let value: Vec<u8> = noise.by_ref().take(64 * 1024).collect();
        appender.append(Topic::Telemetry, 0, b"device", Some(&value), &[]).unwrap();
        let ticket = appender.flush();
        until_durable(&mut appender, ticket);
    }
    let mut reader = log.reader(Topic::Telemetry, &[(0, 0)]).unwrap();
    delete_below("vanish", RECORDS);
    let mut next = 0;
    let error = until("the reader comes to the hole", || match reader.poll(POLL) {
        Ok(ReadEvent::Records(batch)) => {
            assert!(batch.iter().next().is_none_or(|record| record.offset == next), "jumped from {next}");
            next = batch.next;
            assert!(next < RECORDS, "all were fetched before they were deleted: nothing was tested");
            None
        }
        Ok(_) => None,
        Err(error) => Some(error),
    });
    match error {
        Error::OutOfRange { partition: 0, offset, first: RECORDS, next: RECORDS, .. } => {
            assert_eq!(offset, next);
        }
        other => panic!("{other}"),
    }
    assert!(matches!(reader.poll(Duration::ZERO), Ok(ReadEvent::Idle)), "that partition is silent");
    reader.start(0, RECORDS).unwrap();
}
