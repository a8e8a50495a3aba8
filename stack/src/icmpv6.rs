//! ICMPv6.

use crate::ipv6::PROTOCOL_ICMPV6;

/// Destination unreachable, port (RFC 4443 3.1).
pub(crate) const PORT_UNREACHABLE: (u8, u8, u8) = (PROTOCOL_ICMPV6, 1, 4);
/// Longest error: the smallest MTU of IPv6 (RFC 4443 3.1).
pub(crate) const ERROR_LEN_MAX: usize = 1280;
