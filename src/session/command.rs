//! The words that the user may type while swarmlet runs.

use crate::base::limits::LIMIT_KIB_MAX;
use crate::base::text::Quoted;
use crate::base::units::KIB;
use alloc::string::{String, ToString};
use core::fmt;
use core::net::SocketAddr;

/// A command of the user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// What the `.torrent` says.
    Info,
    /// The connected peers.
    Peers,
    /// How far the download is.
    Status,
    /// The files and how much of each is there.
    Files,
    /// The trackers and when they are asked next.
    Trackers,
    /// Connect to this peer as well.
    Add(SocketAddr),
    /// Ask the trackers for peers as soon as they allow it.
    Announce,
    /// Stop downloading, keep the connections.
    Pause,
    /// Go on after a pause.
    Resume,
    /// Let no more bytes per second pass.
    Limit {
        /// To peers; else from them.
        up: bool,
        /// Bytes per second; 0: no limit.
        rate: u64,
    },
    /// Stay when everything is there, or do not.
    Seed(bool),
    /// Name the commands.
    Help,
    /// End, telling the trackers.
    Quit,
}

/// All commands with one line of help each, in the order in which `help` shows them.
pub const COMMANDS: [(&str, &str); 13] = [
    ("info", "what the .torrent says"),
    ("status", "progress, rates, peers, trackers, memory, limits"),
    ("peers", "who is connected, and what flows"),
    ("files", "the files and how much of each is there"),
    ("trackers", "the trackers and when they are asked next"),
    ("add IP:PORT", "connect to this peer as well"),
    ("announce", "ask the trackers for peers as soon as they allow it"),
    ("pause", "stop downloading, keep the connections"),
    ("resume", "go on after a pause"),
    ("limit down|up N", "let no more than N KiB/s pass; 0: no limit"),
    ("seed on|off", "stay when everything is there, or do not"),
    ("help", "this list"),
    ("quit", "end, telling the trackers"),
];

/// Why a line is not a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CommandFault {
    /// The first word is none of ours.
    Unknown(String),
    /// `add` without an address, or with something that is none.
    BadAddress(String),
    /// `limit` without a direction and a number.
    BadLimit(String),
    /// `seed` without `on` or `off`.
    BadSeed(String),
    /// Words after a command that takes none.
    TooManyWords(&'static str),
}

impl Command {
    /// Reads one line. An empty one is no command and no fault.
    ///
    /// # Errors
    /// [`CommandFault`] says what the line should have been.
    pub fn parse(line: &str) -> Result<Option<Self>, CommandFault> {
        let mut words = line.split_whitespace();
        let Some(first) = words.next() else { return Ok(None) };
        let command = match first.to_ascii_lowercase().as_str() {
            "info" => Self::Info,
            "peers" => Self::Peers,
            "status" => Self::Status,
            "files" => Self::Files,
            "trackers" => Self::Trackers,
            "announce" => Self::Announce,
            "pause" => Self::Pause,
            "resume" => Self::Resume,
            "help" | "?" => Self::Help,
            "quit" | "exit" | "q" => Self::Quit,
            "add" => Self::Add(parse_address(words.next().unwrap_or_default())?),
            "limit" => parse_limit(words.next().unwrap_or_default(), words.next().unwrap_or_default())?,
            "seed" => Self::Seed(parse_switch(words.next().unwrap_or_default())?),
            _ => return Err(CommandFault::Unknown(first.to_string())),
        };
        match words.next() {
            None => Ok(Some(command)),
            Some(_) => Err(CommandFault::TooManyWords(command.name())),
        }
    }

    /// The word by which it is called.
    pub fn name(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Peers => "peers",
            Self::Status => "status",
            Self::Files => "files",
            Self::Trackers => "trackers",
            Self::Add(_) => "add",
            Self::Announce => "announce",
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::Limit { .. } => "limit",
            Self::Seed(_) => "seed",
            Self::Help => "help",
            Self::Quit => "quit",
        }
    }
}

/// Where a peer is, as users write it: `IP:PORT` or `[IPv6]:PORT`. Nobody is at port 0.
pub fn peer_address(word: &str) -> Option<SocketAddr> {
    word.parse().ok().filter(|address: &SocketAddr| address.port() != 0)
}

