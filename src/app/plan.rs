//! What a command line and its files ask for, worked out and checked before anything starts: which roles, where they
//! listen, where their data is, which address clients are told. Reports all problems at once and touches nothing.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use super::advertise::{self, Advertised, Candidate};
use super::broker_conf::{self, Settings};
use super::cli;
use super::file::plain;
use super::keys::Table;
use super::layers::{self, Layers};
use super::memory::{self, Memory};
use super::monitor_conf::{self, Place};
use super::overlays::{self, Kept};
use super::settings::{Role, Setting};
use super::{daemon, file, logging, namesrv_conf, preflight};
use crate::base::disk::RealDisk;
use crate::base::local_time::Zone;
use crate::{broker, namesrv, store};

/// The roles of one process.
#[derive(Debug, Default)]
pub struct Plan {
    /// The name server, if there is one.
    pub namesrv: Option<NamesrvPlan>,
    /// The broker, if there is one.
    pub broker: Option<BrokerPlan>,
    /// Whether it is `rocketmq dev`, which a port that somebody else has must not stop.
    pub development: bool,
    /// Where metrics are served.
    pub metrics: monitor_conf::Settings,
    /// How to log.
    pub log: logging::Settings,
    /// Settings of the process as a whole.
    pub instance: memory::Settings,
    /// The pid file, if there is one.
    pub pid_file: Option<PathBuf>,
    /// Whom to tell that it is ready, if it runs in the background.
    pub notice: Option<daemon::Notice>,
    /// What an operator should look at: unknown keys and the like.
    pub warnings: Vec<String>,
    /// Keys of the file that change nothing here, with the reason.
    pub unused: Vec<String>,
    /// The file that it starts from, and how many settings were taken from it.
    pub file: Option<(String, usize)>,
    /// Settings that were changed while it ran, which win over the file.
    pub kept: Vec<Kept>,
    /// Keys that a flag sets at every start, whatever was changed, each with the flag.
    pub flags: Vec<(&'static str, &'static str)>,
}

/// A name server to be started.
#[derive(Debug)]
pub struct NamesrvPlan {
    /// Its configuration.
    pub config: namesrv::Config,
    /// Folder of its files.
    pub data: PathBuf,
}

/// A broker to be started.
#[derive(Debug)]
pub struct BrokerPlan {
    /// The broker's configuration.
    pub config: broker::Config,
    /// The store's.
    pub store: store::Config,
    /// The address that clients are told, and why.
    pub advertised: Advertised,
    /// The addresses that were looked at.
    pub candidates: Vec<Candidate>,
}

/// Environment variable with the name servers, as for Java.
pub const NAMESRV_ADDR: &str = "NAMESRV_ADDR";

/// Broker name of `dev`.
const DEV_BROKER: &str = "broker-a";

/// Host name that Java falls back to when the machine has none.
const NAMELESS_BROKER: &str = "DEFAULT_BROKER";

/// `rocketmq dev`.
pub fn dev(args: &cli::Dev) -> Result<Plan, Vec<String>> {
    let (mut plan, environment) = Plan::in_environment()?;
    let data = absolute("--data", &args.data)?;
    let candidates = candidates()?;
    let mut namesrv = namesrv::Config::default();
    environment.apply(Role::Namesrv, &namesrv_conf::TABLE, &mut namesrv);
    namesrv_conf::keep_files_in(&mut namesrv, &data.join("namesrv"));
    plan.keep(Role::Namesrv, &namesrv.overlay_path(), &namesrv::config::TABLE, &mut namesrv)?;
    namesrv.listen.set_port(args.namesrv_port);
    let mut settings = Settings::new(&data.join("store"));
    settings.broker.broker_name = DEV_BROKER.to_owned();
    environment.apply(Role::Broker, &broker_conf::TOML, &mut settings);
    plan.keep(Role::Broker, &overlays::of_broker(&data.join("store")), &broker_conf::TABLE, &mut settings)?;
    settings.broker.broker_name = settings.name.take().unwrap_or(settings.broker.broker_name);
    settings.broker.listen_port = args.broker_port;
    settings.broker.namesrv_addrs = vec![format!("127.0.0.1:{}", args.namesrv_port)];
    let advertised = advertise::choose_for_development(args.advertise, &candidates);
    plan.development = true;
    plan.flag_wins("`rocketmq dev`", &["listenPort", "namesrvAddr"]);
    plan.namesrv = Some(NamesrvPlan { config: namesrv, data: data.join("namesrv") });
    plan.broker = Some(BrokerPlan::new(settings, data.join("store"), advertised, candidates));
    plan.bounded()
}

