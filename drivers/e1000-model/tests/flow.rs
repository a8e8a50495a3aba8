//! Loopback and flow control.

mod bench;
use bench::*;
use naio_e1000_model::regs::*;

fn pause(time: u16) -> Vec<u8> {
    let mut bytes =
        vec![0x01, 0x80, 0xc2, 0, 0, 1, 2, 0, 0, 0, 0, 9, 0x88, 0x08, 0, 1, (time >> 8) as u8, time as u8];
    bytes.resize(60, 0);
    bytes
}

fn with_pause(bench: &Bench) {
    bench.write(FCAL, 0x00c2_8001);
    bench.write(FCAH, 0x0100);
    bench.write(FCT, 0x8808);
    bench.write(FCTTV, 0x1234);
}

#[test]
fn a_received_pause_holds_the_transmitter_for_its_time() {
    let mut bench = Bench::silicon().running(BAM);
    with_pause(&bench);
    bench.write(CTRL, bench.read(CTRL) | 1 << 27);
    bench.put(&pause(1000));
    assert_eq!(bench.count(0x4050), 1, "XOFFRXC");
    assert_eq!(bench.read(STATUS) & 0x10, 0x10, "TXOFF");
    let index = bench.send(&frame(BROADCAST, 100), EOP | IFCS | RS);
    assert!(bench.tx.done(index, DD).is_none());
    bench.delay_us(511);
    assert!(bench.tx.done(index, DD).is_none());
    bench.delay_us(2);
    assert!(bench.tx.done(index, DD).is_some(), "1000 × 512 bits at 1 Gb/s are 512 µs");
    bench.put(&pause(1000));
    bench.put(&pause(0));
    assert_eq!(bench.read(STATUS) & 0x10, 0, "XON");
    assert_eq!(bench.count(0x4048), 1);
    assert!(bench.receive().is_none(), "PAUSE frames stay in the MAC");
    bench.write(RCTL, bench.read(RCTL) | 1 << 23);
    bench.put(&pause(0));
    assert!(bench.receive().is_some(), "PMCF");
}

#[test]
fn without_rfce_a_pause_is_a_frame_like_any_other() {
    let mut bench = Bench::silicon().running(BAM | MPE);
    with_pause(&bench);
    bench.put(&pause(1000));
    assert_eq!(bench.read(STATUS) & 0x10, 0);
    assert!(bench.receive().is_some());
}

#[test]
fn a_filling_fifo_sends_xoff_and_a_draining_one_xon() {
    let mut bench = Bench::silicon();
    bench.link_up();
    bench.set_up_rings();
    with_pause(&bench);
    bench.write(FCRTH, 10_000);
    bench.write(FCRTL, 5_000 | 1 << 31);
    bench.write(CTRL, bench.read(CTRL) | 1 << 28);
    bench.write(RCTL, EN | BAM);
    for _ in 0..12 {
        bench.put(&frame(BROADCAST, 1000));
    }
    let xoff = bench.sent().expect("XOFF").bytes;
    assert_eq!(xoff[..6], [0x01, 0x80, 0xc2, 0, 0, 1]);
    assert_eq!(xoff[6..12], STATION);
    assert_eq!(xoff[12..18], [0x88, 0x08, 0, 1, 0x12, 0x34]);
    assert!(bench.sent().is_none(), "once");
    bench.post_receive(20);
    bench.card.run();
    assert_eq!(bench.sent().expect("XON").bytes[16..18], [0, 0]);
    assert_eq!((bench.count(0x4054), bench.count(0x404c)), (1, 1));
}

#[test]
fn swxoff_sends_one_and_clears_itself() {
    let bench = Bench::silicon().running(BAM);
    with_pause(&bench);
    bench.write(TCTL, TCTL_ON | 1 << 22);
    assert_eq!(bench.read(TCTL) & 1 << 22, 0);
    assert!(bench.sent().is_some());
    assert!(bench.sent().is_none());
}

#[test]
fn phy_loopback_as_the_linux_self_test_does_it() {
    for id in [0x100e, 0x1010, 0x1076] {
        let mut bench = Bench::id(id).running(BAM);
        let phy = |register: u32, value: u32| {
            bench.write(MDIC, 1 << 26 | 1 << 21 | register << 16 | value);
            bench.delay_us(100);
            assert_eq!(bench.read(MDIC) >> 28 & 5, 1, "ready, no error");
        };
        if id != 0x1076 {
            phy(29, 0x1f);
            phy(30, 0x8fff);
        }
        phy(0, 0x4140);
        bench.write(CTRL, bench.read(CTRL) | 0x1800 | 0x201);
        bench.script.plug(false);
        for len in [60, 1000, 1514] {
            bench.send(&frame(BROADCAST, len), EOP | IFCS | RS);
            let (bytes, _) = bench.receive_frame().expect("came back");
            assert_eq!(bytes[..len], frame(BROADCAST, len)[..]);
        }
        assert!(bench.sent().is_none(), "nothing left");
        assert_eq!((bench.count(0x4074), bench.count(0x4080)), (3, 3), "counted on both sides");
        bench.innocent();
    }
}

#[test]
fn mac_loopback_and_the_transceiver_mode_of_fibre() {
    for (id, mode) in [(0x100e, 1), (0x1027, 3)] {
        let mut bench = Bench::id(id);
        bench.write(TXCW, if id == 0x1027 { 0x8000_01a0 } else { 0 });
        let mut bench = {
            bench.set_up_rings();
            bench
        }
        .running(BAM | mode << 6);
        bench.send(&frame(BROADCAST, 100), EOP | IFCS | RS);
        assert!(bench.receive_frame().is_some(), "{id:#x}");
        assert!(bench.sent().is_none());
    }
}
