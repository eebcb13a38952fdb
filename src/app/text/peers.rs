//! `peers`: who is connected, as a table that is as wide as the terminal is, within reason.

use crate::app::text::{clean, percent};
use crate::app::torrents::Torrents;
use crate::app::width;
use crate::base::TorrentId;
use crate::base::units::Bytes;
use crate::session::{PeerFlags, PeerStatus};

/// Room for an IPv4 address with its port. A longer one has a line of its own.
const ADDRESS_COLUMNS: usize = 21;
/// Room for the client where the table has [`COLUMNS`], and where there is enough.
const CLIENT_COLUMNS: std::ops::RangeInclusive<usize> = 14..=40;
/// The table at its narrowest, in columns. Where there are fewer, each peer has two lines.
const COLUMNS: usize = 80;
/// Two lines with the requests in the second one, in columns.
const REQUESTS_COLUMNS: usize = 45;

/// The answer to `peers`, for a terminal of so many columns.
pub fn peers(list: &[PeerStatus], torrents: &Torrents, columns: usize) -> String {
    if list.is_empty() {
        return "no peers connected".to_string();
    }
    let mut lines = Vec::with_capacity(list.len() + 2);
    let mut last: Option<TorrentId> = None;
    for peer in list {
        if torrents.len() > 1 && last != Some(peer.torrent) {
            lines.push(format!("{}:", torrents.name(peer.torrent)));
        }
        if last.is_none() {
            lines.push(row(columns, "address", "client", ["flags", "has", "down/s", "up/s", "asked"]));
        }
        last = Some(peer.torrent);
        push(&mut lines, peer, columns);
    }
    lines.push("D we download, d it does not let us; U it downloads, u we do not let it;\nS silent; F fast extension, E others; I it came to us".to_string());
    lines.join("\n")
}

fn push(lines: &mut Vec<String>, peer: &PeerStatus, columns: usize) {
    let mut address = peer.address.to_string();
    if address.len() > ADDRESS_COLUMNS {
        lines.push(std::mem::take(&mut address));
    }
    let rates = [peer.down_rate, peer.up_rate].map(|rate| Bytes(rate).to_string());
    let asked = format!("{}/{}", peer.requests.0, peer.requests.1);
    let has = percent(u64::from(peer.has_permille));
    let flags = flags(peer.flags);
    lines.push(row(columns, &address, &clean(&peer.client), [&flags, &has, &rates[0], &rates[1], &asked]));
}

/// One peer: a line, or two where the terminal is narrow.
fn row(columns: usize, address: &str, client: &str, rest: [&str; 5]) -> String {
    let address = width::left(address, ADDRESS_COLUMNS);
    let [flags, has, down, up, asked] = rest;
    let figures = format!("{flags:<6} {has:>6} {down:>10} {up:>10}");
    let Some(room) = columns.checked_sub(COLUMNS) else {
        let client = width::cut(client, columns.saturating_sub(ADDRESS_COLUMNS + 1));
        let asked = if columns < REQUESTS_COLUMNS { String::new() } else { format!(" {asked:>7}") };
        return format!("{address} {client}\n  {figures}{asked}");
    };
    let client = width::left(client, (CLIENT_COLUMNS.start() + room).min(*CLIENT_COLUMNS.end()));
    format!("{address} {client} {figures} {asked:>7}")
}

/// One letter for each thing that is so.
pub fn flags(flags: PeerFlags) -> String {
    let download = match (flags.interested, flags.unchoked) {
        (true, true) => Some('D'),
        (true, false) => Some('d'),
        (false, _) => None,
    };
    let upload = match (flags.peer_interested, flags.peer_unchoked) {
        (true, true) => Some('U'),
        (true, false) => Some('u'),
        (false, _) => None,
    };
    let others = [(flags.snubbed, 'S'), (flags.fast, 'F'), (flags.extended, 'E'), (flags.incoming, 'I')];
    let others = others.into_iter().filter_map(|(is_so, letter)| is_so.then_some(letter));
    download.into_iter().chain(upload).chain(others).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(address: &str, client: &[u8]) -> PeerStatus {
        PeerStatus {
            torrent: TorrentId(0),
            address: address.parse().unwrap(),
            client: client.to_vec(),
            flags: PeerFlags {
                interested: true,
                unchoked: true,
                fast: true,
                extended: true,
                ..Default::default()
            },
            down_rate: 1_048_064,
            up_rate: 1_048_064,
            downloaded_bytes: 0,
            uploaded_bytes: 0,
            has_permille: 1000,
            requests: (512, 512),
        }
    }

    #[test]
    fn rows_align_and_fit_80_columns_whatever_strangers_write() {
        let list = [
            peer("255.255.255.255:65535", b"Transmission 4.0.6"),
            peer("1.2.3.4:5", "日本語日本語日本語".as_bytes()),
            peer("[2001:db8:1111:2222:3333:4444:5555:6666]:65535", b"\x1b[2J\n\xff"),
        ];
        let text = peers(&list, &Torrents::samples(&["a"]), 80);
        let table: Vec<&str> = text.lines().collect();
        assert_eq!(table.len(), 7, "{text}");
        for line in &table[..3] {
            assert_eq!(width::of(line), 80, "{line}");
        }
        assert!(table[5..].iter().all(|line| width::of(line) <= 80), "{text}");
        assert!(!text.contains('\x1b'), "{text}");
        assert!(table[3].starts_with("[2001:"), "{text}");
        assert!(table[1].ends_with("DFE    100.0% 1023.5 KiB 1023.5 KiB 512/512"), "{text}");
    }

    #[test]
    fn a_wide_terminal_shows_clients_whole_and_a_narrow_one_has_two_lines_for_each() {
        let list = [peer("255.255.255.255:65535", b"Transmission 4.0.6 of a long name")];
        let text = |columns| peers(&list, &Torrents::samples(&["a"]), columns);
        let wide = text(200);
        assert!(wide.contains(" Transmission 4.0.6 of a long name "), "{wide}");
        assert_eq!(width::of(wide.lines().nth(1).unwrap()), 106, "and is not torn apart");
        for columns in [40, 45, 79] {
            let text = text(columns);
            let rows: Vec<&str> = text.lines().take(4).collect();
            assert!(rows.iter().all(|row| width::of(row) <= columns), "{text}");
            assert!(rows[2].starts_with("255.255.255.255:65535 Transmission"), "{text}");
            assert!(rows[3].starts_with("  DFE    100.0% 1023.5 KiB 1023.5 KiB"), "{text}");
            assert_eq!(rows[3].contains("512/512"), columns >= 45, "{text}");
        }
    }

    #[test]
    fn peers_of_several_torrents_stand_under_their_names() {
        let other = PeerStatus { torrent: TorrentId(1), ..peer("1.2.3.4:5", b"x") };
        let text = peers(&[peer("1.2.3.4:5", b"y"), other], &Torrents::samples(&["a", "b"]), 80);
        assert!(text.starts_with("a:\naddress") && text.contains("\nb:\n1.2.3.4:5"), "{text}");
        assert_eq!(peers(&[], &Torrents::samples(&["a"]), 80), "no peers connected");
    }
}
