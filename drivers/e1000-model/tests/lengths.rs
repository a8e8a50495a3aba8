//! Every length of a frame against every size of a buffer (fact sheet 7.5, row 1).

mod bench;

use bench::*;
use naio_e1000_model::{Checks, Options, fcs};

/// Frames without FCS, from the shortest to the longest that the card takes.
const LENGTHS: std::ops::RangeInclusive<usize> = 60..=16_380;

/// A whole frame; the card is let go on where the ring was too short for it.
fn whole(bench: &mut Bench, size: usize, into: &mut Vec<u8>) {
    into.clear();
    loop {
        let Some(part) = bench.receive() else {
            bench.card.run();
            continue;
        };
        let last = part.status() & 2 != 0;
        assert!(part.len() == size || last && part.len() <= size, "{} of {size}", part.len());
        assert!(last || part.status() == 1, "only the last descriptor says more than done");
        into.extend(&part.bytes);
        if last {
            assert_eq!(part.errors(), 0);
            return;
        }
    }
}

fn every_length(code: u32, bsex: u32, size: usize) {
    let pattern = frame(BROADCAST, *LENGTHS.end());
    for strip in [0, SECRC] {
        let options = Options { checks: Checks::Light, ..Options::default() };
        let mut bench = Bench::new(options).running(BAM | LPE | strip | code << 16 | bsex << 25);
        let mut got = Vec::new();
        let extra = if strip == 0 { 4 } else { 0 };
        // Above this a length takes SECRC in every other size only: all of both takes a quarter of a minute.
        let both = ..=2_200;
        let chosen = LENGTHS
            .filter(|len| both.contains(len) || (len + size.ilog2() as usize + extra / 4).is_multiple_of(2));
        let mut count = 0;
        for len in chosen {
            count += 1;
            bench.put(&pattern[..len]);
            whole(&mut bench, size, &mut got);
            assert_eq!(got.len(), len + extra, "{len} into {size}");
            assert!(got[..len] == pattern[..len], "{len} into {size}");
            // The FCS of each is computed by the card and here: enough to look at some.
            if strip == 0 && len % 61 == 0 {
                assert_eq!(got[len..], fcs::fcs(&pattern[..len]));
            }
        }
        bench.innocent();
        assert_eq!(bench.count(0x4074), count, "all of them are good frames");
    }
}

#[test]
fn every_length_in_buffers_of_256() {
    every_length(3, 0, 256);
}

#[test]
fn every_length_in_buffers_of_512() {
    every_length(2, 0, 512);
}

#[test]
fn every_length_in_buffers_of_1024() {
    every_length(1, 0, 1024);
}

#[test]
fn every_length_in_buffers_of_2048() {
    every_length(0, 0, 2048);
}

#[test]
fn every_length_in_buffers_of_4096() {
    every_length(3, 1, 4096);
}

#[test]
fn every_length_in_buffers_of_8192() {
    every_length(2, 1, 8192);
}

#[test]
fn every_length_in_buffers_of_16384() {
    every_length(1, 1, 16_384);
}
