//! `status` and `files`: how far everything is.

use crate::app::progress::share;
use crate::app::text::{clean, count, notes, percent, withheld};
use crate::app::torrents::Torrents;
use crate::base::TorrentId;
use crate::base::units::{Bytes, KIB, Span};
use crate::session::{Counts, Phase, Status, TorrentStatus};

/// The answer to `status`.
pub fn status(status: &Status, torrents: &Torrents) -> String {
    let mut lines: Vec<String> = status.torrents.iter().flat_map(|state| torrent(state, torrents)).collect();
    let (used, limit) = (Bytes(status.buffered_bytes), Bytes(status.buffer_limit_bytes));
    lines.push(format!("memory: {used} of {limit} hold blocks"));
    lines.push(format!("limits: {}", limits(status.down_limit, status.up_limit)));
    lines.join("\n")
}

/// The limits in force, as they are typed. They come in bytes per second; 0 is none.
fn limits(down: u64, up: u64) -> String {
    let one = |way: &str, rate| match rate {
        0 => format!("{way} none"),
        _ => format!("{way} {} KiB/s", rate / u64::from(KIB)),
    };
    if down == 0 && up == 0 { "none".to_string() } else { [one("down", down), one("up", up)].join(", ") }
}

fn torrent(state: &TorrentStatus, torrents: &Torrents) -> Vec<String> {
    let done = percent(share(state.done_bytes, state.size_bytes));
    let mut lines = vec![
        format!("{}: {done}, {}", torrents.name(state.torrent), doing(state)),
        format!(
            "  data      {}{} of {}, {} of {}{}",
            Bytes(state.done_bytes),
            held(state),
            Bytes(state.size_bytes),
            state.pieces_have,
            count(u64::from(state.pieces), "piece", "pieces"),
            if state.phase.is_complete() { String::new() } else { format!(", {} open", state.pieces_open) }
        ),
        format!(
            "  rate      {}/s down, {}/s up{}",
            Bytes(state.down_rate),
            Bytes(state.up_rate),
            left(state)
        ),
        format!(
            "  received  {}, of that {} twice and {} corrupt; sent {}{}",
            Bytes(state.downloaded_bytes),
            Bytes(state.duplicate_bytes),
            Bytes(state.corrupt_bytes),
            Bytes(state.uploaded_bytes),
            ratio(state)
        ),
        format!(
            "  peers     {} connected ({}), {} connecting, {} known",
            state.peers,
            count(u64::from(state.seeds), "seed", "seeds"),
            state.connecting,
            count(u64::from(state.known), "address", "addresses"),
        ),
    ];
    lines.extend(waits_for_peers(state).map(|why| format!("            {why}")));
    lines.push(format!("  trackers  {}", announces(state)));
    if let Some(fault) = &state.fault {
        lines.push(format!("  disk      {}", notes::storage_fault(state.torrent, fault, torrents)));
    }
    lines
}

/// What is verified and not on disk yet.
fn held(state: &TorrentStatus) -> String {
    if state.held_bytes == 0 {
        String::new()
    } else {
        format!(" (and {} in memory)", Bytes(state.held_bytes))
    }
}

fn waits_for_peers(state: &TorrentStatus) -> Option<&'static str> {
    let nothing_comes = state.phase == Phase::Downloading && state.down_rate == 0;
    withheld(state.peers, state.useful, state.willing).filter(|_| nothing_comes)
}

fn left(state: &TorrentStatus) -> String {
    state.time_left.map(|left| format!(", {} left", Span(left))).unwrap_or_default()
}

/// How often everything has been given.
fn ratio(state: &TorrentStatus) -> String {
    if state.given_bytes == 0 || state.size_bytes == 0 {
        return String::new();
    }
    let hundredths = u128::from(state.given_bytes) * 100 / u128::from(state.size_bytes);
    format!(" (ratio {}.{:02})", hundredths / 100, hundredths % 100)
}

/// The phase in words.
fn doing(state: &TorrentStatus) -> String {
    match state.phase {
        Phase::Checking => {
            let checked = share(u64::from(state.pieces_checked), u64::from(state.pieces));
            format!("checking what is on disk ({})", percent(checked))
        }
        Phase::Downloading => "downloading".to_string(),
        Phase::Paused => "paused".to_string(),
        Phase::Stalled => "waiting for the disk".to_string(),
        Phase::Seeding => "complete, given to others".to_string(),
        Phase::Complete => "complete".to_string(),
    }
}

fn announces(state: &TorrentStatus) -> String {
    let (all, good) = state.trackers;
    let swarm = swarm(&state.swarm);
    match state.next_announce {
        _ if all == 0 => "none that can be asked".to_string(),
        Some(next) => format!("{good} of {all} answered{swarm}, next announce in {}", Span(next)),
        None => format!("{good} of {all} answered{swarm}"),
    }
}

