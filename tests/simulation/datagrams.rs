//! Model UDP trackers (BEP 15): honest, deaf, forgetful, lying.

use crate::world::{Happening, World};
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use swarmlet::base::Rng;
use swarmlet::session::{CloseCause, Event};

/// How a UDP tracker behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    Honest,
    /// Loses one datagram of three.
    Lossy,
    Silent,
    /// Nobody listens there, and the network says so.
    Refuses,
    /// Answers each announce with an error.
    SaysNo,
    /// Does not know its own connection id the first time.
    Forgets,
    /// Before each true answer come a hundred false ones.
    Lies,
    /// Gives ids, and then garbage instead of answers.
    Garbles,
}

/// One tracker.
#[derive(Clone, Debug)]
pub struct UdpTracker {
    pub manner: Manner,
    pub peers: Vec<SocketAddr>,
    pub latency_us: u64,
    /// Events of the announces that came, as BEP 15 numbers them.
    pub events: Vec<u32>,
    /// Connection ids given, and when.
    ids: BTreeMap<u64, u64>,
    refused_one: bool,
}

impl UdpTracker {
    pub fn new(manner: Manner, peers: &[SocketAddr], latency_us: u64) -> Self {
        let (events, ids) = (vec![], BTreeMap::new());
        Self { manner, peers: peers.to_vec(), latency_us, events, ids, refused_one: false }
    }

    /// The answers to a datagram, each with where it comes from.
    pub fn on_datagram(
        &mut self,
        now: u64,
        rng: &mut Rng,
        own: SocketAddr,
        bytes: &[u8],
    ) -> Vec<(SocketAddr, Vec<u8>)> {
        let number = |at: usize| u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap());
        let (action, transaction) = (number(8), number(12));
        let lost = self.manner == Manner::Silent || self.manner == Manner::Lossy && rng.one_in(3);
        if lost {
            return vec![];
        }
        let rest = self.content(now, rng, own, bytes);
        let truth = say(action, transaction, &rest);
        let answer = match self.manner {
            Manner::SaysNo if action > 0 => say(3, transaction, b"not \x1b[2J here"),
            Manner::Forgets if action > 0 && !std::mem::replace(&mut self.refused_one, true) => {
                self.ids.clear();
                say(3, transaction, b"connection id mismatch")
            }
            Manner::Garbles if action > 0 => {
                let mut garbage = vec![0; rng.below(100) as usize];
                rng.fill(&mut garbage);
                garbage
            }
            _ => truth.clone(),
        };
        let mut answers = vec![];
        if self.manner == Manner::Lies {
            answers = lies(rng, own, (action, transaction), &rest);
        }
        answers.push((own, answer));
        answers
    }

    /// What a good answer says after action and transaction.
    fn content(&mut self, now: u64, rng: &mut Rng, own: SocketAddr, bytes: &[u8]) -> Vec<u8> {
        let number = |at: usize| u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap());
        let id = u64::from_be_bytes(bytes[..8].try_into().unwrap());
        let mut rest = vec![];
        match number(8) {
            0 => {
                assert_eq!((id, bytes.len()), (0x0417_2710_1980, 16), "no connect request");
                let id = rng.next_u64();
                self.ids.insert(id, now);
                rest.extend(id.to_be_bytes());
            }
            1 => {
                self.check_id(now, id);
                assert!(bytes.len() >= 98, "a short announce");
                self.events.push(number(80));
                rest.extend([0, 0, 7, 8, 0, 0, 0, 1, 0, 0, 0, 2]);
                rest.extend(self.compact(own));
            }
            2 => {
                self.check_id(now, id);
                assert_eq!(bytes.len(), 36, "no scrape");
                rest.extend([0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 1]);
            }
            other => panic!("no action {other}"),
        }
        rest
    }

    /// What BEP 15 demands of a connection id: given by us, and not long ago.
    fn check_id(&self, now: u64, id: u64) {
        if self.manner == Manner::Forgets {
            return;
        }
        let given = self.ids.get(&id).expect("a connection id that was never given");
        assert!(now - given <= 120_000_000, "a connection id of {} s", (now - given) / 1_000_000);
    }

    fn compact(&self, own: SocketAddr) -> Vec<u8> {
        let mut list = vec![];
        for peer in &self.peers {
            match peer.ip() {
                IpAddr::V4(ip) if own.is_ipv4() => list.extend(ip.octets()),
                IpAddr::V6(ip) if own.is_ipv6() => list.extend(ip.octets()),
                _ => continue,
            }
            list.extend(peer.port().to_be_bytes());
        }
        list
    }
}

