//! Java's configuration keys: ONE table per role, a row per key, which says what the key does here. Reads entries of a
//! `.properties` file into settings and reports everything that is wrong at once. Knows no file and no command line.
//!
//! A key is used, or not used with the reason, or refused by name: a setting that asks for something that is not
//! there, above all a protection, must never be started without. A key that is in no table is reported with the
//! nearest name and does not stop the start, because Java's does not either.

use std::fmt;
use std::net::IpAddr;

use super::properties::Entry;

/// A key and what it does to settings of type `T`.
pub struct Key<T: 'static> {
    /// Java's name, as of 5.3.3.
    pub name: &'static str,
    /// Names of older releases.
    pub older: &'static [&'static str],
    /// What it does.
    pub does: Does<T>,
}

/// What a key does.
pub enum Does<T: 'static> {
    /// Sets a switch.
    Flag(fn(&mut T) -> &mut bool),
    /// Sets a number.
    Number {
        /// Smallest and largest accepted value.
        range: (u64, u64),
        /// Sets it.
        set: fn(&mut T, u64),
    },
    /// Sets something that is written as text.
    Text {
        /// What is accepted, for the message when it is not.
        accepts: &'static str,
        /// Sets it, or says that it cannot.
        set: fn(&mut T, &str) -> Option<()>,
    },
    /// Refuses the start, unless the value is one of those that ask for nothing.
    Refused {
        /// Values that are fine, compared without case.
        unless: &'static [&'static str],
        /// What is not there.
        why: &'static str,
    },
}

/// All keys of a role.
pub struct Table<T: 'static> {
    /// Rows, in groups.
    pub rows: &'static [&'static [Key<T>]],
    /// Names of keys that change nothing here, in groups with the reason; blanks between names.
    pub unused: &'static [(&'static str, &'static str)],
}

/// A row that sets something.
pub const fn key<T>(name: &'static str, does: Does<T>) -> Key<T> {
    Key { name, older: &[], does }
}

/// A row that sets something and had other names before.
pub const fn renamed<T>(name: &'static str, older: &'static [&'static str], does: Does<T>) -> Key<T> {
    Key { name, older, does }
}

/// A setting that cannot be used: refuses the start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Line of the file.
    pub line: usize,
    /// The key as it was written.
    pub key: String,
    /// Its value.
    pub value: String,
    /// What is wrong and what is accepted.
    pub what: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}={}: {}", self.line, self.key, self.value, self.what)
    }
}

/// What became of a file's entries.
#[derive(Debug, Default)]
pub struct Outcome {
    /// What refuses the start.
    pub problems: Vec<Problem>,
    /// What an operator should know: unknown keys, keys set twice.
    pub warnings: Vec<String>,
    /// Keys that change nothing here, each with the reason.
    pub unused: Vec<String>,
    /// How many keys set something.
    pub taken: usize,
}

impl<T> Table<T> {
    /// Applies entries to settings; the last entry of a key counts, as in Java.
    pub fn apply(&self, entries: &[Entry], settings: &mut T) -> Outcome {
        let mut outcome = Outcome::default();
        for (index, entry) in entries.iter().enumerate() {
            if let Some(later) = entries[index + 1..].iter().find(|later| later.key == entry.key) {
                outcome
                    .warnings
                    .push(format!("{}: {} is set again on line {}, which counts", entry.line, entry.key, later.line));
            } else if let Some(row) = self.row(&entry.key) {
                row.apply(entry, settings, &mut outcome);
            } else if let Some((why, _)) =
                self.unused.iter().find(|(_, keys)| keys.split(' ').any(|key| key == entry.key))
            {
                outcome.unused.push(format!("{} ({why})", entry.key));
            } else {
                outcome.warnings.push(self.unknown(entry));
            }
        }
        outcome
    }

