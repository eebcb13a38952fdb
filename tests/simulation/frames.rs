//! The peer wire as the simulator reads and writes it: written from the BEPs, independent of the library's.

/// First bytes of every connection.
pub const HANDSHAKE_BYTES: usize = 68;
/// What a `piece` message has before its block: length, id, index, begin.
pub const PIECE_HEAD_BYTES: usize = 13;

pub const CHOKE: u8 = 0;
pub const UNCHOKE: u8 = 1;
pub const INTERESTED: u8 = 2;
pub const NOT_INTERESTED: u8 = 3;
pub const HAVE: u8 = 4;
pub const BITFIELD: u8 = 5;
pub const REQUEST: u8 = 6;
pub const PIECE: u8 = 7;
pub const CANCEL: u8 = 8;
pub const HAVE_ALL: u8 = 14;
pub const HAVE_NONE: u8 = 15;
pub const REJECT: u8 = 16;
pub const ALLOWED_FAST: u8 = 17;
pub const EXTENDED: u8 = 20;

/// One message: length, id, body.
pub fn message(id: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = (body.len() as u32 + 1).to_be_bytes().to_vec();
    bytes.push(id);
    bytes.extend_from_slice(body);
    bytes
}

/// A message of numbers.
pub fn numbers(id: u8, numbers: &[u32]) -> Vec<u8> {
    message(id, &numbers.iter().flat_map(|number| number.to_be_bytes()).collect::<Vec<u8>>())
}

/// A block.
pub fn piece(piece: u32, begin: u32, bytes: &[u8]) -> Vec<u8> {
    [&piece_head([piece, begin, bytes.len() as u32]), bytes].concat()
}

/// What stands before the bytes of a block.
pub fn piece_head([piece, begin, length]: [u32; 3]) -> Vec<u8> {
    let mut bytes = (length + 9).to_be_bytes().to_vec();
    bytes.push(PIECE);
    bytes.extend([piece, begin].map(u32::to_be_bytes).concat());
    bytes
}

/// The numbers in a body.
pub fn read_numbers<const N: usize>(body: &[u8]) -> Option<[u32; N]> {
    (body.len() == 4 * N).then(|| core::array::from_fn(|nth| number(&body[4 * nth..])))
}

/// The number at the front of `bytes`, which must have four.
pub fn number(bytes: &[u8]) -> u32 {
    u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])
}

/// `reqq` in an extended handshake, found by its spelling.
pub fn reqq(payload: &[u8]) -> Option<u32> {
    let key = b"4:reqqi";
    let at = payload.windows(key.len()).position(|window| window == key)? + key.len();
    let end = at + payload[at..].iter().position(|&byte| byte == b'e')?;
    core::str::from_utf8(&payload[at..end]).ok()?.parse().ok()
}

/// Collects a stream and gives it back message by message.
#[derive(Clone, Debug, Default)]
pub struct Frames {
    bytes: Vec<u8>,
    start: usize,
    shaken: bool,
}

/// What a stream consists of.
#[derive(Debug, PartialEq, Eq)]
pub enum Frame {
    Handshake(Vec<u8>),
    KeepAlive,
    Message(u8, Vec<u8>),
}

impl Frames {
    pub fn push(&mut self, bytes: &[u8]) {
        if self.start > 1 << 16 {
            self.bytes.drain(..self.start);
            self.start = 0;
        }
        self.bytes.extend_from_slice(bytes);
    }

    pub fn next(&mut self) -> Option<Frame> {
        let rest = &self.bytes[self.start..];
        if !self.shaken {
            let handshake = rest.get(..HANDSHAKE_BYTES)?.to_vec();
            self.shaken = true;
            self.start += HANDSHAKE_BYTES;
            return Some(Frame::Handshake(handshake));
        }
        let length = number(rest.get(..4)?) as usize;
        let body = rest.get(4..4 + length)?;
        let frame = match body.split_first() {
            Some((&id, body)) => Frame::Message(id, body.to_vec()),
            None => Frame::KeepAlive,
        };
        self.start += 4 + length;
        Some(frame)
    }
}
