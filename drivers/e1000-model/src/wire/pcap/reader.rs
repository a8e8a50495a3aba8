//! Reads capture files: bytes in, packets with times out. Knows the two formats and nothing else.

use super::{ETHERNET, SNAP_LEN};

/// Most packets that a capture holds; the rest of the file is left out.
const PACKETS_MAX: usize = 4_000_000;
/// Section header block, and its magic number for the byte order.
const SECTION: u32 = 0x0a0d_0d0a;
const SECTION_ORDER: u32 = 0x1a2b_3c4d;
const INTERFACE: u32 = 1;
const SIMPLE: u32 = 3;
const ENHANCED: u32 = 6;
/// Interface option: resolution of time stamps.
const TIME_RESOLUTION: u16 = 9;

/// A packet of a capture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet {
    /// Nanoseconds since the first packet of the file.
    pub at_ns: u64,
    /// Destination address first, without FCS as captures are.
    pub bytes: Vec<u8>,
    /// How long it was on the wire: more than there are bytes if the capture kept only its beginning.
    pub original_len: usize,
}

/// The packets of a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Capture {
    /// In the order of the file.
    pub packets: Vec<Packet>,
    /// The file ended in the middle of something; what came before is here.
    pub truncated: bool,
}

/// Not a capture that can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CaptureError {
    /// Neither pcap nor pcapng.
    #[error("neither a pcap nor a pcapng file")]
    UnknownFormat,
    /// Not Ethernet.
    #[error("link type {0} is not Ethernet")]
    NotEthernet(u32),
}

/// A cursor that knows the byte order and never reads beyond the end.
struct Cursor<'a> {
    rest: &'a [u8],
    big: bool,
}

impl<'a> Cursor<'a> {
    fn bytes(&mut self, len: usize) -> Option<&'a [u8]> {
        let (head, rest) = self.rest.split_at_checked(len)?;
        self.rest = rest;
        Some(head)
    }

    fn word(&mut self) -> Option<u32> {
        let (head, rest) = self.rest.split_first_chunk::<4>()?;
        self.rest = rest;
        Some(if self.big { u32::from_be_bytes(*head) } else { u32::from_le_bytes(*head) })
    }

    fn half(&mut self) -> Option<u16> {
        let (head, rest) = self.rest.split_first_chunk::<2>()?;
        self.rest = rest;
        Some(if self.big { u16::from_be_bytes(*head) } else { u16::from_le_bytes(*head) })
    }
}

impl Capture {
    /// Reads a whole file.
    ///
    /// # Errors
    /// The format is unknown, or the packets are not Ethernet. A truncated file is no error.
    pub fn parse(file: &[u8]) -> Result<Capture, CaptureError> {
        let magic = file.first_chunk::<4>().ok_or(CaptureError::UnknownFormat)?;
        let mut capture = match (u32::from_le_bytes(*magic), u32::from_be_bytes(*magic)) {
            (SECTION, _) => Capture::next_generation(file)?,
            (0xa1b2_c3d4, _) => Capture::classic(file, false, 1_000)?,
            (_, 0xa1b2_c3d4) => Capture::classic(file, true, 1_000)?,
            (0xa1b2_3c4d, _) => Capture::classic(file, false, 1)?,
            (_, 0xa1b2_3c4d) => Capture::classic(file, true, 1)?,
            _ => return Err(CaptureError::UnknownFormat),
        };
        let first = capture.packets.first().map_or(0, |packet| packet.at_ns);
        capture.packets.iter_mut().for_each(|packet| packet.at_ns = packet.at_ns.saturating_sub(first));
        Ok(capture)
    }

    fn classic(file: &[u8], big: bool, unit_ns: u64) -> Result<Capture, CaptureError> {
        let mut cursor = Cursor { rest: file, big };
        let mut capture = Capture::default();
        let Some(link) = cursor.bytes(20).and_then(|_| cursor.word()) else {
            return Ok(Capture { truncated: true, ..capture });
        };
        if link & 0xffff != ETHERNET {
            return Err(CaptureError::NotEthernet(link));
        }
        while !cursor.rest.is_empty() && capture.packets.len() < PACKETS_MAX {
            match classic_packet(&mut cursor, unit_ns) {
                Some(packet) => capture.packets.push(packet),
                None => {
                    capture.truncated = true;
                    break;
                }
            }
        }
        Ok(capture)
    }