/// `rocketmq namesrv`.
pub fn namesrv(args: &cli::Namesrv) -> Result<Plan, Vec<String>> {
    let (mut plan, environment) = Plan::in_environment()?;
    let data = match &args.data {
        Some(data) => absolute("--data", data)?,
        None => home()?.join("namesrv"),
    };
    let mut config = namesrv::Config::default();
    namesrv_conf::keep_files_in(&mut config, &data);
    plan.read(args.config.as_deref(), &namesrv::config::TABLE, &mut config)?;
    environment.apply(Role::Namesrv, &namesrv_conf::TABLE, &mut config);
    plan.keep(Role::Namesrv, &config.overlay_path(), &namesrv::config::TABLE, &mut config)?;
    if let Some(listen) = args.listen {
        config.listen = listen.over(config.listen);
        plan.flag_wins("--listen", &["bindAddress", "listenPort"]);
    }
    plan.namesrv = Some(NamesrvPlan { config, data });
    plan.bounded()
}

/// `rocketmq broker`.
pub fn broker(args: &cli::Broker) -> Result<Plan, Vec<String>> {
    let (mut plan, environment) = Plan::in_environment()?;
    let mut settings = Settings::new(Path::new(""));
    plan.read(args.config.as_deref(), &broker_conf::TABLE, &mut settings)?;
    environment.apply(Role::Broker, &broker_conf::TOML, &mut settings);
    if let Some(data) = &args.data {
        settings.root = Some(absolute("--data", data)?);
    }
    plan.keep(Role::Broker, &overlays::of_broker(&root(&settings)?), &broker_conf::TABLE, &mut settings)?;
    if let Some(listen) = args.listen {
        plan.flag_wins("--listen", &["bindAddress", "listenPort"]);
        let configured = SocketAddr::new(settings.broker.bind_ip, settings.broker.listen_port);
        settings.broker.bind_ip = listen.over(configured).ip();
        settings.broker.listen_port = listen.over(configured).port();
    }
    if let Some(cli::NamesrvList(given)) = &args.namesrv {
        settings.name_servers = Some(given.clone());
        plan.flag_wins("-n", &["namesrvAddr"]);
    }
    plan.add_broker(settings, "brokerIP1")?;
    plan.bounded()
}

/// A configuration file in TOML, under its name, with the environment over it.
fn layers_of(file: &Path) -> Result<(String, layers::Layers), Vec<String>> {
    let name = file.display().to_string();
    let text = file::toml(file).map_err(|problem| vec![problem])?;
    let layers = layers::load(&name, &text, layers::variables(), home().ok().as_deref())?;
    Ok((name, layers))
}

/// Whether `rocketmq run` can read a file and knows what to run.
pub fn understands(file: &Path) -> bool {
    let runs = |layers: &layers::Layers| [Role::Namesrv, Role::Broker].iter().any(|role| layers.roles.contains(role));
    layers_of(file).is_ok_and(|(_, layers)| runs(&layers))
}

/// `rocketmq run`.
pub fn run(args: &cli::Run) -> Result<Plan, Vec<String>> {
    let home = home().ok();
    let (name, mut layers) = layers_of(&args.config)?;
    let of_file = layers.given.iter().filter(|given| given.span.is_some()).count();
    let kept = overlays::over(&mut layers, None, home.as_deref())?;
    let mut plan = Plan { file: Some((name.clone(), of_file)), kept, ..Plan::default() };
    let mut problems = layers.apply(Role::Log, &logging::TABLE, &mut plan.log);
    problems.extend(layers.apply(Role::Instance, &memory::TABLE, &mut plan.instance));
    problems.extend(layers.apply(Role::Metrics, &monitor_conf::TABLE, &mut plan.metrics));
    // A file describes a service, and a service without its metrics is one that nobody watches.
    plan.metrics.required = true;
    if layers.roles.contains(&Role::Namesrv) {
        let mut config = namesrv::Config::default();
        namesrv_conf::keep_files_in(&mut config, &default_folder("namesrv.data", "namesrv", &layers)?);
        problems.extend(layers.apply(Role::Namesrv, &namesrv_conf::TABLE, &mut config));
        let data = config.kv_config_path.parent().map(Path::to_owned).unwrap_or_default();
        plan.namesrv = Some(NamesrvPlan { config, data });
    }
    if layers.roles.contains(&Role::Broker) {
        let mut settings = Settings::new(Path::new(""));
        problems.extend(layers.apply(Role::Broker, &broker_conf::TOML, &mut settings));
        plan.add_broker(settings, "broker.advertise")?;
    }
    if plan.namesrv.is_none() && plan.broker.is_none() {
        problems
            .push(format!("{name}: there is neither a section [namesrv] nor a section [broker], so nothing would run"));
    }
    if problems.is_empty() { plan.bounded() } else { Err(problems) }
}

