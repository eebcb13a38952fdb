//! Audit.
use crate::stage::Stage;
use crate::{request, seeding};
use core::time::Duration;
use swarmlet::base::Block;
use swarmlet::session::{CloseCause, Command, Event, Giving};
use swarmlet::wire::{Handshake, Message};
use swarmlet::base::PeerId;

fn keep_alive(stage: &mut Stage, stream: swarmlet::base::StreamId) {
    stage.session.received(stage.now, stream, &[0; 4]);
    stage.act();
}

#[test]
fn t1_rejects_of_allowed_pieces_do_not_ping_pong() {
    let mut stage = Stage::new(8, Giving::default(), false);
    let peer = stage.peer("1.2.3.4:5", true);
    stage.say(peer, &[Message::HaveAll, Message::AllowedFast(0)]);
    let mut rounds = 0;
    while let blocks = stage.asked(peer)
        && !blocks.is_empty()
        && rounds < 3000
    {
        rounds += 1;
        let answers: Vec<_> = blocks.iter().map(|&block| Message::Reject(block)).collect();
        stage.say(peer, &answers);
        if stage.closed.contains(&peer) { break; }
    }
    eprintln!("{rounds} rounds at once, dropped: {}", stage.closed.contains(&peer));
}

#[test]
fn t1b_our_seed_allows_and_then_rejects() {
    let mut stage = Stage::seed(40, Giving { up_slots: Some(1), ..seeding() });
    let first = stage.peer("1.2.3.4:5", true);
    stage.say(first, &[Message::Interested]);
    stage.heard(first);
    let peer = stage.peer("1.9.3.4:5", true);
    stage.say(peer, &[Message::Interested]);
    let heard = stage.heard(peer);
    let allowed: Vec<u32> = heard.iter().filter_map(|w| w.strip_prefix("AllowedFast(")?.strip_suffix(")")?.parse().ok()).collect();
    let haves: Vec<_> = (0..40).filter(|p| !allowed.contains(p)).take(10).map(Message::Have).collect();
    stage.say(peer, &haves);
    let mut n = 0;
    while !stage.closed.contains(&peer) && n < 50_000 {
        stage.say(peer, &[request(allowed[0])]);
        if n == 0 { eprintln!("allowed {allowed:?}, answer {:?}", stage.heard(peer)); } else { stage.take(peer, 1 << 20); }
        n += 1;
    }
    eprintln!("dropped after {n} requests: {}", stage.closed.contains(&peer));
}

fn crowd(max: u32, sybils: usize, pieces: usize, all: bool) {
    let mut stage = Stage::with(pieces, Giving::default(), false, max);
    let mut peers = Vec::new();
    for nth in 0..sybils {
        let peer = stage.peer(&format!("1.{}.3.4:5", nth + 1), true);
        if all { stage.say(peer, &[Message::HaveAll]); } else { stage.say(peer, &[Message::Have(nth as u32)]); }
        peers.push(peer);
    }
    stage.session.handle(stage.now, Event::Command(Command::Add("5.5.5.5:5".parse().unwrap())));
    stage.act();
    for _ in 0..24 * 60 {
        stage.wait(Duration::from_secs(60));
        for &peer in &peers {
            if !stage.closed.contains(&peer) { stage.take(peer, 1 << 20); keep_alive(&mut stage, peer); }
        }
    }
    let gone = peers.iter().filter(|p| stage.closed.contains(p)).count();
    let arrival = stage.arrival("6.6.6.6:6").unwrap();
    stage.shake(arrival, PeerId(*b"-YY0000-............"), true);
    eprintln!("max {max} sybils {sybils} all {all}: after a day: gone {gone}, dialled {}, newcomer closed {}", stage.dialled.len(), stage.closed.contains(&arrival));
}

