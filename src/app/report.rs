//! The start report: what listens where, which address clients are told and why, where data and logs are, and what to
//! do next. Goes to stdout when everything is up; a closed stdout is no reason to stop.

use std::fmt;
use std::io::{self, Write};

/// What the headline of a report says; whoever waits for a start waits for it.
pub const READY: &str = " is ready";

/// A report: a headline and rows of a name with one or more lines.
#[derive(Debug)]
pub struct Report {
    headline: String,
    java: Vec<String>,
    rows: Vec<(&'static str, Vec<String>)>,
    hints: Vec<String>,
}

impl Report {
    /// A report about `what`, which is now ready.
    pub fn ready(what: &str, took_ms: u128) -> Report {
        let headline = format!("rocketmq {} {what}{READY} (started in {took_ms} ms)", super::version());
        Report { headline, java: Vec::new(), rows: Vec::new(), hints: Vec::new() }
    }

    /// Adds a line that Java's server prints when it has started, in its words: scripts wait for it.
    pub fn java(&mut self, line: String) {
        tracing::info!("{line}");
        self.java.push(line);
    }

    /// Adds a row; further lines of it are indented.
    pub fn row(&mut self, name: &'static str, lines: Vec<String>) {
        self.rows.push((name, lines));
    }

    /// Adds a line to what comes at the end: what to do next.
    pub fn hint(&mut self, line: impl Into<String>) {
        self.hints.push(line.into());
    }

    /// Prints it.
    pub fn print(&self) {
        let told = write!(io::stdout().lock(), "{self}").and_then(|()| io::stdout().flush());
        if let Err(error) = told {
            tracing::debug!("the start report could not be printed: {error}");
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.java.iter().try_for_each(|line| writeln!(f, "{line}"))?;
        writeln!(f, "{}\n", self.headline)?;
        let width = self.rows.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
        for (name, lines) in &self.rows {
            for (index, line) in lines.iter().enumerate() {
                writeln!(f, "  {:width$}  {line}", if index == 0 { name } else { "" })?;
            }
        }
        if !self.hints.is_empty() {
            writeln!(f)?;
        }
        self.hints.iter().try_for_each(|line| writeln!(f, "  {line}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_line_up_and_hints_stand_at_the_end() {
        let mut report = Report::ready("dev", 12);
        report.row("name server", vec!["0.0.0.0:9876".into()]);
        report.row("data", vec!["a".into(), "b".into()]);
        report.hint("Ctrl-C stops.");
        let version = env!("CARGO_PKG_VERSION");
        let expected = format!(
            "rocketmq {version} dev is ready (started in 12 ms)\n\n  name server  0.0.0.0:9876\n  data         a\n               b\n\n  \
             Ctrl-C stops.\n"
        );
        assert_eq!(report.to_string(), expected);
    }
}
