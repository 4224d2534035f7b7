//! Codes of factors (HJ 212-2017 annex B): what they are called here, and their unit where all stations agree on it.

/// One factor.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Factor {
    pub code: &'static str,
    pub metric: &'static str,
    /// Empty: the catalog's, unless the device's model says another.
    pub unit: &'static str,
}

const fn factor(code: &'static str, metric: &'static str, unit: &'static str) -> Factor {
    Factor { code, metric, unit }
}

/// Ordered by code.
const FACTORS: &[Factor] = &[
    factor("LA", "noise", "dB"),
    factor("Leq", "noise_leq", "dB"),
    factor("a01001", "temperature", "Cel"),
    factor("a01002", "humidity", "%"),
    factor("a01006", "barometric_pressure", "kPa"),
    factor("a01007", "wind_speed", "m/s"),
    factor("a01008", "wind_direction", "deg"),
    factor("a05024", "o3", ""),
    factor("a21004", "no2", ""),
    factor("a21005", "co", ""),
    factor("a21026", "so2", ""),
    factor("a34001", "tsp", ""),
    factor("a34002", "pm10", ""),
    factor("a34004", "pm2_5", ""),
    factor("w00000", "flow_rate", ""),
    factor("w01001", "ph", "[pH]"),
    factor("w01003", "turbidity", ""),
    factor("w01009", "dissolved_oxygen", "mg/L"),
    factor("w01010", "water_temperature", "Cel"),
    factor("w01014", "conductivity", ""),
    factor("w01018", "cod", "mg/L"),
    factor("w21001", "total_nitrogen", "mg/L"),
    factor("w21003", "ammonia_nitrogen", "mg/L"),
    factor("w21011", "total_phosphorus", "mg/L"),
];

pub(super) fn find(code: &str) -> Option<&'static Factor> {
    FACTORS.binary_search_by(|factor| factor.code.cmp(code)).ok().map(|at| &FACTORS[at])
}

/// What a statistic over a period adds to the metric's name: the period is the command's.
pub(super) fn statistic(kind: &str, command: u32) -> Option<&'static str> {
    Some(match (kind, command) {
        ("Avg", 2051) => "_avg_minutes",
        ("Min", 2051) => "_min_minutes",
        ("Max", 2051) => "_max_minutes",
        ("Cou", 2051) => "_total_minutes",
        ("Avg", 2061) => "_avg_hour",
        ("Min", 2061) => "_min_hour",
        ("Max", 2061) => "_max_hour",
        ("Cou", 2061) => "_total_hour",
        ("Avg", 2031) => "_avg_day",
        ("Min", 2031) => "_min_day",
        ("Max", 2031) => "_max_day",
        ("Cou", 2031) => "_total_day",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_in_order() {
        assert!(FACTORS.windows(2).all(|pair| pair[0].code < pair[1].code));
        assert_eq!(find("a34004").unwrap().metric, "pm2_5");
        assert_eq!(find("a3400"), None);
    }
}