#[test]
fn t2_peers_that_choke_for_ever_hold_their_places() {
    crowd(1, 1, 8, true);
    crowd(2, 2, 8, true);
    crowd(1, 1, 8, false);
    crowd(8, 8, 8, false);
    crowd(50, 50, 50, false);
}

fn t3(piece: usize, pieces: usize, stop: u32) {
    let mut stage = Stage::cut(piece, pieces, Giving::default(), false, 200);
    let first = stage.metainfo.clone();
    // The same bytes under another name.
    let bytes = {
        use sha1::Digest as _;
        let hashes: Vec<u8> = stage.content.chunks(piece).flat_map(|p| <[u8; 20]>::from(sha1::Sha1::digest(p))).collect();
        let head = format!("d4:infod6:lengthi{}e4:name1:b12:piece lengthi{}e6:pieces{}:", stage.content.len(), piece, hashes.len());
        [head.as_bytes(), &hashes, b"ee"].concat()
    };
    let second = std::sync::Arc::new(swarmlet::meta::Metainfo::parse(&bytes).unwrap());
    stage.session.add_torrent(stage.now, second.clone(), true);
    stage.act();
    let a: Vec<_> = (0..4).map(|n| { let p = stage.peer(&format!("1.2.{n}.4:5"), true); stage.say(p, &[Message::HaveAll, Message::Unchoke]); p }).collect();
    let _ = &first;
    let mut outstanding: Vec<std::collections::VecDeque<Block>> = vec![Default::default(); 4];
    for _round in 0..4000 {
        if stage.session.status(stage.now).torrents[0].pieces_have >= stop { break; }
        for n in 0..4 {
            let asked = stage.asked(a[n]);
            outstanding[n].extend(asked);
            for _ in 0..2 { if let Some(b) = outstanding[n].pop_front() { stage.send_blocks(a[n], &[b]); } }
        }
        stage.wait(Duration::from_millis(2));
    }
    let status = stage.session.status(stage.now);
    eprintln!("A: have {}, outstanding {:?}, buffered {} of {}", status.torrents[0].pieces_have, outstanding.iter().map(|o| o.len()).collect::<Vec<_>>(), status.buffered_bytes, status.buffer_limit_bytes);
    for &p in &a {
        stage.session.handle(stage.now, Event::Closed { stream: p, cause: CloseCause::Reset });
        stage.act();
    }
    stage.metainfo = second;
    let b = stage.peer("7.7.7.7:7", true);
    stage.say(b, &[Message::HaveAll, Message::Unchoke]);
    let mut asked = stage.asked(b).len();
    let have = |s: &Stage| s.session.status(s.now).torrents[1].pieces_have;
    for _ in 0..120 {
        stage.wait(Duration::from_secs(60));
        loop { let blocks = stage.asked(b); asked += blocks.len(); if blocks.is_empty() { break; } stage.send_blocks(b, &blocks); stage.wait(Duration::from_millis(5)); }
        if stage.closed.contains(&b) { eprintln!("b closed"); break; }
        keep_alive(&mut stage, b);
    }
    eprintln!("pieces of {piece}: B was asked for {asked} blocks in two hours, has {} of {pieces}", have(&stage));
}

#[test]
fn t3_memory_of_a_torrent_without_peers_starves_another() {
    t3(256 << 10, 160, 40);
    t3(1 << 20, 40, 12);
    t3(2 << 20, 20, 6);
    t3(4 << 20, 10, 2);
    t3(4 << 20, 10, 3);
}

