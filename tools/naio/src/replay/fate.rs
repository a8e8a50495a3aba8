//! What became of a frame, by the name of the counter that it moved.
//!
//! Receives what every room counted before and after one frame, hands on one name. A frame that no room accounts for
//! is called so: it is a bug, and the command says it.

use super::station::Station;
use aio_api::EventQueue;
use naio_e1000_model::Card;
use naio_e1000_model::regs::names;
use std::collections::BTreeMap;

/// Nobody accounts for it.
pub(super) const UNACCOUNTED: &str = "unaccounted";
/// The card's filter let it pass by: not for this station.
const FILTERED: &str = "card_filtered";

/// Statistics registers that say why a card keeps a frame from its driver, and the fate's name (8254x SDM 13.7).
const CARD: [(&str, &str, &str); 8] = [
    ("XONRXC", "card_pause", "a flow control frame that the card obeyed"),
    ("XOFFRXC", "card_pause", "a flow control frame that the card obeyed"),
    ("FCRUC", "card_control", "a MAC control frame of an unknown kind (FCRUC)"),
    ("ROC", "card_too_long", "longer than 1518 bytes, 1522 with a VLAN tag (ROC)"),
    ("RUC", "card_too_short", "shorter than 60 bytes (RUC)"),
    ("RFC", "card_fragment", "shorter than 60 bytes and broken (RFC)"),
    ("CRCERRS", "card_crc", "the frame check sequence was wrong (CRCERRS)"),
    ("MPC", "card_missed", "the receive FIFO had no room (MPC)"),
];
/// Good frames that passed the filter.
const PASSED: &str = "GPRC";
/// Why a driver keeps a frame from the stack.
const DRIVER: [(&str, &str); 3] = [
    ("driver_frame_error", "the card marked it as broken"),
    ("driver_length_error", "it did not fit one page, or its length made no sense"),
    ("driver_no_page", "there was no spare page to put in its place"),
];

/// One frame's end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fate {
    pub(super) outcome: String,
    /// Frames that the station sent because of it.
    pub(super) answers: usize,
}

/// What every room had counted at one moment.
#[derive(Clone, Debug, Default)]
pub(super) struct Seen {
    card: [u64; CARD.len()],
    /// The same once the driver has read what it reads, which clears that.
    left: [u64; CARD.len()],
    /// Good frames that passed the card's filter, likewise.
    passed: u64,
    passed_left: u64,
    driver: [u64; DRIVER.len()],
    handed_up: u64,
    stack: BTreeMap<&'static str, u64>,
}

impl Seen {
    /// Looks at every room. The card's statistics are looked at before the driver's counters: those read the
    /// registers, which clears them.
    pub(super) fn look(card: &Card, queue: &mut EventQueue) -> Seen {
        let part = card.part();
        let statistic = |name| names::offset(part, name).and_then(|at| card.counter(at)).unwrap_or(0);
        let of_card = CARD.map(|(name, ..)| statistic(name));
        let passed = statistic(PASSED);
        let counters = queue.counters();
        let nic = counters.nic;
        let is_fate =
            |name: &str| (name.starts_with("rx_") || name.starts_with("drop_")) && name != "rx_tcp_merged";
        Seen {
            card: of_card,
            left: CARD.map(|(name, ..)| statistic(name)),
            passed,
            passed_left: statistic(PASSED),
            driver: [nic.rx_frame_errors, nic.rx_length_errors, nic.rx_no_page],
            handed_up: nic.rx_frames,
            stack: counters.stack.by_name().into_iter().filter(|(name, _)| is_fate(name)).collect(),
        }
    }
}

/// The fate of the frame `bytes` that was put on the wire between `before` and `after`, and that the card has `taken`
/// off it, or not.
pub(super) fn of(bytes: &[u8], station: &Station, taken: bool, before: &Seen, after: &Seen) -> String {
    if let Some((_, (_, name, _))) =
        after.card.iter().zip(before.left).zip(CARD).find(|((is, was), _)| *is > was)
    {
        return name.to_owned();
    }
    if let Some((_, (name, _))) =
        before.driver.iter().zip(after.driver).zip(DRIVER).find(|((was, is), _)| is > *was)
    {
        return name.to_owned();
    }
    if after.handed_up > before.handed_up {
        let moved = after.stack.iter().find(|(name, count)| before.stack.get(*name) < Some(*count));
        return moved.map_or_else(|| UNACCOUNTED.to_owned(), |(name, _)| format!("stack_{name}"));
    }
    // The filter counts nothing; a frame that it must let in and that shows nowhere is lost.
    let passed = after.passed > before.passed_left;
    let for_us = bytes.starts_with(&station.mac.0) || bytes.starts_with(&[0xff; 6]);
    if taken && !passed && !for_us { FILTERED.to_owned() } else { UNACCOUNTED.to_owned() }
}

/// What a fate means, for the table.
pub(super) fn meaning(outcome: &str) -> &'static str {
    if let Some((.., meaning)) = CARD.iter().find(|(_, name, _)| *name == outcome) {
        return meaning;
    }
    if let Some((_, meaning)) = DRIVER.iter().find(|(name, _)| *name == outcome) {
        return meaning;
    }
    let of_stack = outcome.strip_prefix("stack_").and_then(naio_stack::Counters::meaning);
    of_stack.unwrap_or(match outcome {
        FILTERED => "not for this station: another address, or a group that nobody here hears",
        _ => "no room counted it: this is a bug in naio",
    })
}

#[cfg(test)]
mod tests {
    use super::super::station::Station;
    use super::*;

    #[test]
    fn a_frame_for_us_that_shows_nowhere_is_unaccounted_for() {
        let station = Station::choose(None, None, &[]);
        let (nothing, mut up) = (Seen::default(), Seen::default());
        let mut frame = station.mac.0.to_vec();
        assert_eq!(of(&frame, &station, true, &nothing, &nothing), UNACCOUNTED);
        up.handed_up = 1;
        assert_eq!(of(&frame, &station, true, &nothing, &up), UNACCOUNTED, "handed up and not counted");
        frame[5] ^= 1;
        assert_eq!(of(&frame, &station, true, &nothing, &nothing), FILTERED);
        assert_eq!(of(&frame, &station, false, &nothing, &nothing), UNACCOUNTED, "still on the wire");
        let passed = Seen { passed: 1, ..Seen::default() };
        assert_eq!(of(&frame, &station, true, &nothing, &passed), UNACCOUNTED, "let in and lost");
    }

    #[test]
    fn every_counter_that_can_be_a_fate_has_a_meaning() {
        for (name, _) in naio_stack::Counters::default().by_name() {
            assert!(naio_stack::Counters::meaning(name).is_some_and(|text| text.len() > 9), "{name}");
        }
    }
}
