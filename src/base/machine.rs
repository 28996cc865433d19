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
    /// Bytes that this process may still write.
    pub free: u64,
}

/// The file system of `path`; `None` when it cannot be asked.
pub fn disk_space(path: &Path) -> Option<DiskSpace> {
    let stat = rustix::fs::statvfs(path).ok()?;
    let bytes = |blocks: u64| blocks.saturating_mul(stat.f_frsize);
    Some(DiskSpace { total: bytes(stat.f_blocks), free: bytes(stat.f_bavail) })
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_machine_has_memory() {
        assert!(super::memory_bytes() > 64 << 20);
        let disk = super::disk_space(std::path::Path::new("/")).unwrap();
        assert!(disk.free <= disk.total);
        assert!(super::disk_space(std::path::Path::new("/no/such/path")).is_none());
    }
}
