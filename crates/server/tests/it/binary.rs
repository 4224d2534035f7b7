//! The built binary in a directory of its own, on free ports of the loopback.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(60);
const ANSWER_PATIENCE: Duration = Duration::from_secs(15);

/// Where a service is to run and how; survives its restarts.
pub struct Deployment {
    pub directory: PathBuf,
    pub mqtt: SocketAddr,
    pub admin: SocketAddr,
    pub coap: SocketAddr,
    /// What the process does, where that is not everything.
    pub roles: Option<String>,
    /// The program that starts the binary, with its arguments; none by default.
    launcher: Vec<String>,
    settings: Vec<String>,
}

/// A running `urban-neuron run`. Killed when dropped.
pub struct Service {
    child: Child,
    log_path: PathBuf,
}

/// An address of the loopback that nobody listens on.
pub fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// The same for datagrams.
pub fn free_udp_address() -> SocketAddr {
    std::net::UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

impl Deployment {
    pub fn new(directory: &Path) -> Self {
        let (mqtt, admin, coap) = (free_address(), free_address(), free_udp_address());
        let settings = [
            format!("data_dir={}", directory.join("data").display()),
            format!("lake.root={}", directory.join("lake").display()),
            format!("mqtt.endpoint.listen={mqtt}"),
            "mqtt.endpoint.listen_websocket=\"\"".to_owned(),
            format!("coap.listen={coap}"),
            format!("admin.listen={admin}"),
        ];
        Deployment {
            directory: directory.to_owned(),
            mqtt,
            admin,
            coap,
            roles: None,
            launcher: Vec::new(),
            settings: settings.into(),
        }
    }

    /// The binary is started by another program, such as one that enters a namespace and becomes it.
    pub fn under(mut self, launcher: Vec<String>) -> Self {
        self.launcher = launcher;
        self
    }

    pub fn set(mut self, setting: impl Into<String>) -> Self {
        self.settings.push(setting.into());
        self
    }

    pub fn lake(&self) -> PathBuf {
        self.directory.join("lake")
    }

    /// Starts the service without waiting for it.
    pub fn spawn(&self, more: &[&str]) -> Service {
        let log_path = self.directory.join("service.log");
        let log = std::fs::File::options().create(true).append(true).open(&log_path).unwrap();
        let mut command = self.command("run");
        for setting in more {
            command.args(["--set", setting]);
        }
        if let Some(roles) = &self.roles {
            command.args(["--roles", roles]);
        }
        let child = command.stdout(Stdio::null()).stderr(log).spawn().unwrap();
        Service { child, log_path }
    }

    /// Starts the service and waits until it is ready.
    pub fn start(&self, more: &[&str]) -> Service {
        let mut service = self.spawn(more);
        let deadline = Instant::now() + PATIENCE;
        while !self.is_ready() {
            assert!(service.is_running(), "the service ended while starting:\n{}", service.log());
            assert!(Instant::now() < deadline, "not ready in {PATIENCE:?}:\n{}", service.log());
            std::thread::park_timeout(Duration::from_millis(20));
        }
        service
    }

    /// A command of the binary with the settings of this deployment.
    pub fn command(&self, name: &str) -> Command {
        let binary = env!("CARGO_BIN_EXE_urban-neuron").to_owned();
        let words: Vec<&String> = self.launcher.iter().chain([&binary]).collect();
        let mut command = Command::new(words[0]);
        command.args(&words[1..]).args(name.split(' ')).current_dir(&self.directory);
        for setting in &self.settings {
            command.args(["--set", setting]);
        }
        command
    }

    pub fn is_ready(&self) -> bool {
        self.get("/health/ready").is_some_and(|(status, _)| status == 200)
    }

    /// Status and body of an admin page; nothing while nobody answers.
    pub fn get(&self, path: &str) -> Option<(u16, String)> {
        self.ask(&format!("GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n"))
    }

    /// Status and body of the answer to a JSON body; nothing while nobody answers.
    pub fn post(&self, path: &str, body: &str) -> Option<(u16, String)> {
        let length = body.len();
        self.ask(&format!(
            "POST {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}"
        ))
    }

    fn ask(&self, request: &str) -> Option<(u16, String)> {
        let mut stream = TcpStream::connect_timeout(&self.admin, Duration::from_secs(1)).ok()?;
        stream.set_read_timeout(Some(ANSWER_PATIENCE)).ok()?;
        stream.write_all(request.as_bytes()).ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        let status = answer.split(' ').nth(1)?.parse().ok()?;
        let body = answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned())?;
        Some((status, body))
    }

    /// The sum of a metric over its labels.
    pub fn metric(&self, name: &str) -> f64 {
        let (_, page) = self.get("/metrics").expect("the admin server answers");
        let of_name = |line: &&str| {
            line.strip_prefix(name).is_some_and(|rest| rest.starts_with('{') || rest.starts_with(' '))
        };
        page.lines().filter(of_name).filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
    }
}

impl Service {
    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// As a power cut would.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Waits until the service ends by itself.
    pub fn wait(&mut self) -> std::process::ExitStatus {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < deadline, "still running after {PATIENCE:?}:\n{}", self.log());
            std::thread::park_timeout(Duration::from_millis(20));
        }
    }

    /// SIGTERM, and waits for the drain; the exit code must be 0.
    pub fn stop(mut self) {
        self.signal("TERM");
        let status = self.wait();
        assert!(status.success(), "{status}:\n{}", self.log());
    }

    /// Sends a signal by name.
    pub fn signal(&self, name: &str) {
        let status =
            Command::new("kill").args([&format!("-{name}"), &self.child.id().to_string()]).status().unwrap();
        assert!(status.success());
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log_path).unwrap_or_default()
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        // It may have ended already.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
