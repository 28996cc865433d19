//! Processes in the background: starting one and waiting until it is ready, its pid file, and the commands that act on a
//! running instance. Forks before there is any thread; locks and ports are taken after that, by the daemon itself.

use std::fs;
use std::io::{self, BufRead, BufReader};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use daemonize::{Daemonize, Outcome};

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::fs::Mode;
use rustix::pipe::PipeFlags;
use rustix::process::{Pid, PidfdFlags, Signal};

use super::cli::{self, Umask};
use super::logging::Log;
use super::preflight;

/// How long `stop` waits for the end: the longest `drainTime`, the stop itself, and room to spare.
const STOP_WAIT: Timespec = Timespec { tv_sec: 600 + 90, tv_nsec: 0 };

/// What a daemon tells the command that started it when it can be used: its process id and this.
const READY: u8 = b'\n';

/// Which of the two processes goes on here.
pub enum Side {
    /// The command that was typed: it ends with this code.
    Command(ExitCode),
    /// The daemon.
    Daemon(Notice),
}

/// The daemon's word to the command that waits for it: that it is ready, or, when all clones are gone, that it is not.
#[derive(Clone, Debug)]
pub struct Notice(Arc<OwnedFd>);

/// Goes into the background: two forks, a session of its own. To be called before there is any thread. The command waits
/// until the daemon is ready, or has ended with its error on stderr; until then both share the terminal.
pub fn detach(process: &cli::Process) -> Result<Side, Vec<String>> {
    let fail = |what: &str, error: &dyn std::fmt::Display| vec![format!("starting in the background: {what}: {error}")];
    let (reader, writer) =
        rustix::pipe::pipe_with(PipeFlags::CLOEXEC).map_err(|error| fail("a pipe", &io::Error::from(error)))?;
    let here = std::env::current_dir().map_err(|error| fail("the working directory", &error))?;
    let directory = process.working_directory.clone().unwrap_or(here);
    // What was inherited, unless it was given; asking for it is setting it.
    let mask = rustix::process::umask(Mode::empty());
    rustix::process::umask(mask);
    let mask = process.umask.map_or(mask.bits(), |Umask(mask)| mask);
    let outcome = Daemonize::new()
        .working_directory(&directory)
        .umask(mask)
        .stdout(daemonize::Stdio::keep())
        .stderr(daemonize::Stdio::keep())
        .execute();
    match outcome {
        Outcome::Parent(Ok(_)) => {
            drop(writer);
            wait(reader).map(Side::Command).map_err(|error| fail("waiting for it", &error))
        }
        Outcome::Child(Ok(_)) => Ok(Side::Daemon(Notice(Arc::new(writer)))),
        Outcome::Parent(Err(error)) => Err(fail(&directory.display().to_string(), &error)),
        Outcome::Child(Err(error)) => Err(fail(&directory.display().to_string(), &error)),
    }
}

fn wait(reader: OwnedFd) -> io::Result<ExitCode> {
    let mut told = Vec::new();
    BufReader::new(fs::File::from(reader)).read_until(READY, &mut told)?;
    match told.split_last() {
        Some((&READY, pid)) => {
            println!("  It runs in the background as process {}.", String::from_utf8_lossy(pid));
            Ok(ExitCode::SUCCESS)
        }
        _ => Ok(ExitCode::from(super::FAILED)),
    }
}

impl Notice {
    /// Says that it is ready and lets go of the terminal: stdout leads nowhere from here on, stderr into the log, where
    /// the last words of a crash are looked for.
    pub fn ready(&self, log: &Log) -> io::Result<()> {
        let told = format!("{}\n", std::process::id());
        let nothing = fs::OpenOptions::new().read(true).write(true).open("/dev/null")?;
        rustix::stdio::dup2_stdout(&nothing)?;
        if !log.take_stderr()? {
            rustix::stdio::dup2_stderr(&nothing)?;
        }
        let mut rest = told.as_bytes();
        while !rest.is_empty() {
            rest = &rest[rustix::io::write(&*self.0, rest)?..];
        }
        Ok(())
    }
}

/// The pid file of a running process; removed when it ends.
#[derive(Debug)]
pub struct PidFile(PathBuf);

impl PidFile {
    /// Whether another process of ours runs under this file.
    pub fn check(path: &Path) -> Result<(), String> {
        match running(path) {
            Ok(Some(pid)) if pid.as_raw_nonzero().get() as u32 != std::process::id() => {
                let holder = preflight::process(pid.as_raw_nonzero().get());
                let path = path.display();
                Err(format!("it runs already as {holder}, says {path}; stop that, or choose another with --pid-file"))
            }
            Ok(_) => Ok(()),
            Err(problem) => Err(problem),
        }
    }

    /// Writes it.
    pub fn write(path: &Path) -> Result<PidFile, String> {
        let fail = |error: io::Error| format!("writing the pid file {}: {error}", path.display());
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(fail)?;
        }
        fs::write(path, format!("{}\n", std::process::id())).map_err(fail)?;
        Ok(PidFile(path.to_owned()))
    }
}

impl Drop for PidFile {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_file(&self.0) {
            tracing::warn!("the pid file {} was not removed: {error}", self.0.display());
        }
    }
}

/// Where the pid file of an instance is, if nobody says otherwise: in the folder that systemd made for it
/// (`RuntimeDirectory=`), in `/run/rocketmq`, or in one of the user's own.
pub fn pid_file(instance: &str) -> PathBuf {
    let folder = match (std::env::var_os("RUNTIME_DIRECTORY"), std::env::var_os("XDG_RUNTIME_DIR")) {
        (Some(folder), _) if !folder.is_empty() => PathBuf::from(folder),
        _ if rustix::process::geteuid().is_root() => PathBuf::from("/run/rocketmq"),
        (_, Some(folder)) => PathBuf::from(folder).join("rocketmq"),
        _ => std::env::temp_dir().join(format!("run-{}", rustix::process::geteuid().as_raw())).join("rocketmq"),
    };
    folder.join(format!("{instance}.pid"))
}

