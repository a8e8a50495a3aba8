//! Linux with Linux: two processes in two private networks, and frames carried between their TAPs.
//!
//! Receives a share of losses, hands on the transfers of both ways. The carrier is a thread that does what the two
//! cards and their wire do for naio, and nothing more; the losses are those of the demonstration's wire.

use super::{Transfer, WAYS};
use crate::demo::progress::Progress;
use crate::demo::record::Experiment;
use crate::demo::remote::Linux;
use crate::demo::share::Share;
use crate::demo::wire;
use crate::failure::Failure;
use naio_e1000_model::wire::tap::TapWire;
use naio_e1000_model::{Frame, Wire};
use naio_sys::clock;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

/// Frames carried one way before the other has its turn.
const BURST: usize = 64;
/// A TAP wakes nobody who looks at it: how often that is, as for a card at a TAP.
const LOOK_EVERY: Duration = Duration::from_micros(50);

/// Both ways, between two Linux TCPs.
pub(super) fn transfers(loss: Share, bytes: u64) -> Result<Vec<Transfer>, Failure> {
    let (_server, server_tap) = Linux::start()?;
    let (mut client, client_tap) = Linux::start_client()?;
    let (lossy, _) = wire::wrap(TapWire::new(client_tap), Some(loss), None)?;
    let _carrier = Carrier::start(lossy, TapWire::new(server_tap))?;
    let mut transfers = Vec::new();
    for (experiment, way) in [(Experiment::Send, WAYS[2]), (Experiment::Receive, WAYS[3])] {
        let progress = Progress::new(format!("{way} hashed"), bytes);
        let seconds = client.transfer(experiment, bytes)?.as_secs_f64();
        progress.done("moved the right bytes");
        transfers.push(Transfer::new(way, loss, bytes, seconds));
    }
    Ok(transfers)
}

/// Carries frames until it is dropped.
struct Carrier {
    over: Arc<AtomicBool>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Carrier {
    fn start(mut a: Box<dyn Wire>, mut b: TapWire) -> Result<Carrier, Failure> {
        let over = Arc::new(AtomicBool::new(false));
        let stop = over.clone();
        let carry = move || {
            let mut frame = Frame::default();
            while !stop.load(Ordering::Relaxed) {
                let carried = burst(&mut *a, &mut b, &mut frame) + burst(&mut b, &mut *a, &mut frame);
                if carried == 0 {
                    thread::sleep(LOOK_EVERY);
                }
            }
        };
        let thread = thread::Builder::new().name("carrier".into()).spawn(carry).map_err(Failure::Thread)?;
        Ok(Carrier { over, thread: Some(thread) })
    }
}

fn burst(from: &mut dyn Wire, to: &mut dyn Wire, frame: &mut Frame) -> usize {
    let now_ns = clock::now().as_micros() * 1_000;
    let carry = |_: &usize| {
        let came = from.receive(frame, now_ns);
        if came {
            to.send(frame, now_ns);
        }
        came
    };
    (0..BURST).take_while(carry).count()
}

impl Drop for Carrier {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // It has nothing to say but a panic, which it has told already.
            let _ = thread.join();
        }
    }
}
