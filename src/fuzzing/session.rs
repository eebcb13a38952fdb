//! Fuzz body for the whole session: bytes are read as a list of operations, and everything is checked after each.

use crate::base::limits::{CHECK_SLICE_BYTES, TURN_READ_BYTES};
use crate::base::{Instant, Rng, StreamId, TorrentId};
use crate::meta::Metainfo;
use crate::session::{
    Action, CloseCause, Command, Event, Landing, Outcome, Session, Settings, StorageFault, StorageFaultKind,
};
use crate::wire::Message;
use crate::wire::address::is_dialable;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};
use core::time::Duration;

/// Five pieces of 40,000 bytes and a sixth of 20,000, all of zeros; three trackers. The hashes follow.
const HEAD: &[u8] = b"d13:announce-listll20:http://1.2.3.4:8/annel11:http://t/anel11:udp://u:1/aee\
    4:infod6:lengthi220000e4:name1:z12:piece lengthi40000e6:pieces120:";
const TOTAL_BYTES: u64 = 220_000;
const PIECES: u32 = 6;
/// SHA-1 of 40,000 and of 20,000 zeros.
const WHOLE: &[u8; 20] = b"\x82\x87\xb0\x34\x97\x7e\x0b\xa3\x95\x8e\xc5\x47\x05\xe1\x6b\xa3\xee\x3d\x30\xb0";
const LAST: &[u8; 20] = b"\x9b\xd7\xc3\xd1\x57\xe8\x27\x53\xfd\x2b\xf3\xa9\xdf\x26\xbe\xa4\x9b\xc2\x9c\xaf";

/// Operations behind the first byte, which chooses the settings.
pub fn script(data: &[u8]) {
    run(data);
}

/// The same; how the session ended, `None` for no bytes.
pub fn run(data: &[u8]) -> Option<Outcome> {
    let (&choice, operations) = data.split_first()?;
    let mut machine = Machine::new(choice);
    let mut input = Input(operations);
    while let Some(operation) = input.next()
        && machine.outcome.is_none()
    {
        machine.operate(operation, &mut input);
        machine.turn();
    }
    Some(machine.end())
}

/// The bytes that are left. Numbers beyond the end are 0.
struct Input<'a>(&'a [u8]);

impl Input<'_> {
    fn next(&mut self) -> Option<u8> {
        let (&first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(first)
    }

    fn byte(&mut self) -> u8 {
        self.next().unwrap_or(0)
    }

    fn take(&mut self, count: usize) -> &[u8] {
        let (front, rest) = self.0.split_at(count.min(self.0.len()));
        self.0 = rest;
        front
    }
}

/// One stream as the rim would know it.
struct Stream {
    id: StreamId,
    open: bool,
    is_peer: bool,
    inbox: Vec<u8>,
    /// Everything that the session sent.
    sent: Vec<u8>,
    /// How far `sent` has been looked through for requests.
    seen: usize,
}

/// The session and the little that the rim remembers.
struct Machine {
    session: Session,
    now: Instant,
    streams: Vec<Stream>,
    queries: Vec<u32>,
    /// The last datagram.
    posted: Option<(SocketAddr, Vec<u8>)>,
    loads: Vec<(u64, usize)>,
    /// Why stores and loads fail at present.
    fails: Option<StorageFaultKind>,
    outcome: Option<Outcome>,
}

const FAULTS: [Option<StorageFaultKind>; 4] =
    [None, Some(StorageFaultKind::NoSpace), Some(StorageFaultKind::Io), Some(StorageFaultKind::Changed)];
const CAUSES: [CloseCause; 5] = [
    CloseCause::Ended,
    CloseCause::Refused,
    CloseCause::Reset,
    CloseCause::NoResources,
    CloseCause::Other(1),
];

impl Machine {
    fn new(choice: u8) -> Self {
        let now = Instant::from_micros(1_000_000);
        let peer = |nth: u8| SocketAddr::from(([11, 0, 0, nth], 6881));
        let settings = Settings {
            memory_bytes: if choice & 1 == 0 { 0 } else { 1 << 20 },
            max_peers: if choice & 2 == 0 { 4 } else { 50 },
            port: 6881,
            peers: (0..6).map(peer).collect(),
            give_up: (choice & 4 != 0).then_some(Duration::from_secs(60)),
            check_only: choice & 8 != 0,
        };
        let metainfo = Metainfo::parse(&torrent()).expect("ours: the torrent above is sound");
        let mut session = Session::new(now, Rng::new(choice.into()), settings);
        session.add_torrent(now, Arc::new(metainfo), choice & 16 != 0);
        let mut machine = Self {
            session,
            now,
            streams: vec![],
            queries: vec![],
            posted: None,
            loads: vec![],
            fails: None,
            outcome: None,
        };
        machine.perform();
        machine
    }

