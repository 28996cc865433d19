//! The command line: what can be typed, and nothing about what it does.

use std::ffi::OsString;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;

use clap::{Args, CommandFactory, Parser, Subcommand};

use super::monitor_conf::Place;
use crate::{admin, bench};

/// One executable that replaces a RocketMQ installation.
#[derive(Debug, Parser)]
#[command(name = "rocketmq", version, about, disable_help_subcommand = true, arg_required_else_help = true)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Asks or changes a cluster, as Java's mqadmin does; `rocketmq admin help` lists its commands
    Admin,
    /// A name server and a broker in one process, for development: topics and groups are made on demand
    Dev(Dev),
    /// A name server
    Namesrv(Namesrv),
    /// A broker
    Broker(Broker),
    /// The roles of a configuration file in TOML
    Run(Run),
    /// Stop an instance cleanly and wait for its end
    Stop(Instance),
    /// Say whether an instance runs
    Status(Instance),
    /// Have an instance read its files again and open its log anew; its log says what changed
    Reload(Instance),
    /// Ask every name server or every broker of this machine to stop, as Java's mqshutdown does
    Shutdown {
        /// Whom
        role: ShutdownOf,
    },
    /// The quickstart of RocketMQ's distribution: 1000 messages to TopicTest, and a consumer that prints them
    #[command(subcommand)]
    Example(Example),
    /// Look for what keeps servers from starting and clients from reaching them, with the fix
    Doctor(Doctor),
    /// Look at configuration files, or turn a Java broker's into TOML
    #[command(subcommand)]
    Config(Config),
    /// Load for a cluster, and probes of the machine
    Bench(bench::Args),
}

/// How a process runs.
#[derive(Clone, Debug, Default, Args)]
pub struct Process {
    /// Folder of log files, instead of stderr
    #[arg(long, value_name = "DIR")]
    pub log_dir: Option<PathBuf>,
    /// Run in the background: returns when it is ready, or with its error [log: ~/logs/rocketmqlogs]
    #[arg(long)]
    pub daemon: bool,
    /// File with the process id while it runs [of a daemon: /run/rocketmq/NAME.pid]
    #[arg(long, value_name = "FILE")]
    pub pid_file: Option<PathBuf>,
    /// Where /metrics, /livez and /readyz are served: IP:PORT, :PORT or off [default: 0.0.0.0:5557; a name server alone: 5558]
    #[arg(long, value_name = "ADDR")]
    pub metrics: Option<Place>,
    /// Where a daemon works; relative paths are meant from there [default: where it was started]
    #[arg(long, value_name = "DIR", requires = "daemon")]
    pub working_directory: Option<PathBuf>,
    /// Permissions that a daemon's files do not get, in octal: 027 keeps others out [default: as inherited]
    #[arg(long, value_name = "MASK", requires = "daemon")]
    pub umask: Option<Umask>,
}

/// `--umask`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Umask(pub u32);

impl FromStr for Umask {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mask = u32::from_str_radix(text, 8).ok().filter(|mask| *mask <= 0o777);
        mask.map(Umask).ok_or_else(|| "accepted are octal numbers from 000 to 777".to_owned())
    }
}

/// A running instance, for `rocketmq stop`, `status` and `reload`.
#[derive(Debug, Args)]
pub struct Instance {
    /// Its name: dev, namesrv, broker, or the stem of its file (`rocketmq run -c NAME.toml`)
    #[arg(value_name = "NAME")]
    pub instance: String,
    /// Its pid file [default: /run/rocketmq/NAME.pid]
    #[arg(long, value_name = "FILE")]
    pub pid_file: Option<PathBuf>,
}

/// `rocketmq example`.
#[derive(Debug, Subcommand)]
pub enum Example {
    /// org.apache.rocketmq.example.quickstart.Producer: sends 1000 messages and prints where each went
    Producer(Quickstart),
    /// org.apache.rocketmq.example.quickstart.Consumer: prints every message, until Ctrl-C
    Consumer(Quickstart),
}

/// What the quickstart takes.
#[derive(Debug, Args)]
pub struct Quickstart {
    /// Name servers: HOST:PORT, several separated by semicolons [default: NAMESRV_ADDR]
    #[arg(short = 'n', long = "namesrv", alias = "namesrvAddr", value_name = "A:9876;B:9876")]
    pub namesrv: Option<NamesrvList>,
}

/// Whom `rocketmq shutdown` stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum ShutdownOf {
    /// All brokers
    Broker,
    /// All name servers
    Namesrv,
    /// What benchmark/producer.sh started
    BenchProducer,
    /// What benchmark/consumer.sh started
    BenchConsumer,
}

