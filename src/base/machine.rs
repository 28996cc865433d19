//! What the machine has: for limits that are said in parts of it, and for reports.

use std::path::Path;

/// Bytes of RAM.
pub fn memory_bytes() -> u64 {
    let info = rustix::system::sysinfo();
    (info.totalram as u64).saturating_mul(u64::from(info.mem_unit.max(1)))
}

/// Size of a file system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DiskSpace {
    /// Bytes in all.
    pub total: u64,
    /// Bytes that hold something.
    pub used: u64,
    /// Bytes that this process may still write; what the file system reserves for others is in neither.
    pub free: u64,
}

impl DiskSpace {
    /// How full it is, 0 to 1, as `df` and Java's broker count: what is reserved for others counts on neither side.
    /// `None` where the file system tells no size.
    pub fn used_ratio(&self) -> Option<f64> {
        let usable = self.used.saturating_add(self.free);
        (usable > 0).then(|| self.used as f64 / usable as f64)
    }
}

/// The file system of `path`; `None` when it cannot be asked.
pub fn disk_space(path: &Path) -> Option<DiskSpace> {
    let stat = rustix::fs::statvfs(path).ok()?;
    let bytes = |blocks: u64| blocks.saturating_mul(stat.f_frsize);
    let used = stat.f_blocks.saturating_sub(stat.f_bfree);
    Some(DiskSpace { total: bytes(stat.f_blocks), used: bytes(used), free: bytes(stat.f_bavail) })
}

/// What this process uses.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ProcessFigures {
    /// Processor time, seconds.
    pub cpu_seconds: f64,
    /// Bytes in RAM.
    pub resident_bytes: Option<u64>,
    /// Bytes of address space.
    pub virtual_bytes: Option<u64>,
    /// Threads.
    pub threads: Option<u64>,
    /// Open file descriptors.
    pub open_fds: Option<u64>,
    /// Most file descriptors that may be open; `None` without a limit.
    pub max_fds: Option<u64>,
}

/// Asks the system; what it does not tell is `None`.
pub fn process_figures() -> ProcessFigures {
    let cpu = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
        line.split_whitespace().next()?.parse::<u64>().ok()
    };
    let kib = |name: &str| field(name).map(|kib| kib * 1024);
    ProcessFigures {
        cpu_seconds: cpu.tv_sec as f64 + cpu.tv_nsec as f64 / 1e9,
        resident_bytes: kib("VmRSS"),
        virtual_bytes: kib("VmSize"),
        threads: field("Threads"),
        // The descriptor of the listing itself is one of them.
        open_fds: std::fs::read_dir("/proc/self/fd").ok().map(|entries| (entries.count() as u64).saturating_sub(1)),
        max_fds: rustix::process::getrlimit(rustix::process::Resource::Nofile).current,
    }
}

/// How far a thread of `stand_back` stands back; 0 is as usual, 19 the most.
const STANDING_BACK: i32 = 10;

/// Has the calling thread stand back while others have work: for what nobody waits for by the millisecond.
pub fn stand_back() {
    // Linux counts the calling thread alone. Without it the thread works as any other.
    if let Err(error) = rustix::process::setpriority_process(None, STANDING_BACK) {
        tracing::debug!("a thread cannot stand back: {error}");
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_process_uses_something_of_everything() {
        let figures = super::process_figures();
        assert!(figures.cpu_seconds > 0.0 && figures.threads >= Some(1) && figures.open_fds >= Some(3));
        assert!(figures.resident_bytes.is_some() && figures.virtual_bytes >= figures.resident_bytes, "{figures:?}");
    }

    #[test]
    fn a_machine_has_memory() {
        assert!(super::memory_bytes() > 64 << 20);
        let disk = super::disk_space(std::path::Path::new("/")).unwrap();
        assert!(disk.used + disk.free <= disk.total);
        assert!((0.0..=1.0).contains(&disk.used_ratio().unwrap()));
        let reserved = super::DiskSpace { total: 100, used: 30, free: 30 };
        assert_eq!(reserved.used_ratio(), Some(0.5));
        assert_eq!(super::DiskSpace { total: 0, used: 0, free: 0 }.used_ratio(), None);
        assert!(super::disk_space(std::path::Path::new("/no/such/path")).is_none());
    }
}
