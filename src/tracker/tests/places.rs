//! Where a URL or a name server may lead us.

use super::*;

#[test]
fn trackers_that_are_nobody_or_an_order_are_said_once_and_passed_over() {
    let urls = [
        "udp://239.255.255.250:1900/announce",
        "udp://255.255.255.255:9/a",
        "udp://0.0.0.0:53/a",
        "http://0.0.0.0:8080/announce",
        "http://192.168.1.1/apply.cgi?reboot=1",
        "http://127.0.0.1:631/x",
    ];
    let mut world = World::new(&[&urls]);
    assert_eq!(world.news().len(), urls.len());
    assert_eq!((world.on_time(), world.trackers.next_deadline()), (vec![], None));
}

#[test]
fn trackers_in_the_local_network_work() {
    for url in [
        "http://192.168.1.5:6969/announce",
        "http://127.0.0.1/KEY/announce",
        "http://10.0.0.1/announce?key=1",
    ] {
        let mut world = World::new(&[&[url]]);
        let wishes = world.on_time();
        world.answer(&wishes, GOOD);
        assert!(matches!(world.news()[..], [News::Answered { .. }]));
    }
    let mut world = World::new(&[&["udp://192.168.1.5:6969/announce"]]);
    assert!(matches!(world.on_time()[..], [Wish::Post { .. }]));
}

#[test]
fn a_name_that_leads_to_nobody_is_a_failure_in_words() {
    for (url, ip, words) in [
        ("http://t.example/announce", "0.0.0.0", "its name leads to 0.0.0.0"),
        ("udp://t.example:53/announce", "0.0.0.0", "its name leads to 0.0.0.0"),
        ("udp://t.example:1900/announce", "239.255.255.250", "its name leads to 239.255.255.250"),
        ("http://t.example/announce", "::", "its name leads to ::"),
        ("udp://t.example:1/announce", "ff02::1", "its name leads to ff02::1"),
        ("http://t.example/apply.cgi?reboot=1", "192.168.1.1", "only paths like /announce"),
    ] {
        let mut world = World::new(&[&[url]]);
        let wishes = world.on_time();
        assert_eq!(world.resolved(handles(&wishes)[0], &[ip]), [], "{url} at {ip}");
        let [News::Failed { fault, .. }] = &world.news()[..] else { panic!("{url} at {ip}") };
        assert!(fault.to_string().contains(words), "{fault}");
    }
}

#[test]
fn of_several_addresses_those_of_somebody_are_asked() {
    let mut world = World::new(&[&["http://t.example/announce"]]);
    let wishes = world.on_time();
    let wishes = world.resolved(handles(&wishes)[0], &["0.0.0.0", "9.9.9.9"]);
    let [Wish::Connect { address, .. }] = wishes[..] else { panic!("{wishes:?}") };
    assert_eq!(address, "9.9.9.9:80".parse().unwrap());
    let mut world = World::new(&[&["udp://t.example:1/announce"]]);
    let wishes = world.on_time();
    let wishes = world.resolved(handles(&wishes)[0], &["255.255.255.255", "9.9.9.9"]);
    let [Wish::Post { server, .. }] = &wishes[..] else { panic!("{wishes:?}") };
    assert_eq!(server.address, Some("9.9.9.9:1".parse().unwrap()));
}

#[test]
fn a_redirect_leads_to_nobody_no_more_than_a_url() {
    for (to, words) in [
        ("http://0.0.0.0/announce", "leads to 0.0.0.0"),
        ("http://192.168.1.1/apply.cgi?reboot=1", "only paths like /announce"),
    ] {
        let mut world = World::new(&[&["http://192.168.1.5/announce"]]);
        let wishes = world.on_time();
        let (handle, _) = world.reach(&wishes);
        world.bytes(handle, &format!("HTTP/1.1 302 Found\r\nLocation: {to}\r\n\r\n"));
        let [News::Failed { fault, .. }] = &world.news()[..] else { panic!("{to}") };
        assert!(fault.to_string().contains(words), "{fault}");
    }
}
