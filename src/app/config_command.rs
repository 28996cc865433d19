//! `rocketmq config`: check, show, explain, migrate, fold, lint. Reads files and prints; changes nothing.

use std::path::{Path, PathBuf};

use super::cli::{self, Config, ConfigFile, Fold, PropertiesOf};
use super::file::{self, is_toml};
use super::keys::{Outcome, Table};
use super::layers::{self, DEFAULTS, Layers};
use super::overlays::{self, Kept};
use super::plan::{self, BrokerPlan, Plan};
use super::properties::Entry;
use super::settings::{Role, SETTINGS};
use super::{broker_conf, explain, fold, lint, migrate, namesrv_conf};
use crate::namesrv;

/// Runs one of the commands; what it finds wrong is its error.
pub fn run(command: &Config) -> Result<(), Vec<String>> {
    match command {
        Config::Check(file) => check(file),
        Config::Show(file) => show(file),
        Config::Explain { key } => {
            explain::explain(key).map(|text| println!("{text}")).map_err(|unknown| vec![unknown])
        }
        Config::Migrate(file) => migrate(file),
        Config::Fold(args) => fold(args),
        Config::Lint { folder } => lint::folder(folder).map(|told| told.iter().for_each(|line| println!("{line}"))),
    }
}

fn check(args: &ConfigFile) -> Result<(), Vec<String>> {
    let name = args.file.display();
    if is_toml(&args.file) {
        let layers = load(&args.file)?;
        let roles: Vec<_> = layers.roles.iter().map(|role| format!("[{}]", section(*role))).collect();
        could_start(&start_of_toml(&args.file)?)?;
        println!("{name}: can be used, with {}", roles.join(", "));
        return Ok(());
    }
    let plan = start_of_java(args)?;
    could_start(&plan)?;
    plan.unused.iter().for_each(|unused| println!("{name}: changes nothing here: {unused}"));
    println!("{name}: can be used");
    Ok(())
}

/// What a start from a file in TOML would do.
fn start_of_toml(file: &Path) -> Result<Plan, Vec<String>> {
    plan::run(&cli::Run { config: file.to_owned(), process: cli::Process::default() })
}

/// What a start from a Java file would do.
fn start_of_java(args: &ConfigFile) -> Result<Plan, Vec<String>> {
    let (config, data) = (Some(args.file.clone()), args.data.clone());
    match args.role {
        PropertiesOf::Broker => plan::broker(&cli::Broker { config, data, ..cli::Broker::default() }),
        PropertiesOf::Namesrv => plan::namesrv(&cli::Namesrv { config, data, ..cli::Namesrv::default() }),
    }
}

/// What the settings contradict together refuses a start as well; what it would warn of is printed.
fn could_start(plan: &Plan) -> Result<(), Vec<String>> {
    let problems = plan.check();
    if !problems.is_empty() {
        return Err(problems);
    }
    plan.warnings.iter().for_each(|warning| println!("{warning}"));
    Ok(())
}

fn show(args: &ConfigFile) -> Result<(), Vec<String>> {
    if !is_toml(&args.file) {
        return show_properties(args);
    }
    let (mut layers, home) = (load(&args.file)?, home());
    overlays::over(&mut layers, args.data.as_deref(), home.as_deref())?;
    let decided = start_of_toml(&args.file).map(|plan| decided(&plan)).unwrap_or_default();
    for row in SETTINGS.iter().filter(|row| layers.roles.contains(&row.role()) || !row.role().starts()) {
        let shipped = DEFAULTS.iter().find_map(|(_, text)| explain::comment(text, row));
        match (layers.effective(row), shipped.as_ref().and_then(|(_, line)| line.split_once(" = "))) {
            (Some(given), _) => println!("{} = {}  # {}", row.path, given.written, given.origin),
            (None, Some((name, value))) if !name.starts_with('#') => println!("{} = {value}  # default", row.path),
            (None, _) => {
                let found =
                    decided.iter().find(|found| found.role == row.role() && row.keys().any(|key| key == found.key));
                match found.and_then(|found| Some((row.unit.write(&found.value)?, &found.why))) {
                    Some((written, why)) => println!("{} = {written}  # {why}", row.path),
                    None => println!("# {} is not given", row.path),
                }
            }
        }
    }
    Ok(())
}

