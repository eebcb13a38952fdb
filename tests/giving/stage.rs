//! A session that has everything, and peers who say what a test wants. No socket, no file, no clock.

use core::time::Duration;
use sha1::{Digest as _, Sha1};
use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::Arc;
use swarmlet::base::{Block, Instant, PeerId, Rng, StreamId, TorrentId};
use swarmlet::meta::Metainfo;
use swarmlet::session::{
    Action, CloseCause, Event, Giving, Outcome, Report, Session, Settings, StorageFault, StorageFaultKind,
};
use swarmlet::wire::message::piece_header;
use swarmlet::wire::{Framer, Handshake, Item, Message};

pub const PIECE_BYTES: usize = 64 << 10;

pub struct Stage {
    pub session: Session,
    pub now: Instant,
    pub metainfo: Arc<Metainfo>,
    pub content: Vec<u8>,
    pub piece_bytes: usize,
    pub closed: HashSet<StreamId>,
    /// To whom the session wishes to send something.
    pub flushed: HashSet<StreamId>,
    /// What peers have written and the session has not read.
    pub unread: HashMap<StreamId, Vec<u8>>,
    pub outcome: Option<Outcome>,
    pub dialled: Vec<StreamId>,
    /// What the tracker was told.
    pub announces: Vec<String>,
    /// What the user was told.
    pub notes: Vec<String>,
    /// Syncs are not answered.
    pub hangs: bool,
    /// Stores so far.
    pub stores: u32,
    /// Storing bytes of this torrent fails.
    pub fault: Option<(TorrentId, StorageFault)>,
    /// How the next sync fails.
    pub sync_fault: Option<StorageFault>,
    /// A piece that can be read no more.
    pub unreadable: Option<u32>,
    /// The disk is busy: what the session wishes to read waits here.
    pub unloaded: Option<Vec<Action>>,
}

impl Stage {
    /// A seed of `pieces` pieces.
    pub fn seed(pieces: usize, giving: Giving) -> Self {
        Self::new(pieces, giving, true)
    }

    /// The same, with everything or nothing on disk.
    pub fn new(pieces: usize, giving: Giving, complete: bool) -> Self {
        Self::with(pieces, giving, complete, 200)
    }

    /// The same, with places for `max_peers`, and a tracker.
    pub fn with(pieces: usize, giving: Giving, complete: bool, max_peers: u32) -> Self {
        Self::cut(PIECE_BYTES, pieces, giving, complete, max_peers)
    }

    /// The same, in pieces of another length.
    pub fn cut(piece_bytes: usize, pieces: usize, giving: Giving, complete: bool, max_peers: u32) -> Self {
        let content: Vec<u8> = (0..pieces * piece_bytes).map(|n| (n % 251) as u8 ^ (n >> 16) as u8).collect();
        let metainfo = metainfo('a', &content, piece_bytes);
        let settings = Settings {
            memory_bytes: 8 << 20,
            max_peers,
            port: 6881,
            peers: Vec::new(),
            give_up: None,
            check_only: false,
        };
        let now = Instant::from_micros(1_000_000);
        let mut session = Session::new(now, Rng::new(1), settings);
        session.give(now, giving);
        session.add_torrent(now, metainfo.clone(), !complete);
        let (closed, flushed) = (HashSet::new(), HashSet::new());
        let (dialled, announces) = (Vec::new(), Vec::new());
        let (unread, outcome, notes) = (HashMap::new(), None, Vec::new());
        let mut stage = Self {
            session,
            now,
            metainfo,
            content,
            piece_bytes,
            closed,
            flushed,
            unread,
            outcome,
            dialled,
            announces,
            notes,
            fault: None,
            hangs: false,
            stores: 0,
            sync_fault: None,
            unreadable: None,
            unloaded: None,
        };
        stage.act();
        stage
    }

    /// The disk reads what waits.
    pub fn load(&mut self) {
        self.unloaded.take().into_iter().flatten().for_each(|action| self.perform(&action));
        self.act();
    }

    /// Adds another torrent of the same bytes, of which nothing is on disk.
    pub fn add_twin(&mut self) -> Arc<Metainfo> {
        let twin = metainfo('b', &self.content, self.piece_bytes);
        self.session.add_torrent(self.now, twin.clone(), true);
        self.act();
        twin
    }

    /// Carries out what the session wishes.
    pub fn act(&mut self) {
        while let Some(action) = self.session.next_action() {
            match (&mut self.unloaded, action) {
                (Some(waiting), action @ Action::Load { .. }) => waiting.push(action),
                (_, action) => self.perform(&action),
            }
        }
        self.session.check();
    }

