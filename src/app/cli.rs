//! What the user asks for: the options, their bounds, and one line for each mistake.

use crate::app::arguments::{self, Plain};
use crate::app::network::{self, ProxyWish};
use crate::app::text::clean;
use crate::app::values::{self, number};
use crate::base::limits;
use crate::base::units::KIB;
use crate::rim::Bind;
use crate::session::Giving;
use argh::FromArgs;
use std::ffi::OsString;
use std::fmt;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

/// The port that is listened on unless `--port` says another.
pub const PORT_DEFAULT: u16 = 6881;
/// Longest `--seed-time`, in minutes: ten years.
const SEED_MINUTES_MAX: u64 = 10 * 366 * 24 * 60;
/// Longest `--give-up`, in seconds: a week.
const GIVE_UP_SECONDS_MAX: u64 = 7 * 24 * 60 * 60;

/// A mistake in the arguments, in one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault(String);

impl Fault {
    /// The mistake in words: which option, which value, what is allowed.
    pub fn new(text: String) -> Self {
        Self(text)
    }
}

impl fmt::Display for Fault {
    /// Control characters of what the user typed are escaped.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Job {
    /// Print [`HELP`](crate::app::help::HELP).
    Help,
    /// Print the version.
    Version,
    /// Print what the torrents say.
    Show,
    /// Verify what is on disk.
    Check,
    /// Download.
    Download,
    /// Write a torrent of what is at `path`.
    Create {
        /// A file or a directory.
        path: PathBuf,
        /// The `.torrent` to be written; `NAME.torrent` in the current directory if not given.
        out: Option<PathBuf>,
        /// What else it shall say.
        says: NewTorrent,
    },
}

/// What a new torrent says beside its files.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NewTorrent {
    /// URL of its tracker.
    pub announce: Option<String>,
    /// Bytes of a piece; by default what makes 1,000 to 2,000 pieces of 16 KiB to 16 MiB.
    pub piece_bytes: Option<u32>,
    /// Peers may only come from the tracker (BEP 27).
    pub private: bool,
}

/// Everything the user chose.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cli {
    /// What to do.
    pub job: Job,
    /// The `.torrent` files.
    pub torrents: Vec<PathBuf>,
    /// The directory for the output.
    pub output: PathBuf,
    /// Peers to connect to beside the trackers'.
    pub peers: Vec<SocketAddr>,
    /// The ports to be tried for listening; 0: the system chooses.
    pub ports: RangeInclusive<u16>,
    /// The part of the network that is used.
    pub bind: Option<Bind>,
    /// What goes through a proxy, as far as the user says.
    pub proxy: ProxyWish,
    /// What is given, and how fast everything may go.
    pub giving: Giving,
    /// Connections at a time; what fits into the memory if not given.
    pub max_peers: Option<u32>,
    /// Memory for everything, in MiB.
    pub memory_mib: u32,
    /// Reserve space before writing.
    pub reserve: bool,
    /// End when nobody was found within this span.
    pub give_up: Option<Duration>,
    /// JSON on stdout.
    pub json: bool,
    /// Errors only.
    pub quiet: bool,
    /// How often `-v` was given.
    pub verbose: u8,
}

/// The options as argh reads them; numbers are still text, so that our own words name what is allowed.
#[derive(FromArgs)]
/// A BitTorrent client.
#[argh(help_triggers("--help"))]
struct Raw {
    /// directory for the files
    #[argh(option)]
    output: Option<String>,
    /// peer to connect to
    #[argh(option)]
    peer: Vec<String>,
    /// port to listen on, or a range of ports
    #[argh(option)]
    port: Option<String>,
    /// address or interface
    #[argh(option)]
    bind: Option<String>,
    /// proxy for everything
    #[argh(option)]
    proxy: Option<String>,
    /// kibibytes per second
    #[argh(option)]
    down_limit: Option<String>,
    /// kibibytes per second
    #[argh(option)]
    up_limit: Option<String>,
    /// peers served at a time
    #[argh(option)]
    up_slots: Option<String>,
    /// stay when everything is there
    #[argh(switch)]
    seed: bool,
    /// tell each peer of a few pieces only
    #[argh(switch)]
    super_seed: bool,
    /// how often to give
    #[argh(option)]
    seed_ratio: Option<String>,
    /// minutes
    #[argh(option)]
    seed_time: Option<String>,
    /// connections at a time
    #[argh(option)]
    max_peers: Option<String>,
    /// memory for everything, in MiB
    #[argh(option)]
    memory: Option<String>,
    /// full or sparse
    #[argh(option)]
    allocate: Option<String>,
    /// seconds
    #[argh(option)]
    give_up: Option<String>,
    /// print the torrent
    #[argh(switch)]
    show: bool,
    /// verify what is on disk
    #[argh(switch)]
    check: bool,
    /// write a torrent
    #[argh(option)]
    create: Option<String>,
    /// tracker of the torrent to be written
    #[argh(option)]
    announce: Option<String>,
    /// peers come from the tracker only
    #[argh(switch)]
    private: bool,
    /// kibibytes of a piece
    #[argh(option)]
    piece_size: Option<String>,
    /// JSON on stdout
    #[argh(switch)]
    json: bool,
    /// errors only
    #[argh(switch)]
    quiet: bool,
    /// say more
    #[argh(switch)]
    verbose: u8,
    /// the .torrent files
    #[argh(positional)]
    torrents: Vec<String>,
}

