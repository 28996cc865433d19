//! Where effective settings come from: the embedded defaults, a file over them, the environment over both, and over all of
//! them what was changed while the server ran (`overlays`). Each keeps its origin, so that every message and `config show`
//! can name it. Starts nothing.

use std::fmt;
use std::ops::Range;
use std::path::Path;

use toml::de::{DeTable, DeValue};

use super::broker_conf;
use super::keys::{Does, Problem, Table, nearest};
use super::properties::Entry;
use super::settings::{Role, SETTINGS, Setting, Unit, in_unit_of};
use super::{logging, memory, monitor_conf, namesrv_conf};
use crate::namesrv;

/// The embedded defaults, which are also the documentation.
pub const DEFAULTS: [(&str, &str); 2] = [
    ("conf/namesrv.toml", include_str!("../../conf/namesrv.toml")),
    ("conf/broker.toml", include_str!("../../conf/broker.toml")),
];

/// What environment variables of settings begin with. Two underscores, because `ROCKETMQ_HOME` and others are Java's.
pub const ENVIRONMENT: &str = "ROCKETMQ__";

/// Where a value was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A file and a line of it.
    File(String, usize),
    /// A variable.
    Environment(String),
    /// A change while the server ran.
    Overlay {
        /// The overlay's path.
        path: String,
        /// Who asked for it.
        by: String,
        /// When.
        at: String,
        /// The value before.
        was: String,
    },
}

/// A setting that was given a value.
#[derive(Clone, Debug)]
pub struct Given {
    /// Which.
    pub setting: &'static Setting,
    /// As it was written.
    pub written: String,
    /// The value of each of its keys.
    pub values: Vec<String>,
    /// Where the value stands in the text of the file.
    pub span: Option<Range<usize>>,
    /// Where.
    pub origin: Origin,
}

/// A file and what the environment puts over it.
#[derive(Debug, Default)]
pub struct Layers {
    /// The sections that the file has, as roles.
    pub roles: Vec<Role>,
    /// What was given; of several for one setting the last counts.
    pub given: Vec<Given>,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::File(name, line) => write!(f, "{name}:{line}"),
            Origin::Environment(name) => f.write_str(name),
            Origin::Overlay { path, by, at, was } => write!(f, "{path}: changed by {by} on {at}, was {was}"),
        }
    }
}

/// Reads a file and the environment; all problems at once.
pub fn load(
    name: &str,
    text: &str,
    environment: impl Iterator<Item = (String, String)>,
    home: Option<&Path>,
) -> Result<Layers, Vec<String>> {
    let layers = parse(name, text, environment, home)?;
    let problems = layers.problems();
    if problems.is_empty() { Ok(layers) } else { Err(problems) }
}

/// The same, without asking the tables of keys whether the values can be used here.
pub fn parse(
    name: &str,
    text: &str,
    environment: impl Iterator<Item = (String, String)>,
    home: Option<&Path>,
) -> Result<Layers, Vec<String>> {
    let mut reader = Reader { name, text, home, layers: Layers::default(), problems: Vec::new() };
    reader.file();
    reader.environment(environment);
    let Reader { layers, problems, .. } = reader;
    if problems.is_empty() { Ok(layers) } else { Err(problems) }
}

/// Reads the environment alone, for starts without a file in TOML.
pub fn environment(home: Option<&Path>) -> Result<Layers, Vec<String>> {
    load("", "", variables(), home)
}

/// The environment variables of this process; what is no text is read as well as it can be.
pub fn variables() -> impl Iterator<Item = (String, String)> {
    let text = |name: std::ffi::OsString| name.to_string_lossy().into_owned();
    std::env::vars_os().map(move |(name, value)| (text(name), text(value)))
}

/// Reads a value that stands alone, as in a variable: in TOML, or a text without its quotes.
pub fn read_alone(setting: &Setting, text: &str, home: Option<&Path>) -> Result<Vec<String>, String> {
    let bare = DeValue::String(text.into());
    let parsed = DeValue::parse(text).ok();
    let parsed = parsed.as_ref().and_then(|value| setting.unit.read(value.get_ref(), home).ok());
    match (setting.unit, parsed) {
        // What looks like a text in quotes is one without them for nobody.
        (_, Some(values)) => Ok(values),
        // Java's form, which people have in their environments.
        (Unit::List, None) if !text.trim_start().starts_with('[') => Ok(vec![text.to_owned()]),
        (unit, None) => unit.read(&bare, home),
    }
}

struct Reader<'a> {
    name: &'a str,
    text: &'a str,
    home: Option<&'a Path>,
    layers: Layers,
    problems: Vec<String>,
}