#[test]
fn t5_a_seed_that_lacks_one_piece_after_all() {
    for piece_bytes in [256 << 10, 1 << 20, 4 << 20] {
        let mut stage = Stage::cut(piece_bytes, (32 << 20) / piece_bytes, Giving::default(), false, 200);
        let peer = stage.peer("1.2.3.4:5", true);
        stage.say(peer, &[Message::HaveAll, Message::Unchoke]);
        let mut bad = None;
        let mut rejected = 0;
        for _ in 0..6000 {
            for block in stage.asked(peer) {
                let bad = *bad.get_or_insert(block.piece);
                if block.piece == bad { rejected += 1; stage.say(peer, &[Message::Reject(block)]); } else { stage.send_blocks(peer, &[block]); }
            }
            stage.wait(Duration::from_millis(100));
        }
        let status = stage.session.status(stage.now);
        eprintln!("pieces of {piece_bytes}: {} of {} after ten minutes, {rejected} rejected, closed {}", status.torrents[0].pieces_have, (32 << 20) / piece_bytes, stage.closed.contains(&peer));
    }
}

#[test]
fn t6_choke_and_unchoke_cost_a_walk() {
    for pieces in [20_000usize, 200_000] {
        let mut stage = Stage::cut(16, pieces, Giving::default(), false, 200);
        let all = stage.peer("1.2.3.4:5", false);
        let mut bits = vec![0xff; pieces / 8];
        bits[0] = 0x7f;
        stage.say(all, &[Message::Bitfield(&bits)]);
        let peer = stage.peer("1.3.3.4:5", false);
        bits.fill(0);
        bits[0] = 0x80;
        stage.say(peer, &[Message::Bitfield(&bits)]);
        let before = stage.session.steps();
        let start = std::time::Instant::now();
        let mut turns = 0u64;
        for _ in 0..20 {
            let mut bytes = Vec::new();
            Message::Unchoke.encode_into(&mut bytes);
            stage.session.received(stage.now, peer, &bytes);
            while stage.session.work(stage.now, 1 << 20) { turns += 1; }
            bytes.clear();
            Message::Choke.encode_into(&mut bytes);
            stage.session.received(stage.now, peer, &bytes);
        }
        let took = start.elapsed() / 20;
        while stage.session.next_action().is_some() {}
        eprintln!("{pieces}: {} steps, {} turns a pair, {took:?}", (stage.session.steps() - before) / 20, turns / 20);
    }
    // have
    for pieces in [20_000usize, 200_000] {
        let mut stage = Stage::cut(16, pieces, Giving::default(), false, 200);
        let all = stage.peer("1.2.3.4:5", false);
        let bits = vec![0xff; pieces / 8];
        let mut b2 = bits.clone();
        b2[0] = 0x7f;
        stage.say(all, &[Message::Bitfield(&b2)]);
        let peer = stage.peer("1.3.3.4:5", false);
        stage.say(peer, &[Message::Unchoke, Message::Have(0)]);
        for b in stage.asked(peer) { let _ = b; }
        let before = stage.session.steps();
        let start = std::time::Instant::now();
        for n in 0..100u32 {
            let piece = (n * 7919 + 13) % pieces as u32;
            let mut bytes = Vec::new();
            Message::Have(piece).encode_into(&mut bytes);
            stage.session.received(stage.now, peer, &bytes);
            while stage.session.work(stage.now, 1 << 20) {}
            let blocks: Vec<Block> = stage.asked(peer);
            for b in blocks { stage.session.handle(stage.now, Event::Command(Command::Help)); let _ = b;
                let from = b.piece as usize * 16;
                let mut bytes = swarmlet::wire::message::piece_header(b).to_vec();
                bytes.extend_from_slice(&stage.content[from..from + b.length as usize]);
                stage.session.received(stage.now, peer, &bytes);
                while stage.session.work(stage.now, 1 << 20) {}
            }
        }
        let took = start.elapsed() / 100;
        while stage.session.next_action().is_some() {}
        eprintln!("{pieces}: {} steps a have, {took:?}", (stage.session.steps() - before) / 100);
    }
}

