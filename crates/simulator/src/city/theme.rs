//! The themes of a city: what stands in the street, and what each of it measures.

/// A kind of device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Theme {
    AirStation,
    Manhole,
    WaterMain,
    TrafficCounter,
    StreetLamp,
    SmokeDetector,
    Room,
}

impl Theme {
    pub const ALL: [Theme; 7] = [
        Theme::AirStation,
        Theme::Manhole,
        Theme::WaterMain,
        Theme::TrafficCounter,
        Theme::StreetLamp,
        Theme::SmokeDetector,
        Theme::Room,
    ];

    pub(super) fn of(index: u32) -> Self {
        Theme::ALL[index as usize % Theme::ALL.len()]
    }

    /// The telemetry's domain.
    pub const fn domain(self) -> &'static str {
        match self {
            Theme::AirStation => "environment",
            Theme::Manhole => "drainage",
            Theme::WaterMain => "water",
            Theme::TrafficCounter => "traffic",
            Theme::StreetLamp => "lighting",
            Theme::SmokeDetector => "fire",
            Theme::Room => "building",
        }
    }

    /// What a device id begins with.
    pub const fn prefix(self) -> &'static str {
        match self {
            Theme::AirStation => "air",
            Theme::Manhole => "manhole",
            Theme::WaterMain => "main",
            Theme::TrafficCounter => "counter",
            Theme::StreetLamp => "lamp",
            Theme::SmokeDetector => "smoke",
            Theme::Room => "room",
        }
    }
}
