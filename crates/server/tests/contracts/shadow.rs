//! A rule in shadow beside a live one: the running difference, while it runs and after.

use serde_json::Value;

use crate::running::{Running, eventually};

const RULES: &str = r#"
[[rule]]
id = "level-high"
title = "the water stands high"
severity = "critical"
when = "water_level > 2 m"

[[rule]]
id = "lower"
title = "a lower limit, tried out"
severity = "critical"
when = "water_level > 1 m"
labels = { shadow_of = "level-high" }
shadow = true

[[rule]]
id = "stale-shadow"
title = "of a rule that is there no more"
severity = "info"
when = "water_level > 9 m"
shadow = true
"#;

#[test]
fn the_difference_of_a_shadow_rule_is_told_by_rule_and_device() {
    let mut running = Running::start(&[("rules.toml", RULES)]);
    // Second and level, in an order that either rule sees otherwise.
    for (device, second, level) in [
        ("m-1", 0, 1.5),
        ("m-1", 10, 2.5),
        ("m-1", 20, 1.5),
        ("m-1", 30, 0.5),
        ("m-2", 0, 1.5),
        ("m-2", 7, 0.0),
        ("m-3", 5, 3.0),
    ] {
        let at = format!("2026-11-20T00:00:{second:02}Z");
        running.publish(device, &format!(r#"{{"observed_at": "{at}", "water_level": {level:?}}}"#));
    }
    let pair = |running: &Running| running.get("/v1/rules/shadow").1["pairs"][0].clone();
    eventually("all was said", || pair(&running)["same"] == 1 && pair(&running)["only_shadow"] == 1);
    eventually("the resolve was said", || {
        running.get("/v1/alerts").1.as_array().is_some_and(|alerts| alerts.len() == 1)
    });
    let (status, report) = running.get("/v1/rules/shadow");
    assert_eq!(status, 200, "{report}");
    assert_eq!(
        (&report["pairs"][0]["shadow_rule_id"], &report["pairs"][0]["live_rule_id"]),
        (&"lower".into(), &"level-high".into())
    );
    assert_eq!(
        (&report["pairs"][1]["shadow_rule_id"], &report["pairs"][1]["live_rule_id"]),
        (&"stale-shadow".into(), &Value::Null)
    );
    assert_eq!((&report["pairs"][0]["moved"], &report["pairs"][0]["only_live"]), (&1.into(), &0.into()));
    let moved = &report["differences"][0];
    assert_eq!(
        (&moved["device_id"], &moved["raised_later_seconds"], &moved["resolved_later_seconds"]),
        (&"m-1".into(), &(-10.0).into(), &10.0.into())
    );
    let only = &report["differences"][1];
    assert_eq!((&only["device_id"], only["live"].is_null()), (&"m-2".into(), true));

    // A shadow rule that changes begins anew.
    let changed = RULES.replace("water_level > 1 m", "water_level > 1.2 m");
    let (status, put) = running.request("PUT", "/v1/rules/files/rules.toml", &changed);
    assert_eq!((status, &put["is_in_force"]), (200, &true.into()), "{put}");
    let anew = pair(&running);
    assert_eq!(
        (&anew["same"], &anew["moved"], &anew["only_shadow"]),
        (&0.into(), &0.into(), &0.into()),
        "{anew}"
    );
    assert!(anew["since"].as_str() > report["pairs"][0]["since"].as_str(), "{anew}");
    let table = running.command(&["rules", "shadow", "--format", "text"]);
    assert!(table.stdout.contains("\nlower                        level-high "), "{}", table.stdout);
    running.stop();
    let left = running.command(&["rules", "shadow", "--format", "json"]);
    assert_eq!(left.code, 0, "{}", left.stderr);
    let left: Value = serde_json::from_str(&left.stdout).unwrap();
    assert_eq!(left["pairs"][0]["since"], anew["since"]);
}
