//! Where effective settings come from: the embedded defaults, a file over them, the environment over both. Each keeps its
//! origin, so that every message and `config show` can name it. Reads a file; starts nothing.

use std::fmt;
use std::path::Path;

use toml::de::{DeTable, DeValue};

use super::broker_conf;
use super::keys::{Does, Problem, Table, nearest};
use super::properties::Entry;
use super::settings::{Role, SETTINGS, Setting, in_unit_of};
use super::{logging, namesrv_conf};
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
    let mut reader = Reader { name, text, home, layers: Layers::default(), problems: Vec::new() };
    reader.file();
    reader.environment(environment);
    let Reader { layers, mut problems, .. } = reader;
    if problems.is_empty() {
        problems = layers.problems();
    }
    if problems.is_empty() { Ok(layers) } else { Err(problems) }
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
            self.problems.push(format!("{}:{line}: {}", self.name, error.message().replace('\n', ", ")));
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
                    let written = self.text.get(span).unwrap_or_default().to_owned();
                    self.give(&path, value, &written, Origin::File(self.name.to_owned(), line));
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
            // A value that is no TOML is a text without its quotes.
            let bare = DeValue::String(text.as_str().into());
            let parsed = DeValue::parse(&text).ok();
            let plain = Setting::find(&path).is_none_or(|row| row.unit.read(&bare, self.home).is_ok());
            let value = parsed.as_ref().map(|value| value.get_ref()).filter(|_| !plain).unwrap_or(&bare);
            self.give(&path, value, &text, Origin::Environment(name.clone()));
        }
    }

    fn give(&mut self, path: &str, value: &DeValue<'_>, written: &str, origin: Origin) {
        let Some(setting) = Setting::find(path) else {
            let near = nearest(path, SETTINGS.iter().map(|row| row.path));
            let near = near.map_or_else(String::new, |name| format!("; did you mean {name}?"));
            self.problems.push(format!("{origin}: {path} is no setting{near}"));
            return;
        };
        match setting.unit.read(value, self.home) {
            Ok(values) => {
                self.layers.given.push(Given { setting, written: written.to_owned(), values, origin });
            }
            Err(accepted) => {
                self.problems.push(format!("{origin}: {path} = {written}: accepted is {accepted}"));
            }
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
            let what = in_range(given, table).unwrap_or(problem.what);
            Some(format!("{}: {} = {}: {what}", given.origin, given.setting.path, given.written))
        };
        outcome.problems.into_iter().filter_map(told).collect()
    }

    fn problems(&self) -> Vec<String> {
        let mut problems = self.apply(Role::Namesrv, &namesrv_conf::TABLE, &mut namesrv::Config::default());
        problems.extend(self.apply(Role::Broker, &broker_conf::TOML, &mut broker_conf::Settings::new(Path::new(""))));
        problems.extend(self.apply(Role::Log, &logging::TABLE, &mut logging::Settings::default()));
        problems
    }
}

/// What a number may be, in the unit of its setting.
fn in_range<T>(given: &Given, table: &Table<T>) -> Option<String> {
    let key = given.setting.keys().last()?;
    let Does::Number { range: (least, most), .. } = table.row(key)?.does else { return None };
    let unit = given.setting.unit;
    Some(format!("accepted is {} to {}", in_unit_of(unit, least), in_unit_of(unit, most)))
}

#[cfg(test)]
mod tests {
    use super::*;
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
    fn all_problems_are_told_at_once_with_line_and_nearest_name() {
        let text = "[broker]\nnmae = \"a\"\nregister_interval = \"1s\"\n\n[broker.flush]\nmode = \"SYNC_FLUSH\"\n[brokr]\nx = 1\n";
        let problems = read(text, &[("ROCKETMQ__LOG__LEVL", "x")]).expect_err("bad");
        let expected = [
            "x.toml:2: broker.nmae is no setting; did you mean broker.name?",
            "x.toml:6: broker.flush.mode = \"SYNC_FLUSH\": accepted is \"async\", \"sync\"",
            "x.toml:7: brokr is no setting",
            "ROCKETMQ__LOG__LEVL: log.levl is no setting; did you mean log.level?",
        ];
        for line in expected {
            assert!(problems.iter().any(|problem| problem == line), "{line}: {problems:#?}");
        }
        let problems = read("[broker]\nregister_interval = \"1s\"\n", &[]).expect_err("out of range");
        assert_eq!(problems, ["x.toml:2: broker.register_interval = \"1s\": accepted is \"10s\" to \"1m\""]);
        let problems = read("[broker\nname = 1\n", &[]).expect_err("no TOML");
        assert!(problems[0].starts_with("x.toml:1: "), "{problems:?}");
    }
}
