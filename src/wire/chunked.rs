//! The chunked transfer coding (RFC 9112, 7.1), undone as the bytes come in.

use crate::base::limits::{HTTP_BODY_BYTES_MAX, HTTP_FRAMING_BYTES_MAX};
use alloc::vec::Vec;
use core::fmt;

/// A body in chunks, of which some have arrived.
#[derive(Clone, Debug)]
pub struct Chunked {
    state: State,
    /// Bytes so far that were not data.
    framing_bytes: usize,
}

/// What the next byte belongs to.
#[derive(Clone, Copy, Debug)]
enum State {
    /// The line with the size; `tail` once the digits have ended.
    Size { value: usize, digits: bool, tail: bool },
    /// Data, of which this many bytes are still to come.
    Data(usize),
    /// The line break after the data.
    DataEnd,
    /// The lines after the last chunk; `empty` while the line has no letter.
    Trailer { empty: bool },
    /// Nothing.
    Ended,
}

/// How a body in chunks can be broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChunkFault {
    /// A line that should start with a hexadecimal size does not.
    Size,
    /// Data are not followed by a line break.
    DataEnd,
    /// The data are longer than [`HTTP_BODY_BYTES_MAX`].
    TooLong,
    /// Sizes, extensions and trailers take more than [`HTTP_FRAMING_BYTES_MAX`].
    Framing,
}

impl fmt::Display for ChunkFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Size => f.write_str("a chunk has no valid size"),
            Self::DataEnd => f.write_str("a chunk is longer than its size says"),
            Self::TooLong => write!(f, "the body is longer than {HTTP_BODY_BYTES_MAX} bytes"),
            Self::Framing => write!(f, "the chunks waste more than {HTTP_FRAMING_BYTES_MAX} bytes"),
        }
    }
}

impl Default for Chunked {
    fn default() -> Self {
        Self { state: State::START, framing_bytes: 0 }
    }
}

impl State {
    const START: Self = Self::Size { value: 0, digits: false, tail: false };
}

impl Chunked {
    /// Takes in `bytes` and appends the data among them to `body`. True when the last chunk and its trailers are
    /// through; what follows is ignored.
    ///
    /// # Errors
    /// [`ChunkFault`]; the body is of no use then.
    pub fn feed(&mut self, mut bytes: &[u8], body: &mut Vec<u8>) -> Result<bool, ChunkFault> {
        while let Some((&byte, rest)) = bytes.split_first() {
            match self.state {
                State::Ended => return Ok(true),
                State::Data(left) => {
                    let (data, after) = bytes.split_at(left.min(bytes.len()));
                    body.extend_from_slice(data);
                    self.state =
                        if data.len() == left { State::DataEnd } else { State::Data(left - data.len()) };
                    bytes = after;
                }
                _ => {
                    self.framing_bytes += 1;
                    if self.framing_bytes > HTTP_FRAMING_BYTES_MAX {
                        return Err(ChunkFault::Framing);
                    }
                    self.state = self.state.after(byte, body.len())?;
                    bytes = rest;
                }
            }
        }
        Ok(matches!(self.state, State::Ended))
    }
}

impl State {
    /// The state after a byte that is not data, when `have` bytes of data are there.
    fn after(self, byte: u8, have: usize) -> Result<Self, ChunkFault> {
        match (self, byte) {
            (Self::Size { digits: false, .. }, byte) if !byte.is_ascii_hexdigit() => Err(ChunkFault::Size),
            (Self::Size { value: 0, .. }, b'\n') => Ok(Self::Trailer { empty: true }),
            (Self::Size { value, .. }, b'\n') => Ok(Self::Data(value)),
            (Self::Size { value, tail: true, .. }, _) => Ok(Self::Size { value, digits: true, tail: true }),
            (Self::Size { value, .. }, byte) => Self::with_digit(value, byte, have),
            (Self::DataEnd, b'\r') => Ok(Self::DataEnd),
            (Self::DataEnd, b'\n') => Ok(Self::START),
            (Self::DataEnd, _) => Err(ChunkFault::DataEnd),
            (Self::Trailer { empty: true }, b'\n') => Ok(Self::Ended),
            (Self::Trailer { .. }, b'\n') => Ok(Self::Trailer { empty: true }),
            (Self::Trailer { empty }, byte) => Ok(Self::Trailer { empty: empty && byte == b'\r' }),
            (Self::Data(_) | Self::Ended, _) => Ok(self), // `feed` handles both itself
        }
    }

