//! A broker that is killed with -9 and comes back.

use std::collections::BTreeMap;
use std::time::Duration;

use urban_neuron_log::kafka::{KafkaAppender, KafkaLog};
use urban_neuron_log::{Appender, Log, Ticket, Topic};

use crate::kafka_broker::KafkaBroker;
use crate::{append, appender, config, read_all, until};

const PARTITIONS: u32 = 3;

/// Appends numbered records while there is room, and remembers which ticket covers which.
#[derive(Default)]
struct Load {
    appended: u64,
    /// Records up to this number are covered by the ticket.
    covered: BTreeMap<Ticket, u64>,
    durable: Ticket,
}

impl Load {
    fn step(&mut self, appender: &mut KafkaAppender) {
        if appender.has_room() {
            for _ in 0..100 {
                append(appender, self.appended as u32 % PARTITIONS, &self.appended.to_string());
                self.appended += 1;
            }
            self.covered.insert(appender.flush(), self.appended);
        }
        let durable = appender.durable().unwrap();
        assert!(durable >= self.durable, "durable stepped back");
        self.durable = durable;
    }

    fn durable_records(&self) -> u64 {
        self.covered.get(&self.durable).copied().unwrap_or(0)
    }
}

#[test]
fn what_became_durable_is_there_once_after_the_broker_was_killed_under_load() {
    let broker = KafkaBroker::start().expect("a real Kafka");
    let mut config = config(&broker, "crash", PARTITIONS);
    // Small enough that the load comes to stand still while the broker is away.
    config.in_flight_records_max = 5_000;
    let log = KafkaLog::connect(config.clone()).unwrap();
    let mut appender = appender(&log);
    let mut load = Load::default();
    for round in 1..=2 {
        let enough = load.durable_records() + 20_000;
        until("the load flows", || {
            load.step(&mut appender);
            (load.durable_records() >= enough).then_some(())
        });
        assert_eq!(log.trouble(), None, "round {round}");
        broker.kill().unwrap();
        let trouble = until("the trouble is told", || {
            load.step(&mut appender);
            log.trouble()
        });
        assert!(trouble.contains("kafka"), "{trouble}");
        until("the load stands still", || {
            load.step(&mut appender);
            (!appender.has_room()).then_some(())
        });
        assert!(load.durable < *load.covered.keys().last().unwrap());
        broker.restart().unwrap();
        until("the trouble is over by itself", || {
            load.step(&mut appender);
            log.trouble().is_none().then_some(())
        });
    }
    let last = *load.covered.keys().last().unwrap();
    until("every ticket is durable", || {
        load.step(&mut appender);
        (load.durable >= last).then_some(())
    });
    log.close();

    let values = read_all(&KafkaLog::connect(config).unwrap());
    for partition in 0..PARTITIONS {
        let expected = (0..load.appended).filter(|number| (*number as u32) % PARTITIONS == partition);
        assert!(
            values[&partition].iter().map(|value| value.parse::<u64>().unwrap()).eq(expected),
            "partition {partition}: lost, repeated or out of order"
        );
    }
}

#[test]
fn a_broker_that_is_not_there_is_an_error_to_retry() {
    let broker = KafkaBroker::start().expect("a real Kafka");
    let mut config = config(&broker, "away", 1);
    let log = KafkaLog::connect(config.clone()).unwrap();
    broker.kill().unwrap();
    config.request_wait_max = Duration::from_secs(2);
    let error = KafkaLog::connect(config).err().unwrap();
    assert_eq!(error.disposition(), urban_neuron_log::Disposition::Retry, "{error}");
    // Nothing waits for ever for records that no broker takes.
    let mut appender = appender(&log);
    append(&mut appender, 0, "never");
    let ticket = appender.flush();
    assert!(appender.durable().unwrap() < ticket);
    drop(appender);
    assert!(log.reader(Topic::DeadLetter, &[]).is_ok());
}
