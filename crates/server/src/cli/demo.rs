//! `demo`: everything embedded, a simulated city published by a real MQTT client, rules that fire and resolve.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use simulator::{BrokerAddress, City, CityConfig, Progress, PublisherConfig, Summary};

use super::output::print_line;
use super::progress_line::ProgressLine;
use super::stop_signal::StopSignal;
use super::{ConfigArgs, Failure, parse_duration};
use crate::clock::wall_us;
use crate::config::Config;
use crate::health::Role;
use crate::pipeline::{Service, Stats};

const RULES: &str = include_str!("../../../../deploy/demo/rules.toml");

#[derive(Args, Debug)]
pub(super) struct DemoArgs {
    /// How long the city speaks
    #[arg(long = "for", value_name = "DURATION", default_value = "60s", value_parser = parse_duration)]
    duration: Duration,

    /// Where log and lake are kept; made when it is not there, continued when it is
    #[arg(long, value_name = "DIR", default_value = "./urban-neuron-demo")]
    data_dir: PathBuf,

    /// Sensors in the city
    #[arg(long, value_name = "COUNT", default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    devices: u32,

    /// Messages a second, all devices together
    #[arg(long, value_name = "RATE")]
    rate: Option<f64>,

    /// Set a config key, as `run` does
    #[arg(long = "set", value_name = "KEY=VALUE")]
    settings: Vec<String>,
}

impl DemoArgs {
    pub(super) fn run(self, environment: &BTreeMap<String, String>) -> Result<(), Failure> {
        let config = self.config(environment)?;
        let stop = StopSignal::listen()?;
        let service = Service::start(&config, &Role::ALL)?;
        let endpoint = service.endpoint_addresses().tcp.first().copied();
        let endpoint =
            endpoint.context("the demo needs its MQTT endpoint: leave mqtt.endpoint.listen alone")?;
        introduce(&self, &config, endpoint, service.admin_addresses())?;
        let summary = self.publish(endpoint, &service, &stop);
        let stats = service.stop(None);
        let summary = summary.context("publishing the city")?;
        print_table(&summary, &stats)?;
        conclude(&config)?;
        match summary.unacknowledged() {
            0 => Ok(()),
            count => Err(anyhow::anyhow!("{count} messages were not acknowledged").into()),
        }
    }

    /// Free ports of loopback, and a lake that is never far behind; all of it may be set otherwise.
    fn config(&self, environment: &BTreeMap<String, String>) -> Result<Config, Failure> {
        let rules = self.data_dir.join("rules");
        std::fs::create_dir_all(&rules).with_context(|| format!("making {}", rules.display()))?;
        let file = rules.join("demo.toml");
        if !file.exists() {
            // Kept when it is there: somebody may be trying rules.
            std::fs::write(&file, RULES).with_context(|| format!("writing {}", file.display()))?;
        }
        let paths = toml::Value::from(vec![rules.display().to_string()]);
        let defaults = [
            "mqtt.endpoint.listen=127.0.0.1:0".to_owned(),
            "mqtt.endpoint.listen_websocket=".to_owned(),
            "coap.listen=".to_owned(),
            "admin.listen=127.0.0.1:0".to_owned(),
            "lake.roll_age=2s".to_owned(),
            format!("rules.paths={paths}"),
        ];
        let args = ConfigArgs {
            settings: self.settings.clone(),
            data_dir: Some(self.data_dir.clone()),
            ..ConfigArgs::default()
        };
        args.load_over(environment, &defaults)
    }

    fn publish(
        &self,
        endpoint: SocketAddr,
        service: &Service,
        stop: &StopSignal,
    ) -> Result<Summary, simulator::Error> {
        let city = CityConfig { devices: self.devices, ..CityConfig::demo(1, wall_us()) };
        let city = match self.rate {
            Some(rate) => city.with_rate(rate),
            None => city,
        };
        let broker: BrokerAddress = format!("mqtt://{endpoint}").parse()?;
        let line = ProgressLine::new();
        let summary =
            simulator::publish(&PublisherConfig::new(broker, self.duration), City::new(city), |progress| {
                service.refresh();
                line.say(progress_text(progress, &service.stats()));
                if stop.is_raised() || service.has_failed() {
                    ControlFlow::Break(())
                } else {
                    ControlFlow::Continue(())
                }
            });
        line.finish();
        summary
    }
}

