//! A queue of few places: what it admits, and that its completions always have room.

use crate::common::{connected, joined, pattern};
use aio_api::{Completion, RecvOptions};
use naio_testkit::WireOptions;

/// Of datagrams that nobody sends.
const PORT: u16 = 7000;

/// What a queue of few places may hold, as the documentation has it.
struct Model {
    keys: Vec<(aio_api::OpKey, usize)>,
    provided: usize,
}

#[test]
fn as_much_is_admitted_as_has_a_place_and_never_more() {
    const LIMIT: usize = 24;
    for seed in naio_testkit::seeds(1, 40) {
        let mut random = fastrand::Rng::with_seed(seed);
        let (mut queue, mut peer, _) = joined(LIMIT, &WireOptions::default());
        let socket = connected(&mut queue, &mut peer);
        let udp = queue.udp_bind(PORT).expect("a free port");
        let group = queue.buffer_group();
        let mut model = Model { keys: Vec::new(), provided: 0 };
        let mut completions = Vec::new();
        for _ in 0..400 {
            let used = model.keys.iter().map(|(_, places)| places).sum::<usize>() + model.provided;
            let buffer = queue.buffers(1, 64).expect("memory").remove(0);
            let options = RecvOptions::at_least(random.u32(1..100));
            let (places, outcome) = match random.u8(..9) {
                0 => (1, queue.recv(socket, buffer, options, 0)),
                1 => (2, queue.recv(socket, buffer, options.incremental(), 0)),
                2 => (1, queue.recv_multishot(socket, group, options, 0)),
                3 => (2, queue.recv_from_multishot(udp, group, 0)),
                4 | 5 => {
                    let outcome = queue.provide(group, buffer);
                    assert_eq!(outcome.is_ok(), used < LIMIT, "seed {seed}: {used} of {LIMIT}");
                    model.provided += usize::from(outcome.is_ok());
                    continue;
                }
                6 => {
                    // Nothing arrives, so all are still in the group.
                    let back = queue.reclaim(group).len();
                    assert_eq!(back, model.provided, "seed {seed}");
                    model.provided = 0;
                    continue;
                }
                _ if !model.keys.is_empty() => {
                    let (key, _) = model.keys.swap_remove(random.usize(..model.keys.len()));
                    assert!(queue.cancel(key), "seed {seed}");
                    // The completion is collected at once.
                    assert_eq!(queue.poll(&mut completions), 1, "seed {seed}");
                    continue;
                }
                _ => continue,
            };
            let admitted = outcome.map(|key| model.keys.push((key, places))).is_ok();
            assert_eq!(admitted, used + places <= LIMIT, "seed {seed}: {places} more than {used} of {LIMIT}");
        }
        let used = model.keys.iter().map(|(_, places)| places).sum::<usize>() + model.provided;
        let free = (0..).take_while(|n| queue.post(*n, 0).is_ok()).count();
        assert_eq!(used + free, LIMIT, "seed {seed}");
    }
}

#[test]
fn completions_never_exceed_the_queue_and_every_place_comes_back() {
    const LIMIT: usize = 16;
    for seed in naio_testkit::seeds(1, 20) {
        let mut random = fastrand::Rng::with_seed(seed);
        let (mut queue, mut peer, _) = joined(LIMIT, &WireOptions::default());
        let socket = connected(&mut queue, &mut peer);
        let group = queue.buffer_group();
        queue.recv_multishot(socket, group, RecvOptions::at_least(random.u32(1..200)), 1).expect("room");
        let mut buffers = queue.buffers(LIMIT * 2, 100).expect("memory");
        let data = pattern(60_000);
        let (mut rest, mut received, mut fullest) = (&data[..], Vec::<u8>::new(), 0);
        let is_over = |done: &[Completion]| done.last().is_some_and(|done| !done.flags.has_more());
        let mut completions = Vec::new();
        for turn in 0.. {
            assert!(turn < 100_000, "seed {seed}: {} bytes", received.len());
            while let Some(buffer) = buffers.pop() {
                if let Err(refused) = queue.provide(group, buffer) {
                    buffers.extend(refused.buffer);
                    break;
                }
            }
            if rest.is_empty() {
                let connection = peer.connection();
                peer.stack.shutdown(connection).expect("connected");
            } else {
                peer.send(&mut rest);
            }
            (0..random.usize(1..20)).for_each(|_| peer.pump());
            fullest = fullest.max(queue.poll(&mut completions));
            assert!(completions.len() <= LIMIT, "seed {seed}: {}", completions.len());
            let ended = is_over(&completions);
            for done in completions.drain(..) {
                received.extend(done.buffer.iter().flat_map(|b| &b[..done.bytes as usize]));
                buffers.extend(done.buffer);
            }
            if ended {
                break;
            }
        }
        assert!(received == data && fullest >= LIMIT - 1, "seed {seed}: {fullest}");
        buffers.extend(queue.reclaim(group));
        assert_eq!(buffers.len(), LIMIT * 2, "seed {seed}");
        assert_eq!((0..).take_while(|n| queue.post(*n, 0).is_ok()).count(), LIMIT, "seed {seed}");
    }
}
