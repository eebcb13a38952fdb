//! Reads the HTTP/1.1 reply of a tracker (RFC 9112) as its bytes come in, however they are cut.

use crate::base::limits::{HTTP_BODY_BYTES_MAX, HTTP_HEAD_BYTES_MAX, HTTP_HEADERS_MAX};
use crate::wire::chunked::{ChunkFault, Chunked};
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::mem;

/// A reply of which some bytes have arrived.
#[derive(Debug)]
pub struct ReplyReader {
    /// All heads so far: interim ones (1xx) count against the same bound.
    head: Vec<u8>,
    /// Where in `head` the head being read starts.
    head_start: usize,
    status: u16,
    body: Vec<u8>,
    state: State,
}

/// What the next byte belongs to.
#[derive(Debug)]
enum State {
    Head,
    /// A body of so many bytes.
    Length(usize),
    Chunked(Chunked),
    UntilClose,
}

/// How far a reply is.
#[derive(Debug, PartialEq, Eq)]
pub enum Progress {
    /// More bytes are needed.
    NeedMore,
    /// Look there instead (301, 302, 303, 307, 308): the `Location`, absolute or relative, as it came.
    Redirect(String),
    /// The reply is whole.
    Done {
        /// The status code.
        status: u16,
        /// The body, chunks joined.
        body: Vec<u8>,
    },
}

/// Why a reply is of no use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HttpFault {
    /// The first bytes are not those of HTTP/1.x, or a header line is broken.
    Head,
    /// The head is longer than [`HTTP_HEAD_BYTES_MAX`].
    HeadTooLong,
    /// The head has more lines than [`HTTP_HEADERS_MAX`].
    TooManyHeaders,
    /// `Content-Length` is not a number, or there are two that differ.
    Length,
    /// The body is longer than [`HTTP_BODY_BYTES_MAX`].
    BodyTooLong,
    /// The body is compressed although we asked for it as it is; the first bytes of the coding's name.
    Encoded(String),
    /// The chunks are broken.
    Chunk(ChunkFault),
    /// `Location` is not text.
    Location,
    /// The server closed the stream before it said anything.
    Silent,
    /// The server closed the stream in the middle of its reply.
    CutShort,
}

impl fmt::Display for HttpFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Head => f.write_str("the answer is not HTTP"),
            Self::HeadTooLong => write!(f, "the HTTP head is longer than {HTTP_HEAD_BYTES_MAX} bytes"),
            Self::TooManyHeaders => write!(f, "the HTTP head has more than {HTTP_HEADERS_MAX} lines"),
            Self::Length => f.write_str("the Content-Length is not valid"),
            Self::BodyTooLong => write!(f, "the body is longer than {HTTP_BODY_BYTES_MAX} bytes"),
            Self::Encoded(coding) => write!(f, "the body is encoded as {coding:?}, which was not asked for"),
            Self::Chunk(fault) => fault.fmt(f),
            Self::Location => f.write_str("the Location of a redirect is not text"),
            Self::Silent => f.write_str("the connection was closed without an answer"),
            Self::CutShort => f.write_str("the connection was closed in the middle of the answer"),
        }
    }
}

/// What a head says about the body.
struct Head {
    status: u16,
    length: Option<usize>,
    chunked: bool,
    location: Option<String>,
}

impl Default for ReplyReader {
    fn default() -> Self {
        Self { head: Vec::new(), head_start: 0, status: 0, body: Vec::new(), state: State::Head }
    }
}

impl ReplyReader {
    /// Takes in bytes. After anything but [`Progress::NeedMore`] the reply is over; bytes after its end are ignored.
    ///
    /// # Errors
    /// [`HttpFault`] says what is wrong with the reply, which is over then as well.
    pub fn on_bytes(&mut self, bytes: &[u8]) -> Result<Progress, HttpFault> {
        if !matches!(self.state, State::Head) {
            return self.on_body(bytes);
        }
        let room = HTTP_HEAD_BYTES_MAX - self.head.len();
        let (taken, rest) = bytes.split_at(room.min(bytes.len()));
        self.head.extend_from_slice(taken);
        while let Some((length, head)) = parse_head(&self.head[self.head_start..])? {
            self.head_start += length;
            if (100..200).contains(&head.status) && head.status != 101 {
                continue; // an interim reply: the real one follows
            }
            return self.on_head(head, rest);
        }
        match self.head.len() < HTTP_HEAD_BYTES_MAX {
            true => Ok(Progress::NeedMore),
            false => Err(HttpFault::HeadTooLong),
        }
    }

