//! The last line against SIGBUS: the kernel raises it when a page of a map cannot be had (the file was cut short,
//! the disk is full, the device failed). Inside of the window that is being filled it becomes a value, and in the room for
//! large pieces an orderly end.

use std::ops::Range;
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering, compiler_fence};
use std::sync::{Mutex, MutexGuard, Once, PoisonError};

/// First address of the guarded window.
static START: AtomicUsize = AtomicUsize::new(0);
/// First address behind it; equal to the start while nothing is guarded.
static END: AtomicUsize = AtomicUsize::new(0);
/// True once a page of the window could not be had.
static HIT: AtomicBool = AtomicBool::new(false);
/// The room for large pieces: first address and first address behind it; set once, if at all.
static ARENA_START: AtomicUsize = AtomicUsize::new(0);
static ARENA_END: AtomicUsize = AtomicUsize::new(0);
/// What is said when a page of it is gone, and the code of an I/O error.
const ARENA_WORDS: &[u8] =
    b"swarmlet: the output's disk failed or filled up under the room for large pieces beside the output\n";
const ARENA_EXIT: libc::c_int = 1;
/// One window at a time. The loop has one thread, so this never waits there; tests have many.
static TURN: Mutex<()> = Mutex::new(());

/// While it lives, faults inside of the window do not end the process.
pub(super) struct Guard {
    _turn: MutexGuard<'static, ()>,
}

impl Guard {
    /// Guards the addresses `window`. After a fault there is private memory in their place.
    ///
    /// # Safety
    /// They must be whole pages of a map that the caller owns, that outlives the guard, and that is not read from.
    pub(super) unsafe fn new(window: Range<usize>) -> Self {
        install();
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        HIT.store(false, Ordering::Relaxed);
        START.store(window.start, Ordering::Relaxed);
        END.store(window.end, Ordering::Relaxed);
        // The handler runs on this very thread: it is enough that the compiler keeps the order.
        compiler_fence(Ordering::SeqCst);
        Self { _turn: turn }
    }

    /// True if a page could not be had, so that what was copied is lost.
    pub(super) fn hit(&self) -> bool {
        compiler_fence(Ordering::SeqCst);
        HIT.load(Ordering::Relaxed)
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        compiler_fence(Ordering::SeqCst);
        START.store(0, Ordering::Relaxed);
        END.store(0, Ordering::Relaxed);
    }
}

/// From here on a page of the room for large pieces that cannot be had ends the run with a line and a code.
pub(super) fn watch_arena(addresses: Range<usize>) {
    ARENA_START.store(addresses.start, Ordering::Relaxed);
    ARENA_END.store(addresses.end, Ordering::Relaxed);
    install();
}

/// Takes SIGBUS for the whole process, once.
fn install() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // SAFETY: all zero is a valid `sigaction`: no flags, an empty mask, the default action.
        let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
        action.sa_sigaction = on_sigbus as *const () as usize;
        action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
        // SAFETY: `action` is complete, and `on_sigbus` has the prototype that SA_SIGINFO asks for and calls only
        // what a signal handler may.
        unsafe { libc::sigaction(libc::SIGBUS, &raw const action, ptr::null_mut()) };
    });
}

/// Has a write beyond the file-size limit (`ulimit -f`) answer EFBIG instead of ending the process.
pub(super) fn ignore_file_size_signal() {
    // SAFETY: ignoring a signal runs no code of ours.
    unsafe { libc::signal(libc::SIGXFSZ, libc::SIG_IGN) };
}

/// Puts private memory in the place of the window, so that the interrupted copy goes on into nowhere. A fault
/// anywhere else is a bug: the default action is restored, and the faulting instruction runs into it at once.
extern "C" fn on_sigbus(_signal: libc::c_int, info: *mut libc::siginfo_t, _context: *mut libc::c_void) {
    // SAFETY: with SA_SIGINFO the kernel passes a valid pointer, and SIGBUS has an address.
    let address = unsafe { (*info).si_addr() } as usize;
    let (start, end) = (START.load(Ordering::Relaxed), END.load(Ordering::Relaxed));
    if (start..end).contains(&address) && replace(start, end - start) {
        HIT.store(true, Ordering::Relaxed);
        return;
    }
    if (ARENA_START.load(Ordering::Relaxed)..ARENA_END.load(Ordering::Relaxed)).contains(&address) {
        // SAFETY: both are allowed in a handler; the words are static.
        unsafe {
            libc::write(libc::STDERR_FILENO, ARENA_WORDS.as_ptr().cast(), ARENA_WORDS.len());
            libc::_exit(ARENA_EXIT);
        }
    }
    // SAFETY: allowed in a handler; takes numbers only.
    unsafe { libc::signal(libc::SIGBUS, libc::SIG_DFL) };
}

/// Maps private zeros over the given addresses. False if the kernel refuses.
fn replace(start: usize, length: usize) -> bool {
    let access = libc::PROT_READ | libc::PROT_WRITE;
    let flags = libc::MAP_FIXED | libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    // SAFETY: the maker of the guard owns these pages, and they stay mapped and writable. mmap is a bare system call.
    let map = unsafe { libc::mmap(start as *mut libc::c_void, length, access, flags, -1, 0) };
    map != libc::MAP_FAILED
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::process::ExitStatusExt;
    use std::process::Command;

    /// Set in the child of the test below, which is this very test in another process.
    const CHILD: &str = "SWARMLET_TEST_SIGBUS_CHILD";

    #[test]
    fn a_fault_outside_of_the_window_still_ends_the_process() {
        if std::env::var_os(CHILD).is_some() {
            let file = std::fs::File::open("/proc/self/exe").expect("ourselves");
            let beyond = file.metadata().expect("ours").len().next_multiple_of(1 << 16);
            // SAFETY: nobody changes the file of a running program.
            let map =
                unsafe { memmap2::MmapOptions::new().offset(beyond).len(4096).map(&file) }.expect("map");
            // SAFETY: nothing is mapped there, and nothing faults there.
            let _guard = unsafe { Guard::new(0x1000..0x2000) };
            std::hint::black_box(map[0]);
            return;
        }
        let name = "rim::storage::sigbus::tests::a_fault_outside_of_the_window_still_ends_the_process";
        let child = Command::new(std::env::current_exe().expect("ourselves"))
            .args(["--exact", name])
            .env(CHILD, "1")
            .output()
            .expect("started");
        assert_eq!(child.status.signal(), Some(libc::SIGBUS), "{child:?}");
    }
}