    fn operate(&mut self, operation: u8, input: &mut Input<'_>) {
        match operation % 16 {
            0 => self.connect_all(),
            1 => self.close(input.byte(), CAUSES[usize::from(input.byte()) % CAUSES.len()]),
            2 => self.shake(input.byte(), input.byte()),
            3 | 4 => self.say(input.byte(), input.byte(), input.byte()),
            5 | 6 => self.answer(input.byte(), input.byte()),
            7 => {
                let (nth, count) = (input.byte(), input.byte());
                let bytes = input.take(count.into()).to_vec();
                self.push(nth, &bytes);
            }
            8 => self.read(input.byte(), 0),
            9 => self.read(input.byte(), 1 + usize::from(input.byte()) * 150),
            10 => self.wait(Duration::from_micros(1 << (input.byte() % 28))),
            11 => self.fails = FAULTS[usize::from(input.byte()) % FAULTS.len()],
            12 => self.resolve_or_reply(input),
            13 => self.command(input.byte()),
            14 => self.flush_all(usize::from(input.byte()) * 8),
            _ => self.load(),
        }
    }

    fn at(&mut self, nth: u8) -> Option<&mut Stream> {
        let count = self.streams.len().max(1);
        self.streams.get_mut(usize::from(nth) % count)
    }

    fn connect_all(&mut self) {
        for nth in 0..self.streams.len() {
            if let Some(stream) = self.streams.get_mut(nth).filter(|stream| !stream.open) {
                stream.open = true;
                let stream = stream.id;
                self.tell(Event::Connected { stream });
            }
        }
    }

    fn close(&mut self, nth: u8, cause: CloseCause) {
        let Some(stream) = self.at(nth).map(|stream| stream.id) else { return };
        self.streams.retain(|other| other.id != stream);
        self.tell(Event::Closed { stream, cause });
    }

    /// A handshake that fits; `choice` tells the extensions.
    fn shake(&mut self, nth: u8, choice: u8) {
        let Some(stream) = self.at(nth) else { return };
        let Some(mut theirs) = stream.sent.get(..68).map(<[u8]>::to_vec) else { return };
        theirs[20..28].fill(0);
        theirs[25] = (choice & 1) << 4;
        theirs[27] = (choice & 2) << 1;
        theirs[48..68].fill(choice);
        // Mostly somebody else each time; the same peer twice is closed.
        if choice & 0x40 == 0 {
            theirs[64..68].copy_from_slice(&stream.id.generation.to_be_bytes());
        }
        self.push(nth, &theirs);
    }

    /// A well-formed message.
    fn say(&mut self, nth: u8, kind: u8, number: u8) {
        let piece = u32::from(number) % (PIECES + 1);
        let block = crate::base::Block { piece, begin: u32::from(number & 3) << 14, length: 1 << 14 };
        let reqq = [b"\0d4:reqqi".as_slice(), &[b'0' + number % 10], b"ee"].concat();
        let message = match kind % 14 {
            0 => Message::Choke,
            1 | 2 => Message::Unchoke,
            3 => Message::Interested,
            4 => Message::Have(piece),
            5 => Message::Bitfield(&[number]),
            6 => Message::HaveAll,
            7 => Message::HaveNone,
            8 => Message::AllowedFast(piece),
            9 => Message::Reject(block),
            10 => Message::Request(block),
            11 => Message::Cancel(block),
            12 => Message::Suggest(piece),
            _ => Message::Extended { id: 0, payload: &reqq[1..] },
        };
        let mut bytes = vec![];
        message.encode_into(&mut bytes);
        self.push(nth, &bytes);
    }

    /// Answers the oldest request of a stream: with the block, a spoiled one, a `reject`, or twice.
    fn answer(&mut self, nth: u8, how: u8) {
        let Some(body) = self.at(nth).and_then(Stream::next_request) else { return };
        let length = u32::from_be_bytes([body[8], body[9], body[10], body[11]]) as usize;
        if how.is_multiple_of(8) {
            let head = [0, 0, 0, 13, 16];
            return self.push(nth, &[head.as_slice(), &body].concat());
        }
        let mut bytes = (length as u32 + 9).to_be_bytes().to_vec();
        bytes.push(7);
        bytes.extend_from_slice(&body[..8]);
        bytes.resize(13 + length, 0);
        if how % 8 == 1 {
            bytes[13] = 1;
        }
        self.push(nth, &bytes);
        if how % 8 == 2 {
            self.push(nth, &bytes);
        }
    }

    fn push(&mut self, nth: u8, bytes: &[u8]) {
        if let Some(stream) = self.at(nth).filter(|stream| stream.open) {
            stream.inbox.extend_from_slice(bytes);
        }
    }

