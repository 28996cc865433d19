//! The start list and the stop list: reading them top-down is the operations manual. Every role listens before anything
//! on disk is touched, so that a port in use changes nothing, and answers only after its data is open.

use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::base::clock::Clock;
use crate::base::disk::{Disk, RealDisk};
use crate::base::machine::memory_bytes;
use crate::base::pulse::Pulse;
use crate::base::shutdown::Shutdown;
use crate::broker;
use crate::namesrv::NameServer;
use crate::net::control::ControlRuntime;

use super::daemon::PidFile;
use super::monitor::Monitor;
use super::plan::{BrokerPlan, NamesrvPlan, Plan};
use super::report::Report;
use super::settings::Role;
use super::systemd::Manager;
use super::{crash, doctor, logging, memory, overlays, reload, signals};

/// How long the stop of a name server waits for answers that are owed.
const DRAIN: Duration = Duration::from_secs(3);
/// How long a stop may take beyond the broker's `drainTime`; behind that the process ends as in a crash, which the next
/// start recovers from.
const STOP_MAX: Duration = Duration::from_secs(60);

/// Starts the roles of a plan, runs until a signal, stops them.
/// `again` works the plan out once more, for a reload.
pub fn run(what: &str, plan: &Plan, again: &dyn Fn() -> Result<Plan, Vec<String>>) -> Result<(), Vec<String>> {
    start_and_stop(what, plan, again).map_err(|problem| vec![problem])
}

fn start_and_stop(what: &str, plan: &Plan, again: &dyn Fn() -> Result<Plan, Vec<String>>) -> Result<(), String> {
    let began = Instant::now();
    let log = logging::start(what, &plan.log)?;
    plan.warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
    plan.unused.iter().for_each(|key| tracing::info!("changes nothing here: {key}"));
    let (memory, warning) = memory::report(plan.instance.memory_limit, memory::cgroup_limit().as_ref(), memory_bytes());
    warning.iter().for_each(|warning| tracing::warn!("{warning}"));
    let (of_namesrv, of_broker) = plan.memory();
    let mut signals = signals::Waiting::start().map_err(|error| format!("taking over signals: {error}"))?;
    crash::watch(signals.waker());
    let disk: Arc<dyn Disk> = Arc::new(RealDisk);
    let clock = Clock::System;
    let manager = Manager::from_environment();

    // The start list. All ports first: until they are ours, no folder is made.
    let slow = if plan.broker.is_some() { of_broker.slow() } else { of_namesrv.slow() };
    let runtime = ControlRuntime::bounded(slow).map_err(told)?;
    let control = runtime.control();
    let name_server = plan.namesrv.as_ref().map(|plan| NameServer::open(plan.config.clone(), disk.clone()));
    let name_server = name_server.transpose().map_err(told)?;
    let name_server = name_server.map(|opened| opened.bind_within(of_namesrv.limits())).transpose().map_err(told)?;
    let broker = plan.broker.as_ref().map(|plan| broker::server::Bound::bind(plan.config.clone(), of_broker.limits()));
    let broker = broker.transpose().map_err(told)?;
    let name_server_settings = name_server.as_ref().map(|bound| bound.settings());
    if let Some(settings) = &name_server_settings {
        settings.surround(in_process(Role::Namesrv, plan, &log));
    }
    let monitor = Monitor::start(plan, &clock)?;
    let figures = name_server.as_ref().map(|bound| bound.figures());
    let name_server = name_server.map(|bound| bound.run(clock.clone(), control.clone())).transpose().map_err(told)?;
    if let (Some(running), Some(figures)) = (&name_server, figures) {
        monitor.has_namesrv(figures, running.watch(), control.clone());
    }
    let broker = match (broker, &plan.broker) {
        (Some(bound), Some(plan)) => {
            let _told = manager.watch_recovery(bound.progress()).map_err(told)?;
            monitor.recovers(bound.progress());
            Some(bound.open(plan.store.clone(), disk, clock).map_err(told)?)
        }
        _ => None,
    };
    if let Some(opened) = &broker {
        let taken = &opened.report.taken;
        taken.iter().for_each(|taken| tracing::info!("store: recovery, rule {}: {}", taken.row, taken.detail));
    }
    let broker = broker.map(|opened| opened.start(control.clone())).transpose().map_err(told)?;
    if let Some(broker) = &broker {
        broker.handles().changes.surround(in_process(Role::Broker, plan, &log));
        monitor.has_broker(broker.metrics());
        // Whoever reads "ready" may ask a name server for the broker at once.
        let registration = broker.handles().registration.clone();
        control.handle().block_on(async move { registration.topic_changed(broker::topics::DEFAULT_TOPIC).await });
    }
    let failures = [name_server.as_ref().map(|role| role.failed()), broker.as_ref().map(|role| role.failed())];
    for failure in failures.into_iter().flatten() {
        control.handle().spawn(wake_when(failure, signals.waker()));
    }
    let loops: Option<Pulse> = name_server.as_ref().map(|role| role.beats().iter().cloned().collect());
    let pulses: Vec<Pulse> = loops.into_iter().chain(broker.as_ref().map(|role| role.pulse())).collect();
    monitor.watches(pulses.clone());
    let stuck = move || pulses.iter().find_map(Pulse::stuck);
    let watchdog = manager.watchdog(stuck).map_err(|error| format!("starting the watchdog's thread: {error}"))?;
    let pid_file = plan.pid_file.as_deref().map(PidFile::write).transpose()?;
    report(what, plan, [monitor.place(), memory], &log, began).print();
    if let Some(notice) = &plan.notice {
        notice.ready(&log).map_err(|error| format!("letting go of the terminal: {error}"))?;
    }

    let serves = serves(plan);
    manager.ready(&serves);

    let running = reload::Running {
        plan,
        log: &log,
        name_server: name_server_settings.as_ref(),
        broker: broker.as_ref().map(|broker| broker.handles()),
        control: control.handle(),
    };
    let signal = signals.wait(|| {
        manager.reloading();
        running.reload(again());
        manager.ready(&serves);
    });

    // The stop list: clients lose the broker before the name server that told them of it.
    let crash = || crash::reason().unwrap_or_else(|| "an event loop has died".to_owned());
    let why = signal.map_or_else(crash, str::to_owned);
    let drain = broker.as_ref().map_or(0, |broker| broker.handles().config.get().drain_time_ms);
    let limit = STOP_MAX + Duration::from_millis(drain);
    tracing::info!("stopping, within {} s: {why}", limit.as_secs());
    manager.stopping(&why);
    monitor.stops();
    watchdog.iter().for_each(|watchdog| watchdog.stopping());
    let stopped = within(limit, move || {
        let stopped = broker.map(broker::server::Running::stop).transpose().map_err(told);
        if let Some(name_server) = name_server {
            name_server.shutdown(DRAIN);
        }
        stopped.map(drop)
    });
    runtime.shutdown(DRAIN);
    drop(monitor);
    drop(pid_file);
    stopped?;
    if signal.is_some() {
        tracing::info!("stopped");
    }
    log.end();
    match signal {
        Some(_) => {}
        None => return Err(format!("{}; the store is closed cleanly", crash())),
    }
    Ok(())
}

