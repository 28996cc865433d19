//! Figures for Prometheus: a metric is a row of a table, a page is the text format 0.0.4 of a scrape, a histogram is a row
//! of atomic counters. Knows no broker. Series are written anew from what is there at each scrape, so what is deleted is
//! gone, and nothing has to be registered, locked or allocated where messages pass.
//!
//! Format: <https://prometheus.io/docs/instrumenting/exposition_formats/>, "Text-based format".

use std::fmt::{self, Write as _};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// What a scrape is served as.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// How a metric behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only grows, until a restart.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Counts by upper bounds, in seconds.
    Histogram,
}

impl Kind {
    /// As the format writes it.
    pub fn word(self) -> &'static str {
        match self {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        }
    }
}

/// A row of a table of metrics.
#[derive(Debug, PartialEq, Eq)]
pub struct Metric {
    /// Its name, with the unit at the end.
    pub name: &'static str,
    /// How it behaves.
    pub kind: Kind,
    /// The names of its labels, separated by commas; every series has exactly these.
    pub labels: &'static str,
    /// What it says, in a sentence.
    pub help: &'static str,
}

/// A table of metrics: each row is a static of its own, and all of them together are `ALL`.
macro_rules! table {
    ($($ident:ident = $kind:ident $name:literal ($labels:literal) $help:literal;)*) => {
        $(
            #[doc = $help]
            pub static $ident: $crate::base::metrics::Metric = $crate::base::metrics::Metric {
                name: $name,
                kind: $crate::base::metrics::Kind::$kind,
                labels: $labels,
                help: $help,
            };
        )*

        /// Every row.
        pub static ALL: &[&$crate::base::metrics::Metric] = &[$(&$ident,)*];
    };
}
pub(crate) use table;

/// Labels, as they are written between the braces.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Labels(String);

impl Labels {
    /// None.
    pub fn none() -> Labels {
        Labels::default()
    }

    /// One label.
    pub fn of(name: &str, value: impl fmt::Display) -> Labels {
        Labels::none().and(name, value)
    }

    /// One label more.
    pub fn and(mut self, name: &str, value: impl fmt::Display) -> Labels {
        if !self.0.is_empty() {
            self.0.push(',');
        }
        self.0.push_str(name);
        self.0.push_str("=\"");
        // Writing to a string cannot fail.
        let _written = write!(Escaped(&mut self.0), "{value}");
        self.0.push('"');
        self
    }

    fn names(&self) -> impl Iterator<Item = &str> {
        self.0.split("\",").filter_map(|label| label.split_once('=')).map(|(name, _)| name)
    }
}

/// Writes the value of a label: a backslash, a quote and a line feed are escaped.
struct Escaped<'a>(&'a mut String);

impl fmt::Write for Escaped<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for part in text.split_inclusive(['\\', '"', '\n']) {
            match part.as_bytes().last() {
                Some(b'\n') => self.0.extend([&part[..part.len() - 1], "\\n"]),
                Some(b'\\' | b'"') => {
                    let last = part.len() - 1;
                    self.0.extend([&part[..last], "\\", &part[last..]]);
                }
                _ => self.0.push_str(part),
            }
        }
        Ok(())
    }
}

/// A scrape's text as it grows.
#[derive(Debug, Default)]
pub struct Page {
    text: String,
}

impl Page {
    /// An empty page with room for about `len` bytes.
    pub fn with_capacity(len: usize) -> Page {
        Page { text: String::with_capacity(len) }
    }

    /// Begins a metric; all of its series follow at once. Nothing is written for one without a series.
    pub fn metric(&mut self, metric: &'static Metric) -> Series<'_> {
        Series { page: self, metric, begun: false }
    }

    /// A metric with one series.
    pub fn one(&mut self, metric: &'static Metric, labels: &Labels, value: impl fmt::Display) {
        self.metric(metric).add(labels, value);
    }

    /// A metric with one series, if its value is known.
    pub fn known(&mut self, metric: &'static Metric, labels: &Labels, value: Option<impl fmt::Display>) {
        if let Some(value) = value {
            self.one(metric, labels, value);
        }
    }

    /// The text.
    pub fn finish(self) -> String {
        self.text
    }

    fn line(&mut self, name: &str, suffix: &str, labels: &Labels, value: impl fmt::Display) {
        self.text.push_str(name);
        self.text.push_str(suffix);
        if !labels.0.is_empty() {
            self.text.push('{');
            self.text.push_str(&labels.0);
            self.text.push('}');
        }
        // Writing to a string cannot fail.
        let _written = writeln!(self.text, " {value}");
    }
}

/// The series of one metric.
#[derive(Debug)]
pub struct Series<'a> {
    page: &'a mut Page,
    metric: &'static Metric,
    begun: bool,
}

