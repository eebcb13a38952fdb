//! One connection of one seeder: reads messages, judges them, answers requests in batches.

use super::{Seeder, Swarm, mix};
use std::collections::VecDeque;
use std::fmt::Display;
use std::io::{self, IoSlice, Read as _, Write as _};
use std::net::TcpStream;
use std::os::fd::AsRawFd as _;
use std::time::{Duration, Instant};

/// What we promise to queue (`reqq` of BEP 10); more is the client's fault.
const REQQ: usize = 500;
const REQUEST_BYTES_MAX: u32 = 128 << 10;
const MESSAGE_BYTES_MAX: usize = 1 << 20;
/// With the number of the seeder behind it, the peer id.
const PEER_ID: &str = "-LB0010-seeder-";
/// `have` messages are sent a batch at a time.
const HAVES_INTERVAL: Duration = Duration::from_millis(100);
/// How long a choke lasts.
const CHOKE: Duration = Duration::from_millis(100);

struct Connection<'a> {
    stream: TcpStream,
    swarm: &'a Swarm,
    seeder: &'a Seeder,
    nth: usize,
    inbox: Vec<u8>,
    wanted: VecDeque<Request>,
    fast: bool,
    messages: u64,
    was_unchoked: bool,
    /// Choked until then.
    choked_until: Option<Instant>,
    sent_blocks: u64,
    sent_haves: u32,
    since: Instant,
}

#[derive(Clone, Copy)]
struct Request {
    piece: u32,
    begin: u32,
    len: u32,
    due: Instant,
}

/// Serves a client until it leaves. An error of kind `InvalidData` is a rule that it broke.
pub fn serve(stream: TcpStream, swarm: &Swarm, nth: usize) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let seeder = &swarm.seeders[nth];
    let mut connection = Connection {
        stream,
        swarm,
        seeder,
        nth,
        inbox: Vec::new(),
        wanted: VecDeque::new(),
        fast: false,
        messages: 0,
        was_unchoked: false,
        choked_until: None,
        sent_blocks: 0,
        sent_haves: 0,
        since: Instant::now(),
    };
    connection.shake_hands()?;
    let mut buffer = vec![0; 64 << 10];
    loop {
        if readable(&connection.stream, connection.patience())? {
            let len = connection.stream.read(&mut buffer)?;
            if len == 0 {
                return Ok(());
            }
            connection.inbox.extend_from_slice(&buffer[..len]);
            connection.read_messages()?;
        }
        connection.unchoke_when_due()?;
        connection.send_haves()?;
        connection.answer()?;
    }
}

