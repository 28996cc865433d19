//! A Java `.properties` file as TOML: every line of it comes back as a setting or as a comment that says why it is none.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::keys::{Does, Table, nearest};
use super::properties::Entry;
use super::settings::{Role, SETTINGS, Setting, Unit};
use crate::base::changes::printable;

/// The result of a migration.
#[derive(Debug)]
pub struct Migrated {
    /// The file in TOML.
    pub text: String,
    /// Lines that ask for something that is not there or that cannot be read.
    pub problems: Vec<String>,
}

/// Writes a file's entries as TOML.
pub fn to_toml<T: Clone>(name: &str, entries: &[Entry], role: Role, table: &Table<T>) -> Migrated {
    let mut migration =
        Migration { name, entries, role, settings: BTreeMap::new(), notes: Vec::new(), problems: Vec::new() };
    // Of several lines for one key the last counts.
    let last = |index: usize, entry: &Entry| !entries[index + 1..].iter().any(|later| later.key == entry.key);
    for (_, entry) in entries.iter().enumerate().filter(|(index, entry)| last(*index, entry)) {
        migration.entry(entry, table);
    }
    migration.finish()
}

struct Migration<'a> {
    name: &'a str,
    entries: &'a [Entry],
    role: Role,
    /// By place in the table of settings: the line and the note behind it.
    settings: BTreeMap<usize, (String, String)>,
    notes: Vec<String>,
    problems: Vec<String>,
}

