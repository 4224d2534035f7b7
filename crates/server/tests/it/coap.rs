//! CoAP through the whole service: what was answered 2.04 is in the lake once, whatever kills the process between.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::net::UdpSocket;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::binary::Deployment;
use crate::lake_rows;

const PATIENCE: Duration = Duration::from_secs(90);
/// A device would wait 2 s; what matters is that the message is the same.
const RETRANSMIT_AFTER: Duration = Duration::from_millis(300);

/// A device that sends a confirmable message until it is answered.
struct Device {
    socket: UdpSocket,
    id: String,
    message_id: u16,
    datagram: Vec<u8>,
}

impl Device {
    fn new(deployment: &Deployment, id: String) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.connect(deployment.coap).unwrap();
        socket.set_read_timeout(Some(RETRANSMIT_AFTER)).unwrap();
        Device { socket, id, message_id: 0, datagram: Vec::new() }
    }

    /// Sends `{"n": number}`, without a time of its own: only its message id says that a repeat is one.
    fn send(&mut self, number: u64) {
        self.message_id += 1;
        self.datagram = vec![0x41, 0x02];
        self.datagram.extend(self.message_id.to_be_bytes());
        self.datagram.extend([b'#', 0xb1, b't', self.id.len() as u8]);
        self.datagram.extend(self.id.as_bytes());
        self.datagram.extend([0x11, 50, 0xff]);
        self.datagram.extend(format!("{{\"n\":{number}}}").as_bytes());
        // Nobody may be there just now.
        self.socket.send(&self.datagram).ok();
    }

    fn is_answered(&mut self) -> bool {
        let mut answer = [0; 64];
        match self.socket.recv(&mut answer) {
            // An answer to a repeat of an earlier message may be late.
            Ok(len) if answer[2..4] != self.message_id.to_be_bytes() => {
                assert_eq!((len, &answer[..2]), (5, &[0x61, 0x44][..]));
                return false;
            }
            Ok(len) => {
                let [high, low] = self.message_id.to_be_bytes();
                assert_eq!(answer[..len], [0x61, 0x44, high, low, b'#']);
                return true;
            }
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => {
                std::thread::park_timeout(Duration::from_millis(20));
            }
            Err(_) => {}
        }
        self.socket.send(&self.datagram).ok();
        false
    }
}

fn publish(devices: &mut [Device], numbers: std::ops::Range<u64>) {
    let deadline = Instant::now() + PATIENCE;
    for number in numbers {
        devices.iter_mut().for_each(|device| device.send(number));
        for device in &mut *devices {
            while !device.is_answered() {
                assert!(Instant::now() < deadline, "{}: no answer for {PATIENCE:?}", device.id);
            }
        }
    }
}

#[test]
fn killed_at_random_moments_it_loses_nothing_and_doubles_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let deployment = Deployment::new(directory.path()).set("lake.roll_age=200ms");
    let mut devices: Vec<_> = (0..12).map(|at| Device::new(&deployment, format!("well-{at}"))).collect();
    let mut service = deployment.start(&[]);
    let stretches = [0..40u64, 40..45, 45..110, 110..111, 111..150];
    for stretch in stretches {
        publish(&mut devices, stretch.clone());
        // In the middle of things: the next message is on its way.
        devices.iter_mut().for_each(|device| device.send(stretch.end + 1_000_000));
        service.kill();
        service = deployment.spawn(&[]);
        for device in &mut devices {
            while !device.is_answered() {}
        }
    }
    publish(&mut devices, 150..160);
    let books = ["logged", "dead_lettered", "refused", "in_flight", "abandoned"].map(|state| {
        let unit = if state == "in_flight" { "messages" } else { "messages_total" };
        deployment.metric(&format!("urban_neuron_{state}_{unit}"))
    });
    assert_eq!(books.iter().sum::<f64>(), deployment.metric("urban_neuron_received_messages_total"));
    service.stop();
    let mut found: BTreeMap<(String, u64), u32> = BTreeMap::new();
    for row in lake_rows::read(&deployment.lake()) {
        *found.entry((row.device_id, row.value.unwrap() as u64)).or_default() += 1;
    }
    assert!(found.values().all(|count| *count == 1), "{found:?}");
    assert_eq!(found.len(), 12 * (160 + 5));
    let verified = deployment.command("lake verify").output().unwrap();
    assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stdout));
}

#[test]
fn what_libcoap_posts_lands_under_its_names_and_a_bad_payload_is_a_dead_letter() {
    let directory = tempfile::tempdir().unwrap();
    let deployment = Deployment::new(directory.path());
    let service = deployment.start(&[]);
    let post = |format: &str, payload: &str| {
        let url = format!("coap://{}/urban-neuron/v1/devices/well-7/telemetry", deployment.coap);
        let client = Command::new("coap-client-notls")
            .args(["-v", "6", "-m", "post", "-B", "10", "-t", format, "-e", payload, &url])
            .output()
            .expect("coap-client-notls of the package libcoap3-bin");
        String::from_utf8_lossy(&[client.stdout, client.stderr].concat()).into_owned()
    };
    let pack = r#"[{"bn":"urn:imei:861878041066389:","n":"temperature","u":"Cel","v":21.5,"t":1790000000}]"#;
    for (format, payload, code) in [
        ("50", r#"{"temperature":20.5}"#, "2.04"),
        ("110", pack, "2.04"),
        ("50", "{not json at all}", "4.00"),
    ] {
        let said = post(format, payload);
        assert!(said.contains(code), "{payload}: {said}");
    }
    assert!(post("110", "[]").contains("no_readings"));
    let listed = deployment.command("dead-letters list").output().unwrap();
    let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
    assert!(listed.contains("malformed_json") && listed.contains("no_readings"), "{listed}");
    service.stop();
    let rows = lake_rows::read(&deployment.lake());
    let mut rows: Vec<_> = rows.iter().map(|row| (&*row.device_id, &*row.metric, row.value)).collect();
    rows.sort_by(|a, b| a.2.partial_cmp(&b.2).unwrap());
    assert_eq!(rows, [("well-7", "temperature", Some(20.5)), ("well-7", "temperature", Some(21.5))]);
}
