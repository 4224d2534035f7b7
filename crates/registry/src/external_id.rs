//! What others call a device: the IMEI of its modem, its DevEUI, the numbers of HJ 212 and SL 651, a platform's id. One
//! external id names one device, or messages under it would be somebody else's.

use hashbrown::HashMap;

use crate::device_table::Listed;
use crate::finding::{Findings, place_of};

/// Tells of every external id that names a second device.
pub(crate) fn check_unique(text: &str, listed: &[Listed], findings: &mut Findings) {
    let mut owners: HashMap<(&str, &str), &Listed> = HashMap::new();
    for one in listed {
        for (kind, id) in &one.device.external_ids {
            let Some(owner) = owners.insert((kind, id), one) else { continue };
            let (line, _) = place_of(text, owner.at);
            let found =
                format!("the {kind} {id:?} of {:?}, which is that of {:?} in line {line}", one.id, owner.id);
            findings.add(one.at, found, "an id of its own would do");
        }
    }
}
