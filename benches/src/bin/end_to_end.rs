//! The whole path as a user runs it: the release binary beside Mosquitto, each flooded by the same generator in turn, then
//! the binary at a steady rate. Everything is on this machine, generator included.
//!
//! `cargo run --release -p urban-neuron-benches --bin end_to_end -- [--kafka] [--seconds N] [--rounds N]`, after
//! `cargo build --release -p urban-neuron-server`. With `--kafka` the same service also runs over a real broker.

use std::fmt::Write as _;
use std::io::Write as _;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

#[path = "../../../crates/log/tests/support/kafka_broker.rs"]
mod kafka_broker;

/// Of the rules that the flood's readings meet, each for a hundredth of the devices.
const RULES: usize = 1_000;
const DEVICES: &str = "10000";
const PACED_MESSAGES_PER_SECOND: &str = "20000";
const START_MAX: Duration = Duration::from_secs(60);

struct Arguments {
    with_kafka: bool,
    seconds: u64,
    rounds: u32,
}

fn main() -> Result<()> {
    let arguments = arguments()?;
    for round in 1..=arguments.rounds {
        println!("round {round}");
        println!("  the disk: {}", sync_quantiles()?);
        let peer = mosquitto(&arguments)?;
        let own = service("embedded", "", &arguments)?;
        println!("  embedded / Mosquitto: {:.2}", own / peer);
        if arguments.with_kafka {
            let broker = kafka_broker::KafkaBroker::start()?;
            let log = format!("[log]\nkind = \"kafka\"\nbootstrap_servers = [\"{}\"]\n", broker.plain);
            // A broker that still compiles itself takes a third of the processor.
            let warming = Service::start(&log)?;
            flood(warming.mqtt_port, arguments.seconds, &[])?;
            drop(warming);
            let over_kafka = service("over Kafka", &log, &arguments)?;
            println!("  over Kafka / embedded: {:.2}", over_kafka / own);
        }
    }
    Ok(())
}

fn arguments() -> Result<Arguments> {
    let mut parsed = Arguments { with_kafka: false, seconds: 15, rounds: 1 };
    let mut given = std::env::args().skip(1);
    while let Some(name) = given.next() {
        match name.as_str() {
            "--kafka" => parsed.with_kafka = true,
            "--seconds" => parsed.seconds = given.next().context("--seconds N")?.parse()?,
            "--rounds" => parsed.rounds = given.next().context("--rounds N")?.parse()?,
            other => anyhow::bail!("{other} is not known"),
        }
    }
    Ok(parsed)
}

/// f of the bars: what a small append and its fdatasync take here and now.
fn sync_quantiles() -> Result<String> {
    const SYNCS: usize = 300;
    const APPEND_BYTES: usize = 16 << 10;
    let mut file = tempfile::tempfile_in(std::env::current_dir()?)?;
    let mut took = Vec::with_capacity(SYNCS);
    for _ in 0..SYNCS {
        file.write_all(&[7; APPEND_BYTES])?;
        let begin = Instant::now();
        file.sync_data()?;
        took.push(begin.elapsed());
    }
    took.sort_unstable();
    Ok(format!("fdatasync p50 {:.1?}, p99 {:.1?}", took[SYNCS / 2], took[SYNCS * 99 / 100]))
}

fn mosquitto(arguments: &Arguments) -> Result<f64> {
    let directory = tempfile::tempdir_in(std::env::current_dir()?)?;
    let port = free_port()?;
    let config = directory.path().join("mosquitto.conf");
    let text = format!(
        "listener {port} 127.0.0.1\nallow_anonymous true\nset_tcp_nodelay true\npersistence false\nmax_inflight_messages 0\n"
    );
    std::fs::write(&config, text)?;
    let process = Process::start(Command::new("mosquitto").arg("-c").arg(&config))?;
    wait_until("Mosquitto listens", || TcpStream::connect(("127.0.0.1", port)).is_ok())?;
    let flood = flood(port, arguments.seconds, &[])?;
    println!(
        "  Mosquitto, nothing kept: {:.0} messages/s, {:.2} us of CPU a message",
        flood.messages_per_second,
        process.cpu_seconds()? * 1e6 / flood.acknowledged
    );
    Ok(flood.messages_per_second)
}

