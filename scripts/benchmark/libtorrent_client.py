#!/usr/bin/python3
"""Downloads one torrent with libtorrent and ends. usage: libtorrent_client.py TORRENT FOLDER IP:PORT"""

import os
import sys

import libtorrent

torrent, folder, listen = sys.argv[1:]
session = libtorrent.session(
    {
        "listen_interfaces": listen,
        "enable_dht": False,
        "enable_lsd": False,
        "enable_upnp": False,
        "enable_natpmp": False,
        "enable_incoming_utp": False,
        "enable_outgoing_utp": False,
        "allow_multiple_connections_per_ip": True,
        "connections_limit": 1000,
        "connection_speed": 500,
        "torrent_connect_boost": 255,
        "max_out_request_queue": 500,
        "out_enc_policy": 2,
        "in_enc_policy": 2,
        "alert_mask": libtorrent.alert.category_t.status_notification,
    }
)
parameters = libtorrent.add_torrent_params()
parameters.ti = libtorrent.torrent_info(torrent)
parameters.save_path = folder
parameters.flags |= libtorrent.torrent_flags.disable_pex
parameters.flags &= ~(libtorrent.torrent_flags.auto_managed | libtorrent.torrent_flags.paused)
session.add_torrent(parameters)
while True:
    session.wait_for_alert(10_000)
    if any(isinstance(alert, libtorrent.torrent_finished_alert) for alert in session.pop_alerts()):
        break
del session
sys.stdout.flush()
# What Python tidies up at its end is not libtorrent's work.
os._exit(0)
