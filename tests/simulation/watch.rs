//! Watches one stream between the session and a peer: what the session says must be true and allowed, given what
//! it has been told by then.

use crate::disk::Disk;
use crate::frames::{self, Frame, Frames};
use crate::peer::{Fault, Model};
use crate::torrent::Torrent;
use std::collections::BTreeSet;

/// Both directions of one stream, as far as the session has seen them.
#[derive(Debug)]
pub struct Watch {
    ours: Frames,
    theirs: Frames,
    /// Bytes of the session that have been looked at.
    pushed: u64,
    /// Bytes of the session that have been sent.
    sent: u64,
    fast: bool,
    choking: bool,
    has: Vec<bool>,
    allowed: BTreeSet<u32>,
    reqq: u32,
    /// Asked for and not answered, rejected, cancelled or void.
    pub outstanding: Vec<[u32; 3]>,
    /// Cancelled, and not answered: they wait in the queue of a peer that does not care.
    cancelled: Vec<[u32; 3]>,
    heeds_cancels: bool,
    unchoked: bool,
    interested: bool,
    told: BTreeSet<u32>,
    said: u32,
    /// Blocks that have arrived.
    pub blocks: u32,
}

impl Watch {
    pub fn new(torrent: &Torrent, model: &Model) -> Self {
        // Of one that answers in any order, nobody can know what waits there.
        let can_be_known = model.fault == Fault::None && !model.shuffles;
        Self {
            ours: Frames::default(),
            theirs: Frames::default(),
            pushed: 0,
            sent: 0,
            fast: false,
            choking: true,
            has: vec![false; torrent.pieces as usize],
            allowed: BTreeSet::new(),
            reqq: 250,
            outstanding: Vec::new(),
            cancelled: Vec::new(),
            heeds_cancels: model.honours_cancel || !can_be_known,
            unchoked: false,
            interested: false,
            told: BTreeSet::new(),
            said: 0,
            blocks: 0,
        }
    }

    /// `bytes` of the peer are about to be given to the session.
    pub fn on_theirs(&mut self, bytes: &[u8]) {
        self.theirs.push(bytes);
        while let Some(frame) = self.theirs.next() {
            match frame {
                Frame::Handshake(theirs) => self.fast = theirs[27] & 4 != 0,
                Frame::KeepAlive => {}
                Frame::Message(id, body) => self.on_their_message(id, &body),
            }
        }
    }

    fn on_their_message(&mut self, id: u8, body: &[u8]) {
        match (id, body.len()) {
            (frames::CHOKE, 0) => {
                self.choking = true;
                if !self.fast {
                    self.outstanding.clear();
                    self.cancelled.clear();
                }
            }
            (frames::UNCHOKE, 0) => self.choking = false,
            (frames::HAVE, 4) => {
                if let Some(has) = self.has.get_mut(frames::number(body) as usize) {
                    *has = true;
                }
            }
            (frames::ALLOWED_FAST, 4) => drop(self.allowed.insert(frames::number(body))),
            (frames::BITFIELD, _) => {
                for (nth, has) in self.has.iter_mut().enumerate() {
                    *has = body.get(nth / 8).is_some_and(|byte| byte & (0x80 >> (nth % 8)) != 0);
                }
            }
            (frames::HAVE_ALL, 0) => self.has.fill(true),
            // A block is as welcome as if it came for the last request for it, a reject is for the first.
            (frames::REJECT, 12) => {
                let block = core::array::from_fn(|nth| frames::number(&body[4 * nth..]));
                _ = leave_out(&mut self.cancelled, block) || leave_out(&mut self.outstanding, block);
            }
            (frames::PIECE, 8..) => {
                self.blocks += 1;
                let block = [frames::number(body), frames::number(&body[4..]), body.len() as u32 - 8];
                _ = leave_out(&mut self.outstanding, block) || leave_out(&mut self.cancelled, block);
            }
            (frames::EXTENDED, 1..) if body[0] == 0 => self.reqq = frames::reqq(body).unwrap_or(self.reqq),
            _ => {}
        }
    }

