//! Alerts at a foreign broker, a real Mosquitto: what consumers there see, also over its restarts and ours.

#[allow(dead_code, reason = "shared with the subscriber's tests")]
#[path = "subscriber/mosquitto.rs"]
mod mosquitto;

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use urban_neuron_gateway::AlertBoard;
use urban_neuron_gateway::alert_publisher::{AlertPublisher, AlertPublisherConfig};

use mosquitto::{Mosquitto, wait_until};

const PATIENCE: Duration = Duration::from_secs(20);
const FILTER: &str = "urban-neuron/v1/alerts/#";

fn topic(name: &str) -> String {
    format!("urban-neuron/v1/alerts/drainage/critical/{name}/level-high")
}

fn start(broker: &Mosquitto, board: &AlertBoard) -> AlertPublisher {
    let url = format!("mqtt://{}", broker.address()).parse().expect("an address");
    let config = AlertPublisherConfig {
        reconnect_min: Duration::from_millis(20),
        reconnect_max: Duration::from_millis(200),
        ..AlertPublisherConfig::new(url, "alerts-test")
    };
    AlertPublisher::start(config, board.clone()).expect("it starts")
}

fn raise(board: &AlertBoard, name: &str, payload: &'static str) {
    board.publish(&topic(name), payload.into(), true, Vec::new());
}

fn resolve(board: &AlertBoard, name: &str, payload: &'static str) {
    board.publish(&topic(name), payload.into(), false, Vec::new());
    board.publish(&topic(name), "".into(), true, Vec::new());
}

/// A consumer that prints "retained topic payload" a message.
struct Consumer {
    process: Child,
    lines: Receiver<String>,
}

impl Consumer {
    fn start(broker: &Mosquitto) -> Self {
        let mut process = Command::new("mosquitto_sub")
            .args(["-h", "127.0.0.1", "-p", &broker.address().port().to_string()])
            .args(["-q", "1", "-t", FILTER, "-F", "%r %t %p"])
            .stdout(Stdio::piped())
            .spawn()
            .expect("mosquitto_sub is installed");
        let output = BufReader::new(process.stdout.take().expect("it is piped"));
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            output.lines().map_while(Result::ok).try_for_each(|line| sender.send(line))
        });
        Consumer { process, lines }
    }

    fn next(&self) -> String {
        self.lines.recv_timeout(PATIENCE).expect("a message in time")
    }
}

impl Drop for Consumer {
    fn drop(&mut self) {
        // It may have ended already.
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

/// What a consumer that comes now finds, sorted.
fn retained(broker: &Mosquitto) -> Vec<String> {
    let output = Command::new("mosquitto_sub")
        .args(["-h", "127.0.0.1", "-p", &broker.address().port().to_string()])
        .args(["-t", FILTER, "--retained-only", "-W", "1", "-F", "%t %p"])
        .output()
        .expect("mosquitto_sub is installed");
    let text = String::from_utf8(output.stdout).expect("text");
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    lines.sort();
    lines
}

#[test]
fn what_fires_is_retained_and_a_resolve_is_news_that_clears_it() {
    let broker = Mosquitto::start("");
    let board = AlertBoard::default();
    raise(&board, "m-1", "firing-1");
    board.set_live(true);
    let publisher = start(&broker, &board);
    let (one, two) = (topic("m-1"), topic("m-2"));
    wait_until("the first alert is there", || retained(&broker) == [format!("{one} firing-1")]);
    let consumer = Consumer::start(&broker);
    assert_eq!(consumer.next(), format!("1 {one} firing-1"));
    raise(&board, "m-2", "firing-2");
    resolve(&board, "m-1", "resolved-1");
    assert_eq!(consumer.next(), format!("0 {two} firing-2"));
    assert_eq!(consumer.next(), format!("0 {one} resolved-1"));
    assert_eq!(consumer.next(), format!("0 {one} "), "the clear");
    publisher.stop(PATIENCE);
    assert_eq!(retained(&broker), [format!("{two} firing-2")], "it stays when we end");
}

#[test]
fn what_stopped_firing_while_nobody_said_so_is_cleared() {
    let broker = Mosquitto::start("");
    for name in ["gone", "kept"] {
        assert!(broker.publish(&topic(name), &["-q", "1", "-r"], ["old"].into_iter()));
    }
    let board = AlertBoard::default();
    raise(&board, "kept", "firing");
    let publisher = start(&broker, &board);
    board.set_live(true);
    let kept = topic("kept");
    wait_until("only what fires is there", || retained(&broker) == [format!("{kept} firing")]);
    publisher.stop(PATIENCE);
}

#[test]
fn a_broker_that_lost_everything_learns_what_fires_again() {
    let mut broker = Mosquitto::start("");
    let board = AlertBoard::default();
    board.set_live(true);
    let publisher = start(&broker, &board);
    raise(&board, "m-1", "firing");
    let one = topic("m-1");
    wait_until("the alert is there", || retained(&broker) == [format!("{one} firing")]);
    broker.kill();
    raise(&board, "m-2", "firing");
    resolve(&board, "m-1", "resolved");
    broker.start_again();
    let two = topic("m-2");
    wait_until("what fires now is there", || retained(&broker) == [format!("{two} firing")]);
    publisher.stop(PATIENCE);
}

#[test]
fn nothing_is_said_before_the_board_is_live() {
    let broker = Mosquitto::start("");
    assert!(broker.publish(&topic("from-before"), &["-q", "1", "-r"], ["old"].into_iter()));
    let board = AlertBoard::default();
    raise(&board, "m-1", "firing");
    let publisher = start(&broker, &board);
    assert_eq!(retained(&broker), [format!("{} old", topic("from-before"))], "it cannot know yet");
    publisher.stop(PATIENCE);
    assert_eq!(retained(&broker).len(), 1);
}

#[test]
fn a_broker_that_says_nothing_does_not_hold_up_the_end() {
    let silent = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let board = AlertBoard::default();
    board.set_live(true);
    for number in 0..1_000 {
        raise(&board, &format!("m-{number}"), "firing");
    }
    let url = format!("mqtt://{}", silent.local_addr().expect("an address")).parse().expect("a broker");
    let config = AlertPublisherConfig {
        keep_alive: Duration::from_secs(600),
        ..AlertPublisherConfig::new(url, "alerts-test")
    };
    let publisher = AlertPublisher::start(config, board).expect("it starts");
    let (connection, _) = silent.accept().expect("it connects");
    let begun = Instant::now();
    publisher.stop(Duration::from_millis(200));
    assert!(begun.elapsed() < PATIENCE, "it waited for the broker");
    drop(connection);
}