impl Migration<'_> {
    fn entry<T>(&mut self, entry: &Entry, table: &Table<T>) {
        // A value with a line break in it must not end the comment that it is told in.
        let shown = format!("{}={}", printable(&entry.key), printable(entry.value.trim()));
        let Some(row) = table.row(&entry.key) else {
            let unused = table.unused.iter().find(|(_, keys)| keys.split_whitespace().any(|key| key == entry.key));
            self.notes.push(match unused {
                Some((why, _)) => format!("# {shown}  (line {}: changes nothing here: {why})", entry.line),
                None => {
                    let near = nearest(&entry.key, table.names())
                        .map_or(String::new(), |name| format!(", perhaps {name} was meant"));
                    format!("# {shown}  (line {}: no key of Java's{near})", entry.line)
                }
            });
            return;
        };
        if let Does::Refused { unless, why } = &row.does {
            if unless.iter().any(|fine| fine.eq_ignore_ascii_case(entry.value.trim())) {
                self.notes.push(format!("# {shown}  (line {}: always so here)", entry.line));
            } else {
                self.notes.push(format!("# {shown}  (line {}: not taken over: {why})", entry.line));
                self.problems.push(format!("{}:{}: {shown}: {why}; it is not taken over", self.name, entry.line));
            }
            return;
        }
        match Setting::of_key(self.role, row.name) {
            Some(setting) => self.setting(setting, entry, &shown),
            None => self.notes.push(format!("# {shown}  (line {}: no setting stands for it)", entry.line)),
        }
    }

    fn setting(&mut self, setting: &'static Setting, entry: &Entry, shown: &str) {
        let value = match setting.unit {
            Unit::Address => self.address(setting),
            _ => entry.value.trim().to_owned(),
        };
        let Some(place) = SETTINGS.iter().position(|row| row.path == setting.path) else { return };
        match setting.unit.write(&value) {
            // It can be written, for a cluster's files to be compared, and refuses the start.
            Some(_) if value == "SLAVE" => {
                self.notes.push(format!("# {shown}  (line {}: not taken over: slaves are not built yet)", entry.line));
                let what = "slaves are not built yet; it is not taken over";
                self.problems.push(format!("{}:{}: {shown}: {what}", self.name, entry.line));
            }
            Some(written) => {
                let line = format!("{} = {written}", setting.place().1);
                let origin =
                    if entry.line == 0 { "changed while it ran".to_owned() } else { format!("line {}", entry.line) };
                self.settings.insert(place, (line, format!("{shown}, {origin}")));
            }
            None => {
                self.notes.push(format!("# {shown}  (line {}: not taken over: the value cannot be read)", entry.line));
                let accepted = setting.unit.accepts();
                self.problems
                    .push(format!("{}:{}: {shown}: cannot be read; accepted is {accepted}", self.name, entry.line));
            }
        }
    }

    /// The two keys of an address, the other one's default filled in.
    fn address(&self, setting: &Setting) -> String {
        let port = if self.role == Role::Namesrv { "9876" } else { "10911" };
        let value = |key: &str, default: &str| {
            let found = self.entries.iter().rev().find(|entry| entry.key == key);
            found.map_or_else(|| default.to_owned(), |entry| entry.value.trim().to_owned())
        };
        let mut keys = setting.keys();
        let (ip, port) =
            (value(keys.next().unwrap_or_default(), "0.0.0.0"), value(keys.next().unwrap_or_default(), port));
        if ip.contains(':') { format!("[{ip}]:{port}") } else { format!("{ip}:{port}") }
    }

    fn finish(self) -> Migrated {
        let mut text = format!("# From {}. What is not here is as in the defaults.\n", self.name);
        let mut section = "";
        let root = if self.role == Role::Namesrv { "namesrv" } else { "broker" };
        for (place, (line, note)) in &self.settings {
            let own = SETTINGS[*place].place().0;
            if own != section {
                section = own;
                // Writing to a string cannot fail.
                let _written = writeln!(text, "\n[{section}]");
            }
            let _written = writeln!(text, "{line}  # {note}");
        }
        if self.settings.is_empty() {
            let _written = writeln!(text, "\n[{root}]");
        }
        if !self.notes.is_empty() {
            let _written = writeln!(text, "\n{}", self.notes.join("\n"));
        }
        Migrated { text, problems: self.problems }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::{broker_conf, layers, properties};
    use std::path::Path;

    #[test]
    fn what_is_migrated_means_the_same() {
        let text = "brokerName=a\nbrokerId=0\nbrokerRole=ASYNC_MASTER\nflushDiskType=SYNC_FLUSH\nlistenPort=20911\n\
                    mapedFileSizeCommitLog=1048576\nnamesrvAddr=h:1;i:2\nsendMessageThreadPoolNums=4\nfileReservedTme=48\n\
                    flushConsumerOffsetInterval=9000\nstorePathRootDir=/s\n";
        let entries = properties::parse(text.as_bytes()).expect("well formed");
        let migrated = to_toml("b.conf", &entries, Role::Broker, &broker_conf::TABLE);
        assert!(migrated.problems.is_empty(), "{migrated:?}");
        let toml = &migrated.text;
        for part in [
            "[broker]\nname = \"a\"  # brokerName=a, line 1\nrole = \"async_master\"  # brokerRole=ASYNC_MASTER, line 3\nlisten = \"0.0.0.0:20911\"",
            "[broker.flush]\nmode = \"sync\"",
            "log_file_size = \"1MiB\"  # mapedFileSizeCommitLog=1048576, line 6",
            "# brokerId=0  (line 2: always so here)",
            "# sendMessageThreadPoolNums=4  (line 8: changes nothing here: ",
            "# fileReservedTme=48  (line 9: no key of Java's, perhaps fileReservedTime was meant)",
        ] {
            assert!(toml.contains(part), "{part}\n{toml}");
        }
        let mut java = broker_conf::Settings::new(Path::new(""));
        broker_conf::TABLE.apply(&entries, &mut java);
        let mut ours = broker_conf::Settings::new(Path::new(""));
        let read = layers::load("b.toml", toml, std::iter::empty(), None).expect("it can be used");
        assert!(read.apply(Role::Broker, &broker_conf::TOML, &mut ours).is_empty());
        assert_eq!(format!("{java:?}"), format!("{ours:?}"));
    }

    #[test]
    fn what_is_not_there_is_said_and_left_out() {
        let entries = properties::parse(b"aclEnable=true\nlistenPort=x\nflushDiskType=NEVER\n").expect("well formed");
        let migrated = to_toml("b.conf", &entries, Role::Broker, &broker_conf::TABLE);
        assert!(migrated.problems[0].starts_with("b.conf:1: aclEnable=true: access control is not built yet"));
        assert!(migrated.problems.iter().any(|problem| problem.starts_with("b.conf:3: flushDiskType=NEVER")));
        assert!(!migrated.text.contains("\nmode"));
    }

    #[test]
    fn a_line_break_in_a_value_stays_in_its_comment() {
        let text = b"x\\ny=1\\nname = 1\naclEnable=a\\nb\nregionId=r\\nq\nmessageDelayLevel=1s\\n2s\n";
        let entries = properties::parse(text).expect("well formed");
        let migrated = to_toml("b.conf", &entries, Role::Broker, &broker_conf::TABLE);
        assert!(migrated.text.contains("# x\\ny=1\\nname = 1  (line 1: no key of Java's"), "{}", migrated.text);
        let read = layers::parse("b.toml", &migrated.text, std::iter::empty(), None).expect(&migrated.text);
        assert_eq!(read.given.len(), 2, "{}", migrated.text);
    }
}