    fn next_generation(file: &[u8]) -> Result<Capture, CaptureError> {
        let mut cursor = Cursor { rest: file, big: false };
        let mut capture = Capture::default();
        let mut interfaces: Vec<Interface> = Vec::new();
        while !cursor.rest.is_empty() && capture.packets.len() < PACKETS_MAX {
            let Some((kind, body)) = block(&mut cursor) else {
                capture.truncated = true;
                break;
            };
            let mut body = Cursor { rest: body, big: cursor.big };
            match kind {
                SECTION => interfaces.clear(),
                INTERFACE => interfaces.extend(interface(&mut body)),
                ENHANCED | SIMPLE => {
                    let packet = if kind == ENHANCED {
                        enhanced(&mut body, &interfaces)
                    } else {
                        simple(&mut body, &interfaces)
                    };
                    match packet {
                        Some((link, _)) if link != ETHERNET => return Err(CaptureError::NotEthernet(link)),
                        Some((_, packet)) => capture.packets.push(packet),
                        None => capture.truncated = true,
                    }
                }
                _ => {}
            }
        }
        Ok(capture)
    }
}

fn classic_packet(cursor: &mut Cursor<'_>, unit_ns: u64) -> Option<Packet> {
    let (seconds, fraction) = (cursor.word()?, cursor.word()?);
    let (captured, original) = (cursor.word()?, cursor.word()?);
    let bytes = cursor.bytes((captured <= SNAP_LEN).then_some(captured as usize)?)?.to_vec();
    let at_ns = u64::from(seconds) * 1_000_000_000 + u64::from(fraction) * unit_ns;
    Some(Packet { at_ns, bytes, original_len: original as usize })
}

/// One interface of a pcapng section.
struct Interface {
    link: u32,
    snap_len: u32,
    /// Time stamps count ten (or two) to the minus this.
    resolution: u8,
}

/// The next block: its type and its body. A section header sets the byte order.
fn block<'a>(cursor: &mut Cursor<'a>) -> Option<(u32, &'a [u8])> {
    if cursor.rest.first_chunk::<4>().is_some_and(|kind| u32::from_le_bytes(*kind) == SECTION) {
        let order = cursor.rest.get(8..)?.first_chunk::<4>()?;
        cursor.big = u32::from_be_bytes(*order) == SECTION_ORDER;
    }
    let kind = cursor.word()?;
    let len = cursor.word()? as usize;
    let body = cursor.bytes(len.checked_sub(12)?)?;
    let again = cursor.word()? as usize;
    (again == len && len.is_multiple_of(4)).then_some((kind, body))
}

fn interface(body: &mut Cursor<'_>) -> Option<Interface> {
    let link = u32::from(body.half()?);
    body.half()?;
    let snap_len = body.word()?;
    let mut resolution = 6;
    while let (Some(code), Some(len)) = (body.half(), body.half()) {
        let Some(value) = body.bytes(usize::from(len).next_multiple_of(4)) else { break };
        if code == TIME_RESOLUTION && len == 1 {
            resolution = value[0];
        }
    }
    Some(Interface { link, snap_len, resolution })
}

fn enhanced(body: &mut Cursor<'_>, interfaces: &[Interface]) -> Option<(u32, Packet)> {
    let interface = interfaces.get(body.word()? as usize)?;
    let stamp = u64::from(body.word()?) << 32 | u64::from(body.word()?);
    let (captured, original) = (body.word()?, body.word()?);
    let bytes = body.bytes(captured as usize)?.to_vec();
    let per_second = if interface.resolution & 0x80 != 0 {
        1u128 << (interface.resolution & 0x3f)
    } else {
        10u128.pow(u32::from(interface.resolution.min(18)))
    };
    let at_ns = (u128::from(stamp) * 1_000_000_000 / per_second) as u64;
    Some((interface.link, Packet { at_ns, bytes, original_len: original as usize }))
}

fn simple(body: &mut Cursor<'_>, interfaces: &[Interface]) -> Option<(u32, Packet)> {
    let interface = interfaces.first()?;
    let original = body.word()?;
    let limit = if interface.snap_len == 0 { u32::MAX } else { interface.snap_len };
    let len = (original.min(limit) as usize).min(body.rest.len());
    let bytes = body.bytes(len)?.to_vec();
    Some((interface.link, Packet { at_ns: 0, bytes, original_len: original as usize }))
}
