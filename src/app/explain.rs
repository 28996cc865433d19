//! What a setting or a key of Java's means: the comment of the shipped files, the tables of keys. Text only.

use super::broker_conf;
use super::keys::{Does, Table, nearest};
use super::layers::DEFAULTS;
use super::overlays::LOG_LEVEL;
use super::settings::{Role, SETTINGS, Setting};
use crate::base::changes::Counts;
use crate::namesrv;

/// The comment above a setting in a shipped file, and the line of the setting itself.
pub fn comment(file: &str, setting: &Setting) -> Option<(String, String)> {
    let (section, name) = setting.place();
    let (mut header, mut inside) = (String::new(), false);
    let mut comment = Vec::new();
    for line in file.lines() {
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            header = name.to_owned();
            inside = header == section;
        }
        let setting_line = line.strip_prefix("# ").unwrap_or(line);
        let set = setting_line.split_once(" = ").map(|(key, _)| key);
        if inside && set == Some(name) {
            return Some((comment.join(" "), line.to_owned()));
        }
        // A setting that is given as an example ends the comment above it too.
        let is_setting = set.is_some_and(|key| SETTINGS.iter().any(|row| row.place() == (header.as_str(), key)));
        match line.strip_prefix("# ") {
            Some(text) if !is_setting => comment.push(text.to_owned()),
            _ => comment.clear(),
        }
    }
    None
}

/// What there is to say of a setting, given by its path, its last name or a key of Java's. `Err` says what was meant perhaps.
pub fn explain(asked: &str) -> Result<String, String> {
    let found: Vec<_> = SETTINGS
        .iter()
        .filter(|row| row.path == asked || row.place().1 == asked || row.keys().any(|key| key == asked))
        .collect();
    let mut told: Vec<String> = found.into_iter().map(setting).collect();
    if told.is_empty() {
        told.extend(java_key("a name server", asked, &namesrv::config::TABLE));
        told.extend(java_key("a broker", asked, &broker_conf::TABLE));
    }
    if told.is_empty() {
        let paths = SETTINGS.iter().map(|row| row.path);
        let near = nearest(asked, paths.chain(broker_conf::TABLE.names()).chain(namesrv::config::TABLE.names()));
        let near = near.map_or_else(String::new, |name| format!("; did you mean {name}?"));
        return Err(format!("{asked} is neither a setting nor a key of Java's{near}"));
    }
    Ok(told.join("\n"))
}

fn setting(row: &'static Setting) -> String {
    let shipped = DEFAULTS.iter().find_map(|(_, text)| comment(text, row));
    let (about, line) = shipped.unwrap_or_default();
    let default = match line.strip_prefix("# ") {
        Some(example) => format!("none; for example: {example}"),
        None => line.split_once(" = ").map_or_else(String::new, |(_, value)| value.to_owned()),
    };
    let mut lines = vec![row.path.to_owned(), format!("  {about}"), format!("  default   {default}")];
    lines.push(format!("  accepted  {}", row.unit.accepts()));
    let older = match row.role() {
        Role::Namesrv => row.keys().flat_map(|key| older(&namesrv::config::TABLE, key)).collect::<Vec<_>>(),
        Role::Broker => row.keys().flat_map(|key| older(&broker_conf::TABLE, key)).collect(),
        Role::Log | Role::Metrics | Role::Instance => Vec::new(),
    };
    if !older.is_empty() {
        lines.push(format!("  in Java   {}", older.join(", ")));
    }
    let variable = row.path.to_uppercase().replace('.', "__");
    lines.push(format!("  variable  {}{variable}", super::layers::ENVIRONMENT));
    lines.push(format!("  changes   {}", changes(row)));
    lines.join("\n")
}

/// How a setting changes.
fn changes(row: &Setting) -> String {
    let counts = |key| match row.role() {
        Role::Namesrv => (namesrv::config::counts(key), "updateNamesrvConfig"),
        Role::Broker => (crate::broker::admin::config::counts(key), "updateBrokerConfig"),
        Role::Log if row.path == LOG_LEVEL => (Counts::AtOnce, "updateBrokerConfig or updateNamesrvConfig"),
        Role::Log | Role::Metrics | Role::Instance => (Counts::AfterRestart, ""),
    };
    match row.keys().map(counts).last() {
        Some((Counts::AtOnce, command)) => {
            format!(
                "while it runs: with rocketmq admin {command} -k {} -v VALUE, or in the file and a reload",
                row.path
            )
        }
        Some((Counts::Never(_), _)) => "in the file, with a restart".to_owned(),
        Some((Counts::AfterRestart, command)) if !command.is_empty() => {
            format!(
                "with a restart: in the file, or kept until then by rocketmq admin {command} -k {} -v VALUE",
                row.path
            )
        }
        _ => "with a restart".to_owned(),
    }
}

