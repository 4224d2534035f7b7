//! Rule files: what loads, and every error with its place.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod catalog;
mod registry;
mod schema;

use std::sync::LazyLock;

use catalog::SmallCatalog;
use registry::registry_of;
use schema::Schema;
use urban_neuron_rules::{Diagnostic, LoadOptions, Loaded, RuleSet, RuleSource, digest_of};

const HEAD: &str = "[[rule]]\nid = \"x\"\ntitle = \"t\"\nseverity = \"warning\"\n";

/// What loads is a rule file by its schema too.
fn load(text: &str) -> Result<Loaded, Vec<Diagnostic>> {
    static SCHEMA: LazyLock<Schema> = LazyLock::new(|| Schema::open("rules"));
    let loaded = RuleSource::load(&[("a.toml".into(), text.into())], &SmallCatalog, &LoadOptions::default());
    if loaded.is_ok() {
        assert_eq!(SCHEMA.check_toml(text), Ok(()), "{text}");
    }
    loaded
}

fn load_with(keys: &str) -> Result<Loaded, Vec<Diagnostic>> {
    load(&format!("{HEAD}{keys}\n"))
}

/// One error at a line (from 1, after the head) and column, whose text holds `words`.
fn check_error(keys: &str, line: u32, column: u32, words: &[&str]) {
    let errors = load_with(keys).expect_err(keys);
    let [error] = errors.as_slice() else { panic!("{keys}: {errors:#?}") };
    assert_eq!((error.line, error.column), (4 + line, column), "{keys}: {error}");
    let text = error.to_string();
    assert!(words.iter().all(|word| text.contains(word)), "{keys}: {text}");
}

#[test]
fn every_key_loads() {
    let loaded = load(
        r#"
        [[rule]]
        id = "manhole-level-high"
        title = "窨井液位过高"
        when = "water_level > 250 cm"
        for = "60s"
        clear = "water_level < 2.2 m"
        clear_for = "2m"
        where = "domain = 'drainage' and tag.floor != '3'"
        severity = "critical"
        max_age = "2h"
        silence_grace = "1h"
        quality = "any"
        shadow = true
        labels = { team = "drainage" }
        runbook = "https://example.org/manholes"
        "#,
    );
    let loaded = loaded.unwrap();
    assert_eq!(loaded.warnings, []);
    let rule = &loaded.rule_set.rules()[0];
    assert_eq!(rule.condition_text(), "water_level > 2.5 m");
    assert_eq!((rule.meaning.for_us, rule.meaning.clear_for_us), (60_000_000, 120_000_000));
    assert_eq!((rule.meaning.max_age_us, rule.meaning.silence_grace_us), (7_200_000_000, 3_600_000_000));
    assert_eq!(rule.labels["team"], "drainage");
}

#[test]
fn conditions_are_said_with_the_limits_in_force() {
    let cases = [
        ("water_level > 70 cm", "water_level > 0.7 m"),
        ("temperature >= 41 degF", "temperature >= 5 Cel"),
        ("-5 Cel < temperature", "-5 Cel < temperature"),
        ("rain between 1 and 2.50", "rain between 1 and 2.5"),
        ("status in ('on', 'it''s')", "status in ('on', 'it''s')"),
        ("door_open = true", "door_open = true"),
        ("'on' != status", "'on' != status"),
        ("not (rain > 1 or rain < -1)", "not (rain > 1 or rain < -1)"),
        (
            "(rain > 1 or rain < -1) and not status is missing",
            "(rain > 1 or rain < -1) and not status is missing",
        ),
        ("rain > 1 or rain < -1 and rain != 3", "rain > 1 or rain < -1 and rain != 3"),
        ("((rain > 1))", "rain > 1"),
        ("rain > -0", "rain > 0"),
        ("rain > 1e3", "rain > 1000"),
    ];
    for (written, said) in cases {
        let loaded = load_with(&format!("when = \"\"\"{written}\"\"\"")).expect(written);
        assert_eq!(loaded.rule_set.rules()[0].condition_text(), said);
    }
}