fn service(name: &str, log_section: &str, arguments: &Arguments) -> Result<f64> {
    let service = Service::start(log_section)?;
    let flooded = flood(service.mqtt_port, arguments.seconds, &[])?;
    let cpu = service.process.cpu_seconds()? * 1e6 / flooded.acknowledged;
    let landed = service.metric("urban_neuron_lake_rows_total")? / (2.0 * flooded.acknowledged);
    println!(
        "  {name}: {:.0} messages/s, {cpu:.2} us of CPU a message with {:.0} % landed, at most {} MB resident",
        flooded.messages_per_second,
        landed * 100.0,
        service.process.resident_max_mb()?
    );
    drop(service);
    let service = Service::start(log_section)?;
    let paced = flood(service.mqtt_port, arguments.seconds, &["--rate", PACED_MESSAGES_PER_SECOND])?;
    println!(
        "  {name} at {PACED_MESSAGES_PER_SECOND} messages/s: PUBACK p50 {:.2} ms, p99 {:.2} ms, at most {} MB resident",
        paced.ack_p50_ms,
        paced.ack_p99_ms,
        service.process.resident_max_mb()?
    );
    drop(service);
    let service = Service::start(log_section)?;
    city(service.mqtt_port, arguments.seconds)?;
    println!(
        "  {name}, a city at {PACED_MESSAGES_PER_SECOND} messages/s: sensor to alert {}",
        service.quantile_bounds("urban_neuron_sensor_to_alert_seconds")?
    );
    Ok(flooded.messages_per_second)
}

struct Service {
    process: Process,
    mqtt_port: u16,
    admin_port: u16,
    _directory: tempfile::TempDir,
}

impl Service {
    fn start(log_section: &str) -> Result<Self> {
        static STARTED: AtomicU32 = AtomicU32::new(0);
        // Each has topics of its own, as each embedded one has a directory.
        let log_section = match log_section {
            "" => String::new(),
            kafka => {
                format!("{kafka}topic_prefix = \"bench-{}.\"\n", STARTED.fetch_add(1, Ordering::Relaxed))
            }
        };
        let directory = tempfile::tempdir_in(std::env::current_dir()?)?;
        let root = directory.path();
        let (mqtt_port, admin_port) = (free_port()?, free_port()?);
        std::fs::write(root.join("rules.toml"), rules())?;
        let config = format!(
            "data_dir = '{root}/data'\n{log_section}[mqtt.endpoint]\nlisten = \"127.0.0.1:{mqtt_port}\"\n\
             [lake]\nroot = '{root}/lake'\n[rules]\npaths = ['{root}/rules.toml', '{demo}']\n\
             [admin]\nlisten = \"127.0.0.1:{admin_port}\"\n",
            root = root.display(),
            demo = repository().join("deploy/demo/rules.toml").display(),
        );
        let path = root.join("config.toml");
        std::fs::write(&path, config)?;
        let process = Process::start(Command::new(binary()?).args(["run", "--config"]).arg(&path))?;
        let service = Service { process, mqtt_port, admin_port, _directory: directory };
        wait_until("the service is ready", || service.http("/health/ready").is_ok())?;
        Ok(service)
    }

    fn http(&self, path: &str) -> Result<String> {
        let url = format!("http://127.0.0.1:{}{path}", self.admin_port);
        output(Command::new("curl").args(["-sf", &url]))
    }

    /// Sum over all labels of a counter.
    fn metric(&self, name: &str) -> Result<f64> {
        let text = self.http("/metrics")?;
        let lines = text.lines().filter(|line| line.starts_with(name));
        lines
            .map(|line| line.rsplit(' ').next().unwrap_or_default().parse::<f64>())
            .sum::<Result<_, _>>()
            .context(name.to_owned())
    }

    /// Between which bounds of the histogram the quantiles lie.
    fn quantile_bounds(&self, name: &str) -> Result<String> {
        let text = self.http("/metrics")?;
        let prefix = format!("{name}_bucket{{le=\"");
        let mut buckets = Vec::new();
        for line in text.lines().filter_map(|line| line.strip_prefix(&prefix)) {
            let (bound, count) = line.split_once("\"} ").context("a bucket")?;
            buckets.push((bound.to_owned(), count.parse::<f64>()?));
        }
        let total = buckets.last().context("the histogram has no buckets")?.1;
        ensure!(total > 0.0, "no alert was said");
        let mut text = format!("of {total} alerts");
        for share in [0.5, 0.99] {
            let (bound, _) = buckets.iter().find(|(_, count)| *count >= total * share).context("a bucket")?;
            write!(text, ", p{} < {bound} s", share * 100.0)?;
        }
        Ok(text)
    }
}

