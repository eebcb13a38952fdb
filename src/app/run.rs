//! From arguments to exit code.

use crate::app::cli::{Cli, Job, NewTorrent};
use crate::app::console::{Console, Shared};
use crate::app::exit::Exit;
use crate::app::help::HELP;
use crate::app::json::{self, Object};
use crate::app::logger::{self, Filter, Logger};
use crate::app::memory::{self, Remark, Shares};
use crate::app::network;
use crate::app::screen::View;
use crate::app::text;
use crate::app::torrents::{Torrent, Torrents, shown};
use crate::base::units::{Bytes, Span};
use crate::proxy::Routes;
use crate::rim::storage::{self, Allocate, Existing, Options, Storage, wall};
use crate::rim::{Listen, Rim, entropy};
use crate::session::{Outcome, Remains, Session, Settings, Status};
use log::Level;
use std::ffi::OsString;
use std::io;
use std::os::fd::AsFd;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// Does what the arguments, program name left out, ask for.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> Exit {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    let wants_json = arguments.iter().any(|argument| argument == "--json");
    match Cli::parse(arguments) {
        Ok(cli) => App::new(cli).run(),
        Err(fault) => {
            let console = Shared::new(Console::new(false));
            report_error(&console, wants_json, &fault.to_string(), Exit::Usage)
        }
    }
}

/// Why a run ended before its time; it has been said.
type Ended = Exit;

struct App {
    cli: Cli,
    console: Shared,
    filter: Filter,
}

impl App {
    fn new(cli: Cli) -> Self {
        let is_run = matches!(cli.job, Job::Download | Job::Check);
        let console = Shared::new(Console::new(is_run && !cli.json && !cli.quiet));
        let environment = std::env::var("RUST_LOG").ok();
        let filter = Filter::chosen(cli.quiet, cli.verbose, environment.as_deref());
        Logger::install(&filter, &console);
        Self { cli, console, filter }
    }

    fn run(&self) -> Exit {
        let result = match &self.cli.job {
            Job::Help => self.answer(HELP.trim_end()),
            Job::Version => self.answer(concat!("swarmlet ", env!("CARGO_PKG_VERSION"))),
            Job::Show => self.show(),
            Job::Create { path, out, says } => self.create(path, out.as_deref(), says),
            Job::Check | Job::Download => self.download(),
        };
        let exit = result.unwrap_or_else(|ended| ended);
        // The others have done something, whether they can say so or not.
        let says_only = matches!(self.cli.job, Job::Help | Job::Version | Job::Show);
        let fault = self.console.lock().take_fault().filter(|_| says_only && exit == Exit::Done);
        fault.map_or(exit, |error| {
            self.error(&format!("cannot write to standard output: {error}"), Exit::IoError)
        })
    }

    fn answer(&self, text: &str) -> Result<Exit, Ended> {
        self.console.lock().answer(text);
        Ok(Exit::Done)
    }

    fn error(&self, text: &str, exit: Exit) -> Ended {
        report_error(&self.console, self.cli.json, text, exit)
    }

    fn news(&self, level: Level, line: &str) {
        if self.filter.wants(logger::NEWS, level) {
            let mut console = self.console.lock();
            let line = logger::line(level, line, console.colours());
            console.news(&line);
        }
    }

    /// Reads all torrents. Those that cannot be read are said, each in a line.
    fn read(&self) -> (Vec<Torrent>, Result<(), Ended>) {
        let (mut good, mut result) = (Vec::new(), Ok(()));
        for file in &self.cli.torrents {
            match Torrent::read(file, &self.cli.output) {
                Ok(torrent) => good.push(torrent),
                Err(fault) => result = Err(self.error(&fault.to_string(), Exit::TorrentUnreadable)),
            }
        }
        (good, result)
    }

    fn show(&self) -> Result<Exit, Ended> {
        let (torrents, result) = self.read();
        for (number, torrent) in torrents.iter().enumerate() {
            let text = if self.cli.json {
                json::torrent(number as u32, torrent).end()
            } else {
                let gap = if number > 0 { "\n" } else { "" };
                format!("{gap}{}", text::torrent::listing(torrent))
            };
            self.console.lock().answer(&text);
        }
        result.map(|()| Exit::Done)
    }

