"""swarmlet as a process that is asked things."""

import json
import os
import select
import subprocess
import time

from measure import status


class Client:
    """A run of swarmlet whose every line is kept with the time it came."""

    def __init__(self, built, arguments, log):
        self.log = open(log, "wb")
        self.process = subprocess.Popen(
            [f"{built}/swarmlet", "--json", *map(str, arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.log,
        )
        os.set_blocking(self.process.stdout.fileno(), False)
        self.started = time.monotonic()
        self.rest = b""
        self.objects = []
        self.peak_anon_kib = self.peak_rss_kib = 0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.log.close()

    def type(self, command):
        """Types a line, if it still reads."""
        try:
            os.write(self.process.stdin.fileno(), command.encode() + b"\n")
        except BrokenPipeError:
            pass

    def read(self, seconds):
        """Waits until it says something, or for so long; the objects that came, with the time."""
        ready, _, _ = select.select([self.process.stdout], [], [], max(seconds, 0))
        now = time.monotonic()
        data = os.read(self.process.stdout.fileno(), 1 << 20) if ready else b""
        *lines, self.rest = (self.rest + data).split(b"\n")
        came = [(now, json.loads(line)) for line in lines]
        self.objects += came
        if ready and not data:
            self.process.wait()
        return came

    def sample(self):
        """Notes how much memory it has."""
        numbers = status(self.process.pid)
        self.peak_anon_kib = max(self.peak_anon_kib, numbers.get("RssAnon", 0))
        self.peak_rss_kib = max(self.peak_rss_kib, numbers.get("VmRSS", 0))

    @property
    def ended(self):
        return self.process.poll() is not None

    def answer_times(self, every, seconds):
        """Types `status` every so often until it ends or `seconds` have passed; the seconds each answer took, each with
        when it was asked and with the answer."""
        times, asked = [], []
        until = time.monotonic() + seconds
        due = time.monotonic()
        while not self.ended and time.monotonic() < until:
            now = time.monotonic()
            if now >= due:
                self.type("status")
                asked.append(now)
                due = max(due + every, now)
                self.sample()
            for at, what in self.read(due - time.monotonic()):
                if what.get("type") == "status" and asked:
                    times.append((at - asked[0], asked.pop(0), what))
        return times
