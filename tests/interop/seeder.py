#!/usr/bin/python3
"""Seeds one torrent with libtorrent, on loopback, until killed.

usage: seeder.py TORRENT FOLDER PORT BYTES_PER_SECOND(0: no limit)

Prints the payload bytes sent so far, one number a line, whenever it changes.
"""

import sys
import time

import libtorrent

torrent, folder, port, rate = sys.argv[1:]
session = libtorrent.session(
    {
        "listen_interfaces": "127.0.0.1:" + port,
        "enable_dht": False,
        "enable_lsd": False,
        "enable_upnp": False,
        "enable_natpmp": False,
        "enable_incoming_utp": False,
        "enable_outgoing_utp": False,
        "allow_multiple_connections_per_ip": True,
        "upload_rate_limit": int(rate),
    }
)
# Without this class, rates are not limited among neighbours.
session.set_peer_class_filter(libtorrent.ip_filter())
parameters = libtorrent.add_torrent_params()
parameters.ti = libtorrent.torrent_info(torrent)
parameters.save_path = folder
parameters.flags |= libtorrent.torrent_flags.seed_mode | libtorrent.torrent_flags.disable_pex
parameters.flags &= ~(libtorrent.torrent_flags.auto_managed | libtorrent.torrent_flags.paused)
handle = session.add_torrent(parameters)
last = -1
while True:
    sent = handle.status().total_payload_upload
    if sent != last:
        print(sent, flush=True)
    last = sent
    time.sleep(0.05)
