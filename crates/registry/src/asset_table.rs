//! `assets.csv`: what devices are mounted on. An asset may be a part of another, a pump of a station.

use std::collections::BTreeMap;

use hashbrown::HashMap;
use model::registry::Asset;

use crate::attribute;
use crate::csv_reader::Field;
use crate::csv_table::{Columns, CsvTable, Line};
use crate::finding::{Findings, place_of};
use crate::place;

/// Most assets of one registry.
pub const ASSETS_MAX: usize = 2_000_000;

/// How deep assets may be parts of each other.
pub const PARENTS_MAX: usize = 16;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Column {
    AssetId,
    Kind,
    Name,
    Parent,
    Latitude,
    Longitude,
    Coordinates,
}

impl Columns for Column {
    const KEY: Self = Column::AssetId;
    const KEY_NAME: &'static str = "asset_id";
    const NAMES: &'static str = "asset_id, kind, name, parent, latitude, longitude and coordinates would do";

    fn find(name: &str) -> Result<Self, (String, String)> {
        Ok(match name {
            "asset_id" => Column::AssetId,
            "kind" => Column::Kind,
            "name" => Column::Name,
            "parent" => Column::Parent,
            "latitude" => Column::Latitude,
            "longitude" => Column::Longitude,
            "coordinates" => Column::Coordinates,
            _ => return Err((format!("the unknown column {name:?}"), Self::NAMES.to_owned())),
        })
    }
}

/// Reads the assets of a text.
pub(crate) fn read(text: &str, findings: &mut Findings) -> BTreeMap<String, Asset> {
    let Some(mut table) = CsvTable::<Column>::open(text, findings) else { return BTreeMap::new() };
    let mut assets: HashMap<String, (Asset, usize)> = HashMap::new();
    while let Some(line) = table.next_line(findings) {
        if assets.len() == ASSETS_MAX {
            let help = format!("a registry has at most {ASSETS_MAX} assets");
            findings.add(line.at(), "one asset more", help);
            break;
        }
        let key = line.key();
        let id = key.text.trim();
        if id.is_empty() {
            findings.add(key.at, "an asset without an id", "the id of the asset would do");
            continue;
        }
        attribute::check(id, key.at, findings);
        let asset = asset(&line, findings);
        if let Some((_, first_at)) = assets.get(id) {
            let found =
                format!("the asset {id:?} a second time, first in line {}", place_of(text, *first_at).0);
            findings.add(key.at, found, "one line an asset would do");
        } else {
            assets.insert(id.to_owned(), (asset, key.at));
        }
    }
    check_parents(&assets, findings);
    assets.into_iter().map(|(id, (asset, _))| (id, asset)).collect()
}

fn asset(line: &Line<'_, '_, Column>, findings: &mut Findings) -> Asset {
    let text = |column, findings: &mut Findings| {
        let Some(field) = line.field(&column) else { return String::new() };
        attribute::check(field.text.trim(), field.at, findings);
        field.text.trim().to_owned()
    };
    let written = |column| line.field(&column).map(Field::written);
    Asset {
        kind: text(Column::Kind, findings),
        name: text(Column::Name, findings),
        parent: text(Column::Parent, findings),
        place: place::read(
            written(Column::Latitude),
            written(Column::Longitude),
            written(Column::Coordinates),
            findings,
        ),
    }
}

/// Every parent is an asset of the file, and nothing is a part of itself.
fn check_parents(assets: &HashMap<String, (Asset, usize)>, findings: &mut Findings) {
    for (id, (asset, at)) in assets {
        if !asset.parent.is_empty() && !assets.contains_key(&asset.parent) {
            let found = format!("the parent {:?} of {id:?}, which is no asset", asset.parent);
            findings.add(*at, found, "the id of another line would do");
        }
    }
    for (id, (asset, at)) in assets {
        let parents = std::iter::successors(Some(asset), |asset| Some(&assets.get(&asset.parent)?.0));
        if parents.take(PARENTS_MAX + 2).count() > PARENTS_MAX + 1 {
            let found = format!("{id:?}, which is a part of itself or of more than {PARENTS_MAX} others");
            findings.add(*at, found, "a parent further up would do");
        }
    }
}
