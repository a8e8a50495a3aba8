//! The card as a thread of its own, without any driver: frames race through memory while the program
//! posts, on an endless line and on lines of 10, 100 and 1000 Mb/s.

mod bench;

use bench::frame;
use naio_device::{Device, Doorbell, Registers};
use naio_dma::{Buffer, DescArray, Domain, Page, Pool};
use naio_e1000_model::regs::*;
use naio_e1000_model::wire::pair::{Pair, pair};
use naio_e1000_model::{Card, Model, Options, Partner, Tail};
use naio_sys::clock::Clock;
use std::time::Duration;

const RING: u32 = 64;
const DD: u64 = 1 << 32;

/// One end of the cable with its memory.
struct End {
    model: Model,
    card: Card,
    rx: DescArray,
    tx: DescArray,
    pool: Pool,
    pages: Vec<Page>,
    out: Vec<Buffer>,
    rdt: Tail,
    tdt: Tail,
    bus: naio_dma::Bus,
}

impl End {
    fn new(wire: Pair, options: Options) -> End {
        let domain = Domain::new();
        let mut model = Model::new(options, &domain, wire).expect("a part of the family");
        model.set_bus_master(true).expect("always");
        let memory = "memory";
        let pool = Pool::new(&domain, RING, 2048).expect(memory);
        let end = End {
            card: model.card(),
            rx: DescArray::new(&domain, RING).expect(memory),
            tx: DescArray::new(&domain, RING).expect(memory),
            pages: std::iter::from_fn(|| pool.take()).collect(),
            pool,
            out: Buffer::allocate(&domain, RING as usize, 2048).expect(memory),
            rdt: model.doorbell(RDT).expect("a tail"),
            tdt: model.doorbell(TDT).expect("a tail"),
            bus: domain.bus(),
            model,
        };
        for (first, ring) in [(RDBAL, &end.rx), (TDBAL, &end.tx)] {
            end.model.write(first, ring.iova().low());
            end.model.write(first + 8, ring.byte_len());
        }
        for n in 0..RING {
            end.rx.store(n, end.page(n), 0);
        }
        end.model.write(TIDV, 8);
        end.model.write(CTRL, end.model.read(CTRL) | 0x40);
        end.model.write(RCTL, 2 | 1 << 15 | 1 << 26);
        end.rdt.ring(RING - 1);
        end.model.write(TCTL, 0x0103_f0fa);
        end
    }

    fn page(&self, n: u32) -> u64 {
        self.pool.iova(&self.pages[n as usize]).as_u64()
    }

    fn send(&mut self, n: u32, bytes: &[u8]) {
        let at = n % RING;
        self.out[at as usize][..bytes.len()].copy_from_slice(bytes);
        let iova = self.out[at as usize].slice(0..2048).expect("inside").iova().as_u64();
        self.tx.store(at, iova, bytes.len() as u64 | 0x0b00_0000);
        self.tdt.ring((at + 1) % RING);
    }

    fn receive(&mut self, n: u32) -> Option<Vec<u8>> {
        let at = n % RING;
        let word = self.rx.done(at, DD)?.word();
        let mut bytes = vec![0; (word & 0xffff) as usize];
        self.bus.read(self.page(at), &mut bytes).expect("inside");
        self.rx.store(at, self.page(at), 0);
        self.rdt.ring(at);
        Some(bytes)
    }
}

/// Sends `count` frames of `len` bytes over a cable and gives the time it took by the cards' clock.
fn exchange(options: &Options, count: u32, len: usize) -> Duration {
    let (a, b, _cable) = pair();
    let clock = Clock::Monotonic;
    let with = |seed| Options { clock: clock.clone(), seed, ..options.clone() };
    let (mut a, mut b) = (End::new(a, with(1)), End::new(b, with(2)));
    a.model.start().expect("a thread");
    b.model.start().expect("a thread");
    while !(a.card.link_is_up() && b.card.link_is_up()) {
        std::thread::sleep(Duration::from_millis(1));
    }
    let begin = clock.now();
    let (mut sent, mut done, mut got) = (0, 0, 0);
    while got < count {
        // No more than the other end has room for, however late its thread comes.
        while sent < count && sent - done < RING - 1 && sent - got < RING - 1 {
            let mut bytes = frame([0xff; 6], len);
            bytes[20..24].copy_from_slice(&sent.to_be_bytes());
            a.send(sent, &bytes);
            sent += 1;
        }
        while done < sent && a.tx.done(done % RING, DD).is_some() {
            done += 1;
        }
        while let Some(bytes) = b.receive(got) {
            assert_eq!(bytes.len(), len);
            assert_eq!(bytes[20..24], got.to_be_bytes(), "in order, whole");
            assert_eq!(bytes[24..], frame([0xff; 6], len)[24..]);
            got += 1;
        }
        std::thread::yield_now();
    }
    let took = Duration::from_micros(clock.now().as_micros() - begin.as_micros());
    assert_eq!((a.card.violations(), b.card.violations()), (vec![], vec![]));
    assert_eq!(b.card.counter(0x4010), Some(0), "nothing was missed");
    took
}

#[test]
fn frames_cross_between_threads_whole_and_in_order() {
    let options = Options { autoneg: Duration::from_millis(1), ..Options::default() };
    exchange(&options, 5_000, 600);
}

#[test]
fn a_paced_line_is_never_faster_than_its_speed() {
    // Only "not faster" is asserted: a busy machine may be as slow as it likes.
    for (anar, gigabit, count, line_ns) in
        [(0, true, 2_000, 8u64), (0x0101, false, 400, 80), (0x0041, false, 40, 800)]
    {
        let partner = Partner { anar, gigabit, negotiates: true };
        let options =
            Options { partner, paced: true, autoneg: Duration::from_millis(1), ..Options::default() };
        let took = exchange(&options, count, 1514);
        // Preamble, gap and FCS are on the line too. A late thread may catch up 2 ms.
        let least = Duration::from_nanos(u64::from(count - 1) * (1514 + 24) * line_ns);
        assert!(took + Duration::from_millis(3) >= least, "{took:?} for {least:?} of line");
    }
}