#[test]
fn t7_max_peers_is_kept() {
    let mut stage = Stage::with(8, Giving::default(), false, 30);
    for n in 0..30 {
        stage.session.handle(stage.now, Event::Command(Command::Add(format!("5.5.{n}.5:5").parse().unwrap())));
    }
    stage.act();
    for n in 0..30 { let p = stage.peer(&format!("1.{n}.3.4:5"), true); stage.say(p, &[Message::HaveAll]); }
    let dialled = stage.dialled.clone();
    for (n, stream) in dialled.iter().enumerate() {
        stage.session.handle(stage.now, Event::Connected { stream: *stream });
        let mut id = *b"-ZZ0000-............";
        id[9] = n as u8;
        let bytes = Handshake { info_hash: stage.metainfo.info_hash, peer_id: PeerId(id), fast: true, extended: false }.encode();
        stage.session.received(stage.now, *stream, &bytes);
        stage.act();
    }
    let peers = stage.session.status(stage.now).torrents[0].peers;
    eprintln!("dialled {}, open {peers} of 30", dialled.len());
}

#[test]
fn t9_what_an_outbox_holds() {
    let mut outbox = swarmlet::peer::Outbox::default();
    let block = Block { piece: 0, begin: 0, length: 16384 };
    while outbox.push(Message::Reject(block)) {}
    let first = outbox.held_bytes();
    for _ in 0..10 {
        outbox.consume(outbox.as_slice().len() * 49 / 100);
        while outbox.push(Message::Reject(block)) {}
    }
    eprintln!("held {first}, then {}", outbox.held_bytes());
}

fn rss() -> u64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap();
    text.lines().find_map(|l| l.strip_prefix("RssAnon:")).unwrap().trim().trim_end_matches(" kB").parse().unwrap()
}

#[test]
fn t10_bodies_of_a_hundred_trackers() {
    use swarmlet::base::{InfoHash, Instant, Rng};
    use swarmlet::tracker::{Identity, Totals, Trackers, Wish};
    let mut rng = Rng::new(1);
    let urls: Vec<String> = (0..100).map(|n| format!("http://9.9.{n}.9/announce")).collect();
    let identity = Identity { info_hash: InfoHash([1; 20]), peer_id: PeerId([2; 20]), port: 1 };
    let mut now = Instant::from_micros(1_000_000);
    let mut trackers = Trackers::new(now, identity, &[urls], &mut rng);
    trackers.set_hungry(true);
    let before = rss();
    let mut open = std::collections::BTreeSet::new();
    let (mut most, mut most_rss) = (0, 0);
    let head = b"HTTP/1.1 200 OK\r\nContent-Length: 1048576\r\n\r\n";
    let body = vec![b'x'; (1 << 20) - 1];
    for _ in 0..400 {
        trackers.on_time(now, &Totals::default(), &mut rng);
        while let Some(wish) = trackers.next_wish() {
            match wish {
                Wish::Connect { handle, .. } => {
                    open.insert(handle);
                    trackers.on_connected(now, handle, &mut rng);
                    trackers.on_bytes(now, handle, head, &mut rng);
                    for part in body.chunks(65536) { trackers.on_bytes(now, handle, part, &mut rng); }
                }
                Wish::Close { handle } => { open.remove(&handle); }
                _ => {}
            }
        }
        most = most.max(open.len());
        most_rss = most_rss.max(rss());
        now = now + Duration::from_millis(100);
    }
    eprintln!("{most} at once, {} MiB", (most_rss - before) >> 10);
}