/// The folder of a broker's store.
fn root(settings: &Settings) -> Result<PathBuf, Vec<String>> {
    match &settings.root {
        Some(root) => absolute("the store's folder", root),
        None => Ok(home()?.join("store")),
    }
}

/// A folder below the home folder, which has to be known only if the setting was not given.
fn default_folder(setting: &str, name: &str, layers: &Layers) -> Result<PathBuf, Vec<String>> {
    let given = Setting::find(setting).and_then(|row| layers.effective(row));
    if given.is_some() { Ok(PathBuf::from(name)) } else { Ok(home()?.join(name)) }
}

/// The name servers of the environment.
fn name_servers() -> Result<Vec<String>, Vec<String>> {
    let Ok(text) = std::env::var(NAMESRV_ADDR) else { return Ok(Vec::new()) };
    let list: cli::NamesrvList = text.parse().map_err(|what| vec![format!("{NAMESRV_ADDR}={text}: {what}")])?;
    Ok(list.0)
}

impl BrokerPlan {
    fn new(settings: Settings, root: PathBuf, advertised: Advertised, candidates: Vec<Candidate>) -> BrokerPlan {
        let Settings { broker: mut config, mut store, .. } = settings;
        config.broker_ip1 = advertised.address;
        config.zone = Zone::load(&RealDisk, std::env::var("TZ").ok().as_deref());
        config.store_path_root_dir.clone_from(&root);
        store.root = root;
        store.retention.zone = config.zone.clone();
        BrokerPlan { config, store, advertised, candidates }
    }

    /// Where it listens: the port that clients are told and, where there is room below it, the VIP channel's.
    pub fn listens(&self) -> Vec<SocketAddr> {
        const VIP_BELOW: u16 = 2;
        let (ip, port) = (self.config.bind_ip, self.config.listen_port);
        let vip = port.checked_sub(VIP_BELOW).filter(|vip| self.config.vip_channel && *vip > 0);
        std::iter::once(port).chain(vip).map(|port| SocketAddr::new(ip, port)).collect()
    }
}

impl NamesrvPlan {
    /// Where it listens.
    pub fn listens(&self) -> SocketAddr {
        self.config.listen
    }
}

impl Plan {
    /// Reads a file, if one was given, into settings.
    fn read<T>(&mut self, file: Option<&Path>, table: &Table<T>, settings: &mut T) -> Result<(), Vec<String>> {
        let Some(file) = file else { return Ok(()) };
        let name = file.display();
        let entries = file::entries(file).map_err(|problem| vec![problem])?;
        let outcome = table.apply(&entries, settings);
        if !outcome.problems.is_empty() {
            return Err(outcome.problems.iter().map(|problem| format!("{name}:{problem}")).collect());
        }
        self.file = Some((name.to_string(), outcome.taken));
        self.warnings.extend(outcome.warnings.iter().map(|warning| format!("{name}:{warning}")));
        self.unused.extend(outcome.unused);
        Ok(())
    }

    /// A plan with what the environment says of the process, and what it says of the roles.
    fn in_environment() -> Result<(Plan, Layers), Vec<String>> {
        let environment = layers::environment(home().ok().as_deref())?;
        let mut plan = Plan::default();
        // What cannot be used was told when it was read.
        environment.apply(Role::Log, &logging::TABLE, &mut plan.log);
        environment.apply(Role::Instance, &memory::TABLE, &mut plan.instance);
        environment.apply(Role::Metrics, &monitor_conf::TABLE, &mut plan.metrics);
        plan.metrics.required = plan.metrics.place != Place::Default;
        Ok((plan, environment))
    }

    /// Puts what was changed while a role ran over its settings.
    fn keep<T>(&mut self, role: Role, path: &Path, table: &Table<T>, settings: &mut T) -> Result<(), Vec<String>> {
        let kept = overlays::read(role, path)?;
        let problems = overlays::apply(&kept, table, settings);
        if !problems.is_empty() {
            return Err(problems);
        }
        self.kept.extend(kept);
        if let Some(level) = overlays::log_level(&self.kept) {
            self.log.level.clone_from(&level.change.value);
        }
        Ok(())
    }