    /// What waits to be sent; what is new in it is judged.
    pub fn on_outgoing(&mut self, outgoing: &[u8], torrent: &Torrent, disk: &mut Disk) {
        let seen = (self.pushed - self.sent) as usize;
        assert!(seen <= outgoing.len(), "bytes have left the outbox without being sent");
        self.ours.push(&outgoing[seen..]);
        self.pushed = self.sent + outgoing.len() as u64;
        while let Some(frame) = self.ours.next() {
            if let Frame::Message(id, body) = frame {
                self.on_our_message(id, &body, torrent, disk);
                self.said += 1;
            }
        }
    }

    pub fn on_sent(&mut self, count: usize) {
        self.sent += count as u64;
    }

    fn on_our_message(&mut self, id: u8, body: &[u8], torrent: &Torrent, disk: &mut Disk) {
        match id {
            frames::REQUEST => self.judge_request(frames::read_numbers(body).unwrap(), torrent, disk),
            frames::CANCEL => {
                let block = frames::read_numbers(body).unwrap();
                if leave_out(&mut self.outstanding, block) {
                    self.cancelled.extend((!self.heeds_cancels).then_some(block));
                }
            }
            frames::HAVE => self.judge_have(frames::number(body), disk),
            frames::BITFIELD | frames::HAVE_ALL | frames::HAVE_NONE => {
                assert_eq!(self.said, 0, "what we have must be told first");
                assert!(id == frames::BITFIELD || self.fast);
                self.judge_first(id, body, torrent, disk);
            }
            frames::INTERESTED | frames::NOT_INTERESTED => {
                let interested = id == frames::INTERESTED;
                assert_ne!(interested, self.interested, "interest told twice");
                assert!(!interested || self.has.contains(&true), "interested in nothing");
                self.interested = interested;
            }
            frames::CHOKE | frames::UNCHOKE => {
                let unchoked = id == frames::UNCHOKE;
                assert_ne!(unchoked, self.unchoked, "choke told twice");
                self.unchoked = unchoked;
            }
            frames::ALLOWED_FAST => assert!(self.fast, "allowed fast to a peer that is not"),
            frames::EXTENDED | frames::REJECT => {}
            other => panic!("we sent a message of id {other}"),
        }
    }

    fn judge_request(&mut self, block: [u32; 3], torrent: &Torrent, disk: &mut Disk) {
        let piece = block[0];
        assert!(torrent.is_block(block), "no block: {block:?}");
        assert!(self.has[piece as usize], "asked for piece {piece}, which the peer does not have");
        assert!(!self.choking || self.fast && self.allowed.contains(&piece), "asked a choking peer");
        let is_readable = disk.plan.load_fails.is_none();
        assert!(!(disk.has(piece) && is_readable), "asked for piece {piece}, which is stored");
        assert!(self.interested, "asked without being interested");
        self.outstanding.push(block);
        let (count, left, reqq) = (self.outstanding.len(), self.cancelled.len(), self.reqq.max(1));
        assert!(count + left <= reqq as usize, "{count} and {left} requests to a peer that queues {reqq}");
        let same = self.outstanding.iter().filter(|other| **other == block).count();
        assert_eq!(same, 1, "{block:?} asked twice of the same peer");
    }

    fn judge_have(&mut self, piece: u32, disk: &mut Disk) {
        assert!(disk.has(piece), "told of piece {piece}, which is not stored");
        let may_be_new = disk.plan.sync_fails.or(disk.plan.load_fails).is_some();
        assert!(self.told.insert(piece) || may_be_new, "told twice of piece {piece}");
    }

    fn judge_first(&mut self, id: u8, bits: &[u8], torrent: &Torrent, disk: &mut Disk) {
        for piece in 0..torrent.pieces {
            let bit = || bits[piece as usize / 8] & (0x80 >> (piece % 8)) != 0;
            let said = id == frames::HAVE_ALL || id == frames::BITFIELD && bit();
            assert!(!said || disk.has(piece), "told of piece {piece}, which is not stored");
            if said {
                self.told.insert(piece);
            }
        }
    }
}

/// Takes `block` out of `list`. False if it is not there.
fn leave_out(list: &mut Vec<[u32; 3]>, block: [u32; 3]) -> bool {
    let found = list.iter().position(|other| *other == block);
    found.map(|nth| list.remove(nth)).is_some()
}
