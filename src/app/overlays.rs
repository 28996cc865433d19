//! Settings that were changed while a server ran, as the next start and `rocketmq config` see them: where the overlay of
//! a role is, what it puts over the file, and what the process lends a running role to change settings by our names.

use std::path::{Path, PathBuf};

use super::cli;
use super::keys::Table;
use super::layers::{self, Given, Layers, Origin};
use super::logging::{self, Log};
use super::properties::Entry;
use super::settings::{Role, Setting, Unit};
use crate::base::changes::{Change, FILE_NAME, Overlay, Surroundings};
use crate::base::clock::Millis;
use crate::base::disk::RealDisk;
use crate::base::local_time::Zone;

/// The setting of the process that can change while it runs.
pub const LOG_LEVEL: &str = "log.level";

/// A change and the overlay that keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// Whose it is.
    pub role: Role,
    /// The overlay.
    pub path: PathBuf,
    /// The change.
    pub change: Change,
}

/// Where a broker's overlay is.
pub fn of_broker(root: &Path) -> PathBuf {
    root.join("config").join(FILE_NAME)
}

/// Where a name server's overlay is.
pub fn of_namesrv(data: &Path) -> PathBuf {
    data.join(FILE_NAME)
}

/// What an overlay keeps; nothing if there is none.
pub fn read(role: Role, path: &Path) -> Result<Vec<Kept>, Vec<String>> {
    let changes = Overlay::read(&RealDisk, path).map_err(|error| vec![error.to_string()])?;
    Ok(changes.into_iter().map(|change| Kept { role, path: path.to_owned(), change }).collect())
}

/// Puts a role's changes over what its file said; problems name the overlay.
pub fn apply<T>(kept: &[Kept], table: &Table<T>, to: &mut T) -> Vec<String> {
    let own: Vec<_> = kept.iter().filter(|kept| kept.change.key != LOG_LEVEL).collect();
    let entry =
        |(line, kept): (usize, &&Kept)| Entry { line, key: kept.change.key.clone(), value: kept.change.value.clone() };
    let entries: Vec<Entry> = own.iter().enumerate().map(entry).collect();
    let mut problems: Vec<_> = own
        .iter()
        .filter(|kept| table.row(&kept.change.key).is_none())
        .map(|kept| told_by(kept, "is no key that is known here"))
        .collect();
    let outcome = table.apply(&entries, to);
    problems.extend(outcome.problems.iter().map(|problem| told_by(own[problem.line], &problem.what)));
    problems
}

fn told_by(kept: &Kept, what: &str) -> String {
    let Kept { path, change, .. } = kept;
    let path = path.display();
    format!("{path}: {}={}: {what}; remove {path} to start without changed settings", change.key, change.value)
}

/// The level of the log that was set last.
pub fn log_level(kept: &[Kept]) -> Option<&Kept> {
    kept.iter().filter(|kept| kept.change.key == LOG_LEVEL).max_by_key(|kept| kept.change.at)
}

/// Reads the overlays of the roles of a file and puts them over its layers.
pub fn over(layers: &mut Layers, data: Option<&Path>, home: Option<&Path>) -> Result<Vec<Kept>, Vec<String>> {
    let mut kept = Vec::new();
    for (role, setting, default) in
        [(Role::Namesrv, "namesrv.data", "namesrv"), (Role::Broker, "broker.store.data", "store")]
    {
        if !layers.roles.contains(&role) {
            continue;
        }
        let given = Setting::find(setting).and_then(|row| layers.effective(row)).map(|given| &given.values[0]);
        let Some(folder) =
            data.map(Path::to_owned).or(given.map(PathBuf::from)).or(home.map(|home| home.join(default)))
        else {
            continue;
        };
        kept.extend(read(role, &if role == Role::Broker { of_broker(&folder) } else { of_namesrv(&folder) })?);
    }
    kept.sort_by_key(|kept| kept.change.at);
    let problems: Vec<_> = kept.iter().filter_map(|kept| put(kept, layers).err()).collect();
    if !problems.is_empty() {
        return Err(problems);
    }
    let problems = layers.problems();
    if problems.is_empty() { Ok(kept) } else { Err(problems) }
}