    /// Warns that a flag wins over what was changed while the role ran.
    fn flag_wins(&mut self, flag: &'static str, keys: &[&'static str]) {
        self.flags.extend(keys.iter().map(|key| (*key, flag)));
        for Kept { path, change, .. } in self.kept.iter().filter(|kept| keys.contains(&kept.change.key.as_str())) {
            let (key, value) = (&change.key, &change.value);
            self.warnings.push(format!("{}: {key}={value} does not count: {flag} wins over it", path.display()));
        }
    }

    /// Divides the memory.
    fn bounded(mut self) -> Result<Plan, Vec<String>> {
        let (namesrv, broker) = self.memory();
        if let Some(plan) = &mut self.namesrv {
            namesrv.bound_namesrv(&mut plan.config);
        }
        let mut problem = None;
        if let Some(plan) = &mut self.broker {
            broker.bound_broker(&mut plan.config, &mut plan.store);
            problem = broker.problems(&plan.config);
        }
        problem.map_or(Ok(self), |problem| Err(vec![problem]))
    }

    /// The memory of the name server and of the broker.
    pub fn memory(&self) -> (Memory, Memory) {
        Memory::of_roles(self.instance.memory_limit, self.namesrv.is_some() && self.broker.is_some())
    }

    /// Completes a broker's settings with what only the machine knows. `advertise` is the name of the setting that an
    /// advertised address came from.
    fn add_broker(&mut self, mut settings: Settings, advertise: &str) -> Result<(), Vec<String>> {
        let root = root(&settings)?;
        settings.broker.broker_name =
            settings.name.take().or_else(host_name).unwrap_or_else(|| NAMELESS_BROKER.to_owned());
        settings.broker.namesrv_addrs = settings.name_servers.take().map_or_else(name_servers, Ok)?;
        if settings.broker.namesrv_addrs.is_empty() {
            self.warnings.push(format!(
                "no name server is told of this broker, so clients will not find it: give -n, namesrvAddr or {NAMESRV_ADDR}"
            ));
        }
        if settings.broker.sync_master {
            self.warnings.push(
                "brokerRole=SYNC_MASTER and no slave can be: every send is stored and answered SLAVE_NOT_AVAILABLE, as by \
                 Java 4.9; ASYNC_MASTER answers SEND_OK"
                    .to_owned(),
            );
        }
        let candidates = candidates()?;
        let asked = settings.advertised.map(|address| (address, advertise));
        let advertised = advertise::choose(asked, settings.broker.bind_ip, &candidates);
        self.warnings.extend(advertised.warning.clone());
        self.broker = Some(BrokerPlan::new(settings, root, advertised, candidates));
        Ok(())
    }

    /// Takes over the flags that say how a process runs. A daemon has no stderr, so it logs to where Java's does.
    pub fn process(
        &mut self,
        name: &str,
        process: &cli::Process,
        notice: Option<daemon::Notice>,
    ) -> Result<(), Vec<String>> {
        if let Some(folder) = &process.log_dir {
            self.log.dir = Some(absolute("--log-dir", folder)?);
        }
        self.place_metrics(process.metrics);
        self.pid_file.clone_from(&process.pid_file);
        self.notice = notice;
        if self.notice.is_some() {
            self.pid_file = self.pid_file.take().or_else(|| Some(daemon::pid_file(name)));
            if self.log.dir.is_none() {
                self.log.dir = Some(home()?.join("logs/rocketmqlogs"));
            }
        }
        if let Some(file) = self.pid_file.take() {
            self.pid_file = Some(absolute("--pid-file", &file)?);
        }
        Ok(())
    }

    /// What the settings contradict, without a look at the machine.
    pub fn check(&self) -> Vec<String> {
        let broker = self.broker.iter().flat_map(|plan| plan.config.check().into_iter().chain(plan.store.check()));
        broker.collect()
    }

    /// Where metrics are served. Whoever names a place means it; without a word, two brokers of one machine start as two
    /// of Java's would, and the second one warns that it has no metrics.
    fn place_metrics(&mut self, typed: Option<Place>) {
        if let Some(place) = typed {
            self.metrics.place = place;
            self.metrics.required = true;
        }
        self.metrics.required &= !self.development;
    }

    /// Where metrics are served; `None` when they are off.
    pub fn metrics_address(&self) -> Option<SocketAddr> {
        let port = if self.broker.is_some() { monitor_conf::BROKER_PORT } else { monitor_conf::NAMESRV_PORT };
        self.metrics.place.address(port)
    }

    /// Everything that can be known to fail before anything is touched.
    pub fn preflight(&self) -> Result<(), Vec<String>> {
        let mut checks: Vec<Result<(), String>> = self.check().into_iter().map(Err).collect();
        if let Some(namesrv) = &self.namesrv {
            let flag = if self.development { "--namesrv-port" } else { "--listen, listenPort or [namesrv] listen" };
            checks.push(port("name server", namesrv.listens(), flag));
            checks.push(preflight::folder("name server", &namesrv.data));
        }
        if let Some(broker) = &self.broker {
            let flag = if self.development { "--broker-port" } else { "--listen, listenPort or [broker] listen" };
            checks.extend(broker.listens().into_iter().map(|address| port("broker", address, flag)));
            checks.push(preflight::folder("broker", &broker.store.root));
            checks.push(preflight::unlocked("broker", &broker.store.root));
        }
        if let Some(address) = self.metrics_address().filter(|at| self.metrics.required && at.port() > 0) {
            checks.push(port("metrics", address, "[metrics] listen or --metrics, or turn them off"));
        }
        if let Some(file) = &self.pid_file {
            checks.push(daemon::PidFile::check(file));
            checks.push(preflight::folder("the pid file", file.parent().unwrap_or(file)));
        }
        if let Some(folder) = &self.log.dir {
            checks.push(preflight::folder("the log", folder));
        }
        let mut problems: Vec<String> = checks.into_iter().filter_map(Result::err).collect();
        problems.dedup();
        if problems.is_empty() { Ok(()) } else { Err(problems) }
    }
}

