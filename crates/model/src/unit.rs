//! Units: UCUM codes and the spellings that sensors use for them, and exact conversion between those of one dimension.
//!
//! A conversion is a rational factor and, for temperatures, a rational zero point. [`convert_decimal`] applies them to a
//! decimal text exactly and rounds once; [`Conversion::apply`] does it to a double for readings.

use std::sync::LazyLock;

use hashbrown::HashMap;

/// A unit of this table: what its values measure, and how they become those of the dimension's base unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unit {
    /// UCUM, case sensitive.
    pub code: &'static str,
    dimension: Dimension,
    factor: Rational,
    /// Added after the factor.
    zero: Rational,
}

/// `numerator / denominator`, the denominator positive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Rational(i128, i128);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Dimension {
    Length,
    Area,
    Volume,
    Flow,
    Mass,
    Time,
    Speed,
    Temperature,
    Pressure,
    Fraction,
    MassDensity,
    Voltage,
    Current,
    Power,
    ApparentPower,
    ReactivePower,
    Energy,
    Frequency,
    Illuminance,
    LuminousFlux,
    Angle,
    SoundLevel,
    SignalLevel,
    Conductivity,
    Charge,
    Resistance,
    Irradiance,
    Acceleration,
    Acidity,
    Turbidity,
    Count,
    DoseRate,
    RotationRate,
    Data,
}

const fn unit(code: &'static str, dimension: Dimension, numerator: i128, denominator: i128) -> Unit {
    Unit { code, dimension, factor: Rational(numerator, denominator), zero: Rational(0, 1) }
}

