//! A device that nobody registered is set aside; registered while the service runs, what it sent is redriven and lands as
//! the registry knows it.

use std::fs;

use crate::binary::Deployment;
use crate::drain::eventually;
use crate::honest_client::HonestClient;
use crate::lake_rows;

#[test]
fn a_device_registered_later_loses_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let registry = directory.path().join("registry");
    fs::create_dir(&registry).unwrap();
    let write = |lines: &str| {
        // Renamed into its place, as an editor does: the service never sees half a file.
        let aside = directory.path().join("aside.csv");
        fs::write(&aside, format!("device_id,imei,domain\n{lines}")).unwrap();
        fs::rename(&aside, registry.join("devices.csv")).unwrap();
    };
    write("m-1,,water\n");
    let deployment = Deployment::new(directory.path())
        .set(format!("registry.path={}", registry.display()))
        .set("registry.unregistered=quarantine")
        .set("lake.roll_age=100ms");
    let service = deployment.start(&[]);
    let publish = |device: &str, value: u32| {
        let mut client = HonestClient::new(deployment.mqtt, "gateway");
        let topic = format!("urban-neuron/v1/devices/{device}/telemetry");
        client.publish(&topic, format!("{{\"x\":{value}}}").as_bytes(), 0);
        assert_eq!(client.finish(), [0]);
    };
    publish("m-1", 1);
    publish("861234567890123", 2);
    eventually("one lands", || deployment.metric("urban_neuron_lake_rows_total") == 1.0);
    assert_eq!(deployment.metric("urban_neuron_dead_lettered_messages_total"), 1.0);

    write("m-1,,water\nm-2,861234567890123,fire\n");
    // Refused again, with exit code 1, until the registry is read.
    let redrive =
        || deployment.command("dead-letters redrive --all --reason unregistered_device").output().unwrap();
    eventually("the new device is known and its message lands", || {
        redrive();
        deployment.metric("urban_neuron_lake_rows_total") == 2.0
    });
    write("broken line of too many fields,,,,\n");
    eventually("a broken registry is said", || service.log().contains("the registry is broken"));
    publish("861234567890123", 3);
    eventually("what was known stays known", || deployment.metric("urban_neuron_lake_rows_total") == 3.0);
    service.stop();
    let mut rows: Vec<_> = lake_rows::read(&deployment.lake())
        .into_iter()
        .map(|row| (row.device_id, row.domain, row.value))
        .collect();
    rows.sort_by_key(|row| row.2.map(f64::to_bits));
    let row = |device: &str, domain: &str, value| (device.to_owned(), domain.to_owned(), Some(value));
    assert_eq!(rows, [row("m-1", "water", 1.0), row("m-2", "fire", 2.0), row("m-2", "fire", 3.0)]);
}
