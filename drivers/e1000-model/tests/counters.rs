//! Every statistic: what it counts, that reading clears it, the 64-bit pairs, and the ceiling
//! (fact sheet 2.13; 7.5, row 8).

mod bench;

use bench::*;
use naio_e1000_model::regs::*;
use naio_e1000_model::wire::{Fcs, LineError};
use naio_e1000_model::{Frame, Options};

/// All counters that are not zero, by name, read as software reads them.
fn read_all(bench: &Bench) -> Vec<(String, u32)> {
    let part = bench.card.part();
    (STATS..STATS_END)
        .step_by(4)
        .filter_map(|at| Some((names::name(part, at)?.to_string(), at)))
        .map(|(name, at)| (name, bench.read(at)))
        .filter(|(_, value)| *value != 0)
        .collect()
}

fn expect(bench: &Bench, what: &str, expected: &[(&str, u32)]) {
    let got = read_all(bench);
    let got: Vec<(&str, u32)> = got.iter().map(|(name, value)| (name.as_str(), *value)).collect();
    assert_eq!(got, expected, "{what}");
    assert_eq!(read_all(bench), [], "{what}: cleared by reading");
}

fn broken(error: LineError) -> Frame {
    Frame { error, ..Frame::good(&frame(BROADCAST, 100)) }
}

#[test]
fn what_each_received_frame_counts() {
    let bench = Bench::silicon().running(BAM | MPE);
    let put = |frame: Frame| {
        bench.script.put(frame);
        bench.card.run();
    };
    let good = |to, len| Frame::good(&frame(to, len));
    for (len, bin) in [
        (60, "PRC64"),
        (61, "PRC127"),
        (123, "PRC127"),
        (124, "PRC255"),
        (251, "PRC255"),
        (252, "PRC511"),
        (507, "PRC511"),
        (508, "PRC1023"),
        (1019, "PRC1023"),
        (1020, "PRC1522"),
        (1518, "PRC1522"),
    ] {
        put(good(STATION, len));
        let octets = len as u32 + 4;
        let expected = [(bin, 1), ("GPRC", 1), ("GORCL", octets), ("TORL", octets), ("TPR", 1)];
        expect(&bench, bin, &expected);
    }
    put(good(BROADCAST, 60));
    expect(
        &bench,
        "broadcast",
        &[("PRC64", 1), ("GPRC", 1), ("BPRC", 1), ("GORCL", 64), ("TORL", 64), ("TPR", 1)],
    );
    put(good([1, 0, 0, 0, 0, 1], 60));
    expect(
        &bench,
        "multicast",
        &[("PRC64", 1), ("GPRC", 1), ("MPRC", 1), ("GORCL", 64), ("TORL", 64), ("TPR", 1)],
    );
    put(good([2, 9, 9, 9, 9, 9], 60));
    expect(&bench, "not ours", &[]);
    let wrong = |len| Frame { fcs: Fcs::Wrong([0; 4]), ..good(BROADCAST, len) };
    put(wrong(100));
    expect(&bench, "bad FCS", &[("CRCERRS", 1), ("TORL", 104), ("TPR", 1)]);
    put(good(BROADCAST, 59));
    expect(&bench, "undersize", &[("RLEC", 1), ("RUC", 1), ("TORL", 63), ("TPR", 1)]);
    put(wrong(59));
    expect(&bench, "fragment", &[("RLEC", 1), ("RFC", 1), ("TORL", 63), ("TPR", 1)]);
    put(good(BROADCAST, 1519));
    expect(&bench, "oversize", &[("RLEC", 1), ("ROC", 1), ("TORL", 1523), ("TPR", 1)]);
    put(wrong(1519));
    expect(&bench, "jabber", &[("CRCERRS", 1), ("RLEC", 1), ("RJC", 1), ("TORL", 1523), ("TPR", 1)]);
    for (error, counters) in [
        (LineError::Symbol, &[("SYMERRS", 1), ("RXERRC", 1)][..]),
        (LineError::Alignment, &[("ALGNERRC", 1)]),
        (LineError::Sequence, &[("SEC", 1)]),
        (LineError::CarrierExtension, &[("CEXTERR", 1)]),
    ] {
        put(broken(error));
        expect(&bench, "line error", &[counters, &[("TORL", 104), ("TPR", 1)]].concat());
    }
}

