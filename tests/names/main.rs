//! Names as they are on a network: a real name server (dnsmasq), and servers that are slow, dead or half blind, in
//! network namespaces. Each test downloads from a tracker that only a name leads to, and measures how long after the
//! start of the program its announce comes. They take root; without it, or without the commands, they fail and say so.
#![allow(dead_code, reason = "the helpers have more than is needed here")]

#[path = "../interop/payload.rs"]
mod payload;
#[path = "../interop/process.rs"]
mod process;

mod net;
mod servers;

use net::{FAR_V4, FAR_V6, Families, Far, use_name_servers, with_cable};
use process::{Running, Scratch, wait_for};
use servers::{Dnsmasq, SEEDER_PORT, TRACKER_PORT, Tracker, dead, relay};
use std::fs;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(60);
/// An announce that waits for no dead server comes within this, on a busy machine too: the shortest such wait is longer.
const AT_ONCE: Duration = Duration::from_millis(900);

/// True if there is such a command.
fn net_has(command: &str) -> bool {
    Command::new("sh")
        .args(["-c", &format!("command -v {command}")])
        .output()
        .is_ok_and(|out| out.status.success())
}

/// A near end that has this to say about name servers, and at the far end all that a download needs.
struct Scene {
    dnsmasq: Dnsmasq,
    tracker: Tracker,
    seeder: Running,
    servers: PathBuf,
    scratch: Scratch,
}

impl Scene {
    fn new(far: &Far, servers: &str) -> Self {
        let scratch = Scratch::new();
        let dnsmasq = Dnsmasq::start(far, scratch.path());
        let tracker = Tracker::start(far);
        let torrent = scratch.path().join("seed.torrent");
        payload::names().write_torrent(&torrent, None);
        let mut command = Command::new(env!("CARGO_BIN_EXE_swarmlet"));
        command.arg("--seed").args(["--port", &SEEDER_PORT.to_string(), "-o"]);
        command.arg(linked_payload(&scratch)).arg(torrent);
        let folder = scratch.path().to_path_buf();
        let seeder = far.run(move || Running::start(&mut command, "seeder", &folder));
        wait_for("the seeder", PATIENCE, || seeder.log().contains("checked:").then_some(()));
        let path = scratch.path().join("resolv.conf");
        fs::write(&path, servers).unwrap();
        use_name_servers(&path);
        Self { dnsmasq, tracker, seeder, servers: path, scratch }
    }

    fn start(&self, trackers: &[&str], more: &[&str]) -> Running {
        let torrent = self.scratch.path().join("x.torrent");
        let urls: Vec<String> =
            trackers.iter().map(|host| format!("http://{host}:{TRACKER_PORT}/announce")).collect();
        payload::names().write_torrent(&torrent, Some(&urls[0]));
        if urls.len() > 1 {
            let tiers: String = urls.iter().map(|url| format!("l{}:{url}e", url.len())).collect();
            let bytes = fs::read(&torrent).unwrap();
            fs::write(&torrent, [b"d13:announce-listl", tiers.as_bytes(), b"e", &bytes[1..]].concat())
                .unwrap();
        }
        let mut command = Command::new(env!("CARGO_BIN_EXE_swarmlet"));
        command.arg("-o").arg(self.scratch.folder("output")).args(more).arg(torrent);
        Running::start(&mut command, "swarmlet", self.scratch.path())
    }

    /// Downloads everything by way of the tracker `host`; how long after the start it was asked, and from where.
    fn download(&self, what: &str, host: &str, more: &[&str]) -> (Duration, String) {
        let start = Instant::now();
        let mut swarmlet = self.start(&[host], more);
        let (after, from, _) = self.tracker.first(start);
        let status = swarmlet.wait(PATIENCE);
        assert_eq!(status.code(), Some(0), "{status}");
        payload::names().assert_same(&self.scratch.folder("output"));
        tell(what, after);
        (after, from.to_string())
    }
}

/// The payload in a folder of its own: what another seeder has left to remember beside it would spare this one its
/// check, which is waited for.
fn linked_payload(scratch: &Scratch) -> PathBuf {
    let folder = scratch.folder("seed");
    let entries = fs::read_dir(payload::names().folder()).unwrap().flatten();
    for entry in entries.filter(|entry| !entry.file_name().as_encoded_bytes().starts_with(b".")) {
        let status = Command::new("cp").arg("-rl").arg(entry.path()).arg(&folder).status();
        assert!(status.is_ok_and(|status| status.success()));
    }
    folder
}

