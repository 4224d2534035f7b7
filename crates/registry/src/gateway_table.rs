//! `gateways.toml`: what forwards for devices, and where it stands.
//!
//! ```toml
//! [gateways.gw-7]
//! title = "roof of the town hall"
//! asset_id = "town-hall"
//! latitude = 31.23
//! longitude = 121.47
//! ```

use std::collections::BTreeMap;

use model::registry::RegisteredGateway;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::attribute;
use crate::finding::Findings;
use crate::place::{self, Written};

const FORM: &str = "[gateways.ID] with title, asset_id, latitude, longitude and coordinates would do";

/// Reads the gateways of a text.
pub(crate) fn read(text: &str, findings: &mut Findings) -> BTreeMap<String, RegisteredGateway> {
    let (table, syntax_errors) = DeTable::parse_recoverable(text);
    for error in &syntax_errors {
        findings.add(error.span().map_or(0, |span| span.start), error.message(), FORM);
    }
    let mut gateways = BTreeMap::new();
    for (key, value) in table.get_ref() {
        match value.get_ref().as_table() {
            Some(tables) if key.get_ref() == "gateways" => {
                for (id, value) in tables {
                    attribute::check(id.get_ref(), id.span().start, findings);
                    gateways.insert(id.get_ref().to_string(), gateway(text, value, findings));
                }
            }
            _ => findings.add(key.span().start, format!("the unknown key {}", key.get_ref()), FORM),
        }
    }
    gateways
}

fn gateway(text: &str, value: &Spanned<DeValue<'_>>, findings: &mut Findings) -> RegisteredGateway {
    let mut gateway = RegisteredGateway::default();
    let Some(keys) = value.get_ref().as_table() else {
        findings.add(value.span().start, "a gateway that is no table", FORM);
        return gateway;
    };
    let (mut latitude, mut longitude, mut coordinates) = (None, None, None);
    for (key, value) in keys {
        let at = value.span().start;
        // A number is read from the text, so that a place is one of the same digits in every file.
        let number = matches!(value.get_ref(), DeValue::Float(_) | DeValue::Integer(_))
            .then(|| Written { text: text[value.span()].trim(), at });
        let words = value.get_ref().as_str().map(|text| Written { text: text.trim(), at });
        match (key.get_ref().as_ref(), number, words) {
            ("latitude", Some(number), _) => latitude = Some(number),
            ("longitude", Some(number), _) => longitude = Some(number),
            ("coordinates", _, Some(words)) => coordinates = Some(words),
            (name @ ("title" | "asset_id"), _, Some(words)) => {
                attribute::check(words.text, at, findings);
                let to = if name == "title" { &mut gateway.title } else { &mut gateway.asset_id };
                words.text.clone_into(to);
            }
            (name @ ("title" | "asset_id" | "latitude" | "longitude" | "coordinates"), ..) => {
                findings.add(at, format!("{name} that is {}", value.get_ref().type_str()), FORM);
            }
            (name, ..) => findings.add(key.span().start, format!("the unknown key {name}"), FORM),
        }
    }
    gateway.place = place::read(latitude, longitude, coordinates, findings);
    gateway
}
