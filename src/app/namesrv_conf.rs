//! The keys of a name server's TOML section: Java's, and those that Java has no key for.

use std::path::Path;

use super::keys::Does::Text;
use super::keys::{Key, Table, key};
use crate::namesrv::Config;
use crate::namesrv::config::TABLE as JAVA;

/// All keys that `[namesrv]` may set.
pub const TABLE: Table<Config> = Table { rows: &[OURS, JAVA.rows[0]], unused: &[] };

const OURS: &[Key<Config>] = &[key(
    "data",
    Text {
        accepts: "a path",
        set: |s, text| {
            keep_files_in(s, Path::new(text));
            Some(())
        },
    },
)];

/// Puts the files of a name server into a folder, under Java's names.
pub fn keep_files_in(config: &mut Config, folder: &Path) {
    config.kv_config_path = folder.join("kvConfig.json");
    config.config_store_path = folder.join("namesrv.properties");
}
