//! Answers to commands, progress and the summary, as objects.

use crate::app::json::{Object, torrent};
use crate::app::text::notes;
use crate::app::torrents::Torrents;
use crate::base::TorrentId;
use crate::session::{
    COMMANDS, PeerFlags, PeerStatus, Phase, Report, Status, TorrentStatus, TrackerState, TrackerStatus,
};
use std::os::unix::ffi::OsStrExt;
use std::time::Duration;

/// The answer to a command: one object, or one for each torrent; none for news.
pub fn answer(report: &Report, torrents: &Torrents) -> Vec<Object> {
    match report {
        Report::Status(state) => vec![status("status", state, torrents)],
        Report::Info(ids) => {
            ids.iter().filter_map(|id| torrents.get(*id).map(|known| torrent(id.0, known))).collect()
        }
        Report::Peers(list) => vec![Object::new("peers").list("peers", list.iter().map(peer))],
        Report::Files(list) => vec![files(list, torrents)],
        Report::Trackers(list) => vec![Object::new("trackers").list("trackers", list.iter().map(tracker))],
        Report::Help => vec![help()],
        Report::Done(text) => vec![Object::new("done").text("text", text)],
        Report::Note(_) => Vec::new(),
    }
}

/// The state now and then.
pub fn progress(state: &Status, torrents: &Torrents) -> Object {
    status("progress", state, torrents)
}

/// The last object of a run.
pub fn summary(state: &Status, torrents: &Torrents, took: Duration, exit_code: u8) -> Object {
    let each = state.torrents.iter().map(|state| {
        let output = torrents.get(state.torrent).map(|torrent| torrent.output.as_os_str().as_bytes());
        torrent_status(state, torrents).bytes("output", output.unwrap_or_default())
    });
    Object::new("summary")
        .number("exit_code", exit_code)
        .seconds("took_seconds", Some(took))
        .list("torrents", each)
}

fn status(kind: &str, state: &Status, torrents: &Torrents) -> Object {
    Object::new(kind)
        .list("torrents", state.torrents.iter().map(|state| torrent_status(state, torrents)))
        .number("buffered_bytes", state.buffered_bytes)
        .number("buffer_limit_bytes", state.buffer_limit_bytes)
        .number("down_limit_bytes_per_second", state.down_limit)
        .number("up_limit_bytes_per_second", state.up_limit)
}

fn torrent_status(state: &TorrentStatus, torrents: &Torrents) -> Object {
    let name = torrents.get(state.torrent).map(|torrent| torrent.metainfo.name.as_slice());
    let object = Object::inner()
        .number("torrent", state.torrent.0)
        .bytes("name", name.unwrap_or_default())
        .text("info_hash", &state.info_hash.to_string())
        .text("phase", phase(state.phase))
        .number("size_bytes", state.size_bytes)
        .number("done_bytes", state.done_bytes)
        .number("pieces", state.pieces)
        .number("pieces_have", state.pieces_have)
        .number("pieces_open", state.pieces_open)
        .number("pieces_checked", state.pieces_checked)
        .number("pieces_unreadable", state.pieces_unreadable)
        .number("downloaded_bytes", state.downloaded_bytes)
        .number("uploaded_bytes", state.uploaded_bytes)
        .number("ratio_permille", ratio_permille(state))
        .number("duplicate_bytes", state.duplicate_bytes)
        .number("corrupt_bytes", state.corrupt_bytes)
        .number("down_bytes_per_second", state.down_rate)
        .number("up_bytes_per_second", state.up_rate)
        .seconds("time_left_seconds", state.time_left)
        .number("peers", state.peers)
        .number("seeds", state.seeds)
        .number("useful", state.useful)
        .number("willing", state.willing)
        .number("connecting", state.connecting)
        .number("known", state.known)
        .seconds("next_announce_seconds", state.next_announce)
        .number("trackers", state.trackers.0)
        .number("trackers_good", state.trackers.1)
        .maybe("swarm_seeds", state.swarm.seeds)
        .maybe("swarm_leechers", state.swarm.leechers);
    match &state.fault {
        Some(fault) => object.text("fault", &notes::storage_fault(state.torrent, fault, torrents)),
        None => object.maybe("fault", None::<u8>),
    }
    .maybe("missing_bytes", state.fault.map(|fault| fault.missing_bytes).filter(|&bytes| bytes > 0))
}

/// How often everything has been given, in thousandths.
fn ratio_permille(state: &TorrentStatus) -> u64 {
    let permille = u128::from(state.given_bytes) * 1000 / u128::from(state.size_bytes.max(1));
    u64::try_from(permille).unwrap_or(u64::MAX)
}

fn phase(phase: Phase) -> &'static str {
    match phase {
        Phase::Checking => "checking",
        Phase::Downloading => "downloading",
        Phase::Paused => "paused",
        Phase::Stalled => "stalled",
        Phase::Seeding => "seeding",
        Phase::Complete => "complete",
    }
}

fn peer(peer: &PeerStatus) -> Object {
    Object::inner()
        .number("torrent", peer.torrent.0)
        .text("address", &peer.address.to_string())
        .bytes("client", &peer.client)
        .texts("flags", flags(peer.flags))
        .number("down_bytes_per_second", peer.down_rate)
        .number("up_bytes_per_second", peer.up_rate)
        .number("downloaded_bytes", peer.downloaded_bytes)
        .number("uploaded_bytes", peer.uploaded_bytes)
        .number("has_permille", peer.has_permille)
        .number("requests", peer.requests.0)
        .number("requests_max", peer.requests.1)
}

