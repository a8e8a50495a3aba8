//! Causes, mask, pin, throttle, timers.

mod bench;
use bench::*;
use naio_device::Device;
use naio_e1000_model::Checks;
use naio_e1000_model::Options;
use naio_e1000_model::regs::*;

#[test]
fn causes_clear_on_read_and_by_ones() {
    let bench = Bench::silicon();
    let _ = bench.read(ICR);
    bench.write(ICS, 0x85);
    assert_eq!(bench.read(ICS), 0x85, "reading ICS clears nothing");
    bench.write(ICR, 0x01);
    assert_eq!(bench.read(ICR), 0x84);
    assert_eq!(bench.read(ICR), 0);
}

#[test]
fn the_pin_is_cause_and_mask() {
    let bench = Bench::silicon();
    let _ = bench.read(ICR);
    bench.write(ICS, 0x80);
    assert!(!bench.card.interrupt_pin());
    bench.write(IMS, 0x84);
    assert_eq!(bench.read(IMS), 0x84);
    assert!(bench.card.interrupt_pin());
    bench.write(IMC, 0x80);
    assert!(!bench.card.interrupt_pin());
    bench.write(IMS, 0x80);
    assert_eq!(bench.read(ICR), 0x80);
    assert!(!bench.card.interrupt_pin());
}

#[test]
fn itr_keeps_interrupts_apart_but_not_causes() {
    let bench = Bench::silicon();
    let _ = bench.read(ICR);
    bench.write(IMS, 0x80);
    bench.write(ITR, 500);
    let mut assertions = 0;
    for _ in 0..1_000 {
        bench.write(ICS, 0x80);
        bench.delay_us(1);
        if bench.card.interrupt_pin() {
            assertions += 1;
            assert_eq!(bench.read(ICR) & 0x80, 0x80);
        }
    }
    assert!((7..=9).contains(&assertions), "one in 128 µs: {assertions}");
}

/// Whether the interrupt's descriptor is readable now.
fn fired(bench: &Bench) -> bool {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    let fd = bench.model.irq().expect("enabled").fd();
    let mut fds = [PollFd::from_borrowed_fd(fd, PollFlags::IN)];
    poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })).expect("a descriptor") == 1
}

#[test]
fn the_event_descriptor_behaves_like_an_automasked_level_interrupt() {
    let mut bench = Bench::silicon();
    let _ = bench.read(ICR);
    bench.model.enable_irq().expect("an event descriptor");
    bench.write(IMS, 4);
    assert!(!fired(&bench));
    bench.write(ICS, 4);
    assert!(fired(&bench));
    let acknowledge = |bench: &Bench| bench.model.irq().expect("enabled").acknowledge();
    acknowledge(&bench);
    assert!(fired(&bench), "the pin is still up: it fires again at once");
    let _ = bench.read(ICR);
    acknowledge(&bench);
    assert!(!fired(&bench));
    bench.write(ICS, 4);
    assert!(fired(&bench));
    bench.card.inject(|f| f.unmask_lost = true);
    let _ = bench.read(ICR);
    acknowledge(&bench);
    bench.write(ICS, 4);
    assert_eq!(bench.card.assertions(), 3);
}

#[test]
fn receive_timers_delay_the_interrupt_and_the_write_back() {
    let mut bench = Bench::new(Options { checks: Checks::Light, ..Options::default() }).running(BAM);
    bench.write(RDTR, 100);
    bench.write(RADV, 250);
    bench.write(RXDCTL, 1 << 24 | 8 << 16);
    for _ in 0..3 {
        bench.put(&frame(BROADCAST, 100));
        bench.delay_us(50);
    }
    assert_eq!(bench.card.causes() & 0x80, 0, "each frame restarts the timer");
    assert!(bench.receive().is_none(), "WTHRESH is not reached");
    bench.delay_us(120);
    assert_eq!(bench.card.causes() & 0x80, 0x80);
    assert!(bench.receive().is_some());
    let _ = bench.read(ICR);
    bench.put(&frame(BROADCAST, 100));
    bench.write(RDTR, 100 | 1 << 31);
    assert_eq!(bench.card.causes() & 0x80, 0x80, "FPD flushes");
    assert_eq!(bench.read(RDTR), 100, "FPD reads zero");
}

#[test]
fn transmit_timers_delay_txdw() {
    let mut bench = Bench::silicon().running(BAM);
    bench.write(TADV, 1000);
    let index = bench.send(&frame(BROADCAST, 100), EOP | IFCS | RS | IDE);
    assert!(bench.tx.done(index, DD).is_some(), "DD is there");
    assert_eq!(bench.card.causes() & 1, 0);
    bench.delay_us(10);
    assert_eq!(bench.card.causes() & 1, 1, "TIDV is 8");
    let _ = bench.read(ICR);
    bench.send(&frame(BROADCAST, 100), EOP | IFCS | RS);
    assert_eq!(bench.card.causes() & 3, 3, "TXDW and TXQE at once");
}

#[test]
fn the_descriptor_minimum_fires_when_crossed_downwards() {
    let mut bench = Bench::silicon();
    bench.link_up();
    bench.set_up_rings();
    bench.post_receive(34);
    bench.write(RCTL, EN | BAM);
    let _ = bench.read(ICR);
    bench.put(&frame(BROADCAST, 100));
    assert_eq!(bench.card.causes() & 0x10, 0, "33 of 64 are left");
    bench.put(&frame(BROADCAST, 100));
    assert_eq!(bench.card.causes() & 0x10, 0x10, "half of them");
    let _ = bench.read(ICR);
    bench.put(&frame(BROADCAST, 100));
    assert_eq!(bench.card.causes() & 0x10, 0, "only on the way down");
}

#[test]
fn small_packets_are_detected() {
    let bench = Bench::silicon().running(BAM);
    bench.write(RSRPD, 80);
    bench.put(&frame(BROADCAST, 100));
    assert_eq!(bench.card.causes() & 1 << 16, 0);
    bench.put(&frame(BROADCAST, 60));
    assert_ne!(bench.card.causes() & 1 << 16, 0);
}

#[test]
fn the_phy_interrupts_when_its_link_changes() {
    let bench = Bench::silicon();
    bench.write(MDIC, 1 << 26 | 1 << 21 | 0x12 << 16 | 1 << 10);
    bench.delay_us(100);
    let _ = bench.read(ICR);
    bench.delay_us(2_000_000);
    assert_ne!(bench.card.peek(ICR) & 1 << 12, 0, "PHYINT");
    assert_ne!(bench.read(ICR) & 1 << 12, 0, "peeking cleared nothing");
}
