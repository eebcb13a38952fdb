//! Answers and news as text for people: lines of at most 80 columns where that can be, tables that align, and
//! nothing in it that a stranger could use to play with the terminal.

mod nobody;
pub mod notes;
mod peers;
mod status;
pub mod torrent;
mod trackers;

pub use nobody::nobody;
pub use peers::peers;
pub use status::{files, status};
pub use trackers::trackers;

use crate::app::torrents::Torrents;
use crate::base::Printable;
use crate::session::{COMMANDS, Report};

/// Text of unknown origin, fit for a terminal.
pub fn clean(bytes: &[u8]) -> String {
    Printable(bytes).to_string()
}

/// Words of unknown origin, fit for the middle of a line: without the full stop at their end.
fn clause(text: &str) -> String {
    clean(text.trim_end_matches(['.', ' ']).as_bytes())
}

/// An answer as lines, without the last line feed, for a terminal of so many columns; `None` for news, which are no answer.
pub fn answer(report: &Report, torrents: &Torrents, columns: usize) -> Option<String> {
    Some(match report {
        Report::Status(state) => status(state, torrents),
        Report::Info(ids) => {
            let known = ids.iter().filter_map(|id| torrents.get(*id));
            known.map(torrent::listing).collect::<Vec<_>>().join("\n\n")
        }
        Report::Peers(list) => peers(list, torrents, columns),
        Report::Files(list) => files(list, torrents),
        Report::Trackers(list) => trackers(list, torrents),
        Report::Help => help(),
        Report::Done(what) => clean(what.as_bytes()),
        Report::Note(_) => return None,
    })
}

fn help() -> String {
    let width = COMMANDS.iter().map(|(command, _)| command.len()).max().unwrap_or(0);
    let lines: Vec<_> =
        COMMANDS.iter().map(|(command, what)| format!("  {command:<width$}  {what}")).collect();
    lines.join("\n")
}

/// `1 piece`, `2 pieces`.
pub fn count(number: u64, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}

/// Why nothing comes from peers that are connected to a torrent being downloaded; `None` if some of them let us ask.
/// `useful` and `willing` are those of [`TorrentStatus`](crate::session::TorrentStatus).
pub fn withheld(peers: u32, useful: u32, willing: u32) -> Option<&'static str> {
    match (peers, useful, willing) {
        (0, ..) | (.., 1..) => None,
        (_, 0, _) => Some("none has what is missing"),
        (..) => Some("none lets us download yet"),
    }
}

/// Tenths of a percent as `45.2%`.
pub fn percent(permille: u64) -> String {
    format!("{}.{}%", permille / 10, permille % 10)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::base::{InfoHash, TorrentId};
    use crate::session::{Counts, Phase, TorrentStatus};
    use std::time::Duration;

    /// A torrent in the middle of its download.
    pub fn torrent_status() -> TorrentStatus {
        TorrentStatus {
            torrent: TorrentId(0),
            info_hash: InfoHash([0xab; 20]),
            phase: Phase::Downloading,
            size_bytes: 3_972_844_748,
            done_bytes: 1_796_000_000,
            held_bytes: 0,
            pieces: 950,
            pieces_have: 428,
            pieces_open: 12,
            pieces_checked: 95,
            downloaded_bytes: 1_800_000_000,
            uploaded_bytes: 0,
            given_bytes: 0,
            duplicate_bytes: 32_768,
            corrupt_bytes: 0,
            down_rate: 11_744_051,
            up_rate: 0,
            time_left: Some(Duration::from_secs(190)),
            peers: 12,
            seeds: 8,
            useful: 9,
            willing: 4,
            connecting: 3,
            known: 120,
            next_announce: Some(Duration::from_secs(723)),
            trackers: (2, 1),
            swarm: Counts { seeds: Some(80), leechers: Some(1), downloads: None },
            fault: None,
            pieces_unreadable: 0,
        }
    }

    #[test]
    fn help_has_a_line_for_each_command() {
        assert_eq!(help().lines().count(), COMMANDS.len());
        assert!(help().lines().all(|line| line.len() <= 80));
    }

    #[test]
    fn one_is_not_many() {
        assert_eq!(
            (count(1, "file", "files"), count(0, "file", "files")),
            ("1 file".into(), "0 files".into())
        );
        assert_eq!(percent(1000), "100.0%");
    }
}
