"""Runs one client once and measures its process: CPU, time, memory, wake-ups."""

import contextlib
import ctypes
import mmap
import os
import select
import signal
import subprocess
import time

MIB = 1 << 20
SAMPLE_S = 0.02
PAGE_CACHE_SLACK = 512 * MIB


def touch_memory(size):
    """Takes and frees memory, so that the first touch of what a virtual machine handed back to its host is not charged
    to the client that comes first."""
    with open("/proc/meminfo") as file:
        available = next(int(line.split()[1]) for line in file if line.startswith("MemAvailable")) << 10
    size = min(size + PAGE_CACHE_SLACK, available * 3 // 4)
    memory = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    view = (ctypes.c_char * size).from_buffer(memory)
    ctypes.memset(view, 1, size)
    del view
    memory.close()


def status(pid):
    """The numbers of /proc/PID/status; empty when the process is gone."""
    try:
        with open(f"/proc/{pid}/status") as file:
            lines = (line.split() for line in file)
            return {words[0][:-1]: int(words[1]) for words in lines if len(words) > 1 and words[1].isdigit()}
    except OSError:
        return {}


def sleeps(pid):
    """How often its threads have gone to sleep, which is how often they were woken."""
    try:
        threads = os.listdir(f"/proc/{pid}/task")
    except OSError:
        return 0
    return sum(status(f"{pid}/task/{thread}").get("voluntary_ctxt_switches", 0) for thread in threads)


class Process:
    """A client that runs. Peaks are sampled; CPU is that of the process and all its children."""

    def __init__(self, start, log, group=None):
        join = (lambda: group.join()) if group else None
        self.mark = start.mark
        self.started_at = time.time()
        self.started = time.monotonic()
        self.process = subprocess.Popen(
            start.command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, preexec_fn=join
        )
        self.pid = self.process.pid
        self.anon_kib = self.file_kib = self.rss_kib = 0
        self.wall_s = self.cpu_s = self.code = None

    def sample(self):
        now = status(self.pid)
        self.anon_kib = max(self.anon_kib, now.get("RssAnon", 0))
        self.file_kib = max(self.file_kib, now.get("RssFile", 0) + now.get("RssShmem", 0))
        self.rss_kib = max(self.rss_kib, now.get("VmRSS", 0))

    def wait(self, seconds, every=lambda: None):
        """True once it has ended by itself or is done; samples meanwhile."""
        end = select.poll()
        handle = os.pidfd_open(self.pid)
        end.register(handle, select.POLLIN)
        until = time.monotonic() + seconds
        try:
            while time.monotonic() < until:
                self.sample()
                if self.mark and os.path.exists(self.mark):
                    with open(self.mark) as file:
                        self.wall_s = float(file.read()) - self.started_at
                    return True
                if end.poll(SAMPLE_S * 1000):
                    self.wall_s = time.monotonic() - self.started
                    return True
                every()
            return False
        finally:
            os.close(handle)

    def stop(self):
        """Ends it if it has not, and collects what it used."""
        for sign, patience in ((0, 0), (signal.SIGTERM, 10), (signal.SIGKILL, 1000)):
            if sign:
                os.kill(self.pid, sign)
            until = time.monotonic() + patience
            while True:
                pid, code, usage = os.wait4(self.pid, os.WNOHANG)
                if pid:
                    self.cpu_s = usage.ru_utime + usage.ru_stime
                    self.code = self.process.returncode = os.waitstatus_to_exitcode(code)
                    return
                if time.monotonic() >= until:
                    break
                time.sleep(0.005)

    def figures(self):
        return {
            "cpu_s": self.cpu_s,
            "wall_s": self.wall_s,
            "anon_mib": self.anon_kib / 1024,
            "file_mib": self.file_kib / 1024,
            "rss_mib": self.rss_kib / 1024,
        }


class MemoryGroup:
    """A memory cgroup of our own, version 1 or 2."""

    def __init__(self, limit_mib):
        name = f"swarmlet-bench-{os.getpid()}"
        first, second = "/sys/fs/cgroup/memory", "/sys/fs/cgroup"
        self.path, self.knob, self.joins = f"{first}/{name}", "memory.limit_in_bytes", "tasks"
        if not os.path.isdir(first):
            with open(f"{second}/cgroup.controllers") as file:
                if "memory" not in file.read().split():
                    raise OSError("no memory controller")
            with open(f"{second}/cgroup.subtree_control", "w") as file:
                file.write("+memory")
            self.path, self.knob, self.joins = f"{second}/{name}", "memory.max", "cgroup.procs"
        os.mkdir(self.path)
        try:
            with open(f"{self.path}/{self.knob}", "w") as file:
                file.write(str(limit_mib * MIB))
        except OSError:
            self.remove()
            raise

    def join(self):
        with open(f"{self.path}/{self.joins}", "w") as file:
            file.write(str(os.getpid()))

    def remove(self):
        with contextlib.suppress(OSError):
            os.rmdir(self.path)
