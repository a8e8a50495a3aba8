//! The wire protocol between an experiment and `naio-remote`: one small request, then bytes.
//!
//! **Request**, sent by the client on either port as soon as it is connected, 16 bytes, little-endian:
//!
//! | offset | type | field |
//! |---|---|---|
//! | 0 | u32 | magic [`MAGIC`] (`"NAIO"` as bytes) |
//! | 4 | u32 | flags: bit 0 = a SHA-256 of the payload is wanted; other bits must be zero |
//! | 8 | u64 | source port: payload bytes wanted; sink port: not looked at, send 0 |
//!
//! **Source port** (5001): the server answers with exactly that many payload bytes, then, if asked, 32 bytes of
//! SHA-256 over them, then half-closes, and waits for the client to close. A request it does not understand or
//! that exceeds its limit is answered by closing the connection with no byte sent.
//!
//! **Sink port** (5002): the client sends payload and half-closes; the server answers with the number of payload
//! bytes it read as u64, then, if asked, 32 bytes of SHA-256 over them, and closes.
//!
//! This room only turns requests into bytes and back; it never touches a socket.

/// The first four bytes of a request: `"NAIO"` read as a little-endian word.
pub const MAGIC: u32 = u32::from_le_bytes(*b"NAIO");
/// Length of a request on the wire.
pub const REQUEST_LEN: usize = 16;
/// Length of the SHA-256 trailer.
pub const DIGEST_LEN: usize = 32;
/// TCP port of the source unless told otherwise.
pub const SOURCE_PORT: u16 = 5001;
/// TCP port of the sink unless told otherwise.
pub const SINK_PORT: u16 = 5002;

const FLAG_SHA256: u32 = 1 << 0;

/// What a client asks of either port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Request {
    /// Payload bytes wanted (source); ignored by the sink.
    pub bytes: u64,
    /// Whether the answer ends with the payload's SHA-256.
    pub sha256: bool,
}

/// Why 16 bytes are not a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The magic differs: the peer speaks something else.
    #[error("not a naio request: magic is {0:#010x}")]
    Magic(u32),
    /// A flag from a later version of the protocol.
    #[error("unknown request flags {0:#x}")]
    Flags(u32),
}

impl Request {
    /// The request's 16 bytes.
    #[must_use]
    pub fn encode(&self) -> [u8; REQUEST_LEN] {
        let mut wire = [0; REQUEST_LEN];
        let (magic, rest) = wire.split_at_mut(4);
        let (flags, bytes) = rest.split_at_mut(4);
        magic.copy_from_slice(&MAGIC.to_le_bytes());
        flags.copy_from_slice(&if self.sha256 { FLAG_SHA256 } else { 0 }.to_le_bytes());
        bytes.copy_from_slice(&self.bytes.to_le_bytes());
        wire
    }

    /// Reads a request.
    ///
    /// # Errors
    /// [`DecodeError`] for a foreign magic or an unknown flag; no byte count is refused here, the server has
    /// its own limit.
    pub fn decode(wire: &[u8; REQUEST_LEN]) -> Result<Self, DecodeError> {
        let [m0, m1, m2, m3, f0, f1, f2, f3, bytes @ ..] = *wire;
        let magic = u32::from_le_bytes([m0, m1, m2, m3]);
        let flags = u32::from_le_bytes([f0, f1, f2, f3]);
        if magic != MAGIC {
            return Err(DecodeError::Magic(magic));
        }
        if flags & !FLAG_SHA256 != 0 {
            return Err(DecodeError::Flags(flags));
        }
        Ok(Self { bytes: u64::from_le_bytes(bytes), sha256: flags & FLAG_SHA256 != 0 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wire_form_is_the_documented_one() {
        let wire = Request { bytes: 0x0102_0304, sha256: true }.encode();
        assert_eq!(wire, *b"NAIO\x01\0\0\0\x04\x03\x02\x01\0\0\0\0");
        assert_eq!(Request::decode(&wire), Ok(Request { bytes: 0x0102_0304, sha256: true }));
    }

    #[test]
    fn foreign_bytes_are_refused() {
        assert!(matches!(Request::decode(b"GET / HTTP/1.1\r\n"), Err(DecodeError::Magic(_))));
        let mut wire = Request { bytes: 1, sha256: false }.encode();
        wire[4] = 2;
        assert_eq!(Request::decode(&wire), Err(DecodeError::Flags(2)));
    }
}
