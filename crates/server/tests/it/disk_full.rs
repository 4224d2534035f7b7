//! A disk that is full stops acknowledgements, says so, and loses nothing: the binary on a real file system of a few megabytes.
//!
//! The file system is a tmpfs in a mount namespace of its own, which a user without privileges may make where the kernel allows
//! user namespaces; seen from outside through `/proc`.

use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::binary::Deployment;
use crate::drain::eventually;
use crate::honest_client::{HonestClient, IN_FLIGHT_MAX};
use crate::oracle::Oracle;

/// Enough for the log's first segments and the lake's small files.
const DISK_MIB: u32 = 48;

/// A small disk below a folder, as the processes in its namespace see it. Gone when dropped.
struct SmallDisk {
    /// Keeps the namespace; its own program only waits.
    keeper: Child,
    inside: PathBuf,
    folder: PathBuf,
}

impl SmallDisk {
    fn mount(folder: &std::path::Path) -> Self {
        let mount =
            format!("mount -t tmpfs -o size={DISK_MIB}m tmpfs {} && exec sleep 600", folder.display());
        let keeper = Command::new("unshare")
            .args(["--user", "--map-root-user", "--mount", "sh", "-c", &mount])
            .stdin(Stdio::null())
            .spawn()
            .expect("unshare of util-linux");
        let inside = PathBuf::from(format!("/proc/{}/root{}", keeper.id(), folder.display()));
        let mut disk = SmallDisk { keeper, inside, folder: folder.to_owned() };
        let deadline = Instant::now() + Duration::from_secs(10);
        while !disk.is_mounted() {
            let ended = disk.keeper.try_wait().unwrap();
            assert!(ended.is_none(), "no mount namespace: user namespaces must be allowed, or run as root");
            assert!(Instant::now() < deadline, "the small disk is not there");
            std::thread::park_timeout(Duration::from_millis(10));
        }
        disk
    }

    fn is_mounted(&self) -> bool {
        let mounts = fs::read_to_string(format!("/proc/{}/mounts", self.keeper.id())).unwrap_or_default();
        mounts.lines().any(|line| line.split(' ').nth(1) == self.folder.to_str())
    }

    /// The words before a program that is to run on the disk.
    fn entering(&self) -> Vec<String> {
        let target = self.keeper.id().to_string();
        ["nsenter", "--target", &target, "--user", "--mount", "--preserve-credentials"]
            .map(str::to_owned)
            .into()
    }

    /// Takes all room that is left.
    fn fill(&self) {
        let mut ballast = File::create(self.ballast()).unwrap();
        let mut chunk = vec![0; 1 << 20];
        while !chunk.is_empty() {
            match ballast.write(&chunk) {
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::StorageFull => chunk.truncate(chunk.len() / 2),
                Err(error) => panic!("{error}"),
            }
        }
    }

    fn make_room(&self) {
        fs::remove_file(self.ballast()).unwrap();
    }

    fn ballast(&self) -> PathBuf {
        self.inside.join("ballast")
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        self.keeper.kill().ok();
        self.keeper.wait().ok();
    }
}

#[test]
fn a_full_disk_holds_acknowledgements_back_until_there_is_room() {
    let directory = tempfile::tempdir().unwrap();
    let folder = directory.path().join("disk");
    fs::create_dir(&folder).unwrap();
    let disk = SmallDisk::mount(&folder);
    let deployment = Deployment::new(&folder)
        .under(disk.entering())
        .set("lake.roll_age=200ms")
        .set("log.partitions=2")
        .set("log.segment_bytes=\"1MiB\"");
    let oracle = Oracle::new();
    let service = deployment.start(&[]);
    let mut client = HonestClient::new(deployment.mqtt, "a");
    let publish = |client: &mut HonestClient, numbers: std::ops::Range<u64>| {
        for number in numbers {
            let (topic, payload) = oracle.message("a", number);
            client.publish(&topic, &payload, number);
        }
    };
    publish(&mut client, 0..500);
    eventually("messages are acknowledged", || client.turn() == 0);

    disk.fill();
    let deadline = Instant::now() + Duration::from_secs(30);
    let mut sent = 500;
    while client.in_flight() < IN_FLIGHT_MAX {
        publish(&mut client, sent..sent + 1);
        sent += 1;
        assert!(Instant::now() < deadline, "a full disk goes on acknowledging: {sent} messages");
    }
    eventually("readiness says so", || {
        deployment
            .get("/health/ready?role=gateway")
            .is_some_and(|(status, body)| status == 503 && body.contains("No space left on device"))
    });

    disk.make_room();
    eventually("readiness comes back", || deployment.is_ready());
    publish(&mut client, sent..sent + 300);
    sent += 300;
    assert_eq!(client.finish().len() as u64, sent);
    service.stop();
    oracle.check_rows(&disk.inside.join("lake"), &["a".to_owned()], sent);
}
