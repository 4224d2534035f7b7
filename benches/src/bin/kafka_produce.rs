//! What appending to a real Kafka costs this process: CPU a message of the appender, beside a bare loop over librdkafka's
//! batch produce with the same settings, in turn; then what reading it back costs.
//!
//! `cargo run --release -p urban-neuron-benches --bin kafka_produce -- [MILLIONS] [ROUNDS]`

use std::ffi::{CString, c_void};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use log::kafka::{KafkaConfig, KafkaLog};
use log::{Appender, Log, ReadEvent, Reader, Topic, Wake};
use rdkafka::ClientConfig;
use rdkafka::bindings as rd;
use rdkafka::client::{Client, DefaultClientContext};
use rdkafka::types::RDKafkaType;

#[path = "../../../crates/log/tests/support/kafka_broker.rs"]
mod kafka_broker;

const PARTITIONS: u32 = 8;
const KEY_BYTES: usize = 16;
const VALUE_BYTES: usize = 144;
/// What a few socket reads bring under load.
const RECORDS_A_FLUSH: usize = 512;
const IN_FLIGHT_MAX: usize = 18_000;

fn main() -> anyhow::Result<()> {
    let mut args = std::env::args().skip(1).map(|text| text.parse::<usize>());
    let messages = args.next().unwrap_or(Ok(2)).context("MILLIONS is a whole number")? * 1_000_000;
    let rounds = args.next().unwrap_or(Ok(3)).context("ROUNDS is a whole number")?;
    let broker = kafka_broker::KafkaBroker::start()?;
    let mut config = KafkaConfig::new(&broker.plain);
    config.topic_prefix = "bench.".into();
    config.partitions = PARTITIONS;
    config.in_flight_records_max = IN_FLIGHT_MAX;
    let log = KafkaLog::connect(config.clone())?;
    let records = records();
    // Once before, so that neither meets a broker that is still compiling itself.
    raw(&config, &records, messages / 2)?;
    for _ in 0..rounds {
        measure("raw batch produce", messages, || raw(&config, &records, messages))?;
        measure("appender", messages, || append(&log, &records, messages))?;
    }
    let all = messages * rounds * 2 + messages / 2;
    measure("reader", all, || read(&log, all))
}

/// One flush: keys and values that compress about as telemetry does.
fn records() -> Vec<([u8; KEY_BYTES], [u8; VALUE_BYTES])> {
    let mut seed = 1u64;
    let mut noise = || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 56) as u8
    };
    (0..RECORDS_A_FLUSH)
        .map(|_| {
            let (mut key, mut value) =
                ([b'd'; KEY_BYTES], *b"{\"water_level\": 1.25} ".repeat(7).first_chunk().expect("154 bytes"));
            key[KEY_BYTES - 6..].fill_with(&mut noise);
            value[..VALUE_BYTES / 3].fill_with(&mut noise);
            (key, value)
        })
        .collect()
}

fn measure(name: &str, messages: usize, run: impl FnOnce() -> anyhow::Result<()>) -> anyhow::Result<()> {
    let (begin, cpu_begin) = (Instant::now(), cpu_seconds()?);
    run()?;
    let (seconds, cpu) = (begin.elapsed().as_secs_f64(), cpu_seconds()? - cpu_begin);
    let count = messages as f64;
    println!(
        "{name}: {:.0} k messages/s, {:.3} us of CPU a message",
        count / seconds / 1e3,
        cpu / count * 1e6
    );
    Ok(())
}

/// Of all threads of this process; the broker is another.
fn cpu_seconds() -> anyhow::Result<f64> {
    let mut nanos = 0.0;
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let fields = stat.rsplit(')').next().context("/proc/self/stat")?.split_whitespace();
    // User and system time, in hundredths of a second on Linux.
    for ticks in fields.skip(11).take(2) {
        nanos += ticks.parse::<f64>()?;
    }
    Ok(nanos / 100.0)
}

fn append(
    log: &KafkaLog,
    records: &[([u8; KEY_BYTES], [u8; VALUE_BYTES])],
    messages: usize,
) -> anyhow::Result<()> {
    let thread = std::thread::current();
    let wake: Wake = Arc::new(move || thread.unpark());
    let mut appender = log.appender(wake)?;
    let mut appended = 0;
    let mut ticket = appender.flush();
    while appended < messages {
        while !appender.has_room() {
            std::thread::park();
        }
        for (index, (key, value)) in records.iter().enumerate() {
            appender.append(Topic::Telemetry, index as u32 % PARTITIONS, key, Some(value), &[])?;
        }
        ticket = appender.flush();
        appended += records.len();
    }
    while appender.durable()? < ticket {
        std::thread::park();
    }
    Ok(())
}

