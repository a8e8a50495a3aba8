//! Limits of this process that decide whether memory may be pinned.

/// RLIMIT_MEMLOCK of this process: how many bytes it may pin, `None` when unlimited.
///
/// VFIO charges every mapped byte against it, unless the process has `CAP_IPC_LOCK`.
#[must_use]
pub fn memlock() -> Option<u64> {
    rustix::process::getrlimit(rustix::process::Resource::Memlock).current
}