impl Reader<'_> {
    fn file(&mut self) {
        let (table, errors) = DeTable::parse_recoverable(self.text);
        for error in errors {
            let line = error.span().map_or(1, |span| self.line(span.start));
            let (found, what) = (self.text.lines().nth(line - 1).unwrap_or_default().trim(), error.message());
            self.problems.push(format!("{}:{line}: `{found}` is no TOML: {}", self.name, what.replace('\n', ", ")));
        }
        if self.problems.is_empty() {
            self.table("", table.get_ref());
        }
    }

    fn table(&mut self, section: &str, table: &DeTable<'_>) {
        let mut entries: Vec<_> = table.iter().collect();
        entries.sort_unstable_by_key(|(key, _)| key.span().start);
        for (key, value) in entries {
            let line = self.line(key.span().start);
            let path =
                if section.is_empty() { key.get_ref().to_string() } else { format!("{section}.{}", key.get_ref()) };
            let is_section = SETTINGS.iter().any(|row| row.path.starts_with(&format!("{path}.")));
            let span = value.span();
            match value.get_ref() {
                DeValue::Table(inner) if is_section => {
                    if let Some(row) = SETTINGS.iter().find(|row| row.path.starts_with(&format!("{path}."))) {
                        self.layers.roles.push(row.role());
                    }
                    self.table(&path, inner);
                }
                value => {
                    let (written, at) = (self.text.get(span.clone()).unwrap_or_default().to_owned(), span);
                    let values = Setting::find(&path).map(|setting| setting.unit.read(value, self.home));
                    self.give(&path, values, &written, Some(at), Origin::File(self.name.to_owned(), line));
                }
            }
        }
        self.layers.roles.sort_unstable();
        self.layers.roles.dedup();
    }

    fn environment(&mut self, environment: impl Iterator<Item = (String, String)>) {
        let mut given: Vec<_> = environment.filter(|(name, _)| name.starts_with(ENVIRONMENT)).collect();
        given.sort_unstable();
        for (name, text) in given {
            let path = name[ENVIRONMENT.len()..].to_lowercase().replace("__", ".");
            let values = Setting::find(&path).map(|setting| read_alone(setting, &text, self.home));
            self.give(&path, values, &text, None, Origin::Environment(name.clone()));
        }
    }

    fn give(
        &mut self,
        path: &str,
        values: Option<Result<Vec<String>, String>>,
        written: &str,
        span: Option<Range<usize>>,
        origin: Origin,
    ) {
        let Some(setting) = Setting::find(path) else {
            let sections = SETTINGS.iter().map(|row| row.place().0);
            let near = nearest(path, sections.clone().chain(SETTINGS.iter().map(|row| row.path)));
            let near = near.map_or_else(String::new, |name| match sections.clone().any(|section| section == name) {
                true => format!("; did you mean the section [{name}]?"),
                false => format!("; did you mean {name}?"),
            });
            self.problems.push(format!("{origin}: {path} is no setting{near}"));
            return;
        };
        match values {
            Some(Ok(values)) => {
                self.layers.given.push(Given { setting, written: written.to_owned(), values, span, origin });
            }
            Some(Err(accepted)) => {
                self.problems.push(format!("{origin}: {path} = {written}: accepted is {accepted}"));
            }
            None => {}
        }
    }

    fn line(&self, at: usize) -> usize {
        self.text.get(..at).map_or(1, |before| before.matches('\n').count() + 1)
    }
}

impl Layers {
    /// The value that counts for a setting.
    pub fn effective(&self, setting: &Setting) -> Option<&Given> {
        self.given.iter().rev().find(|given| given.setting.path == setting.path)
    }

    /// Applies what was given for a role; problems name the origin.
    pub fn apply<T>(&self, role: Role, table: &Table<T>, to: &mut T) -> Vec<String> {
        let ours = || self.given.iter().filter(|given| given.setting.role() == role);
        let entries: Vec<Entry> = ours()
            .enumerate()
            .flat_map(|(index, given)| {
                given.setting.keys().zip(&given.values).map(move |(key, value)| Entry {
                    line: index,
                    key: key.to_owned(),
                    value: value.clone(),
                })
            })
            .collect();
        let outcome = table.apply(&entries, to);
        let told = |problem: Problem| {
            let given = ours().nth(problem.line)?;
            let what = in_toml(given, table).unwrap_or(problem.what);
            Some(format!("{}: {} = {}: {what}", given.origin, given.setting.path, given.written))
        };
        outcome.problems.into_iter().filter_map(told).collect()
    }

    /// What the tables of keys say against the values.
    pub fn problems(&self) -> Vec<String> {
        let mut problems = self.apply(Role::Namesrv, &namesrv_conf::TABLE, &mut namesrv::Config::default());
        problems.extend(self.apply(Role::Broker, &broker_conf::TOML, &mut broker_conf::Settings::new(Path::new(""))));
        problems.extend(self.apply(Role::Metrics, &monitor_conf::TABLE, &mut monitor_conf::Settings::default()));
        problems.extend(self.apply(Role::Log, &logging::TABLE, &mut logging::Settings::default()));
        problems.extend(self.apply(Role::Instance, &memory::TABLE, &mut memory::Settings::default()));
        problems
    }
}