/// Shows a figure.
fn tell(what: &str, after: Duration) {
    let _ = writeln!(std::io::stderr(), "{what}: announced after {} ms", after.as_millis());
}

fn at_far(servers: &[&str]) -> String {
    servers.iter().map(|server| format!("nameserver {server}\n")).collect()
}

#[test]
fn a_tracker_with_a_name_is_found_and_its_torrent_downloaded() {
    with_cable(Families::Both, |far| {
        let (after, _) = Scene::new(far, &at_far(&[FAR_V4])).download("both families", "both.test", &[]);
        assert!(after < AT_ONCE, "{after:?}");
    });
}

#[test]
fn a_machine_without_ipv6_is_not_delayed() {
    with_cable(Families::V4, |far| {
        let scene = Scene::new(far, &at_far(&[FAR_V4]));
        let (after, from) = scene.download("only IPv4 here", "both.test", &[]);
        assert!(after < AT_ONCE && from.contains('.'), "{after:?} from {from}");
    });
}

#[test]
fn a_machine_without_ipv4_is_not_delayed() {
    with_cable(Families::V6, |far| {
        let scene = Scene::new(far, &at_far(&[FAR_V6]));
        let (after, from) = scene.download("only IPv6 here", "both.test", &[]);
        assert!(after < AT_ONCE && from.contains(':'), "{after:?} from {from}");
    });
}

#[test]
fn a_tracker_of_one_family_is_not_delayed() {
    for (host, separator) in [("four.test", '.'), ("six.test", ':')] {
        with_cable(Families::Both, move |far| {
            let (after, from) = Scene::new(far, &at_far(&[FAR_V6])).download(host, host, &[]);
            assert!(after < AT_ONCE && from.contains(separator), "{after:?} from {from}");
        });
    }
}

#[test]
fn a_server_that_never_answers_for_one_family_does_not_delay_the_other() {
    with_cable(Families::Both, |far| {
        relay(far, "10.99.0.9", [Some(Duration::ZERO), None]);
        let (after, _) = Scene::new(far, &at_far(&["10.99.0.9"])).download("AAAA lost", "both.test", &[]);
        assert!(after < AT_ONCE, "{after:?}");
    });
}

#[test]
fn a_family_that_is_found_late_delays_nothing_and_is_announced_as_well() {
    let late = Duration::from_millis(1500);
    let cases = [
        ("AAAA late", [Some(Duration::ZERO), Some(late)], '.'),
        ("A late", [Some(late), Some(Duration::ZERO)], ':'),
    ];
    for (what, delays, separator) in cases {
        with_cable(Families::Both, move |far| {
            relay(far, "10.99.0.9", delays);
            let scene = Scene::new(far, &at_far(&["10.99.0.9"]));
            let start = Instant::now();
            let mut swarmlet = scene.start(&["both.test"], &["--seed"]);
            let (after, from, _) = scene.tracker.nth(0, start);
            tell(what, after);
            assert!(after < AT_ONCE && from.to_string().contains(separator), "{after:?} from {from}");
            let told = |nth| {
                let (after, from, head) = scene.tracker.nth(nth, start);
                (after, from, head.contains("event=started"))
            };
            // The download may be over, and told, before the other family hears of us at all.
            let (after, ..) = (1..5)
                .map(told)
                .find(|(_, other, started)| other.is_ipv4() != from.is_ipv4() && *started)
                .unwrap();
            tell("its other family", after);
            assert!(after >= late && after < late + AT_ONCE, "{after:?}");
            swarmlet.interrupt();
            assert_eq!(swarmlet.wait(PATIENCE).code(), Some(0));
        });
    }
}

#[test]
fn a_family_in_which_nothing_arrives_delays_nothing() {
    for (host, separator) in [("no-v6.test", '.'), ("no-v4.test", ':')] {
        with_cable(Families::Both, move |far| {
            let (after, from) = Scene::new(far, &at_far(&[FAR_V4])).download(host, host, &[]);
            assert!(after < AT_ONCE && from.contains(separator), "{after:?} from {from}");
        });
    }
}

#[test]
fn a_dead_server_costs_a_second_and_one_that_is_not_there_nothing() {
    with_cable(Families::Both, |far| {
        dead(far, "10.99.0.7");
        let scene = Scene::new(far, &at_far(&["10.99.0.7", FAR_V4]));
        let (after, _) = scene.download("first server dead", "both.test", &[]);
        assert!(after >= Duration::from_secs(1) && after < Duration::from_secs(1) + AT_ONCE, "{after:?}");
    });
    with_cable(Families::Both, |far| {
        // Nobody listens there, and nothing leads to the second.
        let scene = Scene::new(far, &at_far(&["10.99.1.1", "192.0.2.1", FAR_V4]));
        let (after, _) = scene.download("two servers not there", "both.test", &[]);
        assert!(after < AT_ONCE, "{after:?}");
    });
}