impl Cli {
    /// Reads the arguments, program name left out.
    ///
    /// # Errors
    /// [`Fault`] names the option, the value and what is allowed.
    pub fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Self, Fault> {
        let plain = arguments::plain(arguments)?;
        if plain.has("help") {
            return Ok(Self::only(Job::Help));
        }
        if plain.has("version") {
            return Ok(Self::only(Job::Version));
        }
        Self::from_raw(&read(&plain)?)
    }

    fn only(job: Job) -> Self {
        Self {
            job,
            torrents: Vec::new(),
            output: PathBuf::from("."),
            peers: Vec::new(),
            ports: PORT_DEFAULT..=PORT_DEFAULT,
            bind: None,
            proxy: ProxyWish::Environment,
            giving: Giving::default(),
            max_peers: None,
            memory_mib: limits::MEMORY_DEFAULT_MIB,
            reserve: true,
            give_up: None,
            json: false,
            quiet: false,
            verbose: 0,
        }
    }

    fn from_raw(raw: &Raw) -> Result<Self, Fault> {
        let default = Self::only(job_of(raw)?);
        let memory = limits::MEMORY_MIN_MIB..=limits::MEMORY_MAX_MIB;
        let give_up = number("--give-up", raw.give_up.as_deref(), 1..=GIVE_UP_SECONDS_MAX, "seconds")?;
        Ok(Self {
            output: raw.output.as_deref().map_or(default.output, path),
            peers: raw.peer.iter().map(|text| values::peer(text)).collect::<Result<_, _>>()?,
            ports: raw.port.as_deref().map_or(Ok(default.ports), network::ports)?,
            bind: raw.bind.as_deref().map(network::bind).transpose()?,
            proxy: raw.proxy.as_deref().map_or(Ok(default.proxy), network::proxy)?,
            giving: giving(raw)?,
            max_peers: number("--max-peers", raw.max_peers.as_deref(), 1..=limits::PEERS_MAX, "connections")?,
            memory_mib: number("--memory", raw.memory.as_deref(), memory, "MiB")?
                .unwrap_or(default.memory_mib),
            reserve: raw.allocate.as_deref().map_or(Ok(default.reserve), values::reserve)?,
            give_up: give_up.map(Duration::from_secs),
            json: raw.json,
            quiet: raw.quiet,
            verbose: raw.verbose,
            torrents: raw.torrents.iter().map(|text| path(text)).collect(),
            job: default.job,
        })
    }
}

/// What is given, and how fast everything may go.
fn giving(raw: &Raw) -> Result<Giving, Fault> {
    let limit = |option: &str, text: &Option<String>| {
        let kib = number(option, text.as_deref(), 0..=limits::LIMIT_KIB_MAX, "KiB/s")?;
        Ok(kib.unwrap_or(0) * u64::from(KIB))
    };
    let minutes = number("--seed-time", raw.seed_time.as_deref(), 0..=SEED_MINUTES_MAX, "minutes")?;
    let seed_permille = raw.seed_ratio.as_deref().map(network::ratio).transpose()?;
    Ok(Giving {
        up_slots: number("--up-slots", raw.up_slots.as_deref(), 1..=limits::UP_SLOTS_MAX, "peers")?,
        down_limit: limit("--down-limit", &raw.down_limit)?,
        up_limit: limit("--up-limit", &raw.up_limit)?,
        // Who says when to stop giving wants to give.
        seed: raw.seed || raw.super_seed || minutes.is_some() || seed_permille.is_some(),
        super_seed: raw.super_seed,
        seed_permille,
        seed_time: minutes.map(|minutes| Duration::from_secs(60 * minutes)),
    })
}

