//! The commands as a user runs them: what they print, and how they exit.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

struct Ran {
    code: i32,
    stdout: String,
    stderr: String,
}

fn run_with(args: &[&str], environment: &[(&str, &str)], stdin: &[u8]) -> Ran {
    let mut child = Command::new(env!("CARGO_BIN_EXE_urban-neuron"))
        .args(args)
        .env_clear()
        .envs(environment.iter().copied())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A command that refuses its arguments does not read what it is given.
    child.stdin.take().unwrap().write_all(stdin).ok();
    let Output { status, stdout, stderr } = child.wait_with_output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Ran { code: status.code().unwrap(), stdout: text(stdout), stderr: text(stderr) }
}

fn run(args: &[&str]) -> Ran {
    run_with(args, &[], b"")
}

fn sample(name: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy").join(name).display().to_string()
}

#[test]
fn every_command_has_help() {
    let commands: [&[&str]; 30] = [
        &[],
        &["demo"],
        &["run"],
        &["check"],
        &["decode"],
        &["simulate"],
        &["lake", "verify"],
        &["lake", "describe"],
        &["lake", "accept-gap"],
        &["log", "describe"],
        &["log", "drain"],
        &["rules", "list"],
        &["rules", "explain"],
        &["rules", "put"],
        &["rules", "remove"],
        &["rules", "sets"],
        &["rules", "shadow"],
        &["rules", "test"],
        &["rules", "backtest"],
        &["rules", "schema"],
        &["alerts", "list"],
        &["alerts", "watch"],
        &["alerts", "explain"],
        &["alerts", "acknowledge"],
        &["alerts", "comment"],
        &["alerts", "silence"],
        &["dead-letters"],
        &["dead-letters", "list"],
        &["dead-letters", "show"],
        &["dead-letters", "redrive"],
    ];
    for command in commands {
        let ran = run(&[command, &["--help"]].concat());
        assert_eq!(ran.code, 0, "{command:?}: {}", ran.stderr);
        assert!(ran.stdout.contains("Usage: urban-neuron"), "{command:?}: {}", ran.stdout);
    }
}

#[test]
fn usage_and_config_are_exit_code_2() {
    let cases: [(&[&str], &str); 6] = [
        (&["fly"], "unrecognized subcommand"),
        (&["run", "--roles", "cook"], "gateway, lake or rules is wanted"),
        (&["check", "--config", "/no/such.toml"], "/no/such.toml: No such file"),
        (&["check", "--set", "lake.roll_age=never"], "lake.roll_age: \"never\" is no span of time"),
        (&["check", "--set", "log.spool.enabled=true"], "the spool is not supported yet"),
        (&["decode", "--hex", "/dev/null", "--dialect", "morse"], "flat-json"),
    ];
    for (args, words) in cases {
        let ran = run(args);
        assert_eq!(ran.code, 2, "{args:?}: {}", ran.stderr);
        assert!(ran.stderr.contains(words), "{args:?}: {}", ran.stderr);
    }
}

#[test]
fn check_says_everything_with_its_place() {
    let dir = tempfile::tempdir().unwrap();
    let rules = dir.path().join("rules.toml");
    std::fs::write(
        &rules,
        "[[rule]]\nid = \"a\"\ntitle = \"t\"\nseverity = \"info\"\nwhen = \"water_level > 1 Cel\"\n",
    )
    .unwrap();
    let setting = format!("rules.paths=[{:?}]", rules.display().to_string());
    let ran = run(&["check", "--set", &setting]);
    assert_eq!(ran.code, 2, "{}", ran.stderr);
    assert!(ran.stderr.starts_with(&format!("{}:5:", rules.display())), "{}", ran.stderr);

    let setting = format!("rules.paths=[{:?}]", sample("demo/rules.toml"));
    let ran = run(&["check", "--set", &setting]);
    assert_eq!((ran.code, ran.stdout.as_str(), ran.stderr.as_str()), (0, "all is well: 6 rules\n", ""));

    let ran = run_with(&["check"], &[("URBAN_NEURON__LAKE__ROL_AGE", "1s")], b"");
    assert_eq!(ran.code, 2);
    let words =
        "environment URBAN_NEURON__LAKE__ROL_AGE: lake.rol_age: no such key; did you mean \"roll_age\"?\n";
    assert_eq!(ran.stderr, words);
}

