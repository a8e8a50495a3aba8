//! The nodes of the scenarios: an end point (program, event queue, stack, driver, card in software) and the line
//! between two of them, with whatever harms it.

use crate::merging::Merging;
use aio_api::{Builder, CardOptions, Completion, EventQueue, Pace, SocketOptions};
use naio_dma::Domain;
use naio_e1000::{Config, E1000};
use naio_e1000_model::wire::impair::{Harm, Impair, Knob};
use naio_e1000_model::wire::pair::{Cable, pair};
use naio_e1000_model::{Card, Model, Options, Profile};
use naio_sys::clock::{Clock, Time};
use naio_testkit::{Node, Scenario};
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

/// Identities whose cards the driver drives, one of each generation.
const IDS: [u16; 6] = [0x100e, 0x100c, 0x100f, 0x1008, 0x1010, 0x1026];
const PROFILES: [Profile; 4] = [Profile::Silicon, Profile::Qemu, Profile::VirtualBox, Profile::Vmware];
/// Frames and descriptors of a card before the other's turn.
const CARD_BUDGET: usize = 32;

/// Of thousands of lines that lose a twentieth, one loses three questions and answers in a row: nobody is absent.
const NEIGHBOR_TRIES: u32 = 10;

/// What an end point does with its queue.
pub(crate) trait Program {
    /// The queue is there.
    fn begin(&mut self, queue: &mut EventQueue);
    /// Something completed.
    fn completed(&mut self, queue: &mut EventQueue, done: Completion);
    /// Whether it has done what it was to do.
    fn is_done(&self) -> bool;
}

/// A program and its queue.
struct Endpoint<P> {
    queue: Rc<RefCell<EventQueue>>,
    program: Rc<RefCell<P>>,
    started: Cell<bool>,
    completions: Vec<Completion>,
}

impl<P: Program> Node for Endpoint<P> {
    fn act(&mut self) -> bool {
        let (mut queue, mut program) = (self.queue.borrow_mut(), self.program.borrow_mut());
        let starts = !self.started.replace(true);
        if starts {
            program.begin(&mut queue);
        }
        queue.poll(&mut self.completions);
        let moved = starts || !self.completions.is_empty();
        for done in self.completions.drain(..) {
            program.completed(&mut queue, done);
        }
        moved
    }

    fn next_us(&mut self) -> Option<u64> {
        self.queue.borrow().next_deadline().map(Time::as_micros)
    }

    fn is_done(&self) -> bool {
        self.program.borrow().is_done()
    }
}

/// Both cards, and what is between them.
struct Line {
    cards: [Card; 2],
}

impl Node for Line {
    fn act(&mut self) -> bool {
        // What the second hands to the first arrives at this moment, too.
        let [first, second] = &self.cards;
        [first, second, first].iter().fold(false, |moved, card| card.step(CARD_BUDGET) | moved)
    }

    fn next_us(&mut self) -> Option<u64> {
        self.cards.iter().filter_map(Card::next_event_us).min()
    }
}

/// What one end is made of.
#[derive(Clone)]
pub(crate) struct End {
    pub(crate) card: Options,
    pub(crate) rings: CardOptions,
    /// What happens to the frames it sends.
    pub(crate) harm: Harm,
    /// How long it gathers acknowledgments before it sends the last of them, as an end does that merges what it
    /// receives, out of order, too; in microseconds.
    pub(crate) merges_us: u64,
    /// Its MTU, if it is not the card's.
    pub(crate) mtu: Option<usize>,
    /// What it accepts connections with.
    pub(crate) accepted: SocketOptions,
    pub(crate) completion_entries: usize,
    pub(crate) tune: fn(Builder) -> Builder,
}

