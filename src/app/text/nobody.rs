//! Why the run ends if nobody was found within `--give-up`: who was tried, and what went wrong last.

use crate::app::text::{clause, clean, count};
use crate::base::units::Span;
use crate::session::Efforts;
use std::time::Duration;

/// One line.
pub fn nobody(within: Duration, efforts: &Efforts) -> String {
    let tracker = efforts.tracker_fault.as_ref().map(|(url, why)| (clean(url.as_bytes()), clause(why)));
    let peer = efforts.peer_fault.as_ref().map(|(address, why)| (address.to_string(), clause(why)));
    let trackers = tried(efforts.trackers, ("tracker", "trackers"), "was asked", tracker);
    let peers = tried(efforts.peers, ("peer", "peers"), "was known", peer);
    format!("nobody was found within {}: {trackers}; {peers}", Span(within))
}

/// How so many of a kind were tried, and how the one that is named failed.
fn tried(number: u32, (one, many): (&str, &str), none: &str, last: Option<(String, String)>) -> String {
    match (number, last) {
        (0, None) => format!("no {one} {none}"),
        (0 | 1, Some((name, why))) => format!("{one} {name} failed: {why}"),
        (_, Some((name, why))) => format!("{number} {many} failed, {name} last: {why}"),
        (_, None) => format!("{} did not answer", count(u64::from(number), one, many)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_says_who_was_tried_and_what_went_wrong_last() {
        let tracker = || Some(("http://t.example/a".to_string(), "it says: not\x1b registered.".to_string()));
        let peer = || Some((([9, 9, 9, 9], 5).into(), "refused".to_string()));
        let cases = [
            (0, None, 0, None, "no tracker was asked; no peer was known"),
            (1, None, 3, None, "1 tracker did not answer; 3 peers did not answer"),
            (
                1,
                tracker(),
                1,
                peer(),
                "tracker http://t.example/a failed: it says: not\\x1b registered; peer 9.9.9.9:5 failed: refused",
            ),
            (
                3,
                tracker(),
                7,
                peer(),
                "3 trackers failed, http://t.example/a last: it says: not\\x1b registered; 7 peers failed, 9.9.9.9:5 \
                 last: refused",
            ),
        ];
        for (trackers, tracker_fault, peers, peer_fault, words) in cases {
            let efforts = Efforts { trackers, tracker_fault, peers, peer_fault };
            let line = nobody(Duration::from_secs(30), &efforts);
            assert_eq!(line, format!("nobody was found within 30 s: {words}"));
        }
    }
}