/// Lets argh sort the options out.
fn read(plain: &Plain) -> Result<Raw, Fault> {
    let mut words: Vec<&str> = plain.options.iter().map(String::as_str).collect();
    words.push("--");
    words.extend(plain.operands.iter().map(String::as_str));
    Raw::from_args(&["swarmlet"], &words).map_err(|exit| {
        let line = exit.output.split_whitespace().collect::<Vec<_>>().join(" ");
        let line = line.strip_prefix("Error parsing ").unwrap_or(&line).trim_end_matches('.');
        let mut letters = line.chars();
        let first = letters.next().map(|letter| letter.to_ascii_lowercase());
        Fault(clean(first.into_iter().chain(letters).collect::<String>().as_bytes()))
    })
}

fn job_of(raw: &Raw) -> Result<Job, Fault> {
    let fault = |text: &str| Err(Fault(text.to_string()));
    if raw.output.as_deref() == Some("") {
        return fault("--output is empty: name a directory, or leave it out");
    }
    if raw.torrents.iter().chain(&raw.create).any(String::is_empty) {
        return fault("an empty name is no file");
    }
    let chosen = [raw.show, raw.check, raw.create.is_some()];
    if chosen.iter().filter(|is_chosen| **is_chosen).count() > 1 {
        return fault("--show, --check and --create exclude each other");
    }
    if let Some(create) = &raw.create {
        if !raw.torrents.is_empty() {
            return fault(
                "--create PATH takes no FILE.torrent beside it; name the torrent to be written with -o",
            );
        }
        let out = raw.output.as_deref().map(path);
        let piece_bytes = raw.piece_size.as_deref().map(values::piece_bytes).transpose()?;
        let says = NewTorrent { announce: raw.announce.clone(), piece_bytes, private: raw.private };
        return Ok(Job::Create { path: path(create), out, says });
    }
    for (option, is_given) in [
        ("--announce URL", raw.announce.is_some()),
        ("--private", raw.private),
        ("--piece-size KiB", raw.piece_size.is_some()),
    ] {
        if is_given {
            return Err(Fault(format!("{option} goes with --create PATH")));
        }
    }
    if raw.torrents.is_empty() {
        return fault("no FILE.torrent given; swarmlet --help shows how");
    }
    if raw.torrents.len() > limits::TORRENTS_MAX {
        return Err(Fault(format!("at most {} torrents at a time", limits::TORRENTS_MAX)));
    }
    Ok(match (raw.show, raw.check) {
        (true, _) => Job::Show,
        (_, true) => Job::Check,
        _ => Job::Download,
    })
}