/// `rocketmq dev`.
#[derive(Debug, Args)]
pub struct Dev {
    /// Folder for everything that is kept: DIR/store (the broker's) and DIR/namesrv
    #[arg(long, value_name = "DIR", default_value = "rocketmq-data")]
    pub data: PathBuf,
    /// Port of the name server
    #[arg(long, value_name = "PORT", default_value_t = NAMESRV_PORT, value_parser = clap::value_parser!(u16).range(1..))]
    pub namesrv_port: u16,
    /// Port of the broker; PORT-2 is opened too, for clients before 4.5
    #[arg(long, value_name = "PORT", default_value_t = BROKER_PORT, value_parser = clap::value_parser!(u16).range(3..))]
    pub broker_port: u16,
    /// Address that clients are told; 127.0.0.1 if not given, which serves clients on this machine
    #[arg(long, value_name = "IP", value_parser = advertisable)]
    pub advertise: Option<IpAddr>,
    /// How it runs.
    #[command(flatten)]
    pub process: Process,
}

/// `rocketmq namesrv`.
#[derive(Debug, Default, Args)]
pub struct Namesrv {
    /// A name server's .properties file
    #[arg(short = 'c', long = "config-file", alias = "configFile", value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Where to listen: IP:PORT, IP or :PORT [default: 0.0.0.0:9876]
    #[arg(long, value_name = "ADDR")]
    pub listen: Option<Listen>,
    /// Folder for what is kept [default: ~/namesrv, as Java's]
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Print all configuration items in Java's form, and end
    #[arg(short = 'p', long = "printConfigItem")]
    pub print_config_items: bool,
    /// Accepted as by Java's, and as there of no use to a name server
    #[arg(short = 'n', long = "namesrvAddr", hide = true)]
    pub namesrv: Option<String>,
    /// How it runs.
    #[command(flatten)]
    pub process: Process,
}

/// `rocketmq broker`.
#[derive(Debug, Default, Args)]
pub struct Broker {
    /// Name servers: HOST:PORT, several separated by semicolons; wins over namesrvAddr and NAMESRV_ADDR
    #[arg(short = 'n', long = "namesrv", alias = "namesrvAddr", value_name = "A:9876;B:9876")]
    pub namesrv: Option<NamesrvList>,
    /// A broker.conf or .properties file
    #[arg(short = 'c', long = "config-file", alias = "configFile", value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Folder of the store, Java's storePathRootDir [default: ~/store, as Java's]
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Where to listen: IP:PORT, IP or :PORT [default: 0.0.0.0:10911]
    #[arg(long, value_name = "ADDR")]
    pub listen: Option<Listen>,
    /// Print all configuration items in Java's form, and end
    #[arg(short = 'p', long = "printConfigItem")]
    pub print_config_items: bool,
    /// Print the important configuration items in Java's form, and end
    #[arg(short = 'm', long = "printImportantConfig")]
    pub print_important_items: bool,
    /// How it runs.
    #[command(flatten)]
    pub process: Process,
}

/// `rocketmq run`.
#[derive(Debug, Args)]
pub struct Run {
    /// The file, with sections [namesrv], [broker], [log]; the commented files of conf/ are the defaults
    #[arg(short = 'c', long = "config-file", value_name = "FILE")]
    pub config: PathBuf,
    /// How it runs.
    #[command(flatten)]
    pub process: Process,
}

/// `rocketmq doctor`.
#[derive(Debug, Args)]
pub struct Doctor {
    /// Name servers of the cluster to look at [default: NAMESRV_ADDR]
    #[arg(short = 'n', long = "namesrv", value_name = "A:9876;B:9876")]
    pub namesrv: Option<NamesrvList>,
    /// Topic whose route is looked for
    #[arg(short = 't', long, value_name = "TOPIC")]
    pub topic: Option<String>,
    /// Cluster that it should be in
    #[arg(short = 'c', long, value_name = "CLUSTER")]
    pub cluster: Option<String>,
    /// Folder whose disk is looked at
    #[arg(long, value_name = "DIR", default_value = ".")]
    pub data: PathBuf,
    /// How to print
    #[arg(long, value_enum, default_value_t = DoctorOutput::Text)]
    pub output: DoctorOutput,
}

/// How `rocketmq doctor` prints.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum DoctorOutput {
    /// A line for each finding, and its fix
    Text,
    /// A JSON array
    Json,
}

/// `rocketmq config`.
#[derive(Debug, Subcommand)]
pub enum Config {
    /// Check a file, TOML or a Java broker's .properties; nothing is touched
    Check(ConfigFile),
    /// Show every effective value with its origin
    Show(ConfigFile),
    /// Print a file and the settings that were changed while the server ran as one file in TOML, with comments
    Fold(Fold),
    /// Explain a setting, or a key of Java's
    Explain {
        /// Its path (broker.flush.mode), its name (mode), or a key of Java's (flushDiskType)
        key: String,
    },
    /// Print a Java .properties file as TOML, with comments on what changes
    Migrate(ConfigFile),
    /// Compare the files of one cluster: names, ids, roles, ports, folders, name servers
    Lint {
        /// Folder with the files of all its processes (.toml, .properties, .conf)
        #[arg(value_name = "DIR")]
        folder: PathBuf,
    },
}