impl End {
    /// A part and its environment, drawn from `random`.
    pub(crate) fn any(random: &mut fastrand::Rng) -> End {
        let card = Options {
            device_id: IDS[random.usize(..IDS.len())],
            quirks: PROFILES[random.usize(..PROFILES.len())].quirks(),
            autoneg: Duration::from_millis(1),
            seed: random.u64(..),
            ..Options::default()
        };
        let ring = |random: &mut fastrand::Rng| Some(80 + 8 * random.u32(..24));
        let rings = CardOptions {
            rx_ring: ring(random),
            tx_ring: ring(random),
            rx_spare: Some(random.u32(64..256)),
            link_within_s: Some(10),
            mtu: None,
            card_cuts: Some(random.u8(..4) > 0),
        };
        End { card, rings, ..End::plain() }
    }

    /// The part that everybody emulates, as silicon, with the driver's own rings.
    pub(crate) fn plain() -> End {
        let card = Options { autoneg: Duration::from_millis(1), ..Options::default() };
        End {
            card,
            rings: CardOptions { link_within_s: Some(10), ..CardOptions::default() },
            harm: Harm::default(),
            merges_us: 0,
            mtu: None,
            accepted: SocketOptions::default(),
            completion_entries: 256,
            tune: |builder| builder,
        }
    }
}

/// Two programs, joined.
pub(crate) struct World<P, Q> {
    scenario: Option<Scenario<'static>>,
    pub(crate) queues: [Rc<RefCell<EventQueue>>; 2],
    pub(crate) programs: (Rc<RefCell<P>>, Rc<RefCell<Q>>),
    pub(crate) cards: [Card; 2],
    pub(crate) cable: Cable,
    pub(crate) knobs: [Knob; 2],
}

/// 10.9.0.1 and 10.9.0.2, each with its program.
pub(crate) fn world<P: Program + 'static, Q: Program + 'static>(
    seed: u64,
    ends: [End; 2],
    programs: (P, Q),
) -> World<P, Q> {
    world_in(&Arc::default(), seed, ends, programs)
}

/// The same in a time that others know, too.
pub(crate) fn world_in<P: Program + 'static, Q: Program + 'static>(
    time: &Arc<AtomicU64>,
    seed: u64,
    ends: [End; 2],
    programs: (P, Q),
) -> World<P, Q> {
    let (a, b, cable) = pair();
    let [first, second] = ends;
    let domains = [Domain::new(), Domain::new()];
    let model = |end: &End, wire, domain: &Domain, last: u8| {
        let mut options = Options { clock: Clock::Manual(time.clone()), ..end.card.clone() };
        options.mac[5] = last;
        let (wire, knob) = Impair::new(wire, end.harm, seed.wrapping_mul(2).wrapping_add(last.into()));
        let wire = Merging::new(wire, end.merges_us);
        let model = Model::new(options, domain, wire).expect("an id of the family");
        (model.card(), model, knob)
    };
    // Both cards exist before either driver waits for its link.
    let (card_a, model_a, knob_a) = model(&first, a, &domains[0], 1);
    let (card_b, model_b, knob_b) = model(&second, b, &domains[1], 2);
    let [domain_a, domain_b] = domains;
    let queue = |end: &End, model, domain: Domain, address: &str| {
        let defaults = Config::default();
        let config = Config {
            rx_ring: end.rings.rx_ring.unwrap_or(defaults.rx_ring),
            tx_ring: end.rings.tx_ring.unwrap_or(defaults.tx_ring),
            rx_spare: end.rings.rx_spare.unwrap_or(defaults.rx_spare),
            // Jumbo frames where the end is to send any.
            mtu: end.rings.mtu.or(end.mtu).unwrap_or(defaults.mtu).max(defaults.mtu),
            card_cuts: end.rings.card_cuts.unwrap_or(defaults.card_cuts),
            link_within: end.rings.link_within_s.map_or(defaults.link_within, Duration::from_secs),
        };
        let nic = E1000::open(model, &config).unwrap_or_else(|e| panic!("seed {seed}: {e}"));
        let builder = Builder::new(address.parse().expect("an address"))
            .completion_entries(end.completion_entries)
            .pace(Pace { rx_coalesce: Duration::ZERO, yield_when_empty: false })
            .secret((u128::from(seed) << 8 | u128::from(address.as_bytes()[7])).to_le_bytes())
            .network(|config| {
                (config.mtu, config.accepted) = (end.mtu, end.accepted);
                config.neighbor_tries = NEIGHBOR_TRIES;
            })
            .clock(Clock::Manual(time.clone()));
        let queue = (end.tune)(builder).build(Box::new(nic), domain).expect("a queue");
        Rc::new(RefCell::new(queue))
    };
    let queues =
        [queue(&first, model_a, domain_a, "10.9.0.1/24"), queue(&second, model_b, domain_b, "10.9.0.2/24")];
    let programs = (Rc::new(RefCell::new(programs.0)), Rc::new(RefCell::new(programs.1)));
    let endpoint_a = endpoint(&queues[0], &programs.0);
    let endpoint_b = endpoint(&queues[1], &programs.1);
    let cards = [card_a, card_b];
    let scenario = Scenario::new(seed, time.clone())
        .node("server", endpoint_a)
        .node("client", endpoint_b)
        // The last: what an end has sent leaves at this moment even if nothing else happens in it.
        .node("line", Line { cards: cards.clone() });
    World { scenario: Some(scenario), queues, programs, cards, cable, knobs: [knob_a, knob_b] }
}

