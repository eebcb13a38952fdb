//! HTTP's CONNECT as its client speaks it (RFC 9110, 9.3.6), with Basic authorization (RFC 7617).

use super::{Fault, Login};
use crate::base::limits::PROXY_HEAD_BYTES_MAX;
use crate::wire::escape::base64;
use crate::wire::http::head_status;
use crate::wire::url::Host;
use alloc::format;
use alloc::vec::Vec;

/// One request to connect.
pub(super) struct Connect {
    outgoing: Vec<u8>,
    has_login: bool,
    /// The answer so far; interim ones (1xx) count against the same bound.
    heard: Vec<u8>,
    /// Where in it the present answer starts.
    start: usize,
    open: bool,
}

impl Connect {
    pub fn new(login: Option<&Login>, host: &Host, port: u16) -> Self {
        let login_line = login.map_or_else(Default::default, |Login { user, password }| {
            let credentials = base64(&[user, &b":"[..], password].concat());
            format!("Proxy-Authorization: Basic {credentials}\r\n")
        });
        let words = format!("CONNECT {host}:{port} HTTP/1.1\r\nHost: {host}:{port}\r\n{login_line}\r\n");
        let (heard, start) = (Vec::new(), 0);
        Self { outgoing: words.into_bytes(), has_login: login.is_some(), heard, start, open: false }
    }

    pub fn outgoing(&self) -> &[u8] {
        &self.outgoing
    }

    pub fn sent(&mut self, count: usize) {
        self.outgoing.drain(..count.min(self.outgoing.len()));
    }

    pub fn is_open(&self) -> bool {
        self.open
    }

    /// See [`Dialogue::on_bytes`](super::Dialogue::on_bytes). Only whole lines are read, so that an answer that comes byte by
    /// byte is not read from its start for each of them, and means the same however it is cut.
    pub fn on_bytes(&mut self, bytes: &[u8]) -> Result<usize, Fault> {
        if self.open {
            return Ok(0);
        }
        let before = self.heard.len();
        let room = PROXY_HEAD_BYTES_MAX.saturating_sub(before);
        let taken = &bytes[..room.min(bytes.len())];
        self.heard.extend_from_slice(taken);
        let lines = self.heard.iter().rposition(|&byte| byte == b'\n').map_or(0, |last| last + 1);
        loop {
            let begun = self.heard.get(self.start..).unwrap_or_default();
            // Said at once: what is no HTTP may never end a line.
            if !begun.iter().zip(b"HTTP/").all(|(said, wanted)| said == wanted) {
                return Err(Fault::NotHttp);
            }
            let whole = begun.get(..lines.saturating_sub(self.start)).filter(|_| lines > before);
            let head = whole.map_or(Ok(None), head_status).map_err(|_| Fault::NotHttp)?;
            let Some((length, status)) = head else { break };
            self.start += length;
            if !(100..200).contains(&status) {
                self.on_status(status)?;
                return Ok(self.start - before);
            }
        }
        if self.heard.len() >= PROXY_HEAD_BYTES_MAX { Err(Fault::HeadTooLong) } else { Ok(taken.len()) }
    }

    fn on_status(&mut self, status: u16) -> Result<(), Fault> {
        match status {
            200..300 => {
                self.open = true;
                self.heard = Vec::new();
                Ok(())
            }
            407 if self.has_login => Err(Fault::PasswordRefused),
            407 => Err(Fault::PasswordWanted),
            403 => Err(Fault::Forbidden),
            405 | 501 => Err(Fault::Unsupported),
            502 | 503 => Err(Fault::TargetUnreachable),
            504 => Err(Fault::TargetSilent),
            status => Err(Fault::Code(status)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::String;

    fn connect(has_login: bool) -> Connect {
        let login = Login { user: b"me".to_vec(), password: b"pw".to_vec() };
        Connect::new(has_login.then_some(&login), &Host::Name("t.example".into()), 443)
    }

    fn words(host: &str) -> String {
        let host = Host::parse(host).unwrap();
        String::from_utf8(Connect::new(None, &host, 1).outgoing().to_vec()).unwrap()
    }

    #[test]
    fn names_and_addresses_are_asked_for_as_http_writes_them() {
        assert!(words("t.example").starts_with("CONNECT t.example:1 HTTP/1.1\r\nHost: t.example:1\r\n\r\n"));
        assert!(words("10.0.0.1").starts_with("CONNECT 10.0.0.1:1 "));
        assert!(words("[::1]").starts_with("CONNECT [::1]:1 "));
        let with_login = connect(true);
        let text = core::str::from_utf8(with_login.outgoing()).unwrap();
        assert!(text.ends_with("\r\nProxy-Authorization: Basic bWU6cHc=\r\n\r\n"), "{text}");
    }

    #[test]
    fn what_follows_the_head_is_the_targets_however_it_is_cut() {
        let answer =
            b"HTTP/1.1 100 Wait\r\n\r\nHTTP/1.0 200 Connection established\r\nVia: x\r\n\r\n\x13BitTorrent";
        let head = answer.len() - 11;
        for size in [1, 2, 7, answer.len()] {
            let (mut connect, mut taken) = (connect(false), 0);
            for part in answer.chunks(size) {
                taken += connect.on_bytes(part).unwrap();
            }
            assert!(connect.is_open() && taken == head, "parts of {size}: {taken}");
        }
    }

    #[test]
    fn refusals_and_lies_are_named() {
        let cases = [
            ("HTTP/1.1 407 x\r\n\r\n", false, Fault::PasswordWanted),
            ("HTTP/1.1 407 x\r\n\r\n", true, Fault::PasswordRefused),
            ("HTTP/1.1 403 x\r\nContent-Length: 9\r\n\r\nforbidden", false, Fault::Forbidden),
            ("HTTP/1.1 405 x\r\n\r\n", false, Fault::Unsupported),
            ("HTTP/1.1 502 x\r\n\r\n", false, Fault::TargetUnreachable),
            ("HTTP/1.1 504 x\r\n\r\n", false, Fault::TargetSilent),
            ("HTTP/1.1 302 x\r\nLocation: /\r\n\r\n", false, Fault::Code(302)),
            ("\x05\x00", false, Fault::NotHttp),
            ("SSH-2.0-x\r\n", false, Fault::NotHttp),
        ];
        for (text, has_login, fault) in cases {
            let mut connect = connect(has_login);
            assert_eq!(connect.on_bytes(text.as_bytes()), Err(fault), "{text}");
            assert!(!connect.is_open());
        }
    }

    #[test]
    fn a_head_without_end_is_given_up() {
        let mut connect = connect(false);
        connect.on_bytes(b"HTTP/1.1 200 OK\r\nX: ").unwrap();
        let fault = (0..100_000).find_map(|_| connect.on_bytes(b"x").err());
        assert_eq!((fault, connect.heard.len()), (Some(Fault::HeadTooLong), PROXY_HEAD_BYTES_MAX));
        let mut connect = self::connect(false);
        let interim = "HTTP/1.1 100 Continue\r\n\r\n".repeat(1000);
        assert_eq!(connect.on_bytes(interim.as_bytes()), Err(Fault::HeadTooLong));
    }
}
