//! Figures for Prometheus: a metric is a row of a table, a page is the text format 0.0.4 of a scrape. Knows no broker, and is
//! the only door to the `prometheus` crate.
//!
//! There are two kinds of figures. What is counted for Prometheus alone, as it happens, is the crate's: a `Registry` of
//! histograms and counters. What is there anyway, above all by topic, group and queue, is written anew from it at each
//! scrape: what is deleted is gone, nothing is counted twice, and a page of 130,000 series is made without the
//! million strings that the crate's model of it would be.
//!
//! Format: <https://prometheus.io/docs/instrumenting/exposition_formats/>, "Text-based format".

use std::borrow::Borrow;
use std::fmt::{self, Write as _};

pub use prometheus::local::LocalHistogram;
pub use prometheus::{Histogram, IntCounterVec, Registry};
use prometheus::{HistogramOpts, Opts, TextEncoder};

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
    ($($ident:ident = $kind:ident $name:literal ($labels:expr) $help:literal;)*) => {
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

/// After so many bytes of a page whoever waits for the processor has it: a tenth of a millisecond of work, where the
/// system would let a page go on for several.
const SLICE_LEN: usize = 32 * 1024;

/// A scrape's text as it grows.
#[derive(Debug, Default)]
pub struct Page {
    text: String,
    slice_end: usize,
}

impl Page {
    /// An empty page with room for about `len` bytes.
    pub fn with_capacity(len: usize) -> Page {
        Page { text: String::with_capacity(len), slice_end: 0 }
    }

    /// A metric with one series.
    pub fn one(&mut self, metric: &'static Metric, labels: &Labels, value: impl fmt::Display) {
        self.each(metric, [(labels, value)]);
    }

    /// A metric with one series, if its value is known.
    pub fn known(&mut self, metric: &'static Metric, labels: &Labels, value: Option<impl fmt::Display>) {
        self.each(metric, value.map(|value| (labels, value)));
    }

    /// A metric with these series, each with the labels of the metric's row. Nothing is written without any.
    pub fn each<L: Borrow<Labels>, V: fmt::Display>(
        &mut self,
        metric: &'static Metric,
        series: impl IntoIterator<Item = (L, V)>,
    ) {
        for (place, (labels, value)) in series.into_iter().enumerate() {
            let labels = labels.borrow();
            self.begin(metric, place, labels.names());
            self.text.push_str(metric.name);
            if !labels.0.is_empty() {
                self.text.extend(["{", &labels.0, "}"]);
            }
            self.end_line(value);
        }
    }

    /// The same with the number of a queue as one label more, without a copy of the others.
    pub fn each_queue<'l, V: fmt::Display>(
        &mut self,
        metric: &'static Metric,
        series: impl IntoIterator<Item = (&'l Labels, u32, V)>,
    ) {
        for (place, (labels, queue, value)) in series.into_iter().enumerate() {
            self.begin(metric, place, labels.names().chain(["queue"]));
            // Writing to a string cannot fail.
            let _written = write!(self.text, "{}{{{},queue=\"{queue}\"}}", metric.name, labels.0);
            self.end_line(value);
        }
    }

    /// Everything that is counted in a registry.
    pub fn registered(&mut self, registry: &Registry) {
        if let Err(error) = TextEncoder::new().encode_utf8(&registry.gather(), &mut self.text) {
            tracing::error!("what is counted cannot be written for Prometheus: {error}");
        }
    }

    /// The text.
    pub fn finish(self) -> String {
        self.text
    }

    fn begin<'l>(&mut self, metric: &'static Metric, place: usize, labels: impl Iterator<Item = &'l str>) {
        let Metric { name, kind, labels: expected, help } = metric;
        debug_assert_eq!(labels.collect::<Vec<_>>().join(","), *expected, "{name}");
        if place == 0 {
            // Writing to a string cannot fail.
            let _written = writeln!(self.text, "# HELP {name} {help}\n# TYPE {name} {}", kind.word());
        }
    }

    fn end_line(&mut self, value: impl fmt::Display) {
        // Writing to a string cannot fail.
        let _written = writeln!(self.text, " {value}");
        if self.text.len() > self.slice_end {
            self.slice_end = self.text.len() + SLICE_LEN;
            std::thread::yield_now();
        }
    }
}