#[test]
fn a_slow_server_is_waited_for() {
    with_cable(Families::Both, |far| {
        let delay = Duration::from_millis(1500);
        relay(far, "10.99.0.8", [Some(delay); 2]);
        let (after, _) = Scene::new(far, &at_far(&["10.99.0.8"])).download("slow server", "both.test", &[]);
        assert!(after >= delay && after < delay + AT_ONCE, "{after:?}");
    });
}

#[test]
fn an_answer_that_fits_into_no_datagram_comes_over_tcp() {
    with_cable(Families::Both, |far| {
        let scene = Scene::new(far, &at_far(&[FAR_V4]));
        let (after, _) = scene.download("60 addresses by TCP", "many.test", &[]);
        assert!(after < AT_ONCE, "{after:?}");
        // For each stream it starts a process of its own.
        let log = scene.dnsmasq.log();
        let asked = log.lines().filter(|line| line.contains("query[A]"));
        let mut processes: Vec<_> = asked.filter_map(|line| line.split(['[', ']']).nth(1)).collect();
        processes.dedup();
        assert_eq!(processes.len(), 2, "{log}");
    });
}

#[test]
fn aliases_and_the_search_list_lead_to_the_tracker() {
    for (host, options) in [
        ("alias.test", ""),
        ("GRÖẞE.test", ""),
        ("deep.down", "search nowhere.test lan.test\noptions ndots:2\n"),
    ] {
        with_cable(Families::Both, move |far| {
            let scene = Scene::new(far, &(at_far(&[FAR_V4]) + options));
            let (after, _) = scene.download(host, host, &[]);
            assert!(after < AT_ONCE, "{after:?}");
        });
    }
}

#[test]
fn other_servers_are_asked_as_soon_as_the_file_names_them() {
    with_cable(Families::Both, |far| {
        dead(far, "10.99.0.7");
        let scene = Scene::new(far, &at_far(&["10.99.0.7"]));
        let mut swarmlet = scene.start(&["both.test"], &[]);
        std::thread::sleep(Duration::from_millis(500));
        let start = Instant::now();
        fs::write(&scene.servers, at_far(&[FAR_V4])).unwrap();
        let (after, ..) = scene.tracker.first(start);
        tell("after a change of resolv.conf", after);
        assert!(after < Duration::from_secs(1) + AT_ONCE, "{after:?}");
        assert_eq!(swarmlet.wait(PATIENCE).code(), Some(0));
    });
}

#[test]
fn dead_servers_delay_no_tracker_that_needs_none() {
    with_cable(Families::Both, |far| {
        dead(far, "10.99.0.7");
        let scene = Scene::new(far, &at_far(&["10.99.0.7"]));
        let start = Instant::now();
        let mut swarmlet = scene.start(&["both.test", "dead.test", FAR_V4], &[]);
        let (after, ..) = scene.tracker.first(start);
        tell("a literal beside dead names", after);
        assert!(after < AT_ONCE, "{after:?}");
        assert_eq!(swarmlet.wait(PATIENCE).code(), Some(0));
    });
}

#[test]
fn questions_leave_from_where_the_run_is_bound_and_from_nowhere_else() {
    for (place, servers, asked_from) in
        [("10.99.0.3", &[FAR_V6, FAR_V4][..], "10.99.0.3"), ("near", &[FAR_V4], "10.99.0.2")]
    {
        with_cable(Families::Both, move |far| {
            let scene = Scene::new(far, &at_far(servers));
            let (_, from) = scene.download(place, "both.test", &["--bind", place]);
            let log = scene.dnsmasq.log();
            let askers: Vec<&str> = log
                .lines()
                .filter(|line| line.contains("query["))
                .filter_map(|line| line.rsplit(' ').next())
                .collect();
            assert!(!askers.is_empty() && askers.iter().all(|asker| *asker == asked_from), "{askers:?}");
            assert!(place == "near" || from == place, "{from}");
        });
    }
    with_cable(Families::Both, |far| {
        let scene = Scene::new(far, &at_far(&[FAR_V4]));
        let swarmlet = scene.start(&["both.test"], &["--bind", "lo"]);
        wait_for("the fault", PATIENCE, || {
            swarmlet.log().contains("no address found for both.test").then_some(())
        });
        assert!(!scene.dnsmasq.log().contains("query["), "{}", scene.dnsmasq.log());
    });
}