fn put(kept: &Kept, layers: &mut Layers) -> Result<(), String> {
    let Change { key, value, was, by, at } = &kept.change;
    let setting = match key.as_str() {
        LOG_LEVEL => Setting::find(LOG_LEVEL),
        key => Setting::of_key(kept.role, key),
    };
    let setting = setting.ok_or_else(|| told_by(kept, "is no key that is known here"))?;
    let effective = layers.effective(setting).map(|given| given.values.clone());
    let other = |index: usize| {
        let default = match (index, kept.role) {
            (0, _) => cli::ANY.to_string(),
            (_, Role::Namesrv) => cli::NAMESRV_PORT.to_string(),
            (..) => cli::BROKER_PORT.to_string(),
        };
        effective.as_ref().and_then(|values| values.get(index).cloned()).unwrap_or(default)
    };
    let one = |(index, name): (usize, &str)| {
        if name == key || key == LOG_LEVEL { value.clone() } else { other(index) }
    };
    let values: Vec<String> = setting.keys().enumerate().map(one).collect();
    let written = match setting.unit {
        Unit::Address => setting.unit.write(&address(&values)),
        unit => unit.write(&values[0]),
    };
    let origin =
        Origin::Overlay { path: kept.path.display().to_string(), by: by.clone(), at: utc(*at), was: was.clone() };
    layers.given.push(Given { setting, written: written.unwrap_or_else(|| value.clone()), values, span: None, origin });
    Ok(())
}

fn address(values: &[String]) -> String {
    match values {
        [ip, port] if ip.contains(':') => format!("[{ip}]:{port}"),
        values => values.join(":"),
    }
}

/// A moment for people, without a doubt about the zone.
pub fn utc(at: Millis) -> String {
    let c = Zone::default().civil(at);
    format!("{:04}-{:02}-{:02} {:02}:{:02}:{:02} UTC", c.year, c.month, c.day, c.hour, c.minute, c.second)
}

/// What this process lends a role that runs in it.
#[derive(Debug)]
pub struct InProcess {
    /// The role.
    pub role: Role,
    /// The log.
    pub log: Log,
    /// The home folder.
    pub home: Option<PathBuf>,
    /// Keys that a flag sets at every start, whatever was changed, each with the flag.
    pub flags: Vec<(&'static str, &'static str)>,
}

impl Surroundings for InProcess {
    fn translate(&self, name: &str, value: &str) -> Option<Result<Vec<(String, String)>, String>> {
        let setting = Setting::find(name)?;
        if setting.role() != self.role {
            let what = match setting.role() {
                Role::Namesrv => "it is a setting of name servers",
                Role::Broker => "it is a setting of brokers",
                Role::Log | Role::Metrics | Role::Instance => {
                    "it is a setting of the process: set it in the file that it starts from"
                }
            };
            return Some(Err(what.to_owned()));
        }
        if setting.path == "namesrv.data" {
            return Some(Err("folders may only be set in the file that the name server starts from".to_owned()));
        }
        let values = layers::read_alone(setting, value, self.home.as_deref());
        let pairs = values.map(|values| setting.keys().map(str::to_owned).zip(values).collect());
        Some(pairs.map_err(|accepted| format!("accepted is {accepted}")))
    }

    fn written(&self, name: &str, value: &str) -> Option<String> {
        let setting = Setting::find(name).filter(|setting| setting.unit != Unit::Address)?;
        setting.unit.write(value)
    }

    fn flag_over(&self, key: &str) -> Option<&'static str> {
        self.flags.iter().find(|(set, _)| *set == key).map(|(_, flag)| *flag)
    }

    fn in_force(&self, name: &str) -> Option<String> {
        (name == LOG_LEVEL).then(|| self.log.level())
    }

    fn check(&self, _: &str, value: &str) -> Result<(), String> {
        logging::directives(value).map(|_| ())
    }

    fn apply(&self, _: &str, value: &str) -> Result<(), String> {
        self.log.set_level(value)
    }
}