fn rules() -> String {
    let mut text = String::new();
    for n in 0..RULES {
        let (limit, devices) = (0.5 + (n % 97) as f64 * 0.05, n / 10);
        text += &format!(
            "[[rule]]\nid = \"level-{n}\"\ntitle = \"Level {n}\"\nseverity = \"info\"\n\
             when = \"water_level > {limit:.2} m\"\nwhere = \"device_id like '*{devices:02}'\"\n\n"
        );
    }
    text
}

struct Flood {
    acknowledged: f64,
    messages_per_second: f64,
    ack_p50_ms: f64,
    ack_p99_ms: f64,
}

fn flood(port: u16, seconds: u64, more: &[&str]) -> Result<Flood> {
    let summary = simulate(port, seconds, &[&["--flood"], more].concat())?;
    let number = |name: &str| summary[name].as_f64().with_context(|| format!("{name} of {summary}"));
    ensure!(number("unacknowledged")? == 0.0, "not all was acknowledged: {summary}");
    Ok(Flood {
        acknowledged: number("acknowledged")?,
        messages_per_second: number("messages_per_second")?,
        ack_p50_ms: number("ack_p50_seconds")? * 1e3,
        ack_p99_ms: number("ack_p99_seconds")? * 1e3,
    })
}

fn city(port: u16, seconds: u64) -> Result<()> {
    simulate(port, seconds, &["--rate", PACED_MESSAGES_PER_SECOND, "--fast-days"]).map(drop)
}

fn simulate(port: u16, seconds: u64, more: &[&str]) -> Result<serde_json::Value> {
    let to = format!("mqtt://127.0.0.1:{port}");
    let duration = format!("{seconds}s");
    let text = output(
        Command::new(binary()?)
            .args(["simulate", "--format", "json", "--devices", DEVICES, "--for", &duration, "--to", &to])
            .args(more),
    )?;
    let last = text.lines().last().context("simulate said nothing")?;
    serde_json::from_str(last).context(last.to_owned())
}

struct Process(Child);

impl Process {
    fn start(command: &mut Command) -> Result<Self> {
        let program = command.get_program().to_owned();
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        child.map(Process).with_context(|| format!("{} does not start", program.display()))
    }

    /// User and system time of all its threads.
    fn cpu_seconds(&self) -> Result<f64> {
        /// `USER_HZ`, which is 100 on every Linux that we run on.
        const TICKS_PER_SECOND: f64 = 100.0;
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.0.id()))?;
        let after_name = stat.rsplit(')').next().context("a stat line")?;
        let ticks: Vec<f64> =
            after_name.split_whitespace().skip(11).take(2).map(str::parse).collect::<Result<_, _>>()?;
        Ok(ticks.iter().sum::<f64>() / TICKS_PER_SECOND)
    }

    fn resident_max_mb(&self) -> Result<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.0.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("VmHWM")?;
        Ok(line.trim().trim_end_matches(" kB").parse::<u64>()? / 1024)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself; there is nothing else to do about it.
        self.0.kill().and_then(|()| self.0.wait()).ok();
    }
}

fn repository() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

/// The server's binary, which stands beside this one.
fn binary() -> Result<PathBuf> {
    let path = std::env::current_exe()?.with_file_name("urban-neuron");
    ensure!(path.exists(), "{} is missing: cargo build --release -p urban-neuron-server", path.display());
    Ok(path)
}

fn output(command: &mut Command) -> Result<String> {
    let output = command.stderr(Stdio::null()).output()?;
    ensure!(output.status.success(), "{} failed with {}", command.get_program().display(), output.status);
    Ok(String::from_utf8(output.stdout)?)
}

fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) -> Result<()> {
    let begin = Instant::now();
    while !is_so() {
        ensure!(begin.elapsed() < START_MAX, "{what}: not after {START_MAX:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}
