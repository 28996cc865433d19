//! `/metrics`, `/livez` and `/readyz`: what a process tells Prometheus and whoever restarts or routes around it. Served from
//! before a recovery to the end of a stop, beside the event loops. Puts pages together; the parts know what is on them.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use parking_lot::RwLock;

use crate::base::clock::{Clock, Millis};
use crate::base::machine;
use crate::base::metrics::{self, Labels, Page};
use crate::base::progress::Progress;
use crate::base::pulse::Pulse;
use crate::broker;
use crate::namesrv;
use crate::net::control::Control;
use crate::net::http::{self, Answer, HttpServer, Response};
use crate::net::server::Watch;

use super::plan::Plan;

crate::base::metrics::table! {
    BUILD = Gauge "rocketmq_build_info" ("version")
        "Always 1; the version is the label.";
    READY = Gauge "rocketmq_ready" ("")
        "1 while /readyz says so.";
    RECOVERY_DONE = Gauge "rocketmq_recovery_done_ratio" ("")
        "How much of the store's recovery is done, 0 to 1; 1 when the store is open.";
    SILENT = Gauge "rocketmq_silent_seconds" ("part")
        "For how long an event loop or the flusher has given no sign of life; a part that has ended is absent.";
    SCRAPE = Gauge "rocketmq_scrape_collect_seconds" ("")
        "How long the figures of this scrape took to collect.";
    CPU = Counter "process_cpu_seconds_total" ("")
        "Processor time of this process.";
    RESIDENT = Gauge "process_resident_memory_bytes" ("")
        "Memory of this process that is in RAM.";
    VIRTUAL = Gauge "process_virtual_memory_bytes" ("")
        "Address space of this process.";
    THREADS = Gauge "process_threads" ("")
        "Threads of this process.";
    FDS = Gauge "process_open_fds" ("")
        "Open file descriptors.";
    FDS_MAX = Gauge "process_max_fds" ("")
        "Most file descriptors that may be open.";
    START = Gauge "process_start_time_seconds" ("")
        "When this process began, seconds since 1970.";
}

/// Room for a page of some topics. Later pages begin with room for the last one: a page that doubles as it grows is
/// paid for twice.
const PAGE_LEN_MIN: usize = 64 * 1024;

/// What there is to tell, as far as it has started.
#[derive(Default)]
struct Parts {
    recovery: Option<Progress>,
    pulses: Vec<Pulse>,
    namesrv: Option<(namesrv::metrics::Figures, Watch, Control)>,
    broker: Option<Arc<broker::metrics::Collector>>,
    stopping: bool,
}

struct State {
    began: Millis,
    label_limit: usize,
    /// Whether there is to be a broker.
    broker: bool,
    parts: RwLock<Parts>,
    /// About as long as the next page will be.
    page_len: AtomicUsize,
}

/// Where it is served, and what is told. Dropping it ends it.
pub struct Monitor {
    state: Arc<State>,
    server: Option<http::Running>,
}

impl Monitor {
    /// Starts to serve what a plan asks for. A port that cannot be had is an error if somebody asked for it, else a
    /// warning, and nothing is served.
    pub fn start(plan: &Plan, clock: &Clock) -> Result<Monitor, String> {
        let state = Arc::new(State {
            began: clock.now(),
            label_limit: plan.metrics.label_limit,
            broker: plan.broker.is_some(),
            parts: RwLock::default(),
            page_len: AtomicUsize::new(0),
        });
        let Some(address) = plan.metrics_address() else { return Ok(Monitor { state, server: None }) };
        let told = state.clone();
        let server = HttpServer::bind(address, http::Limits::default())
            .and_then(|server| server.run(Arc::new(move |path| State::page(told.clone(), path))));
        match server {
            Ok(server) => Ok(Monitor { state, server: Some(server) }),
            Err(error) if plan.metrics.required => Err(format!("metrics: {error}")),
            Err(error) => {
                tracing::warn!(
                    "no metrics are served: {error}, with --metrics ADDR, or turn them off with --metrics off"
                );
                Ok(Monitor { state, server: None })
            }
        }
    }

