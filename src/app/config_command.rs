//! `rocketmq config`: check, show, explain, migrate, lint. Reads files and prints; changes nothing.

use std::fs;
use std::path::Path;

use super::cli::{Config, ConfigFile, PropertiesOf};
use super::keys::{Outcome, Table};
use super::layers::{self, DEFAULTS, Layers};
use super::properties::{self, Entry};
use super::settings::{Role, SETTINGS};
use super::{broker_conf, explain, lint, migrate};
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
        Config::Lint { folder } => lint::folder(folder).map(|told| told.iter().for_each(|line| println!("{line}"))),
    }
}

/// Whether a file is written in TOML; everything else is Java's format.
pub fn is_toml(file: &Path) -> bool {
    file.extension().is_some_and(|kind| kind == "toml")
}

fn check(args: &ConfigFile) -> Result<(), Vec<String>> {
    let name = args.file.display();
    if is_toml(&args.file) {
        let layers = load(&args.file)?;
        let roles: Vec<_> = layers.roles.iter().map(|role| format!("[{}]", section(*role))).collect();
        println!("{name}: can be used, with {}", roles.join(", "));
        return Ok(());
    }
    let (_, outcome) = read(args)?;
    outcome.warnings.iter().for_each(|warning| println!("{name}:{warning}"));
    outcome.unused.iter().for_each(|unused| println!("{name}: changes nothing here: {unused}"));
    println!("{name}: can be used");
    Ok(())
}

fn show(args: &ConfigFile) -> Result<(), Vec<String>> {
    if !is_toml(&args.file) {
        let (entries, outcome) = read(args)?;
        for entry in entries {
            let unused = outcome.unused.iter().any(|told| told.split(' ').next() == Some(&entry.key));
            let note = if unused { ", changes nothing here" } else { "" };
            println!("{} = {}  # {}:{}{note}", entry.key, entry.value, args.file.display(), entry.line);
        }
        return Ok(());
    }
    let layers = load(&args.file)?;
    for row in SETTINGS.iter().filter(|row| layers.roles.contains(&row.role()) || row.role() == Role::Log) {
        let shipped = DEFAULTS.iter().find_map(|(_, text)| explain::comment(text, row));
        match (layers.effective(row), shipped.as_ref().and_then(|(_, line)| line.split_once(" = "))) {
            (Some(given), _) => println!("{} = {}  # {}", row.path, given.written, given.origin),
            (None, Some((name, value))) if !name.starts_with('#') => println!("{} = {value}  # default", row.path),
            (None, _) => println!("# {} is not given", row.path),
        }
    }
    Ok(())
}

fn migrate(args: &ConfigFile) -> Result<(), Vec<String>> {
    let name = args.file.display().to_string();
    let entries = entries(&args.file)?;
    let migrated = match args.role {
        PropertiesOf::Broker => migrate::to_toml(&name, &entries, Role::Broker, &broker_conf::TABLE),
        PropertiesOf::Namesrv => migrate::to_toml(&name, &entries, Role::Namesrv, &namesrv::config::TABLE),
    };
    print!("{}", migrated.text);
    if migrated.problems.is_empty() { Ok(()) } else { Err(migrated.problems) }
}

fn load(file: &Path) -> Result<Layers, Vec<String>> {
    let name = file.display().to_string();
    let text = fs::read_to_string(file).map_err(|error| vec![format!("{name}: {error}")])?;
    let home = std::env::var_os("HOME").map(std::path::PathBuf::from);
    layers::load(&name, &text, std::env::vars(), home.as_deref())
}

fn entries(file: &Path) -> Result<Vec<Entry>, Vec<String>> {
    let name = file.display();
    let bytes = fs::read(file).map_err(|error| vec![format!("{name}: {error}")])?;
    properties::parse(&bytes).map_err(|bad| vec![format!("{name}: {bad}")])
}

fn read(args: &ConfigFile) -> Result<(Vec<Entry>, Outcome), Vec<String>> {
    let entries = entries(&args.file)?;
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
        Role::Log => "log",
    }
}