    /// Downloads, or checks, all torrents.
    fn download(&self) -> Result<Exit, Ended> {
        let torrents = Arc::new(self.torrents()?);
        let mut rim = Rim::new(io::stdin().as_fd()).map_err(|error| self.system("start", &error))?;
        let storages = self.open(&torrents)?;
        let routes = Arc::new(self.routes()?);
        rim.route(Arc::clone(&routes));
        let port = self.listen(&mut rim, &routes);
        self.say_start(&torrents);
        let rng = entropy::generator().map_err(|error| self.system("get random numbers", &error))?;
        let start = rim.now();
        let mut session = Session::new(start, rng, self.settings(port, &torrents));
        session.give(start, self.cli.giving.clone());
        session.route(routes);
        self.make_room(&mut session, &torrents)?;
        let mut files = Vec::with_capacity(storages.len());
        for (torrent, (mut storage, existing)) in torrents.iter().zip(storages) {
            let state = self.take(torrent, &mut storage)?;
            let empty = existing == Existing::Nothing;
            let (holes, era) = (storage.holes(), storage.era());
            let (stamps, wall, foreign) = (storage.stamps(), wall(), !storage.was_ours());
            let remains = Remains { state: &state, stamps, holes, era, wall, empty, foreign };
            session.resume_torrent(start, Arc::clone(&torrent.metainfo), remains);
            files.push(storage);
        }
        let (json, quiet) = (self.cli.json, self.cli.quiet);
        let mut view =
            View::new(Arc::clone(&torrents), self.console.clone(), self.filter.clone(), json, quiet);
        let outcome = rim.run(&mut session, files, &mut view).map_err(|error| self.system("poll", &error))?;
        self.console.lock().clear();
        if let Some(why) = self.why(outcome, &torrents) {
            self.error(&why, Exit::from(outcome));
        }
        let now = rim.now();
        self.say_end(&torrents, &session.status(now), &view, now.since(start), Exit::from(outcome));
        Ok(Exit::from(outcome))
    }

    /// All torrents of the run. Nothing is begun unless everything can be: who names five torrents means all
    /// five.
    fn torrents(&self) -> Result<Torrents, Ended> {
        let (given, result) = self.read();
        result?;
        let (torrents, twice) = Torrents::unique(given);
        twice.iter().for_each(|line| self.news(Level::Warn, line));
        let states = || torrents.state_clash().filter(|_| self.cli.job != Job::Check);
        match torrents.clash().or_else(states) {
            Some(clash) => Err(self.error(&clash, Exit::OutputTaken)),
            None => Ok(torrents),
        }
    }

    /// What an outcome needs to have said beside the summary.
    fn why(&self, outcome: Outcome, torrents: &Torrents) -> Option<String> {
        match outcome {
            Outcome::Complete | Outcome::Incomplete | Outcome::CheckFailed => None,
            Outcome::NoSpace => Some("there is no space left for the output".to_string()),
            Outcome::IoError => Some("the output cannot be read or written".to_string()),
            Outcome::Occupied { torrent } => {
                let place = torrents.get(torrent).map_or_else(String::new, |torrent| shown(&torrent.output));
                Some(format!(
                    "{place}: exists and holds nothing of this torrent: move it away, or choose another --output"
                ))
            }
            Outcome::GaveUp => {
                let span = Span(self.cli.give_up.unwrap_or_default());
                Some(format!("no peer and no tracker was reached within {span}"))
            }
        }
    }

    fn say_end(&self, torrents: &Torrents, status: &Status, view: &View, took: Duration, exit: Exit) {
        let mut console = self.console.lock();
        if self.cli.json {
            console.answer(&json::summary(status, torrents, took, exit.code()).end());
        } else if !self.cli.quiet {
            for (index, (torrent, state)) in torrents.iter().zip(&status.torrents).enumerate() {
                console.answer(&match self.cli.job {
                    Job::Check => text::torrent::checked(torrent, state),
                    _ => text::torrent::summary(torrent, state, view.took(index).unwrap_or(took)),
                });
            }
        }
    }

    /// Pieces for which `--memory` is too small are put together in a file.
    fn make_room(&self, session: &mut Session, torrents: &Torrents) -> Result<(), Ended> {
        let missing = torrents.iter().map(|torrent| session.missing_buffer_bytes(&torrent.metainfo)).max();
        let Some(bytes) = missing.filter(|&bytes| bytes > 0 && self.cli.job != Job::Check) else {
            return Ok(());
        };
        let arena = storage::arena(&self.cli.output, bytes).map_err(|error| {
            self.system(&format!("get {} for large pieces beside the output", Bytes(bytes)), &error)
        })?;
        session.lend(arena);
        Ok(())
    }

    fn system(&self, what: &str, error: &io::Error) -> Ended {
        self.error(&format!("cannot {what}: {error}"), Exit::of_system(error))
    }

    fn open(&self, torrents: &Torrents) -> Result<Vec<(Storage, Existing)>, Ended> {
        let is_reserved = self.cli.reserve && self.cli.job != Job::Check;
        let allocate = if is_reserved { Allocate::Full } else { Allocate::Sparse };
        let mut options = Options { allocate, ..Options::default() };
        let open = |torrent: &Torrent| {
            let opened = Storage::open(&self.cli.output, Arc::clone(&torrent.metainfo), &options);
            let opened = opened
                .map_err(|fault| self.error(&format!("{}: {fault}", torrent.name()), Exit::from(&fault)));
            // All of them have to fit together.
            options.claimed_bytes += opened.as_ref().map_or(0, |(storage, _)| storage.needed_bytes());
            opened
        };
        torrents.iter().map(open).collect()
    }

