//! What the rim drives and what it stores into, as traits with one implementation each in the product: the
//! loop can be tested with a machine that follows a script and files that fail when told to.

use crate::base::{Instant, StreamId, TorrentId};
use crate::resume::{Stamp, Wall};
use crate::rim::storage::{Done, SendError, Storage, Synced, Syncer, Task};
use crate::session::{Action, Event, FileBytes, Landing, Report, Session, StorageFault, StoreId, StoreView};
use std::io;
use std::net::SocketAddr;
use std::os::fd::BorrowedFd;

/// The pure core as the rim sees it. Each method is documented at [`Session`]'s of the same name.
#[expect(missing_docs, reason = "the documentation is Session's")]
pub trait Machine {
    fn handle(&mut self, now: Instant, event: Event<'_>);
    fn next_action(&mut self) -> Option<Action>;
    fn next_deadline(&self) -> Option<Instant>;
    fn on_time(&mut self, now: Instant);
    fn work(&mut self, now: Instant, budget_bytes: usize) -> bool;
    fn landing(&mut self, stream: StreamId) -> Landing<'_>;
    fn received(&mut self, now: Instant, stream: StreamId, bytes: &[u8]);
    fn landed(&mut self, now: Instant, stream: StreamId, count: usize);
    fn outgoing(&self, stream: StreamId) -> &[u8];
    fn sent(&mut self, now: Instant, stream: StreamId, count: usize);
    fn store(&self, torrent: TorrentId, store: StoreId) -> Option<StoreView<'_>>;

    fn accept(&mut self, _now: Instant, _address: SocketAddr) -> Option<StreamId> {
        None
    }

    fn allowance(&mut self, _now: Instant, _stream: StreamId) -> usize {
        usize::MAX
    }

    fn awaits_load(&self, _torrent: TorrentId) -> bool {
        true
    }

    fn file_bytes(&mut self, _now: Instant, _stream: StreamId) -> Option<FileBytes> {
        None
    }

    fn sent_file(&mut self, _now: Instant, _stream: StreamId, _count: usize) {}

    fn file_waits(&mut self, _now: Instant, _stream: StreamId) {}

    fn file_failed(&mut self, _now: Instant, _stream: StreamId, _fault: StorageFault) {}

    fn state(&self, _now: Instant, _torrent: TorrentId, _wall: Wall, _stamps: &[Stamp]) -> Vec<u8> {
        Vec::new()
    }
}

impl Machine for Session {
    fn handle(&mut self, now: Instant, event: Event<'_>) {
        Self::handle(self, now, event);
    }

    fn next_action(&mut self) -> Option<Action> {
        Self::next_action(self)
    }

    fn next_deadline(&self) -> Option<Instant> {
        Self::next_deadline(self)
    }

    fn on_time(&mut self, now: Instant) {
        Self::on_time(self, now);
    }

    fn work(&mut self, now: Instant, budget_bytes: usize) -> bool {
        Self::work(self, now, budget_bytes)
    }

    fn landing(&mut self, stream: StreamId) -> Landing<'_> {
        Self::landing(self, stream)
    }

    fn received(&mut self, now: Instant, stream: StreamId, bytes: &[u8]) {
        Self::received(self, now, stream, bytes);
    }

    fn landed(&mut self, now: Instant, stream: StreamId, count: usize) {
        Self::landed(self, now, stream, count);
    }

    fn outgoing(&self, stream: StreamId) -> &[u8] {
        Self::outgoing(self, stream)
    }

    fn sent(&mut self, now: Instant, stream: StreamId, count: usize) {
        Self::sent(self, now, stream, count);
    }

    fn store(&self, torrent: TorrentId, store: StoreId) -> Option<StoreView<'_>> {
        Self::store(self, torrent, store)
    }

    fn accept(&mut self, now: Instant, address: SocketAddr) -> Option<StreamId> {
        Self::accept(self, now, address)
    }

    fn allowance(&mut self, now: Instant, stream: StreamId) -> usize {
        Self::allowance(self, now, stream)
    }

    fn awaits_load(&self, torrent: TorrentId) -> bool {
        Self::awaits_load(self, torrent)
    }

    fn file_bytes(&mut self, now: Instant, stream: StreamId) -> Option<FileBytes> {
        Self::file_bytes(self, now, stream)
    }

    fn sent_file(&mut self, now: Instant, stream: StreamId, count: usize) {
        Self::sent_file(self, now, stream, count);
    }

    fn file_waits(&mut self, now: Instant, stream: StreamId) {
        Self::file_waits(self, now, stream);
    }

    fn file_failed(&mut self, now: Instant, stream: StreamId, fault: StorageFault) {
        Self::file_failed(self, now, stream, fault);
    }

    fn state(&self, now: Instant, torrent: TorrentId, wall: Wall, stamps: &[Stamp]) -> Vec<u8> {
        Self::state(self, now, torrent, wall, stamps)
    }
}

/// The files of one torrent as the loop sees them.
pub trait Files {
    /// Puts some of `parts`, which belong one after the other at `offset` of the torrent, into the files: of what is
    /// behind the first `done` bytes about `most`, and at least one byte. Answers how many are there by then: less than
    /// `done` if those may be lost.
    ///
    /// # Errors
    /// What went wrong, with which file; nothing or only some of the bytes are there.
    fn store(&mut self, offset: u64, parts: &[&[u8]], done: u64, most: u64) -> Result<u64, StorageFault>;

    /// Reads the bytes at `offset` of the torrent; holes and missing files read as zeros.
    ///
    /// # Errors
    /// What went wrong, with which file.
    fn load(&mut self, offset: u64, bytes: &mut [u8]) -> Result<(), StorageFault>;

