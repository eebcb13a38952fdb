"""Block devices out of files, with any file system on them and as slow as wished. Needs root."""

import contextlib
import errno
import os
import shutil
import subprocess

MIB = 1 << 20
BLKIO = "/sys/fs/cgroup/blkio"
MAKERS = {"ext4": "e2fsprogs", "xfs": "xfsprogs", "btrfs": "btrfs-progs", "vfat": "dosfstools", "exfat": "exfatprogs"}
MAKER_OPTIONS = {
    "ext4": ["-q", "-m", "0", "-E", "lazy_itable_init=0,lazy_journal_init=0"],
    "xfs": ["-q"],
    "btrfs": ["-q"],
}


class Missing(Exception):
    """This kernel cannot do it; the text says what it lacks."""


def run(*command):
    """Runs a program of the system; its output."""
    answer = subprocess.run(command, capture_output=True, text=True)
    if answer.returncode:
        raise RuntimeError(f"{' '.join(command)}: {answer.stderr.strip()}")
    return answer.stdout.strip()


def knows(kind):
    """Whether the kernel has this file system, loading it if it is a module."""
    subprocess.run(["modprobe", "-q", kind], stderr=subprocess.DEVNULL)
    with open("/proc/filesystems") as file:
        return kind in file.read().split()


def make(kind, target):
    """Makes a file system of this kind."""
    if not knows(kind):
        raise Missing(f"this kernel has no {kind}")
    if not shutil.which(f"mkfs.{kind}"):
        raise RuntimeError(f"mkfs.{kind} is missing; install it with: apt-get install -y {MAKERS[kind]}")
    command = (f"mkfs.{kind}", *MAKER_OPTIONS.get(kind, []), target)
    try:
        run(*command)
    except RuntimeError as error:
        if os.strerror(errno.ENOTCONN) not in str(error):
            raise
        let_go_of_the_dead()
        run(*command)


def let_go_of_the_dead():
    """Unmounts what is on loop devices whose file was on a FUSE file system that is gone, as a test that was killed leaves
    it behind: mkfs.btrfs looks at what every mounted loop device is made of, and gives up at the first such one."""
    with open("/proc/self/mounts") as file:
        mounts = [line.split()[:2] for line in file]
    for device, folder in mounts:
        backing = f"/sys/block/{os.path.basename(device)}/loop/backing_file"
        if not device.startswith("/dev/loop") or not os.path.exists(backing):
            continue
        try:
            with open(backing) as file:
                os.stat(file.read().strip())
        except OSError as error:
            if error.errno == errno.ENOTCONN:
                run("umount", "-l", folder)


@contextlib.contextmanager
def loop(image, direct=True):
    """A loop device over the file `image`, past the page cache where that can be."""
    for option in (["--direct-io=on"], []) if direct else ([],):
        answer = subprocess.run(["losetup", "-f", "--show", *option, image], capture_output=True, text=True)
        if answer.returncode == 0:
            break
    else:
        raise Missing(f"no loop device: {answer.stderr.strip()}")
    device = answer.stdout.strip()
    try:
        yield device
    finally:
        run("losetup", "-d", device)


@contextlib.contextmanager
def mounted(folder, *arguments):
    """`mount ARGUMENTS folder`, on a folder that is made."""
    os.makedirs(folder, exist_ok=True)
    try:
        run("mount", *arguments, folder)
    except RuntimeError as error:
        raise Missing(str(error)) from None
    try:
        yield folder
    finally:
        run("umount", folder)


@contextlib.contextmanager
def disk(kind, work, size):
    """A fresh file system of this kind on a device of its own; gives the device and the folder."""
    image = os.path.join(work, f"{kind}.image")
    with open(image, "wb") as file:
        file.truncate(size)
    try:
        make(kind, image)
        with loop(image) as device, mounted(os.path.join(work, kind), "-t", kind, device) as folder:
            yield device, folder
    finally:
        os.unlink(image)


def number(device):
    """Its major and minor number, as 7:0."""
    with open(f"/sys/block/{os.path.basename(device)}/dev") as file:
        return file.read().strip()


@contextlib.contextmanager
def throttled(device, bytes_per_s):
    """Lets a device read and write so much in a second. Write-back belongs to nobody's group, so the limit is that of
    the root of the blkio controller (cgroup v1)."""
    files = [f"{BLKIO}/blkio.throttle.{way}_bps_device" for way in ("read", "write")]
    if not all(os.path.exists(path) for path in files):
        raise Missing(f"{BLKIO} has no throttle: mount -t cgroup -o blkio none {BLKIO}")

    def limit(figure):
        for path in files:
            with open(path, "w") as file:
                file.write(f"{number(device)} {figure}")

    limit(int(bytes_per_s))
    try:
        yield
    finally:
        limit(0)


def written_bytes(device):
    """Bytes that were written to the device so far."""
    with open(f"/sys/block/{os.path.basename(device)}/stat") as file:
        return int(file.read().split()[6]) * 512


def drop_caches():
    """Forgets what was read, so that it has to be read again."""
    os.sync()
    with open("/proc/sys/vm/drop_caches", "w") as file:
        file.write("3")