impl Series<'_> {
    /// One series; `labels` are those of the metric's row.
    pub fn add(&mut self, labels: &Labels, value: impl fmt::Display) {
        self.begin(labels);
        self.page.line(self.metric.name, "", labels, value);
    }

    /// One series with one label more than `labels`, without a copy of them.
    pub fn add_of(&mut self, labels: &Labels, name: &str, label: impl fmt::Display, value: impl fmt::Display) {
        if !self.begun {
            self.begin(&labels.clone().and(name, &label));
        }
        let text = &mut self.page.text;
        text.extend([self.metric.name, "{", &labels.0]);
        // Writing to a string cannot fail.
        let _written = writeln!(text, ",{name}=\"{label}\"}} {value}");
    }

    /// One series of a histogram: what several counted together.
    pub fn add_histogram<'h>(&mut self, labels: &Labels, parts: impl IntoIterator<Item = &'h Histogram>) {
        self.begin(labels);
        let mut counts = [0_u64; BOUNDS_US.len() + 1];
        let mut sum_us = 0;
        for part in parts {
            sum_us += part.sum_us.load(Relaxed);
            counts.iter_mut().zip(&part.counts).for_each(|(count, part)| *count += part.load(Relaxed));
        }
        let mut total = 0;
        for (place, count) in counts.iter().enumerate() {
            total += count;
            let bound = BOUNDS_US.get(place).map_or_else(|| "+Inf".to_owned(), |bound| seconds(*bound).to_string());
            self.page.line(self.metric.name, "_bucket", &labels.clone().and("le", bound), total);
        }
        self.page.line(self.metric.name, "_sum", labels, seconds(sum_us));
        self.page.line(self.metric.name, "_count", labels, total);
    }

    fn begin(&mut self, labels: &Labels) {
        let Metric { name, kind, labels: expected, help } = self.metric;
        debug_assert_eq!(labels.names().collect::<Vec<_>>().join(","), *expected, "{name}");
        if !std::mem::replace(&mut self.begun, true) {
            let _written = writeln!(self.page.text, "# HELP {name} {help}\n# TYPE {name} {}", kind.word());
        }
    }
}

fn seconds(us: u64) -> f64 {
    us as f64 / 1e6
}

/// Upper bounds of the buckets, microseconds: a write to the page cache takes tens of them, a flush milliseconds, and a
/// disk that stalls seconds.
pub const BOUNDS_US: [u64; 18] = [
    50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000,
    5_000_000, 10_000_000, 30_000_000,
];

/// How long something takes, counted by `BOUNDS_US`. Observing costs two relaxed additions.
#[derive(Debug, Default)]
pub struct Histogram {
    counts: [AtomicU64; BOUNDS_US.len() + 1],
    sum_us: AtomicU64,
}

impl Histogram {
    /// It took so long.
    pub fn observe(&self, took: Duration) {
        let us = took.as_micros() as u64;
        let place = BOUNDS_US.partition_point(|bound| *bound < us);
        self.counts[place].fetch_add(1, Relaxed);
        self.sum_us.fetch_add(us, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    static GAUGE: Metric = Metric { name: "g", kind: Kind::Gauge, labels: "a,b", help: "A gauge." };
    static TIMES: Metric = Metric { name: "t_seconds", kind: Kind::Histogram, labels: "a", help: "Times." };

    #[test]
    fn a_page_has_help_type_and_escaped_labels_and_nothing_for_metrics_without_series() {
        let mut page = Page::default();
        page.metric(&TIMES);
        let mut series = page.metric(&GAUGE);
        series.add(&Labels::of("a", 1).and("b", "x\"y\\z\nä"), 1.5);
        series.add(&Labels::of("a", "").and("b", "%RETRY%G"), -3_i64);
        assert_eq!(
            page.finish(),
            "# HELP g A gauge.\n# TYPE g gauge\ng{a=\"1\",b=\"x\\\"y\\\\z\\nä\"} 1.5\ng{a=\"\",b=\"%RETRY%G\"} -3\n"
        );
    }

    #[test]
    fn a_histogram_is_cumulative_and_sums_its_parts() {
        let (one, other) = (Histogram::default(), Histogram::default());
        one.observe(Duration::from_micros(50));
        one.observe(Duration::from_micros(51));
        other.observe(Duration::from_secs(100));
        let mut page = Page::default();
        page.metric(&TIMES).add_histogram(&Labels::of("a", "x"), [&one, &other]);
        let text = page.finish();
        let value = |begin: &str| {
            let line = text.lines().find(|line| line.starts_with(begin)).expect(begin);
            line.rsplit(' ').next().map(str::to_owned)
        };
        assert_eq!(value("t_seconds_bucket{a=\"x\",le=\"0.00005\"}").as_deref(), Some("1"), "{text}");
        assert_eq!(value("t_seconds_bucket{a=\"x\",le=\"0.0001\"}").as_deref(), Some("2"));
        assert_eq!(value("t_seconds_bucket{a=\"x\",le=\"30\"}").as_deref(), Some("2"));
        assert_eq!(value("t_seconds_bucket{a=\"x\",le=\"+Inf\"}").as_deref(), Some("3"));
        assert_eq!(value("t_seconds_count{a=\"x\"}").as_deref(), Some("3"));
        assert_eq!(value("t_seconds_sum{a=\"x\"}").as_deref(), Some("100.000101"));
    }
}
