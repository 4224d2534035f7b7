//! Where the broker is.

use crate::Error;

/// The port of MQTT over TCP.
const PORT: u16 = 1883;

/// Host and port of an MQTT broker, from `mqtt://host[:port]`. An IPv6 host keeps its brackets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokerAddress {
    pub host: String,
    pub port: u16,
}

impl std::str::FromStr for BrokerAddress {
    type Err = Error;

    fn from_str(url: &str) -> Result<Self, Error> {
        let refuse = |wanted| Error::Address { url: url.to_owned(), wanted };
        let rest = url.strip_prefix("mqtt://").ok_or_else(|| refuse("mqtt://host:port"))?;
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        if rest.contains(['/', '@', '?', '#']) {
            return Err(refuse("a host and a port only; credentials are given apart"));
        }
        // The last colon divides host and port, unless it stands inside the brackets of an IPv6 address.
        let (host, port) = match rest.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => {
                (host, port.parse().map_err(|_| refuse("a port between 1 and 65535"))?)
            }
            _ => (rest, PORT),
        };
        let is_whole = !host.is_empty() && host.starts_with('[') == host.ends_with(']') && port != 0;
        if is_whole {
            Ok(BrokerAddress { host: host.to_owned(), port })
        } else {
            Err(refuse("mqtt://host:port"))
        }
    }
}

impl std::fmt::Display for BrokerAddress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "mqtt://{}:{}", self.host, self.port)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_brokers() {
        let cases = [
            ("mqtt://broker:1884", Some(("broker", 1884))),
            ("mqtt://127.0.0.1/", Some(("127.0.0.1", 1883))),
            ("mqtt://[::1]:1883", Some(("[::1]", 1883))),
            ("mqtt://[::1]", Some(("[::1]", 1883))),
            ("mqtt://", None),
            ("mqtt://h:0", None),
            ("mqtt://h:65536", None),
            ("mqtt://user:secret@h:1883", None),
            ("http://h", None),
            ("h:1883", None),
        ];
        for (url, expected) in cases {
            let found = url.parse::<BrokerAddress>().ok();
            let expected = expected.map(|(host, port)| BrokerAddress { host: host.to_owned(), port });
            assert_eq!(found, expected, "{url}");
        }
    }
}
