//! Model seeders: small, independent of the library, honest or with one fault.

pub use crate::fault::Fault;
use crate::fault::spoil;
use crate::frames::{self, Frame, Frames};
use crate::torrent::Torrent;
use std::collections::VecDeque;
use std::sync::Arc;
use swarmlet::base::Rng;
use swarmlet::session::CloseCause;

/// What one peer is like.
#[derive(Clone, Debug)]
pub struct Model {
    pub fast: bool,
    pub extended: bool,
    /// Said in its extended handshake, and kept: requests beyond it are a fault of ours.
    pub reqq: Option<u32>,
    pub has: Has,
    pub fault: Fault,
    pub honours_cancel: bool,
    /// Answers the requests that wait in random order.
    pub shuffles: bool,
    /// Bytes per second of its line.
    pub rate: u64,
    pub latency_us: u64,
}

/// What a peer has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Has {
    All,
    /// The pieces `part` of every `parts`; one more each `grows_us`, if it grows.
    Part {
        part: u32,
        parts: u32,
        grows_us: Option<u64>,
    },
}

impl Model {
    /// A good peer that has everything.
    pub const fn honest() -> Self {
        Self {
            fast: true,
            extended: true,
            reqq: Some(500),
            has: Has::All,
            fault: Fault::None,
            honours_cancel: true,
            shuffles: false,
            rate: 500_000,
            latency_us: 20_000,
        }
    }

    pub fn with(fault: Fault) -> Self {
        Self { fault, ..Self::honest() }
    }

    /// One of the many ways to be honest.
    pub fn any_honest(rng: &mut Rng) -> Self {
        Self {
            fast: !rng.one_in(3),
            extended: !rng.one_in(3),
            reqq: [None, Some(1), Some(3), Some(50), Some(2000)][rng.below(5) as usize],
            has: Has::All,
            fault: Fault::None,
            honours_cancel: rng.one_in(2),
            shuffles: rng.one_in(4),
            rate: 20_000 << rng.below(7),
            latency_us: 100 << rng.below(12),
        }
    }

    /// Any peer at all.
    pub fn any(rng: &mut Rng) -> Self {
        use Fault::*;
        let percent = 1 + rng.below(100);
        let faults = [
            None,
            SilentAfter(rng.below(20)),
            Chokes { every_us: 100_000 + u64::from(rng.below(5_000_000)) },
            ChokesForEver,
            AllowsFew,
            Rejects,
            Corrupt { percent, byte: false },
            Corrupt { percent, byte: true },
            Garbage,
            WrongHash,
            BadLength,
            OutOfRange,
            BitfieldTwice,
            SpareBits,
            Unasked,
            Floods { per_second: 500 },
            Drips,
            NeverReads,
            NeverShakes,
            CutsIn(rng.below(20)),
            Twice,
            Mirror,
            Refuses,
            NeverConnects,
            Unreachable,
        ];
        let parts = 1 + rng.below(4);
        let grows_us = rng.one_in(2).then(|| u64::from(rng.below(3_000_000)) + 50_000);
        let part = Has::Part { part: rng.below(parts), parts, grows_us };
        Self {
            fault: faults[rng.below(faults.len() as u32) as usize],
            has: if rng.one_in(2) { part } else { Has::All },
            ..Self::any_honest(rng)
        }
    }

    /// True if it may be banned: it sends bad blocks.
    pub fn is_poisoner(&self) -> bool {
        self.fault.spoils()
    }
}

/// What a guest on the other end of a stream wants to be done.
#[derive(Debug)]
pub enum Wish {
    Send(Vec<u8>),
    /// It has sent a spoiled block, and wants that to be remembered.
    Boast,
    /// Call `on_tick` then.
    TickAt(u64),
    /// Call `on_tick` after so many microseconds.
    TickIn(u64),
    /// Call `on_free` as soon as all that was sent is on the line.
    TickWhenFree,
    Close(CloseCause),
}

/// One connection, seen from the model's side.
#[derive(Debug)]
pub struct Talk {
    pub model: Model,
    torrent: Arc<Torrent>,
    has: Vec<bool>,
    frames: Frames,
    shaken: bool,
    choking: bool,
    queue: VecDeque<[u32; 3]>,
    sent_blocks: u32,
    serving: bool,
    /// Bytes that leave one by one.
    drops: VecDeque<u8>,
}