/// Every unit, by dimension; the first of each is its base.
const UNITS: &[Unit] = {
    use Dimension::*;
    &[
        unit("m", Length, 1, 1),
        unit("mm", Length, 1, 1_000),
        unit("cm", Length, 1, 100),
        unit("dm", Length, 1, 10),
        unit("km", Length, 1_000, 1),
        unit("um", Length, 1, 1_000_000),
        unit("[in_i]", Length, 254, 10_000),
        unit("[ft_i]", Length, 3_048, 10_000),
        unit("m2", Area, 1, 1),
        unit("cm2", Area, 1, 10_000),
        unit("km2", Area, 1_000_000, 1),
        unit("m3", Volume, 1, 1),
        unit("L", Volume, 1, 1_000),
        unit("mL", Volume, 1, 1_000_000),
        unit("m3/h", Flow, 1, 1),
        unit("m3/s", Flow, 3_600, 1),
        unit("m3/min", Flow, 60, 1),
        unit("m3/d", Flow, 1, 24),
        unit("L/s", Flow, 36, 10),
        unit("L/min", Flow, 6, 100),
        unit("L/h", Flow, 1, 1_000),
        unit("kg", Mass, 1, 1),
        unit("g", Mass, 1, 1_000),
        unit("mg", Mass, 1, 1_000_000),
        unit("t", Mass, 1_000, 1),
        unit("s", Time, 1, 1),
        unit("ms", Time, 1, 1_000),
        unit("us", Time, 1, 1_000_000),
        unit("min", Time, 60, 1),
        unit("h", Time, 3_600, 1),
        unit("d", Time, 86_400, 1),
        unit("m/s", Speed, 1, 1),
        unit("km/h", Speed, 10, 36),
        unit("cm/s", Speed, 1, 100),
        unit("mm/s", Speed, 1, 1_000),
        unit("mm/h", Speed, 1, 3_600_000),
        unit("[kn_i]", Speed, 1_852, 3_600),
        unit("[mi_i]/h", Speed, 1_609_344, 3_600_000),
        unit("Cel", Temperature, 1, 1),
        Unit { code: "K", dimension: Temperature, factor: Rational(1, 1), zero: Rational(-27_315, 100) },
        Unit { code: "[degF]", dimension: Temperature, factor: Rational(5, 9), zero: Rational(-160, 9) },
        unit("kPa", Pressure, 1, 1),
        unit("Pa", Pressure, 1, 1_000),
        unit("hPa", Pressure, 1, 10),
        unit("MPa", Pressure, 1_000, 1),
        unit("bar", Pressure, 100, 1),
        unit("mbar", Pressure, 1, 10),
        unit("atm", Pressure, 101_325, 1_000),
        unit("m[H2O]", Pressure, 980_665, 100_000),
        unit("%", Fraction, 1, 1),
        unit("1", Fraction, 100, 1),
        unit("[ppth]", Fraction, 1, 10),
        unit("[ppm]", Fraction, 1, 10_000),
        unit("[ppb]", Fraction, 1, 10_000_000),
        unit("ug/m3", MassDensity, 1, 1),
        unit("mg/m3", MassDensity, 1_000, 1),
        unit("g/m3", MassDensity, 1_000_000, 1),
        unit("mg/L", MassDensity, 1_000_000, 1),
        unit("ug/L", MassDensity, 1_000, 1),
        unit("g/L", MassDensity, 1_000_000_000, 1),
        unit("kg/m3", MassDensity, 1_000_000_000, 1),
        unit("V", Voltage, 1, 1),
        unit("mV", Voltage, 1, 1_000),
        unit("kV", Voltage, 1_000, 1),
        unit("A", Current, 1, 1),
        unit("mA", Current, 1, 1_000),
        unit("uA", Current, 1, 1_000_000),
        unit("W", Power, 1, 1),
        unit("mW", Power, 1, 1_000),
        unit("kW", Power, 1_000, 1),
        unit("MW", Power, 1_000_000, 1),
        unit("V.A", ApparentPower, 1, 1),
        unit("kV.A", ApparentPower, 1_000, 1),
        unit("var", ReactivePower, 1, 1),
        unit("kvar", ReactivePower, 1_000, 1),
        unit("kW.h", Energy, 1, 1),
        unit("W.h", Energy, 1, 1_000),
        unit("MW.h", Energy, 1_000, 1),
        unit("J", Energy, 1, 3_600_000),
        unit("kJ", Energy, 1, 3_600),
        unit("MJ", Energy, 10, 36),
        unit("GJ", Energy, 10_000, 36),
        unit("Hz", Frequency, 1, 1),
        unit("kHz", Frequency, 1_000, 1),
        unit("MHz", Frequency, 1_000_000, 1),
        unit("/min", RotationRate, 1, 1),
        unit("/h", RotationRate, 1, 60),
        unit("/s", RotationRate, 60, 1),
        unit("lx", Illuminance, 1, 1),
        unit("klx", Illuminance, 1_000, 1),
        unit("lm", LuminousFlux, 1, 1),
        unit("deg", Angle, 1, 1),
        unit("dB", SoundLevel, 1, 1),
        unit("dB[SPL]", SoundLevel, 1, 1),
        unit("dBm", SignalLevel, 1, 1),
        unit("uS/cm", Conductivity, 1, 1),
        unit("mS/cm", Conductivity, 1_000, 1),
        unit("S/m", Conductivity, 10_000, 1),
        unit("A.h", Charge, 1, 1),
        unit("mA.h", Charge, 1, 1_000),
        unit("Ohm", Resistance, 1, 1),
        unit("kOhm", Resistance, 1_000, 1),
        unit("MOhm", Resistance, 1_000_000, 1),
        unit("W/m2", Irradiance, 1, 1),
        unit("m/s2", Acceleration, 1, 1),
        unit("[g]", Acceleration, 980_665, 100_000),
        unit("[pH]", Acidity, 1, 1),
        unit("{NTU}", Turbidity, 1, 1),
        unit("{count}", Count, 1, 1),
        unit("uSv/h", DoseRate, 1, 1),
        unit("nSv/h", DoseRate, 1, 1_000),
        unit("By", Data, 1, 1),
        unit("kBy", Data, 1_000, 1),
        unit("MBy", Data, 1_000_000, 1),
    ]
};

