//! What the peer of a connection said in its SYN, which smoltcp keeps to itself.
//!
//! Receives the TCP header of a SYN, well formed as far as its lengths go; hands on its options. Absurd options are
//! as if they were absent; it never fails.

use crate::ipv4::TCP_HEADER_LEN;

/// End of the option list, padding (RFC 9293 3.2).
const END: u8 = 0;
const NO_OPERATION: u8 = 1;
/// Maximum segment size (RFC 9293 3.7.1).
const MSS: (u8, u8) = (2, 4);
/// Window scale (RFC 7323 2.2).
const WINDOW_SCALE: (u8, u8) = (3, 3);
/// SACK permitted (RFC 2018 2).
const SACK_PERMITTED: (u8, u8) = (4, 2);
/// Timestamps (RFC 7323 3.2).
const TIMESTAMPS: (u8, u8) = (8, 10);
/// Larger shifts count as this one (RFC 7323 2.3).
const SHIFT_MAX: u8 = 14;
/// What a peer takes that does not say (RFC 9293 3.7.1).
const MSS_DEFAULT_IPV4: u16 = 536;
/// The smallest size that smoltcp believes (`MIN_REMOTE_MSS`); zero means absent there.
const MSS_MIN: u16 = 48;

/// The options of a peer's SYN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Peer {
    /// Its maximum segment size.
    pub(crate) mss: u16,
    /// How far its windows are to be shifted; `None` if it does not scale windows, and then neither do we.
    pub(crate) shift: Option<u8>,
    pub(crate) sack: bool,
    pub(crate) timestamps: bool,
}

impl Default for Peer {
    fn default() -> Peer {
        Peer { mss: MSS_DEFAULT_IPV4, shift: None, sack: false, timestamps: false }
    }
}

impl Peer {
    /// Reads the options of `segment`, which begins with its TCP header.
    pub(crate) fn of_syn(segment: &[u8]) -> Peer {
        let mut peer = Peer::default();
        for (kind, value) in options(segment) {
            let is = |(wanted, len): (u8, u8)| kind == wanted && value.len() + 2 == usize::from(len);
            if is(MSS) {
                let mss = u16::from_be_bytes([value[0], value[1]]);
                // As smoltcp takes it: what is cut must agree with what it sends.
                peer.mss = if mss == 0 { MSS_DEFAULT_IPV4 } else { mss.max(MSS_MIN) };
            } else if is(WINDOW_SCALE) {
                peer.shift = Some(value[0].min(SHIFT_MAX));
            } else if is(SACK_PERMITTED) {
                peer.sack = true;
            } else if is(TIMESTAMPS) {
                peer.timestamps = true;
            }
        }
        peer
    }
}

/// The options of a segment: kind and value. Ends at the first one that makes no sense.
pub(crate) fn options(segment: &[u8]) -> impl Iterator<Item = (u8, &[u8])> {
    let end = segment.get(12).map_or(0, |byte| usize::from(byte >> 4) * 4);
    let mut rest = segment.get(TCP_HEADER_LEN..end).unwrap_or(&[]);
    std::iter::from_fn(move || {
        loop {
            match *rest {
                [] | [END, ..] | [_] => return None,
                [NO_OPERATION, ref behind @ ..] => rest = behind,
                [kind, len, ref behind @ ..] => {
                    let (value, behind) = behind.split_at_checked(usize::from(len).checked_sub(2)?)?;
                    rest = behind;
                    return Some((kind, value));
                }
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use naio_testkit::{Segment, seeds};

    fn header(options: &[u8]) -> Vec<u8> {
        let mut header = vec![0; TCP_HEADER_LEN];
        header.extend(options);
        header[12] = (header.len() as u8 / 4) << 4;
        header
    }

    #[test]
    fn reads_what_a_second_opinion_wrote() {
        let frame = Segment::new([1; 4], 1, [2; 4], 2).syn(1400, Some(7)).ethernet([1; 6], [2; 6]);
        let peer = Peer::of_syn(&frame[34..]);
        assert_eq!((peer.mss, peer.shift), (1400, Some(7)));
    }

    #[test]
    fn a_shift_beyond_the_limit_counts_as_the_limit() {
        assert_eq!(Peer::of_syn(&header(&[3, 3, 200, 0])).shift, Some(14));
    }

    #[test]
    fn an_option_of_a_wrong_length_is_as_if_absent() {
        assert_eq!(Peer::of_syn(&header(&[2, 3, 9, 4, 2, 0, 0, 0])), Peer { sack: true, ..Peer::default() });
        assert_eq!(
            Peer::of_syn(&header(&[2, 0, 9, 9])),
            Peer::default(),
            "no length is shorter than its head"
        );
        assert_eq!(Peer::of_syn(&header(&[1, 1, 1, 2])), Peer::default(), "cut off");
        assert_eq!(Peer::of_syn(&header(&[0, 4, 2, 0])), Peer::default(), "behind the end");
    }

    #[test]
    fn no_bytes_make_it_fail_or_go_on_for_ever() {
        for seed in seeds(1, 2_000) {
            let mut random = fastrand::Rng::with_seed(seed);
            let len = random.usize(0..80);
            let bytes: Vec<u8> = std::iter::repeat_with(|| random.u8(..)).take(len).collect();
            let _ = Peer::of_syn(&bytes);
        }
    }
}
