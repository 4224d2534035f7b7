//! The admin API is what `docs/openapi.json` says: the same paths and methods, and answers of a running service, good and
//! bad, as they are described there.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::Value;

use crate::running::{Running, eventually, root};
use crate::schema::Document;

const RULES: &str = r#"
[[rule]]
id = "level-high"
title = "the water stands high"
severity = "critical"
when = "water_level > threshold('high', 250 cm) and (battery_level is missing or battery_level > 5 %)"
hits = "1 of 3"
active = ["Mon-Sun 00:00-12:00", "Mon-Sun 12:00-23:59"]
time_zone = "UTC"
labels = { team = "drainage" }

[[rule]]
id = "level-band"
title = "the water stands high for long"
severity = "info"
when = "water_level > 2 m"
for = "30m"
clear = "water_level < 1 m"

[[rule]]
id = "silent"
title = "nothing is heard"
severity = "info"
absent = "10m"

[[rule]]
id = "level-loud"
title = "at once"
severity = "warning"
when = "water_level > 2 m"
"#;

fn written() -> Value {
    serde_json::from_str(&std::fs::read_to_string(root().join("docs/openapi.json")).unwrap()).unwrap()
}

/// `get /v1/rules` of each `.route("/v1/rules", get(..))` in the sources of the admin server.
fn routes(folder: &Path, found: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let text = std::fs::read_to_string(entry.unwrap().path()).unwrap();
        for route in text.split(".route(").skip(1) {
            let mut depth = 1;
            let end = route.find(|c: char| {
                depth += match c {
                    '(' => 1,
                    ')' => -1,
                    _ => 0,
                };
                depth == 0
            });
            let route = &route[..end.unwrap()];
            let path = route.split('"').nth(1).unwrap();
            for method in ["get", "post", "put", "delete", "patch"] {
                if route.contains(&format!("{method}(")) {
                    found.insert(format!("{method} {path}"));
                }
            }
        }
    }
}

#[test]
fn every_route_is_described_and_every_description_is_a_route() {
    let mut routed = BTreeSet::new();
    routes(&root().join("crates/server/src/admin"), &mut routed);
    let document = written();
    let mut described = BTreeSet::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        described.extend(methods.as_object().unwrap().keys().map(|method| format!("{method} {path}")));
    }
    assert_eq!(routed, described);
    let table = std::fs::read_to_string(root().join("docs/operations.md")).unwrap();
    for path in document["paths"].as_object().unwrap().keys() {
        let of_table = path.split("/{").next().unwrap();
        assert!(table.contains(of_table), "{path} is not in docs/operations.md");
    }
}

#[test]
fn every_reference_leads_somewhere() {
    fn references<'a>(value: &'a Value, found: &mut BTreeSet<&'a str>) {
        match value {
            Value::Object(object) => {
                found.extend(object.get("$ref").and_then(Value::as_str));
                object.values().for_each(|value| references(value, found));
            }
            Value::Array(list) => list.iter().for_each(|value| references(value, found)),
            _ => {}
        }
    }
    let document = written();
    let mut found = BTreeSet::new();
    references(&document, &mut found);
    for reference in &found {
        match reference.strip_prefix('#') {
            Some(pointer) => assert!(document.pointer(pointer).is_some(), "{reference}"),
            None => assert!(root().join("docs").join(reference).exists(), "{reference}"),
        }
    }
    for kind in ["schemas", "responses"] {
        for name in document["components"][kind].as_object().unwrap().keys() {
            assert!(found.contains(&*format!("#/components/{kind}/{name}")), "nobody uses {name}");
        }
    }
}

/// A running service and its own description.
struct Described {
    running: Running,
    document: Value,
    schemas: Document,
    seen: BTreeSet<String>,
}