/// How sensors, SenML (RFC 8428 section 12.1) and people write some of them.
const SPELLINGS: &[(&str, &str)] = &[
    ("℃", "Cel"),
    ("°C", "Cel"),
    ("degC", "Cel"),
    ("C", "Cel"),
    ("celsius", "Cel"),
    ("摄氏度", "Cel"),
    ("degF", "[degF]"),
    ("°F", "[degF]"),
    ("℉", "[degF]"),
    ("F", "[degF]"),
    ("ppm", "[ppm]"),
    ("ppb", "[ppb]"),
    ("‰", "[ppth]"),
    ("%RH", "%"),
    ("%rh", "%"),
    ("RH%", "%"),
    ("%EL", "%"),
    ("percent", "%"),
    ("％", "%"),
    ("/", "1"),
    ("无量纲", "1"),
    ("μg/m³", "ug/m3"),
    ("µg/m³", "ug/m3"),
    ("μg/m3", "ug/m3"),
    ("µg/m3", "ug/m3"),
    ("ug/m³", "ug/m3"),
    ("mg/m³", "mg/m3"),
    ("g/m³", "g/m3"),
    ("kg/m³", "kg/m3"),
    ("mg/l", "mg/L"),
    ("ug/l", "ug/L"),
    ("μg/L", "ug/L"),
    ("毫克/升", "mg/L"),
    ("m³", "m3"),
    ("立方米", "m3"),
    ("l", "L"),
    ("升", "L"),
    ("ml", "mL"),
    ("m²", "m2"),
    ("平方米", "m2"),
    ("m³/h", "m3/h"),
    ("m³/s", "m3/s"),
    ("m³/d", "m3/d"),
    ("l/s", "L/s"),
    ("l/min", "L/min"),
    ("l/h", "L/h"),
    ("立方米/小时", "m3/h"),
    ("米", "m"),
    ("厘米", "cm"),
    ("毫米", "mm"),
    ("公里", "km"),
    ("μm", "um"),
    ("µm", "um"),
    ("秒", "s"),
    ("分钟", "min"),
    ("小时", "h"),
    ("天", "d"),
    ("sec", "s"),
    ("hour", "h"),
    ("day", "d"),
    ("kph", "km/h"),
    ("公里/小时", "km/h"),
    ("米/秒", "m/s"),
    ("lux", "lx"),
    ("勒克斯", "lx"),
    ("伏", "V"),
    ("安", "A"),
    ("瓦", "W"),
    ("千瓦", "kW"),
    ("千瓦时", "kW.h"),
    ("度", "deg"),
    ("°", "deg"),
    ("kWh", "kW.h"),
    ("Wh", "W.h"),
    ("MWh", "MW.h"),
    ("VA", "V.A"),
    ("kVA", "kV.A"),
    ("VAR", "var"),
    ("kVar", "kvar"),
    ("赫兹", "Hz"),
    ("分贝", "dB"),
    ("dBA", "dB[SPL]"),
    ("dB(A)", "dB[SPL]"),
    ("帕", "Pa"),
    ("千帕", "kPa"),
    ("兆帕", "MPa"),
    ("百帕", "hPa"),
    ("μS/cm", "uS/cm"),
    ("µS/cm", "uS/cm"),
    ("us/cm", "uS/cm"),
    ("pH", "[pH]"),
    ("NTU", "{NTU}"),
    ("Ah", "A.h"),
    ("mAh", "mA.h"),
    ("Ω", "Ohm"),
    ("ohm", "Ohm"),
    ("W/m²", "W/m2"),
    ("m/s²", "m/s2"),
    ("g0", "[g]"),
    ("rpm", "/min"),
    ("1/min", "/min"),
    ("1/s", "/s"),
    ("count", "{count}"),
    ("个", "{count}"),
    ("辆", "{count}"),
    ("人", "{count}"),
    ("B", "By"),
    ("μSv/h", "uSv/h"),
    ("µSv/h", "uSv/h"),
];

/// The table by all names: a look at it is on the way of every reading that comes with a unit.
static BY_NAME: LazyLock<HashMap<&'static str, &'static Unit>> = LazyLock::new(|| {
    let mut by_name: HashMap<&str, &Unit> = UNITS.iter().map(|unit| (unit.code, unit)).collect();
    for (spelling, code) in SPELLINGS {
        if let Some(unit) = by_name.get(code).copied() {
            by_name.entry(*spelling).or_insert(unit);
        }
    }
    by_name
});

/// The conversions between different units of one dimension: to work one out is a dozen divisions of 128 bits.
static CONVERSIONS: LazyLock<HashMap<(&'static str, &'static str), Conversion>> = LazyLock::new(|| {
    let pairs = UNITS.iter().flat_map(|from| UNITS.iter().map(move |to| (from, to)));
    pairs.filter_map(|(from, to)| Some(((from.code, to.code), work_out(from, to)?))).collect()
});

/// The unit of a code or spelling.
pub fn find(text: &str) -> Option<&'static Unit> {
    BY_NAME.get(text).copied()
}

