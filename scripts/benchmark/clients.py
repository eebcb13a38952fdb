"""How each client is started: on loopback only, no search for peers beside the tracker, no seeding afterwards."""

import json
import os
import re
import shutil
import subprocess

HERE = os.path.dirname(os.path.abspath(__file__))
PYTHON = "/usr/bin/python3"  # Debian's own: another one would not find Debian's module


class Start:
    """A command; `mark` is a file that appears when a client is done that does not end by itself."""

    def __init__(self, command, mark=None):
        self.command = command
        self.mark = mark


class Job:
    """What is asked of a client."""

    def __init__(self, payload, folder, scratch, listen, seeder, options=()):
        self.payload = payload
        self.folder = folder
        self.scratch = scratch
        self.address, self.port = listen
        self.seeder = seeder
        self.options = list(options)


def swarmlet(job, release):
    # Places for peers are paid from the same memory as blocks: more than the default only where they are needed, and the
    # least memory that has room for them beside 100,000 pieces.
    places = ["--max-peers", "500", "--memory", "16"] if len(job.seeder.peers) > 200 else []
    options = ["-q", *places, "-o", job.folder, *job.options]
    return Start([f"{release}/swarmlet", *options, job.payload.torrent])


def bare(store):
    def start(job, release):
        output = os.path.join(job.folder, job.payload.name)
        command = [f"{release}/examples/bare", "--torrent", job.payload.torrent, "--output", output]
        return Start([*command, "--peer", job.seeder.peers[0], "--store", store, *job.options])

    return start


def aria2(job, _release):
    command = ["aria2c", "--no-conf", "--quiet", f"--interface={job.address}", "--disable-ipv6"]
    command += ["--enable-dht=false", "--enable-dht6=false", "--bt-enable-lpd=false"]
    command += ["--enable-peer-exchange=false", "--seed-time=0", "--bt-max-peers=0"]
    command += ["--file-allocation=falloc", f"--listen-port={job.port}", "--dir", job.folder]
    return Start([*command, *job.options, job.payload.torrent])


def transmission(job, _release):
    config, watched = os.path.join(job.scratch, "transmission"), os.path.join(job.scratch, "watched")
    os.mkdir(config)
    os.mkdir(watched)
    shutil.copy(job.payload.torrent, os.path.join(watched, "x.torrent"))
    mark, script = os.path.join(job.scratch, "done"), os.path.join(job.scratch, "done.sh")
    with open(script, "w") as file:
        file.write(f"#!/bin/sh\ndate +%s.%N > '{mark}.new'; mv '{mark}.new' '{mark}'\n")
    os.chmod(script, 0o755)
    settings = {"bind-address-ipv4": job.address, "bind-address-ipv6": "::1", "peer-port": job.port}
    settings |= dict.fromkeys(["dht-enabled", "lpd-enabled", "pex-enabled", "utp-enabled"], False)
    settings |= dict.fromkeys(["rpc-enabled", "port-forwarding-enabled", "blocklist-enabled"], False)
    settings |= {"encryption": 0, "download-dir": job.folder, "start-added-torrents": True}
    settings |= {"peer-limit-global": 500, "peer-limit-per-torrent": 500, "preallocation": 1}
    settings |= {"script-torrent-done-enabled": True, "script-torrent-done-filename": script}
    settings |= {"ratio-limit-enabled": True, "ratio-limit": 0}
    with open(os.path.join(config, "settings.json"), "w") as file:
        json.dump(settings, file)
    command = ["transmission-daemon", "--foreground", "--config-dir", config, "--watch-dir", watched]
    return Start(command, mark)


def libtorrent(job, _release):
    script = os.path.join(HERE, "libtorrent_client.py")
    return Start([PYTHON, script, job.payload.torrent, job.folder, f"{job.address}:{job.port}"])


def rtorrent(job, _release):
    mark, config = os.path.join(job.scratch, "done"), os.path.join(job.scratch, "rtorrent.rc")
    done = f"date +%s.%N > {mark}.new; mv {mark}.new {mark}"
    lines = [f"directory.default.set = {job.folder}", f"network.bind_address.set = {job.address}"]
    lines += [f"network.port_range.set = {job.port}-{job.port}", "dht.mode.set = disable"]
    lines += ["protocol.pex.set = no", "trackers.use_udp.set = no", "system.file.allocate.set = 1"]
    lines += ["throttle.max_peers.normal.set = 500", "throttle.min_peers.normal.set = 200"]
    # Else it takes from 50 peers at a time and changes them every half minute.
    lines += ["throttle.max_downloads.set = 500", "throttle.max_downloads.global.set = 500"]
    lines += ["pieces.hash.on_completion.set = no", "system.daemon.set = true"]
    lines += [f'method.set_key = event.download.finished, done, "execute = {{sh,-c,{done}}}"']
    lines += [f"load.start = {job.payload.torrent}"]
    with open(config, "w") as file:
        file.write("\n".join(lines) + "\n")
    return Start(["rtorrent", "-n", "-o", f"import={config}"], mark)


def rqbit(job, _release):
    off = ["--disable-dht", "--disable-upnp-port-forward"]
    return Start(["rqbit", *off, "download", "--exit-on-finish", "-o", job.folder, job.payload.torrent])


def ctorrent(job, _release):
    output = os.path.join(job.folder, job.payload.name)
    command = ["ctorrent", "-e", "0", "-i", job.address, "-p", str(job.port), "-M", "500", "-s", output]
    return Start([*command, job.payload.torrent])


CLIENTS = {
    "swarmlet": swarmlet,
    "bare-pwrite": bare("pwrite"),
    "bare-window": bare("window"),
    "bare-null": bare("none"),
    "aria2": aria2,
    "transmission": transmission,
    "libtorrent": libtorrent,
    "rtorrent": rtorrent,
    "rqbit": rqbit,
    "ctorrent": ctorrent,
}

OTHERS = ["aria2", "transmission", "libtorrent", "rtorrent", "rqbit", "ctorrent"]


def version(name, release):
    """What it says of itself; none if it is not there."""
    ask = {
        "swarmlet": [f"{release}/swarmlet", "--version"],
        "aria2": ["aria2c", "--version"],
        "transmission": ["transmission-daemon", "--version"],
        "libtorrent": [PYTHON, "-c", "import libtorrent; print(libtorrent.version)"],
        "rtorrent": ["rtorrent", "-h"],
        "rqbit": ["rqbit", "--version"],
        "ctorrent": ["ctorrent", "-h"],
    }.get(name)
    if ask is None:
        return ""
    try:
        answer = subprocess.run(ask, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    except OSError:
        return None
    found = re.search(r"(?:dnh)?\d+(?:\.\d+)+", answer.stdout + answer.stderr)
    return found.group() if found and "Error" not in answer.stderr else None
