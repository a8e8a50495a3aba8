//! What the stack counted. Every frame that came in is in exactly one `rx_*` or `drop_*` counter
//! (`rx_tcp_merged` counts a part of `rx_tcp` again);
//! every limit that was reached shows.

/// Declares the counters once: as fields, and by name for reports.
macro_rules! counters {
    ($(#[$of:meta])* pub struct Counters { $($(#[doc = $doc:literal])* pub $name:ident: u64,)* }) => {
        $(#[$of])*
        pub struct Counters {
            $($(#[doc = $doc])* pub $name: u64,)*
        }

        impl Counters {
            /// Every counter with its name, in the order in which they are declared.
            #[must_use]
            pub fn by_name(&self) -> Vec<(&'static str, u64)> {
                vec![$((stringify!($name), self.$name),)*]
            }

            /// What the counter of this name counts, in a sentence or two; `None` if there is no such counter.
            #[must_use]
            pub fn meaning(name: &str) -> Option<&'static str> {
                const MEANINGS: &[(&str, &str)] = &[$((stringify!($name), concat!($($doc),*)),)*];
                MEANINGS.iter().find(|(of, _)| *of == name).map(|(_, meaning)| meaning.trim())
            }
        }
    };
}

counters! {
/// Counters since the stack was made. They only grow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Frames taken in. The sum of all `rx_*` but `rx_tcp_merged`, and of all `drop_*`.
    pub frames: u64,
    /// ARP packets that meant something to us.
    pub rx_arp: u64,
    /// Neighbour discovery that meant something to us.
    pub rx_ndp: u64,
    /// Questions of routers who hears which groups.
    pub rx_group_query: u64,
    /// ICMP echo requests answered.
    pub rx_icmp_echo: u64,
    /// ICMP errors about something of ours, handed to its socket.
    pub rx_icmp_error: u64,
    /// IP fragments kept until the others arrive. The last one counts as what the whole is.
    pub rx_ip_fragment: u64,
    /// UDP datagrams put into a socket's queue.
    pub rx_udp: u64,
    /// Datagrams for the DHCP client.
    pub rx_dhcp: u64,
    /// TCP segments for connections that are over (TIME-WAIT).
    pub rx_time_wait: u64,
    /// TCP segments handed to their connection.
    pub rx_tcp: u64,
    /// Of those, the ones that were added to the segment before them, or took the place of an acknowledgment.
    pub rx_tcp_merged: u64,

    /// Shorter than an Ethernet header, or not inside its page.
    pub drop_ether_length: u64,
    /// Neither our station address nor broadcast, nor a group that we hear.
    pub drop_ether_address: u64,
    /// Neither IP nor ARP.
    pub drop_ether_type: u64,
    /// ARP of another kind than IPv4 over Ethernet, or with impossible addresses.
    pub drop_arp_malformed: u64,
    /// ARP that does not concern us, or that we had not asked for.
    pub drop_arp_unasked: u64,
    /// ARP that would have replaced a fresh entry, or claims our own address.
    pub drop_arp_conflict: u64,
    /// IPv4 header lengths or version that do not fit the frame.
    pub drop_ip_header: u64,
    /// IPv4 header checksum wrong.
    pub drop_ip_checksum: u64,
    /// IP fragments with an impossible place, or of a datagram that was given up.
    pub drop_ip_fragment: u64,
    /// IPv6 extension headers that are too many, malformed, or must not be skipped.
    pub drop_ip_extension: u64,
    /// Neighbour discovery that does not concern us, or that we had not asked for.
    pub drop_ndp_unasked: u64,
    /// Neighbour discovery that would have replaced a fresh entry, or claims an address of ours.
    pub drop_ndp_conflict: u64,
    /// IGMP or MLD with a wrong checksum, length, source or hop limit.
    pub drop_igmp_malformed: u64,
    /// IGMP other than queries.
    pub drop_igmp_type: u64,
    /// Not for our address, or unicast IP in a broadcast frame.
    pub drop_ip_destination: u64,
    /// A source that no host may have: broadcast, multicast, loopback, "this network", ourselves.
    pub drop_ip_source: u64,
    /// A protocol nobody here speaks.
    pub drop_ip_protocol: u64,
    /// ICMP with a wrong checksum or length.
    pub drop_icmp_malformed: u64,
    /// Source quench and redirects.
    pub drop_icmp_ignored: u64,
    /// ICMP errors about nothing that we can have sent.
    pub drop_icmp_unmatched: u64,
    /// ICMP of other kinds.
    pub drop_icmp_type: u64,
    /// Echo requests beyond the rate limit, or without a page for the answer.
    pub drop_icmp_limit: u64,
    /// UDP lengths or ports that make no sense.
    pub drop_udp_header: u64,
    /// UDP checksum wrong.
    pub drop_udp_checksum: u64,
    /// UDP for a port that nobody has; `tx_icmp_error` says how many were answered.
    pub drop_udp_unknown: u64,
    /// UDP for a socket whose queue is full.
    pub drop_udp_full: u64,
    /// TCP header lengths, ports or flags that make no sense.
    pub drop_tcp_header: u64,
    /// TCP checksum wrong.
    pub drop_tcp_checksum: u64,
    /// Segments for nobody; `tx_reset` says how many were answered.
    pub drop_tcp_unknown: u64,
    /// SYNs beyond a listener's backlog.
    pub drop_tcp_backlog: u64,
    /// SYNs without a free place for a connection.
    pub drop_tcp_sockets: u64,
    /// Data beyond the ring, whatever window a peer believed in (guard a).
    pub drop_tcp_beyond_ring: u64,
    /// Data behind the end of the peer's stream.
    pub drop_tcp_behind_fin: u64,
    /// SYNs without ACK to a connection that is opening itself (guard e).
    pub drop_tcp_simultaneous: u64,
    /// Segments for a connection that has not sent its SYN.
    pub drop_tcp_early: u64,
    /// Repeated acknowledgments while only our FIN is outstanding (guard c).
    pub drop_tcp_repeated_ack: u64,
    /// Segments of a connection without ACK.
    pub drop_tcp_no_ack: u64,
    /// SYNs that came again while their answer was on its way.
    pub drop_tcp_repeated_syn: u64,
    /// Resets with a number far from the one expected, and those in TIME-WAIT.
    pub drop_tcp_reset: u64,
    /// Segments that may have been invented, and that were asked back about (RFC 5961).
    pub drop_tcp_challenged: u64,
    /// Segments that came before their turn when `Config::rx_ahead_bytes_max` bytes of such were kept.
    pub drop_tcp_ahead: u64,

    /// Segments that came before their turn and were kept.
    pub ahead_kept: u64,
    /// Frames whose payload was moved into ordinary memory because nobody read it in time or pages were short.
    pub pages_copied: u64,
    /// Connections broken because bytes were accepted that are not there: never, but for a defect of ours.
    pub stream_missing: u64,
    /// Packets made for the card, of all kinds.
    pub tx_packets: u64,
    /// Resets sent for segments that belong to nobody.
    pub tx_reset: u64,
    /// Resets not sent because of the rate limit.
    pub tx_reset_limited: u64,
    /// ARP requests sent.
    pub tx_arp_request: u64,
    /// Acknowledgments that ask back about a segment that may have been invented.
    pub tx_challenge: u64,
    /// Of those, not sent: the limit of the connection, or no room for replies.
    pub tx_challenge_limited: u64,
    /// Replies not sent because too many were waiting.
    pub tx_replies_full: u64,
    /// Packets lost for want of a page (like loss on the wire: TCP repeats them).
    pub tx_no_page: u64,
    /// Packets lost because the next hop's station address was not known.
    pub tx_unresolved: u64,
    /// Packets lost because they were larger than the MTU. Always a bug.
    pub tx_too_long: u64,
    /// References that the driver gave back without having them. Always a bug.
    pub tx_strange_extent: u64,

    /// Neighbour solicitations sent, for station addresses.
    pub tx_ndp_solicitation: u64,
    /// Reports of multicast groups sent.
    pub tx_group_report: u64,
    /// UDP datagrams taken to be sent.
    pub tx_udp: u64,
    /// UDP datagrams refused because too many were waiting.
    pub tx_udp_busy: u64,
    /// Datagrams that had to wait for the next hop's station address.
    pub tx_waited: u64,
    /// Fragments made of datagrams larger than the MTU.
    pub tx_fragments: u64,
    /// ICMP errors sent.
    pub tx_icmp_error: u64,
    /// ICMP errors not sent because of the rate limit, or without room.
    pub tx_icmp_error_limited: u64,

    /// IPv6 addresses that somebody else had.
    pub ipv6_duplicates: u64,
    /// Routers, prefixes and addresses advertised beyond what is kept.
    pub ipv6_refused: u64,
    /// Connections that ended because their address is no longer ours.
    pub address_lost: u64,
    /// Fragmented datagrams that became whole.
    pub reassembled: u64,
    /// Fragmented datagrams given up because pieces of them contradicted each other.
    pub reassembly_overlaps: u64,
    /// Fragmented datagrams given up because pieces did not arrive in time.
    pub reassembly_timeouts: u64,
    /// Fragmented datagrams given up to stay within the limits.
    pub reassembly_full: u64,
    /// Errors about datagrams that nobody fetched.
    pub udp_errors_forgotten: u64,
    /// Connections that did not come about because of an ICMP error.
    pub icmp_ended: u64,

    /// Connections that were opened from here.
    pub connects: u64,
    /// Connections that were accepted from others.
    pub accepts: u64,
    /// Connections that ended because the peer reset them or refused.
    pub resets: u64,
    /// Connections given up: nothing heard for too long, or no next hop.
    pub timeouts: u64,
    /// Closed connections cut short because they lingered too long, or to make room.
    pub lingers_cut: u64,
    /// Datagrams from anywhere that were no answer to a name query of ours.
    pub dns_strange_answers: u64,
    /// Connections in TIME-WAIT forgotten to make room.
    pub time_waits_evicted: u64,
    /// Neighbours forgotten to make room.
    pub neighbors_evicted: u64,
    /// Requests directed at us whose sender a fresh entry knows under another station address.
    pub neighbors_contested: u64,
    /// Neighbours that did not answer.
    pub neighbors_failed: u64,
    /// Visits to a connection that reached the bound on packets per visit.
    pub egress_bounded: u64,
    /// Persist timers that had to be started from outside (guard m).
    pub persist_restarted: u64,
    /// Paths that turned out to be narrower, as the network said.
    pub path_mtu_lowered: u64,
    /// Errors that said so and made no difference: too small to be believed, or no news.
    pub path_mtu_ignored: u64,
    /// Paths that swallowed large packets in silence.
    pub path_mtu_black_holes: u64,
    /// SYNs answered with a cookie.
    pub cookies_sent: u64,
    /// Connections that came back with a cookie.
    pub cookies_taken: u64,
    /// Acknowledgments that might have carried a cookie and did not.
    pub cookies_strange: u64,
    /// Connections that the TCP engine panicked over: always a defect.
    pub flows_broken: u64,
    /// Ends of streams that came before missing data and were remembered.
    pub fins_recalled: u64,
    /// Segments sent again because the peer's acknowledgments, most of them selective, showed them lost.
    pub losses_by_sack: u64,
    /// Segments sent again because nothing was acknowledged for longer than the round trips explain.
    pub losses_by_silence: u64,
    /// Of these and what followed from them, the ones whose first copy had arrived, as far as that can be told.
    pub losses_in_vain: u64,
    /// Window acknowledgments repaired (guard d).
    pub zero_window_repaired: u64,
}
}

impl Counters {
    /// Frames accounted for: always equal to [`Counters::frames`] between calls.
    #[must_use]
    pub fn accounted(&self) -> u64 {
        self.rx_arp
            + self.rx_time_wait
            + self.rx_dhcp
            + self.rx_ndp
            + self.rx_group_query
            + self.rx_icmp_echo
            + self.rx_icmp_error
            + self.rx_ip_fragment
            + self.rx_udp
            + self.rx_tcp
            + self.drop_ether_length
            + self.drop_ether_address
            + self.drop_ether_type
            + self.drop_arp_malformed
            + self.drop_arp_unasked
            + self.drop_arp_conflict
            + self.drop_ip_header
            + self.drop_ip_checksum
            + self.drop_ip_fragment
            + self.drop_ip_extension
            + self.drop_ndp_unasked
            + self.drop_ndp_conflict
            + self.drop_igmp_malformed
            + self.drop_igmp_type
            + self.drop_ip_destination
            + self.drop_ip_source
            + self.drop_ip_protocol
            + self.drop_icmp_malformed
            + self.drop_icmp_ignored
            + self.drop_icmp_unmatched
            + self.drop_icmp_type
            + self.drop_udp_header
            + self.drop_udp_checksum
            + self.drop_udp_unknown
            + self.drop_udp_full
            + self.drop_icmp_limit
            + self.drop_tcp_header
            + self.drop_tcp_checksum
            + self.drop_tcp_unknown
            + self.drop_tcp_backlog
            + self.drop_tcp_sockets
            + self.drop_tcp_beyond_ring
            + self.drop_tcp_behind_fin
            + self.drop_tcp_simultaneous
            + self.drop_tcp_early
            + self.drop_tcp_repeated_ack
            + self.drop_tcp_no_ack
            + self.drop_tcp_repeated_syn
            + self.drop_tcp_reset
            + self.drop_tcp_challenged
            + self.drop_tcp_ahead
    }
}