    fn perform(&mut self, action: &Action) {
        match *action {
            Action::Load { torrent, offset, .. }
                if self.unreadable == Some((offset / self.piece_bytes as u64) as u32) =>
            {
                let fault = fault(StorageFaultKind::Io);
                self.session.handle(self.now, Event::LoadFailed { torrent, offset, fault });
            }
            Action::Load { torrent, offset, length, .. } => {
                let bytes = &self.content[offset as usize..offset as usize + length];
                self.session.handle(self.now, Event::Loaded { torrent, offset, bytes });
            }
            Action::Complete { torrent } => self.session.handle(self.now, Event::Completed { torrent }),
            Action::Sync { .. } if self.hangs => {}
            Action::Sync { torrent, .. } => {
                let failed = self.sync_fault.take().map(|fault| Event::SyncFailed { torrent, fault });
                self.session.handle(self.now, failed.unwrap_or(Event::Synced { torrent }));
            }
            Action::Close { stream } => {
                self.closed.insert(stream);
            }
            Action::Connect { stream, address } if address.port() == 8 => {
                self.announce(stream);
            }
            Action::Connect { stream, .. } => self.dialled.push(stream),
            Action::Store { torrent, store } => {
                if let Some((_, fault)) = self.fault.filter(|&(of, _)| of == torrent) {
                    return self.session.handle(self.now, Event::StoreFailed { torrent, store, fault });
                }
                let view = self.session.store(torrent, store).expect("a wish that is not answered");
                let from = view.offset as usize;
                assert!(self.content[from..].starts_with(&view.parts.concat()), "other bytes");
                self.stores += 1;
                self.session.handle(self.now, Event::Stored { torrent, store });
            }
            Action::Say(Report::Note(ref note)) => self.notes.push(format!("{note:?}")),
            Action::Resume { stream } => self.read(stream),
            Action::Flush { stream } => {
                self.flushed.insert(stream);
            }
            Action::Finish(outcome) => self.outcome = Some(outcome),
            _ => {}
        }
    }

    /// The tracker takes a call, and answers that there is nobody.
    fn announce(&mut self, stream: StreamId) {
        self.session.handle(self.now, Event::Connected { stream });
        let request = self.session.outgoing(stream).to_vec();
        self.session.sent(self.now, stream, request.len());
        self.announces.push(String::from_utf8_lossy(&request).into_owned());
        let answer = b"HTTP/1.0 200 OK\r\n\r\nd8:intervali1800e5:peers0:e";
        self.session.received(self.now, stream, answer);
        self.session.handle(self.now, Event::Closed { stream, cause: CloseCause::Ended });
    }

    /// `stream` sends a block.
    pub fn send_block(&mut self, stream: StreamId, piece: usize, begin: usize) {
        self.send_blocks(stream, &[Block { piece: piece as u32, begin: begin as u32, length: 16 << 10 }]);
    }

    /// `stream` sends blocks.
    pub fn send_blocks(&mut self, stream: StreamId, blocks: &[Block]) {
        let mut bytes = Vec::new();
        for &block in blocks {
            let from = block.piece as usize * self.piece_bytes + block.begin as usize;
            bytes.extend(piece_header(block));
            bytes.extend_from_slice(&self.content[from..from + block.length as usize]);
        }
        self.session.received(self.now, stream, &bytes);
        while self.session.work(self.now, 1 << 20) {}
        self.act();
    }

    /// Lets time pass, in which the session does what is due. Answers how often something was.
    pub fn wait(&mut self, span: Duration) -> u32 {
        let end = self.now + span;
        let mut wakes = 0;
        while self.outcome.is_none()
            && let Some(due) = self.session.next_deadline().filter(|&due| due <= end)
        {
            self.now = self.now.max(due);
            self.session.on_time(self.now);
            self.act();
            wakes += 1;
        }
        self.now = end;
        wakes
    }

    /// Somebody comes and shakes hands; everybody has another id.
    pub fn peer(&mut self, address: &str, fast: bool) -> StreamId {
        let stream = self.arrival(address).expect("taken in");
        let mut id = *b"-XX0000-............";
        id[8..12].copy_from_slice(&stream.generation.to_be_bytes());
        self.shake(stream, PeerId(id), fast);
        assert!(!self.closed.contains(&stream), "closed after its handshake");
        stream
    }

    pub fn arrival(&mut self, address: &str) -> Option<StreamId> {
        let address: SocketAddr = address.parse().unwrap();
        self.session.accept(self.now, address)
    }

    pub fn shake(&mut self, stream: StreamId, peer_id: PeerId, fast: bool) {
        let info_hash = self.metainfo.info_hash;
        let bytes = Handshake { info_hash, peer_id, fast, extended: false }.encode();
        self.session.received(self.now, stream, &bytes);
        self.act();
    }

