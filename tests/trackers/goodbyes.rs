//! The end of a run: everybody who knows us hears `completed` and `stopped`, side by side, and those who have died since do
//! not keep us.

use crate::process::{Running, Scratch, free_port, wait_for};
use crate::{PATIENCE, complete, payload, swarmlet, torrent};
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

/// `stopped` announces may delay the end by this (`STOP_TIMEOUT`); and what a busy machine adds.
const BOUND: Duration = Duration::from_millis(2_000);
const SLACK: Duration = Duration::from_millis(500);

/// A tracker that remembers which events it was told, and dies when it has answered one.
struct Tracker {
    url: String,
    told: Arc<Mutex<Vec<String>>>,
    answered: Arc<Mutex<u32>>,
}

/// Answers a request in its turn: dead ones answer the first alone.
#[derive(Clone)]
struct Manners {
    dies: bool,
    told: Arc<Mutex<Vec<String>>>,
    answered: Arc<Mutex<u32>>,
}

impl Manners {
    /// Notes an event; true if it is to be answered.
    fn hears(&self, event: &str) -> bool {
        let mut told = self.told.lock().unwrap();
        // What is said again because no answer came is the same word.
        if told.last().is_none_or(|last| last != event) {
            told.push(event.into());
        }
        let mut answered = self.answered.lock().unwrap();
        let answers = !self.dies || *answered == 0;
        *answered += u32::from(answers);
        answers
    }
}

impl Tracker {
    fn new(udp: bool, dies: bool, peer: Option<SocketAddr>) -> Self {
        let manners = Manners { dies, told: Arc::default(), answered: Arc::default() };
        let (told, answered) = (manners.told.clone(), manners.answered.clone());
        let peer = peer.map_or(vec![], |peer| match peer {
            SocketAddr::V4(v4) => [&v4.ip().octets()[..], &v4.port().to_be_bytes()].concat(),
            SocketAddr::V6(_) => panic!("{peer} is not IPv4"),
        });
        let url = if udp {
            let io = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
            let url = format!("udp://{}/announce", io.local_addr().unwrap());
            thread::spawn(move || serve_datagrams(&io, &manners, &peer));
            url
        } else {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
            let url = format!("http://{}/announce", listener.local_addr().unwrap());
            thread::spawn(move || {
                for io in listener.incoming().flatten() {
                    let (manners, peer) = (manners.clone(), peer.clone());
                    thread::spawn(move || serve_stream(io, &manners, &peer));
                }
            });
            url
        };
        Self { url, told, answered }
    }

    fn told(&self) -> Vec<String> {
        self.told.lock().unwrap().clone()
    }
}

/// BEP 15. Who has died gives connection ids no more either; the one that was given is good for a minute.
fn serve_datagrams(io: &UdpSocket, manners: &Manners, peer: &[u8]) {
    let mut bytes = [0; 2000];
    while let Ok((count, from)) = io.recv_from(&mut bytes) {
        let request = &bytes[..count];
        let mut reply = request[8..16].to_vec();
        if request[11] == 0 {
            reply.extend([7; 8]);
        } else {
            let event = ["", "completed", "started", "stopped"][usize::from(request[83])];
            if !manners.hears(event) {
                continue;
            }
            reply.extend([0, 0, 7, 8, 0, 0, 0, 0, 0, 0, 0, 1]);
            reply.extend(peer);
        }
        let _ = io.send_to(&reply, from);
    }
}

fn serve_stream(mut io: TcpStream, manners: &Manners, peer: &[u8]) {
    let mut head = [0; 2000];
    let count = io.read(&mut head).unwrap_or(0);
    let head = String::from_utf8_lossy(&head[..count]).into_owned();
    let event = head.split("&event=").nth(1).map_or("", |rest| rest.split(['&', ' ']).next().unwrap_or(""));
    if head.contains("/scrape") || !manners.hears(event) {
        let _ = io.read(&mut [0; 100]);
        return;
    }
    let body = [format!("d8:intervali1800e5:peers{}:", peer.len()).as_bytes(), peer, b"e"].concat();
    let _ = write!(io, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
    let _ = io.write_all(&body);
}

/// Two trackers of each protocol that live and, if `dead`, two of each that die once they know us.
fn trackers(dead: bool, peer: Option<SocketAddr>) -> Vec<(Tracker, bool)> {
    let kinds = [(false, false), (true, false), (false, true), (true, true)];
    let kinds = kinds.into_iter().filter(|&(_, dies)| dead || !dies);
    kinds.flat_map(|(udp, dies)| [0, 1].map(|_| (Tracker::new(udp, dies, peer), dies))).collect()
}

fn wait_until_known(trackers: &[(Tracker, bool)]) {
    wait_for("all trackers", PATIENCE, || {
        trackers.iter().all(|(tracker, _)| *tracker.answered.lock().unwrap() > 0).then_some(())
    });
    // The last answers are on their way.
    thread::sleep(Duration::from_millis(200));
}

fn tell(what: &str, dead: bool, took: Duration) {
    let who = if dead { "4 trackers that live and 4 that have died" } else { "4 trackers that live" };
    let _ = writeln!(std::io::stderr(), "{what}, {who}: {} ms", took.as_millis());
}

fn leecher(scratch: &Scratch, trackers: &[(Tracker, bool)]) -> Running {
    let urls: Vec<String> = trackers.iter().map(|(tracker, _)| tracker.url.clone()).collect();
    let torrent = torrent(scratch, payload::names(), &urls);
    let mut command = swarmlet(&torrent, &output(scratch), Ipv4Addr::LOCALHOST.into(), free_port());
    // Slow enough that all trackers have answered when it is over.
    Running::start(command.args(["--down-limit", "20000"]), "leecher", scratch.path())
}

fn output(scratch: &Scratch) -> PathBuf {
    scratch.folder("output")
}

#[test]
fn whoever_is_interrupted_says_goodbye_to_all_within_two_seconds() {
    for dead in [false, true] {
        let scratch = Scratch::new();
        let trackers = trackers(dead, None);
        let mut leecher = leecher(&scratch, &trackers);
        wait_until_known(&trackers);
        let start = Instant::now();
        leecher.interrupt();
        leecher.wait(PATIENCE);
        let took = start.elapsed();
        tell("from Ctrl-C to the end", dead, took);
        assert!(took < if dead { BOUND + SLACK } else { SLACK }, "{took:?}");
        for (tracker, _) in &trackers {
            assert_eq!(tracker.told(), ["started", "stopped"], "{}", tracker.url);
        }
    }
}

#[test]
fn whoever_has_everything_says_so_and_goodbye_within_two_seconds() {
    for dead in [false, true] {
        let scratch = Scratch::new();
        let payload = payload::names();
        let (_seeder, peer) = complete::start(&scratch);
        let trackers = trackers(dead, Some(peer));
        let mut leecher = leecher(&scratch, &trackers);
        let knows = || trackers[0].0.told().iter().any(|event| event == "completed");
        wait_for("the end of the download", PATIENCE, || knows().then_some(()));
        let start = Instant::now();
        assert_eq!(leecher.wait(PATIENCE).code(), Some(0), "{}", leecher.log());
        let took = start.elapsed();
        tell("from the last piece to the end", dead, took);
        assert!(took < if dead { BOUND + SLACK } else { SLACK }, "{took:?}");
        payload.assert_same(&output(&scratch));
        for (tracker, dies) in &trackers {
            // Nothing follows what nobody has answered.
            let wanted = &["started", "completed", "stopped"][..if *dies { 2 } else { 3 }];
            assert_eq!(tracker.told(), wanted, "{}", tracker.url);
        }
    }
}
