//! What of this machine keeps servers from starting or from carrying a load. The judgements are pure; reading the machine
//! is beside them.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;

use rustix::process::Resource;

use super::{Findings, Rank};
use crate::app::{advertise, cli, preflight};
use crate::base::clock::Clock;
use crate::base::machine;
use crate::net::limits::Limits;

/// Descriptors beside the connections: files of the store, listeners, the runtime's own.
const DESCRIPTORS_BESIDE: u64 = 2048;
/// Memory maps that index files, threads and libraries may need together; Linux allows 65530.
const MAPS_MIN: u64 = 16_384;
/// Free bytes that the next commit log file and its queues need.
const DISK_FREE_MIN: u64 = 2 << 30;
/// Share of a used disk, in per cent, from which Java's brokers refuse writes.
const DISK_USED_MAX: u64 = 90;
/// Available memory below which nothing is left for the page cache.
const MEMORY_MIN: u64 = 256 << 20;
/// No machine with a working clock is older: 2024-01-01.
const CLOCK_MIN_MS: u64 = 1_704_067_200_000;
/// The ports of a machine with a name server and a broker, and who needs them.
const PORTS: [(u16, &str); 6] = [
    (9876, "name server: brokers and all clients"),
    (10911, "broker: all clients"),
    (10909, "broker, VIP channel: clients before 4.5"),
    (10912, "broker, replication: slaves"),
    (5557, "broker, metrics: Prometheus"),
    (5558, "name server, metrics: Prometheus"),
];

pub(super) fn look(data: &Path, findings: &mut Findings) {
    addresses(findings);
    descriptors(rustix::process::getrlimit(Resource::Nofile).current, findings);
    maps(number("/proc/sys/vm/max_map_count"), findings);
    memory(available_memory(), number("/sys/fs/cgroup/memory.max"), findings);
    disk(data, findings);
    clock(Clock::System.now(), findings);
    ports(findings);
}

/// The limits of this machine in a line each, for a start report; what is too little is said with its fix.
pub fn limits(data: &Path) -> Vec<String> {
    let mut findings = Findings::default();
    descriptors(rustix::process::getrlimit(Resource::Nofile).current, &mut findings);
    maps(number("/proc/sys/vm/max_map_count"), &mut findings);
    memory(available_memory(), number("/sys/fs/cgroup/memory.max"), &mut findings);
    disk(data, &mut findings);
    let line = |finding: &super::Finding| match &finding.fix {
        Some(fix) => format!("{}: {}; {fix}", finding.about, finding.found),
        None => format!("{}: {}", finding.about, finding.found),
    };
    findings.0.iter().map(line).collect()
}

fn number(file: &str) -> Option<u64> {
    fs::read_to_string(file).ok()?.trim().parse().ok()
}

fn addresses(findings: &mut Findings) {
    const CHECK: &str = "addresses";
    let candidates = match advertise::candidates() {
        Ok(candidates) => candidates,
        Err(error) => {
            let fix = "check the network of this machine";
            return findings.bad(Rank::Problem, CHECK, CHECK, error.to_string(), fix);
        }
    };
    let chosen = advertise::choose(None, cli::ANY, &candidates);
    let found = format!("a broker here would tell clients {} ({})", chosen.address, chosen.reason);
    match chosen.warning {
        Some(warning) => findings.bad(
            Rank::Warning,
            CHECK,
            CHECK,
            format!("{found}; {warning}"),
            "say which one clients reach: brokerIP1 in the file, or broker.advertise",
        ),
        None => findings.fine(CHECK, CHECK, found),
    }
    let skipped: Vec<_> = candidates.iter().filter(|card| card.skipped.is_some()).map(ToString::to_string).collect();
    if !skipped.is_empty() {
        findings.fine(CHECK, CHECK, format!("not used: {}", skipped.join(", ")));
    }
}

fn descriptors(limit: Option<u64>, findings: &mut Findings) {
    const CHECK: (&str, &str) = ("nofile", "open files");
    let needed = Limits::default().connections_max as u64 + DESCRIPTORS_BESIDE;
    match limit {
        Some(limit) if limit < needed => findings.bad(
            Rank::Warning,
            CHECK.0,
            CHECK.1,
            format!("the limit is {limit}; {needed} are needed for as many connections as are allowed"),
            "raise it: ulimit -n 65536, or LimitNOFILE=65536 in the systemd unit",
        ),
        Some(limit) => findings.fine(CHECK.0, CHECK.1, format!("the limit is {limit}")),
        None => findings.fine(CHECK.0, CHECK.1, "there is no limit"),
    }
}

fn maps(limit: Option<u64>, findings: &mut Findings) {
    const CHECK: (&str, &str) = ("max_map_count", "memory maps");
    match limit {
        Some(limit) if limit < MAPS_MIN => findings.bad(
            Rank::Warning,
            CHECK.0,
            CHECK.1,
            format!("vm.max_map_count is {limit}"),
            "raise it: sysctl -w vm.max_map_count=65530 (a Java broker beside this one wants 655360)",
        ),
        Some(limit) => findings.fine(CHECK.0, CHECK.1, format!("vm.max_map_count is {limit}")),
        None => findings.fine(CHECK.0, CHECK.1, "the system does not say how many are allowed"),
    }
}

