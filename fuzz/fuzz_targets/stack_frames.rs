//! The whole stack between a peer, users, a card and a clock that do what the bytes say; what must hold is asserted in
//! the test that this shares.
#![no_main]

#[path = "../../stack/tests/frames/mod.rs"]
mod frames;

libfuzzer_sys::fuzz_target!(|script: &[u8]| {
    frames::play(script);
});