    /// Takes the output of a torrent for this process; the resume state, if there is one.
    fn take(&self, torrent: &Torrent, storage: &mut Storage) -> Result<Vec<u8>, Ended> {
        if self.cli.job == Job::Check {
            return Ok(Vec::new());
        }
        storage
            .take()
            .map_err(|fault| self.error(&format!("{}: {fault}", torrent.name()), Exit::from(&fault)))
    }

    fn say_start(&self, torrents: &Torrents) {
        for (number, torrent) in torrents.iter().enumerate() {
            if self.cli.json {
                self.console.lock().answer(&json::torrent(number as u32, torrent).end());
            } else {
                self.news(Level::Info, &text::torrent::start(torrent));
            }
            if torrent.metainfo.tiers.is_empty() && self.cli.peers.is_empty() && self.cli.job != Job::Check {
                let line = "it names no tracker: give --peer, or wait for peers that connect";
                self.news(Level::Warn, &format!("{}: {line}", torrent.name()));
            }
            for what in &torrent.metainfo.cleaned {
                self.news(Level::Info, &format!("{}: {}", torrent.name(), text::clean(what.as_bytes())));
            }
        }
    }

    /// What goes through which proxy.
    fn routes(&self) -> Result<Routes, Ended> {
        let environment = |name: &str| std::env::var(name).ok();
        let routes = self.cli.proxy.routes(environment);
        let routes = routes.map_err(|fault| self.error(&fault.to_string(), Exit::Usage))?;
        routes.proxies().for_each(|proxy| self.news(Level::Info, &format!("using the proxy {proxy}")));
        Ok(routes)
    }

    /// Settles which part of the network is used, and opens the listening port; 0 if that fails: then nobody can come to
    /// us, but we can still go to others. Behind a proxy nobody is to come to us: that would tell where we are.
    fn listen(&self, rim: &mut Rim, routes: &Routes) -> u16 {
        if self.cli.job == Job::Check {
            return 0;
        }
        if let Some(place) = &self.cli.bind {
            rim.bind(place.clone());
        }
        if routes.is_hidden() {
            return 0;
        }
        let wish = Listen { ports: self.cli.ports.clone(), bind: self.cli.bind.clone() };
        rim.listen(&wish).unwrap_or_else(|error| {
            let (ports, place) =
                (network::port_words(&self.cli.ports), network::place_words(self.cli.bind.as_ref()));
            let line = format!("cannot listen on port {ports}{place}: {error}; nobody can connect to us");
            self.news(Level::Warn, &line);
            0
        })
    }

    fn settings(&self, port: u16, torrents: &Torrents) -> Settings {
        let shares = self.shares(torrents);
        Settings {
            memory_bytes: shares.block_bytes,
            max_peers: shares.max_peers,
            port,
            peers: self.cli.peers.clone(),
            give_up: self.cli.give_up,
            check_only: self.cli.job == Job::Check,
        }
    }

    /// Shares the memory out, and says what does not fit.
    fn shares(&self, torrents: &Torrents) -> Shares {
        let geometries = torrents.iter().map(|torrent| torrent.metainfo.geometry());
        let shares = memory::share(self.cli.memory_mib, self.cli.max_peers, geometries);
        match shares.remark.as_ref().filter(|_| self.cli.job != Job::Check) {
            Some(Remark::AskedTooMuch(text) | Remark::TooLittle(text)) => self.news(Level::Warn, text),
            Some(Remark::FewerThanUsual(text)) => self.news(Level::Debug, text),
            None => {}
        }
        shares
    }

    #[cfg(feature = "create")]
    fn create(&self, path: &Path, out: Option<&Path>, says: &NewTorrent) -> Result<Exit, Ended> {
        let created = crate::app::create::create(path, out, says)
            .map_err(|fault| self.error(&text::clean(fault.to_string().as_bytes()), Exit::from(&fault)))?;
        let text = if self.cli.json {
            use std::os::unix::ffi::OsStrExt;
            let object = Object::new("created").bytes("path", created.file.as_os_str().as_bytes());
            object.text("info_hash", &created.metainfo.info_hash.to_string()).end()
        } else {
            format!("{} {}", created.metainfo.info_hash, crate::app::torrents::shown(&created.file))
        };
        self.answer(&text)
    }

    #[cfg(not(feature = "create"))]
    fn create(&self, _: &Path, _: Option<&Path>, _: &NewTorrent) -> Result<Exit, Ended> {
        Err(self.error("--create is not part of this build", Exit::Usage))
    }
}

/// Says why the run ends: a line on stderr, and with `--json` an object on stdout.
fn report_error(console: &Shared, json: bool, text: &str, exit: Exit) -> Exit {
    let mut console = console.lock();
    console.news(&format!("swarmlet: {text}"));
    if json {
        console.answer(&Object::new("error").text("text", text).number("exit_code", exit.code()).end());
    }
    exit
}
