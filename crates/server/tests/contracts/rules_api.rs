//! Rules changed, listed and explained while they run, and after.

use crate::running::{Running, eventually};

const LEVEL: &str = r#"
[[rule]]
id = "level-high"
title = "the water stands high"
severity = "critical"
when = "water_level > threshold('high', 250 cm)"
for = "30m"
"#;

const PRESSURE: &str = r#"
[[rule]]
id = "pressure-low"
title = "pressure falls"
severity = "warning"
when = "presure < 240"
where = "domain = 'water'"
"#;

const BROKEN: &str = r#"
[[rule]]
id = "level-high"
title = "a second one of this id"
severity = "grave"
when = "water_level > 2.5 kg"
fro = "1s"
"#;

#[test]
fn a_rule_is_explained_while_it_runs_and_from_what_it_left() {
    let mut running = Running::start(&[("level.toml", LEVEL)]);
    running.publish("井-1", r#"{"water_level": 2.6}"#);
    let path = "/v1/rules/level-high/devices/%E4%BA%95-1";
    eventually("the reading is evaluated", || running.get(path).0 == 200);
    let (_, answer) = running.get(path);
    assert_eq!((&answer["source"], &answer["explanation"]["phase"]), (&"worker".into(), &"pending".into()));
    assert_eq!(answer["explanation"]["conditions"][0]["text"], "water_level > 2.5 m (high by default)");
    assert_eq!(answer["explanation"]["conditions"][0]["is_true"], true);
    assert_eq!(answer["explanation"]["readings"][0]["value"], 2.6);
    assert_eq!(answer["explanation"]["waits_for"]["is_raise"], true);

    for (path, words) in [
        ("/v1/rules/level-low/devices/%E4%BA%95-1", "no rule \"level-low\" is in force"),
        ("/v1/rules/level-high/devices/nobody", "nothing was evaluated of a device \"nobody\""),
    ] {
        let (status, answer) = running.get(path);
        assert_eq!(status, 404, "{path}");
        assert!(answer["error"].as_str().unwrap().starts_with(words), "{answer}");
    }

    let explain = ["rules", "explain", "level-high", "--device", "井-1", "--format"];
    let asked = running.command(&[&explain[..], &["text"]].concat());
    assert_eq!(asked.code, 0, "{}", asked.stderr);
    for words in [
        "level-high on 井-1: the water stands high (critical)\nas it is now: log partition ",
        "\npending since ",
        "\nstarted by water_level = 2.6 m at ",
        " if it still holds; without a further reading once the clock is past ",
        "\nin place: water_level = 2.6 m at ",
        "\nwhen  true    water_level > 2.5 m (high by default)  (it is 2.6)\n",
        "\nthreshold high = 2.5 m, of the default\n",
    ] {
        assert!(asked.stdout.contains(words), "{words:?} in {}", asked.stdout);
    }

    running.stop();
    let left = running.command(&[&explain[..], &["json"]].concat());
    assert_eq!(left.code, 0, "{}", left.stderr);
    let left: serde_json::Value = serde_json::from_str(&left.stdout).unwrap();
    assert_eq!((&left["source"], &left["log_partition"]), (&"snapshot".into(), &answer["log_partition"]));
    assert!(left["position"].as_i64() >= answer["position"].as_i64(), "{left}");
    for same in ["phase", "since", "started_by", "conditions", "readings", "waits_for"] {
        assert_eq!(left["explanation"][same], answer["explanation"][same], "{same}");
    }
}

#[test]
fn rule_files_are_put_and_removed_while_it_runs() {
    let mut running = Running::start(&[("level.toml", LEVEL)]);
    let in_force = || {
        let (status, rules) = running.get("/v1/rules");
        assert_eq!(status, 200);
        rules
    };
    let first = in_force();
    let level = running.rules_folder().join("level.toml").display().to_string();
    assert_eq!(first["rules"][0]["place"], format!("{level}:3"));

    // Broken: every error is said, nothing has changed.
    let (status, refused) = running.request("PUT", "/v1/rules/files/more.toml", BROKEN);
    assert_eq!(status, 422, "{refused}");
    let errors = refused["diagnostics"].as_array().unwrap();
    let more = running.rules_folder().join("more.toml").display().to_string();
    let places: Vec<_> = errors.iter().map(|one| (one["line"].as_u64(), one["file"] == *more)).collect();
    assert_eq!(places, [(Some(3), true), (Some(5), true), (Some(6), true), (Some(7), true)], "{refused}");
    assert!(errors[0]["found"].as_str().unwrap().contains("first in"), "{refused}");
    assert_eq!(errors[1]["help"], "info, warning or critical would do");
    assert!(!running.rules_folder().join("more.toml").exists());
    assert_eq!(in_force()["digest"], first["digest"]);

    // Good: in force on both log partitions, each from one offset on; what is odd is said.
    let (status, put) = running.request("PUT", "/v1/rules/files/more.toml", PRESSURE);
    assert_eq!(status, 200, "{put}");
    assert_eq!((&put["n"], &put["rules"], &put["is_in_force"]), (&2.into(), &2.into(), &true.into()));
    for partition in put["partitions"].as_array().unwrap() {
        assert_eq!(partition["n"], 2);
        assert_eq!(partition["digest"], put["digest"]);
        assert!(partition["from_offset"].is_i64(), "{put}");
    }
    let warning = &put["warnings"][0];
    assert!(warning["help"].as_str().unwrap().contains("pressure"), "{put}");
    assert_eq!(std::fs::read_to_string(running.rules_folder().join("more.toml")).unwrap(), PRESSURE);
    let ids: Vec<_> = in_force()["rules"].as_array().unwrap().iter().map(|rule| rule["id"].clone()).collect();
    assert_eq!(ids, ["level-high", "pressure-low"]);

    for name in ["..%2Fmore.toml", "more.txt", ".more.toml"] {
        let (status, answer) = running.request("PUT", &format!("/v1/rules/files/{name}"), PRESSURE);
        assert_eq!(status, 400, "{name}: {answer}");
    }
    assert_eq!(running.request("DELETE", "/v1/rules/files/none.toml", "").0, 404);
    let (status, removed) = running.request("DELETE", "/v1/rules/files/more.toml", "");
    assert_eq!((status, &removed["n"], &removed["rules"]), (200, &3.into(), &1.into()), "{removed}");
    assert_eq!(removed["digest"], first["digest"], "the rules of before are the same set again");

    // Which set was in force when: from the log now, from the lake once it has landed.
    let spans = || {
        let (status, sets) = running.get("/v1/rules/sets");
        assert_eq!(status, 200, "{sets}");
        sets
    };
    let of_log = spans();
    for log_partition in 0..2 {
        let of_it = of_log.as_array().unwrap().iter().filter(|span| span["log_partition"] == log_partition);
        let of_it: Vec<_> = of_it.collect();
        let numbers: Vec<_> = of_it.iter().map(|span| (span["n"].as_u64(), span["rules"].as_u64())).collect();
        assert_eq!(numbers, [(Some(1), Some(1)), (Some(2), Some(2)), (Some(3), Some(1))], "{of_log}");
        assert_eq!(of_it[0]["until"], of_it[1]["from"]);
        assert!(of_it[2]["until"].is_null());
        assert_eq!(of_it[1]["from_offset"], put["partitions"][log_partition]["from_offset"]);
    }
    running.publish("m-1", r#"{"water_level": 1.0}"#);
    running.publish("m-2", r#"{"water_level": 1.0}"#);
    running.stop();
    let at_rest = running.command(&["rules", "sets", "--format", "json"]);
    assert_eq!(at_rest.code, 0, "{}", at_rest.stderr);
    let at_rest: Vec<serde_json::Value> =
        at_rest.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(serde_json::Value::Array(at_rest), of_log);
}

#[test]
fn the_commands_put_list_and_remove() {
    let mut running = Running::start(&[("level.toml", LEVEL)]);
    let file = |name: &str, text: &str| {
        let path = running.directory.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let (good, broken) = (file("good.toml", PRESSURE), file("broken.toml", BROKEN));
    let refused = running.command(&["rules", "put", &broken]);
    assert_eq!((refused.code, refused.stderr.lines().count()), (2, 4), "{}", refused.stderr);
    assert!(refused.stderr.contains("broken.toml:5:12: \"grave\""), "{}", refused.stderr);
    let nameless = running.command(&["rules", "put", &good, "--name", "../x.toml"]);
    assert_eq!(nameless.code, 2, "{}", nameless.stderr);

    let put = running.command(&["rules", "put", &good, "--format", "text"]);
    assert_eq!(put.code, 0, "{}", put.stderr);
    assert!(put.stdout.contains("good.toml: 2 rules in force as rule set 2"), "{}", put.stdout);
    assert!(put.stderr.contains("warning: "), "{}", put.stderr);
    let list = running.command(&["rules", "list", "--format", "text"]);
    assert!(list.stdout.contains("pressure-low"), "{}", list.stdout);
    assert!(list.stdout.contains("2 rules, rule set 2, digest "), "{}", list.stdout);
    assert!(list.stdout.contains("log partition 1: rule set 2 from offset "), "{}", list.stdout);

    // At rest the file is put all the same, and counts from the next start on.
    running.stop();
    let removed = running.command(&["rules", "remove", "good.toml", "--format", "text"]);
    assert_eq!(removed.code, 0, "{}", removed.stderr);
    assert!(removed.stdout.contains("good.toml: 1 rules, in force at the next start"), "{}", removed.stdout);
    running.restart();
    eventually("the rule is gone", || running.get("/v1/rules").1["rules"].as_array().unwrap().len() == 1);
    let sets = running.command(&["rules", "sets", "--format", "text"]);
    assert!(sets.stdout.lines().any(|line| line.contains(" now ")), "{}", sets.stdout);
}

#[test]
fn a_rule_that_no_registered_device_matches_is_told() {
    let running = Running::with_registry(
        &[("level.toml", LEVEL), ("pressure.toml", PRESSURE)],
        &[("devices.csv", "device_id,domain\nm-1,drainage\n")],
    );
    let checked = running.command(&["check"]);
    assert_eq!(checked.code, 0, "{}", checked.stderr);
    assert!(
        checked.stderr.contains("pressure.toml:7:9: a `where` that matches no registered device"),
        "{}",
        checked.stderr
    );
    assert!(checked.stderr.contains("pressure.toml:6:9: "), "the metric is not known: {}", checked.stderr);
}