/// The process of a pid file, if it runs and is one of ours.
fn running(path: &Path) -> Result<Option<Pid>, String> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(format!("{}: {error}", path.display())),
    };
    let pid = text.trim().parse().ok().and_then(Pid::from_raw);
    let pid = pid.ok_or_else(|| {
        let begin: String = text.trim().lines().next().unwrap_or_default().chars().take(40).collect();
        format!("{}: `{begin}` is no process id; is it the pid file of this program?", path.display())
    })?;
    Ok(arguments(pid.as_raw_nonzero().get()).is_some().then_some(pid))
}

/// The arguments of a process that is this program, without its name.
fn arguments(pid: i32) -> Option<Vec<String>> {
    let line = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    let mut words = line.split(|byte| *byte == 0).map(|word| String::from_utf8_lossy(word).into_owned());
    let name = words.next()?;
    let ours = Path::new(&name).file_name().is_some_and(|name| name == "rocketmq");
    ours.then(|| words.filter(|word| !word.is_empty()).collect())
}

/// `rocketmq stop`: asks for a clean stop and waits for it.
pub fn stop(args: &cli::Instance) -> Result<(), Vec<String>> {
    let (name, pid) = (&args.instance, existing(args)?);
    let number = pid.as_raw_nonzero();
    let fail = |error: rustix::io::Errno| vec![format!("process {number}: {}", io::Error::from(error))];
    let process = rustix::process::pidfd_open(pid, PidfdFlags::empty()).map_err(fail)?;
    signal(pid, Signal::TERM)?;
    // A descriptor of a process can be read from when it has ended.
    let ended = rustix::event::poll(&mut [PollFd::new(&process, PollFlags::IN)], Some(&STOP_WAIT)).map_err(fail)?;
    if ended == 0 {
        return Err(vec![format!(
            "{name}: process {number} has not ended within {} s; its log says why",
            STOP_WAIT.tv_sec
        )]);
    }
    println!("{name}: stopped");
    Ok(())
}

/// `rocketmq status`: whether it runs.
pub fn status(args: &cli::Instance) -> Result<(), Vec<String>> {
    let pid = existing(args)?.as_raw_nonzero();
    println!("{}: runs as process {pid}", args.instance);
    Ok(())
}

/// `rocketmq reload`: the files are read again and the log is opened anew.
pub fn reload(args: &cli::Instance) -> Result<(), Vec<String>> {
    signal(existing(args)?, Signal::HUP)?;
    println!("{}: reads its files again; its log says what changed and what needs a restart", args.instance);
    Ok(())
}

/// `rocketmq shutdown`: asks every process of a role to stop, as Java's mqshutdown does and in its words.
pub fn shutdown(whom: cli::ShutdownOf) -> Result<(), Vec<String>> {
    let (command, name): (&[&str], _) = match whom {
        cli::ShutdownOf::Broker => (&["broker"], "mqbroker"),
        cli::ShutdownOf::Namesrv => (&["namesrv"], "mqnamesrv"),
        cli::ShutdownOf::BenchProducer => (&["bench", "producer"], "benchmark producer"),
        cli::ShutdownOf::BenchConsumer => (&["bench", "consumer"], "benchmark consumer"),
    };
    let pids = fs::read_dir("/proc").map_err(|error| vec![format!("/proc: {error}")])?;
    let mut found = pids
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok())
        .filter(|pid| {
            arguments(*pid)
                .is_some_and(|words| words.iter().zip(command).filter(|(a, b)| a == b).count() == command.len())
        })
        .filter_map(Pid::from_raw)
        .peekable();
    if found.peek().is_none() {
        return Err(vec![format!("No {name} running.")]);
    }
    for pid in found {
        println!("The {name}({}) is running...", pid.as_raw_nonzero());
        signal(pid, Signal::TERM)?;
        println!("Send shutdown request to {name}({}) OK", pid.as_raw_nonzero());
    }
    Ok(())
}

fn existing(args: &cli::Instance) -> Result<Pid, Vec<String>> {
    let path = args.pid_file.clone().unwrap_or_else(|| pid_file(&args.instance));
    let not_there = || {
        let (name, path) = (&args.instance, path.display());
        vec![format!("{name} does not run, says {path}; what was started with --pid-file is found by it")]
    };
    running(&path).map_err(|problem| vec![problem])?.ok_or_else(not_there)
}

fn signal(pid: Pid, signal: Signal) -> Result<(), Vec<String>> {
    rustix::process::kill_process(pid, signal)
        .map_err(|error| vec![format!("process {}: {}", pid.as_raw_nonzero(), io::Error::from(error))])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pid_file_that_is_left_over_or_foreign_is_nobody() {
        let path = std::env::temp_dir().join(format!("rocketmq-{}.pid", std::process::id()));
        assert_eq!(running(&path), Ok(None));
        fs::write(&path, "1\n").expect("the temporary folder is writable");
        assert_eq!(running(&path), Ok(None), "process 1 is not this program");
        assert_eq!(PidFile::check(&path), Ok(()));
        fs::write(&path, "x\n").expect("writable");
        assert!(running(&path).expect_err("no number").contains("`x` is no process id"));
        fs::remove_file(&path).expect("ours");
    }
}