/// Runs the stop list beside this thread, so that what hangs cannot keep the process.
fn within(limit: Duration, stop: impl FnOnce() -> Result<(), String> + Send + 'static) -> Result<(), String> {
    let (done, ended) = mpsc::sync_channel(1);
    let list = Arc::new(Mutex::new(Some(stop)));
    let theirs = list.clone();
    let run = move || {
        if let Some(stop) = { theirs.lock().take() } {
            // Whoever waited has gone when the limit has passed; then the result is of no use.
            let _late = done.send(stop());
        }
    };
    if let Err(error) = std::thread::Builder::new().name("stop".to_owned()).spawn(run) {
        tracing::warn!("the stop has no limit, there is no thread for it: {error}");
        return { list.lock().take() }.map_or(Ok(()), |stop| stop());
    }
    ended.recv_timeout(limit).unwrap_or_else(|error| {
        let why = match error {
            mpsc::RecvTimeoutError::Timeout => format!("the stop is not done within {} s", limit.as_secs()),
            mpsc::RecvTimeoutError::Disconnected => crash::reason().unwrap_or_else(|| "the stop ended".to_owned()),
        };
        Err(format!("{why}; the process ends as in a crash, and the next start recovers"))
    })
}

async fn wake_when(mut failure: Shutdown, waker: signals::Waker) {
    failure.stopped().await;
    waker.wake();
}

/// One line on what runs, for whoever looks at the service.
fn serves(plan: &Plan) -> String {
    let namesrv = plan.namesrv.as_ref().map(|namesrv| format!("name server on {}", namesrv.listens()));
    let broker = plan.broker.as_ref().map(|broker| {
        let config = &broker.config;
        format!("{} of {}, clients are told {}", config.broker_name, config.broker_cluster_name, config.store_host())
    });
    namesrv.into_iter().chain(broker).collect::<Vec<_>>().join("; ")
}

fn in_process(role: Role, plan: &Plan, log: &logging::Log) -> Arc<overlays::InProcess> {
    let (home, flags) = (std::env::var_os("HOME").map(Into::into), plan.flags.clone());
    Arc::new(overlays::InProcess { role, log: log.clone(), home, flags })
}

/// What became of the keys of the file, and what was changed since.
fn report_settings(report: &mut Report, plan: &Plan) {
    let mut lines = Vec::new();
    if let Some((file, taken)) = &plan.file {
        lines.push(format!("{taken} from {file}"));
    }
    lines.extend(plan.unused.iter().map(|unused| format!("changes nothing here: {unused}")));
    lines.extend(plan.warnings.iter().filter(|warning| warning.contains(" is no key ")).cloned());
    for overlays::Kept { path, change, .. } in &plan.kept {
        let (by, at, was) = (&change.by, overlays::utc(change.at), &change.was);
        lines.push(format!("{}={}, changed by {by} on {at} (was {was}), {}", change.key, change.value, path.display()));
    }
    if !lines.is_empty() {
        report.row("settings", lines);
    }
}

