//! The session's wishes, carried out in order, with what must be true of each.

use crate::net::{Host, Socket};
use crate::watch::Watch;
use crate::world::{Happening, World};
use std::net::SocketAddr;
use swarmlet::base::{Instant, StreamId};
use swarmlet::session::{Action, CloseCause, Event, Report};

impl World {
    pub fn perform_all(&mut self) {
        while self.outcome.is_none()
            && let Some(action) = self.session.next_action()
        {
            self.perform(action);
        }
    }

    fn perform(&mut self, action: Action) {
        match action {
            Action::Connect { stream, address } => self.connect(stream, address),
            // What lies on the way to a server is not the session's business, so it is not simulated.
            Action::Reach { stream, server } => {
                self.connect(stream, self.place_of(&server));
            }
            Action::Associate { stream } => self.associate(stream),
            Action::Flush { stream } => {
                self.trace(&[3, stream.generation.into()]);
                assert!(!self.closed.contains(&stream), "flush of a closed stream");
                self.flushing.insert(stream);
            }
            Action::Close { stream } => {
                self.trace(&[4, stream.generation.into()]);
                assert!(self.closed.insert(stream), "closed twice");
                self.relay.close(stream);
                self.refused.retain(|(refused, _)| *refused != stream);
                self.sockets.remove(&stream);
            }
            Action::Store { torrent, store } => {
                let Some(view) = self.session.store(torrent, store) else { return };
                let result = self.disk.store(self.now, view.offset, &view.parts);
                let sum = [5, view.offset, view.parts.len() as u64, u64::from(result.is_ok())];
                self.trace(&sum);
                let event = match result {
                    Ok(()) => Event::Stored { torrent, store },
                    Err(fault) => Event::StoreFailed { torrent, store, fault },
                };
                self.session.handle(Instant::from_micros(self.now), event);
            }
            Action::Resume { stream } => self.read_again(stream),
            Action::Load { offset, length, renew, .. } => self.loads.push_back((offset, length, renew)),
            Action::Sync { torrent, .. } => {
                self.disk.device.begin_sync();
                let at = self.now + self.disk.device.busy_us(&mut self.rng);
                self.disk.device.syncing_until = at;
                self.plan(at, Happening::Synced(torrent));
            }
            Action::Save { torrent } => {
                let device = &mut self.disk.device;
                let wall = device.wall(self.now);
                let state =
                    self.session.state(Instant::from_micros(self.now), torrent, wall, device.synced());
                device.begin_save(state);
                let at = self.now + device.busy_us(&mut self.rng);
                self.plan(at, Happening::Saved(torrent));
            }
            Action::ForgetState { .. } => self.disk.device.forget_state(),
            Action::Complete { torrent } => {
                assert!(self.disk.is_complete() && !self.disk.completed);
                self.disk.completed = true;
                self.plan(self.now.max(self.disk.device.syncing_until) + 1, Happening::Completed(torrent));
            }
            Action::Resolve { query, host } => {
                assert!(!host.is_empty());
                let addresses = self.names.get(&host).cloned().unwrap_or_default();
                let at = self.now + 1_000 + u64::from(self.rng.below(self.naming_us));
                self.plan(at, Happening::Resolved(query, addresses));
            }
            Action::SendDatagram { server, bytes } => self.post(&server, bytes),
            Action::Say(Report::Note(note)) => self.notes.push(note),
            Action::Say(_) => {}
            Action::Finish(outcome) => {
                self.outcome = Some(outcome);
                self.finished_at = self.now;
            }
        }
    }

    fn connect(&mut self, stream: StreamId, address: SocketAddr) {
        self.trace(&[1, stream.generation.into(), u64::from(address.port())]);
        let ip = address.ip();
        let nobody = ip.is_unspecified() || ip.is_multicast() || address.port() == 0;
        assert!(!nobody, "dialled {address}");
        assert!(!self.sockets.contains_key(&stream) && !self.closed.contains(&stream), "a name used twice");
        *self.dialled.entry(address).or_default() += 1;
        if self.lacks(address.ip()) {
            return self.refused.push((stream, CloseCause::Unreachable));
        }
        let Some(host) = self.hosts.get(&address).cloned() else {
            return self.refused.push((stream, CloseCause::Refused));
        };
        let mut socket = Socket::new(address, &host, &self.torrent, &mut self.rng);
        let trip = 2 * socket.latency_us;
        let happening = match host.never_opens() {
            None => Some(Happening::Opens(stream)),
            Some(None) => None,
            Some(Some(cause)) => Some(Happening::Fails(stream, cause)),
        };
        if let Host::Peer(model) = &host {
            socket.watch = Some(Watch::new(&self.torrent, model));
        }
        self.sockets.insert(stream, socket);
        if let Some(happening) = happening {
            self.plan(self.now + trip, happening);
        }
    }

    /// Writes once to each stream that has bytes and takes them, often only a part.
    pub fn flush_all(&mut self) {
        for stream in core::mem::take(&mut self.flushing) {
            if self.outcome.is_some() {
                return;
            }
            self.look_at_outgoing_of(stream);
            let Some(socket) = self.sockets.get_mut(&stream).filter(|socket| socket.open) else { continue };
            let bytes = self.session.outgoing(stream);
            let room = socket.room_bytes().min(bytes.len());
            if room == 0 {
                continue;
            }
            let count = if self.rng.one_in(4) { 1 + self.rng.below(room as u32) as usize } else { room };
            let sent = bytes[..count].to_vec();
            socket.unread_bytes += count;
            if let Some(watch) = &mut socket.watch {
                watch.on_sent(count);
            }
            let at = self.now + socket.latency_us;
            self.trace(&[6, stream.generation.into(), count as u64]);
            self.session.sent(self.instant(), stream, count);
            self.perform_all();
            self.plan(at, Happening::ToThem(stream, sent));
            if !self.session.outgoing(stream).is_empty()
                && self.sockets.get(&stream).is_some_and(|s| s.room_bytes() > 0)
            {
                self.flushing.insert(stream);
            }
        }
    }
}