fn flags(flags: PeerFlags) -> impl Iterator<Item = &'static str> {
    let all = [
        (flags.interested, "interested"),
        (flags.unchoked, "unchoked"),
        (flags.peer_interested, "peer_interested"),
        (flags.peer_unchoked, "peer_unchoked"),
        (flags.snubbed, "snubbed"),
        (flags.fast, "fast"),
        (flags.extended, "extended"),
        (flags.incoming, "incoming"),
    ];
    all.into_iter().filter_map(|(is_so, name)| is_so.then_some(name))
}

fn files(list: &[(TorrentId, Vec<u64>)], torrents: &Torrents) -> Object {
    let known = list.iter().filter_map(|(id, done)| Some((id, torrents.get(*id)?, done)));
    let each = known.flat_map(|(id, torrent, done)| {
        let wanted = torrent.metainfo.layout.files().zip(done).filter(|(file, _)| !file.is_pad());
        wanted.map(|(file, done)| {
            let object = Object::inner().number("torrent", id.0).bytes("path", &file.path());
            object.number("size_bytes", file.length).number("done_bytes", *done)
        })
    });
    Object::new("files").list("files", each)
}

fn tracker(tracker: &TrackerStatus) -> Object {
    let (state, why) = match &tracker.state {
        TrackerState::Untried => ("untried", None),
        TrackerState::Asking => ("asking", None),
        TrackerState::Good => ("good", None),
        TrackerState::Failed(why) => ("failed", Some(why)),
        TrackerState::Unsupported(why) => ("unsupported", Some(why)),
    };
    let object = Object::inner()
        .number("torrent", tracker.torrent.0)
        .number("tier", tracker.tier)
        .text("url", &tracker.url)
        .text("kind", &kind(&tracker.url))
        .text("state", state);
    let object = match why {
        Some(why) => object.text("why", why),
        None => object.maybe("why", None::<u8>),
    };
    object
        .number("peers", tracker.peers)
        .maybe("seeds", tracker.counts.seeds)
        .maybe("leechers", tracker.counts.leechers)
        .maybe("downloads", tracker.counts.downloads)
        .seconds("next_seconds", tracker.next)
}

/// How a tracker is spoken to: the scheme of its URL, in lower case.
fn kind(url: &str) -> String {
    url.split_once("://").map_or_else(String::new, |(scheme, _)| scheme.to_ascii_lowercase())
}

fn help() -> Object {
    let each =
        COMMANDS.iter().map(|(command, what)| Object::inner().text("command", command).text("what", what));
    Object::new("help").list("commands", each)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::text::tests::torrent_status as sample;
    use crate::session::Counts;

    fn lines(report: &Report) -> Vec<String> {
        answer(report, &Torrents::samples(&["a.iso"])).into_iter().map(Object::end).collect()
    }

    #[test]
    fn every_answer_is_an_object_with_its_type_first() {
        let tracker = TrackerStatus {
            torrent: TorrentId(0),
            tier: 0,
            url: "http://t/".into(),
            state: TrackerState::Failed("no".into()),
            peers: 0,
            counts: Counts { seeds: Some(3), ..Counts::default() },
            next: None,
        };
        let cases = [
            (Report::Status(Status { torrents: vec![sample()], ..Status::default() }), "status"),
            (Report::Info(vec![TorrentId(0)]), "torrent"),
            (Report::Peers(Vec::new()), "peers"),
            (Report::Files(vec![(TorrentId(0), vec![5])]), "files"),
            (Report::Trackers(vec![tracker]), "trackers"),
            (Report::Help, "help"),
            (Report::Done("paused".into()), "done"),
        ];
        for (report, kind) in cases {
            let lines = lines(&report);
            assert_eq!(lines.len(), 1);
            assert!(lines[0].starts_with(&format!("{{\"type\":\"{kind}\",")), "{}", lines[0]);
        }
    }

    #[test]
    fn a_tracker_has_its_kind_and_its_numbers() {
        let tracker = TrackerStatus {
            torrent: TorrentId(0),
            tier: 1,
            url: "UDP://t.example:1/".into(),
            state: TrackerState::Good,
            peers: 7,
            counts: Counts { seeds: Some(3), leechers: None, downloads: Some(9) },
            next: Some(Duration::from_secs(2)),
        };
        let expected = "{\"type\":\"trackers\",\"trackers\":[{\"torrent\":0,\"tier\":1,\"url\":\"UDP://t.example:1/\",\
            \"kind\":\"udp\",\"state\":\"good\",\"why\":null,\"peers\":7,\"seeds\":3,\"leechers\":null,\"downloads\":9,\
            \"next_seconds\":2.000}]}";
        assert_eq!(lines(&Report::Trackers(vec![tracker])), [expected]);
    }

    #[test]
    fn a_status_has_its_numbers() {
        let line = &lines(&Report::Status(Status { torrents: vec![sample()], ..Status::default() }))[0];
        for part in [
            r#""name":"a.iso""#,
            r#""phase":"downloading""#,
            r#""done_bytes":1796000000"#,
            r#""time_left_seconds":190.000"#,
            r#""fault":null"#,
            r#""useful":9,"willing":4"#,
            r#""down_limit_bytes_per_second":0,"up_limit_bytes_per_second":0"#,
        ] {
            assert!(line.contains(part), "{part} in {line}");
        }
    }

    #[test]
    fn files_and_trackers_have_theirs() {
        let files = lines(&Report::Files(vec![(TorrentId(0), vec![5]), (TorrentId(9), vec![1])]));
        let expected =
            r#"{"type":"files","files":[{"torrent":0,"path":"a.iso","size_bytes":1024,"done_bytes":5}]}"#;
        assert_eq!(files, [expected]);
    }
}
