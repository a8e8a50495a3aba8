//! What a card and its driver counted. Every frame that reached the card is in exactly one of
//! `rx_frames` and the `rx_*` drop counters.

/// Counters since the card was opened. They only grow; 64 bits, wrapping never seen in practice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Frames handed up.
    pub rx_frames: u64,
    /// Bytes of those, without FCS.
    pub rx_bytes: u64,
    /// Frames the card reported as sent; of a packet that was cut, each segment.
    pub tx_frames: u64,
    /// Bytes of those, before padding and without FCS.
    pub tx_bytes: u64,
    /// Packets with [`TxPacket::mss`](crate::TxPacket::mss) that the card was left to cut.
    pub tx_cut_by_card: u64,
    /// Those that the driver cut, or that made a single frame.
    pub tx_cut_by_driver: u64,
    /// Dropped by the driver: frame errors (FCS, symbol, sequence, carrier extension, data).
    pub rx_frame_errors: u64,
    /// Dropped by the driver: the frame did not fit one page, or a length made no sense.
    pub rx_length_errors: u64,
    /// Dropped by the driver: no spare page to put in its place.
    pub rx_no_page: u64,
    /// Lost by the driver: frames in the ring that nobody had taken when the card had to be reset.
    pub rx_reset: u64,
    /// Frames posted and not sent when the card had to be reset.
    pub tx_reset: u64,
    /// Times the card was reset because it sent nothing.
    pub resets: u64,
    /// Refused by the driver: a packet too large, with too many fragments or without any byte.
    pub tx_refused: u64,
    /// Dropped by the card: the receive FIFO was full (8254x MPC).
    pub hw_missed: u64,
    /// Arrivals that found no free descriptor (8254x RNBC); the FIFO may have kept them.
    pub hw_no_buffer: u64,
    /// Dropped by the card: CRC, alignment, symbol and other receive errors.
    pub hw_rx_errors: u64,
    /// Dropped by the card: shorter or longer than allowed.
    pub hw_rx_length_errors: u64,
    /// Good frames that passed the card's filter (8254x GPRC).
    pub hw_rx_good: u64,
    /// Good frames that the card sent (8254x GPTC).
    pub hw_tx_good: u64,
    /// Bytes of good frames received, with FCS (8254x GORC).
    pub hw_rx_bytes: u64,
    /// Bytes of good frames sent, with FCS (8254x GOTC).
    pub hw_tx_bytes: u64,
    /// Statistics registers that were found at their ceiling: those counts are too small.
    pub hw_saturated: u64,
    /// Times the driver wrote a tail register.
    pub doorbells: u64,
}