impl Described {
    /// Asks, and holds the answer against the description of the path.
    fn check(&mut self, method: &str, path: &str, sent: &str, body: &str, status: u16) -> Value {
        let (answered, value) = self.running.request(method, sent, body);
        assert_eq!(answered, status, "{method} {sent}: {value}");
        let method = method.to_lowercase();
        let body_schema = format!(
            "/paths/{}/{method}/requestBody/content/application~1json/schema",
            path.replace('~', "~0").replace('/', "~1")
        );
        if status == 200 && self.document.pointer(&body_schema).is_some() {
            let sent = serde_json::from_str(body).unwrap();
            self.schemas.check(&body_schema, &sent).unwrap();
        }
        let mut pointer =
            format!("/paths/{}/{method}/responses/{status}", path.replace('~', "~0").replace('/', "~1"));
        let response = self.document.pointer(&pointer);
        let response = response.unwrap_or_else(|| panic!("{method} {path} does not describe {status}"));
        if let Some(reference) = response["$ref"].as_str() {
            pointer = reference[1..].to_owned();
        }
        let content = &self.document.pointer(&pointer).unwrap()["content"];
        let kind = content.as_object().unwrap().keys().next().unwrap().replace('/', "~1");
        if let Err(error) = self.schemas.check(&format!("{pointer}/content/{kind}/schema"), &value) {
            panic!("{method} {sent}: {error}");
        }
        self.seen.insert(format!("{method} {path} {status}"));
        value
    }

    fn get(&mut self, path: &str, status: u16) -> Value {
        self.check("GET", path, path, "", status)
    }
}