/// Bytes that programs may still use without swapping.
fn available_memory() -> Option<u64> {
    let table = fs::read_to_string("/proc/meminfo").ok()?;
    let kib: u64 =
        table.lines().find_map(|line| line.strip_prefix("MemAvailable:")?.trim().split(' ').next()?.parse().ok())?;
    Some(kib << 10)
}

fn memory(available: Option<u64>, group: Option<u64>, findings: &mut Findings) {
    const CHECK: &str = "memory";
    let allowed = group.map_or_else(String::new, |bytes| format!("; the control group allows {} MiB", bytes >> 20));
    let found = available.map_or_else(
        || format!("the system does not say what is available{allowed}"),
        |bytes| format!("{} MiB are available{allowed}", bytes >> 20),
    );
    let least = available.into_iter().chain(group).min();
    if least.is_some_and(|bytes| bytes < MEMORY_MIN) {
        let fix = "leave memory for the page cache, or consumers read from the disk";
        findings.bad(Rank::Warning, CHECK, CHECK, found, fix);
    } else {
        findings.fine(CHECK, CHECK, found);
    }
}

fn disk(data: &Path, findings: &mut Findings) {
    if let Err(problem) = preflight::folder("data", data) {
        findings.bad(Rank::Problem, "folder", "disk", problem, "choose another folder or change its owner");
    }
    let absolute = std::path::absolute(data).unwrap_or_else(|_| data.to_owned());
    let Some(existing) = absolute.ancestors().find(|path| path.exists()) else { return };
    let Some(space) = machine::disk_space(existing) else { return };
    judge_space(existing, space, findings);
}

fn judge_space(folder: &Path, space: machine::DiskSpace, findings: &mut Findings) {
    let Some(ratio) = space.used_ratio() else { return };
    let used = (ratio * 100.0).round() as u64;
    let found = format!("{}: {} GiB are free, {used} % are used", folder.display(), space.free >> 30);
    if space.free < DISK_FREE_MIN || used >= DISK_USED_MAX {
        let fix = "make room; a broker refuses sends when its disk is full";
        findings.bad(Rank::Problem, "disk", "disk", found, fix);
    } else {
        findings.fine("disk", "disk", found);
    }
}

fn clock(now: u64, findings: &mut Findings) {
    if now < CLOCK_MIN_MS {
        let found = format!("it shows {now} ms since 1970, which is before 2024");
        let fix = "set it: search by time, delays and retention go by it";
        findings.bad(Rank::Problem, "clock", "clock", found, fix);
    } else {
        findings.fine("clock", "clock", "it shows a believable time");
    }
}

fn ports(findings: &mut Findings) {
    for (port, who) in PORTS {
        let about = format!("port {port}");
        match preflight::port(who, SocketAddr::new(cli::ANY, port)) {
            Ok(()) => findings.fine("port", about, format!("free ({who})")),
            Err(held) => findings.fine("port", about, held),
        }
    }
    let list = PORTS.map(|(port, _)| port.to_string()).join(",");
    let flags = PORTS.map(|(port, _)| format!("--add-port={port}/tcp")).join(" ");
    findings.fine(
        "firewall",
        "firewall",
        format!(
            "clients elsewhere need these ports open: `ufw allow {list}/tcp`, or `firewall-cmd --permanent {flags}`"
        ),
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    fn worst(judge: impl FnOnce(&mut Findings)) -> (Rank, String) {
        let mut findings = Findings::default();
        judge(&mut findings);
        let worst = findings.0.into_iter().min_by_key(|finding| finding.rank).expect("a finding");
        (worst.rank, worst.fix.unwrap_or_default())
    }

    #[test]
    fn limits_that_are_too_low_are_found_with_their_fix() {
        assert_eq!(worst(|f| maps(Some(65_530), f)).0, Rank::Fine);
        let (rank, fix) = worst(|f| maps(Some(1024), f));
        assert!(rank == Rank::Warning && fix.contains("sysctl -w vm.max_map_count"), "{fix}");
        assert_eq!(worst(|f| memory(Some(8 << 30), None, f)).0, Rank::Fine);
        assert_eq!(worst(|f| memory(Some(100 << 20), None, f)).0, Rank::Warning);
        assert_eq!(worst(|f| memory(Some(8 << 30), Some(64 << 20), f)).0, Rank::Warning, "the control group");
        assert_eq!(worst(|f| descriptors(None, f)).0, Rank::Fine);
        assert!(worst(|f| descriptors(Some(1024), f)).1.contains("ulimit -n"));
        assert_eq!(worst(|f| clock(0, f)).0, Rank::Problem);
        let full = machine::DiskSpace { total: 100 << 30, used: 95 << 30, free: 5 << 30 };
        assert_eq!(worst(|f| judge_space(Path::new("/"), full, f)).0, Rank::Problem);
        let small = machine::DiskSpace { total: 3 << 30, used: 2 << 30, free: 1 << 30 };
        assert_eq!(worst(|f| judge_space(Path::new("/"), small, f)).0, Rank::Problem);
    }
}
