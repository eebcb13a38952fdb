//! SOCKS 5 as its client speaks it (RFC 1928), with user and password (RFC 1929).

use super::place::{self, IPV4, IPV6, NAME};
use super::{Fault, Login};
use crate::wire::cursor::Cursor;
use crate::wire::url::Host;
use alloc::vec;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr};

const VERSION: u8 = 5;
const LOGIN_VERSION: u8 = 1;
const CONNECT: u8 = 1;
const ASSOCIATE: u8 = 3;
const NO_LOGIN: u8 = 0;
const PASSWORD: u8 = 2;
const NO_METHOD: u8 = 0xff;

/// One request: to connect, or to carry datagrams.
pub(super) struct Socks {
    /// What is waited for.
    answer: Answer,
    heard: Vec<u8>,
    outgoing: Vec<u8>,
    /// Said when a password is asked for; empty if we have none.
    login: Vec<u8>,
    request: Vec<u8>,
    /// The request is one to carry datagrams.
    associates: bool,
    /// Once the answer is yes: the place to which datagrams are to be sent.
    bound: Option<(Option<IpAddr>, u16)>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Answer {
    Method,
    Login,
    Reply,
    Nothing,
}

impl Socks {
    /// Asks for a stream to `port` of `host`.
    pub fn connect(login: Option<&Login>, host: &Host, port: u16) -> Self {
        Self::new(login, CONNECT, host, port)
    }

    /// Asks for datagrams to be carried. Where ours will come from is not known yet: from nowhere in particular.
    pub fn associate(login: Option<&Login>) -> Self {
        Self::new(login, ASSOCIATE, &Host::Address(Ipv4Addr::UNSPECIFIED.into()), 0)
    }

    fn new(login: Option<&Login>, command: u8, host: &Host, port: u16) -> Self {
        let methods: &[u8] = if login.is_some() { &[NO_LOGIN, PASSWORD] } else { &[NO_LOGIN] };
        let mut outgoing = vec![VERSION, methods.len() as u8];
        outgoing.extend_from_slice(methods);
        Self {
            answer: Answer::Method,
            heard: Vec::new(),
            outgoing,
            login: login.map(login_words).unwrap_or_default(),
            request: request_words(command, host, port),
            associates: command == ASSOCIATE,
            bound: None,
        }
    }

    pub fn outgoing(&self) -> &[u8] {
        &self.outgoing
    }

    pub fn sent(&mut self, count: usize) {
        self.outgoing.drain(..count.min(self.outgoing.len()));
    }

    pub fn is_open(&self) -> bool {
        self.answer == Answer::Nothing
    }

    /// Once datagrams are carried: the address to send them to, if the proxy names one, and the port.
    pub fn bound(&self) -> Option<(Option<IpAddr>, u16)> {
        self.bound
    }

    /// See [`Dialogue::on_end`](super::Dialogue::on_end). Some servers close where others say that they carry none.
    pub fn on_end(&self) -> Fault {
        if self.associates && self.answer == Answer::Reply { Fault::Unsupported } else { Fault::Closed }
    }

    /// See [`Dialogue::on_bytes`](super::Dialogue::on_bytes). No byte is taken that may be the target's.
    pub fn on_bytes(&mut self, bytes: &[u8]) -> Result<usize, Fault> {
        let mut rest = bytes;
        while self.answer != Answer::Nothing && !rest.is_empty() {
            let missing = self.answer_bytes().saturating_sub(self.heard.len());
            let (taken, after) = rest.split_at(missing.min(rest.len()));
            self.heard.extend_from_slice(taken);
            rest = after;
            self.check_head()?;
            if self.heard.len() == self.answer_bytes() {
                self.on_answer()?;
            }
        }
        Ok(bytes.len() - rest.len())
    }

    /// How long the answer is, as far as that is known: one byte more is always the proxy's.
    fn answer_bytes(&self) -> usize {
        match (self.answer, self.heard.get(3), self.heard.get(4)) {
            (Answer::Nothing, ..) => 0,
            (Answer::Method | Answer::Login, ..) => 2,
            (Answer::Reply, Some(&IPV4), _) => 4 + 4 + 2,
            (Answer::Reply, Some(&IPV6), _) => 4 + 16 + 2,
            (Answer::Reply, Some(&NAME), Some(&length)) => 5 + usize::from(length) + 2,
            (Answer::Reply, ..) => 5,
        }
    }