    /// One more byte of the size, or the first byte after it: a size that leads past the bound never becomes a state.
    fn with_digit(value: usize, byte: u8, have: usize) -> Result<Self, ChunkFault> {
        let Some(digit) = char::from(byte).to_digit(16) else {
            let separator = matches!(byte, b';' | b' ' | b'\t' | b'\r');
            return if separator {
                Ok(Self::Size { value, digits: true, tail: true })
            } else {
                Err(ChunkFault::Size)
            };
        };
        let value = value * 16 + digit as usize;
        match value <= HTTP_BODY_BYTES_MAX.saturating_sub(have) {
            true => Ok(Self::Size { value, digits: true, tail: false }),
            false => Err(ChunkFault::TooLong),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(bytes: &[u8], cut: usize) -> Result<Option<Vec<u8>>, ChunkFault> {
        let (mut chunked, mut body) = (Chunked::default(), Vec::new());
        let (first, second) = bytes.split_at(cut);
        let done = chunked.feed(first, &mut body)? || chunked.feed(second, &mut body)?;
        Ok(done.then_some(body))
    }

    #[test]
    fn chunks_are_joined_whatever_the_cut() {
        let cases: [(&str, Result<Option<&str>, ChunkFault>); 14] = [
            ("3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n", Ok(Some("abcde"))),
            ("0\r\n\r\n", Ok(Some(""))),
            ("000003;name=\"v\"\r\nabc\r\n0;x\r\nTrailer: 0\r\nOther: y\r\n\r\n", Ok(Some("abc"))),
            ("3\nabc\n0\n\n", Ok(Some("abc"))),
            ("A \r\n0123456789\r\n0\r\n\r\nrubbish", Ok(Some("0123456789"))),
            ("3\r\nabc\r\n", Ok(None)),
            ("3\r\nabc\r\n0\r\n", Ok(None)),
            ("\r\n", Err(ChunkFault::Size)),
            ("\r\nabc", Err(ChunkFault::Size)),
            ("xyz\r\n", Err(ChunkFault::Size)),
            ("-3\r\nabc", Err(ChunkFault::Size)),
            ("3\r\nabcd", Err(ChunkFault::DataEnd)),
            ("ffffffffffffffff\r\n", Err(ChunkFault::TooLong)),
            ("10000000000000000000000000000000000\r\n", Err(ChunkFault::TooLong)),
        ];
        for (text, wanted) in cases {
            for cut in 0..=text.len() {
                let wanted = wanted.map(|body| body.map(|body| body.as_bytes().to_vec()));
                assert_eq!(decode(text.as_bytes(), cut), wanted, "{text:?} cut at {cut}");
            }
        }
    }

    #[test]
    fn many_chunks_together_are_bounded() {
        let mut endless = Vec::new();
        for _ in 0..40 {
            endless.extend_from_slice(b"8000\r\n");
            endless.extend_from_slice(&[b'x'; 0x8000]);
            endless.extend_from_slice(b"\r\n");
        }
        assert_eq!(decode(&endless, 7), Err(ChunkFault::TooLong));
    }

    #[test]
    fn framing_without_data_is_bounded() {
        let extension = [&b"1;"[..], &vec![b'x'; HTTP_FRAMING_BYTES_MAX]].concat();
        assert_eq!(decode(&extension, 9), Err(ChunkFault::Framing));
        let trailers = [&b"0\r\n"[..], &b"a: b\r\n".repeat(HTTP_FRAMING_BYTES_MAX / 6 + 2)].concat();
        assert_eq!(decode(&trailers, 9), Err(ChunkFault::Framing));
    }
}