/// A value that only the machine, its environment or the rest of the settings decide when the file does not.
struct Decided {
    role: Role,
    key: &'static str,
    value: String,
    why: String,
}

/// What a start would take where nothing is given.
fn decided(plan: &Plan) -> Vec<Decided> {
    let mut found = Vec::new();
    let mut say = |role, key, value: String, why: &str| {
        if !value.is_empty() {
            found.push(Decided { role, key, value, why: why.to_owned() });
        }
    };
    if let Some(plan) = &plan.namesrv {
        say(Role::Namesrv, "data", plan.data.display().to_string(), "below the home folder");
    }
    if let Some(BrokerPlan { config, store, advertised, .. }) = &plan.broker {
        say(Role::Broker, "brokerName", config.broker_name.clone(), "the name of this machine");
        say(Role::Broker, "brokerIP1", advertised.address.to_string(), &advertised.reason);
        say(Role::Broker, "namesrvAddr", config.namesrv_addrs.join(";"), plan::NAMESRV_ADDR);
        say(Role::Broker, "storePathRootDir", store.root.display().to_string(), "below the home folder");
        say(Role::Broker, "storePathCommitLog", store.commit_log_dir().display().to_string(), "below storePathRootDir");
    }
    found
}

/// A Java file: every key that does something with its value and where it is from, then those that do nothing.
fn show_properties(args: &ConfigFile) -> Result<(), Vec<String>> {
    let (entries, outcome) = read(args)?;
    let environment = layers::environment(home().as_deref())?;
    let (role, shown, kept) = effective(args, &entries, &environment)?;
    let decided = decided(&start_of_java(args)?);
    for (key, value) in shown {
        let of_file = entries.iter().rev().find(|entry| same_key(args.role, &entry.key) == key);
        let of_environment = environment
            .given
            .iter()
            .rev()
            .find(|given| given.setting.role() == role && given.setting.keys().any(|name| name == key));
        let changed = kept.iter().find(|kept| kept.change.key == key);
        let origin = match (changed, of_environment, of_file) {
            (Some(Kept { path, change, .. }), ..) => {
                let (by, at, was) = (&change.by, overlays::utc(change.at), &change.was);
                format!("{}: changed by {by} on {at}, was {was}", path.display())
            }
            (_, Some(given), _) => given.origin.to_string(),
            (.., Some(entry)) => format!("{}:{}", args.file.display(), entry.line),
            _ => match decided.iter().find(|found| found.role == role && found.key == key) {
                Some(found) => {
                    println!("{key} = {}  # {}", found.value, found.why);
                    continue;
                }
                None if value.is_empty() => {
                    println!("# {key} is not given");
                    continue;
                }
                None => "default".to_owned(),
            },
        };
        println!("{key} = {value}  # {origin}");
    }
    for Kept { path, change, .. } in kept.iter().filter(|kept| kept.change.key == overlays::LOG_LEVEL) {
        println!("{} = {}  # {}: changed by {}", change.key, change.value, path.display(), change.by);
    }
    for unused in &outcome.unused {
        println!("# changes nothing here: {unused}");
    }
    outcome.warnings.iter().for_each(|warning| println!("# {}:{warning}", args.file.display()));
    Ok(())
}

/// A key's present name.
fn same_key(role: PropertiesOf, key: &str) -> &str {
    let row = match role {
        PropertiesOf::Broker => broker_conf::TABLE.row(key).map(|row| row.name),
        PropertiesOf::Namesrv => namesrv::config::TABLE.row(key).map(|row| row.name),
    };
    row.unwrap_or(key)
}