fn path(text: &str) -> PathBuf {
    PathBuf::from(arguments::to_os(text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::help::HELP;

    fn parse(line: &str) -> Result<Cli, Fault> {
        Cli::parse(line.split(' ').filter(|word| !word.is_empty()).map(OsString::from))
    }

    #[test]
    fn help_names_every_option_and_argh_knows_it() {
        for (short, long, takes_value) in arguments::OPTIONS {
            assert!(HELP.contains(&format!("--{long}")), "--help does not name --{long}");
            let is_shown = short.is_none_or(|short| short == 'h' || HELP.contains(&format!("-{short}, ")));
            assert!(is_shown, "--help does not name {short:?}");
            let value = if takes_value { "1" } else { "" };
            let fault = parse(&format!("--{long} {value} a.torrent")).err().map(|fault| fault.to_string());
            assert!(!fault.clone().unwrap_or_default().contains("nrecognized"), "{fault:?}");
        }
    }

    #[test]
    fn a_plain_call_takes_the_defaults() {
        let cli = parse("a.torrent b.torrent").unwrap();
        assert_eq!(cli.torrents, [PathBuf::from("a.torrent"), PathBuf::from("b.torrent")]);
        assert_eq!((cli.job, cli.output, cli.memory_mib), (Job::Download, PathBuf::from("."), 10));
    }

    #[test]
    fn all_options_are_taken() {
        let line = "-vvo out --peer 127.0.0.1:5 --peer=[::1]:6 --port 9 --max-peers 7 --memory=8 --give-up 30 \
                    --allocate sparse --json a.torrent";
        let cli = parse(line).unwrap();
        assert_eq!(cli.peers.len(), 2);
        assert_eq!((cli.ports, cli.max_peers, cli.memory_mib, cli.verbose), (9..=9, Some(7), 8, 2));
        assert_eq!((cli.give_up, cli.reserve, cli.json), (Some(Duration::from_secs(30)), false, true));
        let line = "--port 5-9 --bind ::1 --proxy none --down-limit 3 --up-limit=4 --up-slots 5 --seed-ratio 1.5 --seed-time 2 a";
        let cli = parse(line).unwrap();
        assert_eq!(cli.proxy, ProxyWish::None);
        assert_eq!((cli.ports, cli.bind), (5..=9, Some(Bind::Address("::1".parse().unwrap()))));
        let giving = Giving {
            up_slots: Some(5),
            down_limit: 3 << 10,
            up_limit: 4 << 10,
            seed: true,
            super_seed: false,
            seed_permille: Some(1500),
            seed_time: Some(Duration::from_secs(120)),
        };
        assert_eq!(cli.giving, giving);
        assert_eq!(parse("--check a").unwrap().job, Job::Check);
        assert_eq!(parse("--show a").unwrap().job, Job::Show);
        let says =
            NewTorrent { announce: Some("http://t".into()), piece_bytes: Some(64 << 10), private: true };
        let create = Job::Create { path: "dir".into(), out: Some("x".into()), says };
        let line = "--create dir --announce http://t -o x --private --piece-size 64";
        assert_eq!(parse(line).unwrap().job, create);
    }

    #[test]
    fn a_mistake_is_one_line_that_names_option_value_and_bounds() {
        let cases = [
            ("", "no FILE.torrent given"),
            ("--memory 1 a", "--memory '1': allowed is MiB from 2 to 1024"),
            ("--memory lots a", "--memory 'lots': allowed is MiB"),
            ("--port 65536 a", "--port '65536': allowed is a port from 0 to 65535"),
            ("--port 9-8 a", "--port '9-8': allowed is"),
            ("--bind x/y a", "--bind 'x/y': allowed is an address"),
            ("--proxy socks4://me:secret@g:1 a", "--proxy: a proxy is socks5:// or http://"),
            ("--up-limit x a", "--up-limit 'x': allowed is KiB/s from 0"),
            ("--up-slots 0 a", "--up-slots '0': allowed is peers from 1"),
            ("--seed-ratio -1 a", "--seed-ratio '-1': allowed is a number"),
            ("--seed-time x a", "--seed-time 'x': allowed is minutes"),
            ("--peer localhost a", "--peer 'localhost': allowed is IP:PORT"),
            ("--peer 1.2.3.4:0 a", "--peer '1.2.3.4:0'"),
            ("--give-up 0 a", "--give-up '0': allowed is seconds from 1"),
            ("--allocate maybe a", "--allocate 'maybe': allowed is full or sparse"),
            ("--show --check a", "exclude each other"),
            ("--create d a.torrent", "--create PATH takes no FILE.torrent"),
            ("--announce http://t a", "--announce URL goes with --create"),
            ("--private a", "--private goes with --create"),
            ("--piece-size 16 a", "--piece-size KiB goes with --create"),
            ("--create d --piece-size 8", "--piece-size '8': allowed is a power of two from 16 to 524288"),
            ("--create d --piece-size 48", "--piece-size '48': allowed is a power of two"),
            ("--wat a", "unrecognized argument: --wat"),
            ("--memory", "--memory needs a value"),
            ("--port 1 --port 2 a", "duplicate"),
            ("-x a", "unrecognized argument: -x"),
            ("--port \u{1b}[2J a", "--port '\\x1b[2J'"),
        ];
        for (line, expected) in cases {
            let fault = parse(line).unwrap_err().to_string();
            assert!(fault.contains(expected), "{line}: {fault}");
            assert_eq!(fault.lines().count(), 1, "{fault}");
        }
    }

    #[test]
    fn a_file_called_help_is_a_file() {
        assert_eq!(parse("help").unwrap().torrents, [PathBuf::from("help")]);
        assert_eq!(parse("-- --help").unwrap().torrents, [PathBuf::from("--help")]);
    }
}