fn read(log: &KafkaLog, messages: usize) -> anyhow::Result<()> {
    let starts: Vec<_> = (0..PARTITIONS).map(|partition| (partition, 0)).collect();
    let mut reader = log.reader(Topic::Telemetry, &starts)?;
    let (mut count, mut bytes) = (0, 0);
    while count < messages {
        if let ReadEvent::Records(batch) = reader.poll(Duration::from_secs(1))? {
            count += batch.len();
            bytes += batch.data_bytes();
        }
    }
    ensure!(bytes >= count * (KEY_BYTES + VALUE_BYTES), "short records");
    Ok(())
}

/// The floor: the calls that cannot be done without, on one thread.
fn raw(
    config: &KafkaConfig,
    records: &[([u8; KEY_BYTES], [u8; VALUE_BYTES])],
    messages: usize,
) -> anyhow::Result<()> {
    let mut client = ClientConfig::new();
    let settings = [
        ("bootstrap.servers", config.bootstrap_servers.as_str()),
        ("enable.idempotence", "true"),
        ("acks", "all"),
        ("linger.ms", "2"),
        ("batch.size", "1000000"),
        ("compression.codec", "lz4"),
        ("queue.buffering.max.messages", "0"),
    ];
    for (name, value) in settings {
        client.set(name, value);
    }
    let native = client.create_native_config()?;
    // SAFETY: the configuration is alive and this thread's alone until the client takes it.
    unsafe { rd::rd_kafka_conf_set_events(native.ptr(), rd::RD_KAFKA_EVENT_DR) };
    let client = Client::new(&client, native, RDKafkaType::RD_KAFKA_PRODUCER, DefaultClientContext)?;
    let name = CString::new(config.topic_name(Topic::Telemetry))?;
    let mut array: Vec<_> = records.iter().zip((0..PARTITIONS as i32).cycle()).map(raw_message).collect();
    // SAFETY: client, name, records and array outlive every call; messages are copied by F_COPY; queue and topic are
    // destroyed once, before the client.
    unsafe {
        let topic = rd::rd_kafka_topic_new(client.native_ptr(), name.as_ptr(), std::ptr::null_mut());
        let events = rd::rd_kafka_queue_get_main(client.native_ptr());
        let (mut sent, mut reported) = (0, 0);
        while reported < messages.next_multiple_of(records.len()) {
            if sent < messages && sent - reported < IN_FLIGHT_MAX {
                let flags = rd::RD_KAFKA_MSG_F_COPY | rd::RD_KAFKA_MSG_F_PARTITION;
                sent += rd::rd_kafka_produce_batch(topic, 0, flags, array.as_mut_ptr(), array.len() as i32)
                    as usize;
            } else {
                reported += take_reports(events);
            }
        }
        rd::rd_kafka_queue_destroy(events);
        rd::rd_kafka_topic_destroy(topic);
    }
    Ok(())
}

fn raw_message(
    ((key, value), partition): (&([u8; KEY_BYTES], [u8; VALUE_BYTES]), i32),
) -> rd::rd_kafka_message_t {
    rd::rd_kafka_message_t {
        err: rd::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR,
        rkt: std::ptr::null_mut(),
        partition,
        payload: value.as_ptr().cast_mut().cast::<c_void>(),
        len: value.len(),
        key: key.as_ptr().cast_mut().cast::<c_void>(),
        key_len: key.len(),
        offset: 0,
        _private: std::ptr::null_mut(),
    }
}

/// # Safety
/// `events` is alive.
unsafe fn take_reports(events: *mut rd::rd_kafka_queue_t) -> usize {
    let mut chunk = [std::ptr::null(); 1024];
    let mut reports = 0;
    // SAFETY: the caller's promise; the event is destroyed once, after its messages were looked at.
    unsafe {
        let event = rd::rd_kafka_queue_poll(events, 100);
        if event.is_null() {
            return 0;
        }
        if rd::rd_kafka_event_type(event) == rd::RD_KAFKA_EVENT_DR {
            loop {
                let found = rd::rd_kafka_event_message_array(event, chunk.as_mut_ptr(), chunk.len());
                reports += chunk[..found]
                    .iter()
                    .filter(|message| (***message).err == rd::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR)
                    .count();
                if found < chunk.len() {
                    break;
                }
            }
        }
        rd::rd_kafka_event_destroy(event);
    }
    reports
}