type Effective = (Role, Vec<(&'static str, String)>, Vec<Kept>);

/// The values in force if a server started from this file now.
fn effective(args: &ConfigFile, entries: &[Entry], environment: &Layers) -> Result<Effective, Vec<String>> {
    let home = home().unwrap_or_default();
    match args.role {
        PropertiesOf::Broker => {
            let mut settings = broker_conf::Settings::new(&home.join("store"));
            broker_conf::TABLE.apply(entries, &mut settings);
            environment.apply(Role::Broker, &broker_conf::TOML, &mut settings);
            let root = args.data.clone().or_else(|| settings.root.clone()).unwrap_or_else(|| home.join("store"));
            settings.store.root.clone_from(&root);
            let kept = overlays::read(Role::Broker, &overlays::of_broker(&root))?;
            let problems = overlays::apply(&kept, &broker_conf::TABLE, &mut settings);
            let shown = crate::broker::admin::config::shown(&settings);
            if problems.is_empty() { Ok((Role::Broker, shown, kept)) } else { Err(problems) }
        }
        PropertiesOf::Namesrv => {
            let mut config = namesrv::Config::default();
            let folder = args.data.clone().unwrap_or_else(|| home.join("namesrv"));
            namesrv_conf::keep_files_in(&mut config, &folder);
            namesrv::config::TABLE.apply(entries, &mut config);
            environment.apply(Role::Namesrv, &namesrv_conf::TABLE, &mut config);
            let kept = overlays::read(Role::Namesrv, &config.overlay_path())?;
            let problems = overlays::apply(&kept, &namesrv::config::TABLE, &mut config);
            if problems.is_empty() { Ok((Role::Namesrv, config.shown(), kept)) } else { Err(problems) }
        }
    }
}

fn fold(args: &Fold) -> Result<(), Vec<String>> {
    let name = args.file.display().to_string();
    if is_toml(&args.file) {
        let text = file::text(&args.file).map_err(|problem| vec![problem])?;
        let mut layers = layers::load(&name, &text, std::iter::empty(), home().as_deref())?;
        overlays::over(&mut layers, args.data.as_deref(), home().as_deref())?;
        print!("{}", fold::toml(&name, &text, &layers, home().as_deref()));
        return Ok(());
    }
    let file = ConfigFile { file: args.file.clone(), role: args.role, data: args.data.clone() };
    let (entries, _) = read(&file)?;
    let (_, _, kept) = effective(&file, &entries, &Layers::default())?;
    let (entries, notes, level) = fold::entries(entries, &kept);
    let migrated = to_toml(args.role, &name, &entries);
    print!("{}", migrated.text);
    if let Some(level) = level {
        println!("\n[log]\nlevel = \"{level}\"");
    }
    if !notes.is_empty() {
        println!("\n# Changed while it ran:\n{}", notes.join("\n"));
    }
    if migrated.problems.is_empty() { Ok(()) } else { Err(migrated.problems) }
}

fn home() -> Option<PathBuf> {
    std::env::var_os("HOME").filter(|home| !home.is_empty()).map(PathBuf::from)
}

fn to_toml(role: PropertiesOf, name: &str, entries: &[Entry]) -> migrate::Migrated {
    match role {
        PropertiesOf::Broker => migrate::to_toml(name, entries, Role::Broker, &broker_conf::TABLE),
        PropertiesOf::Namesrv => migrate::to_toml(name, entries, Role::Namesrv, &namesrv::config::TABLE),
    }
}

fn migrate(args: &ConfigFile) -> Result<(), Vec<String>> {
    let name = args.file.display().to_string();
    let entries = file::entries(&args.file).map_err(|problem| vec![problem])?;
    let migrated = to_toml(args.role, &name, &entries);
    print!("{}", migrated.text);
    if migrated.problems.is_empty() { Ok(()) } else { Err(migrated.problems) }
}

fn load(file: &Path) -> Result<Layers, Vec<String>> {
    let name = file.display().to_string();
    let text = file::text(file).map_err(|problem| vec![problem])?;
    layers::load(&name, &text, layers::variables(), home().as_deref())
}

fn read(args: &ConfigFile) -> Result<(Vec<Entry>, Outcome), Vec<String>> {
    let entries = file::entries(&args.file).map_err(|problem| vec![problem])?;
    let outcome = match args.role {
        PropertiesOf::Broker => applied(&entries, &broker_conf::TABLE, broker_conf::Settings::new(Path::new(""))),
        PropertiesOf::Namesrv => applied(&entries, &namesrv::config::TABLE, namesrv::Config::default()),
    };
    if outcome.problems.is_empty() {
        return Ok((entries, outcome));
    }
    Err(outcome.problems.iter().map(|problem| format!("{}:{problem}", args.file.display())).collect())
}

fn applied<T>(entries: &[Entry], table: &Table<T>, mut settings: T) -> Outcome {
    table.apply(entries, &mut settings)
}

fn section(role: Role) -> &'static str {
    match role {
        Role::Namesrv => "namesrv",
        Role::Broker => "broker",
        Role::Metrics => "metrics",
        Role::Log => "log",
        Role::Instance => "instance",
    }
}
