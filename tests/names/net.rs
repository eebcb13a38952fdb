//! Two machines with a cable between them, as network namespaces that end with the test: *near*, where swarmlet runs,
//! and *far*, where name servers, the tracker and the seeder are. Making them takes root.

use std::fs;
use std::io;
use std::path::Path;
use std::process::Command;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

/// The far end's addresses. It has many more of both families, [`FAR_MANY`].
pub const FAR_V4: &str = "10.99.0.1";
pub const FAR_V6: &str = "fd99::1";
/// Addresses that lead to the far end, which passes nothing on and does not say so.
pub const SILENT_V4: &str = "10.98.0.1";
pub const SILENT_V6: &str = "fd98::1";
/// Addresses 10.99.1.1 up to this; that many fit into no datagram of a name server.
pub const FAR_MANY: u8 = 60;

/// What is wanted of the near end.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Families {
    Both,
    V4,
    V6,
}

type Job = Box<dyn FnOnce() + Send>;

/// The far end: a thread that lives there. What it starts, processes and threads alike, lives there as well.
pub struct Far {
    jobs: Sender<Job>,
}

impl Far {
    /// Does something there.
    pub fn run<T: Send + 'static>(&self, job: impl FnOnce() -> T + Send + 'static) -> T {
        let (sender, receiver) = channel();
        self.jobs.send(Box::new(move || drop(sender.send(job())))).unwrap();
        receiver.recv().expect("the far end does its job")
    }
}

/// Runs a test at the near end of a new cable.
pub fn with_cable(families: Families, test: impl FnOnce(&Far) + Send + 'static) {
    // SAFETY: a plain number.
    let is_root = unsafe { libc::geteuid() } == 0;
    assert!(
        is_root,
        "these tests make network namespaces: run them as root (sudo -E env PATH=\"$PATH\" cargo test)"
    );
    // A thread of its own: the namespace is the thread's, and libtest may use this one again.
    let near = thread::spawn(move || {
        leave(libc::CLONE_NEWNET | libc::CLONE_NEWNS);
        let (jobs, todo) = channel::<Job>();
        let (hello, tid) = channel();
        let far = thread::spawn(move || live_far(&hello, &todo));
        let tid = tid.recv().unwrap();
        let ends = Far { jobs };
        lay_cable(families, tid, &ends);
        test(&ends);
        drop(ends);
        far.join().unwrap();
    });
    if let Err(panic) = near.join() {
        std::panic::resume_unwind(panic);
    }
}

fn live_far(hello: &Sender<i32>, todo: &Receiver<Job>) {
    leave(libc::CLONE_NEWNET);
    // SAFETY: takes nothing and changes nothing.
    hello.send(unsafe { libc::gettid() }).unwrap();
    todo.iter().for_each(|job| job());
}

/// Takes this thread, and what it starts, into new namespaces.
fn leave(flags: libc::c_int) {
    // SAFETY: plain numbers; it concerns this thread alone.
    let answer = unsafe { libc::unshare(flags) };
    assert_eq!(answer, 0, "no new namespaces here: {}", io::Error::last_os_error());
}

fn lay_cable(families: Families, far: i32, ends: &Far) {
    // What is mounted here shall not be seen elsewhere.
    run("mount --make-rprivate /");
    run("ip link set lo up");
    run(&format!("ip link add near type veth peer name far netns {far}"));
    ends.run(|| {
        run("ip link set lo up");
        run("ip link set far up");
        run(&format!("ip address add {FAR_V4}/24 dev far"));
        run(&format!("ip address add {FAR_V6}/64 dev far nodad"));
        (1..=FAR_MANY).for_each(|nth| run(&format!("ip address add 10.99.1.{nth}/32 dev lo")));
    });
    if families == Families::V4 {
        fs::write("/proc/sys/net/ipv6/conf/all/disable_ipv6", "1").unwrap();
    }
    run("ip link set near up");
    if families != Families::V6 {
        run("ip address add 10.99.0.2/24 dev near");
        run("ip address add 10.99.0.3/24 dev near");
        run(&format!("ip route add 10.99.1.0/24 via {FAR_V4}"));
        run(&format!("ip route add {SILENT_V4} via {FAR_V4}"));
    }
    if families != Families::V4 {
        run("ip address add fd99::2/64 dev near nodad");
        run(&format!("ip -6 route add {SILENT_V6} via {FAR_V6}"));
    }
}

/// Puts `path` in the place of the near end's `/etc/resolv.conf`.
pub fn use_name_servers(path: &Path) {
    run(&format!("mount --bind {} /etc/resolv.conf", path.display()));
}

/// Runs a command to its end, which must be a good one.
pub fn run(line: &str) {
    let words: Vec<&str> = line.split(' ').collect();
    match Command::new(words[0]).args(&words[1..]).output() {
        Ok(output) if output.status.success() => {}
        Ok(output) => panic!("{line}: {}", String::from_utf8_lossy(&output.stderr)),
        Err(error) => panic!("{}: {error}; install it with: {INSTALL}", words[0]),
    }
}

/// What installs the commands that these tests use.
pub const INSTALL: &str = "apt-get install -y iproute2 mount dnsmasq-base";
