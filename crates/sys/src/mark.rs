//! The benchmark mark: a no-op instruction that a counting QEMU plugin recognises.
//!
//! `mark::<N>()` executes `nopl 0x524947NN(%rax)`, the bytes `0f 1f 80 NN 47 49 52` ("GIR" behind the number).
//! A multi-byte NOP reads nothing and writes nothing (Intel SDM vol. 2, NOP), so a program keeps its marks in
//! every build and pays one instruction for each. What a number means is written in `tools/rig/plugin/naio_count.c`;
//! this file never gives it a meaning.
#![allow(unsafe_code, reason = "one inline no-op instruction; nothing else can put its bytes into the text")]

/// Executes mark number `N` (1 begins a measured run, 2 ends it, 3 begins a turn, 4 says that turn was empty).
///
/// On other machines than `x86_64` this is nothing at all.
#[inline(always)]
pub fn mark<const N: u8>() {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: the instruction is a NOP.
    // 1. It accesses no memory: the addressing form of a multi-byte NOP is never dereferenced.
    // 2. It changes no register and no flag.
    // 3. `nomem` is NOT stated, so that the compiler moves no memory access across a mark.
    unsafe {
        core::arch::asm!(
            ".byte 0x0f, 0x1f, 0x80, {n}, 0x47, 0x49, 0x52",
            n = const N,
            options(nostack, preserves_flags)
        );
    }
}
