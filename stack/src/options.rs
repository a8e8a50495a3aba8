//! Options of a TCP connection, and their effect on smoltcp and on our own timers.

use crate::Stack;
use crate::flow::Flow;
use crate::status::{SocketError, SocketId};
use naio_sys::clock::Time;
use smoltcp::socket::tcp::{CongestionControl, State};
use std::time::Duration;

/// Unanswered keep-alive probes after which a connection is given up; Linux asks as often.
const KEEP_ALIVE_PROBES: u32 = 9;

/// How long a peer may keep its window closed, unless the options say otherwise.
const PERSIST_LIMIT: Duration = Duration::from_secs(3_600);

/// Who decides how much may be under way (RFC 5681).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Congestion {
    /// Nobody: the peer's window alone. For networks of one's own.
    None,
    /// Reno (RFC 5681).
    Reno,
    /// Cubic (RFC 9438).
    #[default]
    Cubic,
}

/// Options that may change while a connection lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TcpOptions {
    /// Small segments leave at once instead of waiting for an acknowledgment (Nagle's algorithm is
    /// off). On by default: an operation is a statement that its bytes are to be sent.
    pub nodelay: bool,
    /// Probe a silent peer with this period; after nine unanswered probes the connection is given up.
    /// Off by default (RFC 9293 3.8.4).
    pub keep_alive: Option<Duration>,
    /// How long sent data may wait for an answer of any kind (RFC 5482); the stack's
    /// [`Config::user_timeout`](crate::Config::user_timeout) by default.
    pub user_timeout: Option<Duration>,
    /// How long the peer may keep its window closed while there is something to send, even if it answers every
    /// probe (RFC 9293 3.8.6.1 sets no limit; without one a peer holds our memory as long as it likes).
    pub persist_limit: Duration,
    /// Reset the connection when nothing was heard of the peer for this long, though nothing is outstanding: for
    /// servers. Off by default.
    pub idle_timeout: Option<Duration>,
    /// Congestion control.
    pub congestion: Congestion,
}

impl Default for TcpOptions {
    fn default() -> TcpOptions {
        TcpOptions {
            nodelay: true,
            keep_alive: None,
            user_timeout: None,
            persist_limit: PERSIST_LIMIT,
            idle_timeout: None,
            congestion: Congestion::default(),
        }
    }
}

impl Stack {
    /// Changes the options of a socket, from now on.
    ///
    /// # Errors
    /// The name is stale.
    pub fn set_options(&mut self, socket: SocketId, options: TcpOptions) -> Result<(), SocketError> {
        let index = self.flows.index(socket.0).ok_or(SocketError::Stale)?;
        let flow = self.flows.at_mut(index).ok_or(SocketError::Stale)?;
        flow.set_options(options);
        self.mark_dirty(index);
        Ok(())
    }
}

impl Flow {
    pub(crate) fn set_options(&mut self, options: TcpOptions) {
        let changes_control = self.options.is_none_or(|before| before.congestion != options.congestion);
        self.options = Some(options);
        let socket = self.socket_mut();
        socket.set_nagle_enabled(!options.nodelay);
        let micros = |span: Duration| u64::try_from(span.as_micros()).unwrap_or(u64::MAX).max(1);
        socket.set_keep_alive(
            options.keep_alive.map(|span| smoltcp::time::Duration::from_micros(micros(span))),
        );
        if changes_control {
            // A new controller starts from the beginning, so an equal one is left alone.
            self.start = self.start.filter(|_| options.congestion != Congestion::None);
            self.apply_control();
        }
    }

    /// Whether anybody is to decide how much may be under way.
    pub(crate) fn is_controlled(&self) -> bool {
        self.options.unwrap_or_default().congestion != Congestion::None
    }

    /// Gives smoltcp the controller that was asked for; none while the window is ours.
    pub(crate) fn apply_control(&mut self) {
        let control = match self.options.unwrap_or_default().congestion {
            _ if self.start.is_some() => CongestionControl::None,
            Congestion::None => CongestionControl::None,
            Congestion::Reno => CongestionControl::Reno,
            Congestion::Cubic => CongestionControl::Cubic,
        };
        self.socket_mut().set_congestion_control(control);
    }

    /// Whether silence, however long, is all right.
    #[inline]
    pub(crate) fn is_left_alone(&self) -> bool {
        self.options.is_none_or(|options| options.keep_alive.is_none() && options.idle_timeout.is_none())
    }

    /// When the connection is given up if nothing is heard: `user_timeout` is the stack's.
    pub(crate) fn patience(&self, user_timeout: Duration) -> Option<Time> {
        if self.state() == State::Closed {
            // Only a reset is left, and it leaves at once.
            return None;
        }
        if !self.is_outstanding() && self.is_left_alone() {
            return None;
        }
        let options = self.options.unwrap_or_default();
        if self.is_outstanding() {
            let since = self.outstanding_since?.max(self.progress);
            let silence = since.after(options.user_timeout.unwrap_or(user_timeout));
            let closed = self.closed_since.map(|since| since.after(options.persist_limit));
            return Some(closed.map_or(silence, |closed| closed.min(silence)));
        }
        let probed = options.keep_alive.map(|every| every.saturating_mul(KEEP_ALIVE_PROBES + 1));
        let silence = probed.into_iter().chain(options.idle_timeout).min()?;
        self.bound.then(|| self.heard.after(silence))
    }
}