impl Talk {
    pub fn new(model: Model, torrent: Arc<Torrent>) -> Self {
        let has = |piece| match model.has {
            Has::All => true,
            Has::Part { part, parts, .. } => piece % parts == part,
        };
        Self {
            has: (0..torrent.pieces).map(has).collect(),
            frames: Frames::default(),
            shaken: false,
            choking: true,
            queue: VecDeque::new(),
            sent_blocks: 0,
            serving: false,
            drops: VecDeque::new(),
            model,
            torrent,
        }
    }

    /// Bytes of ours have arrived at the peer.
    pub fn on_bytes(&mut self, now: u64, rng: &mut Rng, bytes: &[u8]) -> Vec<Wish> {
        let mut wishes = vec![];
        if self.model.fault == Fault::Mirror {
            return vec![Wish::Send(bytes.to_vec())];
        }
        if self.model.fault == Fault::NeverShakes {
            return wishes;
        }
        self.frames.push(bytes);
        while let Some(frame) = self.frames.next() {
            match frame {
                Frame::Handshake(ours) => self.shake(now, rng, &ours, &mut wishes),
                Frame::KeepAlive => {}
                Frame::Message(id, body) => self.on_message(now, id, &body, &mut wishes),
            }
        }
        wishes
    }

    fn shake(&mut self, now: u64, rng: &mut Rng, ours: &[u8], wishes: &mut Vec<Wish>) {
        assert_eq!(&ours[..20], b"\x13BitTorrent protocol");
        assert_eq!(ours[28..48], self.torrent.metainfo.info_hash.0);
        let mut theirs = ours.to_vec();
        theirs[20..28].copy_from_slice(&[0; 8]);
        theirs[25] = if self.model.extended { 0x10 } else { 0 };
        theirs[27] = if self.model.fast { 0x04 } else { 0 };
        rng.fill(&mut theirs[48..]);
        theirs[28] ^= u8::from(self.model.fault == Fault::WrongHash);
        self.shaken = true;
        if self.model.fault == Fault::Garbage {
            let mut bytes = vec![0; 5_000];
            rng.fill(&mut bytes);
            // Half of them look like a peer first.
            theirs = if rng.one_in(2) { [theirs, bytes].concat() } else { bytes };
        } else {
            self.introduce(&mut theirs);
        }
        if self.model.fault == Fault::Drips {
            self.drops.extend(theirs);
            return wishes.push(Wish::TickAt(now + 1_000_000));
        }
        wishes.push(Wish::Send(theirs));
        match (self.model.fault, self.model.has) {
            (Fault::Chokes { every_us } | Fault::Teases { every_us }, _) => {
                wishes.push(Wish::TickAt(now + every_us));
            }
            (Fault::Floods { .. } | Fault::Unasked, _) => wishes.push(Wish::TickAt(now + 100_000)),
            (_, Has::Part { grows_us: Some(grows_us), .. }) => wishes.push(Wish::TickAt(now + grows_us)),
            _ => {}
        }
    }

    /// The first messages.
    fn introduce(&self, bytes: &mut Vec<u8>) {
        let mut bits = vec![0; self.has.len().div_ceil(8)];
        for nth in (0..self.has.len()).filter(|&nth| self.has[nth]) {
            bits[nth / 8] |= 0x80 >> (nth % 8);
        }
        if self.model.fault == Fault::SpareBits && !self.has.len().is_multiple_of(8) {
            *bits.last_mut().expect("at least one piece") |= 1;
        }
        match self.model.has {
            Has::All if self.model.fast && self.model.fault == Fault::None => {
                bytes.extend(frames::message(frames::HAVE_ALL, &[]));
            }
            _ => bytes.extend(frames::message(frames::BITFIELD, &bits)),
        }
        match self.model.fault {
            Fault::AllowsFew if self.model.fast => {
                (0..self.torrent.pieces)
                    .step_by(3)
                    .for_each(|piece| bytes.extend(frames::numbers(frames::ALLOWED_FAST, &[piece])));
            }
            Fault::BitfieldTwice => bytes.extend(frames::message(frames::BITFIELD, &bits)),
            Fault::BadLength => bytes.extend(frames::message(frames::HAVE, &[0, 0])),
            Fault::OutOfRange => bytes.extend(frames::numbers(frames::HAVE, &[self.torrent.pieces])),
            _ => {}
        }
        if self.model.extended
            && let Some(reqq) = self.model.reqq
        {
            let payload = format!("\0d4:reqqi{reqq}e1:v9:simulatore");
            bytes.extend(frames::message(frames::EXTENDED, payload.as_bytes()));
        }
    }