#[test]
fn the_answers_of_a_service_are_as_described() {
    let running = Running::start(&[("rules.toml", RULES)]);
    running.publish("m-1", r#"{"water_level": 2.6}"#);
    running.publish("m-1", r#"{"water_level": "#);
    let fires = |value: Value| value.as_array().is_some_and(|alerts| !alerts.is_empty());
    eventually("the alert fires", || loud(&running.get("/v1/alerts").1).is_some());
    eventually("its rows land", || fires(running.get("/v1/lake").1["table_partitions"].clone()));
    let (status, document) = running.get("/v1/openapi.json");
    assert_eq!(status, 200);
    let schemas = Document::new(document.clone());
    let mut described = Described { running, document, schemas, seen: BTreeSet::new() };

    for path in [
        "/health/live",
        "/health/ready",
        "/metrics",
        "/v1/about",
        "/v1/openapi.json",
        "/v1/rules/sets",
        "/v1/rules/shadow",
    ] {
        described.get(path, 200);
    }
    described.check("GET", "/health/ready", "/health/ready?role=cook", "", 400);
    described.get("/v1/log", 200);
    let lake = described.get("/v1/lake", 200);
    assert!(lake["log_partitions"].as_array().is_some_and(|partitions| !partitions.is_empty()));
    let alerts = described.get("/v1/alerts", 200);
    let id = loud(&alerts).unwrap()["alert_id"].as_str().unwrap().to_owned();
    let events = described.check("GET", "/v1/alerts/{alert_id}", &format!("/v1/alerts/{id}"), "", 200);
    assert_eq!(events[0]["event"], "raised");
    check_commands(&mut described, &id);
    check_rules(&mut described);
    check_dead_letters(&mut described);

    for (method, path) in [("GET", "/v1/no/such"), ("POST", "/v1/rules")] {
        let (status, value) = described.running.request(method, path, "");
        assert!(matches!(status, 404 | 405), "{status}");
        assert!(value["error"].is_string(), "{path}: {value}");
    }
    // A watcher's answer never ends: `tests/admin.rs` reads one.
    let operations = described.document["paths"].as_object().unwrap().iter().flat_map(|(path, methods)| {
        methods.as_object().unwrap().keys().map(move |method| format!("{method} {path} 200"))
    });
    let unseen: Vec<String> = operations.filter(|operation| !described.seen.contains(operation)).collect();
    assert_eq!(unseen, ["get /v1/alerts/watch 200"]);
}

/// The alert of the rule that says at once what it sees.
fn loud(alerts: &Value) -> Option<&Value> {
    alerts.as_array().unwrap().iter().find(|alert| alert["rule_id"] == "level-loud")
}

fn check_commands(described: &mut Described, id: &str) {
    let mut post = |kind: &str, id: &str, body: &str, status: u16| {
        let sent = format!("/v1/alerts/{id}/{kind}");
        described.check("POST", &format!("/v1/alerts/{{alert_id}}/{kind}"), &sent, body, status)
    };
    let acknowledged = post("acknowledge", id, r#"{"by": "Wang"}"#, 200);
    assert_eq!(
        (&acknowledged["event"], &acknowledged["people"][0]["by"]),
        (&"acknowledged".into(), &"Wang".into())
    );
    post("comment", id, r#"{"by": "Wang", "text": "on my way"}"#, 200);
    post("comment", id, r#"{"by": "Wang"}"#, 400);
    post("silence", id, r#"{"by": "Wang", "for": "2h", "id": "s-1"}"#, 200);
    post("silence", id, r#"{"by": "Wang", "until": "#, 400);
    post("acknowledge", &"0".repeat(32), r#"{"by": "Wang"}"#, 404);
    described.running.publish("m-1", r#"{"water_level": 0.1}"#);
    eventually("it is resolved", || loud(&described.running.get("/v1/alerts").1).is_none());
    let sent = format!("/v1/alerts/{id}/acknowledge");
    described.check("POST", "/v1/alerts/{alert_id}/acknowledge", &sent, r#"{"by": "Li"}"#, 409);
}

fn check_rules(described: &mut Described) {
    let in_force = described.get("/v1/rules", 200);
    assert_eq!(in_force["rules"].as_array().unwrap().len(), 4);
    let explain = "/v1/rules/{rule_id}/devices/{device_id}";
    for rule in ["level-high", "level-band", "level-loud", "silent"] {
        described.check("GET", explain, &format!("/v1/rules/{rule}/devices/m-1"), "", 200);
    }
    described.check("GET", explain, "/v1/rules/none/devices/m-1", "", 404);
    described.check("GET", explain, "/v1/rules/none/devices/%FF", "", 400);
    let (file, more) = ("/v1/rules/files/{name}", "/v1/rules/files/more.toml");
    let rule = "[[rule]]\nid = \"more\"\ntitle = \"t\"\nseverity = \"info\"\nwhen = \"water_levle > 1\"\n";
    let put = described.check("PUT", file, more, rule, 200);
    assert_eq!(put["warnings"].as_array().unwrap().len(), 1);
    described.check("PUT", file, more, "[[rule]]", 422);
    described.check("PUT", file, "/v1/rules/files/more.txt", rule, 400);
    described.check("DELETE", file, more, "", 200);
    described.check("DELETE", file, more, "", 404);
    described.check("DELETE", file, "/v1/rules/files/more.txt", "", 400);
}

fn check_dead_letters(described: &mut Described) {
    let letters = described.get("/v1/dead-letters", 200);
    let letter = &letters[0];
    assert_eq!(letter["reason"], "malformed_json");
    described.check("GET", "/v1/dead-letters", "/v1/dead-letters?limit=many", "", 400);
    let one = "/v1/dead-letters/{partition}/{offset}";
    let at = format!("/v1/dead-letters/{}/{}", letter["log_partition"], letter["log_offset"]);
    described.check("GET", one, &at, "", 200);
    described.check("GET", one, "/v1/dead-letters/0/99", "", 404);
    described.check("GET", one, "/v1/dead-letters/x/0", "", 400);
    let redrive = format!("{one}/redrive");
    let outcome = described.check("POST", &redrive, &format!("{at}/redrive"), "", 200);
    assert_eq!(outcome["outcome"], "still_rejected");
    described.check("POST", &redrive, "/v1/dead-letters/0/99/redrive", "", 404);
}

#[test]
fn what_is_not_as_described_is_refused() {
    let running = Running::start(&[]);
    let document = Document::new(running.get("/v1/openapi.json").1);
    let check = |name: &str, value: Value| document.check(&format!("/components/schemas/{name}"), &value);
    check("Liveness", serde_json::json!({ "status": "live" })).unwrap();
    assert!(check("Liveness", serde_json::json!({ "status": "live", "since": 3 })).is_err());
    assert!(check("Liveness", serde_json::json!({})).is_err());
    assert!(check("Alert", serde_json::json!({ "alert_id": "x" })).is_err());
    assert!(check("Time", serde_json::json!("2026-03-02T00:00:00Z")).is_err());
}