fn report(what: &str, plan: &Plan, [metrics, memory]: [String; 2], log: &logging::Log, began: Instant) -> Report {
    let mut report = Report::ready(what, began.elapsed().as_millis());
    if what != "dev" {
        boot_success(&mut report, plan);
    }
    if let Some(namesrv) = &plan.namesrv {
        report.row("name server", vec![format!("listens on {}", namesrv.listens())]);
    }
    if let Some(broker) = &plan.broker {
        report_broker(&mut report, broker);
    }
    report_settings(&mut report, plan);
    report.row("memory", vec![memory]);
    report.row("metrics", vec![metrics]);
    report.row("data", data(plan));
    let store = plan.broker.as_ref().map(|broker| broker.store.root.clone());
    let folder = store.or_else(|| plan.namesrv.as_ref().map(|namesrv| namesrv.data.clone())).unwrap_or_default();
    report.row("limits", doctor::limits(&folder));
    report.row("log", vec![format!("{}; {}=debug tells more", log.place(), logging::LEVELS)]);
    if let Some(broker) = &plan.broker {
        hint(&mut report, broker, plan.namesrv.as_ref());
    }
    report.hint(match plan.notice {
        Some(_) => format!("`rocketmq stop {what}` stops."),
        None => "Ctrl-C stops.".to_owned(),
    });
    report
}

/// What Java's servers print and log when they have started.
fn boot_success(report: &mut Report, plan: &Plan) {
    if plan.namesrv.is_some() {
        report.java("The Name Server boot success. serializeType=JSON".to_owned());
    }
    if let Some(BrokerPlan { config, .. }) = &plan.broker {
        let registered = match config.namesrv_addrs.as_slice() {
            [] => String::new(),
            some => format!(" and name server is {}", some.join(";")),
        };
        let (name, address) = (&config.broker_name, config.store_host());
        report.java(format!("The broker[{name}, {address}] boot success. serializeType=JSON{registered}"));
    }
}

fn report_broker(report: &mut Report, broker: &BrokerPlan) {
    let config = &broker.config;
    let listens: Vec<_> = broker.listens().iter().map(ToString::to_string).collect();
    let mut lines =
        vec![format!("{} of {}, listens on {}", config.broker_name, config.broker_cluster_name, listens[0])];
    lines.extend(listens[1..].iter().map(|vip| format!("and on {vip} for clients before 4.5 (VIP channel)")));
    lines.push(match config.namesrv_addrs.as_slice() {
        [] => "registers nowhere".to_owned(),
        some => format!("registers at {}", some.join(", ")),
    });
    report.row("broker", lines);
    let advertised = &broker.advertised;
    let mut lines = vec![format!("{}:{}: {}", advertised.address, config.listen_port, advertised.reason)];
    lines.extend(advertised.warning.clone());
    for (what, skipped) in [("this machine has", false), ("not used", true)] {
        let cards = broker.candidates.iter().filter(|card| card.skipped.is_some() == skipped);
        let cards: Vec<_> = cards.map(ToString::to_string).collect();
        if !cards.is_empty() {
            lines.push(format!("{what}: {}", cards.join(", ")));
        }
    }
    report.row("clients are told", lines);
}

fn data(plan: &Plan) -> Vec<String> {
    let store = plan.broker.as_ref().map(|broker| broker.store.root.display().to_string());
    store.into_iter().chain(plan.namesrv.as_ref().map(|namesrv| namesrv.data.display().to_string())).collect()
}

fn hint(report: &mut Report, broker: &BrokerPlan, namesrv: Option<&NamesrvPlan>) {
    let port = namesrv.map(|namesrv| namesrv.config.listen.port());
    let name_server =
        port.map(|port| format!("127.0.0.1:{port}")).or_else(|| broker.config.namesrv_addrs.first().cloned());
    if let Some(name_server) = name_server {
        report.hint("Send a first message with any RocketMQ client; with the Java distribution:");
        report.hint(format!("  export NAMESRV_ADDR={name_server}"));
        report.hint("  sh bin/tools.sh org.apache.rocketmq.example.quickstart.Producer");
    }
}

fn told(error: impl ToString) -> String {
    error.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stop_that_hangs_ends_with_its_limit_and_says_that_the_next_start_recovers() {
        let (release, hangs) = mpsc::channel::<()>();
        let hanging = move || hangs.recv().map_err(|error| error.to_string());
        let told = within(Duration::from_millis(1), hanging).expect_err("nobody releases it");
        assert!(
            told.contains("not done within 0 s; the process ends as in a crash, and the next start recovers"),
            "{told}"
        );
        drop(release);
        assert_eq!(
            within(Duration::from_secs(60), || Err("a failed step".to_owned())),
            Err("a failed step".to_owned())
        );
        assert_eq!(within(Duration::from_secs(60), || Ok(())), Ok(()));
    }
}
