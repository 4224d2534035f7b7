//! A real Mosquitto of a test's own: on a free port of the loopback, with its state in a directory that goes with it.

use std::fs;
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime};

use tempfile::TempDir;

/// How long a broker may take for anything.
const PATIENCE: Duration = Duration::from_secs(20);
const LOOK_INTERVAL: Duration = Duration::from_millis(5);

pub(crate) struct Mosquitto {
    directory: TempDir,
    port: u16,
    process: Child,
}

impl Mosquitto {
    /// Anyone may do anything; no limit on queued messages. `settings` are more lines of its configuration.
    pub(crate) fn start(settings: &str) -> Self {
        let directory = TempDir::new().expect("a directory");
        Self::start_in(directory, &format!("allow_anonymous true\n{settings}"))
    }

    /// The same in a directory that holds files which `settings` name.
    pub(crate) fn start_in(directory: TempDir, settings: &str) -> Self {
        let port = free_port();
        // Started by root it would become a user who may not write here; started by anyone else it ignores `user`.
        let config = format!(
            "user root\npersistence true\npersistence_location {path}/\nmax_queued_messages 0\nset_tcp_nodelay true\n\
             listener {port} 127.0.0.1\n{settings}\n",
            path = directory.path().display()
        );
        fs::write(directory.path().join("mosquitto.conf"), config).expect("the configuration is written");
        let process = spawn(directory.path());
        let broker = Mosquitto { directory, port, process };
        broker.wait_until_listening();
        broker
    }

    pub(crate) fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    /// Ends at once, whatever it does: what it has not saved is gone.
    pub(crate) fn kill(&mut self) {
        self.process.kill().expect("it runs");
        self.process.wait().expect("it ends");
    }

    /// Ends in good order, with everything saved.
    pub(crate) fn terminate(&mut self) {
        self.signal("-TERM");
        self.process.wait().expect("it ends");
    }

    /// Begins again with what it saved.
    pub(crate) fn start_again(&mut self) {
        self.process = spawn(self.directory.path());
        self.wait_until_listening();
    }

    /// Writes its state to disk.
    pub(crate) fn save(&self) {
        let before = self.saved_at();
        self.signal("-USR1");
        wait_until("mosquitto saves its state", || self.saved_at() > before);
    }

    /// Loses all that it saved. It must not run.
    pub(crate) fn forget(&self) {
        fs::remove_file(self.state_file()).expect("it has saved something");
    }

    /// Publishes each line to `topic`, and waits until the broker has acknowledged them; false when it did not.
    pub(crate) fn publish<'a>(
        &self,
        topic: &str,
        options: &[&str],
        lines: impl Iterator<Item = &'a str>,
    ) -> bool {
        let mut client = Command::new("mosquitto_pub")
            .args(["-h", "127.0.0.1", "-p", &self.port.to_string(), "-t", topic, "-l"])
            .args(options)
            .stdin(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("mosquitto_pub is installed");
        let text: String = lines.flat_map(|line| [line, "\n"]).collect();
        let mut stdin = client.stdin.take().expect("it is piped");
        // When the broker is gone the client is too, and its exit status says so.
        let is_written = stdin.write_all(text.as_bytes()).is_ok();
        drop(stdin);
        client.wait().is_ok_and(|status| status.success()) && is_written
    }

    fn state_file(&self) -> PathBuf {
        self.directory.path().join("mosquitto.db")
    }

    fn saved_at(&self) -> Option<SystemTime> {
        fs::metadata(self.state_file()).and_then(|file| file.modified()).ok()
    }

    fn signal(&self, signal: &str) {
        let sent = Command::new("kill").args([signal, &self.process.id().to_string()]).status();
        assert!(sent.is_ok_and(|status| status.success()), "kill {signal}");
    }

    fn wait_until_listening(&self) {
        wait_until("mosquitto listens", || TcpStream::connect(self.address()).is_ok());
    }
}

impl Drop for Mosquitto {
    fn drop(&mut self) {
        // It may have been killed already.
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

/// The plugin that comes with it, in the directory of whatever machine this is.
pub(crate) fn security_plugin() -> PathBuf {
    let directories = fs::read_dir("/usr/lib").expect("every system has it").flatten();
    let mut plugins = directories.map(|directory| directory.path().join("mosquitto_dynamic_security.so"));
    plugins.find(|path| path.exists()).expect("the plugin comes with mosquitto")
}

/// Waits until it is so, or fails.
pub(crate) fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "waited in vain until {what}");
        sleep(LOOK_INTERVAL);
    }
}

pub(crate) fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .and_then(|listener| listener.local_addr())
        .expect("a free port")
        .port()
}

fn spawn(directory: &Path) -> Child {
    // Debian keeps it where only root's PATH looks.
    let program = ["/usr/sbin/mosquitto", "/usr/local/sbin/mosquitto"]
        .into_iter()
        .find(|path| Path::new(path).exists());
    let log = fs::File::create(directory.join("mosquitto.log")).expect("a log file");
    Command::new(program.unwrap_or("mosquitto"))
        .arg("-c")
        .arg(directory.join("mosquitto.conf"))
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .expect("mosquitto is installed")
}