    /// The server has closed the stream: the end of a body that has no other, else a fault.
    ///
    /// # Errors
    /// [`HttpFault::Silent`] or [`HttpFault::CutShort`].
    pub fn on_close(&mut self) -> Result<Progress, HttpFault> {
        match self.state {
            State::UntilClose => Ok(self.done()),
            State::Head if self.head.is_empty() => Err(HttpFault::Silent),
            _ => Err(HttpFault::CutShort),
        }
    }

    /// The head is whole; `rest` follows those bytes that lie behind it in `self.head`.
    fn on_head(&mut self, head: Head, rest: &[u8]) -> Result<Progress, HttpFault> {
        self.status = head.status;
        if let (301 | 302 | 303 | 307 | 308, Some(location)) = (head.status, head.location) {
            return Ok(Progress::Redirect(location));
        }
        self.state = match head.length {
            _ if matches!(head.status, 204 | 304) => State::Length(0),
            _ if head.chunked => State::Chunked(Chunked::default()),
            Some(length) => State::Length(length),
            None => State::UntilClose,
        };
        let head = mem::take(&mut self.head);
        match self.on_body(&head[self.head_start..])? {
            Progress::NeedMore => self.on_body(rest),
            over => Ok(over),
        }
    }

    /// Bytes of memory that wait for the rest of the reply.
    pub fn held_bytes(&self) -> usize {
        self.head.capacity() + self.body.capacity()
    }

    /// Makes room for `more` bytes of the body, as a vector would by itself, but never for more than a body may have.
    fn make_room(&mut self, more: usize) {
        let (length, room) = (self.body.len(), self.body.capacity());
        let needed = (length + more).min(HTTP_BODY_BYTES_MAX);
        if needed > room {
            self.body.reserve_exact((2 * room).clamp(needed, HTTP_BODY_BYTES_MAX) - length);
        }
    }

    fn on_body(&mut self, bytes: &[u8]) -> Result<Progress, HttpFault> {
        self.make_room(match self.state {
            State::Length(length) => bytes.len().min(length.saturating_sub(self.body.len())),
            _ => bytes.len(),
        });
        let whole = match &mut self.state {
            State::Head => false, // `on_bytes` handles it
            State::Length(length) => {
                let missing = length.saturating_sub(self.body.len());
                self.body.extend_from_slice(&bytes[..missing.min(bytes.len())]);
                self.body.len() == *length
            }
            State::Chunked(chunked) => chunked.feed(bytes, &mut self.body).map_err(HttpFault::Chunk)?,
            State::UntilClose if bytes.len() > HTTP_BODY_BYTES_MAX - self.body.len() => {
                return Err(HttpFault::BodyTooLong);
            }
            State::UntilClose => {
                self.body.extend_from_slice(bytes);
                false
            }
        };
        Ok(if whole { self.done() } else { Progress::NeedMore })
    }

    fn done(&mut self) -> Progress {
        Progress::Done { status: self.status, body: mem::take(&mut self.body) }
    }
}

/// Length and status of the head at the start of `bytes`, `None` while it is not whole: all that the reply to a CONNECT
/// says.
///
/// # Errors
/// [`HttpFault::Head`] or [`HttpFault::TooManyHeaders`].
pub fn head_status(bytes: &[u8]) -> Result<Option<(usize, u16)>, HttpFault> {
    let mut headers = [httparse::EMPTY_HEADER; HTTP_HEADERS_MAX];
    let mut response = httparse::Response::new(&mut headers);
    let length = parse_response(&mut response, bytes)?;
    Ok(length.map(|length| (length, response.code.unwrap_or(0))))
}

/// Reads one head at the start of `bytes`: its length and what it says, `None` while it is not whole.
fn parse_head(bytes: &[u8]) -> Result<Option<(usize, Head)>, HttpFault> {
    let mut headers = [httparse::EMPTY_HEADER; HTTP_HEADERS_MAX];
    let mut response = httparse::Response::new(&mut headers);
    let Some(length) = parse_response(&mut response, bytes)? else { return Ok(None) };
    let status = response.code.unwrap_or(0);
    Ok(Some((length, read_headers(status, response.headers)?)))
}

