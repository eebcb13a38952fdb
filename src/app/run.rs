//! From arguments to exit code.

use crate::app::cli::{Cli, Job, NewTorrent};
use crate::app::console::{Console, Shared};
use crate::app::descriptors;
use crate::app::exit::Exit;
use crate::app::help::HELP;
use crate::app::json::{self, Object};
use crate::app::logger::{self, Filter, Logger};
use crate::app::memory::{self, Remark, Shares, Tables};
use crate::app::network;
use crate::app::screen::View;
use crate::app::text;
use crate::app::torrents::{Torrent, Torrents, shown};
use crate::base::units::Bytes;
use crate::base::{Bitfield, limits};
use crate::proxy::Routes;
use crate::rim::storage::{self, Allocate, Existing, Options, Storage, wall};
use crate::rim::{Listen, Rim, entropy};
use crate::session::{Efforts, Outcome, Remains, Session, Settings, Status};
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
        let fault = self.console.lock().take_fault();
        fault.map_or(exit, |error| {
            // What it ended with says more, unless all was well.
            let exit = if exit == Exit::Done { Exit::IoError } else { exit };
            self.error(&format!("cannot write to standard output: {error}"), exit)
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
        let peers_max = self.descriptors(rim.descriptors(), &torrents)?;
        let storages = self.open(&torrents, rim.share_descriptors(torrents.len()))?;
        let routes = Arc::new(self.routes()?);
        rim.route(Arc::clone(&routes));
        let port = self.listen(&mut rim, &routes);
        self.say_start(&torrents);
        let rng = entropy::generator().map_err(|error| self.system("get random numbers", &error))?;
        let start = rim.now();
        let mut session = Session::new(start, rng, self.settings(port, &torrents, peers_max));
        session.give(start, self.cli.giving.clone());
        session.route(routes);
        self.make_room(&mut session, &torrents)?;
        let mut files = Vec::with_capacity(storages.len());
        for (torrent, (mut storage, existing)) in torrents.iter().zip(storages) {
            let state = self.take(torrent, &mut storage)?;
            let empty = existing == Existing::Nothing;
            let (holes, era) = (storage.holes(), storage.era());
            let read_only = self.read_only(torrent, &mut storage)?;
            let (stamps, wall, foreign) = (storage.stamps(), wall(), !storage.was_ours());
            let remains = Remains { state: &state, stamps, holes, era, wall, empty, foreign, read_only };
            let id = session.resume_torrent(start, Arc::clone(&torrent.metainfo), remains);
            if storage.fills_holes() {
                session.fetch_in_order(id);
            }
            files.push(storage);
        }
        self.say_lonely(&torrents, &session.status(start), port);
        let (json, quiet) = (self.cli.json, self.cli.quiet);
        let mut view =
            View::new(Arc::clone(&torrents), self.console.clone(), self.filter.clone(), json, quiet);
        let outcome =
            rim.run(&mut session, &mut files, &mut view).map_err(|error| self.system("poll", &error))?;
        self.console.lock().clear();
        if let Some(why) = self.why(outcome, &torrents, session.efforts()) {
            self.error(&why, Exit::from(outcome));
        }
        let now = rim.now();
        self.say_end(&torrents, &session.status(now), &view, now.since(start), outcome);
        // Whatever may wait for the device comes after the last word.
        drop(files);
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
    fn why(&self, outcome: Outcome, torrents: &Torrents, efforts: &Efforts) -> Option<String> {
        match outcome {
            Outcome::Complete | Outcome::Incomplete | Outcome::CheckFailed => None,
            Outcome::NoSpace => Some("there is no space left for the output".to_string()),
            Outcome::TooLong => {
                let line = "the file system, or ulimit -f, takes no file so long: choose another --output, or raise it";
                Some(line.to_string())
            }
            Outcome::IoError if self.cli.job == Job::Check => {
                Some("the check is not complete: something cannot be read".to_string())
            }
            Outcome::IoError => Some("the output cannot be read or written".to_string()),
            Outcome::Denied { torrent, file, os_error } => {
                Some(text::notes::denied(torrent, file, os_error, torrents))
            }
            Outcome::Occupied { torrent } => {
                let place = torrents.get(torrent).map_or_else(String::new, |torrent| shown(&torrent.output));
                Some(format!(
                    "{place}: exists and holds nothing of this torrent: move it away, or choose another --output"
                ))
            }
            Outcome::GaveUp => Some(text::nobody(self.cli.give_up.unwrap_or_default(), efforts)),
        }
    }

    fn say_end(&self, torrents: &Torrents, status: &Status, view: &View, took: Duration, outcome: Outcome) {
        let mut console = self.console.lock();
        if self.cli.json {
            console.answer(&json::summary(status, torrents, took, Exit::from(outcome).code()).end());
        } else if !self.cli.quiet {
            for (index, (torrent, state)) in torrents.iter().zip(&status.torrents).enumerate() {
                // Nothing of it is there, and the same command would not go on.
                if outcome == (Outcome::Occupied { torrent: state.torrent }) {
                    continue;
                }
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

    /// Looks at the files of all torrents, each of which may keep so many open.
    fn open(&self, torrents: &Torrents, open_files: usize) -> Result<Vec<(Storage, Existing)>, Ended> {
        let is_reserved = self.cli.reserve && self.cli.job != Job::Check;
        let allocate = if is_reserved { Allocate::Full } else { Allocate::Sparse };
        let mut options = Options { allocate, ..Options::default() };
        let open = |torrent: &Torrent| {
            let opened = Storage::open(&self.cli.output, Arc::clone(&torrent.metainfo), &options);
            let (mut storage, existing) = opened
                .map_err(|fault| self.error(&format!("{}: {fault}", torrent.name()), Exit::from(&fault)))?;
            storage.keep_open(open_files);
            // All of them have to fit together.
            options.claimed_bytes += storage.needed_bytes();
            Ok((storage, existing))
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

    /// Files that may not be written to, which nobody minds who only checks.
    fn read_only(&self, torrent: &Torrent, storage: &mut Storage) -> Result<Option<(Bitfield, i32)>, Ended> {
        if self.cli.job == Job::Check {
            return Ok(None);
        }
        storage
            .read_only()
            .map_err(|fault| self.error(&format!("{}: {fault}", torrent.name()), Exit::from(&fault)))
    }

    fn say_start(&self, torrents: &Torrents) {
        for (number, torrent) in torrents.iter().enumerate() {
            if self.cli.json {
                self.console.lock().answer(&json::torrent(number as u32, torrent).end());
            } else {
                self.news(Level::Info, &text::torrent::start(torrent));
            }
            for what in &torrent.metainfo.cleaned {
                self.news(Level::Info, &format!("{}: {}", torrent.name(), text::clean(what.as_bytes())));
            }
        }
    }

    /// Says which torrents have nobody to ask for peers. Those that are complete need none.
    fn say_lonely(&self, torrents: &Torrents, status: &Status, port: u16) {
        if !self.cli.peers.is_empty() || self.cli.job == Job::Check {
            return;
        }
        let line = match port {
            0 => "it names no tracker, and nobody can connect to us: give --peer",
            _ => "it names no tracker: give --peer, or wait for peers that connect",
        };
        let lacking = torrents.iter().zip(&status.torrents).filter(|(_, state)| !state.phase.is_complete());
        for (torrent, _) in lacking.filter(|(torrent, _)| torrent.metainfo.tiers.is_empty()) {
            self.news(Level::Warn, &format!("{}: {line}", torrent.name()));
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
            if let Err(error) = place.exists() {
                self.news(Level::Warn, &network::missing_words(place, &error));
                return 0;
            }
        }
        if routes.is_hidden() {
            return 0;
        }
        let wish = Listen { ports: self.cli.ports.clone(), bind: self.cli.bind.clone() };
        rim.listen(&wish).unwrap_or_else(|error| {
            self.news(Level::Warn, &network::unheard_words(&wish, &error));
            0
        })
    }

    fn settings(&self, port: u16, torrents: &Torrents, peers_max: u32) -> Settings {
        let shares = self.shares(torrents);
        Settings {
            memory_bytes: shares.block_bytes,
            max_peers: shares.max_peers.min(peers_max),
            port,
            peers: self.cli.peers.clone(),
            give_up: self.cli.give_up,
            check_only: self.cli.job == Job::Check,
        }
    }

    /// The most peers that the process may have descriptors for.
    fn descriptors(&self, limit: u64, torrents: &Torrents) -> Result<u32, Ended> {
        if self.cli.job == Job::Check {
            return Ok(u32::MAX);
        }
        let peers = descriptors::peers(limit, torrents.len()).ok_or_else(|| {
            let needed = descriptors::LEAST + 2;
            let line = format!("ulimit -n allows {limit} open files: {needed} are the least, 256 are better");
            self.error(&line, Exit::IoError)
        })?;
        if peers < self.cli.max_peers.unwrap_or(limits::PEERS_DEFAULT) {
            let line = format!("at most {peers} peers at a time: ulimit -n allows {limit} open files");
            self.news(Level::Warn, &line);
        }
        Ok(peers)
    }

    /// Shares the memory out, and says what does not fit.
    fn shares(&self, torrents: &Torrents) -> Shares {
        let tables = torrents.iter().map(|torrent| Tables::of(&torrent.metainfo));
        let shares = memory::share(self.cli.memory_mib, self.cli.max_peers, tables);
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
