//! `devices.csv`: one line a device, the columns in any order. What a column may hold is checked here, so that whoever
//! has a registry need not.

use std::collections::BTreeMap;
use std::sync::Arc;

use hashbrown::HashSet;
use model::device_id;
use model::registry::RegisteredDevice;

use crate::csv_reader::{CsvReader, Field};
use crate::finding::{Findings, place_of};
use crate::threshold;

/// Most devices of one registry.
pub const DEVICES_MAX: usize = 2_000_000;
/// Most columns of `devices.csv`.
pub const COLUMNS_MAX: usize = 256;
/// Longest gateway id, model, asset id and tag value, bytes.
pub const ATTRIBUTE_BYTES_MAX: usize = 256;
/// Longest NAME of `threshold.NAME` and `tag.NAME`, bytes.
pub const NAME_BYTES_MAX: usize = 64;

const COLUMNS: &str = "device_id, gateway_id, model, domain, asset_id, latitude, longitude, threshold.NAME and tag.NAME would do";

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Column {
    DeviceId,
    GatewayId,
    Model,
    Domain,
    AssetId,
    Latitude,
    Longitude,
    Threshold(String),
    Tag(String),
    /// Told of already, so that the rest of the file is read all the same.
    Broken,
}

/// Reads the devices of a text.
pub(crate) fn read(text: &str, findings: &mut Findings) -> BTreeMap<String, Arc<RegisteredDevice>> {
    let mut reader = CsvReader::new(text);
    let mut row = Vec::new();
    let columns = match reader.next_row(&mut row) {
        Ok(true) => columns(&row, findings),
        Ok(false) => {
            findings.add(0, "no line with the names of the columns", COLUMNS);
            return BTreeMap::new();
        }
        Err(error) => {
            findings.add(error.at, error.found, error.help);
            return BTreeMap::new();
        }
    };
    if !columns.contains(&Column::DeviceId) {
        findings.add(0, "no column device_id", "each line names its device");
        return BTreeMap::new();
    }
    let mut lines: Vec<(String, usize, Arc<RegisteredDevice>)> = Vec::new();
    loop {
        match reader.next_row(&mut row) {
            Ok(false) => break,
            Ok(true) if lines.len() == DEVICES_MAX => {
                let help = format!("a registry has at most {DEVICES_MAX} devices");
                findings.add(row[0].at, "one device more", help);
                break;
            }
            Ok(true) => lines.extend(line(&columns, &row, findings)),
            Err(error) => findings.add(error.at, error.found, error.help),
        }
    }
    by_id(text, lines, findings)
}

/// A device that stands twice is told of with the line where it stood first.
fn by_id(
    text: &str,
    mut lines: Vec<(String, usize, Arc<RegisteredDevice>)>,
    findings: &mut Findings,
) -> BTreeMap<String, Arc<RegisteredDevice>> {
    lines.sort_by(|a, b| a.0.cmp(&b.0));
    let mut first_at = 0;
    for (index, (id, at, _)) in lines.iter().enumerate() {
        if index > 0 && lines[index - 1].0 == *id {
            let (first_line, _) = place_of(text, first_at);
            let found = format!("the device {id:?} a second time, first in line {first_line}");
            findings.add(*at, found, "one line a device would do");
        } else {
            first_at = *at;
        }
    }
    // Sorted, so the map is built in one pass.
    lines.into_iter().map(|(id, _, device)| (id, device)).collect()
}

