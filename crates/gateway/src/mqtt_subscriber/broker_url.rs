//! Where a broker is. The address is also the publisher of its messages, so it has one spelling only.

/// `mqtt://host:port` or `mqtts://host:port`, without credentials. An IPv6 host keeps its brackets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokerUrl {
    host: String,
    port: u16,
    is_tls: bool,
}

/// Why a text is no address of a broker.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{wanted} is wanted, found {found:?}")]
pub struct BrokerUrlError {
    wanted: &'static str,
    found: String,
}

const PORT: u16 = 1883;
const PORT_TLS: u16 = 8883;

impl BrokerUrl {
    pub fn host(&self) -> &str {
        &self.host
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn is_tls(&self) -> bool {
        self.is_tls
    }
}

impl std::str::FromStr for BrokerUrl {
    type Err = BrokerUrlError;

    fn from_str(url: &str) -> Result<Self, BrokerUrlError> {
        const SHAPE: &str = "mqtt://host:port or mqtts://host:port";
        let (is_tls, rest) = match (url.strip_prefix("mqtt://"), url.strip_prefix("mqtts://")) {
            (Some(rest), _) => (false, rest),
            (_, Some(rest)) => (true, rest),
            _ => return Err(BrokerUrlError { wanted: SHAPE, found: url.to_owned() }),
        };
        if rest.contains('@') {
            // What stands there may be a password, and errors are logged.
            let found = format!("mqtt://...@{}", rest.rsplit('@').next().unwrap_or_default());
            return Err(BrokerUrlError { wanted: "an address without credentials", found });
        }
        let refuse = |wanted| BrokerUrlError { wanted, found: url.to_owned() };
        let authority = rest.strip_suffix('/').unwrap_or(rest);
        // The last colon divides host and port, unless it stands inside the brackets of an IPv6 address.
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => {
                let port = port.parse().ok().filter(|port| *port != 0);
                (host, port.ok_or_else(|| refuse("a port from 1 to 65535"))?)
            }
            _ => (authority, if is_tls { PORT_TLS } else { PORT }),
        };
        let is_bracketed = host.len() > 2 && host.starts_with('[') && host.ends_with(']');
        let has_stray = |c: char| matches!(c, '/' | '?' | '#' | '[' | ']' | ':') || c.is_whitespace();
        if host.is_empty() || (!is_bracketed && host.contains(has_stray)) {
            return Err(refuse(SHAPE));
        }
        Ok(BrokerUrl { host: host.to_ascii_lowercase(), port, is_tls })
    }
}

impl std::fmt::Display for BrokerUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let scheme = if self.is_tls { "mqtts" } else { "mqtt" };
        write!(f, "{scheme}://{}:{}", self.host, self.port)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_broker_has_one_spelling() {
        let cases = [
            ("mqtt://Broker.City", "mqtt://broker.city:1883"),
            ("mqtts://broker/", "mqtts://broker:8883"),
            ("mqtt://10.0.0.1:1884", "mqtt://10.0.0.1:1884"),
            ("mqtt://[::1]", "mqtt://[::1]:1883"),
            ("mqtts://[fd00::1]:8884", "mqtts://[fd00::1]:8884"),
        ];
        for (url, spelled) in cases {
            assert_eq!(url.parse::<BrokerUrl>().map(|url| url.to_string()), Ok(spelled.to_owned()), "{url}");
        }
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for url in [
            "",
            "broker",
            "http://b",
            "mqtt://",
            "mqtt://:1",
            "mqtt://b:0",
            "mqtt://b:x",
            "mqtt://b/p",
            "mqtt://::1",
            "mqtt://[",
            "mqtt://a b",
        ] {
            assert!(url.parse::<BrokerUrl>().is_err(), "{url}");
        }
    }

    #[test]
    fn an_error_does_not_repeat_a_password() {
        let error = "mqtt://me:hunter2@broker:1883".parse::<BrokerUrl>().expect_err("credentials");
        assert!(!error.to_string().contains("hunter2"), "{error}");
    }
}