/// What is accepted, in the form that a file in TOML has it; `None` if it is the same as in a Java file.
fn in_toml<T>(given: &Given, table: &Table<T>) -> Option<String> {
    let unit = given.setting.unit;
    match (unit, &table.row(given.setting.keys().last()?)?.does) {
        (Unit::Address, Does::Number { range: (least, most), .. }) => {
            Some(format!("accepted is {} with a port from {least} to {most}", unit.accepts()))
        }
        (_, Does::Number { range: (least, most), .. }) => {
            Some(format!("accepted is {} to {}", in_unit_of(unit, *least), in_unit_of(unit, *most)))
        }
        (Unit::List, Does::Text { accepts, .. }) => {
            let each = accepts.split(", several").next().unwrap_or(accepts);
            Some(format!("accepted is {}, with {each} in each", unit.accepts()))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::settings::Unit;
    use crate::store;

    fn read(text: &str, environment: &[(&str, &str)]) -> Result<Layers, Vec<String>> {
        let environment = environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        load("x.toml", text, environment, Some(Path::new("/h")))
    }

    #[test]
    fn the_shipped_files_hold_every_setting_and_exactly_the_defaults() {
        let mut seen = Vec::new();
        for (name, text) in DEFAULTS {
            let layers = read(text, &[]).expect(name);
            let mut namesrv = namesrv::Config::default();
            assert_eq!(layers.apply(Role::Namesrv, &namesrv_conf::TABLE, &mut namesrv), Vec::<String>::new());
            namesrv.kv_config_path = "kvConfig.json".into();
            namesrv.config_store_path = "namesrv.properties".into();
            assert_eq!(namesrv, namesrv::Config::default());
            let mut broker = broker_conf::Settings::new(Path::new("/h/store"));
            assert_eq!(layers.apply(Role::Broker, &broker_conf::TOML, &mut broker), Vec::<String>::new());
            let defaults = broker_conf::Settings::new(Path::new("/h/store"));
            assert_eq!((&broker.broker, &broker.store), (&defaults.broker, &defaults.store));
            let mut metrics = monitor_conf::Settings::default();
            assert_eq!(layers.apply(Role::Metrics, &monitor_conf::TABLE, &mut metrics), Vec::<String>::new());
            let port = if layers.roles.contains(&Role::Broker) {
                monitor_conf::BROKER_PORT
            } else {
                monitor_conf::NAMESRV_PORT
            };
            assert_eq!(metrics.place.address(0), monitor_conf::Place::Default.address(port));
            metrics.place = monitor_conf::Place::Default;
            assert_eq!(metrics, monitor_conf::Settings::default());
            let mut log = logging::Settings::default();
            assert_eq!(layers.apply(Role::Log, &logging::TABLE, &mut log), Vec::<String>::new());
            assert_eq!(log, logging::Settings::default());
            seen.extend(
                SETTINGS.iter().filter(|row| super::super::explain::comment(text, row).is_some()).map(|row| row.path),
            );
        }
        let missing: Vec<_> = SETTINGS.iter().map(|row| row.path).filter(|path| !seen.contains(path)).collect();
        assert!(missing.is_empty(), "in no file of conf: {missing:?}");
    }

    #[test]
    fn the_environment_wins_over_the_file() {
        let text = "[broker]\nname = \"a\"\n[broker.flush]\nmode = \"async\"\n";
        let environment = [
            ("ROCKETMQ__BROKER__FLUSH__MODE", "sync"),
            ("ROCKETMQ_HOME", "/x"),
            ("ROCKETMQ__BROKER__TOPICS__QUEUES", "3"),
        ];
        let layers = read(text, &environment).expect("good");
        assert_eq!(layers.roles, [Role::Broker]);
        let mut settings = broker_conf::Settings::new(Path::new("/s"));
        assert!(layers.apply(Role::Broker, &broker_conf::TOML, &mut settings).is_empty());
        assert_eq!(settings.store.flush_mode, store::FlushMode::Sync);
        assert_eq!((settings.name.as_deref(), settings.broker.default_topic_queue_nums), (Some("a"), 3));
        let mode = layers.effective(Setting::find("broker.flush.mode").expect("a setting")).expect("given");
        assert_eq!(mode.origin.to_string(), "ROCKETMQ__BROKER__FLUSH__MODE");
    }

    #[test]
    fn every_value_of_a_wrong_type_is_named_with_file_line_value_and_what_is_accepted() {
        for row in SETTINGS {
            let bad: &[&str] = match row.unit {
                Unit::Flag => &["\"true\"", "1", "[]", "{}"],
                Unit::Count => &["\"1\"", "1.5", "-1", "true", "1979-05-27"],
                Unit::Bytes => &["\"1GB\"", "\"1\"", "-1", "1.5", "\"GiB\"", "[1]", "\"99999999999TiB\""],
                Unit::Time | Unit::Seconds | Unit::Hours => &["5", "\"5\"", "\"5 hours\"", "\"-5s\"", "\"\"", "true"],
                Unit::Text => &["1", "true", "[\"a\"]"],
                Unit::Path => &["\"\"", "1", "[\"a\"]"],
                Unit::Address => &["\"9876\"", "\"host:1\"", "\"1.2.3.4\"", "\"1.2.3.4:70000\"", "9876"],
                Unit::List => &["\"a:1\"", "[1]", "[\"a;b\"]"],
                Unit::Word(_) => &["\"x\"", "1", "\"\"", "true"],
            };
            let (section, name) = row.place();
            for value in bad {
                let problems = read(&format!("[{section}]\n{name} = {value}\n"), &[]).expect_err(value);
                let expected = format!("x.toml:2: {} = {value}: accepted is ", row.path);
                assert!(problems.len() == 1 && problems[0].starts_with(&expected), "{expected}: {problems:?}");
                assert!(problems[0].ends_with(&row.unit.accepts()), "{problems:?}");
            }
            let variable = format!("{ENVIRONMENT}{}", row.path.to_uppercase().replace('.', "__"));
            let value = match row.unit {
                Unit::Text => continue,
                Unit::Path => "",
                Unit::List => "[1]",
                _ => "no such value",
            };
            let problems = read("", &[(&variable, value)]).expect_err(value);
            let expected = format!("{variable}: {} = {value}: accepted is ", row.path);
            assert!(problems.len() == 1 && problems[0].starts_with(&expected), "{expected}: {problems:?}");
        }
    }

    #[test]
    fn every_key_that_can_be_changed_has_a_setting() {
        let broker = broker_conf::TABLE.rows.iter().flat_map(|rows| rows.iter());
        let broker = broker.filter(|row| !matches!(row.does, Does::Refused { .. })).map(|row| (Role::Broker, row.name));
        let namesrv = namesrv::config::TABLE.rows[0].iter().map(|row| (Role::Namesrv, row.name));
        let missing: Vec<_> = broker
            .chain(namesrv.filter(|(_, key)| !namesrv::config::ALWAYS_BLACK.contains(key)))
            .filter(|(role, key)| Setting::of_key(*role, key).is_none())
            .collect();
        assert!(missing.is_empty(), "{missing:?}");
    }

    #[test]
    fn all_problems_are_told_at_once_with_line_and_nearest_name() {
        let text = "[broker]\nnmae = \"a\"\nregister_interval = \"1s\"\n\n[broker.flush]\nmode = \"SYNC_FLUSH\"\n[brokr]\nx = 1\n";
        let problems = read(text, &[("ROCKETMQ__LOG__LEVL", "x")]).expect_err("bad");
        let expected = [
            "x.toml:2: broker.nmae is no setting; did you mean broker.name?",
            "x.toml:6: broker.flush.mode = \"SYNC_FLUSH\": accepted is \"async\", \"sync\"",
            "x.toml:7: brokr is no setting; did you mean the section [broker]?",
            "ROCKETMQ__LOG__LEVL: log.levl is no setting; did you mean log.level?",
        ];
        for line in expected {
            assert!(problems.iter().any(|problem| problem == line), "{line}: {problems:#?}");
        }
        let problems = read("[broker]\nregister_interval = \"1s\"\n", &[]).expect_err("out of range");
        assert_eq!(problems, ["x.toml:2: broker.register_interval = \"1s\": accepted is \"10s\" to \"1m\""]);
        let problems = read("[broker\nname = 1\n", &[]).expect_err("no TOML");
        assert!(problems[0].starts_with("x.toml:1: `[broker` is no TOML: "), "{problems:?}");
        let told = |text: &str| read(text, &[]).expect_err(text).join("\n");
        assert_eq!(
            told("[Broker]\nname = \"a\"\n"),
            "x.toml:1: Broker is no setting; did you mean the section [broker]?"
        );
        let list = "accepted is a list of texts, such as [\"a\", \"b\"], with HOST:PORT in each";
        assert_eq!(
            told("[broker]\nname_servers = [\"a\"]\n"),
            format!("x.toml:2: broker.name_servers = [\"a\"]: {list}")
        );
        let port = "accepted is \"IP:PORT\" with a port from 3 to 65535";
        assert_eq!(
            told("[broker]\nlisten = \"0.0.0.0:2\"\n"),
            format!("x.toml:2: broker.listen = \"0.0.0.0:2\": {port}")
        );
    }
}
