//! Trackers that are reached with TLS, through a proxy, or not at all.

use super::*;
use crate::proxy::{Proxy, Routes};
use crate::wire::Server;
use crate::wire::url::{Host, Scheme};

pub(super) fn through_a_proxy(urls: &[&str]) -> World {
    let routes = Routes::through(Proxy::parse("socks5://10.0.0.1:1080").unwrap());
    World::along(routes, &[urls])
}

/// The server that the one wish is for.
fn server(wishes: &[Wish]) -> (Handle, &Server) {
    let [Wish::Reach { handle, server }] = wishes else { panic!("{wishes:?}") };
    (*handle, server)
}

fn redirect(to: &str) -> String {
    format!("HTTP/1.1 302 Found\r\nLocation: {to}\r\nContent-Length: 0\r\n\r\n")
}

#[test]
fn through_a_proxy_no_name_is_resolved_and_nobody_is_taken_for_a_neighbour() {
    let mut world = through_a_proxy(&["http://t.example:6969/announce"]);
    let wishes = world.on_time();
    let (handle, asked) = server(&wishes);
    let host = Host::Name("t.example".into());
    assert_eq!(*asked, Server { scheme: Scheme::Http, host, port: 6969, address: None });
    assert!(matches!(world.connected(handle)[..], [Wish::Send { .. }]));
    world.bytes(handle, &ok(GOOD));
    let [News::Answered { from: None, peers, .. }] = &world.news()[..] else { panic!("not answered") };
    assert_eq!(peers.len(), 1);
    // At the end, too.
    world.trackers.stop(world.now, &world.totals, &mut world.rng);
    let wishes = world.wishes();
    assert_eq!(server(&wishes).1.address, None);
}

#[test]
fn through_a_proxy_of_http_addresses_go_as_they_are_and_udp_does_not_go() {
    let routes = Routes::through(Proxy::parse("http://10.0.0.1:3128").unwrap());
    let mut world = World::along(routes, &[&["http://9.9.9.9/a", "udp://u.example:1"]]);
    let News::Unsupported { why, .. } = &world.news()[0] else { panic!("udp is taken") };
    assert_eq!(why, "UDP does not go through the proxy");
    let wishes = world.on_time();
    assert_eq!(server(&wishes).1.address, Some("9.9.9.9:80".parse().unwrap()));
}

#[test]
fn through_a_proxy_nobody_is_sent_into_the_local_network() {
    for (url, to) in [
        ("http://t.example/", "http://192.168.0.1/"),
        ("http://9.9.9.9/", "http://127.0.0.1:631/"),
        ("http://t.example/", "http://localhost:631/"),
        ("http://t.example/", "http://nas.local/"),
        ("http://9.9.9.9/", "http://router/"),
    ] {
        let mut world = through_a_proxy(&[url]);
        let wishes = world.on_time();
        let (handle, _) = server(&wishes);
        world.connected(handle);
        world.bytes(handle, &redirect(to));
        let [News::Failed { fault: Fault::RedirectInside, .. }] = world.news()[..] else { panic!("{to}") };
    }
    for (url, to) in [
        ("http://t.example/", "http://other.example/"),
        ("http://t.local/", "http://other.local/"),
        ("http://10.0.0.9/", "http://router/"),
    ] {
        let mut world = through_a_proxy(&[url]);
        let wishes = world.on_time();
        let (handle, _) = server(&wishes);
        world.connected(handle);
        let wishes = world.bytes(handle, &redirect(to));
        assert!(matches!(&wishes[..], [Wish::Close { .. }, Wish::Reach { .. }]), "{to}: {wishes:?}");
    }
}

#[test]
fn a_name_behind_a_proxy_that_fails_is_a_failure_of_the_tracker() {
    let mut world = through_a_proxy(&["http://t.example/"]);
    let wishes = world.on_time();
    let (handle, _) = server(&wishes);
    world.closed(handle, Some("the proxy wants a user and a password"));
    let [News::Failed { fault: Fault::Broken(why), .. }] = &world.news()[..] else { panic!("not failed") };
    assert_eq!(why, "the proxy wants a user and a password");
}

#[test]
fn a_tracker_whose_name_is_exempt_is_resolved_here_and_told_by_its_name() {
    let environment = |name: &str| match name {
        "ALL_PROXY" => Some(String::from("socks5://10.0.0.1")),
        "NO_PROXY" => Some(String::from(".example")),
        _ => None,
    };
    let urls = ["http://t.example/", "udp://u.example:1"];
    let mut world = World::along(Routes::of_environment(environment).unwrap(), &[&urls[..1], &urls[1..]]);
    assert_eq!(world.news(), vec![]);
    let wishes = world.on_time();
    let [Wish::Resolve { handle, .. }, Wish::Resolve { .. }] = &wishes[..] else { panic!("{wishes:?}") };
    let wishes = world.resolved(*handle, &["9.9.9.9"]);
    let asked = server(&wishes).1;
    assert_eq!(
        (&asked.host, asked.address),
        (&Host::Name("t.example".into()), Some("9.9.9.9:80".parse().unwrap()))
    );
}

#[cfg(feature = "tls")]
#[test]
fn an_https_tracker_is_resolved_here_and_verified_by_its_name() {
    let mut world = World::new(&[&["https://t.example/announce"]]);
    let wishes = world.on_time();
    let [Wish::Resolve { handle, .. }] = &wishes[..] else { panic!("{wishes:?}") };
    let wishes = world.resolved(*handle, &["9.9.9.9", "8.8.8.8"]);
    let (handle, asked) = server(&wishes);
    let (host, address) = (Host::Name("t.example".into()), Some("9.9.9.9:443".parse().unwrap()));
    assert_eq!(*asked, Server { scheme: Scheme::Https, host, port: 443, address });
    let wishes = world.closed(handle, Some("its certificate has expired"));
    assert_eq!(server(&wishes).1.address, Some("8.8.8.8:443".parse().unwrap()));
}

#[cfg(feature = "tls")]
#[test]
fn a_redirect_may_lead_to_https_but_never_back() {
    let mut world = World::new(&[&["http://9.9.9.9/"]]);
    let (handle, _) = {
        let wishes = world.on_time();
        world.reach(&wishes)
    };
    let wishes = world.bytes(handle, &redirect("https://8.8.8.8/x"));
    let [Wish::Close { .. }, Wish::Reach { handle, .. }] = wishes[..] else { panic!("{wishes:?}") };
    world.connected(handle);
    world.bytes(handle, &redirect("http://8.8.8.8/x"));
    let [News::Failed { fault: Fault::RedirectPlain, .. }] = world.news()[..] else { panic!("followed") };
}

#[cfg(not(feature = "tls"))]
#[test]
fn without_tls_https_is_named_and_passed_over() {
    let mut world = World::new(&[&["https://t.example/", "http://9.9.9.9/"]]);
    let News::Unsupported { tracker: 0, why } = &world.news()[0] else { panic!("it is taken") };
    assert_eq!(why, "this build has no TLS");
    let wishes = world.on_time();
    let (handle, _) = world.reach(&wishes);
    world.bytes(handle, &redirect("https://t.example/"));
    let [News::Failed { fault, .. }] = &world.news()[..] else { panic!("followed") };
    assert_eq!(fault.to_string(), "redirect to https, but this build has no TLS");
}