impl World {
    /// Adds a UDP tracker behind a name; one name may have several addresses.
    pub fn add_udp_tracker(&mut self, name: &str, address: SocketAddr, tracker: UdpTracker) {
        self.names.entry(name.to_string()).or_default().push(address.ip());
        self.udp_trackers.insert(address, tracker);
    }

    /// Puts a datagram of ours on its way.
    pub fn send_datagram(&mut self, address: SocketAddr, bytes: Vec<u8>) {
        self.trace(&[8, u64::from(address.port()), bytes.len() as u64]);
        assert!(bytes.len() < 1_500 && address.port() != 0, "{address}: {} bytes", bytes.len());
        let tracker = self.udp_trackers.get(&address);
        if tracker.is_none() || self.lacks(address.ip()) {
            return self.plan(self.now, Happening::Undeliverable(address, CloseCause::Unreachable));
        }
        let latency = tracker.map_or(0, |tracker| tracker.latency_us);
        match tracker.map(|tracker| tracker.manner) {
            Some(Manner::Refuses) => {
                self.plan(self.now + 2 * latency, Happening::Undeliverable(address, CloseCause::Refused));
            }
            _ => self.plan(self.now + latency, Happening::Asked(address, bytes)),
        }
    }

    /// A datagram of ours arrives.
    pub fn ask_udp_tracker(&mut self, address: SocketAddr, bytes: &[u8]) {
        let Some(tracker) = self.udp_trackers.get_mut(&address) else { return };
        let at = self.now + tracker.latency_us;
        for (from, answer) in tracker.on_datagram(self.now, &mut self.rng, address, bytes) {
            self.plan(at, Happening::Datagram(from, answer));
        }
    }

    /// What a datagram brings us.
    pub fn hear(&mut self, from: SocketAddr, bytes: &[u8]) {
        self.tell(Event::Datagram { from, bytes });
    }
}

/// A datagram of a tracker.
fn say(action: u32, about: u32, rest: &[u8]) -> Vec<u8> {
    [&action.to_be_bytes(), &about.to_be_bytes(), rest].concat()
}

/// Answers that nobody may believe: from a stranger, and from the tracker `own` about something else.
fn lies(
    rng: &mut Rng,
    own: SocketAddr,
    (action, transaction): (u32, u32),
    rest: &[u8],
) -> Vec<(SocketAddr, Vec<u8>)> {
    let truth = say(action, transaction, rest);
    let stranger = SocketAddr::new(own.ip(), own.port() ^ 1);
    let mut answers = vec![];
    answers.push((stranger, say(3, transaction, b"forged")));
    answers.push((stranger, truth.clone()));
    for nth in 0..100 {
        let forged = match nth % 4 {
            0 => say(action, transaction ^ rng.next_u64() as u32 | 1 << (nth % 32), rest),
            1 => say(action + 1 + rng.below(1), transaction, rest),
            2 => truth[..rng.below(16) as usize].to_vec(),
            _ => say(rng.next_u64() as u32 | 8, transaction, rest),
        };
        if forged != truth && (forged.len() < 8 || forged[..4] != [0, 0, 0, 3] || forged[4..8] != truth[4..8])
        {
            answers.push((own, forged));
        }
    }
    answers
}