fn columns(header: &[Field<'_>], findings: &mut Findings) -> Vec<Column> {
    if let Some(field) = header.get(COLUMNS_MAX) {
        findings.add(field.at, "one column more", format!("at most {COLUMNS_MAX} columns would do"));
    }
    let mut seen = HashSet::new();
    let mut columns = Vec::new();
    for field in header {
        let mut column = column(field.text.trim());
        match &column {
            Column::Broken => findings.add(field.at, format!("the unknown column {:?}", field.text), COLUMNS),
            Column::Threshold(name) | Column::Tag(name) if !is_name(name) => {
                let help = format!("letters, digits, _ and - would do, at most {NAME_BYTES_MAX}");
                findings.add(field.at, format!("the name {name:?} in {:?}", field.text), help);
            }
            _ if !seen.insert(column.clone()) => {
                findings.add(
                    field.at,
                    format!("the column {} a second time", field.text),
                    "one of them would do",
                );
                column = Column::Broken;
            }
            _ => {}
        }
        columns.push(column);
    }
    columns
}

fn column(name: &str) -> Column {
    match name {
        "device_id" => Column::DeviceId,
        "gateway_id" => Column::GatewayId,
        "model" => Column::Model,
        "domain" => Column::Domain,
        "asset_id" => Column::AssetId,
        "latitude" => Column::Latitude,
        "longitude" => Column::Longitude,
        _ => match name.split_once('.') {
            Some(("threshold", name)) => Column::Threshold(name.to_owned()),
            Some(("tag", name)) => Column::Tag(name.to_owned()),
            _ => Column::Broken,
        },
    }
}

/// What stands in rule files as an identifier.
pub(crate) fn is_name(name: &str) -> bool {
    let is_letter = |letter: char| letter.is_alphanumeric() || matches!(letter, '_' | '-');
    !name.is_empty() && name.len() <= NAME_BYTES_MAX && name.chars().all(is_letter)
}

fn line(
    columns: &[Column],
    row: &[Field<'_>],
    findings: &mut Findings,
) -> Option<(String, usize, Arc<RegisteredDevice>)> {
    if row.len() != columns.len() {
        let found = format!("a line of {} fields", row.len());
        findings.add(row[0].at, found, format!("{}, as many as columns, would do", columns.len()));
        return None;
    }
    let mut device = RegisteredDevice::default();
    let mut id = None;
    let (mut latitude, mut longitude) = (None, None);
    for (column, field) in columns.iter().zip(row) {
        let value = field.text.trim();
        if *column == Column::DeviceId {
            // Not trimmed: an outer space of an id is an error, as it is in messages.
            match device_id::check(&field.text) {
                Ok(()) => id = Some((field.text.clone().into_owned(), field.at)),
                Err(error) => {
                    findings.add(field.at, format!("{:?} as a device id", field.text), error.to_string())
                }
            }
        } else if !value.is_empty() {
            match column {
                Column::Latitude => latitude = degrees(field, 90.0, findings),
                Column::Longitude => longitude = degrees(field, 180.0, findings),
                Column::Threshold(name) => match threshold::parse(value) {
                    Ok(threshold) => drop(device.thresholds.insert(name.clone(), threshold)),
                    Err((found, help)) => findings.add(field.at, found, help),
                },
                _ => attribute(&mut device, column, field, findings),
            }
        }
    }
    device.position = position(columns, row, latitude.zip(longitude), findings);
    id.map(|(id, at)| (id, at, Arc::new(device)))
}

fn attribute(device: &mut RegisteredDevice, column: &Column, field: &Field<'_>, findings: &mut Findings) {
    let value = field.text.trim();
    if value.len() > ATTRIBUTE_BYTES_MAX {
        let found = format!("a text of {} bytes", value.len());
        findings.add(field.at, found, format!("at most {ATTRIBUTE_BYTES_MAX} would do"));
    } else if value.contains(char::is_control) {
        findings.add(field.at, format!("{value:?}"), "a text without control characters would do");
    }
    match column {
        Column::GatewayId => value.clone_into(&mut device.gateway_id),
        Column::Model => value.clone_into(&mut device.model),
        Column::AssetId => value.clone_into(&mut device.asset_id),
        Column::Domain if !is_domain(value) => {
            let help = "1 to 32 of a-z, 0-9 and _ would do";
            findings.add(field.at, format!("the domain {value:?}"), help);
        }
        Column::Domain => value.clone_into(&mut device.domain),
        Column::Tag(name) => drop(device.tags.insert(name.clone(), value.to_owned())),
        Column::DeviceId | Column::Latitude | Column::Longitude | Column::Threshold(_) | Column::Broken => {}
    }
}

/// As in messages: a domain is a directory of the lake.
fn is_domain(text: &str) -> bool {
    let is_letter = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    (1..=32).contains(&text.len()) && text.bytes().all(is_letter)
}

fn degrees(field: &Field<'_>, max: f64, findings: &mut Findings) -> Option<f64> {
    let value = field.text.trim();
    let degrees = value.parse::<f64>().ok().filter(|degrees| degrees.abs() <= max);
    if degrees.is_none() {
        findings.add(
            field.at,
            format!("the coordinate {value:?}"),
            format!("degrees from -{max} to {max} would do"),
        );
    }
    degrees
}

/// A latitude without a longitude, or the reverse, is half a place.
fn position(
    columns: &[Column],
    row: &[Field<'_>],
    both: Option<(f64, f64)>,
    findings: &mut Findings,
) -> Option<(f64, f64)> {
    let field = |wanted: &Column| {
        let index = columns.iter().position(|column| column == wanted)?;
        Some(&row[index]).filter(|field| !field.text.trim().is_empty())
    };
    match (field(&Column::Latitude), field(&Column::Longitude)) {
        (Some(field), None) => {
            findings.add(field.at, "a latitude without a longitude", "both or neither would do")
        }
        (None, Some(field)) => {
            findings.add(field.at, "a longitude without a latitude", "both or neither would do")
        }
        _ => {}
    }
    both
}