impl Connection<'_> {
    fn shake_hands(&mut self) -> io::Result<()> {
        let mut theirs = [0; 68];
        self.stream.set_read_timeout(Some(Duration::from_secs(15)))?;
        self.stream.read_exact(&mut theirs)?;
        self.stream.set_read_timeout(None)?;
        rule(theirs.starts_with(b"\x13BitTorrent protocol"), "not a handshake")?;
        rule(theirs[28..48] == self.swarm.torrent.info_hash, "handshake for another torrent")?;
        self.fast = self.swarm.fast && theirs[27] & 4 != 0;
        let extended = theirs[25] & 0x10 != 0;
        let mut ours = b"\x13BitTorrent protocol\0\0\0\0\0\x10\0".to_vec();
        ours.push(if self.swarm.fast { 4 } else { 0 });
        ours.extend(self.swarm.torrent.info_hash);
        ours.extend(format!("{PEER_ID}{:05}", self.nth).as_bytes());
        if self.fast && self.seeder.has_all {
            push_message(&mut ours, 14, &[]);
        } else {
            push_message(&mut ours, 5, &self.seeder.bits);
        }
        if extended {
            let dict = format!("\0d1:mde4:reqqi{REQQ}e1:v12:loopback 1.0e");
            push_message(&mut ours, 20, dict.as_bytes());
        }
        self.send(&ours)
    }

    /// How long the next look for messages may wait.
    fn patience(&self) -> Duration {
        let now = Instant::now();
        let until = |at: Instant| at.saturating_duration_since(now);
        let answer = self.wanted.front().filter(|_| !self.silent()).map(|request| until(request.due));
        let unchoke = self.choked_until.map(until);
        let haves = (self.swarm.haves_per_s > 0.0).then_some(HAVES_INTERVAL);
        answer.into_iter().chain(unchoke).chain(haves).min().unwrap_or(Duration::from_secs(60))
    }

    fn silent(&self) -> bool {
        self.seeder.silent_after.is_some_and(|blocks| self.sent_blocks >= blocks)
    }

    fn read_messages(&mut self) -> io::Result<()> {
        let mut inbox = std::mem::take(&mut self.inbox);
        let mut at = 0;
        while let Some(prefix) = inbox[at..].first_chunk() {
            let len = u32::from_be_bytes(*prefix) as usize;
            rule(len <= MESSAGE_BYTES_MAX, format_args!("message of {len} bytes"))?;
            let Some(message) = inbox.get(at + 4..at + 4 + len) else { break };
            if let [id, body @ ..] = message {
                self.on_message(*id, body)?;
            }
            at += 4 + len;
        }
        inbox.drain(..at);
        self.inbox = inbox;
        Ok(())
    }

    fn on_message(&mut self, id: u8, body: &[u8]) -> io::Result<()> {
        if !self.swarm.lenient {
            self.judge(id, body)?;
        }
        match id {
            2 => self.unchoke(),
            6 if body.len() == 12 => self.on_request(body),
            8 if body.len() == 12 => self.on_cancel(body),
            _ => Ok(()),
        }
    }

    /// What may come when, and how long it must be.
    fn judge(&mut self, id: u8, body: &[u8]) -> io::Result<()> {
        // An extended handshake may come before the bitfield: many send it first.
        self.messages += u64::from(id != 20);
        let pieces = self.swarm.torrent.pieces();
        let bitfield = pieces.div_ceil(8) as usize;
        let len = match id {
            0..=3 | 14 | 15 => Some(0),
            4 | 13 | 17 => Some(4),
            5 => Some(bitfield),
            6 | 8 | 16 => Some(12),
            9 => Some(2),
            20 => None,
            _ => return rule(false, format_args!("message with id {id}, which nobody asked for")),
        };
        rule(len.is_none_or(|len| len == body.len()), format_args!("id {id} with {} bytes", body.len()))?;
        rule(self.fast || !(13..=17).contains(&id), format_args!("id {id} without the fast extension"))?;
        let at_start = self.messages == 1;
        rule(at_start || ![5, 14, 15].contains(&id), format_args!("id {id} is not the first message"))?;
        rule(id != 4 || number(body, 0) < pieces, "have of a piece that does not exist")
    }

    fn on_request(&mut self, body: &[u8]) -> io::Result<()> {
        let [piece, begin, len] = [0, 4, 8].map(|at| number(body, at));
        let end = u64::from(begin) + u64::from(len);
        let what = || format!("request of {len} bytes at {begin} of piece {piece}");
        let fits = len > 0 && len <= REQUEST_BYTES_MAX && end <= self.swarm.torrent.piece_len(piece);
        rule(fits, format_args!("{}: out of range", what()))?;
        rule(self.seeder.has(piece), format_args!("{}: we do not have it", what()))?;
        rule(self.was_unchoked || self.swarm.lenient, format_args!("{}: before the first unchoke", what()))?;
        let request = Request { piece, begin, len, due: Instant::now() + self.swarm.latency };
        if self.choked_until.is_some() {
            return self.reject(&[request]);
        }
        self.wanted.push_back(request);
        rule(
            self.wanted.len() <= REQQ || self.swarm.lenient,
            format_args!("more than {REQQ} requests outstanding"),
        )
    }

    fn on_cancel(&mut self, body: &[u8]) -> io::Result<()> {
        let same = |request: &Request| {
            [request.piece, request.begin, request.len] == [0, 4, 8].map(|at| number(body, at))
        };
        let Some(nth) = self.wanted.iter().position(same) else { return Ok(()) };
        let cancelled = self.wanted.remove(nth);
        self.reject(cancelled.as_slice())
    }

    /// BEP 6: every request is answered by a block or a rejection. Without it, silence.
    fn reject(&mut self, requests: &[Request]) -> io::Result<()> {
        let mut bytes = Vec::new();
        for request in requests.iter().filter(|_| self.fast) {
            let fields = [request.piece, request.begin, request.len].map(u32::to_be_bytes);
            push_message(&mut bytes, 16, fields.as_flattened());
        }
        self.send(&bytes)
    }

    fn unchoke(&mut self) -> io::Result<()> {
        if self.choked_until.is_some() || self.was_unchoked || self.swarm.choked {
            return Ok(());
        }
        self.was_unchoked = true;
        self.send(&[0, 0, 0, 1, 1])
    }

    /// Every piece once, each seeder beginning at another one.
    fn send_haves(&mut self) -> io::Result<()> {
        let pieces = self.swarm.torrent.pieces();
        let due = (self.since.elapsed().as_secs_f64() * self.swarm.haves_per_s) as u32;
        let mut bytes = Vec::new();
        for nth in self.sent_haves..due.min(pieces) {
            let piece = (mix(self.swarm.seed, self.nth as u64) / 2 + u64::from(nth)) % u64::from(pieces);
            push_message(&mut bytes, 4, &(piece as u32).to_be_bytes());
            self.sent_haves += 1;
        }
        self.send(&bytes)
    }

    fn unchoke_when_due(&mut self) -> io::Result<()> {
        if self.choked_until.is_some_and(|until| until <= Instant::now()) {
            self.choked_until = None;
            self.send(&[0, 0, 0, 1, 1])?;
        }
        Ok(())
    }

    fn choke(&mut self) -> io::Result<()> {
        self.choked_until = Some(Instant::now() + CHOKE);
        self.send(&[0, 0, 0, 1, 0])?;
        let dropped: Vec<Request> = self.wanted.drain(..).collect();
        self.reject(&dropped)
    }

    /// Sends the blocks that are due, a batch at a time.
    fn answer(&mut self) -> io::Result<()> {
        let now = Instant::now();
        let batch = if self.swarm.choke_every.is_some() { 1 } else { self.seeder.batch() };
        let due = self.wanted.iter().take(batch).take_while(|request| request.due <= now).count();
        if due == 0 || self.silent() {
            return Ok(());
        }
        let requests: Vec<Request> = self.wanted.drain(..due).collect();
        self.send_blocks(&requests)?;
        let every = self.swarm.choke_every;
        if every.is_some_and(|blocks| self.sent_blocks.is_multiple_of(blocks.max(1))) {
            self.choke()?;
        }
        Ok(())
    }

    fn send_blocks(&mut self, requests: &[Request]) -> io::Result<()> {
        let bytes: usize = requests.iter().map(|request| request.len as usize).sum();
        self.seeder.pace(bytes);
        let headers: Vec<[u8; 13]> = requests.iter().map(block_header).collect();
        let mut slices = Vec::with_capacity(requests.len() * 3);
        for (request, header) in requests.iter().zip(&headers) {
            slices.push(IoSlice::new(header));
            let offset = u64::from(request.piece) * self.swarm.torrent.piece_bytes + u64::from(request.begin);
            self.sent_blocks += 1;
            if mix(self.swarm.seed, self.sent_blocks) % 100 < self.seeder.poison_percent.into() {
                self.swarm.content.gather_poisoned(offset, request.len as usize, &mut slices);
            } else {
                self.swarm.content.gather(offset, request.len as usize, &mut slices);
            }
        }
        self.swarm.watch.sent(bytes as u64);
        match self.swarm.fragment {
            None => write_all_vectored(&mut self.stream, &mut slices),
            Some(_) => slices.iter().try_for_each(|slice| self.send(slice)),
        }
    }

    /// Sends all, in fragments if they are wished.
    fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        let size = self.swarm.fragment.unwrap_or(bytes.len()).max(1);
        bytes.chunks(size).try_for_each(|chunk| self.stream.write_all(chunk))
    }
}