/// `rocketmq config fold`.
#[derive(Debug, Args)]
pub struct Fold {
    /// The file that the server starts from
    #[arg(short = 'c', long = "config-file", alias = "configFile", value_name = "FILE")]
    pub file: PathBuf,
    /// Whose .properties file it is
    #[arg(long, value_enum, default_value_t = PropertiesOf::Broker)]
    pub role: PropertiesOf,
    /// Folder of its data, if a flag says another than the file
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
}

/// A file of `rocketmq config`.
#[derive(Debug, Args)]
pub struct ConfigFile {
    /// The file
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Whose .properties file it is
    #[arg(long, value_enum, default_value_t = PropertiesOf::Broker)]
    pub role: PropertiesOf,
    /// Folder of the server's data, if a flag says another than the file: there is what was changed while it ran
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
}

/// Whose a `.properties` file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum PropertiesOf {
    /// A broker's
    Broker,
    /// A name server's
    Namesrv,
}

/// Default port of a name server.
pub const NAMESRV_PORT: u16 = 9876;
/// Default port of a broker.
pub const BROKER_PORT: u16 = 10911;

/// Every address of this machine.
pub const ANY: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);

/// `--listen`: an address, a port, or both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listen {
    /// The address, if one was given.
    pub ip: Option<IpAddr>,
    /// The port, if one was given.
    pub port: Option<u16>,
}

impl FromStr for Listen {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bad = || "accepted are IP:PORT, IP and :PORT, with ports from 1 to 65535".to_owned();
        if let Ok(both) = text.parse::<SocketAddr>() {
            return if both.port() == 0 {
                Err(bad())
            } else {
                Ok(Listen { ip: Some(both.ip()), port: Some(both.port()) })
            };
        }
        if let Ok(ip) = text.parse() {
            return Ok(Listen { ip: Some(ip), port: None });
        }
        match text.strip_prefix(':').and_then(|port| port.parse().ok()) {
            Some(port) if port > 0 => Ok(Listen { ip: None, port: Some(port) }),
            _ => Err(bad()),
        }
    }
}

/// `-n`: a list of name servers, at least one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamesrvList(pub Vec<String>);

impl FromStr for NamesrvList {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        crate::base::keys::servers(text).map(NamesrvList)
    }
}

fn advertisable(text: &str) -> Result<IpAddr, String> {
    match text.parse::<IpAddr>() {
        Ok(ip) if ip.is_unspecified() => {
            Err("clients cannot connect to it; give an address of this machine".to_owned())
        }
        Ok(IpAddr::V6(_)) => Err("message ids and clients before 5.0 need an IPv4 address".to_owned()),
        Ok(ip) => Ok(ip),
        Err(_) => Err("accepted is an IPv4 address such as 192.168.1.10".to_owned()),
    }
}

impl Listen {
    /// Where to listen if the configuration says `configured`.
    pub fn over(self, configured: SocketAddr) -> SocketAddr {
        SocketAddr::new(self.ip.unwrap_or(configured.ip()), self.port.unwrap_or(configured.port()))
    }
}

/// A usage error in one line: what clap found, and its tip.
pub fn one_line(error: &clap::Error) -> String {
    let text = error.to_string();
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let found = lines.next().unwrap_or("bad arguments").trim_start_matches("error: ").trim_end_matches(':').to_owned();
    let mut parts = vec![found];
    for line in lines {
        if line.starts_with("Usage:") || line.starts_with("For more information") {
            break;
        }
        parts.push(line.trim_start_matches("tip: ").to_owned());
    }
    let told = parts.join("; ");
    STANDARD.iter().fold(told, |told, (found, accepted)| told.replace(found, accepted))
}

/// What to do about a word that is not known or not there: the help of the command that was meant.
pub fn remedy(error: &clap::Error, arguments: &[OsString]) -> String {
    use clap::error::ErrorKind::{InvalidSubcommand, MissingRequiredArgument, UnknownArgument};
    if !matches!(error.kind(), InvalidSubcommand | MissingRequiredArgument | UnknownArgument) {
        return String::new();
    }
    let mut meant = vec!["rocketmq".to_owned()];
    let mut command = Cli::command();
    for word in arguments.iter().skip(1) {
        let Some(inner) = command.find_subcommand(word).cloned() else {
            if admin::COMMANDS.iter().any(|command| *word == *command.name) && meant.len() == 1 {
                return format!("; it is a command of `rocketmq admin {}`", word.display());
            }
            break;
        };
        meant.push(inner.get_name().to_owned());
        command = inner;
    }
    format!("; `{} --help` lists what is taken", meant.join(" "))
}

