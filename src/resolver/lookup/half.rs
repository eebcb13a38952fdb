//! The search for the addresses of one family: a question put to one server after the other, until one answers.

use crate::base::Instant;
use crate::resolver::{Desk, Wish};
use crate::wire::dns::{self, Answer, DnsFault, Family, StreamReader};
use alloc::vec::Vec;

/// How it ended.
#[derive(Debug)]
pub(super) enum Outcome {
    Answered(Answer),
    /// No server can or will answer.
    Refused,
    /// Some server does not answer at all.
    Silent,
}

/// One family of one name.
#[derive(Debug)]
pub(super) struct Half {
    family: Family,
    /// Turns of servers that have passed.
    tries: usize,
    /// A server was met that changes the letters of names: they are not disguised any more.
    plain: bool,
    /// Servers that cannot or will not answer this, by their bits.
    useless: u8,
    /// Questions whose answer would be believed. A late answer is as good as any.
    asked: Vec<Asked>,
    /// The next server is asked then.
    until: Instant,
    /// What there was room for in a datagram.
    partial: Option<Answer>,
    pub outcome: Option<Outcome>,
}

#[derive(Debug)]
struct Asked {
    server: usize,
    question: Vec<u8>,
    /// Asked for on a stream, too.
    stream: Option<(u32, StreamReader)>,
}

impl Asked {
    fn is_disguised(&self) -> bool {
        self.question.iter().skip(NAME_AT).any(u8::is_ascii_uppercase)
    }
}

/// Where a question has its name. What stands behind it, and the lengths of labels, are no letters.
const NAME_AT: usize = 12;

/// Where a lookup stands when it asks: the name, and the index of the server that is asked first.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    pub name: &'a str,
    pub first_server: usize,
}

impl Half {
    /// It starts with the first [`Half::on_time`].
    pub fn new(family: Family, now: Instant) -> Self {
        let (asked, partial, outcome) = (Vec::new(), None, None);
        Self { family, tries: 0, plain: false, useless: 0, asked, until: now, partial, outcome }
    }

    /// When [`Half::on_time`] has something to do.
    pub fn deadline(&self) -> Option<Instant> {
        self.outcome.is_none().then_some(self.until)
    }

    /// Asks the next server if the present one is late.
    pub fn on_time(&mut self, desk: &mut Desk<'_>, place: Place<'_>) {
        if self.deadline().is_some_and(|until| desk.now >= until) {
            self.ask_next(desk, place);
        }
    }

    /// Nobody listens at a server, or it cannot be reached.
    pub fn on_unreachable(&mut self, desk: &mut Desk<'_>, place: Place<'_>, server: usize) {
        if self.asked.iter().any(|asked| asked.server == server) {
            self.give_up_server(desk, place, server);
        }
    }

    /// A datagram came from `server`. True if it was an answer to one of our questions.
    pub fn on_datagram(
        &mut self,
        desk: &mut Desk<'_>,
        place: Place<'_>,
        server: usize,
        bytes: &[u8],
    ) -> bool {
        let from = |asked: &&Asked| asked.server == server && asked.stream.is_none();
        let mut told =
            self.asked.iter().filter(from).map(|asked| (asked, dns::answer(bytes, &asked.question)));
        let Some((asked, told)) = told.find(|(_, told)| *told != Err(DnsFault::Stray)) else { return false };
        match told {
            Ok(answer) if answer.truncated => self.ask_on_stream(desk, place, server, bytes, answer),
            Ok(answer) => self.answered(desk, server, answer),
            Err(DnsFault::OtherCase) if asked.is_disguised() => {
                self.plain = true;
                self.asked.retain(|asked| asked.server != server || asked.stream.is_some());
                self.ask(desk, place.name, server);
            }
            Err(_) => self.give_up_server(desk, place, server),
        }
        true
    }

    /// The server has more to say than fits into a datagram.
    fn ask_on_stream(
        &mut self,
        desk: &mut Desk<'_>,
        place: Place<'_>,
        server: usize,
        bytes: &[u8],
        answer: Answer,
    ) {
        if !answer.addresses.is_empty() {
            self.partial = Some(answer);
        }
        if self.asked.iter().any(|asked| asked.server == server && asked.stream.is_some()) {
            return;
        }
        let meant = |asked: &&mut Asked| asked.server == server && asked.question.get(..2) == bytes.get(..2);
        let truncated = self.asked.iter_mut().find(meant);
        let (Some(asked), Some(&address)) = (truncated, desk.setup.servers.get(server)) else { return };
        let Some(stream) = desk.streams.open() else { return self.give_up_server(desk, place, server) };
        asked.stream = Some((stream, StreamReader::default()));
        let bytes = dns::framed(&asked.question);
        desk.wishes.push_back(Wish::Open { stream, server: address, bytes });
        self.until = desk.now + desk.setup.patience(self.round(desk));
    }

