//! Configuration files on disk: which of the two forms a file has, its content, and what is said when it cannot be read.
//! Knows no setting.

use std::fs;
use std::io;
use std::path::Path;

use super::properties::{self, Entry};

/// Whether a file is written in TOML, which its name says; everything else is Java's format.
pub fn is_toml(file: &Path) -> bool {
    file.extension().is_some_and(|kind| kind == "toml")
}

/// The bytes of a file.
pub fn bytes(file: &Path) -> Result<Vec<u8>, String> {
    fs::read(file).map_err(|error| {
        let from = match std::path::absolute(file) {
            Ok(absolute) if absolute != file => format!(" ({})", absolute.display()),
            _ => String::new(),
        };
        format!("cannot read the file {}{from}: {}; check its path and its rights", file.display(), plain(&error))
    })
}

/// The text of a file in TOML.
pub fn toml(file: &Path) -> Result<String, String> {
    let name = file.display();
    if !is_toml(file) {
        return Err(format!(
            "{name}: a file in TOML is needed here, whose name ends with .toml; a Java file is started with `rocketmq broker \
             -c {name}` or `rocketmq namesrv -c {name}`, and turned into TOML by `rocketmq config migrate {name}`"
        ));
    }
    text(file)
}

/// The same, whatever its name.
pub fn text(file: &Path) -> Result<String, String> {
    String::from_utf8(bytes(file)?).map_err(|error| {
        let before = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
        format!("{}:{line}: this line is not in UTF-8; save the file in that encoding", file.display())
    })
}

/// The entries of a Java file.
pub fn entries(file: &Path) -> Result<Vec<Entry>, String> {
    let name = file.display();
    if is_toml(file) {
        return Err(format!(
            "{name}: a Java file is needed here; one in TOML is started with `rocketmq run -c {name}`"
        ));
    }
    properties::parse(&bytes(file)?).map_err(|bad| format!("{name}: {bad}"))
}

/// An error without the number that Rust appends.
pub fn plain(error: &io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or(&text).to_owned()
}
