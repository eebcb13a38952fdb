//! One seeder behind a line of fixed rate and latency, and the bytes that wait in our kernel. All data is zeros, so
//! that bytes need not be moved: only headers are.

use crate::frames::{self, Frame, Frames};
use std::collections::VecDeque;
use swarmlet::session::Scatter;

/// A block's worth of zeros to compare with and to copy from.
static ZEROS: [u8; 16_384] = [0; 16_384];

/// What a seeder is like.
#[derive(Clone, Copy, Debug)]
pub struct Kind {
    /// Bytes per second of its own line.
    pub rate: u64,
    /// From us to it and back, in µs.
    pub round_trip_us: u64,
    /// It answers no request after so many blocks.
    pub silent_after: u32,
}

impl Kind {
    pub const fn steady(rate: u64, round_trip_us: u64) -> Self {
        Self { rate, round_trip_us, silent_after: u32::MAX }
    }
}

/// A part of a stream.
#[derive(Debug)]
pub enum Portion {
    Bytes(Vec<u8>),
    /// A block: its header, then zeros.
    Block([u32; 3]),
}

/// Bytes that have arrived and are not read.
#[derive(Debug, Default)]
pub struct Inbox {
    heads: VecDeque<(Vec<u8>, usize)>,
    /// Bytes read of the first entry.
    read: usize,
    pub bytes: usize,
}

impl Inbox {
    pub fn push(&mut self, portion: Portion) {
        let (head, zeros) = match portion {
            Portion::Bytes(bytes) => (bytes, 0),
            Portion::Block(block) => (frames::piece_head(block), block[2] as usize),
        };
        self.bytes += head.len() + zeros;
        self.heads.push_back((head, zeros));
    }

    /// Reads as many bytes as are there or fit.
    pub fn read(&mut self, mut area: &mut [u8]) -> usize {
        let room = area.len();
        while let Some((head, zeros)) = self.heads.front().filter(|_| !area.is_empty()) {
            let here = if self.read < head.len() {
                let rest = &head[self.read..];
                let here = rest.len().min(area.len());
                area[..here].copy_from_slice(&rest[..here]);
                here
            } else {
                let here = (head.len() + zeros - self.read).min(area.len());
                // Memory that is only looked at is never taken from the system.
                if area[..here] != ZEROS[..here] {
                    area[..here].fill(0);
                }
                here
            };
            self.read += here;
            area = &mut area[here..];
            if self.read == head.len() + zeros {
                self.heads.pop_front();
                self.read = 0;
            }
        }
        let count = room - area.len();
        self.bytes -= count;
        count
    }

    /// Reads into the areas of a scatter read.
    pub fn scatter(&mut self, scatter: &mut Scatter) -> usize {
        scatter.areas().map(|area| self.read(area)).sum()
    }
}

/// One seeder, from its handshake on.
#[derive(Debug)]
pub struct Seeder {
    pub kind: Kind,
    /// The end of its peer id.
    name: u32,
    frames: Frames,
    queue: VecDeque<[u32; 3]>,
    /// When all that was sent is on the line, in µs.
    free_at: u64,
    sent_blocks: u32,
    serving: bool,
    pub inbox: Inbox,
}

impl Seeder {
    pub fn new(kind: Kind, name: u32) -> Self {
        let (frames, queue, inbox) = Default::default();
        Self { kind, name, frames, queue, free_at: 0, sent_blocks: 0, serving: false, inbox }
    }

    /// Our bytes arrive there at `now`; calls `send` with what it answers, each with the time of its arrival here.
    pub fn take(&mut self, now: u64, bytes: &[u8], mut send: impl FnMut(u64, Portion)) {
        self.frames.push(bytes);
        while let Some(frame) = self.frames.next() {
            match frame {
                Frame::Handshake(ours) => {
                    send(self.arrival(now, 68), Portion::Bytes(greeting(ours, self.name)));
                }
                Frame::Message(frames::INTERESTED, _) => {
                    let unchoke = frames::message(frames::UNCHOKE, &[]);
                    send(self.arrival(now, unchoke.len()), Portion::Bytes(unchoke));
                }
                Frame::Message(frames::REQUEST, body) => {
                    self.queue.push_back(frames::read_numbers(&body).expect("three numbers"));
                }
                Frame::Message(frames::CANCEL, body) => self.cancel(now, &body, &mut send),
                Frame::Message(..) | Frame::KeepAlive => {}
            }
        }
    }

    fn cancel(&mut self, now: u64, body: &[u8], send: &mut impl FnMut(u64, Portion)) {
        let block: [u32; 3] = frames::read_numbers(body).expect("three numbers");
        if let Some(nth) = self.queue.iter().position(|other| *other == block) {
            self.queue.remove(nth);
            let reject = frames::numbers(frames::REJECT, &block);
            send(self.arrival(now, reject.len()), Portion::Bytes(reject));
        }
    }

    /// Requests that it has and has not answered.
    pub fn waiting(&self) -> u32 {
        self.queue.len() as u32
    }

    /// True once after requests have come to one that was idle: call [`Seeder::serve`].
    pub fn begins(&mut self) -> bool {
        let can = !self.queue.is_empty() && self.sent_blocks < self.kind.silent_after;
        can && !core::mem::replace(&mut self.serving, true)
    }

    /// Sends the next block if the line is free; answers when to be called again, if there is more.
    pub fn serve(&mut self, now: u64, mut send: impl FnMut(u64, Portion)) -> Option<u64> {
        if self.free_at <= now
            && let Some(block) = self.queue.pop_front()
        {
            self.sent_blocks += 1;
            send(self.arrival(now, block[2] as usize), Portion::Block(block));
        }
        self.serving = !self.queue.is_empty() && self.sent_blocks < self.kind.silent_after;
        self.serving.then_some(self.free_at)
    }

    /// When the last of `bytes` sent at `now` is here.
    fn arrival(&mut self, now: u64, bytes: usize) -> u64 {
        self.free_at = self.free_at.max(now) + bytes as u64 * 1_000_000 / self.kind.rate;
        self.free_at + self.kind.round_trip_us / 2
    }
}

/// A seeder's handshake and its first messages, made from ours.
fn greeting(ours: Vec<u8>, name: u32) -> Vec<u8> {
    let mut theirs = ours;
    theirs[20..28].copy_from_slice(&[0, 0, 0, 0, 0, 0x10, 0, 0x04]);
    theirs[48..64].fill(7);
    theirs[64..].copy_from_slice(&name.to_be_bytes());
    theirs.extend(frames::message(frames::HAVE_ALL, &[]));
    theirs.extend(frames::message(frames::EXTENDED, b"\0d4:reqqi2000ee"));
    theirs
}
