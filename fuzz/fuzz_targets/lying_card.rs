//! The driver over a card that lies about everything (8254x fact sheet 7.4). The bytes are the card's script; what
//! must hold is asserted in the test that this shares.
#![no_main]

#[path = "../../drivers/e1000/tests/lying/mod.rs"]
mod lying;

libfuzzer_sys::fuzz_target!(|script: &[u8]| {
    lying::play(script);
});