#[test]
fn errors_say_where_what_and_what_would_do() {
    check_error("when = \"water_level > 2.5\"", 1, 23, &["2.5 without a unit", "2.5 m"]);
    check_error("when = \"water_level > 2.5 kg\"", 1, 23, &["2.5 kg", "does not convert to m"]);
    check_error("when = \"rain > 2 mm\"", 1, 16, &["a metric without a unit", "write 2"]);
    check_error("when = \"status > 'on'\"", 1, 9, &["no order", "= and !="]);
    check_error("when = \"rain = 'on'\"", 1, 16, &["a text against a metric whose values are a number"]);
    check_error("when = \"status = true\"", 1, 18, &["a boolean", "a text"]);
    check_error("when = \"2 > 1\"", 1, 9, &["without a metric"]);
    check_error("when = \"rain > \"", 1, 16, &["found the end"]);
    check_error("when = \"rain > 1 rain\"", 1, 16, &["1 rain", "write 1"]);
    check_error("when = \"rain > 1 or\"", 1, 20, &["found the end"]);
    check_error("when = \"rain > 1 && rain < 3\"", 1, 18, &["write `and`"]);
    check_error("when = \"water_level > rain\"", 1, 23, &["no unit against one in m"]);
    check_error("when = \"rain > 1e400\"", 1, 16, &["no double"]);
    check_error("when = \"avg(rain, 5) > 1\"", 1, 9, &["avg() of other arguments", "avg(water_level, 5m)"]);
    check_error("when = \"avg(status, 5m) > 1\"", 1, 9, &["avg() of a metric whose values are a text"]);
    check_error("when = \"avg(avg(rain, 5m), 5m) > 1\"", 1, 13, &["avg() as an argument"]);
    check_error("when = \"delta(water_level, 5m) > 1 kg\"", 1, 34, &["1 kg", "does not convert to m"]);
    check_error("when = \"rate(rain, 5m) > rain\"", 1, 26, &["no unit against one in /s"]);
    check_error("when = \"count(status, 5m) > 1 m\"", 1, 29, &["1 m"]);
    check_error("when = \"rain > threshold('a')\"", 1, 16, &["threshold() of other arguments"]);
    check_error("when = \"threshold('a', 1) < 2\"", 1, 9, &["a threshold as what is compared"]);
    check_error("when = \"inside zone('z')\"", 1, 16, &["the zone 'z'", "no zones"]);
    check_error("when = \"inside rain\"", 1, 16, &["what is no zone"]);
    check_error("when = \"avg(rain, 3651d) > 1\"", 1, 19, &["avg() over 3651d", "1ms to 3650d"]);
    check_error("when = \"avg(rain, 0s) > 1\"", 1, 19, &["avg() over 0s"]);
    check_error("when = \"avg(rain, 5 min) > 1\"", 1, 19, &["avg() over 5min", "avg(rain, 5m)"]);
    check_error("when = \"median(rain) > 1\"", 1, 9, &["unknown function median()"]);
    for hits in ["0 of 5", "6 of 5", "1 of 65", "3/5", "", "3 of"] {
        check_error(&format!("when = \"rain > 1\"\nhits = \"{hits}\""), 2, 8, &["N of M", "at most 64"]);
    }
    check_error("absent = \"0s\"", 1, 10, &["no time at all"]);
    check_error("absent = \"30s\"\nfor = \"1s\"", 2, 7, &["`for` beside `absent`", "takes only"]);
    check_error("when = \"rain > 1\"\nmetric = \"rain\"", 2, 10, &["`metric` without `absent`"]);
    check_error("when = \"rain > 1\"\nactive = [\"Mon 9-10\"]", 2, 11, &["Mon 9-10", "Mon-Fri"]);
    check_error("when = \"rain > 1\"\nactive = []", 2, 10, &["0 spans"]);
    check_error("when = \"rain > 1\"\nactive = \"Mon\"", 2, 10, &["a list of spans"]);
    check_error("when = \"rain > 1\"\ntime_zone = \"UTC\"", 2, 13, &["without `active`"]);
    check_error(
        "when = \"rain > 1\"\nactive = [\"Mon 00:00-01:00\"]\ntime_zone = \"Mars\"",
        3,
        13,
        &["the time zone \"Mars\""],
    );
    check_error("when = \"rain > 1\"\nfro = \"3s\"", 2, 1, &["unknown key `fro`", "for"]);
    check_error("when = \"rain > 1\"\nfor = \"3 s\"", 2, 7, &["no span of time", "30s"]);
    check_error("when = \"rain > 1\"\nmax_age = \"3651d\"", 2, 11, &["no span of time", "at most 3650d"]);
    check_error("when = \"rain > 1\"\nfor = 3", 2, 7, &["for that is integer", "a text would do"]);
    check_error(
        "when = \"rain > 1\"\nfor = \"2h\"",
        2,
        7,
        &["for = 2h, longer than max_age = 1h", "at least 2h"],
    );
    check_error("when = \"rain > 1\"\nclear_for = \"61m\"", 2, 13, &["clear_for = 61m"]);
    check_error("when = \"rain > 1\"\nquality = \"best\"", 2, 11, &["good or any"]);
    check_error("when = \"rain > 1\"\nshadow = \"yes\"", 2, 10, &["true or false"]);
    check_error("when = \"rain > 1\"\nwhere = \"domian = 'x'\"", 2, 10, &["`domian`", "device_id"]);
    check_error("when = \"rain > 1\"\nlabels = 3", 2, 10, &["labels that is integer"]);
    check_error("when = '\"PM2.5\" > 1 m'", 1, 19, &["1 m"]);
    check_error("when = \"\\\"PM2.5\\\" > 1 m\"", 1, 21, &["1 m"]);
    check_error("when = \"'井' = status and rain > 1 m\"", 1, 33, &["1 m"]);
}

