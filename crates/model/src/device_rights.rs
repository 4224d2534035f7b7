//! For which devices somebody may speak.

/// Patterns that one identity may have.
pub const PATTERNS_MAX: usize = 64;

/// What an identity may publish.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum DeviceRights {
    /// For every device, and what names none.
    All,
    /// Nothing at all.
    #[default]
    Nothing,
    /// For some devices.
    Some(SomeDevices),
}

/// Devices by where the registry puts them, or by their ids.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SomeDevices {
    /// This gateway, and every device that the registry puts behind it; empty: none.
    pub gateway_id: Box<str>,
    /// Device ids with `*` for any run of characters.
    pub patterns: Vec<Box<str>>,
    /// Beside them: commands on alerts.
    pub may_command: bool,
}

/// Somebody spoke for a device that is not theirs.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("may not speak for the device {device_id:?}")]
pub struct NotItsDevice {
    pub device_id: Box<str>,
}

impl SomeDevices {
    /// Whether they hold `device_id`, which the registry puts behind `gateway_id` (empty: behind none, or not known).
    #[inline]
    pub fn hold(&self, device_id: &str, gateway_id: &str) -> bool {
        let is_behind = !self.gateway_id.is_empty()
            && (*self.gateway_id == *gateway_id || *self.gateway_id == *device_id);
        is_behind || self.patterns.iter().any(|pattern| matches(pattern, device_id))
    }
}

/// Whether `pattern`, in which `*` is any run of characters, is `text`. Takes time in proportion to their product at most.
pub fn matches(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
    let (mut at, mut found) = (0, 0);
    // The last star, and the text that it swallows up to.
    let mut star: Option<(usize, usize)> = None;
    while found < text.len() {
        if pattern.get(at) == Some(&b'*') {
            star = Some((at, found));
            at += 1;
        } else if pattern.get(at) == Some(&text[found]) {
            (at, found) = (at + 1, found + 1);
        } else if let Some((star_at, swallowed)) = star {
            star = Some((star_at, swallowed + 1));
            (at, found) = (star_at + 1, swallowed + 1);
        } else {
            return false;
        }
    }
    pattern[at..].iter().all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_gateway_speaks_for_itself_and_for_what_stands_behind_it() {
        let devices =
            SomeDevices { gateway_id: "gw-1".into(), patterns: vec!["pump-*".into()], may_command: false };
        for (device_id, gateway_id, expected) in [
            ("m-1", "gw-1", true),
            ("gw-1", "", true),
            ("m-1", "gw-2", false),
            ("m-1", "", false),
            ("pump-7", "gw-2", true),
            ("pump", "", false),
        ] {
            assert_eq!(devices.hold(device_id, gateway_id), expected, "{device_id} behind {gateway_id:?}");
        }
        let none = SomeDevices::default();
        assert!(!none.hold("m-1", ""), "no gateway is not the gateway of devices without one");
    }

    /// The meaning as a recursion, slow and plain.
    fn reference(pattern: &[u8], text: &[u8]) -> bool {
        match pattern {
            [] => text.is_empty(),
            [b'*', rest @ ..] => (0..=text.len()).any(|skip| reference(rest, &text[skip..])),
            [byte, rest @ ..] => text.first() == Some(byte) && reference(rest, &text[1..]),
        }
    }

    proptest! {
        #[test]
        fn matches_as_the_reference(pattern in "[ab*]{0,8}", text in "[ab]{0,10}") {
            prop_assert_eq!(matches(&pattern, &text), reference(pattern.as_bytes(), text.as_bytes()));
        }
    }
}