#[test]
fn check_reads_the_registry_whole() {
    let dir = tempfile::tempdir().unwrap();
    let setting = format!("registry.path={:?}", dir.path().display().to_string());
    let ran = run(&["check", "--set", &setting]);
    assert_eq!(ran.code, 2);
    assert!(
        ran.stderr
            .contains("holds none of devices.csv, models.toml, gateways.toml, assets.csv, zones.geojson"),
        "{}",
        ran.stderr
    );

    let devices = dir.path().join("devices.csv");
    std::fs::write(&devices, "device_id,threshold.level_high\nm-1,2.5 m\nm-2,70 cm\n").unwrap();
    let ran = run(&["check", "--set", &setting]);
    assert_eq!((ran.code, ran.stdout.as_str()), (0, "all is well: 0 rules, 2 devices in the registry\n"));

    std::fs::write(&devices, "device_id,threshold.level_high\nm-1,2.5 furlong\nm-1,high\n").unwrap();
    let ran = run(&["check", "--set", &setting]);
    assert_eq!((ran.code, ran.stderr.lines().count()), (2, 3), "{}", ran.stderr);
    assert!(
        ran.stderr.starts_with(&format!("{}:2:5: the unit \"furlong\"", devices.display())),
        "{}",
        ran.stderr
    );
}

#[test]
fn decode_prints_the_envelope() {
    let payload = br#"{"observed_at":"2026-11-24T08:00:00+08:00","water_level":1.82,"battery_level":93}"#;
    let ran = run_with(&["decode", "--topic", "urban-neuron/v1/devices/manhole-17/telemetry"], &[], payload);
    assert_eq!(ran.code, 0, "{}{}", ran.stdout, ran.stderr);
    let envelope: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(envelope["device_id"], "manhole-17");
    assert_eq!(envelope["observed_at"], "2026-11-24T00:00:00.000000Z");
    assert_eq!(envelope["source"]["codec"], "flat-json");
    let level =
        envelope["readings"].as_array().unwrap().iter().find(|reading| reading["metric"] == "water_level");
    let level = level.unwrap();
    assert_eq!(
        (&level["value"], &level["unit"], &level["quality"]),
        (&1.82.into(), &"m".into(), &"good".into())
    );

    let hex =
        run_with(&["decode", "--hex", "--dialect", "flat-json", "--compact"], &[], b"7b22 7822 3a31 7d\n");
    assert_eq!(hex.code, 0, "{}{}", hex.stdout, hex.stderr);
    assert_eq!(hex.stdout.lines().count(), 1);
}

#[test]
fn decode_says_why_not_with_exit_code_1() {
    let cases: [(&str, &[u8], &str); 4] = [
        ("urban-neuron/v1/devices/a/telemetry", b"{\"x\":", "malformed_json"),
        ("urban-neuron/v1/devices/a/telemetry", b"", "empty_payload"),
        ("no/such/topic", b"{}", "unknown_dialect"),
        ("urban-neuron/v1/devices/../telemetry", b"{\"x\":1}", "invalid_device_id"),
    ];
    for (topic, payload, reason) in cases {
        let ran = run_with(&["decode", "--topic", topic], &[], payload);
        assert_eq!(ran.code, 1, "{topic}: {}{}", ran.stdout, ran.stderr);
        let rejected: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
        assert_eq!(rejected["rejected"]["reason"], reason, "{topic}: {}", ran.stdout);
    }
}

#[test]
fn a_deployment_that_never_ran_is_said() {
    let dir = tempfile::tempdir().unwrap();
    let data_dir = dir.path().join("data").display().to_string();
    let cases: [(&[&str], &str); 4] = [
        (&["alerts", "list"], "nothing has run here yet"),
        (&["dead-letters", "list"], "nothing has run here yet"),
        (&["lake", "verify"], "no lake at"),
        (&["log", "drain"], "not supported yet"),
    ];
    for (command, words) in cases {
        let ran = run(&[command, &["--data-dir", &data_dir]].concat());
        assert_eq!(ran.code, 1, "{command:?}: {}", ran.stderr);
        assert!(ran.stderr.contains(words), "{command:?}: {}", ran.stderr);
        assert!(!Path::new(&data_dir).exists(), "{command:?} made a directory");
    }
}

