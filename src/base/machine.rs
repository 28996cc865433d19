//! What the machine has: for limits that are said in parts of it.

/// Bytes of RAM.
pub fn memory_bytes() -> u64 {
    let info = rustix::system::sysinfo();
    (info.totalram as u64).saturating_mul(u64::from(info.mem_unit.max(1)))
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_machine_has_memory() {
        assert!(super::memory_bytes() > 64 << 20);
    }
}
