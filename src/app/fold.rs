//! `rocketmq config fold`: a file and the changes of its overlays as one file in TOML. A TOML file keeps its text and its
//! comments, and each change stands in its place with a comment on who made it; Java's files come out migrated.

use std::path::Path;

use super::layers::{self, Layers, Origin};
use super::properties::Entry;
use super::settings::Setting;
use crate::base::changes::{Change, printable};

use super::overlays::{Kept, LOG_LEVEL, utc};

/// A change of the text.
struct Edit {
    at: std::ops::Range<usize>,
    /// Of several at one place: whole lines stand before the comment of the line that follows.
    rank: u8,
    text: String,
}

/// The text of a file with the overlay's values in their places. `layers` are those of the file with the overlay over them.
pub fn toml(name: &str, text: &str, layers: &Layers, home: Option<&Path>) -> String {
    let mut edits = Vec::new();
    let mut new: Vec<(&'static Setting, String, String)> = Vec::new();
    for given in &layers.given {
        let Origin::Overlay { by, at, was, .. } = &given.origin else { continue };
        if layers.effective(given.setting).is_none_or(|effective| effective.origin != given.origin) {
            continue; // Changed again later.
        }
        let comment = format!("# Changed by {by} on {at}, was {}.", printable(was));
        let of_file =
            layers.given.iter().find(|other| other.setting.path == given.setting.path && other.span.is_some());
        match of_file.and_then(|other| other.span.clone()) {
            Some(span) => {
                let line = text[..span.start].rfind('\n').map_or(0, |at| at + 1);
                edits.push(Edit { at: line..line, rank: 1, text: format!("{comment}\n") });
                edits.push(Edit { at: span, rank: 2, text: given.written.clone() });
            }
            None => new.push((given.setting, comment, given.written.clone())),
        }
    }
    for (setting, comment, written) in new {
        let (section, key) = setting.place();
        let line = format!("{comment}\n{key} = {written}\n");
        match header(text, section) {
            Some(at) => edits.push(Edit { at: at..at, rank: 0, text: line }),
            None => match edits.iter_mut().find(|edit| edit.text.starts_with(&format!("\n[{section}]\n"))) {
                Some(edit) => edit.text.push_str(&line),
                None => {
                    edits.push(Edit { at: text.len()..text.len(), rank: 3, text: format!("\n[{section}]\n{line}") })
                }
            },
        }
    }
    edits.sort_by_key(|edit| (edit.at.start, edit.rank));
    let mut folded = String::new();
    let mut done = 0;
    for Edit { at, text: new, .. } in edits {
        folded.push_str(&text[done..at.start]);
        if at.start == text.len() && !folded.is_empty() && !folded.ends_with('\n') {
            folded.push('\n');
        }
        folded.push_str(&new);
        done = at.end;
    }
    folded.push_str(&text[done..]);
    // Tables can be written in ways that no insertion fits; what is printed has to mean what it says.
    let read = layers::load(name, &folded, std::iter::empty(), home);
    let same = |read: &Layers| {
        let changed = layers.given.iter().filter(|given| matches!(given.origin, Origin::Overlay { .. }));
        changed.into_iter().all(|given| {
            let values = |layers: &Layers| layers.effective(given.setting).map(|given| given.values.clone());
            values(read) == values(layers)
        })
    };
    match read {
        Ok(read) if same(&read) => folded,
        _ => listed(name, layers),
    }
}

/// The place behind the line of a section's header.
fn header(text: &str, section: &str) -> Option<usize> {
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        at += line.len();
        let bare = line.split('#').next().unwrap_or_default().trim();
        if bare.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).is_some_and(|name| name.trim() == section) {
            return line.ends_with('\n').then_some(at);
        }
    }
    None
}

/// All that is given, section by section, for files whose form leaves no place for a change.
fn listed(name: &str, layers: &Layers) -> String {
    let mut text = format!("# From {name} and the settings that were changed while it ran.\n");
    let mut section = "";
    for setting in super::settings::SETTINGS {
        let given = layers
            .given
            .iter()
            .rev()
            .find(|given| given.setting.path == setting.path && !matches!(given.origin, Origin::Environment(_)));
        let Some(given) = given else { continue };
        if setting.place().0 != section {
            section = setting.place().0;
            text.push_str(&format!("\n[{section}]\n"));
        }
        text.push_str(&format!("{} = {}  # {}\n", setting.place().1, given.written, given.origin));
    }
    text
}