fn endpoint<P: Program>(queue: &Rc<RefCell<EventQueue>>, program: &Rc<RefCell<P>>) -> Endpoint<P> {
    Endpoint {
        queue: queue.clone(),
        program: program.clone(),
        started: Cell::new(false),
        completions: Vec::new(),
    }
}

impl<P, Q> World<P, Q> {
    /// Plays to the end, and says what is known if that does not come.
    pub(crate) fn play(&mut self, within: Duration) -> Duration {
        let scenario = self.scenario.as_mut().expect("it is back");
        scenario.play(within).unwrap_or_else(|stuck| {
            for queue in &self.queues {
                let mut queue = queue.borrow_mut();
                eprintln!("{queue:?} {:?}\n{:#?}", queue.census(), queue.counters());
            }
            panic!("{stuck}")
        })
    }

    /// Lets `action` happen `after` the present moment.
    pub(crate) fn after(&mut self, after: Duration, action: impl FnOnce() + 'static) {
        let scenario = self.scenario.take().expect("it is back");
        self.scenario = Some(scenario.after(after, action));
    }

    pub(crate) fn pass(&mut self, span: Duration) {
        self.scenario.as_mut().expect("it is back").pass(span);
    }

    /// Neither card saw its driver do anything that a datasheet forbids.
    pub(crate) fn assert_innocent(&self, seed: u64) {
        for card in &self.cards {
            let violations = card.violations();
            assert!(violations.is_empty(), "seed {seed}: {violations:#?}");
        }
    }

    /// Every operation has ended but those that wait for peers, every frame is in one counter, and after a while
    /// (TIME-WAIT) nothing is held but what a fresh end holds.
    pub(crate) fn assert_clean(&mut self, seed: u64, left: [usize; 2]) {
        self.pass(Duration::from_secs(200));
        for (queue, left) in self.queues.iter().zip(left) {
            let mut queue = queue.borrow_mut();
            assert_eq!(queue.outstanding(), left, "seed {seed}: operations without an end");
            let census = queue.census();
            let held = (census.bound_flows, census.keys, census.timers, census.flows, census.tombstones);
            assert_eq!(held, (0, 0, 0, 0, 0), "seed {seed}: {census:?}");
            let waiting = (census.lent_pages, census.stretches, census.reassemblies, census.waiting_packets);
            assert_eq!(waiting, (0, 0, 0, 0), "seed {seed}: {census:?}");
            let counters = queue.counters();
            let queued = counters.queue;
            assert_eq!(queued.submitted, queued.completed + left as u64, "seed {seed}");
            assert_eq!(counters.stack.frames, counters.stack.accounted(), "seed {seed}: {counters:#?}");
            assert_eq!(counters.nic.rx_frames, counters.stack.frames, "seed {seed}: {counters:#?}");
        }
    }
}
