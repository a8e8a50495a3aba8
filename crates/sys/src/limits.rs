//! Limits of this process that decide whether memory may be pinned.

/// RLIMIT_MEMLOCK of this process: how many bytes it may pin, `None` when unlimited.
///
/// VFIO charges every mapped byte against it, unless the process has `CAP_IPC_LOCK`.
#[must_use]
pub fn memlock() -> Option<u64> {
    rustix::process::getrlimit(rustix::process::Resource::Memlock).current
}

/// Bytes that VFIO lets this process pin: as [`memlock`], but without a limit if it has `CAP_IPC_LOCK`.
#[must_use]
pub fn pinnable() -> Option<u64> {
    /// linux/capability.h.
    const CAP_IPC_LOCK: u32 = 14;
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let effective = effective.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    if effective.is_some_and(|mask| mask >> CAP_IPC_LOCK & 1 == 1) { None } else { memlock() }
}
