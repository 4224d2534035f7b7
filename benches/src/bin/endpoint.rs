//! The MQTT endpoint alone: QoS 1 over loopback into an intake that keeps nothing, with Mosquitto beside it.
//!
//! `cargo run --release -p urban-neuron-benches --bin endpoint [seconds] [commit ms]`. The generator sends blocks that were
//! built before and reads acknowledgements by the block, so that what is measured is the server; it runs on a thread of its
//! own, and CPU is the server's alone. With `commit ms` a block of messages becomes durable only after that time, as with
//! an fsync, and latency is what the clients see.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use gateway::mqtt_endpoint::{AllowAnyone, EndpointConfig, MqttEndpoint};
use gateway::{AlertBoard, Intake, IntakeError, IntakeSource, Ticket, Wake};
use model::proto::Session;
use model::{RawMessage, Reason};

const CONNECTIONS: usize = 20;
/// Messages of one write; each connection has two such blocks in flight.
const BLOCK_MESSAGES: usize = 256;
/// Blocks of one connection, with packet ids of their own.
const BLOCKS: usize = 4;

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let seconds = arguments.next().map_or(Ok(5), |text| text.parse()).context("seconds")?;
    let commit_ms = arguments.next().map_or(Ok(0), |text| text.parse()).context("commit ms")?;
    let duration = Duration::from_secs(seconds);
    for _ in 0..2 {
        run_endpoint(duration, Duration::from_millis(commit_ms))?;
        run_mosquitto(duration)?;
    }
    Ok(())
}

fn run_endpoint(duration: Duration, commit: Duration) -> Result<()> {
    let source = CountingSource { commit, pushed: Arc::default() };
    let pushed = source.pushed.clone();
    let listen = vec![SocketAddr::from(([127, 0, 0, 1], 0))];
    let config = EndpointConfig { threads: 1, listen, ..EndpointConfig::default() };
    let endpoint =
        MqttEndpoint::start(config, source, AlertBoard::default(), Arc::new(AllowAnyone), Vec::new())?;
    let thread = task_named("mqtt-0")?;
    let stat = format!("/proc/self/task/{thread}/stat");
    let name =
        if commit.is_zero() { "endpoint".to_owned() } else { format!("endpoint, durable after {commit:?}") };
    measure(&name, endpoint.addresses().tcp[0], &stat, duration)?;
    let counts = endpoint.counters().counts();
    anyhow::ensure!(counts.acknowledged == pushed.load(Ordering::Relaxed), "{counts:?}");
    endpoint.stop(Duration::from_secs(1));
    Ok(())
}

fn run_mosquitto(duration: Duration) -> Result<()> {
    let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    let directory = tempfile::tempdir()?;
    let config = directory.path().join("mosquitto.conf");
    let text = format!(
        "listener {port} 127.0.0.1\nallow_anonymous true\nset_tcp_nodelay true\nmax_inflight_messages 0\n"
    );
    std::fs::write(&config, text)?;
    let child =
        Command::new("mosquitto").arg("-c").arg(&config).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    let Ok(child) = child else {
        println!("mosquitto is not installed: no peer to run beside");
        return Ok(());
    };
    let mut child = Kill(child);
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    let deadline = Instant::now() + Duration::from_secs(5);
    while TcpStream::connect(address).is_err() {
        if Instant::now() > deadline || child.0.try_wait()?.is_some() {
            bail!("mosquitto does not listen");
        }
        std::thread::yield_now();
    }
    let stat = format!("/proc/{}/stat", child.0.id());
    measure("mosquitto", address, &stat, duration)
}

struct Kill(Child);

impl Drop for Kill {
    fn drop(&mut self) {
        // It may have ended by itself; there is nothing else to do about it.
        self.0.kill().and_then(|()| self.0.wait()).ok();
    }
}

