//! The schemas of rule files, of their cases and of the alert say what the code does: what loads validates, what a schema
//! can refuse it refuses, and their keys are the keys of the code.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod schema;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use schema::{Schema, root};
use serde_json::{Value, json};
use urban_neuron_rules::RULE_KEYS;

const HEAD: &str = "[[rule]]\nid = \"x\"\ntitle = \"t\"\nseverity = \"warning\"\n";

fn written(name: &str) -> Value {
    let path = root().join(format!("docs/schemas/{name}.schema.json"));
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn keys_of(object: &Value) -> BTreeSet<&str> {
    object.as_object().unwrap().keys().map(String::as_str).collect()
}

/// Every file below a folder that ends so.
fn files(folder: &Path, ending: &str, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && !path.ends_with("target") {
            files(&path, ending, found);
        } else if path.to_str().unwrap().ends_with(ending) {
            found.push(path);
        }
    }
}

#[test]
fn the_keys_of_a_rule_are_those_of_the_reader() {
    let schema = written("rules");
    let keys = &schema["$defs"]["keys"]["properties"];
    assert_eq!(keys_of(keys), RULE_KEYS.into_iter().collect());
    for (key, described) in keys.as_object().unwrap() {
        assert!(described["description"].is_string(), "{key} is not described");
    }
}

#[test]
fn the_fields_of_an_alert_are_those_of_its_schema() {
    let alert = alert();
    for (shape, said) in [
        (written("alert"), &alert),
        (written("alert")["$defs"]["evidence"].clone(), &alert["evidence"][0]),
        (written("alert")["$defs"]["location"].clone(), &alert["location"]),
    ] {
        let required: BTreeSet<&str> =
            shape["required"].as_array().unwrap().iter().map(|key| key.as_str().unwrap()).collect();
        assert_eq!(keys_of(said), required, "what does not apply is null, not left out");
        let optional: BTreeSet<&str> = keys_of(&shape["properties"]).difference(&required).copied().collect();
        let is_alert = shape["title"].is_string();
        assert_eq!(optional, if is_alert { BTreeSet::from(["people"]) } else { BTreeSet::new() });
        for (key, described) in shape["properties"].as_object().unwrap() {
            assert!(described["description"].is_string(), "{key} is not described");
        }
    }
}

/// An alert as the code writes it.
fn alert() -> Value {
    let alert: model::Alert = serde_json::from_value(json!({
        "alert_id": "00112233445566778899aabbccddeeff", "rule_id": "level-high", "rule_digest": "0".repeat(64),
        "title": "t", "severity": "critical", "state": "firing", "event": "raised", "reason": null, "device_id": "井-1",
        "asset_id": null, "domain": "drainage", "tenant": "default", "location": { "latitude": 31.2, "longitude": 121.5 },
        "metric": "water_level", "value": 2.6, "unit": "m", "condition": "water_level > 2.5 m",
        "started_at": "2026-03-02T00:00:00.000000Z", "raised_at": "2026-03-02T00:01:00.000000Z", "resolved_at": null,
        "said_at": "2026-03-02T00:01:01.000000Z",
        "evidence": [{
            "event_id": "00112233445566778899aabbccddeeff", "reading_index": 0, "metric": "water_level", "value": 2.6,
            "unit": "m", "observed_at": "2026-03-02T00:00:00.000000Z", "log_id": "00112233445566778899aabbccddeeff",
            "log_partition": 0, "log_offset": 17,
        }],
        "labels": { "team": "drainage" }, "runbook": null, "shadow": false, "suppressed_by": null, "silenced_by": null,
    }))
    .unwrap();
    serde_json::to_value(alert).unwrap()
}