    /// One read of at most `most` bytes, as the rim reads; 0 is a socket that would block.
    fn read(&mut self, nth: u8, most: usize) {
        let now = self.now;
        let count = self.streams.len().max(1);
        let Some(stream) = self.streams.get_mut(usize::from(nth) % count).filter(|stream| stream.open) else {
            return;
        };
        let allowed = self.session.allowance(now, stream.id);
        let most = most.min(stream.inbox.len()).min(TURN_READ_BYTES).min(allowed);
        match self.session.landing(stream.id) {
            Landing::Scatter(scatter) => {
                let mut taken = 0;
                for area in scatter.areas() {
                    assert!(!area.is_empty());
                    let here = area.len().min(most - taken);
                    area[..here].copy_from_slice(&stream.inbox[taken..taken + here]);
                    taken += here;
                }
                stream.inbox.drain(..taken);
                if taken > 0 {
                    self.session.landed(now, stream.id, taken);
                }
            }
            Landing::Anywhere if most > 0 => {
                let bytes: Vec<u8> = stream.inbox.drain(..most).collect();
                self.session.received(now, stream.id, &bytes);
            }
            _ => {}
        }
        self.perform();
    }

    fn wait(&mut self, span: Duration) {
        self.now = self.now + span;
    }

    fn resolve(&mut self, count: u8) {
        let Some(query) = self.queries.pop() else { return };
        let addresses: Vec<IpAddr> = (0..count % 3).map(|nth| [12, 0, 0, nth].into()).collect();
        self.tell(Event::Resolved { query, addresses: &addresses });
    }

    /// An odd count answers the last datagram instead, or says that nobody is there.
    fn resolve_or_reply(&mut self, input: &mut Input<'_>) {
        let count = input.byte();
        let Some((address, sent)) = self.posted.clone().filter(|_| count & 0x80 != 0) else {
            return self.resolve(count);
        };
        if count & 0x40 != 0 {
            return self.tell(Event::Undeliverable { address, cause: CloseCause::Refused });
        }
        let mut reply = sent.get(8..16).unwrap_or_default().to_vec();
        reply.extend_from_slice(input.take(usize::from(count & 0x3f)));
        let from = if count & 0x20 == 0 { address } else { ([12, 9, 9, 9], 1).into() };
        self.tell(Event::Datagram { from, bytes: &reply });
    }

    fn command(&mut self, which: u8) {
        let command = match which % 12 {
            0 => Command::Info,
            1 => Command::Peers,
            2 => Command::Status,
            3 => Command::Files,
            4 => Command::Trackers,
            5 => Command::Help,
            6 | 7 => Command::Add(SocketAddr::from(([13, 0, 0, which], which.into()))),
            8 => Command::Announce,
            9 => Command::Pause,
            10 => Command::Resume,
            // Seldom, or no script would be long.
            _ if which < 24 => Command::Quit,
            _ => Command::Status,
        };
        self.tell(Event::Command(command));
    }

    fn flush_all(&mut self, most: usize) {
        for nth in 0..self.streams.len() {
            let Some(stream) = self.streams.get_mut(nth).filter(|stream| stream.open) else { continue };
            let waiting = self.session.outgoing(stream.id);
            let count = waiting.len().min(most);
            stream.sent.extend_from_slice(&waiting[..count]);
            self.session.sent(self.now, stream.id, count);
        }
        self.perform();
    }

    fn load(&mut self) {
        let Some((offset, length)) = self.loads.pop() else { return };
        let torrent = TorrentId(0);
        match self.fails {
            Some(kind) => {
                self.tell(Event::LoadFailed { torrent, offset, fault: fault(kind) });
            }
            None => {
                // Every other extent of the check is not there.
                let bytes = vec![u8::from(offset % 80_000 < 40_000); length];
                self.tell(Event::Loaded { torrent, offset, bytes: &bytes });
            }
        }
    }

    fn tell(&mut self, event: Event<'_>) {
        if self.outcome.is_none() {
            self.session.handle(self.now, event);
            self.perform();
        }
    }

    /// What every turn of the rim ends with, and the checks.
    fn turn(&mut self) {
        if self.outcome.is_none() {
            self.session.work(self.now, 20_000);
            self.perform();
        }
        let mut rounds = 0;
        while self.outcome.is_none() && self.session.next_deadline().is_some_and(|due| due <= self.now) {
            self.session.on_time(self.now);
            self.perform();
            rounds += 1;
            assert!(rounds < 1000, "the clock runs in circles");
        }
        self.session.check();
        let status = self.session.status(self.now);
        assert!(status.buffered_bytes <= status.buffer_limit_bytes);
    }