#[test]
fn when_and_clear_must_not_hold_at_once() {
    let refused = [
        ("rain > 2", "rain < 3"),
        ("rain >= 2", "rain <= 2"),
        ("rain != 2", "rain = 3"),
        ("rain between 1 and 2", "rain between 2 and 3"),
        ("status = 'on'", "status != 'off'"),
        ("status != 'on'", "status != 'off'"),
        ("door_open = true", "not door_open = false"),
        ("door_open = true", "door_open in (true, false)"),
    ];
    for (when, clear) in refused {
        check_error(&format!("when = \"{when}\"\nclear = \"{clear}\""), 2, 9, &["can be true together"]);
    }
    let accepted = [
        ("rain > 2", "rain <= 2"),
        ("rain > 2", "rain < 2 or rain = 2"),
        ("rain > 2", "temperature < 3 Cel"),
        ("status = 'on'", "status = 'off'"),
        ("status != 'on'", "status = 'on'"),
        ("rain = 0.1", "rain = 0.10000000000000002"),
    ];
    for (when, clear) in accepted {
        let loaded = load_with(&format!("when = \"{when}\"\nclear = \"{clear}\""));
        assert!(loaded.is_ok(), "{when} / {clear}: {loaded:?}");
    }
    check_error("when = \"rain > 2\"\nclear = \"rain < 1 and rain > 1\"", 2, 9, &["no value makes true"]);
    for never in [
        "rain between 3 and 1",
        "status = 'on' and status = 'off'",
        "status is missing and status = 'off'",
        "temperature > 3 Cel and (rain > 2 and status != 'x' and rain < 1)",
        "(status = 'a' and status = 'b') or rain in (1) and rain > 1",
    ] {
        check_error(
            &format!("when = \"door_open = true\"\nclear = \"{never}\""),
            2,
            9,
            &["no value makes true"],
        );
        let loaded = load_with(&format!("when = \"{never}\"")).unwrap();
        assert!(loaded.warnings[0].found.contains("a `when` that no value makes true"), "{never}");
    }
    for possible in [
        "status = 'on' and status != 'off'",
        "status is missing or status = 'off'",
        "not (rain < 1 and rain > 1)",
        "rain > 2 and temperature < 1 Cel",
        "rain > 2 and avg(rain, 5m) < 1",
        "status != 'a' and status != 'b'",
    ] {
        assert_eq!(
            load_with(&format!("when = \"door_open = true\"\nclear = \"{possible}\"")).unwrap().warnings,
            []
        );
    }
}

