//! The user's commands: standard input as one more descriptor of the loop, whatever it is.
//!
//! | it is | it is read |
//! |---|---|
//! | a terminal, a pipe | through a nonblocking description of our own |
//! | a socket, or anything while there is no `/proc` | as given, each read guarded by `poll(2)` |
//! | a regular file | from where it stands to its end, a piece a turn; no poll takes it |
//! | `/dev/null`, closed, write-only, a directory | not at all |
//!
//! `O_NONBLOCK` is never set on the given description: the shell that shares it would find it set afterwards.
//! A job in the background leaves its terminal alone and reads on when it comes to the front. The end of
//! input ends the commands, never the download; Ctrl-D on a terminal ends nothing, because more may be typed after it.

use crate::rim::lines::{Line, Lines};
use crate::rim::sys;
use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};
use std::fs::{File, OpenOptions};
use std::io::{self, IsTerminal, Read};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::fs::OpenOptionsExt;

/// Bytes read in one turn: commands are short, and a piped file of them keeps no peer waiting.
const TURN_BYTES: usize = 4 << 10;

/// How bytes are got.
#[derive(Debug)]
enum Source {
    /// From a nonblocking description of our own.
    Own(File),
    /// From the description that others share and that may block.
    Shared(File),
    /// From a regular file.
    Regular(File),
    /// Not any more.
    Ended,
}

/// Standard input.
#[derive(Debug)]
pub struct Stdin {
    source: Source,
    terminal: bool,
    /// There may be bytes: the poll reports them once, so this stays true until a read finds none.
    unread: bool,
    lines: Lines,
}

impl Stdin {
    /// Takes `fd` as the source of commands. One that cannot be read or polled is at its end.
    pub fn open(fd: BorrowedFd<'_>, registry: &Registry, token: Token) -> Self {
        let source = match source_of(fd) {
            Source::Own(file) | Source::Shared(file) if !registered(&file, registry, token) => Source::Ended,
            source => source,
        };
        Self { source, terminal: fd.is_terminal(), unread: true, lines: Lines::default() }
    }

    /// The poll says that there is something to read.
    pub fn on_event(&mut self) {
        self.unread = true;
    }

    /// True if [`Stdin::read`] would do something without waiting for the poll.
    pub fn is_ready(&self) -> bool {
        self.unread && !matches!(self.source, Source::Ended) && !self.is_in_background()
    }

    /// Reads once, at most 4 KiB; never blocks. [`Stdin::next_line`] then has the lines.
    pub fn read(&mut self, registry: &Registry) {
        if !self.is_ready() {
            return;
        }
        let mut bytes = [0; TURN_BYTES];
        let result = match &mut self.source {
            Source::Shared(file) if !sys::is_readable(file.as_fd()) => Err(io::ErrorKind::WouldBlock.into()),
            Source::Own(file) | Source::Shared(file) | Source::Regular(file) => file.read(&mut bytes),
            Source::Ended => return,
        };
        match result {
            Ok(0) => self.on_end(registry),
            Ok(count) => self.lines.push(&bytes[..count]),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.unread = false,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            // Sent to the background since we looked: SIGTTIN is ignored, so the read fails instead (EIO).
            Err(_) if self.is_in_background() => {}
            Err(_) => self.end(registry),
        }
    }

    /// The next line that has been read.
    pub fn next_line(&mut self) -> Option<Line> {
        let ended = matches!(self.source, Source::Ended);
        self.lines.next().or_else(|| if ended { self.lines.finish() } else { None })
    }

    fn is_in_background(&self) -> bool {
        match &self.source {
            Source::Own(file) | Source::Shared(file) => self.terminal && sys::is_in_background(file.as_fd()),
            Source::Regular(_) | Source::Ended => false,
        }
    }

    /// A terminal has an end for each Ctrl-D, and goes on until it hangs up.
    fn on_end(&mut self, registry: &Registry) {
        match &self.source {
            Source::Own(file) | Source::Shared(file) if self.terminal && !sys::is_hung_up(file.as_fd()) => {
                self.unread = sys::is_readable(file.as_fd());
            }
            _ => self.end(registry),
        }
    }

    /// Takes no more. A shared description outlives our descriptor, so the poll has to be told.
    fn end(&mut self, registry: &Registry) {
        if let Source::Own(file) | Source::Shared(file) = core::mem::replace(&mut self.source, Source::Ended)
        {
            let _ = registry.deregister(&mut SourceFd(&file.as_raw_fd()));
        }
    }
}

