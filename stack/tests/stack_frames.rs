//! Scripts of frames, user calls and time against the whole stack, a bounded number of times; `fuzz/` has the endless
//! version.
#![forbid(unsafe_code)]

mod frames;

use frames::play;
use naio_testkit::seeds;

/// Scripts that a test run plays.
const SCRIPTS: u64 = 1_500;
const SCRIPT_LEN_MAX: usize = 3_000;

/// A script in which verbs that damage frames are as rare as the seed says.
fn script(seed: u64) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(seed);
    let rarity = random.u8(..);
    let len = random.usize(1..SCRIPT_LEN_MAX);
    std::iter::repeat_with(|| if random.u8(..) < rarity { random.u8(..) } else { random.u8(..128) })
        .take(len)
        .collect()
}

#[test]
#[expect(clippy::print_stdout, reason = "how far the scripts came, for whoever asks with --nocapture")]
fn whatever_arrives_the_stack_stays_within_its_bounds() {
    let mut total = naio_stack::Counters::default().by_name();
    let (mut received, mut datagrams, mut sent) = (0, 0, 0);
    for seed in seeds(1, SCRIPTS) {
        let outcome = play(&script(seed));
        (received, datagrams) = (received + outcome.received, datagrams + outcome.datagrams);
        sent += outcome.sent;
        for (sum, (_, count)) in total.iter_mut().zip(outcome.counters.by_name()) {
            sum.1 += count;
        }
    }
    println!("{received} bytes and {datagrams} datagrams received, {sent} packets sent, {total:?}");
    // The generator reaches what it is meant to reach. One seed alone may well not.
    if std::env::var_os("NAIO_SEED").is_some() {
        return;
    }
    for name in
        ["rx_tcp", "accepts", "connects", "resets", "rx_udp", "reassembled", "rx_ndp", "rx_icmp_error"]
    {
        let count = total.iter().find(|(known, _)| *known == name).map_or(0, |(_, count)| *count);
        assert!(count > 40, "{name}: {count}");
    }
    assert!(received > 100_000 && datagrams > 100, "{received} bytes, {datagrams} datagrams");
}

/// What fuzzing has found, each as short as it could be made.
#[test]
fn what_was_found_once_holds() {
    // A connection closed in TIME-WAIT whose peer was gone stayed for ever.
    play(&[
        0x05, 0x99, 0x05, 0x17, 0x00, 0x00, 0x00, 0x00, 0x00, 0x39, 0xdd, 0xd7, 0x00, 0x48, 0x21, 0x14, 0x09,
        0xa2, 0x62, 0x3c, 0x0d, 0x35, 0x65, 0x50, 0x3e, 0x26, 0x5f, 0xa7, 0x54, 0xe6, 0x1e, 0xa2, 0x29, 0x3b,
        0x1e,
    ]);
    // Data behind a FIN that had overtaken what came in the same burst was received.
    play(&[
        0x3b, 0x00, 0x5d, 0x5d, 0x01, 0x00, 0x40, 0x00, 0x5d, 0x5d, 0x5d, 0x27, 0x27, 0x27, 0x2f, 0x27, 0x27,
        0x5d, 0xdd, 0x5d, 0x27, 0x27, 0xa3, 0x99, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66,
        0x66, 0x66, 0x61, 0x61, 0xb3, 0x66, 0x66, 0x66, 0x66, 0x03, 0x40, 0x61, 0x61, 0x61, 0xb3, 0xb3, 0xb3,
    ]);
    // Data for a connection whose SYN was not answered yet, acknowledging the answer, was accepted and not kept.
    play(&[
        0xff, 0x67, 0xff, 0x2e, 0x01, 0x00, 0x00, 0x00, 0x00, 0x00, 0x1a, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
        0x11, 0x1a, 0x00, 0xbb, 0x72, 0x38, 0x7b, 0xc1, 0x03, 0x24, 0x67, 0x67, 0x67, 0x67, 0x67, 0x67, 0x67,
        0x67, 0xf8, 0x23, 0x67, 0x67, 0x67, 0x67, 0x24, 0x67, 0x01, 0xb3, 0x21, 0x2e, 0x70, 0x66, 0x61, 0x0f,
        0x24, 0x29, 0x5f, 0x5e, 0x48, 0xbb, 0x72, 0x38, 0x7b, 0xc1, 0x03,
    ]);
}