    /// The row of a key, by its present name or an older one.
    pub fn row(&self, name: &str) -> Option<&'static Key<T>> {
        self.rows.iter().flat_map(|rows| rows.iter()).find(|key| key.name == name || key.older.contains(&name))
    }

    /// Every name that is known, older ones included.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        let rows = self.rows.iter().flat_map(|rows| rows.iter());
        let used = rows.flat_map(|key| std::iter::once(key.name).chain(key.older.iter().copied()));
        used.chain(self.unused.iter().flat_map(|(_, keys)| keys.split(' ')))
    }

    /// Walks all rows with values that cannot be used, for the tests of the roles' tables: every one of them has to be
    /// refused with its line, its value and what is accepted. `anything` are the keys that take any text.
    #[cfg(test)]
    pub(crate) fn check_bad_values(&self, fresh: impl Fn() -> T, anything: &[&str]) {
        use crate::base::properties;
        let all = self.rows.iter().flat_map(|rows| rows.iter());
        for row in all {
            let bad: Vec<String> = match &row.does {
                Does::Flag(_) => ["yes", "1", "", "tru", "true false"].map(str::to_owned).to_vec(),
                Does::Number { range: (least, most), .. } => {
                    let mut bad = ["", "x", "-1", "1.5", "0x10", "1 2", "1k"].map(str::to_owned).to_vec();
                    bad.extend(least.checked_sub(1).map(|below| below.to_string()));
                    bad.extend([u128::from(*most) + 1, u128::MAX].map(|above| above.to_string()));
                    bad
                }
                Does::Text { .. } if anything.contains(&row.name) => continue,
                Does::Text { .. } => vec![String::new()],
                Does::Refused { .. } => vec!["something".to_owned()],
            };
            for value in bad {
                let mut settings = fresh();
                let text = format!("\n{}", properties::line(row.name, &value));
                let outcome = self.apply(&properties::parse(text.as_bytes()).expect("well formed"), &mut settings);
                let told: Vec<_> = outcome.problems.iter().map(ToString::to_string).collect();
                let begin = format!("2: {}={value}: ", row.name);
                assert!(told.len() == 1 && told[0].starts_with(&begin), "{}={value}: {told:?}", row.name);
                let what = &told[0][begin.len()..];
                let says = what.starts_with("accepted") || what.ends_with("remove the line to start without");
                assert!(says, "{}={value}: {what}", row.name);
            }
        }
    }

    /// Why a key without a row changes nothing.
    pub fn why_ignored(&self, key: &str) -> String {
        let unused = self.unused.iter().find(|(_, keys)| keys.split(' ').any(|unused| unused == key));
        match (unused, nearest(key, self.names())) {
            (Some((why, _)), _) => (*why).to_owned(),
            (None, Some(name)) => format!("no key that is known here; did you mean {name}?"),
            (None, None) => "no key that is known here".to_owned(),
        }
    }

    fn unknown(&self, entry: &Entry) -> String {
        let told = format!("{}: {} is no key that is known here, it changes nothing", entry.line, entry.key);
        match nearest(&entry.key, self.names()) {
            Some(name) => format!("{told}; did you mean {name}?"),
            None => told,
        }
    }
}

impl<T> Key<T> {
    fn apply(&self, entry: &Entry, settings: &mut T, outcome: &mut Outcome) {
        let value = entry.value.trim();
        match self.does.set(value, settings) {
            Ok(()) => outcome.taken += 1,
            Err(what) => {
                let (line, key, value) = (entry.line, entry.key.clone(), value.to_owned());
                outcome.problems.push(Problem { line, key, value, what });
            }
        }
        if value.contains("${") || value.starts_with("~/") {
            let told = "is taken as it is written, here as in Java: variables and ~ are not replaced";
            outcome.warnings.push(format!("{}: {}={value} {told}", entry.line, entry.key));
        }
    }
}

impl<T> Does<T> {
    /// Sets the value, or says what is accepted.
    fn set(&self, value: &str, settings: &mut T) -> Result<(), String> {
        match self {
            Does::Flag(at) => {
                let text = value.to_ascii_lowercase();
                *at(settings) = text.parse().map_err(|_| "accepted are true and false".to_owned())?;
                Ok(())
            }
            Does::Number { range: (least, most), set } => {
                let number = value.parse::<u64>().ok().filter(|number| (*least..=*most).contains(number));
                set(settings, number.ok_or_else(|| format!("accepted is a whole number from {least} to {most}"))?);
                Ok(())
            }
            Does::Text { accepts, set } => set(settings, value).ok_or_else(|| format!("accepted: {accepts}")),
            Does::Refused { unless, .. } if unless.iter().any(|fine| fine.eq_ignore_ascii_case(value)) => Ok(()),
            Does::Refused { why, .. } => Err(format!("{why}; remove the line to start without")),
        }
    }
}

/// The name closest to what was typed, if any is close enough to have been meant.
pub fn nearest<'a>(typed: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let typed = typed.to_lowercase();
    let close = typed.chars().count().div_ceil(3).min(6);
    names
        .map(|name| (distance(&typed, &name.to_lowercase()), name))
        .filter(|(distance, _)| *distance <= close)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