    fn on_message(&mut self, now: u64, id: u8, body: &[u8], wishes: &mut Vec<Wish>) {
        match id {
            frames::INTERESTED if self.choking && self.model.fault != Fault::AllowsFew => {
                self.choking = false;
                self.say(frames::message(frames::UNCHOKE, &[]), wishes);
            }
            frames::REQUEST => {
                let block = frames::read_numbers(body).expect("three numbers");
                self.on_request(now, block, wishes);
            }
            frames::CANCEL if self.model.honours_cancel => {
                let block: [u32; 3] = frames::read_numbers(body).expect("three numbers");
                if let Some(nth) = self.queue.iter().position(|other| *other == block) {
                    self.queue.remove(nth);
                    if self.model.fast {
                        self.say(frames::numbers(frames::REJECT, &block), wishes);
                    }
                }
            }
            _ => {}
        }
    }

    fn on_request(&mut self, now: u64, block: [u32; 3], wishes: &mut Vec<Wish>) {
        let silent = matches!(self.model.fault, Fault::SilentAfter(count) if self.sent_blocks >= count);
        if silent || matches!(self.model.fault, Fault::Teases { .. }) {
            return;
        }
        let allowed = self.model.fault == Fault::AllowsFew && block[0].is_multiple_of(3);
        let rejects = match self.model.fault {
            Fault::Rejects => true,
            Fault::RejectsAfter(count) => self.sent_blocks >= count,
            _ => false,
        };
        if self.choking && !allowed || rejects {
            if self.model.fast {
                self.say(frames::numbers(frames::REJECT, &block), wishes);
            }
            return;
        }
        self.queue.push_back(block);
        if self.model.fault == Fault::ChokesForEver && self.sent_blocks > 3 {
            self.choking = true;
            self.say(frames::message(frames::CHOKE, &[]), wishes);
            return self.void(wishes);
        }
        if let Fault::SpoilsLate { after_us } = self.model.fault {
            return wishes.push(Wish::TickAt(now + after_us));
        }
        if !self.serving {
            self.serving = true;
            wishes.push(self.pause());
        }
    }

    /// What it waits for before it sends a block.
    fn pause(&self) -> Wish {
        match (self.model.fault, self.sent_blocks) {
            (Fault::SpoilsThenDrips, 0) => Wish::TickIn(14_000_000),
            (Fault::SpoilsThenDrips, _) => Wish::TickIn(40_000_000),
            _ => Wish::TickWhenFree,
        }
    }

    /// Requests of a choked peer: rejected or forgotten.
    fn void(&mut self, wishes: &mut Vec<Wish>) {
        for block in core::mem::take(&mut self.queue) {
            if self.model.fast {
                self.say(frames::numbers(frames::REJECT, &block), wishes);
            }
        }
    }

    fn say(&mut self, bytes: Vec<u8>, wishes: &mut Vec<Wish>) {
        if self.model.fault == Fault::Drips {
            self.drops.extend(bytes);
        } else {
            wishes.push(Wish::Send(bytes));
        }
    }