fn measure(name: &str, address: SocketAddr, stat: &str, duration: Duration) -> Result<()> {
    let mut clients = (0..CONNECTIONS).map(|n| Client::connect(address, n)).collect::<Result<Vec<_>>>()?;
    let (started, cpu_before) = (Instant::now(), cpu_seconds(stat)?);
    let mut latencies = Vec::new();
    for client in &mut clients {
        client.send_block()?;
        client.send_block()?;
    }
    while started.elapsed() < duration {
        for client in &mut clients {
            latencies.push(client.read_block()?);
            client.send_block()?;
        }
    }
    for client in &mut clients {
        client.read_block()?;
        client.read_block()?;
    }
    let seconds = started.elapsed().as_secs_f64();
    let cpu = cpu_seconds(stat)? - cpu_before;
    let count = ((latencies.len() + 2 * CONNECTIONS) * BLOCK_MESSAGES) as f64;
    latencies.sort_unstable();
    let at = |share: f64| latencies[(latencies.len() as f64 * share) as usize].as_secs_f64() * 1e3;
    println!(
        "{name}: {:.0} k messages/s, {:.3} us of CPU a message, {:.0} k messages/s a core; a block is answered within {:.1} ms p50, {:.1} ms p99",
        count / seconds / 1e3,
        cpu / count * 1e6,
        count / cpu / 1e3,
        at(0.5),
        at(0.99),
    );
    Ok(())
}

/// A connection with its blocks of PUBLISH packets.
struct Client {
    stream: TcpStream,
    blocks: Vec<Vec<u8>>,
    sent: usize,
    sent_at: [Instant; 2],
    answers: Vec<u8>,
}

impl Client {
    fn connect(address: SocketAddr, number: usize) -> Result<Self> {
        let mut stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        let id = format!("bench-{number:02}");
        let mut connect = vec![0x10, 12 + id.len() as u8, 0, 4];
        connect.extend_from_slice(b"MQTT\x04\x02\x00\x3c");
        connect.extend_from_slice(&(id.len() as u16).to_be_bytes());
        connect.extend_from_slice(id.as_bytes());
        stream.write_all(&connect)?;
        let mut connack = [0; 4];
        stream.read_exact(&mut connack)?;
        anyhow::ensure!(connack == [0x20, 2, 0, 0], "{connack:?}");
        let blocks = (0..BLOCKS).map(|block| build_block(number, block)).collect();
        let answers = vec![0; BLOCK_MESSAGES * 4];
        Ok(Client { stream, blocks, sent: 0, sent_at: [Instant::now(); 2], answers })
    }

    fn send_block(&mut self) -> Result<()> {
        self.sent_at[self.sent % 2] = Instant::now();
        self.stream.write_all(&self.blocks[self.sent % BLOCKS])?;
        self.sent += 1;
        Ok(())
    }

    /// Reads the answers to the oldest block in flight and gives the time since it was sent.
    fn read_block(&mut self) -> Result<Duration> {
        self.stream.read_exact(&mut self.answers)?;
        anyhow::ensure!(self.answers.chunks_exact(4).all(|answer| answer[..2] == [0x40, 2]), "not a PUBACK");
        Ok(self.sent_at[self.sent % 2].elapsed())
    }
}

fn build_block(number: usize, block: usize) -> Vec<u8> {
    let mut out = Vec::new();
    for n in 0..BLOCK_MESSAGES {
        let device = number * 500 + n;
        let topic = format!("urban-neuron/v1/devices/device-{device:05}/telemetry");
        let payload = format!(
            r#"{{"observed_at":"2026-11-24T08:00:{:02}.{:03}Z","water_level":{}.{:03},"battery_level":{}}}"#,
            n % 60,
            n,
            n % 4,
            n * 3,
            20 + n % 80
        );
        let packet_id = (block * BLOCK_MESSAGES + n + 1) as u16;
        let mut body = (topic.len() as u16).to_be_bytes().to_vec();
        body.extend_from_slice(topic.as_bytes());
        body.extend_from_slice(&packet_id.to_be_bytes());
        body.extend_from_slice(payload.as_bytes());
        out.push(0x32);
        gateway::mqtt::encode::put_varint(&mut out, body.len() as u32);
        out.extend_from_slice(&body);
    }
    out
}

