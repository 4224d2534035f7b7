//! The client of libcoap, as it is installed.

use std::io::Write;
use std::process::{Command, Output, Stdio};

use super::client::{LOOPBACK_6, Server};
use super::fake_log::FakeLog;

/// Posts `payload` and gives what the client said.
fn post(arguments: &[&str], url: &str, payload: &[u8]) -> Output {
    let mut client = Command::new("coap-client-notls")
        .args(["-v", "6", "-m", "post", "-B", "10", "-f", "-"])
        .args(arguments)
        .arg(url)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("coap-client-notls of the package libcoap3-bin");
    client.stdin.take().unwrap().write_all(payload).unwrap();
    client.wait_with_output().unwrap()
}

fn check(output: &Output, code: &str) {
    let said = String::from_utf8_lossy(&[&output.stdout[..], &output.stderr[..]].concat()).into_owned();
    assert!(output.status.success() && said.contains(code), "{code}: {said}");
}

#[test]
fn confirmable_non_confirmable_and_in_blocks_over_both_families() {
    let log = FakeLog::instant();
    let server = Server::with(&log, |config| config.listen.push(LOOPBACK_6));
    let large = format!("{{\"name\":\"{}\"}}", "n".repeat(5_000));
    for (at, address) in server.addresses().into_iter().enumerate() {
        let url = format!("coap://{address}/t/well-{at}");
        let before = log.pushed().len();
        check(&post(&["-t", "50"], &url, b"{\"level\":1.5}"), "2.04");
        check(&post(&["-t", "50", "-N"], &url, b"{\"level\":2.5}"), "2.04");
        check(&post(&["-t", "50", "-b", "512"], &url, large.as_bytes()), "2.04");
        check(&post(&["-t", "60"], &url, b"\xa0"), "4.15");
        let pushed = log.pushed().split_off(before);
        let payloads: Vec<_> = pushed.iter().map(|message| message.payload.as_slice()).collect();
        assert_eq!(payloads, [&b"{\"level\":1.5}"[..], b"{\"level\":2.5}", large.as_bytes()]);
        assert!(pushed.iter().all(|message| message.topic.ends_with(&format!("/well-{at}/telemetry"))));
    }
}
