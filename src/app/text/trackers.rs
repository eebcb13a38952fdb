//! `trackers`: who is asked, what became of it, and when it is asked next.

use crate::app::text::status::swarm;
use crate::app::text::{clause, clean, count};
use crate::app::torrents::Torrents;
use crate::base::TorrentId;
use crate::base::units::Span;
use crate::session::{TrackerState, TrackerStatus};

/// The answer to `trackers`: one line for each, tier first.
pub fn trackers(list: &[TrackerStatus], torrents: &Torrents) -> String {
    if list.is_empty() {
        return "no trackers".to_string();
    }
    let mut lines = Vec::with_capacity(list.len());
    let mut last: Option<TorrentId> = None;
    for tracker in list {
        if torrents.len() > 1 && last != Some(tracker.torrent) {
            lines.push(format!("{}:", torrents.name(tracker.torrent)));
        }
        last = Some(tracker.torrent);
        lines.push(format!("tier {}  {}  {}", tracker.tier, clean(tracker.url.as_bytes()), state(tracker)));
    }
    lines.join("\n")
}

fn state(tracker: &TrackerStatus) -> String {
    let next = tracker.next.map(|next| format!(", asked again in {}", Span(next))).unwrap_or_default();
    match &tracker.state {
        TrackerState::Untried => format!("not asked yet{}{next}", swarm(&tracker.counts)),
        TrackerState::Asking => "is being asked".to_string(),
        TrackerState::Good => {
            let peers = count(u64::from(tracker.peers), "peer", "peers");
            format!("gave {peers}{}{next}", swarm(&tracker.counts))
        }
        TrackerState::Failed(why) => format!("failed: {}{next}", clause(why)),
        TrackerState::Unsupported(why) => format!("never asked: {}", clause(why)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::Counts;
    use std::time::Duration;

    fn tracker(state: TrackerState) -> TrackerStatus {
        TrackerStatus {
            torrent: TorrentId(0),
            tier: 1,
            url: "http://t.example/announce".into(),
            state,
            peers: 1,
            counts: Counts { seeds: Some(5), leechers: Some(1), downloads: Some(9) },
            next: Some(Duration::from_secs(90)),
        }
    }

    #[test]
    fn each_state_has_words() {
        let cases = [
            (TrackerState::Untried, "not asked yet, 5 seeds, 1 leecher, asked again in 1 m 30 s"),
            (TrackerState::Asking, "is being asked"),
            (TrackerState::Good, "gave 1 peer, 5 seeds, 1 leecher, asked again in 1 m 30 s"),
            (TrackerState::Failed("no\x1b.".into()), "failed: no\\x1b, asked again in 1 m 30 s"),
            (TrackerState::Unsupported("odd\x1b".into()), "never asked: odd\\x1b"),
        ];
        for (state, words) in cases {
            let text = trackers(&[tracker(state)], &Torrents::samples(&["a"]));
            assert_eq!(text, format!("tier 1  http://t.example/announce  {words}"));
        }
        assert_eq!(trackers(&[], &Torrents::samples(&["a"])), "no trackers");
    }
}