/// How many characters have to be put in, taken out or changed to get from one text to the other.
fn distance(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (index, have) in from.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = index + 1;
        for (column, want) in to.iter().enumerate() {
            let changed = diagonal + usize::from(have != *want);
            diagonal = row[column + 1];
            row[column + 1] = changed.min(row[column] + 1).min(diagonal + 1);
        }
    }
    row[to.len()]
}

/// Parses an address that clients can be told.
pub fn address(text: &str) -> Option<IpAddr> {
    text.parse::<IpAddr>().ok().filter(|ip| !ip.is_unspecified())
}

/// Parses a list of name servers, at least one; the error says what is wrong.
pub fn servers(text: &str) -> Result<Vec<String>, String> {
    let list: Vec<_> =
        text.split([';', ',']).map(str::trim).filter(|part| !part.is_empty()).map(str::to_owned).collect();
    if list.is_empty() {
        return Err("accepted is HOST:PORT, several separated by semicolons".to_owned());
    }
    match list.iter().find(|part| !is_host_and_port(part)) {
        Some(bad) => Err(format!("`{bad}` is not HOST:PORT")),
        None => Ok(list),
    }
}

fn is_host_and_port(text: &str) -> bool {
    text.rsplit_once(':').is_some_and(|(host, port)| {
        let is_foreign = |c: char| c.is_whitespace() || c.is_control() || ['/', '@'].contains(&c);
        let host_fits = !host.is_empty() && !host.contains(is_foreign);
        host_fits && port.parse::<u16>().is_ok_and(|port| port > 0)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::properties;

    #[derive(Default)]
    struct Settings {
        flag: bool,
        number: u64,
        text: String,
    }

    const ROWS: &[Key<Settings>] = &[
        key("enableThing", Does::Flag(|s| &mut s.flag)),
        renamed("mappedFileSize", &["mapedFileSize"], Does::Number { range: (1, 100), set: |s, n| s.number = n }),
        key(
            "mode",
            Does::Text { accepts: "A or B", set: |s, text| ["A", "B"].contains(&text).then(|| s.text = text.into()) },
        ),
        key("secure", Does::Refused { unless: &["false"], why: "locks are not built yet" }),
    ];
    const TABLE: Table<Settings> = Table { rows: &[ROWS], unused: &[("no threads here", "threadNums threadPoolNums")] };

    fn apply(text: &str) -> (Settings, Outcome) {
        let mut settings = Settings::default();
        let outcome = TABLE.apply(&properties::parse(text.as_bytes()).expect("well formed"), &mut settings);
        (settings, outcome)
    }

    #[test]
    fn keys_set_what_they_name_by_any_of_their_names() {
        let (settings, outcome) = apply("enableThing = TRUE \nmapedFileSize=7 \nmode=B\nsecure=false\n");
        assert_eq!((settings.flag, settings.number, settings.text.as_str()), (true, 7, "B"));
        assert!(outcome.problems.is_empty() && outcome.warnings.is_empty() && outcome.unused.is_empty());
    }

    #[test]
    fn all_problems_are_told_at_once_with_line_value_and_what_is_accepted() {
        let (_, outcome) = apply("enableThing=yes\nmappedFileSize=101\n\nmode=C\nsecure=true\n");
        let told: Vec<_> = outcome.problems.iter().map(ToString::to_string).collect();
        assert_eq!(
            told,
            [
                "1: enableThing=yes: accepted are true and false",
                "2: mappedFileSize=101: accepted is a whole number from 1 to 100",
                "4: mode=C: accepted: A or B",
                "5: secure=true: locks are not built yet; remove the line to start without",
            ]
        );
    }

    #[test]
    fn unknown_unused_and_repeated_keys_are_told_and_change_nothing() {
        let (settings, outcome) = apply("enableThng=true\nthreadPoolNums=4\nmode=A\nmode=B\nxyzzy=1\n");
        assert_eq!(settings.text, "B");
        assert_eq!((outcome.taken, outcome.unused), (1, vec!["threadPoolNums (no threads here)".to_owned()]));
        assert_eq!(
            outcome.warnings,
            [
                "1: enableThng is no key that is known here, it changes nothing; did you mean enableThing?",
                "3: mode is set again on line 4, which counts",
                "5: xyzzy is no key that is known here, it changes nothing",
            ]
        );
        assert!(outcome.problems.is_empty());
    }
}
