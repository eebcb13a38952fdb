"""What is downloaded: files, their .torrent, the check of what arrived, and fresh file systems to put it on."""

import contextlib
import filecmp
import hashlib
import os
import shutil
import subprocess

MIB = 1 << 20


class Payload:
    """Random bytes in one file or many, with a .torrent."""

    def __init__(self, work, name, size, piece_bytes, announce, files=1, sparse=False):
        self.size = size
        self.piece_bytes = piece_bytes
        self.sparse = sparse
        self.name = name + ("" if files > 1 else ".bin")
        self.data = os.path.join(work, self.name)
        self.torrent = os.path.join(work, f"{name}-{piece_bytes}.torrent")
        self.files = [[self.name]] if files == 1 else [[f"d{i // 100}", f"f{i}"] for i in range(files)]
        self.lengths = lengths(size, files)
        if not os.path.exists(self.data):
            self.write()
        if not os.path.exists(self.torrent):
            self.write_torrent(announce)

    def path(self, nth):
        return self.data if len(self.files) == 1 else os.path.join(self.data, *self.files[nth])

    def write(self):
        for nth, length in enumerate(self.lengths):
            os.makedirs(os.path.dirname(self.path(nth)), exist_ok=True)
            with open(self.path(nth), "wb") as file:
                file.truncate(length)
                while not self.sparse and file.tell() < length:
                    file.write(os.urandom(min(MIB, length - file.tell())))

    def pieces(self):
        """The hashes; pieces go on from file to file."""
        if self.sparse:
            whole, rest = divmod(self.size, self.piece_bytes)
            hashes = hashlib.sha1(bytes(self.piece_bytes)).digest() * whole
            return hashes + (hashlib.sha1(bytes(rest)).digest() if rest else b"")
        hashes, piece, missing = [], hashlib.sha1(), self.piece_bytes
        for nth in range(len(self.files)):
            with open(self.path(nth), "rb") as file:
                while chunk := file.read(missing):
                    piece.update(chunk)
                    missing -= len(chunk)
                    if missing == 0:
                        hashes.append(piece.digest())
                        piece, missing = hashlib.sha1(), self.piece_bytes
        if missing < self.piece_bytes:
            hashes.append(piece.digest())
        return b"".join(hashes)

    def write_torrent(self, announce):
        info = {b"name": self.name, b"piece length": self.piece_bytes, b"pieces": self.pieces()}
        if len(self.files) == 1:
            info[b"length"] = self.size
        else:
            both = zip(self.lengths, self.files)
            info[b"files"] = [{b"length": length, b"path": path} for length, path in both]
        with open(self.torrent, "wb") as file:
            file.write(bencode({b"announce": announce, b"info": info}))

    def same_as(self, folder):
        """Compares what was downloaded, byte for byte."""
        there = os.path.join(folder, self.name)
        if len(self.files) == 1:
            return os.path.exists(there) and filecmp.cmp(self.data, there, shallow=False)
        pairs = [(self.path(nth), os.path.join(there, *names)) for nth, names in enumerate(self.files)]
        return all(os.path.exists(b) and filecmp.cmp(a, b, shallow=False) for a, b in pairs)

    def remove(self):
        if os.path.isdir(self.data):
            shutil.rmtree(self.data)
        else:
            os.unlink(self.data)
        os.unlink(self.torrent)


def lengths(size, files):
    """Lengths from small to ten times the average, the same in every run."""
    weights = [1 + (nth * 7919) % 1000 * ((nth * 31) % 10) for nth in range(files)]
    total = sum(weights)
    shares = [size * weight // total for weight in weights]
    shares[-1] += size - sum(shares)
    return shares


def bencode(value):
    match value:
        case int():
            return b"i%de" % value
        case str():
            return bencode(value.encode())
        case bytes():
            return b"%d:%s" % (len(value), value)
        case list():
            return b"l" + b"".join(map(bencode, value)) + b"e"
        case dict():
            return b"d" + b"".join(bencode(key) + bencode(value[key]) for key in sorted(value)) + b"e"


class Loop:
    """A new ext4 on a loop device."""

    def __init__(self, mount, device):
        self.mount = mount
        self.device = device

    def sync(self):
        subprocess.run(["sync", "-f", self.mount], check=True)

    def written_bytes(self):
        with open(f"/sys/block/{os.path.basename(self.device)}/stat") as stat:
            return int(stat.read().split()[6]) * 512


def can_mount():
    return os.geteuid() == 0 and os.path.exists("/dev/loop-control") and shutil.which("mkfs.ext4")


@contextlib.contextmanager
def loop(work, size):
    """Yields a Loop that has room for `size` bytes; it is gone afterwards."""
    image, mount = os.path.join(work, "loop.img"), os.path.join(work, "loop")
    with open(image, "wb") as file:
        file.truncate(size + size // 8 + 128 * MIB)
    made = subprocess.run(["losetup", "-f", "--show", image], check=True, stdout=subprocess.PIPE, text=True)
    device = made.stdout.strip()
    os.makedirs(mount, exist_ok=True)
    try:
        # All of its own tables at once: writing them later would be counted as the client's.
        lazy = "lazy_itable_init=0,lazy_journal_init=0"
        subprocess.run(["mkfs.ext4", "-q", "-m", "0", "-E", lazy, device], check=True)
        subprocess.run(["mount", "-o", "noatime", device, mount], check=True)
        try:
            yield Loop(mount, device)
        finally:
            subprocess.run(["umount", mount], check=True)
    finally:
        subprocess.run(["losetup", "-d", device], check=True)
        os.unlink(image)