    /// Bytes came on a stream. True if it is one of ours.
    pub fn on_stream_bytes(
        &mut self,
        desk: &mut Desk<'_>,
        place: Place<'_>,
        stream: u32,
        bytes: &[u8],
    ) -> bool {
        let Some((server, question, reader)) = self.on_stream(stream) else { return false };
        match reader.on_bytes(bytes).map(|message| dns::answer(message, question)) {
            None => {}
            // Also if it is truncated even so: there is no other way to ask.
            Some(Ok(answer)) => self.answered(desk, server, answer),
            Some(Err(_)) => self.give_up_server(desk, place, server),
        }
        true
    }

    /// A stream could not be opened, or is closed. True if it was one of ours.
    pub fn on_stream_closed(&mut self, desk: &mut Desk<'_>, place: Place<'_>, stream: u32) -> bool {
        let Some((server, ..)) = self.on_stream(stream) else { return false };
        self.give_up_server(desk, place, server);
        true
    }

    fn on_stream(&mut self, stream: u32) -> Option<(usize, &[u8], &mut StreamReader)> {
        self.asked.iter_mut().find_map(|asked| match &mut asked.stream {
            Some((number, reader)) if *number == stream => Some((asked.server, &asked.question[..], reader)),
            _ => None,
        })
    }

    /// This question is not put to `server` again: the next one is asked at once.
    fn give_up_server(&mut self, desk: &mut Desk<'_>, place: Place<'_>, server: usize) {
        self.useless |= bit(server);
        self.drop_asked(desk, |asked| asked.server == server);
        self.ask_next(desk, place);
    }

    /// Puts the question to the next server. When each has had all its turns, and the last one its time, it is over.
    fn ask_next(&mut self, desk: &mut Desk<'_>, place: Place<'_>) {
        let servers = desk.setup.servers.len();
        while self.tries < servers * usize::from(desk.setup.rounds) {
            let server = (place.first_server + self.tries).checked_rem(servers).unwrap_or(0);
            self.tries += 1;
            if self.useless & bit(server) == 0 {
                self.until = desk.now + desk.setup.patience(self.round(desk));
                return self.ask(desk, place.name, server);
            }
        }
        if self.asked.is_empty() || desk.now >= self.until {
            let silent = !self.asked.is_empty();
            let outcome = match self.partial.take() {
                Some(answer) => Outcome::Answered(answer),
                None if silent => Outcome::Silent,
                None => Outcome::Refused,
            };
            self.end(desk, outcome);
        }
    }

    /// The round of the present server, from 0.
    fn round(&self, desk: &Desk<'_>) -> usize {
        self.tries.saturating_sub(1).checked_div(desk.setup.servers.len()).unwrap_or(0)
    }

    /// Only in the first of several rounds the name is disguised: some servers do not answer such.
    fn ask(&mut self, desk: &mut Desk<'_>, name: &str, server: usize) {
        let disguise = !self.plain && self.round(desk) == 0 && desk.setup.rounds > 1;
        let question = dns::query(name, self.family, disguise, desk.rng);
        if let (Some(&address), Some(question)) = (desk.setup.servers.get(server), question) {
            desk.wishes.push_back(Wish::Send { server: address, bytes: question.clone() });
            self.asked.push(Asked { server, question, stream: None });
        }
    }

    /// The server that knows this is the one to ask first, unless they take turns.
    fn answered(&mut self, desk: &mut Desk<'_>, server: usize, answer: Answer) {
        if !desk.setup.rotate {
            *desk.first_server = server;
        }
        self.end(desk, Outcome::Answered(answer));
    }

    /// Ends it, whatever is still on its way.
    pub fn end(&mut self, desk: &mut Desk<'_>, outcome: Outcome) {
        self.outcome = Some(outcome);
        self.drop_asked(desk, |_| true);
    }

    fn drop_asked(&mut self, desk: &mut Desk<'_>, which: impl Fn(&Asked) -> bool) {
        self.asked.retain(|asked| {
            let drop = which(asked);
            if drop && let Some((stream, _)) = asked.stream {
                desk.streams.close();
                desk.wishes.push_back(Wish::Close { stream });
            }
            !drop
        });
    }
}

fn bit(server: usize) -> u8 {
    1_u8.checked_shl(server as u32).unwrap_or(0)
}