/// The best way to read `fd`.
fn source_of(fd: BorrowedFd<'_>) -> Source {
    if !sys::is_open_for_reading(fd) {
        return Source::Ended;
    }
    let Ok(shared) = fd.try_clone_to_owned().map(File::from) else { return Source::Ended };
    if shared.metadata().is_ok_and(|metadata| metadata.is_file()) {
        return Source::Regular(shared);
    }
    let flags = libc::O_NONBLOCK | libc::O_NOCTTY;
    let path = format!("/proc/self/fd/{}", fd.as_raw_fd());
    match OpenOptions::new().read(true).custom_flags(flags).open(path) {
        Ok(own) => Source::Own(own),
        Err(_) => Source::Shared(shared),
    }
}

/// Puts `file` on the poll. False if the poll does not take such files (EPERM), as it does not take
/// `/dev/null`.
fn registered(file: &File, registry: &Registry, token: Token) -> bool {
    registry.register(&mut SourceFd(&file.as_raw_fd()), token, Interest::READABLE).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::limits::COMMAND_BYTES_MAX;
    use core::time::Duration;
    use mio::{Events, Poll};
    use std::io::Write;
    use std::os::fd::{FromRawFd, OwnedFd};
    use std::os::unix::net::UnixStream;

    const TOKEN: Token = Token(7);

    struct Bench {
        poll: Poll,
        stdin: Stdin,
    }

    impl Bench {
        fn new(fd: &impl AsFd) -> Self {
            let poll = Poll::new().unwrap();
            let stdin = Stdin::open(fd.as_fd(), poll.registry(), TOKEN);
            Self { poll, stdin }
        }

        /// The lines of one turn, which sleeps at most 50 ms.
        fn turn(&mut self) -> Vec<String> {
            let timeout = if self.stdin.is_ready() { 0 } else { 50 };
            let mut events = Events::with_capacity(8);
            self.poll.poll(&mut events, Some(Duration::from_millis(timeout))).unwrap();
            if !events.is_empty() {
                self.stdin.on_event();
            }
            self.stdin.read(self.poll.registry());
            core::iter::from_fn(|| self.stdin.next_line()).map(|line| format!("{line:?}")).collect()
        }

        /// The lines until nothing comes for two turns.
        fn lines(&mut self) -> Vec<String> {
            let (mut all, mut quiet) = (Vec::new(), 0);
            while quiet < 2 {
                let new = self.turn();
                quiet = if new.is_empty() && !self.stdin.is_ready() { quiet + 1 } else { 0 };
                all.extend(new);
            }
            all
        }

        fn has_ended(&self) -> bool {
            matches!(self.stdin.source, Source::Ended)
        }
    }

    const STATUS: &str = r#"Text("status")"#;
    const QUIT: &str = r#"Text("quit")"#;

    fn file_of(bytes: &[u8]) -> File {
        // SAFETY: the name ends in NUL; the new descriptor is nobody else's.
        let mut file = unsafe { File::from_raw_fd(libc::memfd_create(c"commands".as_ptr(), 0)) };
        file.write_all(bytes).unwrap();
        io::Seek::rewind(&mut file).unwrap();
        file
    }

    fn pseudo_terminal() -> (File, OwnedFd) {
        let (mut master, mut slave) = (0, 0);
        let null = core::ptr::null_mut();
        // SAFETY: two exclusive places for numbers; nulls ask for no name and for defaults.
        assert_eq!(unsafe { libc::openpty(&mut master, &mut slave, null, null.cast(), null.cast()) }, 0);
        // SAFETY: both are new and ours alone.
        unsafe { (File::from_raw_fd(master), OwnedFd::from_raw_fd(slave)) }
    }

    #[test]
    fn a_pipe_is_read_as_it_comes_and_its_end_ends_the_commands() {
        let (reader, mut writer) = io::pipe().unwrap();
        let mut bench = Bench::new(&reader);
        assert_eq!(bench.lines(), [""; 0]);
        writer.write_all(b"status\nqu").unwrap();
        assert_eq!(bench.lines(), [STATUS]);
        writer.write_all(b"it").unwrap();
        drop(writer);
        assert_eq!(bench.lines(), [QUIT], "a last line needs no end");
        assert!(bench.has_ended() && !bench.stdin.is_ready());
    }

    #[test]
    fn the_given_description_stays_blocking() {
        let (reader, _writer) = io::pipe().unwrap();
        let bench = Bench::new(&reader);
        assert!(matches!(bench.stdin.source, Source::Own(_)));
        // SAFETY: `F_GETFL` takes no pointer.
        assert_eq!(unsafe { libc::fcntl(reader.as_raw_fd(), libc::F_GETFL) } & libc::O_NONBLOCK, 0);
    }

    #[test]
    fn a_socket_is_read_without_blocking_and_left_alone_after_its_end() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let mut bench = Bench::new(&ours);
        assert!(matches!(bench.stdin.source, Source::Shared(_)));
        assert_eq!(bench.lines(), [""; 0], "returns although nothing is there");
        theirs.write_all(&[b'\n'; TURN_BYTES]).unwrap();
        theirs.write_all(b"status\n").unwrap();
        assert_eq!(bench.lines().last().map(String::as_str), Some(STATUS), "more than one read");
        drop(theirs);
        assert_eq!(bench.lines(), [""; 0]);
        assert!(bench.has_ended());
        let mut events = Events::with_capacity(8);
        bench.poll.poll(&mut events, Some(Duration::ZERO)).unwrap();
        assert!(events.is_empty(), "the poll has forgotten it");
    }

    #[test]
    fn a_regular_file_is_read_from_where_it_stands_in_pieces() {
        let text = [&b"skipped\n"[..], &[b'\n'; 2 * TURN_BYTES], b"status\nquit"].concat();
        let mut file = file_of(&text);
        io::Seek::seek(&mut file, io::SeekFrom::Start(8)).unwrap();
        let mut bench = Bench::new(&file);
        assert_eq!(bench.turn().len(), TURN_BYTES, "the first piece and no more");
        let lines = bench.lines();
        assert_eq!(
            (lines.len(), &lines[lines.len() - 2..]),
            (TURN_BYTES + 2, &[STATUS.into(), QUIT.into()][..])
        );
        assert!(bench.has_ended());
    }

    #[test]
    fn what_gives_no_commands_ends_at_once() {
        let write_only = OpenOptions::new().write(true).open("/dev/null").unwrap();
        let (_reader, writer) = io::pipe().unwrap();
        let sources: [&dyn AsFd; 4] =
            [&File::open("/dev/null").unwrap(), &File::open("/").unwrap(), &write_only, &writer];
        for (nth, source) in sources.iter().enumerate() {
            let mut bench = Bench::new(source);
            assert_eq!(bench.lines(), [""; 0]);
            assert!(bench.has_ended() && !bench.stdin.is_ready(), "source {nth}");
        }
        let mut bench = Bench::new(&file_of(b""));
        assert_eq!(bench.lines(), [""; 0]);
        assert!(bench.has_ended());
    }

    #[test]
    fn a_terminal_gives_lines_until_it_hangs_up() {
        let (mut master, slave) = pseudo_terminal();
        let mut bench = Bench::new(&slave);
        assert!(bench.stdin.terminal);
        master.write_all(b"status\nqu").unwrap();
        assert_eq!(bench.lines(), [STATUS]);
        master.write_all(b"it\n\x04").unwrap();
        assert_eq!(bench.lines(), [QUIT], "then Ctrl-D");
        assert!(!bench.has_ended() && !bench.stdin.is_ready(), "it sleeps until more is typed");
        master.write_all(b"\x04\x04status\n").unwrap();
        assert_eq!(bench.lines(), [STATUS]);

        drop(master);
        assert_eq!(bench.lines(), [""; 0]);
        assert!(bench.has_ended(), "hung up");
    }

    #[test]
    fn an_endless_line_takes_neither_memory_nor_the_whole_turn() {
        let (reader, mut writer) = io::pipe().unwrap();
        let mut bench = Bench::new(&reader);
        let mut faults = 0;
        for _ in 0..4 * COMMAND_BYTES_MAX / 1000 {
            writer.write_all(&[b'x'; 1000]).unwrap();
            faults += bench.turn().len();
        }
        assert_eq!(faults, 1);
        writer.write_all(b"\nstatus\n").unwrap();
        assert_eq!(bench.lines(), [STATUS]);
    }
}
