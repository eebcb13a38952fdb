//! Trackers that lie, break off and send us elsewhere: everything ends in words, and the next one is asked.

use super::*;

/// What a tracker does once its request is sent.
enum Lie {
    Says(String),
    SaysAndCloses(&'static str),
    Resets,
    /// A byte now and then, as long as it is listened to.
    Drips,
}

#[test]
fn every_lie_ends_in_words_and_the_next_tracker() {
    let redirect = |to: &str| Lie::Says(format!("HTTP/1.1 302 Found\r\nLocation: {to}\r\n\r\n"));
    let chunked =
        |body: &str| Lie::Says(format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{body}"));
    let deep = ok(&["l".repeat(100_000), "e".repeat(100_000)].concat());
    let table = [
        (Lie::SaysAndCloses(""), "closed without an answer"),
        (Lie::SaysAndCloses("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nd8"), "closed in the middle"),
        (Lie::SaysAndCloses("HTTP/1.1 200 OK\r\n\r\nd8:interv"), "not bencode"),
        (Lie::Resets, "connection reset"),
        (Lie::Drips, "did not answer in time"),
        (Lie::Says("SSH-2.0-OpenSSH\r\n".into()), "not HTTP"),
        (
            Lie::Says("HTTP/1.1 200 OK\r\nContent-Length: 1073741824\r\n\r\n".into()),
            "longer than 1048576 bytes",
        ),
        (Lie::Says("x".repeat(HTTP_HEAD_BYTES_MAX + 1)), "not HTTP"),
        (chunked("zz\r\n"), "no valid size"),
        (chunked("\r\n"), "no valid size"),
        (chunked("3\r\nabcdef"), "longer than its size"),
        (chunked("ffffffffffffffff\r\n"), "longer than 1048576 bytes"),
        (Lie::Says(deep), "not bencode"),
        (Lie::Says(ok("<html>hello</html>")), "not bencode"),
        (Lie::Says(ok("d14:failure reason4:go !e")), "says: go !"),
        (
            Lie::Says("HTTP/1.1 503 X\r\nContent-Length: 25\r\n\r\nd14:failure reason4:busye".into()),
            "says: busy",
        ),
        (Lie::Says("HTTP/1.1 500 X\r\nContent-Length: 0\r\n\r\n".into()), "HTTP status 500"),
        (redirect("udp://t.example:1/"), "redirect to udp, but only HTTP can be redirected"),
        (redirect("http://"), "redirect to nowhere: the URL has no valid host"),
        (redirect("http://127.0.0.1:631/"), "into the local network refused"),
        (redirect("http://[::ffff:10.0.0.1]/"), "into the local network refused"),
    ];
    for (lie, words) in table {
        let mut world = World::new(&[&["http://9.1.1.1/", "http://9.2.2.2/"]]);
        let wishes = world.on_time();
        let (handle, _) = world.reach(&wishes);
        let (start, mut wishes) = (world.now, vec![]);
        match lie {
            Lie::Says(text) => drop(world.bytes(handle, &text)),
            Lie::SaysAndCloses(text) => drop((world.bytes(handle, text), world.closed(handle, None))),
            Lie::Resets => drop(world.closed(handle, Some("connection reset"))),
            Lie::Drips => {
                let mut byte = "HTTP/1.1 200 OK\r\nX: ".chars().chain(core::iter::repeat('x'));
                while world.trackers.members[handle.tracker as usize].state == State::Untried {
                    world.bytes(handle, byte.next().unwrap().encode_utf8(&mut [0; 4]));
                    wishes.extend(world.pass(seconds(1)));
                }
            }
        }
        assert!(world.now.since(start) <= ANNOUNCE_TIMEOUT);
        let mut news = world.news();
        news.retain(|news| matches!(news, News::Failed { tracker, .. } if *tracker as u32 == handle.tracker));
        let [News::Failed { tracker, fault, next, .. }] = &news[..] else { panic!("{words}: {news:?}") };
        assert!(fault.to_string().contains(words), "{words}: {fault}");
        assert!(TRACKER_BACKOFF_MIN.mul_f64(0.7) < *next && *next <= TRACKER_BACKOFF_MIN, "{next:?}");
        assert_eq!(*tracker as u32, handle.tracker);
        wishes.extend(world.on_time());
        let next = handles(&wishes).iter().any(|next| next.tracker != handle.tracker);
        assert!(next, "{words}: the next is asked at once");
    }
}

#[test]
fn streams_of_failed_announces_are_closed() {
    let mut world = World::new(&[&["http://9.1.1.1/"]]);
    let wishes = world.on_time();
    let (handle, _) = world.reach(&wishes);
    assert_eq!(world.bytes(handle, "rubbish"), [Wish::Close { handle }]);
    assert_eq!(world.bytes(handle, &ok(GOOD)), [], "what it says after that is not heard");
    assert_eq!(world.news().len(), 1);
}

#[test]
fn a_name_without_address_is_a_failure() {
    let mut world = World::new(&[&["http://gone.example/"]]);
    let wishes = world.on_time();
    assert_eq!(world.resolved(handles(&wishes)[0], &[]), []);
    let [News::Failed { fault, .. }] = &world.news()[..] else { panic!() };
    assert_eq!(fault.to_string(), "no address found for gone.example");
}

#[test]
fn the_next_address_of_a_name_is_tried() {
    let mut world = World::new(&[&["http://t.example:81/"]]);
    let wishes = world.on_time();
    let wishes = world.resolved(handles(&wishes)[0], &["9.9.9.8", "9.9.9.9", "9.9.9.10"]);
    let wishes = world.closed(handles(&wishes)[0], Some("network unreachable"));
    let [Wish::Connect { handle, address }] = wishes[..] else { panic!("{wishes:?}") };
    assert_eq!(address, "9.9.9.9:81".parse().unwrap());
    let wishes = world.pass(TRACKER_CONNECT_TIMEOUT);
    let [Wish::Close { handle: old }, Wish::Connect { handle: new, address }] = wishes[..] else {
        panic!("{wishes:?}")
    };
    assert_eq!((old, address), (handle, "9.9.9.10:81".parse().unwrap()));
    assert_eq!(world.connected(old), [], "a stale handle names nothing");
    assert_eq!(world.closed(old, None), []);
    assert_eq!(world.closed(new, Some("connection refused")), []);
    let [News::Failed { fault, .. }] = &world.news()[..] else { panic!() };
    assert_eq!(fault.to_string(), "connection refused");
}

#[test]
fn redirects_are_followed_but_not_for_ever() {
    let mut world = World::new(&[&["http://9.0.0.1:81/a/b?k=1"]]);
    let wishes = world.on_time();
    let (mut handle, _) = world.reach(&wishes);
    for turn in 0..REDIRECTS_MAX {
        let location =
            format!("HTTP/1.1 30{} Go\r\nLocation: c{turn}\r\n\r\n", [1, 2, 3, 7, 8][turn as usize % 5]);
        let wishes = world.bytes(handle, &location);
        let [Wish::Close { handle: old }, Wish::Connect { .. }] = wishes[..] else { panic!("{wishes:?}") };
        assert_eq!(old, handle);
        let request;
        (handle, request) = world.reach(&wishes[1..]);
        assert!(request.starts_with(&format!("GET /a/c{turn}?info_hash=")), "{request}");
    }
    world.bytes(handle, "HTTP/1.1 301 Go\r\nLocation: /\r\n\r\n");
    let [News::Failed { fault: Fault::Redirects, .. }] = world.news()[..] else { panic!() };
}

#[test]
fn a_name_that_a_redirect_resolves_inside_is_refused() {
    let mut world = World::new(&[&["http://t.example/"]]);
    let wishes = world.on_time();
    let (handle, _) = world.reach(&wishes);
    let wishes = world.bytes(handle, "HTTP/1.1 301 Go\r\nLocation: http://router.example/\r\n\r\n");
    let [Wish::Close { .. }, Wish::Resolve { handle, .. }] = wishes[..] else { panic!("{wishes:?}") };
    assert_eq!(world.resolved(handle, &["192.168.0.1", "fe80::1"]), []);
    let [News::Failed { fault: Fault::RedirectInside, .. }] = world.news()[..] else { panic!() };
}

#[test]
fn a_break_after_a_whole_body_is_forgiven() {
    let mut world = World::new(&[&["http://9.1.1.1/"]]);
    let wishes = world.on_time();
    let (handle, _) = world.reach(&wishes);
    world.bytes(handle, &format!("HTTP/1.0 200 OK\r\n\r\n{GOOD}"));
    world.closed(handle, Some("connection reset"));
    assert!(matches!(world.news()[..], [News::Answered { .. }]));
}