fn parse_response<'b>(
    response: &mut httparse::Response<'_, 'b>,
    bytes: &'b [u8],
) -> Result<Option<usize>, HttpFault> {
    let parsed = httparse::ParserConfig::default()
        .allow_spaces_after_header_name_in_responses(true)
        .allow_obsolete_multiline_headers_in_responses(true)
        .allow_multiple_spaces_in_response_status_delimiters(true)
        .ignore_invalid_headers_in_responses(true)
        .parse_response(response, bytes);
    match parsed {
        Ok(httparse::Status::Complete(length)) => Ok(Some(length)),
        Ok(httparse::Status::Partial) => Ok(None),
        Err(httparse::Error::TooManyHeaders) => Err(HttpFault::TooManyHeaders),
        Err(_) => Err(HttpFault::Head),
    }
}

fn read_headers(status: u16, headers: &[httparse::Header<'_>]) -> Result<Head, HttpFault> {
    let mut head = Head { status, length: None, chunked: false, location: None };
    for header in headers {
        let value = header.value.trim_ascii();
        if header.name.eq_ignore_ascii_case("content-length") {
            head.length = Some(agreed_length(head.length, value)?);
        } else if header.name.eq_ignore_ascii_case("transfer-encoding") {
            head.chunked |= transfer_is_chunked(value)?;
        } else if header.name.eq_ignore_ascii_case("content-encoding") {
            refuse_unless_identity(value)?;
        } else if header.name.eq_ignore_ascii_case("location") {
            let text = core::str::from_utf8(value).map_err(|_| HttpFault::Location)?;
            head.location = Some(text.into());
        }
    }
    Ok(head)
}

/// The value of a `Content-Length` line, which may repeat what was said before (`known`) but not change it.
fn agreed_length(known: Option<usize>, value: &[u8]) -> Result<usize, HttpFault> {
    let mut agreed = known;
    for number in value.split(|&byte| byte == b',') {
        let number = number.trim_ascii();
        if number.is_empty() || !number.iter().all(u8::is_ascii_digit) {
            return Err(HttpFault::Length);
        }
        let text = core::str::from_utf8(number).map_err(|_| HttpFault::Length)?;
        // Only a number too large for the machine's words fails here.
        let length = text.parse().ok().filter(|&length| length <= HTTP_BODY_BYTES_MAX);
        let length = length.ok_or(HttpFault::BodyTooLong)?;
        if agreed.is_some_and(|agreed| agreed != length) {
            return Err(HttpFault::Length);
        }
        agreed = Some(length);
    }
    agreed.ok_or(HttpFault::Length)
}

fn transfer_is_chunked(value: &[u8]) -> Result<bool, HttpFault> {
    if value.eq_ignore_ascii_case(b"chunked") {
        return Ok(true);
    }
    refuse_unless_identity(value).map(|()| false)
}

fn refuse_unless_identity(coding: &[u8]) -> Result<(), HttpFault> {
    match coding.is_empty() || coding.eq_ignore_ascii_case(b"identity") {
        true => Ok(()),
        false => {
            Err(HttpFault::Encoded(String::from_utf8_lossy(&coding[..coding.len().min(20)]).into_owned()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds `parts` one after the other, then the close.
    fn read<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> Result<Progress, HttpFault> {
        let mut reader = ReplyReader::default();
        for part in parts {
            let progress = reader.on_bytes(part)?;
            if progress != Progress::NeedMore {
                return Ok(progress);
            }
        }
        reader.on_close()
    }

    fn done(status: u16, body: &str) -> Result<Progress, HttpFault> {
        Ok(Progress::Done { status, body: body.into() })
    }

    fn redirect(location: &str) -> Result<Progress, HttpFault> {
        Ok(Progress::Redirect(location.into()))
    }

    fn cases() -> Vec<(&'static str, Result<Progress, HttpFault>)> {
        vec![
            ("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabcjunk", done(200, "abc")),
            ("HTTP/1.0 200 OK\r\n\r\nabc", done(200, "abc")),
            ("HTTP/1.1 200\ncOnTeNt-LENGTH :3\n\nabc", done(200, "abc")),
            ("HTTP/1.1 200 OK\r\nContent-Length: 3, 3\r\nContent-Length: 3\r\n\r\nabc", done(200, "abc")),
            ("HTTP/1.1 200 OK\r\nX: a\r\n b\r\nbroken line\r\ncontent-length: 1\r\n\r\nx", done(200, "x")),
            (
                "HTTP/1.1 200 OK\r\nTRANSFER-encoding: Chunked\r\nContent-Length: 9\r\n\r\n1\r\na\r\n0\r\n\r\n",
                done(200, "a"),
            ),
            (
                "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nA: b\r\n\r\nHTTP/1.1 200 OK\r\n\r\nx",
                done(200, "x"),
            ),
            ("HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nno", done(404, "no")),
            ("HTTP/1.1 204 No Content\r\n\r\n", done(204, "")),
            ("HTTP/1.1 301 Moved\r\nlocation:  http://o.example/ \r\n\r\n", redirect("http://o.example/")),
            ("HTTP/1.1 308 P\r\nLocation: /x\r\nContent-Length: 5\r\n\r\n", redirect("/x")),
            ("HTTP/1.1 302 Found\r\nContent-Length: 2\r\n\r\nhm", done(302, "hm")),
            ("HTTP/1.1 304 Same\r\nLocation: /x\r\n\r\n", done(304, "")),
            ("HTTP/1.1 200 OK\r\nContent-Encoding: identity\r\n\r\nx", done(200, "x")),
            ("HTTP/1.1 200 OK\r\nContent-Encoding: GZIP\r\n\r\nx", Err(HttpFault::Encoded("GZIP".into()))),
            (
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: br, chunked\r\n\r\nx",
                Err(HttpFault::Encoded("br, chunked".into())),
            ),
            ("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nabc", Err(HttpFault::CutShort)),
            ("HTTP/1.1 200 OK\r\nContent-Le", Err(HttpFault::CutShort)),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab", Err(HttpFault::CutShort)),
            (
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\r\n",
                Err(HttpFault::Chunk(ChunkFault::Size)),
            ),
            ("HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", Err(HttpFault::Length)),
            ("HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\n", Err(HttpFault::Length)),
            ("HTTP/1.1 200 OK\r\nContent-Length: 1073741824\r\n\r\nx", Err(HttpFault::BodyTooLong)),
            (
                "HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999999\r\n\r\nx",
                Err(HttpFault::BodyTooLong),
            ),
            ("", Err(HttpFault::Silent)),
            ("ICY 200 OK\r\n\r\n", Err(HttpFault::Head)),
            ("HTTP/2 200\r\n\r\n", Err(HttpFault::Head)),
            ("d8:intervali1800e5:peers0:e", Err(HttpFault::Head)),
            ("SSH-2.0-OpenSSH_9.2\r\n", Err(HttpFault::Head)),
        ]
    }

    #[test]
    fn replies_are_read_whatever_the_cut() {
        for (text, wanted) in cases() {
            let bytes = text.as_bytes();
            assert_eq!(read(bytes.chunks(1)), wanted, "{text:?} byte by byte");
            for cut in 0..=bytes.len() {
                let (first, second) = bytes.split_at(cut);
                assert_eq!(read([first, second]), wanted, "{text:?} cut at {cut}");
            }
        }
    }

    #[test]
    fn a_head_without_end_is_cut_off() {
        let long = [b"HTTP/1.1 200 OK\r\nX: ".to_vec(), vec![b'x'; HTTP_HEAD_BYTES_MAX]].concat();
        assert_eq!(read([&long[..]]), Err(HttpFault::HeadTooLong));
        assert_eq!(read(long.chunks(1000)), Err(HttpFault::HeadTooLong));
        let interim = b"HTTP/1.1 100 C\r\n\r\n".repeat(HTTP_HEAD_BYTES_MAX / 18 + 1);
        assert_eq!(read(interim.chunks(999)), Err(HttpFault::HeadTooLong), "endless interim replies");
        let many = ["HTTP/1.1 200 OK\r\n", &"A: b\r\n".repeat(HTTP_HEADERS_MAX + 1), "\r\n"].concat();
        assert_eq!(read([many.as_bytes()]), Err(HttpFault::TooManyHeaders));
    }

    #[test]
    fn a_body_without_end_is_cut_off() {
        let mut reader = ReplyReader::default();
        assert_eq!(reader.on_bytes(b"HTTP/1.1 200 OK\r\n\r\n"), Ok(Progress::NeedMore));
        let mut fed = 0;
        let fault = loop {
            match reader.on_bytes(&[b'x'; 4096]) {
                Ok(progress) => assert_eq!(progress, Progress::NeedMore),
                Err(fault) => break fault,
            }
            fed += 4096;
        };
        assert_eq!((fault, fed), (HttpFault::BodyTooLong, HTTP_BODY_BYTES_MAX));
    }

    #[test]
    fn the_largest_body_is_taken() {
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {HTTP_BODY_BYTES_MAX}\r\n\r\n");
        let whole = [head.as_bytes(), &vec![b'x'; HTTP_BODY_BYTES_MAX]].concat();
        assert!(
            matches!(read(whole.chunks(70_000)), Ok(Progress::Done { body, .. }) if body.len() == HTTP_BODY_BYTES_MAX)
        );
    }
}
