//! Datagrams that a proxy carries, for as long as a stream to it is open (RFC 1928, 7). It is opened with the first datagram,
//! and closed when nothing has come back for a while: what a proxy or a router on the way has forgotten looks no different.

use super::streams::Role;
use super::{Action, CloseCause, Session};
use crate::base::limits::{CONNECT_TIMEOUT, RELAY_QUIET_MAX, RELAY_WAITING_MAX, UDP_RETRY};
use crate::base::{Instant, StreamId};
use crate::proxy::{Fault, Unreached};
use crate::wire::Server;
use alloc::collections::VecDeque;
use alloc::string::ToString;
use alloc::vec::Vec;
use core::mem;
use core::net::SocketAddr;

/// The stream that lasts as long as the proxy carries datagrams.
#[derive(Debug, Default)]
pub(super) enum Relaying {
    /// There is none.
    #[default]
    Not,
    /// It is being opened until a deadline; these wait for it.
    Opening { stream: StreamId, until: Instant, waiting: VecDeque<(Server, Vec<u8>)> },
    /// Datagrams are carried; it is closed at `until`.
    Open { stream: StreamId, until: Instant },
}

impl Relaying {
    pub fn deadline(&self) -> Option<Instant> {
        match self {
            Self::Not => None,
            Self::Opening { until, .. } | Self::Open { until, .. } => Some(*until),
        }
    }
}

impl Session {
    /// Sends a datagram straight, or has it carried where only a proxy knows the way.
    pub(super) fn post(&mut self, now: Instant, server: Server, bytes: Vec<u8>) {
        if server.address.is_some() {
            return self.actions.push_back(Action::SendDatagram { server, bytes });
        }
        match &mut self.relaying {
            Relaying::Open { until, .. } => {
                *until = (*until).max(now + UDP_RETRY);
                self.actions.push_back(Action::SendDatagram { server, bytes });
            }
            // What does not fit is lost, as on any network, and said again.
            Relaying::Opening { waiting, .. } if waiting.len() >= RELAY_WAITING_MAX => {}
            Relaying::Opening { waiting, .. } => waiting.push_back((server, bytes)),
            Relaying::Not => {
                let stream = self.streams.insert(Role::Relay);
                let waiting = VecDeque::from([(server, bytes)]);
                self.relaying = Relaying::Opening { stream, until: now + CONNECT_TIMEOUT, waiting };
                self.actions.push_back(Action::Associate { stream });
            }
        }
    }

    /// The proxy carries datagrams: those that have waited go first.
    pub(super) fn on_relay_open(&mut self, now: Instant) {
        if let Relaying::Opening { stream, waiting, .. } = mem::take(&mut self.relaying) {
            let sent = waiting.into_iter().map(|(server, bytes)| Action::SendDatagram { server, bytes });
            self.actions.extend(sent);
            self.relaying = Relaying::Open { stream, until: now + RELAY_QUIET_MAX };
        }
    }

    pub(super) fn on_relayed(&mut self, now: Instant, from: Option<SocketAddr>, bytes: &[u8]) {
        self.on_sign_of_life(now);
        if let Relaying::Open { until, .. } = &mut self.relaying {
            *until = now + RELAY_QUIET_MAX;
        }
        for id in self.ids() {
            let trackers = &mut self.torrents[id.0 as usize].trackers;
            if trackers.awaits_datagrams() {
                trackers.on_relayed(now, from, bytes, &mut self.rng);
                self.settle_trackers(now, id);
            }
        }
    }

    /// The stream is gone. Who has it open may send through another.
    pub(super) fn on_relay_closed(&mut self, now: Instant, cause: CloseCause) {
        let was_open = matches!(mem::take(&mut self.relaying), Relaying::Open { .. });
        let refused = matches!(cause, CloseCause::Proxy(fault) if fault.is_no_to_datagrams());
        let why = cause.to_string();
        for id in self.ids() {
            let trackers = &mut self.torrents[id.0 as usize].trackers;
            if refused {
                trackers.on_relay_refused(now, &why);
            } else if !was_open {
                trackers.on_relay_lost(now, &why, &mut self.rng);
            }
            self.settle_trackers(now, id);
        }
    }

    /// Closes the stream if it is time.
    pub(super) fn end_relaying_in_time(&mut self, now: Instant) {
        if self.relaying.deadline().is_none_or(|deadline| now < deadline) {
            return;
        }
        let (Relaying::Opening { stream, .. } | Relaying::Open { stream, .. }) = self.relaying else {
            return;
        };
        self.streams.remove(stream);
        self.actions.push_back(Action::Close { stream });
        self.on_relay_closed(now, CloseCause::Proxy(Fault::Unreached(Unreached::Silent)));
    }
}