fn parse_address(word: &str) -> Result<SocketAddr, CommandFault> {
    peer_address(word).ok_or_else(|| CommandFault::BadAddress(word.to_string()))
}

fn parse_limit(way: &str, number: &str) -> Result<Command, CommandFault> {
    let bad = |word: &str| CommandFault::BadLimit(word.to_string());
    let up = match way {
        "up" => true,
        "down" => false,
        _ => return Err(bad(way)),
    };
    let kib = number.parse().ok().filter(|&kib: &u64| kib <= LIMIT_KIB_MAX);
    let kib = kib.ok_or_else(|| bad(if number.is_empty() { way } else { number }))?;
    Ok(Command::Limit { up, rate: kib * u64::from(KIB) })
}

fn parse_switch(word: &str) -> Result<bool, CommandFault> {
    match word {
        "on" => Ok(true),
        "off" => Ok(false),
        _ => Err(CommandFault::BadSeed(word.to_string())),
    }
}

impl fmt::Display for CommandFault {
    /// Does not end in a full stop; what the user typed is shown escaped.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown(word) => {
                write!(f, "unknown command {}; known are", Quoted(word))?;
                COMMANDS.iter().enumerate().try_for_each(|(nth, (command, _))| {
                    let name = command.split(' ').next().unwrap_or_default();
                    write!(f, "{}{name}", if nth == 0 { " " } else { ", " })
                })
            }
            Self::BadAddress(word) if word.is_empty() => f.write_str("add needs an address: add IP:PORT"),
            Self::BadAddress(word) => {
                write!(f, "{} is not an address; write IP:PORT or [IPv6]:PORT", Quoted(word))
            }
            Self::BadLimit(word) if word.is_empty() => {
                f.write_str("limit needs a way and a number: limit down N or limit up N, in KiB/s")
            }
            Self::BadLimit(word) => {
                write!(f, "{} is no limit; write limit down N or limit up N, in KiB/s", Quoted(word))
            }
            Self::BadSeed(word) if word.is_empty() => f.write_str("seed needs a word: seed on or seed off"),
            Self::BadSeed(word) => {
                write!(f, "{} is neither on nor off; write seed on or seed off", Quoted(word))
            }
            Self::TooManyWords(name) => write!(f, "{name} takes nothing after it"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_of_the_list_is_understood() {
        for (command, _) in COMMANDS {
            let line = command.replace("IP:PORT", "127.0.0.1:6881").replace("down|up N", "up 5");
            let line = line.replace("on|off", "off");
            let parsed = Command::parse(&line).unwrap().unwrap();
            assert_eq!(Some(parsed.name()), command.split(' ').next());
        }
    }

    #[test]
    fn lines_as_people_type_them() {
        assert_eq!(Command::parse("  STATUS \r\n"), Ok(Some(Command::Status)));
        assert_eq!(Command::parse(" \t"), Ok(None));
        assert_eq!(Command::parse("add [::1]:99"), Ok(Some(Command::Add("[::1]:99".parse().unwrap()))));
        assert_eq!(Command::parse("quit now"), Err(CommandFault::TooManyWords("quit")));
        assert_eq!(Command::parse("limit down 3"), Ok(Some(Command::Limit { up: false, rate: 3072 })));
        for bad in ["limit", "limit up", "limit up x", "limit left 3", "limit up -1", "seed", "seed maybe"] {
            assert!(Command::parse(bad).is_err(), "{bad}");
        }
        assert_eq!(Command::parse("add 1.2.3.4:0"), Err(CommandFault::BadAddress("1.2.3.4:0".into())));
        for (bare, wanted) in [("add", "IP:PORT"), ("limit", "limit down N"), ("seed", "seed on")] {
            let text = Command::parse(bare).unwrap_err().to_string();
            assert!(text.starts_with(&format!("{bare} needs ")) && text.contains(wanted), "{text}");
        }
    }

    #[test]
    fn an_unknown_command_names_the_known_ones_and_escapes() {
        let text = Command::parse("\u{1b}[2Jfly").unwrap_err().to_string();
        assert!(text.starts_with(r"unknown command '\x1b[2Jfly'; known are info, status, "), "{text}");
        assert!(Command::parse(&"x".repeat(4000)).unwrap_err().to_string().len() < 200);
    }
}
