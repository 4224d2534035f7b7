//! `[[inhibit]]`: what loads, every error with its place, and which alerts it is about.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod catalog;
mod registry;
mod schema;

use catalog::SmallCatalog;
use model::Alert;
use registry::registry_of;
use schema::Schema;
use urban_neuron_rules::{Diagnostic, LoadOptions, Loaded, RuleSet, RuleSource};

const RULES: &str = "\
[[rule]]
id = \"a\"
title = \"t\"
severity = \"critical\"
when = \"water_level > 1 m\"
[[rule]]
id = \"b\"
title = \"t\"
severity = \"warning\"
when = \"water_level > 1 m\"
[[rule]]
id = \"c\"
title = \"t\"
severity = \"info\"
when = \"water_level > 1 m\"
[[rule]]
id = \"s\"
title = \"t\"
severity = \"info\"
shadow = true
when = \"water_level > 1 m\"
";

fn load(inhibitions: &str) -> Result<Loaded, Vec<Diagnostic>> {
    let files = [("rules.toml".to_owned(), RULES.to_owned()), ("i.toml".to_owned(), inhibitions.to_owned())];
    let loaded = RuleSource::load(&files, &SmallCatalog, &LoadOptions::default());
    if loaded.is_ok() {
        assert_eq!(Schema::open("rules").check_toml(inhibitions), Ok(()), "{inhibitions}");
    }
    loaded
}

fn inhibit(id: &str, source: &str, targets: &str) -> String {
    format!(
        "[[inhibit]]\nid = \"{id}\"\nsource = {source}\n{targets}\nequal = [\"asset_id\", \"gateway_id\"]\n"
    )
}

#[test]
fn what_is_wrong_is_said_with_its_place() {
    let targets = r#"targets = ["b"]"#;
    let cases = [
        (inhibit("i", r#"["a", "z"]"#, targets), (3, 16), "the rule \"z\", which does not exist"),
        (inhibit("i", r#"["a"]"#, r#"targets = ["y"]"#), (4, 12), "the rule \"y\", which does not exist"),
        (inhibit("i", r#"["b"]"#, targets), (2, 6), "an inhibition of a rule by itself"),
        (
            inhibit("i", r#"["a"]"#, "target_severity = \"critical\""),
            (2, 6),
            "an inhibition of a rule by itself",
        ),
        (inhibit("i", r#"["s"]"#, targets), (3, 11), "the shadow rule \"s\""),
        (inhibit("i", r#"["a"]"#, "target_severity = \"grave\""), (4, 19), "a severity that is none"),
        (inhibit("i", "[]", targets), (3, 10), "source that is none"),
        (inhibit("i", "\"a\"", targets), (3, 10), "source that is none"),
        (inhibit("I", r#"["a"]"#, targets), (2, 6), "an id that is none"),
        (inhibit("i", r#"["a"]"#, ""), (1, 1), "an inhibition without `targets`"),
        (inhibit("i", r#"["a"]"#, &format!("{targets}\nwhy = 1")), (5, 1), "the unknown key `why`"),
        (
            inhibit("i", r#"["a"]"#, &format!("{targets}\ntarget_severity = \"info\"")),
            (5, 19),
            "`target_severity` beside `targets`",
        ),
        (inhibit("i", r#"["a"]"#, targets).replace("asset_id", "color"), (5, 10), "\"color\""),
        ("inhibit = 3\n".to_owned(), (1, 11), "`inhibit` that is no array of tables"),
    ];
    for (text, place, words) in cases {
        let errors = load(&text).expect_err(&text);
        let [error] = errors.as_slice() else { panic!("{text}: {errors:#?}") };
        assert_eq!((error.file.as_str(), (error.line, error.column)), ("i.toml", place), "{text}: {error}");
        assert!(error.found.contains(words), "{text}: {error}");
    }
}

#[test]
fn circles_and_ids_are_looked_for_over_all() {
    let i = inhibit("i", r#"["a"]"#, r#"targets = ["b"]"#);
    let j = inhibit("j", r#"["b"]"#, "target_severity = \"info\"");
    let chain = load(&format!("{i}{j}")).unwrap();
    assert_eq!(chain.rule_set.inhibitions().len(), 2);
    let k = inhibit("k", r#"["c"]"#, r#"targets = ["a"]"#);
    let errors = load(&format!("{i}{j}{k}")).unwrap_err();
    let found: Vec<_> = errors.iter().map(|error| (error.line, error.found.as_str())).collect();
    let expected = [
        (2, "inhibitions in a circle: i > j > k"),
        (7, "inhibitions in a circle: j > k > i"),
        (12, "inhibitions in a circle: k > i > j"),
    ];
    assert_eq!(found, expected);
    let errors = load(&format!("{i}{i}")).unwrap_err();
    assert_eq!(errors[0].found, "the id \"i\" a second time, first in i.toml:2");
}

fn alert(rule: &str, device: &str, asset: Option<&str>) -> Alert {
    serde_json::from_value(serde_json::json!({
        "alert_id": rule, "rule_id": rule, "rule_digest": "d", "title": "t", "severity": "warning", "state": "firing",
        "event": "raised", "reason": null, "device_id": device, "asset_id": asset, "domain": "water", "tenant": "default",
        "location": null, "metric": null, "value": null, "unit": null, "condition": "c", "started_at": "",
        "raised_at": "", "resolved_at": null, "said_at": "", "evidence": [], "labels": {}, "runbook": null,
        "shadow": false, "suppressed_by": null, "silenced_by": null,
    }))
    .unwrap()
}

#[test]
fn a_rule_set_keeps_them_and_what_they_ask_of_the_registry() {
    let text = format!("{RULES}{}", inhibit("i", r#"["a"]"#, "target_severity = \"warning\""));
    let registry = registry_of(
        &toml::from_str("[devices.m-1]\ngateway_id = \"g-1\"\n[devices.m-2]\ngateway_id = \"g-2\"\n")
            .unwrap(),
    );
    let options = LoadOptions { registry: &registry, ..LoadOptions::default() };
    let loaded = RuleSource::load(&[("r.toml".to_owned(), text)], &SmallCatalog, &options).unwrap();
    let set = RuleSet::from_bytes(loaded.rule_set.bytes()).unwrap();
    assert_eq!(set, loaded.rule_set);
    let [inhibition] = set.inhibitions() else { panic!("one inhibition") };
    assert!(inhibition.has_source(&alert("a", "m-1", None)));
    assert!(inhibition.has_target(&alert("b", "m-1", None)));
    let key = |device, asset| inhibition.equal_key(&set, &alert("b", device, asset));
    assert_eq!(key("m-1", Some("pump")), Some(vec!["pump".to_owned(), "g-1".to_owned()]));
    assert_eq!(key("m-1", None), None, "what is missing is not alike");
    assert_eq!(key("m-9", Some("pump")), None);
    let gateways: Vec<_> = set.devices_of_gateways().into_iter().collect();
    assert_eq!(gateways, [("g-1", vec!["m-1"]), ("g-2", vec!["m-2"])]);
}
