"""The loopback seeder as a process."""

import subprocess


class Seeder:
    """Serves one payload, as long as the `with` lasts; `done` has what it says of itself at the end."""

    def __init__(self, built, payload, *options):
        command = [f"{built}/examples/loopback", "--torrent", payload.torrent, "--data", payload.data]
        self.process = subprocess.Popen(
            [*command, *map(str, options)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        words = dict(word.split("=", 1) for word in self.process.stdout.readline().split()[1:])
        if "peers" not in words:
            raise RuntimeError("the seeder did not start; is its port taken?")
        self.peers = words["peers"].split(",")
        self.done = {}

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        line = self.process.stdout.readline()
        self.done = {key: float(value) for key, value in (word.split("=") for word in line.split()[1:])}
        self.process.wait()