/// What trackers say of the whole swarm; nothing if they say nothing.
pub fn swarm(counts: &Counts) -> String {
    let seeds = counts.seeds.map(|seeds| format!(", {}", count(seeds.into(), "seed", "seeds")));
    let leechers = counts.leechers.map(|others| format!(", {}", count(others.into(), "leecher", "leechers")));
    [seeds, leechers].into_iter().flatten().collect()
}

/// The answer to `files`.
pub fn files(list: &[(TorrentId, Vec<u64>)], torrents: &Torrents) -> String {
    let mut lines = Vec::new();
    for (id, done) in list {
        let Some(torrent) = torrents.get(*id) else { continue };
        if torrents.len() > 1 {
            lines.push(format!("{}:", torrents.name(*id)));
        }
        let wanted = torrent.metainfo.layout.files().zip(done).filter(|(file, _)| !file.is_pad());
        lines.extend(wanted.map(|(file, done)| {
            let (done, size) = (percent(share(*done, file.length)), Bytes(file.length).to_string());
            format!("{done:>6} of {size:>10}  {}", clean(&file.path()))
        }));
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::text::tests::torrent_status;

    #[test]
    fn status_says_everything_in_80_columns() {
        let state = Status {
            torrents: vec![torrent_status()],
            buffered_bytes: 4 << 20,
            buffer_limit_bytes: 13 << 20,
            down_limit: 512_000,
            up_limit: 0,
        };
        let text = status(&state, &Torrents::samples(&["debian.iso"]));
        let expected = "\
debian.iso: 45.2%, downloading
  data      1.67 GiB of 3.70 GiB, 428 of 950 pieces, 12 open
  rate      11.2 MiB/s down, 0 B/s up, 3 m 10 s left
  received  1.68 GiB, of that 32.0 KiB twice and 0 B corrupt; sent 0 B
  peers     12 connected (8 seeds), 3 connecting, 120 addresses known
  trackers  1 of 2 answered, 80 seeds, 1 leecher, next announce in 12 m 03 s
memory: 4.0 MiB of 13.0 MiB hold blocks
limits: down 500 KiB/s, up none";
        assert_eq!(text, expected);
    }

    #[test]
    fn what_waits_in_memory_is_told_apart() {
        let state = TorrentStatus { held_bytes: 1 << 20, ..torrent_status() };
        let text = torrent(&state, &Torrents::samples(&["a"])).join("\n");
        assert!(text.contains("  data      1.67 GiB (and 1.0 MiB in memory) of 3.70 GiB, "), "{text}");
    }

    #[test]
    fn what_was_given_has_a_ratio_to_the_size() {
        let state = TorrentStatus {
            uploaded_bytes: 3_000,
            given_bytes: 3_000,
            size_bytes: 2_000,
            ..torrent_status()
        };
        let text = torrent(&state, &Torrents::samples(&["a"])).join("\n");
        assert!(text.contains("sent 2.9 KiB (ratio 1.50)"), "{text}");
    }

    #[test]
    fn phases_without_trackers_or_peers_read_well() {
        let state =
            TorrentStatus { phase: Phase::Checking, trackers: (0, 0), time_left: None, ..torrent_status() };
        let text = torrent(&state, &Torrents::samples(&["a"])).join("\n");
        assert!(text.contains("a: 45.2%, checking what is on disk (10.0%)"), "{text}");
        assert!(text.contains("  trackers  none that can be asked"), "{text}");
        assert_eq!(limits(0, 0), "none");
    }

    #[test]
    fn who_waits_for_peers_hears_what_for() {
        let text = |down_rate, useful, phase| {
            let state = TorrentStatus { down_rate, useful, willing: 0, phase, ..torrent_status() };
            torrent(&state, &Torrents::samples(&["a"])).join("\n")
        };
        let choked = text(0, 9, Phase::Downloading);
        assert!(
            choked.contains("addresses known\n            none lets us download yet\n  trackers"),
            "{choked}"
        );
        assert!(text(0, 0, Phase::Downloading).contains("\n            none has what is missing\n"));
        for quiet in [text(5, 9, Phase::Downloading), text(0, 9, Phase::Paused)] {
            assert!(!quiet.contains("none"), "{quiet}");
        }
    }

    #[test]
    fn files_are_listed_with_what_is_there() {
        let torrents = Torrents::samples(&["a\x1bb"]);
        let text = files(&[(TorrentId(0), vec![512])], &torrents);
        assert_eq!(text, " 50.0% of    1.0 KiB  a\\x1bb");
    }
}