#[test]
fn what_each_sent_frame_counts() {
    let mut bench = Bench::silicon().running(BAM);
    for (len, to, expected) in [
        (60, STATION, vec![("GPTC", 1), ("GOTCL", 64), ("TOTL", 64), ("TPT", 1), ("PTC64", 1)]),
        (
            100,
            BROADCAST,
            vec![("GPTC", 1), ("GOTCL", 104), ("TOTL", 104), ("TPT", 1), ("PTC127", 1), ("BPTC", 1)],
        ),
        (
            200,
            [1, 0, 0, 0, 0, 1],
            vec![("GPTC", 1), ("GOTCL", 204), ("TOTL", 204), ("TPT", 1), ("PTC255", 1), ("MPTC", 1)],
        ),
        (1518, STATION, vec![("GPTC", 1), ("GOTCL", 1522), ("TOTL", 1522), ("TPT", 1), ("PTC1522", 1)]),
    ] {
        bench.send(&frame(to, len), EOP | IFCS | RS);
        expect(&bench, "sent", &expected);
    }
}

#[test]
fn what_flow_control_counts() {
    let mut pause = frame([0x01, 0x80, 0xc2, 0, 0, 1], 60);
    pause[12..18].copy_from_slice(&[0x88, 0x08, 0, 1, 0, 1]);
    let bench = Bench::silicon();
    for (at, value) in [(FCAL, 0x00c2_8001), (FCAH, 0x0100), (FCT, 0x8808), (FCTTV, 0x0680)] {
        bench.write(at, value);
    }
    bench.write(CTRL, bench.read(CTRL) | 1 << 27);
    let bench = bench.running(BAM | MPE);
    bench.put(&pause);
    expect(&bench, "XOFF", &[("XOFFRXC", 1), ("TORL", 64), ("TPR", 1)]);
    pause[17] = 0;
    bench.put(&pause);
    expect(&bench, "XON", &[("XONRXC", 1), ("TORL", 64), ("TPR", 1)]);
    pause[15] = 9;
    bench.put(&pause);
    expect(&bench, "unknown", &[("FCRUC", 1), ("TORL", 64), ("TPR", 1)]);
    bench.write(TCTL, TCTL_ON | 1 << 22);
    expect(&bench, "SWXOFF", &[("XOFFTXC", 1), ("TOTL", 64), ("TPT", 1)]);
}

#[test]
fn a_dry_ring_and_a_full_fifo() {
    let bench = Bench::silicon();
    bench.link_up();
    bench.write(RCTL, EN | BAM);
    bench.put(&frame(BROADCAST, 60));
    let counted = read_all(&bench);
    assert!(counted.iter().any(|(name, _)| name == "RNBC"), "kept, but nobody had a buffer: {counted:?}");
    assert!(!counted.iter().any(|(name, _)| name == "MPC"));
    for _ in 0..1_000 {
        bench.put(&frame(BROADCAST, 1514));
    }
    let counted = read_all(&bench);
    let count = |name: &str| counted.iter().find(|(found, _)| found == name).map_or(0, |(_, n)| *n);
    assert_eq!(count("MPC") + count("GPRC"), 1_000, "missed frames are no good frames");
    assert_eq!(count("RNBC"), 1_000);
    assert_eq!(count("TPR"), count("GPRC"), "what never entered the FIFO is not received");
}

#[test]
fn every_counter_sticks_at_its_ceiling_and_clears() {
    for id in [0x100e, 0x1000, 0x1008] {
        let bench = Bench::new(Options { device_id: id, ..Options::default() });
        bench.card.saturate_counters();
        let all = read_all(&bench);
        assert!(all.iter().all(|(_, value)| *value == u32::MAX));
        let management = all.iter().filter(|(name, _)| name.starts_with("MGTP")).count();
        assert_eq!(management, if id == 0x100e { 3 } else { 0 }, "{id:#x}");
        assert_eq!(all.iter().any(|(name, _)| name == "TSCTC"), id != 0x1000, "{id:#x}");
        assert_eq!(read_all(&bench), []);
    }
    let mut bench = Bench::silicon().running(BAM);
    bench.card.saturate_counters();
    bench.put(&frame(BROADCAST, 100));
    bench.send(&frame(BROADCAST, 100), EOP | IFCS | RS);
    assert!(read_all(&bench).iter().all(|(_, value)| *value == u32::MAX), "no counter wraps");
}

#[test]
fn in_loopback_both_sides_count_and_disabled_ones_do_not() {
    let mut bench = Bench::silicon().running(BAM | 1 << 6);
    bench.send(&frame(BROADCAST, 100), EOP | IFCS | RS);
    let names: Vec<String> = read_all(&bench).into_iter().map(|(name, _)| name).collect();
    assert!(names.contains(&"GPRC".into()) && names.contains(&"GPTC".into()), "{names:?}");
    bench.write(RCTL, bench.read(RCTL) & !EN);
    bench.put(&frame(BROADCAST, 100));
    bench.send(&frame(BROADCAST, 100), EOP | IFCS | RS);
    let names: Vec<String> = read_all(&bench).into_iter().map(|(name, _)| name).collect();
    assert!(!names.contains(&"GPRC".into()) && names.contains(&"GPTC".into()), "{names:?}");
}