#[test]
fn t11_nobody_and_a_long_interval() {
    use swarmlet::base::{InfoHash, Instant, Rng};
    use swarmlet::tracker::{Identity, Totals, Trackers, Wish};
    let mut rng = Rng::new(1);
    for words in ["d8:intervali2147483647e12:min intervali60e5:peers0:e", "d8:intervali1800e12:min intervali30e5:peers0:e"] {
        let identity = Identity { info_hash: InfoHash([1; 20]), peer_id: PeerId([2; 20]), port: 1 };
        let start = Instant::from_micros(1_000_000);
        let mut now = start;
        let mut trackers = Trackers::new(now, identity, &[vec!["http://9.9.9.9/announce".to_string()]], &mut rng);
        trackers.set_hungry(true);
        let mut times = vec![];
        while now.since(start) < Duration::from_secs(8 * 3600) {
            trackers.on_time(now, &Totals::default(), &mut rng);
            while let Some(wish) = trackers.next_wish() {
                if let Wish::Connect { handle, .. } = wish {
                    times.push(now.since(start).as_secs());
                    trackers.on_connected(now, handle, &mut rng);
                    trackers.on_bytes(now, handle, format!("HTTP/1.1 200 OK\r\n\r\n{words}").as_bytes(), &mut rng);
                    trackers.on_closed(now, handle, None, &mut rng);
                }
            }
            now = now + Duration::from_secs(1);
        }
        times.truncate(4);
        eprintln!("{words}: asked at {times:?}");
    }
}

#[test]
fn t12_a_debt_of_the_upper_limit() {
    let mut stage = Stage::cut(256 << 10, 256, Giving { up_limit: 1 << 10, seed: true, ..Giving::default() }, false, 200);
    let source = stage.peer("1.2.3.4:5", true);
    stage.say(source, &[Message::HaveAll, Message::Unchoke]);
    let mut queue = std::collections::VecDeque::new();
    while stage.session.status(stage.now).torrents[0].pieces_have < 256 {
        queue.extend(stage.asked(source));
        if let Some(block) = queue.pop_front() { stage.send_blocks(source, &[block]); } else { stage.wait(Duration::from_millis(50)); }
        stage.now = stage.now + Duration::from_micros(300);
    }
    let took = stage.now;
    let leecher = stage.peer("1.9.3.4:5", true);
    stage.say(leecher, &[Message::HaveNone, Message::Interested, request(0)]);
    let (mut seconds, mut bytes) = (0, 0);
    while bytes < 16384 && seconds < 4000 {
        bytes += stage.take(leecher, usize::MAX).len();
        stage.wait(Duration::from_secs(1));
        seconds += 1;
    }
    eprintln!("downloaded by {took:?}; the first block after {seconds} s (16 by the limit)");
}

#[test]
fn t13_two_hundred_who_ask_and_do_not_read() {
    let mut stage = Stage::seed(4, Giving { up_slots: Some(1), ..seeding() });
    let first = stage.peer("1.2.3.4:5", true);
    stage.say(first, &[Message::Interested]);
    stage.heard(first);
    let before = rss();
    let all: Vec<_> = (1..200).map(|n| stage.peer(&format!("1.9.{n}.4:5"), true)).collect();
    let idle = rss();
    for round in 0..4 {
        for &peer in &all {
            stage.unread.clear();
            stage.write(peer, &[request(0); 3000]);
            stage.unread.clear();
            let outgoing = stage.session.outgoing(peer).len();
            if round < 3 { stage.take(peer, outgoing * 49 / 100); }
        }
    }
    stage.unread.clear();
    let gone = all.iter().filter(|p| stage.closed.contains(p)).count();
    eprintln!("idle {} KiB, asking {} KiB for 199 peers, {gone} gone", idle - before, rss() - before);
}