/// What the standard library says of numbers that are none, and what is accepted instead.
const STANDARD: [(&str, &str); 4] = [
    ("invalid digit found in string", "accepted is a whole number"),
    ("cannot parse integer from empty string", "accepted is a whole number"),
    ("number too large to fit in target type", "accepted is a smaller whole number"),
    ("invalid float literal", "accepted is a number"),
];

#[cfg(test)]
mod tests {
    use std::any::TypeId;

    use super::*;

    #[test]
    fn the_definition_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_flag_with_a_value_that_cannot_be_used_is_named_with_what_is_accepted() {
        // What takes any text or path cannot refuse one.
        let anything = [TypeId::of::<String>(), TypeId::of::<PathBuf>()];
        let mut commands = vec![("rocketmq".to_owned(), Cli::command())];
        let mut checked = 0;
        while let Some((path, command)) = commands.pop() {
            commands
                .extend(command.get_subcommands().map(|inner| (format!("{path} {}", inner.get_name()), inner.clone())));
            for flag in command.get_arguments().filter(|flag| flag.get_action().takes_values()) {
                let Some(long) = flag.get_long() else { continue };
                if anything.iter().any(|text| flag.get_value_parser().type_id() == *text) {
                    continue;
                }
                let line = format!("{path} --{long}=?no/such;value");
                let told = one_line(&Cli::try_parse_from(line.split(' ')).expect_err(&line));
                assert!(told.contains("'?no/such;value'") && told.contains(&format!("--{long} ")), "{line}: {told}");
                let says = ["accepted", "is needed", "possible values", "an IPv4 address", "is not HOST:PORT"];
                assert!(says.iter().any(|says| told.contains(says)), "{line}: {told}");
                checked += 1;
            }
        }
        assert!(checked > 10, "{checked}");
    }

    #[test]
    fn listen_takes_an_address_a_port_or_both() {
        let configured = SocketAddr::from(([0, 0, 0, 0], 7));
        let listen = |text: &str| text.parse::<Listen>().map(|listen| listen.over(configured).to_string());
        assert_eq!(listen("1.2.3.4:5").as_deref(), Ok("1.2.3.4:5"));
        assert_eq!(listen("1.2.3.4").as_deref(), Ok("1.2.3.4:7"));
        assert_eq!(listen(":5").as_deref(), Ok("0.0.0.0:5"));
        assert_eq!(listen("[::1]:5").as_deref(), Ok("[::1]:5"));
        for bad in ["", "5", ":", ":0", ":65536", "1.2.3.4:0", "localhost", "1.2.3:4"] {
            assert!(listen(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn name_servers_are_hosts_with_ports() {
        let list = |text: &str| text.parse::<NamesrvList>().map(|list| list.0.join(" "));
        assert_eq!(list("a:9876;b:9876").as_deref(), Ok("a:9876 b:9876"));
        assert_eq!(list(" 10.0.0.1:9876 ; ;[::1]:9876;").as_deref(), Ok("10.0.0.1:9876 [::1]:9876"));
        for bad in ["", ";", "a", "a:", ":9876", "a:0", "a:99999", "http://a:80", "a b:1"] {
            assert!(list(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_usage_error_is_one_line_with_its_tip() {
        let told = |line: &str| one_line(&Cli::try_parse_from(line.split(' ')).expect_err("refused"));
        assert!(
            told("rocketmq dev --dta x")
                .contains("unexpected argument '--dta' found; a similar argument exists: '--data'")
        );
        assert!(told("rocketmq dev --broker-port 1").contains("1 is not in 3..=65535"));
        assert!(told("rocketmq dev --advertise 0.0.0.0").contains("clients cannot connect to it"));
        assert!(told("rocketmq brokr").contains("brokr"));
        assert!(!told("rocketmq broker -n").contains('\n'));
        let help = |line: &str| {
            let words: Vec<OsString> = line.split(' ').map(OsString::from).collect();
            remedy(&Cli::try_parse_from(&words).expect_err("refused"), &words)
        };
        assert_eq!(help("rocketmq broker start"), "; `rocketmq broker --help` lists what is taken");
        assert_eq!(help("rocketmq config show"), "; `rocketmq config show --help` lists what is taken");
        assert_eq!(help("rocketmq help"), "; `rocketmq --help` lists what is taken");
        assert_eq!(help("rocketmq clusterList -n a:1"), "; it is a command of `rocketmq admin clusterList`");
        assert_eq!(help("rocketmq broker --listen x"), "", "what is accepted is said");
    }
}
