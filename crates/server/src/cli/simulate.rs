//! `simulate`: a city of sensors, or a flood for benchmarks, against any MQTT broker.

use std::ops::ControlFlow;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use simulator::{BrokerAddress, City, CityConfig, FloodConfig, Progress, PublisherConfig, Summary};

use super::output::{OutputArgs, print_json, print_line};
use super::progress_line::ProgressLine;
use super::stop_signal::StopSignal;
use super::{Failure, parse_duration};
use crate::clock::wall_us;

#[derive(Args, Debug)]
pub(super) struct SimulateArgs {
    /// The broker
    #[arg(long, value_name = "URL", default_value = "mqtt://127.0.0.1:1883")]
    to: BrokerAddress,

    /// Sensors in the city
    #[arg(long, value_name = "COUNT", default_value_t = 1_000)]
    devices: u32,

    /// Messages a second, all devices together; a flood without it sends as fast as it is acknowledged
    #[arg(long, value_name = "RATE")]
    rate: Option<f64>,

    /// How long to send
    #[arg(long = "for", value_name = "DURATION", default_value = "60s", value_parser = parse_duration)]
    duration: Duration,

    /// Gateways in front of the sensors, each an MQTT connection
    #[arg(long, value_name = "COUNT", default_value_t = 20)]
    connections: u32,

    /// The same seed gives the same city
    #[arg(long, default_value_t = 1)]
    seed: u64,

    /// A day of two minutes, and floods and alarms that come and go within 40 s
    #[arg(long)]
    fast_days: bool,

    /// Start of the MQTT client ids; sessions persist, so it is one a city
    #[arg(long, value_name = "TEXT", default_value = "urban-neuron-city")]
    client_id: String,

    /// User name at the broker
    #[arg(long, requires = "password_path")]
    username: Option<String>,

    /// File that holds the password
    #[arg(long, value_name = "FILE", requires = "username")]
    password_path: Option<PathBuf>,

    /// Write down every acknowledged message: kind, device_id and observed_at (us), divided by tabs
    #[arg(long, value_name = "FILE")]
    ledger: Option<PathBuf>,

    /// Messages of one connection that may be unacknowledged
    #[arg(long, value_name = "COUNT")]
    in_flight: Option<u16>,

    /// Not a city but as many messages as possible, for benchmarks: two readings each, equal but for device and time
    #[arg(long, conflicts_with_all = ["ledger", "username", "fast_days", "seed"])]
    flood: bool,

    #[command(flatten)]
    output: OutputArgs,
}

impl SimulateArgs {
    pub(super) fn run(self) -> Result<(), Failure> {
        let stop = StopSignal::listen()?;
        let line = ProgressLine::new();
        let progress = |progress: &Progress| {
            line.say(progress_text(progress));
            if stop.is_raised() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        let summary = if self.flood {
            simulator::flood(&self.flood_config(), progress)
        } else {
            simulator::publish(&self.publisher_config()?, City::new(self.city_config()), progress)
        };
        line.finish();
        self.print(&summary.with_context(|| format!("publishing to {}", self.to))?)
    }

    fn city_config(&self) -> CityConfig {
        let start_us = wall_us();
        let base = CityConfig { seed: self.seed, start_us, ..CityConfig::default() };
        let base = if self.fast_days { CityConfig::demo(self.seed, start_us) } else { base };
        let city = CityConfig { devices: self.devices, gateways: self.connections, ..base };
        match self.rate {
            Some(rate) => city.with_rate(rate),
            None => city,
        }
    }

    fn publisher_config(&self) -> Result<PublisherConfig, Failure> {
        let credentials = match (&self.username, &self.password_path) {
            (Some(username), Some(path)) => {
                let password = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
                Some((username.clone(), password.trim_end_matches(['\r', '\n']).to_owned()))
            }
            _ => None,
        };
        let defaults = PublisherConfig::new(self.to.clone(), self.duration);
        Ok(PublisherConfig {
            client_id_prefix: self.client_id.clone(),
            credentials,
            ledger: self.ledger.clone(),
            in_flight_max: self.in_flight.unwrap_or(defaults.in_flight_max),
            ..defaults
        })
    }

    fn flood_config(&self) -> FloodConfig {
        let defaults = FloodConfig::new(self.to.clone(), self.duration);
        FloodConfig {
            client_id_prefix: self.client_id.clone(),
            connections: self.connections,
            devices: self.devices,
            messages_per_second: self.rate,
            in_flight_max: self.in_flight.unwrap_or(defaults.in_flight_max),
            ..defaults
        }
    }

    fn print(&self, summary: &Summary) -> Result<(), Failure> {
        let Summary { sent, acknowledged, resent, reconnects, .. } = summary;
        if self.output.is_json() {
            print_json(&serde_json::json!({
                "elapsed_seconds": summary.elapsed.as_secs_f64(),
                "sent": sent,
                "acknowledged": acknowledged,
                "unacknowledged": summary.unacknowledged(),
                "resent": resent,
                "reconnects": reconnects,
                "messages_per_second": summary.rate(),
                "ack_p50_seconds": summary.p50().as_secs_f64(),
                "ack_p99_seconds": summary.p99().as_secs_f64(),
            }))?;
        } else {
            print_line(&format!("sent          {sent}"))?;
            print_line(&format!("acknowledged  {acknowledged}, {:.0} a second", summary.rate()))?;
            print_line(&format!("sent again    {resent}, after {reconnects} lost connections"))?;
            print_line(&format!("PUBACK        p50 {:.1?}, p99 {:.1?}", summary.p50(), summary.p99()))?;
        }
        if summary.unacknowledged() > 0 {
            return Err(anyhow::anyhow!("{} messages were not acknowledged", summary.unacknowledged()).into());
        }
        Ok(())
    }
}

fn progress_text(progress: &Progress) -> String {
    let Progress { elapsed, sent, acknowledged, connected, reconnects, .. } = progress;
    let seconds = elapsed.as_secs();
    format!(
        "{seconds:>4} s  sent {sent}  acknowledged {acknowledged}  connections {connected}, lost {reconnects}"
    )
}