    /// Reads the same, and writes it again to where it was, so that the next sync brings it to the device.
    ///
    /// # Errors
    /// What went wrong, with which file.
    fn renew(&mut self, offset: u64, bytes: &mut [u8]) -> Result<(), StorageFault>;

    /// True if the file takes the bytes of `parts` behind the first `done` without waiting for a device, as far as can be
    /// told. Some of them may be in it.
    fn takes_bytes(&mut self, _offset: u64, _parts: &[&[u8]], _done: u64) -> bool {
        true
    }

    /// True if the file in which `offset` of the torrent lies has to be made longer before bytes are stored there, which
    /// [`Files::go_on`] does.
    fn grows(&mut self, _offset: u64) -> bool {
        false
    }

    /// True if the bytes at `offset` of the torrent can be read without waiting for a device, as far as can be told. If
    /// not, they are on their way: ask again.
    fn is_at_hand(&mut self, _offset: u64, _length: usize) -> bool {
        true
    }

    /// True if what was to come from the device behind the bytes at `offset`, which are not at hand, is there.
    fn is_passed(&mut self, _offset: u64) -> bool {
        true
    }

    /// Reading goes on at `offset` of the torrent: that is to be on its way.
    fn read_on(&mut self, _offset: u64) {}

    /// Sends some of the `length` bytes at `offset` of the torrent to a socket; how many, at least 1.
    ///
    /// # Errors
    /// The socket's or the file's.
    fn send(&mut self, _offset: u64, _length: usize, _to: BorrowedFd<'_>) -> Result<usize, SendError> {
        Err(SendError::Socket(io::ErrorKind::Unsupported.into()))
    }

    /// Adds something that takes the device's time to what is to be done.
    fn begin(&mut self, task: Task);

    /// Goes on with that, a bounded step that waits for nothing; what is over, if anything is. Called in every turn.
    fn go_on(&mut self, torrent: TorrentId, syncer: &mut Syncer) -> Option<Done>;

    /// A sync that `go_on` began is done.
    fn synced(&mut self, _answer: Synced) {}

    /// True if `go_on` has something to do that waits for no sync.
    fn is_busy(&self) -> bool {
        false
    }

    /// True if `go_on` is to be called a tick of the kernel's clock later, whatever happens.
    fn awaits_beat(&self) -> bool {
        false
    }

    /// How each file was when it was last synced, or at the start.
    fn stamps(&self) -> &[Stamp] {
        &[]
    }

    /// Removes the resume state.
    fn forget_state(&mut self) {}

    /// Told the time about once a second while the loop turns: what nobody used for a while may be closed.
    fn tick(&mut self, now: Instant);
}

impl Files for Storage {
    fn store(&mut self, offset: u64, parts: &[&[u8]], done: u64, most: u64) -> Result<u64, StorageFault> {
        Self::store(self, offset, parts, done, most)
    }

    fn load(&mut self, offset: u64, bytes: &mut [u8]) -> Result<(), StorageFault> {
        Self::load(self, offset, bytes)
    }

    fn renew(&mut self, offset: u64, bytes: &mut [u8]) -> Result<(), StorageFault> {
        Self::renew(self, offset, bytes)
    }

    fn takes_bytes(&mut self, offset: u64, parts: &[&[u8]], done: u64) -> bool {
        Self::takes_bytes(self, offset, parts, done)
    }

    fn grows(&mut self, offset: u64) -> bool {
        Self::grows(self, offset)
    }

    fn is_at_hand(&mut self, offset: u64, length: usize) -> bool {
        Self::is_at_hand(self, offset, length)
    }

    fn is_passed(&mut self, offset: u64) -> bool {
        Self::is_passed(self, offset)
    }

    fn read_on(&mut self, offset: u64) {
        Self::read_on(self, offset);
    }

    fn send(&mut self, offset: u64, length: usize, to: BorrowedFd<'_>) -> Result<usize, SendError> {
        Self::send(self, offset, length, to)
    }

    fn begin(&mut self, task: Task) {
        Self::begin(self, task);
    }

    fn go_on(&mut self, torrent: TorrentId, syncer: &mut Syncer) -> Option<Done> {
        Self::go_on(self, torrent, syncer)
    }

    fn synced(&mut self, answer: Synced) {
        Self::synced(self, answer);
    }

    fn is_busy(&self) -> bool {
        Self::is_busy(self)
    }

    fn awaits_beat(&self) -> bool {
        Self::awaits_beat(self)
    }

    fn stamps(&self) -> &[Stamp] {
        Self::stamps(self)
    }

    fn forget_state(&mut self) {
        Self::forget_state(self);
    }

    fn tick(&mut self, now: Instant) {
        Self::tick(self, now);
    }
}

/// Where the user sees what happens. `M` is the machine whose state is shown.
pub trait Screen<M = Session> {
    /// Shows an answer or news.
    fn say(&mut self, now: Instant, report: &Report);

    /// Shows why a typed line is no command; one line, no full stop, control characters escaped.
    fn command_fault(&mut self, now: Instant, text: &str);

    /// Draws the progress if that is due, and answers when to be called again at the latest; `None` if there
    /// is nothing to draw until something happens. Called at the end of each turn: cheap when nothing is due.
    fn refresh(&mut self, now: Instant, machine: &M) -> Option<Instant>;

    /// The terminal has another size, or another program wrote on it while we were stopped: ask for its size
    /// and draw everything again.
    fn resized(&mut self);
}