    /// Something that it had planned is due.
    pub fn on_tick(&mut self, now: u64, rng: &mut Rng) -> Vec<Wish> {
        let mut wishes = vec![];
        match (self.model.fault, self.model.has) {
            (Fault::Drips, _) => {
                let byte = self.drops.pop_front().unwrap_or(0);
                return vec![Wish::Send(vec![byte]), Wish::TickAt(now + 1_000_000)];
            }
            (Fault::Chokes { every_us } | Fault::Teases { every_us }, _) => {
                self.choking = !self.choking;
                let id = if self.choking { frames::CHOKE } else { frames::UNCHOKE };
                wishes.push(Wish::Send(frames::message(id, &[])));
                if self.choking {
                    self.void(&mut wishes);
                }
                wishes.push(Wish::TickAt(now + every_us));
            }
            (Fault::SpoilsLate { .. } | Fault::SpoilsThenDrips, _) => self.serve(rng, &mut wishes),
            (Fault::Floods { per_second }, _) => self.flood(now, per_second, rng, &mut wishes),
            (Fault::Unasked, _) => {
                let block = [rng.below(self.torrent.pieces), 0, 0];
                wishes.push(Wish::Send(self.block(block)));
                wishes.push(Wish::TickAt(now + 300_000));
            }
            (_, Has::Part { grows_us: Some(grows_us), .. }) => {
                self.grow(rng, &mut wishes);
                wishes.push(Wish::TickAt(now + grows_us));
            }
            _ => {}
        }
        wishes
    }

    /// All that it had sent is on the line.
    pub fn on_free(&mut self, rng: &mut Rng) -> Vec<Wish> {
        let mut wishes = vec![];
        self.serve(rng, &mut wishes);
        wishes
    }

    fn flood(&self, now: u64, per_second: u32, rng: &mut Rng, wishes: &mut Vec<Wish>) {
        let known = self.has.iter().position(|&has| has).unwrap_or(0) as u32;
        let mut bytes = vec![];
        for _ in 0..per_second / 10 {
            match rng.below(3) {
                0 => bytes.extend([0; 4]),
                1 => bytes.extend(frames::numbers(frames::HAVE, &[known])),
                _ => bytes.extend(frames::message(frames::NOT_INTERESTED, &[])),
            }
        }
        wishes.push(Wish::Send(bytes));
        wishes.push(Wish::TickAt(now + 100_000));
    }

    fn grow(&mut self, rng: &mut Rng, wishes: &mut Vec<Wish>) {
        let start = rng.below(self.torrent.pieces) as usize;
        let order = (start..self.has.len()).chain(0..start);
        if let Some(piece) = order.into_iter().find(|&piece| !self.has[piece]) {
            self.has[piece] = true;
            wishes.push(Wish::Send(frames::numbers(frames::HAVE, &[piece as u32])));
        }
    }

    /// Sends one block and goes on when the line is free.
    fn serve(&mut self, rng: &mut Rng, wishes: &mut Vec<Wish>) {
        let allows = self.model.fault == Fault::AllowsFew;
        if self.choking && !allows || self.queue.is_empty() {
            self.serving = false;
            return;
        }
        let nth = if self.model.shuffles { rng.below(self.queue.len() as u32) as usize } else { 0 };
        let Some(block) = self.queue.remove(nth) else { return };
        let mut bytes = self.block(block);
        if let Some(byte) = self.model.fault.spoils_next(self.sent_blocks, rng) {
            spoil(&mut bytes, byte, rng);
            wishes.push(Wish::Boast);
        }
        self.sent_blocks += 1;
        match self.model.fault {
            Fault::SilentAfter(count) if self.sent_blocks >= count => return,
            Fault::CutsIn(count) if self.sent_blocks > count => {
                bytes.truncate(1 + rng.below(bytes.len() as u32) as usize);
                wishes.push(Wish::Send(bytes));
                return wishes.push(Wish::Close(CloseCause::Reset));
            }
            Fault::HitsAndRuns => {
                wishes.push(Wish::Send(bytes));
                return wishes.push(Wish::Close(CloseCause::Ended));
            }
            Fault::Twice => bytes.extend(bytes.clone()),
            _ => {}
        }
        wishes.push(Wish::Send(bytes));
        if !matches!(self.model.fault, Fault::SpoilsLate { .. }) {
            self.serving = true;
            wishes.push(self.pause());
        }
    }

    /// A `piece` message; length 0 stands for the first block of the piece.
    fn block(&self, [piece, begin, length]: [u32; 3]) -> Vec<u8> {
        let range = self.torrent.piece_range(piece);
        let start = range.start + u64::from(begin);
        let length = if length == 0 { (range.end - start).min(16_384) } else { length.into() };
        frames::piece(piece, begin, &self.torrent.bytes(start..start + length))
    }
}
