"""A file system in memory that fails as told: a small FUSE server, spoken straight through /dev/fuse. Needs root.

`fuse.py FOLDER CONTROL` mounts it on FOLDER and serves until it is unmounted or its stdin is closed. The file CONTROL holds
words, read again whenever it changes:

    write=EIO read=EIO fsync=ENOSPC fallocate=EDQUOT open=EROFS   answer these calls with that error
    nomap          shared maps are refused (direct I/O)
    room=BYTES     no more than this for all files; then ENOSPC, or what `full=EDQUOT` says
    skip=BYTES     files are whole for so many bytes; reads and writes behind that fail, not those before
    sleep=SECONDS  every read and write takes so long
    nospace        the free space is not told
    log            what is made, written, synced and renamed is put down in CONTROL.log, a line each, in order

It prints `ready` when it is mounted.
"""

import ctypes
import errno
import os
import stat
import struct
import sys
import threading
import time

MAX_WRITE = 1 << 20
LIBC = ctypes.CDLL(None, use_errno=True)
IN_HEAD = struct.Struct("<IIQQIIII")
ATTRIBUTES = struct.Struct("<QQQQQQIIIIIIIIII")
ROOT = 1

LOOKUP, FORGET, GETATTR, SETATTR, MKNOD, MKDIR, UNLINK, RMDIR, RENAME = 1, 2, 3, 4, 8, 9, 10, 11, 12
OPEN, READ, WRITE, STATFS, RELEASE, FSYNC, FLUSH, INIT = 14, 15, 16, 17, 18, 20, 25, 26
OPENDIR, READDIR, RELEASEDIR, FSYNCDIR, ACCESS, CREATE, INTERRUPT, DESTROY = 27, 28, 29, 30, 34, 35, 36, 38
BATCH_FORGET, FALLOCATE, RENAME2, LSEEK, SYNCFS = 42, 43, 45, 46, 50
CALLS = {READ: "read", WRITE: "write", FSYNC: "fsync", FALLOCATE: "fallocate", OPEN: "open", CREATE: "open"}
CALLS |= {SETATTR: "setattr", MKDIR: "mkdir", LOOKUP: "lookup", SYNCFS: "fsync", FLUSH: "flush"}
SILENT = (FORGET, BATCH_FORGET, INTERRUPT)


class Fault(Exception):
    """An error number for the caller."""


def fault(number):
    return Fault(number)


class Node:
    """A file or a directory."""

    def __init__(self, mode):
        self.mode = mode
        self.data = bytearray()
        self.children = {}
        self.reserved = 0
        self.links = 1
        self.mtime = time.time()

    @property
    def is_dir(self):
        return stat.S_ISDIR(self.mode)

    @property
    def taken(self):
        return max(len(self.data), self.reserved)


class Control:
    """The words of the control file."""

    def __init__(self, path):
        self.path = path
        self.seen = None
        self.words = {}

    def get(self, key, default=None):
        state = os.stat(self.path)
        seen = (state.st_mtime_ns, state.st_size)
        if seen != self.seen:
            self.seen = seen
            with open(self.path) as file:
                pairs = (word.partition("=") for word in file.read().split())
                self.words = {name: value for name, _, value in pairs}
        return self.words.get(key, default)

    def check(self, call):
        if name := self.get(call):
            raise fault(getattr(errno, name))


