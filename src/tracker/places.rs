//! Which servers may be asked. A `.torrent` is a stranger's word, and so is what a name server says: neither shall send us to
//! everybody at once, to nobody, or with orders to the router.

use super::exchange::Fault;
use crate::wire::address::{is_dialable, is_local, is_local_name};
use crate::wire::url::{Host, Scheme, Url};
use core::net::{IpAddr, SocketAddr};

const NOBODY: &str = "nobody can have its address";
/// See [`is_trackers_path`].
pub(super) const LOCAL_PATH: &str =
    "on this machine and in the local network only paths like /announce are asked for";

/// Why the server of a tracker's URL is never asked, as far as the URL tells.
pub(crate) fn misplaced(url: &Url) -> Option<&'static str> {
    let is_inside = match url.host() {
        Host::Address(ip) if !is_dialable(SocketAddr::new(*ip, url.port())) => return Some(NOBODY),
        Host::Address(ip) => is_local(*ip),
        Host::Name(name) => is_local_name(name),
    };
    (is_inside && !is_harmless(url)).then_some(LOCAL_PATH)
}

/// Why the server of `url` is not asked at `ip`. `confined`: somebody outside has sent us there.
pub(crate) fn refusal(url: &Url, ip: IpAddr, confined: bool) -> Option<Fault> {
    match is_local(ip) {
        _ if !is_dialable(SocketAddr::new(ip, url.port())) => Some(Fault::Nobody(ip)),
        true if confined => Some(Fault::RedirectInside),
        true if !is_harmless(url) => Some(Fault::LocalPath),
        _ => None,
    }
}

/// True if whoever is asked for it will do no more than answer: routers and printers take orders in a path or a query.
fn is_harmless(url: &Url) -> bool {
    url.scheme() == Scheme::Udp || is_trackers_path(url.target())
}

/// True for `/`, `/announce` and the like (`announce.php?passkey=…`, `scrape`), alone or beside one word, as private trackers
/// have it. A longer path may name a script and give it orders.
fn is_trackers_path(target: &str) -> bool {
    let path = target.split('?').next().unwrap_or_default();
    let is_word = |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
    let is_verb = |text: &str| {
        let rest = text.strip_prefix("announce").or_else(|| text.strip_prefix("scrape"));
        rest.is_some_and(|rest| is_word(rest.strip_prefix('.').unwrap_or(rest)))
    };
    let mut parts = path.split('/').skip(1);
    match (parts.next(), parts.next(), parts.next()) {
        (Some(verb), None, None) => target == "/" || is_verb(verb),
        (Some(one), Some(other), None) => is_word(one) && is_verb(other) || is_verb(one) && is_word(other),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trackers_in_the_house_are_told_from_orders_to_the_router() {
        let good = [
            "/",
            "/announce",
            "/announce?passkey=1",
            "/announce.php?passkey=1",
            "/0aF-_9/announce",
            "/announce/0aF",
            "/scrape",
        ];
        for target in good {
            assert!(is_trackers_path(target), "{target}");
        }
        let bad = [
            "/apply.cgi?reboot=1",
            "/?reboot=1",
            "/reboot",
            "/cgi-bin/apply.cgi/announce",
            "/apply.cgi/announce?reboot=1",
            "/;reboot/announce",
            "/a/b/announce",
            "/announce.php/../apply.cgi",
            "/announce;reboot",
            "/%61pply/announce",
            "//announce?x",
            "/announce/",
        ];
        for target in &bad[..bad.len() - 2] {
            assert!(!is_trackers_path(target), "{target}");
        }
    }

    #[test]
    fn nobody_is_asked_where_nobody_is() {
        let why = |text: &str| misplaced(&Url::parse(text).unwrap());
        for text in [
            "udp://239.255.255.250:1900/announce",
            "udp://255.255.255.255:9/announce",
            "http://0.0.0.0:8080/announce",
            "http://[ff02::1]/announce",
            "http://[::]/announce",
            "http://[::ffff:0.0.0.0]/announce",
        ] {
            assert_eq!(why(text), Some(NOBODY), "{text}");
        }
        for text in [
            "http://192.168.1.1/apply.cgi?reboot=1",
            "http://127.0.0.1:631/x",
            "http://[::1]/x",
            "http://localhost/x",
            "http://router/x",
            "http://nas.local/x",
        ] {
            assert_eq!(why(text), Some(LOCAL_PATH), "{text}");
        }
        for text in [
            "http://192.168.1.1/announce",
            "http://127.0.0.1:6969/announce",
            "http://tracker.lan/key/announce",
            "udp://192.168.1.1:1/x?y",
            "http://9.9.9.9/x?y",
        ] {
            assert_eq!(why(text), None, "{text}");
        }
        let url = Url::parse("http://t.example/x").unwrap();
        let refused = |ip: &str| refusal(&url, ip.parse().unwrap(), false);
        assert_eq!(refused("0.0.0.0"), Some(Fault::Nobody([0, 0, 0, 0].into())));
        assert_eq!((refused("127.0.0.1"), refused("9.9.9.9")), (Some(Fault::LocalPath), None));
    }
}