#[test]
fn an_alert_that_is_none_does_not_validate() {
    let schema = Schema::open("alert");
    schema.check(&alert()).unwrap();
    let with = |key: &str, value: Value| {
        let mut alert = alert();
        alert[key] = value;
        alert
    };
    for (key, value) in [
        ("alert_id", json!("0011")),
        ("rule_id", json!("Level High")),
        ("severity", json!("grave")),
        ("state", json!("resolved")),
        ("event", json!("resolved")),
        ("event", json!("forgotten")),
        ("event", json!("acknowledged")),
        ("reason", json!("rule_changed")),
        ("device_id", json!("")),
        ("device_id", json!("a/b")),
        ("domain", json!("Drainage")),
        ("location", json!([31.2, 121.5])),
        ("location", json!({ "latitude": 91, "longitude": 0 })),
        ("value", json!({ "number": 2.6 })),
        ("raised_at", json!("2026-03-02T00:01:00Z")),
        ("resolved_at", json!("2026-03-02T00:02:00.000000Z")),
        ("evidence", json!([{}])),
        ("labels", json!({ "team": 3 })),
        ("shadow", json!("no")),
    ] {
        assert!(schema.check(&with(key, value.clone())).is_err(), "{key} = {value}");
    }
    let mut acknowledged = with("event", json!("acknowledged"));
    let person = json!({
        "event": "acknowledged", "by": "Wang", "at": "2026-03-02T00:02:00.000000Z", "text": null, "until": null,
        "command_id": "c-1",
    });
    acknowledged["people"] = json!([person]);
    schema.check(&acknowledged).unwrap();
    let mut without = alert();
    without.as_object_mut().unwrap().remove("runbook");
    assert!(schema.check(&without).is_err(), "without runbook");
    schema.check(&with("later", json!("fields are only added"))).unwrap();
}

#[test]
fn the_rule_files_that_we_ship_validate() {
    let schema = Schema::open("rules");
    let mut found = Vec::new();
    files(&root().join("deploy"), "rules.toml", &mut found);
    assert!(!found.is_empty());
    for file in found {
        let checked = schema.check_toml(&std::fs::read_to_string(&file).unwrap());
        assert_eq!(checked, Ok(()), "{}", file.display());
    }
}

#[test]
fn the_examples_of_the_docs_validate() {
    let (rules, cases) = (Schema::open("rules"), Schema::open("rule-cases"));
    let mut found = Vec::new();
    files(&root().join("docs"), ".md", &mut found);
    found.extend([root().join("README.md"), root().join("README.zh.md")]);
    let mut checked = 0;
    for file in found {
        let text = std::fs::read_to_string(&file).unwrap();
        for snippet in text.split("```toml\n").skip(1).map(|rest| rest.split("```").next().unwrap()) {
            let schema = match snippet {
                case if case.contains("[[case]]") => &cases,
                rule if rule.contains("[[rule]]") => &rules,
                _ => continue,
            };
            assert_eq!(schema.check_toml(snippet), Ok(()), "{}:\n{snippet}", file.display());
            checked += 1;
        }
    }
    assert!(checked >= 4, "{checked}");
}

#[test]
fn what_a_schema_can_refuse_it_refuses() {
    let schema = Schema::open("rules");
    let refused = [
        "fro = \"3s\"\nwhen = \"rain > 1\"",
        "when = 3",
        "for = \"3 s\"\nwhen = \"rain > 1\"",
        "for = 3\nwhen = \"rain > 1\"",
        "quality = \"best\"\nwhen = \"rain > 1\"",
        "shadow = \"yes\"\nwhen = \"rain > 1\"",
        "labels = { team = 3 }\nwhen = \"rain > 1\"",
        "hits = \"3/5\"\nwhen = \"rain > 1\"",
        "active = []\nwhen = \"rain > 1\"",
        "active = [\"Mon 9-10\"]\nwhen = \"rain > 1\"",
        "time_zone = \"UTC\"\nwhen = \"rain > 1\"",
        "metric = \"rain\"\nwhen = \"rain > 1\"",
        "absent = \"10m\"\nwhen = \"rain > 1\"",
        "absent = \"10m\"\nfor = \"1s\"",
        "clear = \"rain < 1\"",
        "",
    ];
    for keys in refused {
        assert!(schema.check_toml(&format!("{HEAD}{keys}\n")).is_err(), "{keys}");
    }
    for file in ["rules = []", "rule = 3", "[[rule]]\nid = \"x\"\nwhen = \"rain > 1\""] {
        assert!(schema.check_toml(file).is_err(), "{file}");
    }
    schema.check_toml("").unwrap();
}

#[test]
fn cases_that_are_none_do_not_validate() {
    let schema = Schema::open("rule-cases");
    let case = "[[case]]\nname = \"n\"\nrecords = [\"r=0 x=1\"]\nexpect = []\n";
    schema.check_toml(case).unwrap();
    schema.check_toml(&format!("{case}rule = [{{ when = \"x > 2\" }}]")).unwrap();
    for wrong in [
        "[[case]]\nname = \"n\"\nrecords = []\n".to_owned(),
        format!("{case}rule = [{{ whne = \"x > 2\" }}]"),
        format!("{case}colour = 3"),
        case.replace("r=0 ", ""),
        case.replace("[]", "[\"x is raised\"]"),
    ] {
        assert!(schema.check_toml(&wrong).is_err(), "{wrong}");
    }
}
