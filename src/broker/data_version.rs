//! The version that Java keeps beside each of its tables: compared for equality only, by slaves and name servers
//! (STORE 5.1, INTEROP 04 §4).

use serde::{Deserialize, Serialize};

use crate::base::clock::Millis;

/// Version of a table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DataVersion {
    /// Number of changes.
    pub counter: i64,
    /// Term of the controller; 0 without one.
    pub state_version: i64,
    /// When it last changed, milliseconds since the epoch.
    pub timestamp: i64,
}

impl DataVersion {
    /// The version after one more change.
    pub fn advance(&mut self, now: Millis) {
        self.counter += 1;
        self.timestamp = now as i64;
    }
}