    fn perform(&mut self) {
        while self.outcome.is_none()
            && let Some(action) = self.session.next_action()
        {
            self.perform_one(&action);
        }
    }

    fn perform_one(&mut self, action: &Action) {
        match *action {
            Action::Reach { .. } => {
                unreachable!("no tracker of these torrents has TLS, and there is no proxy")
            }
            Action::Connect { stream, address } => {
                assert!(is_dialable(address), "{address}");
                assert!(self.streams.iter().all(|other| other.id != stream));
                let is_peer = address.port() == 6881;
                let (inbox, sent) = (vec![], vec![]);
                // Peers come first, so that scripts can name them.
                let first_tracker = self.streams.iter().position(|other| !other.is_peer);
                let place = first_tracker.filter(|_| is_peer).unwrap_or(self.streams.len());
                let stream = Stream { id: stream, open: false, is_peer, inbox, sent, seen: 68 };
                self.streams.insert(place, stream);
            }
            Action::Flush { stream } | Action::Resume { stream } => {
                assert!(self.streams.iter().any(|other| other.id == stream), "{stream:?} is closed");
            }
            Action::Close { stream } => {
                let before = self.streams.len();
                self.streams.retain(|other| other.id != stream);
                assert_eq!(before, self.streams.len() + 1, "{stream:?} is closed");
            }
            Action::Store { torrent, store } => {
                let Some(view) = self.session.store(torrent, store) else { return };
                let length: usize = view.parts.iter().map(|part| part.len()).sum();
                assert!(length > 0 && view.offset + length as u64 <= TOTAL_BYTES);
                assert!(view.parts.concat().iter().all(|&byte| byte == 0), "only what is verified is stored");
                let event = match self.fails {
                    Some(kind) => Event::StoreFailed { torrent, store, fault: fault(kind) },
                    None => Event::Stored { torrent, store },
                };
                self.session.handle(self.now, event);
            }
            Action::Load { offset, length, .. } => {
                assert!(length <= CHECK_SLICE_BYTES && offset + length as u64 <= TOTAL_BYTES);
                self.loads.push((offset, length));
            }
            Action::Sync { torrent, .. } => {
                let event = match self.fails {
                    Some(kind) => Event::SyncFailed { torrent, fault: fault(kind) },
                    None => Event::Synced { torrent },
                };
                self.session.handle(self.now, event);
            }
            Action::Save { torrent } => {
                let result = self.fails.map_or(Ok(()), |kind| Err(fault(kind)));
                self.session.handle(self.now, Event::Saved { torrent, result });
            }
            Action::ForgetState { .. } => {}
            Action::Complete { torrent } => {
                let event = match self.fails {
                    Some(kind) => Event::CompleteFailed { torrent, fault: fault(kind) },
                    None => Event::Completed { torrent },
                };
                self.session.handle(self.now, event);
            }
            Action::Resolve { query, .. } => self.queries.push(query),
            Action::SendDatagram { ref server, ref bytes } => {
                self.posted = server.address.map(|address| (address, bytes.clone()));
            }
            Action::Associate { .. } => panic!("no proxy is used here"),
            Action::Say(_) => {}
            Action::Finish(outcome) => self.outcome = Some(outcome),
        }
    }

    /// Whatever has happened, the session ends within two seconds when it is asked to.
    fn end(&mut self) -> Outcome {
        self.tell(Event::Quit);
        self.turn();
        self.wait(Duration::from_secs(2));
        self.turn();
        let outcome = self.outcome.expect("the session ends when it is asked to");
        if outcome == Outcome::Complete {
            assert_eq!(self.session.lent_buffers(), 0);
        }
        outcome
    }
}

impl Stream {
    /// The body of the next request that the session has sent to this peer.
    fn next_request(&mut self) -> Option<[u8; 12]> {
        if !self.is_peer {
            return None;
        }
        loop {
            let rest = self.sent.get(self.seen..)?;
            let length = u32::from_be_bytes(*rest.first_chunk()?) as usize;
            let message = rest.get(4..4 + length)?;
            self.seen += 4 + length;
            if let Some((&6, body)) = message.split_first() {
                return body.first_chunk().copied();
            }
        }
    }
}

fn fault(kind: StorageFaultKind) -> StorageFault {
    StorageFault { kind, file: 0, os_error: 1, missing_bytes: 0 }
}

/// The torrent as a whole.
fn torrent() -> Vec<u8> {
    let mut bytes = HEAD.to_vec();
    (1..PIECES).for_each(|_| bytes.extend_from_slice(WHOLE));
    bytes.extend_from_slice(LAST);
    bytes.extend_from_slice(b"ee");
    bytes
}