    /// Looks at what is decided before the answer is whole: proxies that refuse often cut it short.
    fn check_head(&self) -> Result<(), Fault> {
        let version = if self.answer == Answer::Login { LOGIN_VERSION } else { VERSION };
        if self.heard.first().is_some_and(|&first| first != version) {
            return Err(Fault::NotSocks);
        }
        match (self.answer, self.heard.get(1), self.heard.get(3)) {
            (Answer::Login, Some(1..), _) => Err(Fault::PasswordRefused),
            (Answer::Reply, Some(&code @ 1..), _) => Err(refusal(code)),
            (Answer::Reply, _, Some(&kind)) if ![IPV4, IPV6, NAME].contains(&kind) => {
                Err(Fault::AddressKind(kind))
            }
            _ => Ok(()),
        }
    }

    /// An answer is whole.
    fn on_answer(&mut self) -> Result<(), Fault> {
        let said = self.heard.get(1).copied().unwrap_or(NO_METHOD);
        let place = self.heard.get(3..).and_then(|place| place::read(&mut Cursor::new(place)));
        self.heard.clear();
        let (next, words) = match self.answer {
            Answer::Method => match said {
                NO_LOGIN => (Answer::Reply, &mut self.request),
                PASSWORD if !self.login.is_empty() => (Answer::Login, &mut self.login),
                // Who knows no password cannot tell whether one would have helped.
                PASSWORD => return Err(Fault::PasswordWanted),
                NO_METHOD if self.login.is_empty() => return Err(Fault::PasswordWanted),
                _ => return Err(Fault::NoMethod),
            },
            Answer::Login => (Answer::Reply, &mut self.request),
            Answer::Reply | Answer::Nothing => {
                self.answer = Answer::Nothing;
                self.bound = place.filter(|_| self.associates);
                return Ok(());
            }
        };
        self.answer = next;
        self.outgoing.append(words);
        Ok(())
    }
}

/// Version, user, password; each with its length.
fn login_words(login: &Login) -> Vec<u8> {
    let mut words = vec![LOGIN_VERSION];
    for part in [&login.user, &login.password] {
        words.push(part.len() as u8); // `Login::parse` bounds it
        words.extend_from_slice(part);
    }
    words
}

fn request_words(command: u8, host: &Host, port: u16) -> Vec<u8> {
    let mut words = vec![VERSION, command, 0];
    place::append(&mut words, host, port);
    words
}

fn refusal(code: u8) -> Fault {
    match code {
        1 => Fault::Failed,
        2 => Fault::Forbidden,
        3 | 4 => Fault::TargetUnreachable,
        5 => Fault::TargetRefused,
        6 => Fault::TargetSilent,
        7 | 8 => Fault::Unsupported,
        code => Fault::Code(code.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const YES: [u8; 10] = [5, 0, 0, 1, 1, 2, 3, 4, 0, 80];

    fn login() -> Login {
        Login { user: b"me".to_vec(), password: b"pw".to_vec() }
    }

    fn target() -> Host {
        Host::Name("t.example".into())
    }

    /// What is waiting to be sent, sent.
    fn said(socks: &mut Socks) -> Vec<u8> {
        let words = socks.outgoing().to_vec();
        socks.sent(words.len());
        words
    }

    #[test]
    fn a_name_goes_to_the_proxy_and_not_one_byte_of_the_target_is_taken() {
        let mut socks = Socks::connect(None, &target(), 6969);
        assert_eq!(said(&mut socks), [5, 1, 0]);
        assert_eq!(socks.on_bytes(&[5]), Ok(1));
        assert!(said(&mut socks).is_empty());
        assert_eq!(socks.on_bytes(&[0]), Ok(1));
        assert_eq!(said(&mut socks), b"\x05\x01\0\x03\x09t.example\x1b\x39");
        let answer = [&YES[..], b"BitTorrent"].concat();
        assert_eq!((socks.on_bytes(&answer), socks.is_open()), (Ok(10), true));
        assert_eq!(socks.bound(), None, "streams have nothing to do with datagrams");
        assert_eq!(socks.on_bytes(b"more"), Ok(0));
    }

    #[test]
    fn a_password_is_said_only_when_it_is_asked_for() {
        let mut socks = Socks::connect(Some(&login()), &Host::Address([1, 2, 3, 4].into()), 80);
        assert_eq!(said(&mut socks), [5, 2, 0, 2]);
        assert_eq!(socks.on_bytes(&[5, 2]), Ok(2));
        assert_eq!(said(&mut socks), b"\x01\x02me\x02pw");
        assert_eq!(socks.on_bytes(&[1, 0]), Ok(2));
        assert_eq!(said(&mut socks), [5, 1, 0, 1, 1, 2, 3, 4, 0, 80]);

        let mut socks =
            Socks::connect(Some(&login()), &Host::Address(core::net::Ipv6Addr::LOCALHOST.into()), 80);
        said(&mut socks);
        assert_eq!(socks.on_bytes(&[5, 0]), Ok(2));
        assert_eq!(said(&mut socks)[..5], [5, 1, 0, 4, 0]);
    }

    #[test]
    fn answers_of_every_length_are_taken_byte_by_byte() {
        let v6 = [&[5, 0, 0, 4][..], &[9; 18]].concat();
        let name = [&[5, 0, 0, 3, 255][..], &[b'n'; 257]].concat();
        for reply in [&YES[..], &v6, &name, &[5, 0, 0, 3, 0, 0, 0]] {
            let mut socks = Socks::connect(None, &target(), 80);
            socks.on_bytes(&[5, 0]).unwrap();
            for (nth, byte) in reply.iter().enumerate() {
                assert!(!socks.is_open(), "open after {nth} of {}", reply.len());
                assert_eq!(socks.on_bytes(&[*byte]), Ok(1));
            }
            assert!(socks.is_open());
        }
    }

    #[test]
    fn datagrams_are_asked_for_and_the_answer_says_where_to_send_them() {
        let v6 = [&[5, 0, 0, 4][..], &[9; 18]].concat();
        let cases: [(&[u8], Option<IpAddr>, u16); 4] = [
            (&YES, Some([1, 2, 3, 4].into()), 80),
            (&[5, 0, 0, 1, 0, 0, 0, 0, 4, 56], None, 1080),
            (&v6, Some([9; 16].into()), 0x909),
            (b"\x05\x00\x00\x03\x01n\x00\x50", None, 80),
        ];
        for (reply, ip, port) in cases {
            let mut socks = Socks::associate(None);
            said(&mut socks);
            assert_eq!((socks.on_bytes(&[5, 0]), socks.bound()), (Ok(2), None));
            assert_eq!(said(&mut socks), [5, 3, 0, 1, 0, 0, 0, 0, 0, 0]);
            assert_eq!(socks.on_bytes(reply), Ok(reply.len()));
            assert_eq!((socks.is_open(), socks.bound()), (true, Some((ip, port))));
        }
    }

    #[test]
    fn who_closes_instead_of_carrying_datagrams_carries_none() {
        let mut socks = Socks::associate(None);
        assert_eq!(socks.on_end(), Fault::Closed);
        socks.on_bytes(&[5, 0]).unwrap();
        assert_eq!(socks.on_end(), Fault::Unsupported);
        let mut socks = Socks::connect(None, &target(), 80);
        socks.on_bytes(&[5, 0]).unwrap();
        assert_eq!(socks.on_end(), Fault::Closed);
    }

    #[test]
    fn refusals_and_lies_are_named() {
        let cases: [(&[u8], bool, Fault); 16] = [
            (b"HTTP/1.1 400", false, Fault::NotSocks),
            (&[4, 0], false, Fault::NotSocks),
            (&[5, 0xff], false, Fault::PasswordWanted),
            (&[5, 2], false, Fault::PasswordWanted),
            (&[5, 0xff], true, Fault::NoMethod),
            (&[5, 1], true, Fault::NoMethod),
            (&[5, 2, 5, 0], true, Fault::NotSocks),
            (&[5, 2, 1, 1], true, Fault::PasswordRefused),
            (&[5, 0, 5, 1], false, Fault::Failed),
            (&[5, 0, 5, 2], false, Fault::Forbidden),
            (&[5, 0, 5, 4], false, Fault::TargetUnreachable),
            (&[5, 0, 5, 5, 0, 1, 0, 0, 0, 0, 0, 0], false, Fault::TargetRefused),
            (&[5, 0, 5, 6], false, Fault::TargetSilent),
            (&[5, 0, 5, 8], false, Fault::Unsupported),
            (&[5, 0, 5, 99], false, Fault::Code(99)),
            (&[5, 0, 5, 0, 0, 2], false, Fault::AddressKind(2)),
        ];
        for (bytes, has_login, fault) in cases {
            let mut socks = Socks::connect(has_login.then(login).as_ref(), &target(), 80);
            assert_eq!(socks.on_bytes(bytes), Err(fault), "{bytes:?}");
            assert!(!socks.is_open());
        }
    }
}
