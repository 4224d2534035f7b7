//! Two processes share a consumer group.

use std::collections::{BTreeMap, BTreeSet};

use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::{ClientConfig, TopicPartitionList};
use urban_neuron_log::kafka::{KafkaLog, KafkaReader};
use urban_neuron_log::{Appender, Consumer, Log, ReadEvent, Reader};

use crate::{PATIENCE, POLL, append, appender, config, shared_broker, until, until_durable};

const PARTITIONS: u32 = 4;

/// A worker that starts each partition where the lake, here a shared map, says that the last one ended.
struct Worker {
    reader: KafkaReader,
    owned: BTreeSet<u32>,
}

impl Worker {
    fn join(log: &KafkaLog) -> Worker {
        Worker { reader: log.group_reader(Consumer::Lake).unwrap(), owned: BTreeSet::new() }
    }

    fn step(&mut self, positions: &mut BTreeMap<u32, i64>, landed: &mut BTreeSet<(u32, i64)>) {
        match self.reader.poll(POLL).unwrap() {
            ReadEvent::Assigned(partitions) => {
                for partition in partitions {
                    assert!(self.owned.insert(partition), "{partition} was this worker's already");
                    self.reader.start(partition, positions.get(&partition).copied().unwrap_or(0)).unwrap();
                }
            }
            ReadEvent::Revoked(partitions) => {
                partitions.iter().for_each(|partition| assert!(self.owned.remove(partition), "{partition}"));
            }
            ReadEvent::Records(batch) => {
                assert!(
                    self.owned.contains(&batch.log_partition),
                    "a record of a partition that is not ours"
                );
                for record in batch.iter() {
                    assert!(landed.insert((batch.log_partition, record.offset)), "landed twice");
                }
                positions.insert(batch.log_partition, batch.next);
            }
            ReadEvent::Idle => {}
        }
    }
}

/// What lag tools read of the group.
fn committed(partition: u32) -> i64 {
    let mut client = ClientConfig::new();
    client.set("bootstrap.servers", &shared_broker().plain).set("group.id", "members.lake");
    let consumer: BaseConsumer = client.create().unwrap();
    let mut asked = TopicPartitionList::new();
    asked.add_partition("members.telemetry.v1", partition as i32);
    let answer = consumer.committed_offsets(asked, PATIENCE).unwrap();
    answer.elements()[0].offset().to_raw().unwrap()
}

#[test]
fn partitions_move_between_two_members_without_a_record_lost_or_twice() {
    let config = config(shared_broker(), "members", PARTITIONS);
    let log = KafkaLog::connect(config.clone()).unwrap();
    let other_log = KafkaLog::connect(config).unwrap();
    assert_eq!(log.log_id(), other_log.log_id());
    let mut appender = appender(&log);
    let (mut positions, mut landed) = (BTreeMap::new(), BTreeSet::new());
    let mut appended = 0;
    let mut append_some = || {
        for _ in 0..100 {
            append(&mut appender, appended % PARTITIONS, "reading");
            appended += 1;
        }
        let ticket = appender.flush();
        until_durable(&mut appender, ticket);
        appended as usize
    };

    let mut first = Worker::join(&log);
    let expected = append_some();
    until("the first member has landed all", || {
        first.step(&mut positions, &mut landed);
        (landed.len() == expected).then_some(())
    });
    assert_eq!(first.owned.len(), PARTITIONS as usize);

    let mut second = Worker::join(&other_log);
    until("the members share", || {
        first.step(&mut positions, &mut landed);
        second.step(&mut positions, &mut landed);
        (first.owned.len() == 2 && second.owned.len() == 2).then_some(())
    });
    let expected = append_some();
    until("both have landed all", || {
        first.step(&mut positions, &mut landed);
        second.step(&mut positions, &mut landed);
        (landed.len() == expected).then_some(())
    });
    assert!(first.owned.is_disjoint(&second.owned));

    for partition in &second.owned {
        other_log.release(Consumer::Lake, *partition, positions[partition]).unwrap();
    }
    let given_up = std::mem::take(&mut second.owned);
    drop(second);
    for partition in given_up {
        assert_eq!(committed(partition), positions[&partition], "lag tools see what was released");
    }
    let expected = append_some();
    until("the first member has taken over", || {
        first.step(&mut positions, &mut landed);
        (landed.len() == expected && first.owned.len() == PARTITIONS as usize).then_some(())
    });
}
