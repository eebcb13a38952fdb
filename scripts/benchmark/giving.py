"""What giving costs, and how fast a whole swarm of swarmlets is done."""

import os
import subprocess
import time

from measure import MIB, touch_memory

TIMEOUT_S = 300
LIMIT_KIB = 20 << 10
LEECHERS = 6


def cpu_s(pid):
    """Time that its threads have had a processor."""
    total = 0
    for thread in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{thread}/schedstat") as file:
            total += int(file.read().split()[0])
    return total / 1e9


def wait_until_listening(address, port):
    until = time.monotonic() + TIMEOUT_S
    hexed = f":{port:04X}"
    while time.monotonic() < until:
        for name in ("tcp", "tcp6"):
            with open(f"/proc/net/{name}") as file:
                lines = [line.split() for line in list(file)[1:]]
            # 0A: it listens.
            if any(words[1].endswith(hexed) and words[3] == "0A" for words in lines):
                return
        time.sleep(0.02)
    raise RuntimeError(f"nobody listens on {address}:{port}")


def wait_until_checked(log):
    until = time.monotonic() + TIMEOUT_S
    while time.monotonic() < until:
        with open(log, "rb") as file:
            if b"checked:" in file.read():
                return
        time.sleep(0.05)
    raise RuntimeError("the seeder did not check what it has")


class Server:
    """A process that serves, as long as the `with` lasts."""

    def __init__(self, command, log):
        self.log = log
        with open(log, "wb") as file:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=file, stderr=file)
        self.pid = self.process.pid

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()


def seeder(bench, payload, scratch, port, options):
    command = [f"{bench.release}/swarmlet", "--seed", "--bind", bench.address, "--port", str(port)]
    command += ["-o", os.path.dirname(payload.data), *options, payload.torrent]
    return Server(command, os.path.join(scratch, "seeder.log"))


def receive(bench, payload, port):
    """Takes everything from `port`, as fast as it comes; the seconds that it took."""
    command = [f"{bench.release}/examples/bare", "--torrent", payload.torrent, "--output", "/dev/null"]
    command += ["--peer", f"{bench.address}:{port}", "--store", "none", "--no-hash"]
    start = time.monotonic()
    subprocess.run(command, check=True, timeout=TIMEOUT_S, stdout=subprocess.DEVNULL)
    return time.monotonic() - start


def send(bench, _row, payload, label, _client, options):
    """CPU of the sender while one fast peer takes everything."""
    touch_memory(payload.size)
    port = bench.free_port()
    with bench.place(_row, payload) as (scratch, _folder, _loop):
        if label == "bare sendfile":
            command = [f"{bench.release}/examples/bare", "--torrent", payload.torrent, "--output", payload.data]
            server = Server([*command, "--serve", f"{bench.address}:{port}"], os.path.join(scratch, "bare.log"))
        else:
            server = seeder(bench, payload, scratch, port, options)
        with server:
            wait_until_listening(bench.address, port)
            if label != "bare sendfile":
                wait_until_checked(server.log)
            before = cpu_s(server.pid)
            if label == "bare sendfile":
                # It ends with its peer: what it has used is asked for afterwards.
                start = time.monotonic()
                receive(bench, payload, port)
                wall = time.monotonic() - start
                _, _, usage = os.wait4(server.pid, 0)
                server.process.returncode = 0
                used = usage.ru_utime + usage.ru_stime - before
            else:
                wall = receive(bench, payload, port)
                used = cpu_s(server.pid) - before
    return {"cpu_per_gib": used * 1024 * MIB / payload.size, "wall_s": wall}


def swarm(bench, _row, payload, label, _client, options):
    """One seeder with a limit and six that start together: the time until the last one has everything."""
    touch_memory(LEECHERS * payload.size)
    ports = [bench.free_port() for _ in range(LEECHERS + 1)]
    peers = [word for port in ports for word in ("--peer", f"{bench.address}:{port}")]
    with bench.place(_row, payload) as (scratch, folder, _loop):
        options = ["--up-limit", str(LIMIT_KIB), *options]
        with seeder(bench, payload, scratch, ports[0], options) as server:
            wait_until_checked(server.log)
            start = time.monotonic()
            leechers, folders = [], []
            for nth, port in enumerate(ports[1:]):
                folders.append(os.path.join(folder, str(nth)))
                os.mkdir(folders[-1])
                command = [f"{bench.release}/swarmlet", "-q", "--bind", bench.address, "--port", str(port)]
                command += ["-o", folders[-1], *peers, payload.torrent]
                leechers.append(subprocess.Popen(command, stdin=subprocess.DEVNULL))
            for leecher in leechers:
                if leecher.wait(TIMEOUT_S) != 0:
                    raise RuntimeError(f"a leecher has ended with {leecher.returncode}")
            wall = time.monotonic() - start
        if not all(payload.same_as(one) for one in folders):
            raise RuntimeError(f"{label}: what was downloaded is not what was sent")
    ideal = (payload.size + payload.piece_bytes) / (LIMIT_KIB << 10)
    return {"wall_s": wall, "over_ideal": wall / ideal}