    pub fn say(&mut self, stream: StreamId, messages: &[Message<'_>]) {
        let mut bytes = Vec::new();
        messages.iter().for_each(|message| message.encode_into(&mut bytes));
        self.session.received(self.now, stream, &bytes);
        self.act();
    }

    /// The same, read as the rim does: as much as the session allows, and on when it wishes that.
    pub fn write(&mut self, stream: StreamId, messages: &[Message<'_>]) {
        let unread = self.unread.entry(stream).or_default();
        messages.iter().for_each(|message| message.encode_into(unread));
        self.read(stream);
        self.act();
    }

    /// Bytes that `stream` has written and the session has not read.
    pub fn unread_bytes(&self, stream: StreamId) -> usize {
        self.unread.get(&stream).map_or(0, Vec::len)
    }

    fn read(&mut self, stream: StreamId) {
        loop {
            let bytes = self.session.allowance(self.now, stream).min(self.unread_bytes(stream)).min(64 << 10);
            if bytes == 0 {
                return;
            }
            let read: Vec<u8> = self.unread.entry(stream).or_default().drain(..bytes).collect();
            self.session.received(self.now, stream, &read);
        }
    }

    /// Takes at most `most` bytes of what the session sends, as the rim does.
    pub fn take(&mut self, stream: StreamId, most: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        while bytes.len() < most {
            let file = self.session.file_bytes(self.now, stream);
            let messages = self.session.outgoing(stream);
            if !messages.is_empty() {
                let count = messages.len().min(most - bytes.len());
                bytes.extend_from_slice(&messages[..count]);
                self.session.sent(self.now, stream, count);
            } else if let Some(file) = file {
                assert!(file.length > 0 && file.torrent == TorrentId(0));
                let (from, count) = (file.offset as usize, file.length.min(most - bytes.len()));
                bytes.extend_from_slice(&self.content[from..from + count]);
                self.session.sent_file(self.now, stream, count);
            } else {
                break;
            }
            self.act();
        }
        bytes
    }

    /// The blocks that the session asks `stream` for. What else it sends is lost.
    pub fn asked(&mut self, stream: StreamId) -> Vec<Block> {
        let bytes = self.said(stream);
        let (mut bytes, mut framer, mut blocks) =
            (&bytes[..], Framer::new(self.metainfo.geometry()), Vec::new());
        while let Some(item) = framer.next(&mut bytes).unwrap() {
            if let Item::Message(Message::Request(block)) = item {
                blocks.push(block);
            }
        }
        blocks
    }

    /// All that the session sends, without our handshake.
    fn said(&mut self, stream: StreamId) -> Vec<u8> {
        let mut bytes = self.take(stream, usize::MAX);
        if bytes.starts_with(b"\x13BitT") {
            bytes.drain(..68);
        }
        bytes
    }

    /// All that the session sends, without our handshake, as words: `Debug` of messages, `block P B L` for good blocks.
    pub fn heard(&mut self, stream: StreamId) -> Vec<String> {
        words(&self.said(stream), &self.metainfo, &self.content)
    }
}

/// What is wrong with the disk.
pub fn fault(kind: StorageFaultKind) -> StorageFault {
    StorageFault { kind, file: 0, os_error: 5, missing_bytes: 0 }
}

fn metainfo(name: char, content: &[u8], piece_bytes: usize) -> Arc<Metainfo> {
    let hashes: Vec<u8> =
        content.chunks(piece_bytes).flat_map(|piece| <[u8; 20]>::from(Sha1::digest(piece))).collect();
    let (bytes, hash_bytes) = (content.len(), hashes.len());
    let head = format!(
        "d8:announce18:http://9.9.9.9:8/a4:infod6:lengthi{bytes}e4:name1:{name}12:piece lengthi{piece_bytes}e6:pieces{hash_bytes}:"
    );
    Arc::new(Metainfo::parse(&[head.as_bytes(), &hashes, b"ee"].concat()).unwrap())
}

/// What `bytes` say; a wrong byte in a block fails the test.
pub fn words(mut bytes: &[u8], metainfo: &Metainfo, content: &[u8]) -> Vec<String> {
    let geometry = metainfo.geometry();
    let mut framer = Framer::new(geometry);
    let mut words = Vec::new();
    while let Some(item) = framer.next(&mut bytes).unwrap() {
        match item {
            Item::Message(message) => words.push(format!("{message:?}")),
            Item::BlockBytes { block, offset, bytes } => {
                let from =
                    geometry.piece_start(block.piece) as usize + block.begin as usize + offset as usize;
                assert!(content[from..from + bytes.len()] == *bytes, "wrong bytes in {block:?}");
                if offset as usize + bytes.len() == block.length as usize {
                    words.push(format!("block {} {} {}", block.piece, block.begin, block.length));
                }
            }
            Item::KeepAlive | Item::Skipped => words.push("noise".to_string()),
        }
    }
    words
}