/// Whether a port is free; `setting` chooses another.
fn port(what: &str, address: SocketAddr, setting: &str) -> Result<(), String> {
    preflight::port(what, address).map_err(|problem| format!("{problem}; choose another with {setting}"))
}

fn absolute(what: &str, path: &Path) -> Result<PathBuf, Vec<String>> {
    std::path::absolute(path).map_err(|error| vec![format!("{what} {}: {}", path.display(), plain(&error))])
}

fn candidates() -> Result<Vec<Candidate>, Vec<String>> {
    advertise::candidates().map_err(|error| vec![format!("reading this machine's addresses: {}", plain(&error))])
}

/// The folder that Java calls `user.home`.
fn home() -> Result<PathBuf, Vec<String>> {
    match std::env::var_os("HOME") {
        Some(home) if !home.is_empty() => absolute("HOME", Path::new(&home)),
        _ => Err(vec!["HOME is not set, so there is no default folder: give --data DIR".to_owned()]),
    }
}

fn host_name() -> Option<String> {
    let system = rustix::system::uname();
    system.nodename().to_str().ok().filter(|name| !name.is_empty()).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn broker_args(line: &str) -> cli::Broker {
        use clap::Parser;
        match cli::Cli::try_parse_from(line.split(' ')).expect("a good command line").command {
            cli::Command::Broker(args) => args,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn flags_win_over_the_file_and_the_file_over_defaults() {
        let file = std::env::temp_dir().join(format!("rocketmq-plan-{}.conf", std::process::id()));
        fs::write(
            &file,
            "namesrvAddr=a:1;b:2\nlistenPort=20911\nbindAddress=127.0.0.1\nstorePathRootDir=/s\nbrokerIP1=10.1.2.3\n",
        )
        .expect("the temporary folder is writable");
        let line = format!("rocketmq broker -c {}", file.display());
        let plan = broker(&broker_args(&line)).expect("a good file").broker.expect("a broker");
        assert_eq!(plan.config.namesrv_addrs, ["a:1", "b:2"]);
        assert_eq!(
            plan.listens().iter().map(ToString::to_string).collect::<Vec<_>>(),
            ["127.0.0.1:20911", "127.0.0.1:20909"]
        );
        assert_eq!(
            (plan.store.root.as_path(), plan.config.store_path_root_dir.as_path()),
            (Path::new("/s"), Path::new("/s"))
        );
        assert_eq!(plan.config.store_host().to_string(), "10.1.2.3:20911");
        let line = format!("{line} -n c:3 --listen 0.0.0.0:30911 --data /t");
        let plan = broker(&broker_args(&line)).expect("a good file").broker.expect("a broker");
        assert_eq!(plan.config.namesrv_addrs, ["c:3"]);
        assert_eq!(plan.listens()[0].to_string(), "0.0.0.0:30911");
        assert_eq!(plan.store.root, Path::new("/t"));
        fs::remove_file(&file).expect("ours");
    }
}