fn introduce(
    args: &DemoArgs,
    config: &Config,
    endpoint: SocketAddr,
    admin: &[SocketAddr],
) -> Result<(), Failure> {
    let dir = config.data_dir.display();
    print_line(&format!(
        "{} sensors publish over MQTT for {:?}; everything is kept in {dir}",
        args.devices, args.duration
    ))?;
    let (host, port) = (endpoint.ip(), endpoint.port());
    print_line(&format!("alerts:   mosquitto_sub -h {host} -p {port} -t 'urban-neuron/v1/alerts/#'"))?;
    if let Some(admin) = admin.first() {
        print_line(&format!("metrics:  curl http://{admin}/metrics"))?;
    }
    print_line("")
}

fn progress_text(progress: &Progress, stats: &Stats) -> String {
    let Progress { elapsed, sent, acknowledged, .. } = progress;
    let (landed, firing) = (stats.rows_landed, stats.alerts_firing);
    let seconds = elapsed.as_secs();
    format!("{seconds:>4} s  sent {sent}  acknowledged {acknowledged}  rows landed {landed}  firing {firing}")
}

fn print_table(summary: &Summary, stats: &Stats) -> Result<(), Failure> {
    let latency =
        |latency: Option<Duration>| latency.map_or("-".to_owned(), |latency| format!("{latency:.1?}"));
    let (p50, p99) = (latency(stats.sensor_to_alert_p50), latency(stats.sensor_to_alert_p99));
    let rows = [
        ("sent", summary.sent.to_string()),
        (
            "acknowledged",
            format!("{} (PUBACK p50 {:.1?}, p99 {:.1?})", summary.acknowledged, summary.p50(), summary.p99()),
        ),
        ("rows landed", format!("{} of {} messages", stats.rows_landed, stats.messages_landed)),
        ("repeats", stats.messages_passed_over.to_string()),
        ("dead letters", stats.balance.dead_lettered.to_string()),
        ("alerts raised", stats.alerts_raised.to_string()),
        ("alerts resolved", stats.alerts_resolved.to_string()),
        ("sensor to alert", format!("p50 {p50}, p99 {p99}")),
    ];
    for (name, value) in rows {
        print_line(&format!("{name:<16} {value}"))?;
    }
    Ok(())
}

/// Where the lake is, whether it is whole, and a line for each tool that opens it.
fn conclude(config: &Config) -> Result<(), Failure> {
    let report = lake::verify(&config.lake.root).context("verifying the lake")?;
    if let Some(problem) = report.problems.first() {
        return Err(anyhow::anyhow!("the lake is not whole: {problem}").into());
    }
    let root = config.lake.root.canonicalize().unwrap_or_else(|_| config.lake.root.clone());
    print_line(&format!(
        "\nThe lake is whole: {} rows in {} files at {}",
        report.counts.rows,
        report.files,
        root.display()
    ))?;
    for line in queries(&root) {
        print_line(&line)?;
    }
    let dir = config.data_dir.display();
    print_line(&format!("\nWhat was refused, and why:  urban-neuron dead-letters list --data-dir {dir}"))
}

fn queries(root: &Path) -> [String; 3] {
    let table = root.join("telemetry");
    let table = table.display();
    [
        format!(
            "  duckdb -c \"SELECT domain, metric, count(*), avg(value) FROM read_parquet('{table}/**/*.parquet', hive_partitioning = true) GROUP BY ALL\""
        ),
        format!(
            "  python3 -c \"import pyarrow.dataset as ds; print(ds.dataset('{table}', partitioning='hive').head(10))\""
        ),
        format!(
            "  python3 -c \"import polars as pl; print(pl.scan_parquet('{table}/**/*.parquet', hive_partitioning=True).group_by('domain').len().collect())\""
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rules_of_the_demo_load_without_a_warning() {
        let config = Config::load(&crate::config::Sources::default()).expect("the defaults hold");
        let catalog = crate::metric_catalog::load(&config).expect("the shipped catalog");
        let files = [("demo.toml".to_owned(), RULES.to_owned())];
        let loaded = rules::RuleSource::load(&files, catalog.as_ref(), &rules::LoadOptions::default());
        let loaded = loaded.expect("the rules load");
        assert!(loaded.warnings.is_empty(), "{:?}", loaded.warnings);
        assert!(loaded.rule_set.rules().len() >= 5);
    }
}