/// How doubles of one unit become those of another.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Conversion {
    factor: Rational,
    zero: Rational,
}

/// The conversion between two units of one dimension.
pub fn conversion(from: &Unit, to: &Unit) -> Option<Conversion> {
    CONVERSIONS.get(&(from.code, to.code)).copied()
}

fn work_out(from: &Unit, to: &Unit) -> Option<Conversion> {
    (from.dimension == to.dimension).then(|| {
        // (x * a + b - d) / c
        let factor = from.factor.times(to.factor.inverse());
        let zero = from.zero.minus(to.zero).times(to.factor.inverse());
        Conversion { factor, zero }
    })
}

impl Conversion {
    /// Nothing changes.
    pub fn is_identity(&self) -> bool {
        self.factor == Rational(1, 1) && self.zero == Rational(0, 1)
    }

    /// The value in the other unit: one rounding for the product, one for the quotient, one for a zero point.
    pub fn apply(&self, value: f64) -> f64 {
        let scaled = value * self.factor.0 as f64 / self.factor.1 as f64;
        if self.zero.0 == 0 { scaled } else { scaled + self.zero.0 as f64 / self.zero.1 as f64 }
    }
}

/// A decimal text in another unit: exact, then rounded once to the nearest double. `None` where the units do not convert, the text
/// is no decimal number, or it has more than 19 significant digits or an exponent beyond 18.
pub fn convert_decimal(decimal: &str, from: &Unit, to: &Unit) -> Option<f64> {
    let conversion = conversion(from, to)?;
    let value = parse_decimal(decimal)?;
    value.checked_times(conversion.factor)?.checked_plus(conversion.zero)?.to_f64()
}

/// The same without the zero point: for differences (9 \[degF\] of difference are 5 Cel).
pub fn convert_difference(decimal: &str, from: &Unit, to: &Unit) -> Option<f64> {
    let conversion = conversion(from, to)?;
    parse_decimal(decimal)?.checked_times(conversion.factor)?.to_f64()
}

/// A change of so much in each `per`, which is a unit of time, as one in each second; without the zero point. `None` as
/// in [`convert_decimal`].
pub fn convert_rate(decimal: &str, from: &Unit, to: &Unit, per: &Unit) -> Option<f64> {
    let conversion = conversion(from, to)?;
    let in_seconds = (per.dimension == Dimension::Time).then_some(per.factor)?;
    parse_decimal(decimal)?.checked_times(conversion.factor)?.checked_times(in_seconds.inverse())?.to_f64()
}

fn parse_decimal(text: &str) -> Option<Rational> {
    const DIGITS_MAX: usize = 19;
    const POWER_MAX: i32 = 18;
    let (mantissa, exponent) = match text.find(['e', 'E']) {
        Some(at) => (&text[..at], text[at + 1..].parse::<i32>().ok()?),
        None => (text, 0),
    };
    let (sign, digits) = match mantissa.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, mantissa.strip_prefix('+').unwrap_or(mantissa)),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let fraction = fraction.trim_end_matches('0');
    let all = || whole.bytes().chain(fraction.bytes());
    if all().next().is_none() && !digits.contains('0') || !all().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    if all().skip_while(|byte| *byte == b'0').count() > DIGITS_MAX {
        return None;
    }
    let number = all().fold(0i128, |number, digit| number * 10 + i128::from(digit - b'0'));
    let power = exponent.checked_sub(i32::try_from(fraction.len()).ok()?)?;
    if power.abs() > POWER_MAX + DIGITS_MAX as i32 {
        return None;
    }
    let scale = 10i128.checked_pow(power.unsigned_abs())?;
    let number = sign * number;
    if power < 0 {
        Some(Rational(number, scale).reduced())
    } else {
        Some(Rational(number.checked_mul(scale)?, 1))
    }
}

impl Rational {
    fn reduced(self) -> Rational {
        let divisor = gcd(self.0.unsigned_abs(), self.1.unsigned_abs()).max(1) as i128;
        let sign = self.1.signum();
        Rational(sign * self.0 / divisor, sign * self.1 / divisor)
    }

    fn inverse(self) -> Rational {
        Rational(self.1, self.0).reduced()
    }

    fn times(self, other: Rational) -> Rational {
        Rational(self.0 * other.0, self.1 * other.1).reduced()
    }