/// The entries of a Java file with those of the overlay in their places, the level of the log apart.
pub fn entries(mut entries: Vec<Entry>, kept: &[Kept]) -> (Vec<Entry>, Vec<String>, Option<String>) {
    let mut notes = Vec::new();
    let mut level = None;
    for Kept { change: Change { key, value, was, by, at }, .. } in kept {
        if key == LOG_LEVEL {
            level = Some(value.clone());
        } else {
            entries.retain(|entry| entry.key != *key);
            // No line of the file says so.
            entries.push(Entry { line: 0, key: key.clone(), value: value.clone() });
        }
        let (value, was) = (printable(value), printable(was));
        notes.push(format!("# {key}={value}: changed by {by} on {}, was {was}", utc(*at)));
    }
    (entries, notes, level)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::overlays;

    fn folded(text: &str, changes: &[(&str, &str)]) -> String {
        let folder = std::env::temp_dir().join(format!("rocketmq-fold-{}-{}", std::process::id(), text.len()));
        let overlay = crate::base::changes::Overlay::open(
            std::sync::Arc::new(crate::base::disk::RealDisk),
            overlays::of_broker(&folder),
        )
        .expect("none there");
        let change = |(key, value): &(&str, &str)| Change {
            key: (*key).to_owned(),
            value: (*value).to_owned(),
            was: "w".to_owned(),
            by: "1.2.3.4:5".to_owned(),
            at: 0,
        };
        overlay.keep(&changes.iter().map(change).collect::<Vec<_>>()).expect("writable");
        let mut layers = layers::load("x.toml", text, std::iter::empty(), Some(Path::new("/h"))).expect(text);
        overlays::over(&mut layers, Some(&folder), None).expect("good");
        std::fs::remove_dir_all(&folder).expect("ours");
        toml("x.toml", text, &layers, Some(Path::new("/h")))
    }

    const WHO: &str = "# Changed by 1.2.3.4:5 on 1970-01-01 00:00:00 UTC, was w.";

    #[test]
    fn changes_stand_in_their_places_and_everything_else_stays() {
        let text = "# mine\n[broker]  # the broker\nname = \"a\" # its name\n[broker.send]\nmax_message_size = \"4MiB\"  # not more\n";
        let changes = [
            ("maxMessageSize", "1024"),
            ("traceOn", "false"),
            ("listenPort", "20911"),
            ("log.level", "debug"),
            ("flushDiskType", "SYNC_FLUSH"),
            ("flushIntervalCommitLog", "20"),
        ];
        let expected = format!(
            "# mine\n[broker]  # the broker\n{WHO}\nlisten = \"0.0.0.0:20911\"\nname = \"a\" # its name\n[broker.send]\n\
             {WHO}\ntrace_on = false\n{WHO}\nmax_message_size = \"1KiB\"  # not more\n\n[log]\n{WHO}\nlevel = \"debug\"\n\n\
             [broker.flush]\n{WHO}\nmode = \"sync\"\n{WHO}\nlog_interval = \"20ms\"\n"
        );
        assert_eq!(folded(text, &changes), expected);
        assert_eq!(folded(text, &[]), text);
        assert_eq!(
            folded("[broker]", &[("traceOn", "false")]),
            format!("[broker]\n\n[broker.send]\n{WHO}\ntrace_on = false\n")
        );
    }

    #[test]
    fn a_file_of_another_form_comes_out_in_sections() {
        for text in [
            "broker = { name = \"a\", send.max_message_size = \"1MiB\" }\n",
            "broker.name = \"a\"\nbroker.send.trace_on = true\n",
        ] {
            let folded = folded(text, &[("traceOn", "false"), ("regionId", "r")]);
            let read = layers::load("x.toml", &folded, std::iter::empty(), None).expect(&folded);
            let value = |path| read.effective(Setting::find(path).expect(path)).map(|given| given.values[0].clone());
            assert_eq!(value("broker.name").as_deref(), Some("a"), "{folded}");
            assert_eq!(value("broker.send.trace_on").as_deref(), Some("false"), "{folded}");
            assert_eq!(value("broker.region").as_deref(), Some("r"), "{folded}");
        }
    }
}