#[test]
fn a_short_demo_keeps_what_it_acknowledged_and_the_commands_read_it() {
    let dir = tempfile::tempdir().unwrap();
    let data_dir = dir.path().join("demo").display().to_string();
    let ran = run(&["demo", "--for", "4s", "--devices", "140", "--data-dir", &data_dir]);
    assert_eq!(ran.code, 0, "{}{}", ran.stdout, ran.stderr);
    let figure = |name: &str| {
        let line = ran.stdout.lines().find(|line| line.starts_with(name)).unwrap_or_default();
        let digits = line[name.len()..].split_whitespace().next().unwrap_or_default();
        digits.parse::<u64>().unwrap_or_else(|_| panic!("{name} in {}", ran.stdout))
    };
    assert!(figure("sent") > 0);
    assert_eq!(figure("sent"), figure("acknowledged"));
    assert!(ran.stdout.contains("The lake is whole"), "{}", ran.stdout);

    let verified = run(&["lake", "verify", "--data-dir", &data_dir]);
    assert_eq!(verified.code, 0, "{}", verified.stderr);
    let report: serde_json::Value = serde_json::from_str(&verified.stdout).unwrap();
    assert_eq!(report["rows"], figure("rows landed"));

    let log = run(&["log", "describe", "--data-dir", &data_dir]);
    let log: serde_json::Value = serde_json::from_str(&log.stdout).unwrap();
    let dead_letters = run(&["dead-letters", "list", "--limit", "10000", "--data-dir", &data_dir]);
    assert_eq!(dead_letters.code, 0, "{}", dead_letters.stderr);
    assert_eq!(dead_letters.stdout.lines().count() as u64, figure("dead letters"));
    assert_eq!(log["log_id"].as_str().map(str::len), Some(32));
    assert_eq!(run(&["alerts", "list", "--data-dir", &data_dir]).code, 0);
}

#[test]
fn rules_are_tested_by_cases_beside_them() {
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    file(
        "level.toml",
        "[[rule]]\nid = \"level\"\ntitle = \"t\"\nseverity = \"info\"\nwhen = \"water_level > 70 cm\"\n",
    );
    let good = file(
        "good.toml",
        r#"
        rules = ["level.toml"]
        [[case]]
        name = "a level rises and falls"
        records = ["r=1 d=m-1 water_level=0.7", "r=2 d=m-1 water_level=0.71", "r=3 d=m-1 water_level=0.5@2.5"]
        expect = ["raised level m-1 t0=2 at=2", "resolved level m-1 t0=2 raised=2 at=2.5"]
        [[case]]
        name = "a rule of its own"
        rule = [{ when = "x > 2", for = "60s" }]
        records = ["r=0 x=3", "r=100 t=61 x=4", "tick r=1000"]
        expect = ["raised x a t0=0 at=60"]
        "#,
    );
    let ran = run(&["rules", "test", &good]);
    assert_eq!((ran.code, ran.stdout.as_str()), (0, "2 cases, 0 failed\n"), "{}", ran.stderr);

    let bad = file(
        "bad.toml",
        r#"
        rules = ["level.toml"]
        [[case]]
        name = "expects too much"
        records = ["r=1 water_level=2"]
        expect = ["raised level a t0=1 at=2"]
        [[case]]
        name = "does not load"
        rule = [{ when = "water_level > 2 s" }]
        records = ["r=1 water_level=2"]
        expect = []
        "#,
    );
    let ran = run(&["rules", "test", &good, &bad]);
    assert_eq!(ran.code, 1, "{}", ran.stderr);
    for words in [
        "bad.toml: expects too much\n  not said:     raised level a t0=1 at=2\n  not expected: raised level a t0=1 at=1\n",
        "bad.toml: does not load\n  does not load: ",
        "4 cases, 2 failed\n",
    ] {
        assert!(ran.stdout.contains(words), "{words:?} in {}", ran.stdout);
    }
    let broken =
        file("broken.toml", "[[case]]\nname = \"b\"\nrecords = [\"x=1\", \"r=y x=1\"]\nexpect = []\n");
    let ran = run(&["rules", "test", &broken]);
    assert_eq!((ran.code, ran.stderr.lines().count()), (2, 2), "{}", ran.stderr);
}