/// User and system time of a process or thread, in seconds.
fn cpu_seconds(stat: &str) -> Result<f64> {
    const TICKS_A_SECOND: f64 = 100.0;
    let text = std::fs::read_to_string(stat)?;
    let fields =
        text.rsplit_once(')').context("stat without a name")?.1.split_whitespace().collect::<Vec<_>>();
    let ticks =
        |at: usize| fields.get(at).and_then(|field| field.parse::<f64>().ok()).context("stat is short");
    Ok((ticks(11)? + ticks(12)?) / TICKS_A_SECOND)
}

fn task_named(name: &str) -> Result<String> {
    for task in std::fs::read_dir("/proc/self/task")? {
        let task = task?;
        if std::fs::read_to_string(task.path().join("comm"))?.trim() == name {
            return Ok(task.file_name().to_string_lossy().into_owned());
        }
    }
    bail!("no thread {name}")
}

/// An intake that counts. With `commit` a thread of its own makes each flush durable after that time, one after the other,
/// taking all that was flushed meanwhile, as a committer does.
#[derive(Clone)]
struct CountingSource {
    commit: Duration,
    pushed: Arc<AtomicU64>,
}

struct CountingIntake {
    pushed: Arc<AtomicU64>,
    count: u64,
    flushed: Arc<AtomicU64>,
    durable: Arc<AtomicU64>,
    committer: Option<std::thread::Thread>,
    bytes: usize,
}

fn commit_all(commit: Duration, flushed: &AtomicU64, durable: &AtomicU64, wake: &Wake) {
    loop {
        let target = flushed.load(Ordering::Acquire);
        if target == durable.load(Ordering::Relaxed) {
            std::thread::park();
            continue;
        }
        std::thread::sleep(commit);
        durable.store(target, Ordering::Release);
        wake();
    }
}

impl IntakeSource for CountingSource {
    type Intake = CountingIntake;

    fn intake(&self, wake: Wake) -> Result<CountingIntake, IntakeError> {
        let flushed = Arc::new(AtomicU64::new(0));
        let durable = Arc::new(AtomicU64::new(0));
        let commit = self.commit;
        let start_committer = || {
            let (flushed, durable) = (flushed.clone(), durable.clone());
            // Named, so that it is not taken for the endpoint's thread that starts it.
            let builder = std::thread::Builder::new().name("committer".to_owned());
            builder
                .spawn(move || commit_all(commit, &flushed, &durable, &wake))
                .map(|handle| handle.thread().clone())
        };
        let committer = if commit.is_zero() { Ok(None) } else { start_committer().map(Some) };
        let committer = committer.map_err(|error| IntakeError(error.to_string()))?;
        Ok(CountingIntake { pushed: self.pushed.clone(), count: 0, flushed, durable, committer, bytes: 0 })
    }

    fn now_us(&self) -> i64 {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        now.map_or(0, |since| since.as_micros() as i64)
    }
}

impl Intake for CountingIntake {
    fn push(&mut self, message: &RawMessage<'_>) -> Option<Reason> {
        self.count += 1;
        self.bytes = self.bytes.wrapping_add(std::hint::black_box(message).payload.len());
        None
    }

    fn put_session(&mut self, _: &str, _: Option<&Session>) {
        self.count += 1;
    }

    fn flush(&mut self) -> Ticket {
        self.pushed.store(self.count, Ordering::Relaxed);
        self.flushed.store(self.count, Ordering::Release);
        match &self.committer {
            Some(committer) => committer.unpark(),
            None => self.durable.store(self.count, Ordering::Release),
        }
        Ticket(self.count)
    }

    fn durable(&mut self) -> Result<Ticket, IntakeError> {
        Ok(Ticket(self.durable.load(Ordering::Acquire)))
    }

    fn has_room(&self) -> bool {
        true
    }
}
