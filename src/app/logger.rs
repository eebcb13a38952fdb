//! Log lines: which are wanted, and how they look. They go above the progress line, through the
//! [`console`].

use crate::app::{console, text};
use crate::session;
use log::{Level, LevelFilter};
use std::fmt::Write;

/// The target under which the session's news are filtered.
pub const NEWS: &str = "swarmlet";

/// Which lines are wanted: `level` or `target=level`, separated by commas, as in `RUST_LOG`. The longest
/// target that begins the record's target decides; the levels are `off`, `error`, `warn`, `info`, `debug`,
/// `trace`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter {
    /// Targets and levels; the empty target stands for all.
    directives: Vec<(String, LevelFilter)>,
}

impl Filter {
    /// The filter of `-q` and `-v`, or else of the environment, or else: warnings, and news that deserve a
    /// line always.
    pub fn chosen(quiet: bool, verbose: u8, environment: Option<&str>) -> Self {
        let all = |level| Self { directives: vec![(String::new(), level)] };
        match (quiet, verbose, environment) {
            (true, ..) => all(LevelFilter::Error),
            (_, 0, Some(text)) if !text.trim().is_empty() => Self::parse(text),
            (_, 0, _) => Self {
                directives: vec![(String::new(), LevelFilter::Warn), (NEWS.to_string(), LevelFilter::Info)],
            },
            (_, 1, _) => all(LevelFilter::Debug),
            (..) => all(LevelFilter::Trace),
        }
    }

    /// Reads a filter. Parts that make no sense are left out; a target without a level wants everything of
    /// it.
    pub fn parse(text: &str) -> Self {
        let directive = |part: &str| match part.split_once('=') {
            Some((target, level)) => Some((target.trim().to_string(), level.trim().parse().ok()?)),
            None => Some(match part.parse() {
                Ok(level) => (String::new(), level),
                Err(_) => (part.to_string(), LevelFilter::Trace),
            }),
        };
        let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
        Self { directives: parts.filter_map(directive).collect() }
    }

    /// True if a line of this target and level is wanted.
    pub fn wants(&self, target: &str, level: Level) -> bool {
        let fitting = self.directives.iter().filter(|(prefix, _)| begins(target, prefix));
        let longest = fitting.max_by_key(|(prefix, _)| prefix.len());
        longest.is_some_and(|(_, most)| level <= *most)
    }

    /// The loudest that is wanted of anything.
    pub fn most(&self) -> LevelFilter {
        self.directives.iter().map(|(_, level)| *level).max().unwrap_or(LevelFilter::Off)
    }
}

/// True if `target` is the module `prefix` or inside it.
fn begins(target: &str, prefix: &str) -> bool {
    prefix.is_empty()
        || target.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

/// The session's words for loudness in the logger's.
pub fn level_of(level: session::Level) -> Level {
    match level {
        session::Level::Error => Level::Error,
        session::Level::Warn => Level::Warn,
        session::Level::Info => Level::Info,
        session::Level::Debug => Level::Debug,
        session::Level::Trace => Level::Trace,
    }
}

/// One line as it is shown: what is worth a line always stands for itself, everything else says how loud it
/// is.
pub fn line(level: Level, message: &str, colours: bool) -> String {
    let (word, colour) = match level {
        Level::Error => ("error: ", "31"),
        Level::Warn => ("warning: ", "33"),
        Level::Info => return message.to_string(),
        Level::Debug => ("debug: ", "2"),
        Level::Trace => ("trace: ", "2"),
    };
    if colours { format!("\x1b[{colour}m{word}\x1b[0m{message}") } else { format!("{word}{message}") }
}

/// The `log` crate's way to the console.
pub struct Logger {
    filter: Filter,
    console: console::Shared,
}

impl Logger {
    /// Makes a logger of these the one of the program. Only the first call of a process has an effect.
    pub fn install(filter: &Filter, console: &console::Shared) {
        let logger = Self { filter: filter.clone(), console: console.clone() };
        if log::set_boxed_logger(Box::new(logger)).is_ok() {
            log::set_max_level(filter.most());
        }
    }
}

impl log::Log for Logger {
    fn enabled(&self, metadata: &log::Metadata<'_>) -> bool {
        self.filter.wants(metadata.target(), metadata.level())
    }

    fn log(&self, record: &log::Record<'_>) {
        if !self.enabled(record.metadata()) {
            return;
        }
        let mut message = String::new();
        if write!(message, "{}", record.args()).is_ok() {
            let mut console = self.console.lock();
            let line = line(record.level(), &text::clean(message.as_bytes()), console.colours());
            console.news(&line);
        }
    }

    fn flush(&self) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn switches_win_over_the_environment() {
        let cases = [
            (false, 0, None, "swarmlet", Level::Info, true),
            (false, 0, None, "swarmlet", Level::Debug, false),
            (false, 0, None, "mio", Level::Info, false),
            (false, 1, None, "mio", Level::Debug, true),
            (false, 1, Some("error"), "mio", Level::Debug, true),
            (false, 2, None, "mio", Level::Trace, true),
            (true, 2, Some("trace"), "mio", Level::Warn, false),
            (true, 0, None, "mio", Level::Error, true),
            (false, 0, Some(" "), "swarmlet", Level::Info, true),
            (false, 0, Some("error"), "swarmlet", Level::Info, false),
        ];
        for (quiet, verbose, environment, target, level, expected) in cases {
            let filter = Filter::chosen(quiet, verbose, environment);
            assert_eq!(
                filter.wants(target, level),
                expected,
                "{quiet} {verbose} {environment:?} {target} {level}"
            );
        }
    }

    #[test]
    fn the_longest_target_decides() {
        let filter = Filter::parse("warn, swarmlet::rim=trace,swarmlet=info,junk=loud,,mio=off");
        let cases = [
            ("other", Level::Warn, true),
            ("other", Level::Info, false),
            ("swarmlet::peer", Level::Info, true),
            ("swarmlet::peer", Level::Debug, false),
            ("swarmlet::rim::dns", Level::Trace, true),
            ("swarmlet::rims", Level::Trace, false),
            ("mio", Level::Error, false),
            ("junk", Level::Info, false),
        ];
        for (target, level, expected) in cases {
            assert_eq!(filter.wants(target, level), expected, "{target} {level}");
        }
        assert_eq!(filter.most(), LevelFilter::Trace);
        assert!(Filter::parse("swarmlet::rim").wants("swarmlet::rim", Level::Trace));
    }

    #[test]
    fn a_line_says_how_loud_it_is() {
        assert_eq!(line(Level::Info, "a.iso: complete", false), "a.iso: complete");
        assert_eq!(line(Level::Warn, "x", false), "warning: x");
        assert_eq!(line(Level::Error, "x", true), "\x1b[31merror: \x1b[0mx");
    }
}
