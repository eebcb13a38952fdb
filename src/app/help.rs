//! The text of `--help`, written by hand: what argh would make of the options is longer than a screen.

/// The text of `--help`: one screen of 80 columns and 24 lines.
pub const HELP: &str = "\
Usage: swarmlet [options] FILE.torrent...
Downloads torrents. While it runs, type status, peers, help, quit and others.

  -o, --output DIR    where the files go (default: here)
      --peer IP:PORT  connect to this peer too (repeatable)
      --port N[-M]    listen on N, or next up to M; 0: any (default 6881)
      --bind WHERE    use this address or network interface only
      --proxy URL     socks5://[USER:PASS@]HOST:PORT or http://..., or none
      --max-peers N   connections at a time, 1 to 5000 (default 200)
      --memory MiB    memory for everything, 2 to 1024 (default 10)
      --down-limit N, --up-limit N  KiB/s; --up-slots N  peers served at a time
      --seed, --super-seed  stay and give; until --seed-ratio R, --seed-time M
      --allocate HOW  full: reserve the space first (default); sparse: do not
      --give-up SECS  end if nobody was found, or a disk is full, for so long
      --show, --check print what the torrent says, verify what is there; end
      --create PATH   write a torrent of PATH to -o FILE; with --announce URL,
                      --private, --piece-size KiB
      --json          answers, progress and events as JSON, one object a line
  -q, --quiet         errors only; -v, --verbose  say more; --help, --version

Environment: RUST_LOG NO_COLOR ALL_PROXY HTTP(S)_PROXY NO_PROXY SSL_CERT_FILE
Exit codes: 0 done, 1 I/O error, 2 usage, 3 torrent unreadable, 4 no space,
  5 output exists and is something else, 6 ended before it was complete,
  7 --check found bad or missing pieces, 8 nobody found within --give-up
";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::cli::PORT_DEFAULT;
    use crate::app::exit::Exit;
    use crate::base::limits;

    #[test]
    fn it_is_short_and_tells_the_bounds() {
        assert!(HELP.lines().count() <= 24, "{} lines", HELP.lines().count());
        assert!(HELP.lines().all(|line| line.chars().count() <= 79));
        let bounds = format!("1 to {} (default {})", limits::PEERS_MAX, limits::PEERS_DEFAULT);
        assert!(HELP.contains(&bounds));
        let (least, most) = (limits::MEMORY_MIN_MIB, limits::MEMORY_MAX_MIB);
        assert!(HELP.contains(&format!("{least} to {most} (default {})", limits::MEMORY_DEFAULT_MIB)));
        assert!(HELP.contains(&format!("(default {PORT_DEFAULT})")));
    }

    #[test]
    fn it_has_every_exit_code() {
        let (_, list) = HELP.split_once("Exit codes:").unwrap();
        let numbers = list.split_whitespace().filter_map(|word| word.parse::<u8>().ok());
        assert!(numbers.eq(0..=Exit::GaveUp.code()), "{list}");
    }
}