    /// Where it is served, for the start report.
    pub fn place(&self) -> String {
        let at = |server: &http::Running| format!("http://{}/metrics, and /livez, /readyz", server.addr());
        self.server.as_ref().map_or_else(|| "off".to_owned(), at)
    }

    /// The store is about to be opened.
    pub fn recovers(&self, progress: Progress) {
        self.state.parts.write().recovery = Some(progress);
    }

    /// A name server runs.
    pub fn has_namesrv(&self, figures: namesrv::metrics::Figures, watch: Watch, control: Control) {
        self.state.parts.write().namesrv = Some((figures, watch, control));
    }

    /// A broker runs.
    pub fn has_broker(&self, collector: broker::metrics::Collector) {
        self.state.parts.write().broker = Some(Arc::new(collector));
    }

    /// These have to get on.
    pub fn watches(&self, pulses: Vec<Pulse>) {
        self.state.parts.write().pulses = pulses;
    }

    /// The stop has begun: nobody should send anything here any more.
    pub fn stops(&self) {
        self.state.parts.write().stopping = true;
    }
}

impl State {
    fn page(state: Arc<State>, path: &str) -> Option<Answer> {
        match path {
            "/livez" => Some(Answer::Now(state.live())),
            "/readyz" => Some(Answer::Slow(Box::new(move || state.ready()))),
            "/metrics" => Some(Answer::Large(Box::new(move || state.metrics()))),
            "/" => Some(Answer::Now(Response::text(200, "/metrics /livez /readyz\n"))),
            _ => None,
        }
    }

    fn live(&self) -> Response {
        match self.parts.read().pulses.iter().find_map(Pulse::stuck) {
            None => Response::text(200, "ok\n"),
            Some(stuck) => Response::text(503, format!("{stuck}\n")),
        }
    }

    /// What has to be so before somebody should send something here.
    fn conditions(&self) -> Vec<(&'static str, Result<String, String>)> {
        let (broker, stopping, recovery) = {
            let parts = self.parts.read();
            (parts.broker.clone(), parts.stopping, parts.recovery.clone())
        };
        let mut conditions = Vec::new();
        if stopping {
            conditions.push(("running", Err("the process is stopping".to_owned())));
        }
        if self.broker {
            let step = recovery.and_then(|progress| progress.step());
            conditions.push((
                "recovery",
                match (&broker, step) {
                    (Some(_), _) => Ok("done".to_owned()),
                    (None, Some(step)) => Err(format!("{}, {} %", step.what, step.per_cent())),
                    (None, None) => Err("not done".to_owned()),
                },
            ));
        }
        conditions.extend(broker.iter().flat_map(|broker| broker.readiness()));
        conditions
    }

    fn ready(&self) -> Response {
        let conditions = self.conditions();
        let status = if conditions.iter().all(|(_, found)| found.is_ok()) { 200 } else { 503 };
        let lines = conditions.iter().map(|(name, found)| match found {
            Ok(found) => format!("ok   {name}: {found}\n"),
            Err(found) => format!("FAIL {name}: {found}\n"),
        });
        let verdict = if status == 200 { "ready\n" } else { "not ready\n" };
        Response::text(status, lines.chain([verdict.to_owned()]).collect::<String>())
    }