    fn minus(self, other: Rational) -> Rational {
        Rational(self.0 * other.1 - other.0 * self.1, self.1 * other.1).reduced()
    }

    fn checked_times(self, other: Rational) -> Option<Rational> {
        // Reduced crosswise first, so that the products stay as small as they can.
        let (a, d) = (Rational(self.0, other.1).reduced(), Rational(other.0, self.1).reduced());
        Some(Rational(a.0.checked_mul(d.0)?, a.1.checked_mul(d.1)?).reduced())
    }

    fn checked_plus(self, other: Rational) -> Option<Rational> {
        let left = self.0.checked_mul(other.1)?;
        let right = other.0.checked_mul(self.1)?;
        Some(Rational(left.checked_add(right)?, self.1.checked_mul(other.1)?).reduced())
    }

    /// The nearest double: written out as a decimal, which the standard library reads with one rounding. An endless one is cut
    /// after more digits than a double can be halfway between two at, with a last digit that says that more follow.
    fn to_f64(self) -> Option<f64> {
        const DIGITS_MAX: usize = 800;
        let (number, divisor) = (self.0.unsigned_abs(), self.1.unsigned_abs());
        let mut text = format!("{}{}.", if self.0 < 0 { "-" } else { "" }, number / divisor);
        let mut rest = number % divisor;
        for _ in 0..DIGITS_MAX {
            if rest == 0 {
                break;
            }
            rest = rest.checked_mul(10)?;
            text.push(char::from(b'0' + (rest / divisor) as u8));
            rest %= divisor;
        }
        text.push(if rest == 0 { '0' } else { '1' });
        text.parse().ok()
    }
}

fn gcd(a: u128, b: u128) -> u128 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decimal(text: &str, from: &str, to: &str) -> Option<f64> {
        convert_decimal(text, find(from)?, find(to)?)
    }

    #[test]
    fn decimals_convert_exactly_and_round_once() {
        let cases = [
            ("70", "cm", "m", 0.7),
            ("2.5", "m", "m", 2.5),
            ("75", "ug/m3", "ug/m3", 75.0),
            ("0.035", "mg/m3", "ug/m3", 35.0),
            ("100.4", "degF", "Cel", 38.0),
            ("-40", "degF", "Cel", -40.0),
            ("0", "K", "Cel", -273.15),
            ("36", "km/h", "m/s", 10.0),
            ("1", "atm", "kPa", 101.325),
            ("500", "ppm", "%", 0.05),
            ("1e3", "mm", "m", 1.0),
            ("1", "degF", "Cel", -155.0 / 9.0),
            ("-0.5", "℃", "Cel", -0.5),
        ];
        for (text, from, to, expected) in cases {
            assert_eq!(decimal(text, from, to), Some(expected), "{text} {from} in {to}");
        }
    }

    #[test]
    fn what_does_not_convert_does_not() {
        for (text, from, to) in [
            ("1", "m", "s"),
            ("x", "m", "m"),
            ("", "m", "m"),
            ("1..2", "m", "m"),
            ("1e99", "m", "m"),
            ("-", "m", "m"),
        ] {
            assert_eq!(decimal(text, from, to), None, "{text} {from} in {to}");
        }
        assert!(find("furlong").is_none());
    }

    #[test]
    fn differences_have_no_zero_point() {
        let unit = |code| find(code).unwrap();
        assert_eq!(convert_difference("9", unit("degF"), unit("Cel")), Some(5.0));
    }

    #[test]
    fn every_spelling_names_a_unit_and_no_code_stands_twice() {
        for (spelling, code) in SPELLINGS {
            assert!(find(spelling).is_some(), "{spelling} says {code}");
        }
        for (at, unit) in UNITS.iter().enumerate() {
            assert!(UNITS[at + 1..].iter().all(|other| other.code != unit.code), "{}", unit.code);
        }
    }

    #[test]
    fn readings_convert_near_the_exact_value() {
        for from in UNITS {
            for to in UNITS.iter().filter(|to| to.dimension == from.dimension) {
                let exact = convert_decimal("12.5", from, to).unwrap();
                let fast = conversion(from, to).unwrap().apply(12.5);
                let error = (exact - fast).abs();
                assert!(
                    error <= exact.abs() * 1e-15 + 1e-12 || from == to && exact == fast,
                    "{} {}",
                    from.code,
                    to.code
                );
            }
        }
    }
}