#[test]
fn t14_who_waits_for_the_limit_is_not_deaf() {
    for offset in 0..10u64 {
        let mut stage = Stage::cut(256 << 10, 256, Giving { up_limit: 1 << 10, seed: true, ..Giving::default() }, false, 200);
        let source = stage.peer("1.2.3.4:5", true);
        stage.say(source, &[Message::HaveAll, Message::Unchoke]);
        let leecher = stage.peer("1.9.3.4:5", true);
        let mut queue = std::collections::VecDeque::new();
        let mut asked = false;
        while stage.session.status(stage.now).torrents[0].pieces_have < 256 {
            queue.extend(stage.asked(source));
            if let Some(block) = queue.pop_front() { stage.send_blocks(source, &[block]); } else { stage.wait(Duration::from_millis(50)); }
            stage.now = stage.now + Duration::from_micros(300);
            if !asked && stage.session.status(stage.now).torrents[0].pieces_have >= 8 {
                asked = true;
                let have = (0..256).find(|&p| { let _ = p; true }).unwrap();
                let _ = have;
                let pieces: Vec<_> = stage.heard(leecher).iter().filter_map(|w| w.strip_prefix("Have(")?.strip_suffix(")")?.parse().ok()).collect();
                stage.say(leecher, &[Message::HaveNone, Message::Interested, request(pieces[0])]);
                // Some of the block is sent, as the limit allows.
                for _ in 0..3000 {
                    stage.wait(Duration::from_millis(50 + offset));
                    let got = stage.take(leecher, usize::MAX).len();
                    if got > 0 && got < 16384 && stage.session.file_bytes(stage.now, leecher).is_none() && stage.now.as_micros() > 4_000_000 { break; }
                }
            }
        }
        let start = stage.now;
        let mut got = 0;
        while stage.now.since(start) < Duration::from_secs(400) && !stage.closed.contains(&leecher) {
            stage.now = stage.now + Duration::from_millis(9);
            if stage.session.next_deadline().is_some_and(|d| d <= stage.now) { stage.session.on_time(stage.now); stage.act(); }
            if stage.closed.contains(&leecher) { break; }
            if stage.now.as_micros() / 60_000_000 != (stage.now.as_micros() - 9000) / 60_000_000 { keep_alive(&mut stage, leecher); }
            got += stage.take(leecher, usize::MAX).len();
        }
        eprintln!("offset {offset}: closed {} after {:?}, got {got}", stage.closed.contains(&leecher), stage.now.since(start));
    }
}

#[test]
fn t16_trackers_at_odd_places() {
    use swarmlet::base::{InfoHash, Instant, Rng};
    use swarmlet::tracker::{Identity, Totals, Trackers, Wish};
    for url in ["udp://239.255.255.250:1900/announce", "udp://255.255.255.255:9/a", "udp://0.0.0.0:53/a", "http://0.0.0.0:8080/a", "http://192.168.1.1/apply.cgi?reboot=1", "http://127.0.0.1:631/x"] {
        let mut rng = Rng::new(1);
        let identity = Identity { info_hash: InfoHash([1; 20]), peer_id: PeerId([2; 20]), port: 1 };
        let now = Instant::from_micros(1_000_000);
        let mut trackers = Trackers::new(now, identity, &[vec![url.to_string()]], &mut rng);
        trackers.on_time(now, &Totals::default(), &mut rng);
        while let Some(wish) = trackers.next_wish() {
            match wish {
                Wish::Post { server, bytes } => eprintln!("{url}: datagram of {} to {:?}", bytes.len(), server.address),
                Wish::Connect { handle, address } => { eprintln!("{url}: connect {address}"); trackers.on_connected(now, handle, &mut rng); }
                Wish::Send { bytes, .. } => eprintln!("   {}", String::from_utf8_lossy(&bytes).lines().next().unwrap()),
                _ => {}
            }
        }
    }
}

#[test]
fn t17_a_rejecting_peer_wakes_the_box() {
    let mut stage = Stage::new(8, Giving::default(), false);
    let peer = stage.peer("1.2.3.4:5", true);
    stage.say(peer, &[Message::HaveAll, Message::Unchoke]);
    let mut wakes = 0;
    let mut asked = 0;
    for _ in 0..600 {
        let blocks = stage.asked(peer);
        asked += blocks.len();
        let answers: Vec<_> = blocks.iter().map(|&block| Message::Reject(block)).collect();
        if answers.is_empty() { keep_alive(&mut stage, peer); } else { stage.say(peer, &answers); }
        wakes += stage.wait(Duration::from_secs(1));
    }
    eprintln!("{wakes} wakes in ten minutes, {asked} requests");
}