#[test]
fn all_errors_come_at_once_in_their_order() {
    let files = [
        ("a.toml".into(), "[[rule]]\nid = \"A\"\nseverity = \"grave\"\n[[rule]]\nid = \"ok\"\ntitle = \"t\"\nseverity = \"info\"\nwhen = \"rain > 1\"\n".into()),
        ("b.toml".into(), "x = 1\n[[rule]]\nid = \"ok\"\ntitle = \"t\"\nseverity = \"info\"\nwhen = \"rain >> 1\"\nwhere = \"domain\"\n".into()),
        ("c.toml".into(), "[[rule]]\nid = \n".into()),
    ];
    let errors = RuleSource::load(&files, &SmallCatalog, &LoadOptions::default()).unwrap_err();
    let places: Vec<String> = errors.iter().map(|error| format!("{}:{}", error.file, error.line)).collect();
    let expected = [
        "a.toml:1", "a.toml:1", "a.toml:2", "a.toml:3", "b.toml:1", "b.toml:3", "b.toml:6", "b.toml:7",
        "c.toml:2",
    ];
    assert_eq!(places, expected, "{errors:#?}");
    assert!(errors[5].found.contains("first in a.toml:5"), "{}", errors[5]);
}

#[test]
fn limits_hold() {
    let text = format!("{HEAD}when = \"rain > 1\"\n").replace("\"x\"", "\"x1\"")
        + &format!("{HEAD}when = \"rain > 1\"\n");
    let errors = RuleSource::load(
        &[("a.toml".into(), text)],
        &SmallCatalog,
        &LoadOptions { rules_max: 1, ..LoadOptions::default() },
    )
    .unwrap_err();
    assert!(errors[0].found.contains("more than 1 rules"), "{}", errors[0]);
    let deep = format!("when = \"{}rain > 1{}\"", "(".repeat(65), ")".repeat(65));
    check_error(&deep, 1, 74, &["nested deeper than 64"]);
    let nots = format!("when = \"{}rain > 1\"", "not ".repeat(64));
    assert!(load_with(&nots).is_ok());
    let long = format!("when = \"rain in ({})\"", vec!["1"; 1_025].join(", "));
    assert!(load_with(&long).unwrap_err()[0].found.contains("more than 1024 values"));
}

#[test]
fn a_metric_that_is_not_known_is_a_warning_with_the_nearest() {
    let loaded = load_with("when = \"water_levle > 2\"").unwrap();
    let [warning] = loaded.warnings.as_slice() else { panic!("{:?}", loaded.warnings) };
    assert_eq!((warning.line, warning.column), (5, 9));
    assert!(warning.to_string().contains("water_level"), "{warning}");
}

#[test]
fn a_rule_set_reads_back_and_refuses_what_it_does_not_know() {
    let set = load_with(
        "when = \"water_level > 2.3 m and not status in ('on', 'off')\"\nwhere = \"device_id like 'a*'\"",
    )
    .unwrap()
    .rule_set;
    let read = RuleSet::from_bytes(set.bytes()).unwrap();
    assert_eq!(read, set);
    assert_eq!(read.digest(), digest_of(set.bytes()));
    let text = String::from_utf8(set.bytes().to_vec()).unwrap();
    for (from, to, error) in [
        ("\"format\":2", "\"format\":3", "upgrade consumers first"),
        ("\"shadow\"", "\"shade\"", "does not parse"),
        ("{\"metric\":0}", "{\"metric\":9}", "does not list"),
    ] {
        let other = RuleSet::from_bytes(text.replacen(from, to, 1).as_bytes()).unwrap_err();
        assert!(other.to_string().contains(error), "{other}");
    }
    assert!(RuleSet::from_bytes(b"").is_err());
}

#[test]
fn the_digest_of_a_rule_is_over_its_meaning() {
    let digest = |keys: &str| load_with(keys).unwrap().rule_set.rules()[0].digest();
    let base = digest("when = \"water_level > 0.7 m\"");
    assert_eq!(
        base,
        digest("when = \"(water_level>70 cm)\"\nlabels = { a = \"b\" }\nrunbook = \"r\"\nfor = \"0s\"")
    );
    for other in
        ["for = \"1s\"", "quality = \"any\"", "shadow = true", "max_age = \"2h\"", "where = \"domain = 'x'\""]
    {
        assert_ne!(base, digest(&format!("when = \"water_level > 0.7 m\"\n{other}")));
    }
}

