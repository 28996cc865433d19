//! Processes in the background: starting one and waiting until it is ready, its pid file, and the commands that act on a
//! running instance. A daemon is this program started anew, detached before it has any thread; no fork is needed.

use std::ffi::OsString;
use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::process::{Pid, PidfdFlags, Signal};

use super::cli;
use super::preflight;
use super::report::READY;

/// How long `stop` waits for the end: the drain, the last flush and the last save, with room to spare.
const STOP_WAIT: Timespec = Timespec { tv_sec: 60, tv_nsec: 0 };

/// Flag that asks for the background; taken out for the process that runs there.
const DAEMON: &str = "--daemon";
/// Hidden flag of the process that runs there.
const DETACHED: &str = "--detached";

/// Starts this command line in the background and returns when it is ready, or with its error.
pub fn launch() -> Result<ExitCode, Vec<String>> {
    let fail = |error: io::Error| vec![format!("starting in the background: {error}")];
    let arguments = std::env::args_os().skip(1).filter(|word| word != DAEMON);
    let mut child = Command::new(std::env::current_exe().map_err(fail)?)
        .args(arguments.chain([OsString::from(DETACHED)]))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(fail)?;
    // Its stdout ends when it has reported and let go of us, or when it has ended.
    let mut ready = false;
    for line in child.stdout.take().map(BufReader::new).into_iter().flat_map(BufRead::lines) {
        let line = line.map_err(fail)?;
        ready |= line.contains(READY);
        println!("{line}");
    }
    if ready {
        println!("  It runs in the background as process {}.", child.id());
        return Ok(ExitCode::SUCCESS);
    }
    let mut told = String::new();
    if let Some(mut stderr) = child.stderr.take() {
        stderr.read_to_string(&mut told).map_err(fail)?;
    }
    let status = child.wait().map_err(fail)?;
    io::stderr().write_all(told.as_bytes()).map_err(fail)?;
    let code = status.code().and_then(|code| u8::try_from(code).ok()).filter(|code| *code != 0);
    Ok(ExitCode::from(code.unwrap_or(super::FAILED)))
}

/// Leaves the terminal. To be called before there is any thread.
pub fn detach() {
    if let Err(error) = rustix::process::setsid() {
        // Already the leader of a session, which is what was asked for.
        debug_assert_eq!(error, rustix::io::Errno::PERM);
    }
}

/// Lets go of whoever started us: from here on only the log speaks.
pub fn let_go() -> io::Result<()> {
    let nothing = fs::OpenOptions::new().read(true).write(true).open("/dev/null")?;
    rustix::stdio::dup2_stdout(&nothing)?;
    rustix::stdio::dup2_stderr(&nothing)?;
    Ok(())
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
                Err(format!("it runs already as {holder}, says {}", path.display()))
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

/// Where the pid file of an instance is, if nobody says otherwise.
pub fn pid_file(instance: &str) -> PathBuf {
    let folder = match std::env::var_os("XDG_RUNTIME_DIR") {
        _ if rustix::process::geteuid().is_root() => PathBuf::from("/run"),
        Some(folder) => PathBuf::from(folder),
        None => std::env::temp_dir().join(format!("run-{}", rustix::process::geteuid().as_raw())),
    };
    folder.join("rocketmq").join(format!("{instance}.pid"))
}

/// The process of a pid file, if it runs and is one of ours.
fn running(path: &Path) -> Result<Option<Pid>, String> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(format!("{}: {error}", path.display())),
    };
    let pid = text.trim().parse().ok().and_then(Pid::from_raw);
    let pid = pid.ok_or_else(|| format!("{}: `{}` is no process id", path.display(), text.trim()))?;
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

/// `rocketmq reload`: the log file is opened anew; settings change with a restart.
pub fn reload(args: &cli::Instance) -> Result<(), Vec<String>> {
    signal(existing(args)?, Signal::HUP)?;
    println!("{}: its log file is opened anew; settings change with a restart", args.instance);
    Ok(())
}

/// `rocketmq shutdown`: asks every process of a role to stop, as Java's mqshutdown does and in its words.
pub fn shutdown(role: cli::PropertiesOf) -> Result<(), Vec<String>> {
    let (command, name) = match role {
        cli::PropertiesOf::Broker => ("broker", "mqbroker"),
        cli::PropertiesOf::Namesrv => ("namesrv", "mqnamesrv"),
    };
    let pids = fs::read_dir("/proc").map_err(|error| vec![format!("/proc: {error}")])?;
    let mut found = pids
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok())
        .filter(|pid| arguments(*pid).is_some_and(|words| words.first().is_some_and(|word| word == command)))
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
    let not_there = || vec![format!("{} does not run, says {}", args.instance, path.display())];
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