/// Upper bounds of the buckets, seconds: a write to the page cache takes tens of microseconds, a flush milliseconds, and a
/// disk that stalls seconds.
pub const BOUNDS: [f64; 18] = [
    0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
    30.0,
];

/// What the rows of a table that are counted as it happens can be built with: a test builds each.
const ROW: &str = "the row has a name and labels as Prometheus wants them";

impl Metric {
    /// A histogram of seconds by `BOUNDS`.
    pub fn histogram(&self) -> Histogram {
        Histogram::with_opts(HistogramOpts::new(self.name, self.help).buckets(BOUNDS.to_vec())).expect(ROW)
    }

    /// Counters by the last label of the row; the others are those of the registry.
    pub fn counters(&self) -> IntCounterVec {
        let label = self.labels.rsplit(',').next().unwrap_or_default();
        IntCounterVec::new(Opts::new(self.name, self.help), &[label]).expect(ROW)
    }
}

/// A registry whose series all have these labels.
pub fn registry<'l>(labels: impl IntoIterator<Item = (&'l str, &'l str)>) -> Registry {
    let labels = labels.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned()));
    Registry::new_custom(None, Some(labels.collect())).expect("there is no prefix that could be refused")
}

#[cfg(test)]
mod tests {
    use super::*;

    static GAUGE: Metric = Metric { name: "g", kind: Kind::Gauge, labels: "a,b", help: "A gauge." };
    static TIMES: Metric = Metric { name: "t_seconds", kind: Kind::Histogram, labels: "b", help: "Times." };
    static REFUSED: Metric = Metric { name: "r_total", kind: Kind::Counter, labels: "b,reason", help: "Refusals." };

    #[test]
    fn a_page_has_help_type_and_escaped_labels_and_nothing_for_metrics_without_series() {
        let mut page = Page::default();
        page.each(&TIMES, std::iter::empty::<(Labels, u64)>());
        page.each(
            &GAUGE,
            [(Labels::of("a", 1).and("b", "x\"y\\z\nä"), 1.5), (Labels::of("a", "").and("b", "%RETRY%G"), -3.0)],
        );
        assert_eq!(
            page.finish(),
            "# HELP g A gauge.\n# TYPE g gauge\ng{a=\"1\",b=\"x\\\"y\\\\z\\nä\"} 1.5\ng{a=\"\",b=\"%RETRY%G\"} -3\n"
        );
    }

    #[test]
    fn what_is_counted_is_on_the_page_with_the_labels_of_its_registry() {
        let registry = registry([("b", "x\"y")]);
        let (times, refused) = (TIMES.histogram(), REFUSED.counters());
        registry.register(Box::new(times.clone())).expect("new");
        registry.register(Box::new(refused.clone())).expect("new");
        times.observe(0.00005);
        times.observe(100.0);
        refused.with_label_values(&["busy"]).inc_by(3);
        let mut page = Page::default();
        page.one(&GAUGE, &Labels::of("a", "1").and("b", "2"), 7);
        page.registered(&registry);
        let text = page.finish();
        for line in [
            "g{a=\"1\",b=\"2\"} 7",
            "# TYPE t_seconds histogram",
            "t_seconds_bucket{b=\"x\\\"y\",le=\"0.00005\"} 1",
            "t_seconds_bucket{b=\"x\\\"y\",le=\"30\"} 1",
            "t_seconds_bucket{b=\"x\\\"y\",le=\"+Inf\"} 2",
            "t_seconds_sum{b=\"x\\\"y\"} 100.00005",
            "t_seconds_count{b=\"x\\\"y\"} 2",
            "# TYPE r_total counter",
            "r_total{reason=\"busy\",b=\"x\\\"y\"} 3",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        }
    }
}