/// A registry of two devices, one zone, and a threshold that does not convert to m.
fn load_with_registry(keys: &str) -> Result<Loaded, Vec<Diagnostic>> {
    let registry = r#"
        devices = { a = { domain = "p", thresholds = { high = "3 kg" } }, b = { domain = "q" } }
        zones = { town = [[[0, 0], [1, 0], [1, 1], [0, 0]]] }
    "#;
    let registry = registry_of(&registry.parse().unwrap());
    let options = LoadOptions { registry: &registry, ..LoadOptions::default() };
    RuleSource::load(&[("a.toml".into(), format!("{HEAD}{keys}\n"))], &SmallCatalog, &options)
}

#[test]
fn what_the_registry_has_is_checked_where_rules_use_it() {
    let error = |keys: &str| load_with_registry(keys).unwrap_err()[0].to_string();
    let threshold = error("when = \"water_level > threshold('high', 2 m)\"");
    assert!(
        threshold.contains("the threshold high of the device a: 3 kg, which does not convert"),
        "{threshold}"
    );
    let zone = error("when = \"inside zone('twon')\"");
    assert!(zone.contains("the zone 'twon'") && zone.contains("town"), "{zone}");
    let warnings = |keys: &str| load_with_registry(keys).unwrap().warnings;
    let unmatched = warnings("when = \"rain > 1\"\nwhere = \"domain = 'r'\"");
    assert_eq!((unmatched.len(), unmatched[0].line, unmatched[0].column), (1, 6, 9));
    assert_eq!(warnings("when = \"rain > 1\"\nwhere = \"domain = 'q'\""), []);
    let unmatched = |keys: &str| load_with_registry(keys).unwrap().unmatched;
    assert_eq!(unmatched("when = \"rain > 1\"\nwhere = \"domain = 'r'\""), 1);
    assert_eq!(unmatched("when = \"rain > 1\"\nwhere = \"domain = 'q'\""), 0);
    let unknown = warnings("absent = \"30s\"\nmetric = \"water_levle\"");
    assert!(unknown[0].help.contains("water_level"), "{}", unknown[0]);
}

#[test]
fn a_rule_set_keeps_of_the_registry_what_its_rules_use() {
    let text = |keys: &str| {
        let set = load_with_registry(keys).unwrap().rule_set;
        assert_eq!(RuleSet::from_bytes(set.bytes()).unwrap(), set);
        String::from_utf8(set.bytes().to_vec()).unwrap()
    };
    let plain = text("when = \"rain > 1\"");
    assert!(plain.ends_with("\"registry\":{\"devices\":{\"a\":{},\"b\":{}}}}"), "{plain}");
    let selected = text("when = \"rain > 1\"\nwhere = \"domain = 'q'\"");
    assert!(selected.contains("\"b\":{\"domain\":\"q\"}"), "{selected}");
    assert!(text("when = \"inside zone('town')\"").contains("\"zones\":{\"town\""));
}

#[test]
fn a_hundred_thousand_rules_in_one_file_load() {
    let mut text = String::new();
    for n in 0..100_000 {
        text.push_str(&format!(
            "[[rule]]\nid = \"rule-{n}\"\ntitle = \"t\"\nseverity = \"info\"\nwhen = \"water_level > {} cm and rain > {}\"\nfor = \"60s\"\nwhere = \"device_id = 'manhole-{n}'\"\n\n",
            n % 500,
            n % 7,
        ));
    }
    let started = std::time::Instant::now();
    let loaded =
        RuleSource::load(&[("many.toml".into(), text)], &SmallCatalog, &LoadOptions::default()).unwrap();
    println!("100,000 rules loaded in {:?}", started.elapsed());
    assert_eq!(loaded.rule_set.len(), 100_000);
    assert_eq!(loaded.places["rule-99999"], "many.toml:799994");
}
