//! The benchmark mark: an instruction that does nothing on silicon and that the rig's counting
//! plugin recognises in the emulator, so that instructions can be counted between two places of a
//! program without a system call, a trap or a clock.
//!
//! The encoding is `nopl 0x524947NN(%rax)` (bytes `0f 1f 80 NN 47 49 52`, "RIG" read backwards), a
//! seven-byte no-op of every x86-64. Elsewhere a mark is nothing at all.
#![allow(unsafe_code, reason = "one no-op instruction that only assembly can spell")]

/// The measured run begins: counters are noted.
pub const RUN_BEGINS: u8 = 1;
/// The measured run ends: counters are noted, the difference is the run.
pub const RUN_ENDS: u8 = 2;
/// A turn of the poll loop begins.
pub const TURN_BEGINS: u8 = 3;
/// The turn that began last found nothing to do: its instructions go to an account of their own.
pub const TURN_WAS_EMPTY: u8 = 4;

/// Executes mark `N`.
///
/// Costs one no-op. What a number means is stated by the constants of this module; any other
/// number is free for an experiment.
#[inline(always)]
pub fn mark<const N: u8>() {
    #[cfg(target_arch = "x86_64")]
    // SAFETY:
    // 1. The instruction is a multi-byte NOP: it reads no memory (the operand is only decoded),
    //    writes no register and no flag, so `nostack` and `preserves_flags` are true.
    // 2. It is kept as a compiler barrier on purpose (no `nomem`): work must not be moved across
    //    a mark, or it would be counted on the wrong side.
    unsafe {
        core::arch::asm!(
            ".byte 0x0f, 0x1f, 0x80, {n}, 0x47, 0x49, 0x52",
            n = const N,
            options(nostack, preserves_flags)
        );
    }
}