class Server:
    def __init__(self, fd, control):
        self.fd = fd
        self.control = control
        self.nodes = {ROOT: Node(stat.S_IFDIR | 0o755)}
        self.next = ROOT + 1
        self.calls = {
            LOOKUP: self.lookup,
            GETATTR: lambda node, _: self.attributes_out(node),
            SETATTR: self.setattr,
            MKDIR: lambda node, body: self.make(node, body[8:], stat.S_IFDIR | struct.unpack_from("<I", body)[0]),
            MKNOD: lambda node, body: self.make(node, body[16:], struct.unpack_from("<I", body)[0]),
            CREATE: self.create,
            UNLINK: self.unlink,
            RMDIR: self.unlink,
            RENAME: lambda node, body: self.rename(node, body, 8),
            RENAME2: lambda node, body: self.rename(node, body, 16),
            OPEN: self.open,
            OPENDIR: lambda node, _: struct.pack("<QII", 0, 0, 0),
            READ: self.read,
            WRITE: self.write,
            READDIR: self.readdir,
            STATFS: self.statfs,
            FALLOCATE: self.fallocate,
            INIT: self.init,
        }

    def serve(self):
        while True:
            try:
                request = os.read(self.fd, MAX_WRITE + 65536)
            except OSError as error:
                if error.errno in (errno.EINTR, errno.EAGAIN, errno.ENOENT):
                    continue
                return
            length, opcode, unique, node, *_ = IN_HEAD.unpack_from(request)
            if opcode in SILENT:
                continue
            if opcode == DESTROY:
                return
            body = memoryview(request)[IN_HEAD.size : length]
            self.answer(opcode, unique, node, body)

    def is_whole(self, opcode, body):
        """True for a read or write of the bytes that never fail."""
        whole = int(self.control.get("skip", 0)) if opcode in (READ, WRITE) else 0
        return whole > 0 and struct.unpack_from("<QQ", body)[1] < whole

    def answer(self, opcode, unique, node, body):
        number, out = 0, b""
        try:
            if opcode in CALLS and not self.is_whole(opcode, body):
                self.control.check(CALLS[opcode])
            call = self.calls.get(opcode)
            if call:
                out = call(node, body)
            elif opcode in (FSYNC, FSYNCDIR):
                self.log("sync", node)
            elif opcode not in (FLUSH, RELEASE, RELEASEDIR, ACCESS, SYNCFS):
                raise fault(errno.ENOSYS)
        except Fault as why:
            number, out = -why.args[0], b""
        except Exception as bug:
            print(f"fuse.py: call {opcode}: {bug!r}", file=sys.stderr, flush=True)
            number, out = -errno.EIO, b""
        try:
            os.writev(self.fd, [struct.pack("<IiQ", 16 + len(out), number, unique), out])
        except OSError:
            pass

    def log(self, *words):
        if self.control.get("log") is not None:
            with open(self.control.path + ".log", "a") as file:
                print(*words, file=file)

    def init(self, _, body):
        major, minor, readahead, _ = struct.unpack_from("<IIII", body)
        flags = (1 << 5) | (1 << 22)  # big writes, as many pages as MAX_WRITE has
        head = struct.pack("<IIIIHHIIHHI", 7, min(minor, 31), readahead, flags, 16, 12, MAX_WRITE, 1, MAX_WRITE >> 12, 0, 0)
        return head + bytes(64 - len(head))

    def attributes(self, number):
        node = self.node(number)
        when, size = int(node.mtime), len(node.data)
        blocks = (node.taken + 511) // 512
        nanos = int((node.mtime - when) * 1e9)
        return ATTRIBUTES.pack(
            number, size, blocks, when, when, when, nanos, nanos, nanos, node.mode, node.links, 0, 0, 0, 4096, 0
        )

    def attributes_out(self, number):
        return struct.pack("<QII", 0, 0, 0) + self.attributes(number)

    def entry(self, number):
        return struct.pack("<QQQQII", number, 1, 0, 0, 0, 0) + self.attributes(number)

    def node(self, number):
        if number not in self.nodes:
            raise fault(errno.ENOENT)
        return self.nodes[number]

    def lookup(self, parent, body):
        number = self.node(parent).children.get(bytes(body).split(b"\0")[0])
        if number is None:
            raise fault(errno.ENOENT)
        return self.entry(number)

    def make(self, parent, name, mode):
        name = bytes(name).split(b"\0")[0]
        children = self.node(parent).children
        if name in children:
            raise fault(errno.EEXIST)
        children[name] = self.next
        self.nodes[self.next] = Node(mode)
        self.log("make", parent, self.next, name.decode())
        self.next += 1
        return self.entry(children[name])

    def create(self, parent, body):
        entry = self.make(parent, body[16:], stat.S_IFREG | (struct.unpack_from("<II", body)[1] & 0o7777))
        return entry + self.open(None, None)

    def unlink(self, parent, body):
        number = self.node(parent).children.pop(bytes(body).split(b"\0")[0], None)
        if number is None:
            raise fault(errno.ENOENT)
        self.nodes[number].links = 0
        return b""

    def rename(self, parent, body, skip):
        target = struct.unpack_from("<Q", body)[0]
        old, new = bytes(body[skip:]).split(b"\0")[:2]
        number = self.node(parent).children.pop(old, None)
        if number is None:
            raise fault(errno.ENOENT)
        replaced = self.node(target).children.get(new)
        if replaced is not None:
            self.nodes[replaced].links = 0
        self.node(target).children[new] = number
        self.log("rename", parent, number, bytes(self.node(number).data).hex())
        return b""

    def open(self, _, __):
        direct = 1 if self.control.get("nomap") is not None else 0
        return struct.pack("<QII", 0, direct, 0)

    def setattr(self, number, body):
        valid, _, _, size = struct.unpack_from("<IIQQ", body)
        node = self.node(number)
        if valid & (1 << 3):
            if size < len(node.data):
                del node.data[size:]
            self.take(node, size)
            node.data.extend(bytes(size - len(node.data)))
            node.reserved = min(node.reserved, size)
        if valid & 1:
            node.mode = stat.S_IFMT(node.mode) | (struct.unpack_from("<I", body, 68)[0] & 0o7777)
        node.mtime = time.time()
        return self.attributes_out(number)

    def slow(self, offset):
        time.sleep(float(self.control.get("sleep", 0)))

    def read(self, number, body):
        _, offset, size = struct.unpack_from("<QQI", body)
        self.slow(offset)
        return bytes(self.node(number).data[offset : offset + size])

    def write(self, number, body):
        _, offset, size = struct.unpack_from("<QQI", body)
        self.slow(offset)
        node = self.node(number)
        self.take(node, offset + size)
        if len(node.data) < offset:
            node.data.extend(bytes(offset - len(node.data)))
        node.data[offset : offset + size] = body[40 : 40 + size]
        node.mtime = time.time()
        self.log("write", number, offset, size)
        return struct.pack("<II", size, 0)

    def room(self):
        return int(self.control.get("room", 1 << 40))

    def taken(self):
        return sum(node.taken for node in self.nodes.values() if node.links)

    def take(self, node, end):
        if end > node.taken and self.taken() + end - node.taken > self.room():
            raise fault(getattr(errno, self.control.get("full", "ENOSPC")))

    def fallocate(self, number, body):
        _, offset, length, mode = struct.unpack_from("<QQQI", body)
        if self.control.get("noreserve") is not None:
            raise fault(errno.EOPNOTSUPP)
        node = self.node(number)
        self.take(node, offset + length)
        node.reserved = max(node.reserved, offset + length)
        if not mode & 1:
            node.data.extend(bytes(max(0, offset + length - len(node.data))))
        return b""

    def readdir(self, number, body):
        _, offset, size = struct.unpack_from("<QQI", body)
        out = b""
        for nth, (name, child) in enumerate(list(self.node(number).children.items())):
            if nth < offset:
                continue
            kind = stat.S_IFMT(self.nodes[child].mode) >> 12
            entry = struct.pack("<QQII", child, nth + 1, len(name), kind) + name
            entry += bytes(-len(entry) % 8)
            if len(out) + len(entry) > size:
                break
            out += entry
        return out

    def statfs(self, _, __):
        counted = self.control.get("nospace") is None
        blocks = self.room() // 4096 if counted else 0
        free = max(0, self.room() - self.taken()) // 4096 if counted else 0
        return struct.pack("<QQQQQIII", blocks, free, free, 0, 0, 4096, 255, 4096) + bytes(28)


def main():
    folder, control = sys.argv[1:3]
    fd = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
    options = f"fd={fd},rootmode=40000,user_id=0,group_id=0,allow_other,max_read={MAX_WRITE}".encode()
    if LIBC.mount(b"faults", folder.encode(), b"fuse.faults", 0, options):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    server = threading.Thread(target=Server(fd, Control(control)).serve, daemon=True)
    server.start()
    print("ready", flush=True)
    sys.stdin.read()
    LIBC.umount2(folder.encode(), 2)
    os._exit(0)


main()
