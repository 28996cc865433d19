//! The section `[metrics]`: where `/metrics`, `/livez` and `/readyz` are served, and how large a scrape may become. Knows
//! how it is written; what is served is in `monitor`.

use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use super::cli::{ANY, Listen};
use super::keys::Does::{Number, Text};
use super::keys::{Key, Table, key};

/// Port of a broker and of `dev`, that of Java's exporter and of Java's 5.x brokers.
pub const BROKER_PORT: u16 = 5557;
/// Port of a name server that runs alone, so that both fit on one machine.
pub const NAMESRV_PORT: u16 = 5558;

/// Where metrics are served.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Place {
    /// On the port of the role, on all addresses.
    #[default]
    Default,
    /// Nowhere.
    Off,
    /// There. Port 0 is a free one, which the start report tells.
    At {
        /// The address, if one was given.
        ip: Option<IpAddr>,
        /// The port, if one was given.
        port: Option<u16>,
    },
}

/// What is accepted for a place.
pub const ACCEPTS: &str = "\"off\" or an address, such as \"0.0.0.0:5557\" or \":5557\"";

impl FromStr for Place {
    type Err = String;

    fn from_str(text: &str) -> Result<Place, String> {
        if text == "off" {
            return Ok(Place::Off);
        }
        if let Ok(address) = text.parse::<SocketAddr>() {
            return Ok(Place::At { ip: Some(address.ip()), port: Some(address.port()) });
        }
        let Listen { ip, port } = text.parse().map_err(|_| format!("accepted is {ACCEPTS}"))?;
        Ok(Place::At { ip, port })
    }
}

impl Place {
    /// The address for a process whose default port is `default_port`; `None` is off.
    pub fn address(self, default_port: u16) -> Option<SocketAddr> {
        let (ip, port) = match self {
            Place::Off => return None,
            Place::Default => (None, None),
            Place::At { ip, port } => (ip, port),
        };
        Some(SocketAddr::new(ip.unwrap_or(ANY), port.unwrap_or(default_port)))
    }
}

/// The settings of `[metrics]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Where.
    pub place: Place,
    /// Whether a port that is taken refuses the start; else it is a warning, and there are no metrics.
    pub required: bool,
    /// Most label sets of one metric; what is beyond is summed up under the label `other`.
    pub label_limit: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Settings { place: Place::Default, required: false, label_limit: 20_000 }
    }
}

/// The keys of `[metrics]`.
pub const TABLE: Table<Settings> = Table { rows: &[ROWS], unused: &[] };

const ROWS: &[Key<Settings>] = &[
    key(
        "metricsListen",
        Text {
            accepts: ACCEPTS,
            set: |s, text| {
                s.place = text.parse().ok()?;
                Some(())
            },
        },
    ),
    key("labelLimit", Number { range: (1, 1_000_000), set: |s, limit| s.label_limit = limit as usize }),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_off_or_an_address_whose_missing_half_is_the_default() {
        let read = |text: &str| text.parse::<Place>().map(|place| place.address(5557).map(|at| at.to_string()));
        assert_eq!(read("off"), Ok(None));
        assert_eq!(read("127.0.0.1:9"), Ok(Some("127.0.0.1:9".to_owned())));
        assert_eq!(read("127.0.0.1:0"), Ok(Some("127.0.0.1:0".to_owned())));
        assert_eq!(read("127.0.0.1"), Ok(Some("127.0.0.1:5557".to_owned())));
        assert_eq!(read(":9"), Ok(Some("0.0.0.0:9".to_owned())));
        assert_eq!(Place::Default.address(5558).map(|at| at.to_string()).as_deref(), Some("0.0.0.0:5558"));
        for bad in ["", "on", "5557", "localhost:1", ":70000"] {
            assert!(bad.parse::<Place>().is_err(), "{bad}");
        }
    }
}