fn block_header(request: &Request) -> [u8; 13] {
    let mut header = [0; 13];
    header[..4].copy_from_slice(&(request.len + 9).to_be_bytes());
    header[4] = 7;
    header[5..9].copy_from_slice(&request.piece.to_be_bytes());
    header[9..].copy_from_slice(&request.begin.to_be_bytes());
    header
}

fn push_message(bytes: &mut Vec<u8>, id: u8, body: &[u8]) {
    bytes.extend((body.len() as u32 + 1).to_be_bytes());
    bytes.push(id);
    bytes.extend(body);
}

/// The 32-bit number at an offset; the caller has checked the length.
fn number(body: &[u8], at: usize) -> u32 {
    body[at..].first_chunk().map_or(0, |bytes| u32::from_be_bytes(*bytes))
}

fn rule(kept: bool, what: impl Display) -> io::Result<()> {
    if kept { Ok(()) } else { Err(io::Error::new(io::ErrorKind::InvalidData, what.to_string())) }
}

fn write_all_vectored(stream: &mut TcpStream, slices: &mut [IoSlice]) -> io::Result<()> {
    let mut rest = slices;
    while !rest.is_empty() {
        match stream.write_vectored(rest) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(len) => IoSlice::advance_slices(&mut rest, len),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Waits until the client has sent something or left.
fn readable(stream: &TcpStream, timeout: Duration) -> io::Result<bool> {
    let mut poll = libc::pollfd { fd: stream.as_raw_fd(), events: libc::POLLIN, revents: 0 };
    // Rounded up, so that a wait of less than a millisecond does not spin.
    let timeout_ms = i32::try_from(timeout.as_micros().div_ceil(1000)).unwrap_or(i32::MAX);
    // SAFETY: one pollfd, which lives until the call returns.
    match unsafe { libc::poll(&raw mut poll, 1, timeout_ms) } {
        -1 if io::Error::last_os_error().kind() != io::ErrorKind::Interrupted => {
            Err(io::Error::last_os_error())
        }
        ready => Ok(ready > 0),
    }
}
