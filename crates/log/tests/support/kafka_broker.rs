//! A real one-node Kafka for tests, started by `deploy/kafka/kafka.sh`.
#![allow(
    unreachable_pub,
    dead_code,
    reason = "included by the tests of several crates, each of which uses a part"
)]

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

/// A broker on loopback with its own directory. It ends with this value, or with the process however that ends.
pub struct KafkaBroker {
    directory: tempfile::TempDir,
    mode: &'static str,
    /// Plaintext.
    pub plain: String,
    /// TLS, and SCRAM-SHA-256 over TLS as user `urban` with password `neuron`; empty unless secure.
    pub tls: String,
    pub sasl: String,
}

impl KafkaBroker {
    pub fn start() -> Result<Self> {
        Self::start_in_mode("plain")
    }

    /// With listeners for TLS and SASL too.
    pub fn start_secure() -> Result<Self> {
        Self::start_in_mode("secure")
    }

    fn start_in_mode(mode: &'static str) -> Result<Self> {
        let directory = tempfile::Builder::new().prefix("kafka-").tempdir()?;
        let mut broker =
            KafkaBroker { directory, mode, plain: String::new(), tls: String::new(), sasl: String::new() };
        let addresses = broker.script(&["start", broker.directory_text()?, mode])?;
        for line in addresses.lines() {
            match line.split_once(' ') {
                Some(("plain", address)) => broker.plain = address.to_owned(),
                Some(("tls", address)) => broker.tls = address.to_owned(),
                Some(("sasl", address)) => broker.sasl = address.to_owned(),
                _ => {}
            }
        }
        Ok(broker)
    }

    /// The authority of the broker's certificate, PEM.
    pub fn authority(&self) -> PathBuf {
        self.directory.path().join("tls/ca.crt")
    }

    /// As a power cut ends it.
    pub fn kill(&self) -> Result<()> {
        self.script(&["stop", self.directory_text()?, "kill"]).map(drop)
    }

    /// Starts again what was killed, with its data and addresses.
    pub fn restart(&self) -> Result<()> {
        self.script(&["start", self.directory_text()?, self.mode]).map(drop)
    }

    /// Runs a tool of Kafka's own, such as `TopicCommand`.
    pub fn tool(&self, class: &str, arguments: &[&str]) -> Result<String> {
        self.script(&[&["tool", self.directory_text()?, class], arguments].concat())
    }

    fn script(&self, arguments: &[&str]) -> Result<String> {
        let script = Path::new(env!("CARGO_MANIFEST_DIR"))
            .ancestors()
            .map(|folder| folder.join("deploy/kafka/kafka.sh"))
            .find(|script| script.exists())
            .context("deploy/kafka/kafka.sh is above no folder of this crate")?;
        let output = Command::new(script)
            .args(arguments)
            .env("KAFKA_OWNER_PID", std::process::id().to_string())
            .output()
            .context("kafka.sh cannot be run")?;
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        ensure!(output.status.success(), "no real Kafka, `kafka.sh {}`: {out}{err}", arguments.join(" "));
        Ok(out.into_owned())
    }

    fn directory_text(&self) -> Result<&str> {
        self.directory.path().to_str().context("the temporary directory's name is not UTF-8")
    }
}

impl Drop for KafkaBroker {
    fn drop(&mut self) {
        if let Err(error) = self.kill() {
            eprintln!("{error:#}");
        }
    }
}
