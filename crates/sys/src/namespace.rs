//! Network namespaces: a network of its own for the calling thread.
//!
//! Receives how it may be made and changes the calling thread (and the threads it starts later), nothing else of
//! the machine. What is in the network, and who may leave it, is the caller's.
#![allow(unsafe_code, reason = "unshare has no safe wrapper")]

use rustix::thread::UnshareFlags;

/// By what right a network namespace is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Right {
    /// In a user namespace of its own, in which every user may. Needs a kernel that allows user namespaces, and
    /// a process with one thread.
    User,
    /// As root: `CAP_SYS_ADMIN` where we are.
    Root,
}

/// Gives the calling thread a network of its own: empty but for a loopback interface that is down.
///
/// With [`Right::User`] the thread has every capability in there and none outside. There is no way back; the
/// network goes when its last thread and descriptor do.
///
/// # Errors
/// The kernel's refusal: no right, too many namespaces, more than one thread.
pub fn enter_own_network(right: Right) -> std::io::Result<()> {
    let flags = match right {
        Right::User => UnshareFlags::NEWUSER | UnshareFlags::NEWNET,
        Right::Root => UnshareFlags::NEWNET,
    };
    // SAFETY:
    // 1. The one condition of `unshare_unsafe` concerns CLONE_FILES, which is not asked for: the table of
    //    descriptors stays shared, so no thread can miss a descriptor that another one has.
    unsafe { rustix::thread::unshare_unsafe(flags)? };
    Ok(())
}