/// `docs/config.md`: all settings, section by section.
pub fn page() -> String {
    let mut page = String::from(
        "# Settings\n\nA configuration file is written in TOML and started with `rocketmq run -c FILE`; a section starts a role. \
         The files\n`conf/namesrv.toml` and `conf/broker.toml` hold every setting with its default. An environment variable wins \
         over the file:\n`ROCKETMQ__BROKER__FLUSH__MODE=sync`. A Java `broker.conf` is started as it is with `rocketmq broker -c FILE`.\n\n\
         ```sh\nprintf '[broker.flush]\\nmode = \"sync\"\\n' > broker.toml\nrocketmq config check broker.toml\n\
         rocketmq config show broker.toml\nrocketmq config explain flushDiskType\n```\n\n\
         What is marked `live` changes while the server runs, from afar (`rocketmq admin updateBrokerConfig`, `updateNamesrvConfig`, by these \
         names\nor Java's) or in the file and `rocketmq reload`; what a change from afar becomes is in its answer. Such changes are kept in \
         `overlay.properties`\nbeside the data and win over file and environment; `rocketmq config show` names them, `rocketmq config fold -c FILE` \
         prints the file with them.\n\n\
         This page is made from the tables of the program; a test keeps it true.\n",
    );
    let mut section = "";
    for row in SETTINGS {
        if row.place().0 != section {
            section = row.place().0;
            page.push_str(&format!(
                "\n## [{section}]\n\n| setting | default | live | in Java | meaning |\n|---|---|---|---|---|\n"
            ));
        }
        let (about, line) = DEFAULTS.iter().find_map(|(_, text)| comment(text, row)).unwrap_or_default();
        let default = match line.split_once(" = ") {
            Some((name, value)) if !name.starts_with('#') => format!("`{value}`"),
            _ => "–".to_owned(),
        };
        let java = match row.role() {
            Role::Namesrv => row.keys().flat_map(|key| older(&namesrv::config::TABLE, key)).collect::<Vec<_>>(),
            Role::Broker => row.keys().flat_map(|key| older(&broker_conf::TABLE, key)).collect(),
            Role::Log | Role::Metrics | Role::Instance => Vec::new(),
        };
        let live = if changes(row).starts_with("while it runs") { "yes" } else { "" };
        page.push_str(&format!("| `{}` | {default} | {live} | {} | {about} |\n", row.place().1, java.join(", ")));
    }
    page
}

/// The names that Java has for a key, if it has it.
fn older<T>(table: &Table<T>, key: &str) -> Vec<&'static str> {
    table.row(key).map_or_else(Vec::new, |row| std::iter::once(row.name).chain(row.older.iter().copied()).collect())
}

fn java_key<T>(whose: &str, asked: &str, table: &Table<T>) -> Option<String> {
    if let Some(row) = table.row(asked) {
        return Some(match &row.does {
            Does::Refused { why, .. } => format!("{asked} (a key of Java's, for {whose})\n  refuses the start: {why}"),
            _ => format!("{asked} (a key of Java's, for {whose})\n  works in a .properties file"),
        });
    }
    let (why, _) = table.unused.iter().find(|(_, keys)| keys.split_whitespace().any(|key| key == asked))?;
    Some(format!("{asked} (a key of Java's, for {whose})\n  changes nothing here: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_setting_is_explained_with_a_sentence_and_a_default() {
        for row in SETTINGS {
            let told = setting(row);
            let lines: Vec<_> = told.lines().collect();
            assert!(!lines[1].contains(" = "), "only its own comment: {told}");
            assert!(lines[1].trim().ends_with('.'), "{told}");
            assert!(lines[2].len() > "  default   ".len(), "{told}");
        }
    }

    #[test]
    fn the_page_on_settings_is_fresh() {
        const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/config.md");
        if std::env::var_os("UPDATE_DOCS").is_some() {
            std::fs::write(FILE, page()).expect("docs is writable");
        }
        let written = std::fs::read_to_string(FILE).expect("docs/config.md");
        assert!(written == page(), "docs/config.md is stale: run the tests once with UPDATE_DOCS=1");
    }

    #[test]
    fn keys_are_found_by_any_of_their_names() {
        for asked in ["broker.flush.mode", "flushDiskType"] {
            assert!(explain(asked).expect(asked).contains("\"async\", \"sync\""), "{asked}");
        }
        assert!(explain("aclEnable").expect("refused").contains("refuses the start"));
        assert!(explain("sendMessageThreadPoolNums").expect("unused").contains("changes nothing here"));
        assert!(explain("flushDiskTyp").expect_err("unknown").contains("did you mean flushDiskType?"));
    }
}