    fn metrics(&self) -> Response {
        let began = std::time::Instant::now();
        let mut page = Page::with_capacity(self.page_len.load(Relaxed).max(PAGE_LEN_MIN));
        let none = Labels::none();
        let ready = self.conditions().iter().all(|(_, found)| found.is_ok());
        let (broker, namesrv, pulses, recovery) = {
            let parts = self.parts.read();
            (parts.broker.clone(), parts.namesrv.clone(), parts.pulses.clone(), parts.recovery.clone())
        };
        page.one(&BUILD, &Labels::of("version", super::version()), 1);
        page.one(&READY, &none, u8::from(ready));
        if self.broker {
            let step = recovery.and_then(|progress| progress.step());
            let part = step.filter(|step| step.total > 0).map(|step| step.done as f64 / step.total as f64);
            page.one(&RECOVERY_DONE, &none, if broker.is_some() { 1.0 } else { part.unwrap_or(0.0) });
        }
        let parts = pulses.iter().flat_map(Pulse::parts);
        page.each(
            &SILENT,
            parts.filter_map(|part| Some((Labels::of("part", part.name()), part.silent()?.as_secs_f64()))),
        );
        self.process(&mut page);
        if let Some((figures, watch, control)) = namesrv {
            figures.collect(&mut page, &watch, &control);
        }
        if let Some(broker) = broker {
            broker.collect(&mut page, self.label_limit);
        }
        page.one(&SCRAPE, &none, began.elapsed().as_secs_f64());
        let text = page.finish();
        self.page_len.store(text.len() + text.len() / 16, Relaxed);
        Response { status: 200, content_type: metrics::CONTENT_TYPE, body: text.into() }
    }

    fn process(&self, page: &mut Page) {
        let (figures, none) = (machine::process_figures(), Labels::none());
        page.one(&CPU, &none, figures.cpu_seconds);
        page.known(&RESIDENT, &none, figures.resident_bytes);
        page.known(&VIRTUAL, &none, figures.virtual_bytes);
        page.known(&THREADS, &none, figures.threads);
        page.known(&FDS, &none, figures.open_fds);
        page.known(&FDS_MAX, &none, figures.max_fds);
        page.one(&START, &none, self.began as f64 / 1000.0);
    }
}

/// Every metric that any process may have, in the order of the pages.
pub fn all() -> impl Iterator<Item = &'static metrics::Metric> {
    ALL.iter().chain(namesrv::metrics::ALL).copied().chain(broker::metrics::all())
}

/// `docs/metrics.md`: every metric, by who tells it.
pub fn reference() -> String {
    let mut page = String::from(
        "# Metrics\n\nWhat `/metrics` tells, by table of the program; a test keeps this page true. Names from `rocketmq_group_diff` to \
         `rocketmq_brokeruntime_…` are those\nof rocketmq-exporter, with its labels. What is not known is absent. How to use them: \
         [monitor.md](monitor.md).\n",
    );
    let broker: Vec<_> = broker::metrics::all().collect();
    let sections = [("Every process", ALL), ("A broker", &broker), ("A name server", namesrv::metrics::ALL)];
    for (title, table) in sections {
        page.push_str(&format!("\n## {title}\n\n| metric | type | labels | meaning |\n|---|---|---|---|\n"));
        for metric in table {
            let labels = metric.labels.replace(',', ", ");
            page.push_str(&format!("| `{}` | {} | {labels} | {} |\n", metric.name, metric.kind.word(), metric.help));
        }
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_on_metrics_is_fresh() {
        const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/metrics.md");
        if std::env::var_os("UPDATE_DOCS").is_some() {
            std::fs::write(FILE, reference()).expect("docs is writable");
        }
        let written = std::fs::read_to_string(FILE).expect("docs/metrics.md");
        assert!(written == reference(), "docs/metrics.md is stale: run the tests once with UPDATE_DOCS=1");
    }

    #[test]
    fn names_are_unique_and_say_their_kind_and_every_help_is_a_sentence() {
        let mut seen = std::collections::BTreeSet::new();
        for metric in all() {
            assert!(seen.insert(metric.name), "{} is there twice", metric.name);
            assert!(metric.help.ends_with('.') && !metric.help.contains(['\n', '\\']), "{}", metric.name);
            // The exporter's names are what they are.
            if !metric.name.starts_with("rocketmq_brokeruntime_") {
                assert_eq!(metric.name.ends_with("_total"), metric.kind == metrics::Kind::Counter, "{}", metric.name);
            }
        }
    }
}
