//! What a command prints: Java's text, with Java's column formats, or JSON: one array with an object per row. Knows
//! formats, not what is printed.

use std::fmt::Display;
use std::io::{self, Write};

use serde_json::Value as Json;

use super::Failure;

/// A cell of a row: its name in JSON, and its value.
pub type Cell<'a> = (&'a str, Json);

/// Where a command prints to.
pub struct Output<'a> {
    sink: &'a mut dyn Write,
    json: bool,
    records: usize,
}

impl<'a> Output<'a> {
    /// Prints to `sink`, as JSON or as text.
    pub fn new(sink: &'a mut dyn Write, json: bool) -> Self {
        Output { sink, json, records: 0 }
    }

    /// Whether JSON was asked for: what is only for people need not be made.
    pub fn is_json(&self) -> bool {
        self.json
    }

    /// Text for people, as it is.
    pub fn text(&mut self, text: impl Display) -> Result<(), Failure> {
        if !self.json {
            write!(self.sink, "{text}")?;
        }
        Ok(())
    }

    /// A line for people.
    pub fn line(&mut self, text: impl Display) -> Result<(), Failure> {
        self.text(format_args!("{text}\n"))
    }

    /// The line of column titles.
    pub fn head(&mut self, format: &str, titles: &[&str]) -> Result<(), Failure> {
        let cells: Vec<Json> = titles.iter().map(|title| Json::from(*title)).collect();
        self.line(printf(format, cells.iter()))
    }

    /// A row: formatted for people, an object in JSON.
    pub fn row(&mut self, format: &str, cells: &[Cell<'_>]) -> Result<(), Failure> {
        if self.json {
            return self.record(cells.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect());
        }
        self.line(printf(format, cells.iter().map(|(_, value)| value)))
    }

    /// An object that people are told in another way.
    pub fn record(&mut self, record: Json) -> Result<(), Failure> {
        if self.json {
            write!(self.sink, "{}{record}", if self.records == 0 { "[" } else { ",\n" })?;
            self.records += 1;
        }
        Ok(())
    }

    /// Shows what was printed so far.
    pub fn flush(&mut self) -> Result<(), Failure> {
        Ok(self.sink.flush()?)
    }

    /// Ends the array, and shows everything.
    pub fn finish(&mut self) -> Result<(), Failure> {
        if self.json {
            writeln!(self.sink, "{}]", if self.records == 0 { "[" } else { "" })?;
        }
        self.flush()
    }
}

/// Java's `printf` for what its tools need: `%[-][0][width][.precision]` and a letter. The precision cuts text, and
/// rounds numbers.
pub fn printf<'a>(format: &str, mut cells: impl Iterator<Item = &'a Json>) -> String {
    let mut out = String::new();
    let mut parts = format.split('%');
    out.push_str(parts.next().unwrap_or_default());
    for part in parts {
        let end = part.find(|letter: char| letter.is_ascii_alphabetic()).unwrap_or(part.len());
        let (spec, rest) = part.split_at(end);
        let (width, precision) = spec.split_once('.').unwrap_or((spec, ""));
        let text = cells.next().map(|cell| show(cell, precision.parse().ok())).unwrap_or_default();
        let pad = width.trim_start_matches('-').parse::<usize>().unwrap_or(0).saturating_sub(text.chars().count());
        let fill = if width.starts_with('0') { "0" } else { " " };
        if width.starts_with('-') {
            out = out + &text + &" ".repeat(pad);
        } else {
            out = out + &fill.repeat(pad) + &text;
        }
        out.push_str(rest.get(1..).unwrap_or_default());
    }
    out
}

fn show(cell: &Json, precision: Option<usize>) -> String {
    match (cell, precision) {
        (Json::String(text), Some(most)) => text.chars().take(most).collect(),
        (Json::String(text), None) => text.clone(),
        (Json::Number(number), Some(digits)) => format!("{:.digits$}", number.as_f64().unwrap_or(0.0)),
        // Java writes a fraction to every double.
        (Json::Number(number), None) if number.is_f64() => format!("{:?}", number.as_f64().unwrap_or(0.0)),
        (Json::Null, _) => String::new(),
        (other, _) => other.to_string(),
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Failure::Output(error)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn formats_are_javas() {
        let show = |format: &str, cells: &[Json]| printf(format, cells.iter());
        assert_eq!(
            show("%-5s|%5s|%s|%4d|%04d", &[json!("a"), json!("b"), json!("c"), json!(7), json!(7)]),
            "a    |    b|c|   7|0007"
        );
        assert_eq!(show("%-3.3s|%.2f|%11.2f", &[json!("abcd"), json!(1.005), json!(2)]), "abc|1.00|       2.00");
        assert_eq!(show("%s %s %s", &[json!(0.0), json!(true), Json::Null]), "0.0 true ");
        assert_eq!(show("100 %s", &[json!("%d")]), "100 %d");
        assert_eq!(show("%-4s|", &[json!("消息")]), "消息  |");
    }

    #[test]
    fn json_is_one_array_and_text_has_no_part_in_it() {
        let print = |json: bool, rows: usize| {
            let mut sink = Vec::new();
            let mut out = Output::new(&mut sink, json);
            let mut all = || {
                out.head("%-3s", &["#A"])?;
                for row in 0..rows {
                    out.row("%-3s", &[("a", row.into())])?;
                }
                out.finish()
            };
            assert!(all().is_ok());
            String::from_utf8(sink).unwrap_or_default()
        };
        assert_eq!(print(true, 0), "[]\n");
        assert_eq!(print(true, 2), "[{\"a\":0},\n{\"a\":1}]\n");
        assert_eq!(print(false, 1), "#A \n0  \n");
    }
}
