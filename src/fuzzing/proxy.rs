//! Fuzz bodies: what a proxy answers, what it brings, and the texts that name proxies.

use crate::base::limits::PROXY_HEAD_BYTES_MAX;
use crate::proxy::{Dialogue, Fault, Proxy, Routes, parcel};
use crate::wire::url::Host;
use alloc::string::{String, ToString};

/// An answer: however it is cut, the outcome is the same, and no byte behind it is taken. Of the first byte, the lowest
/// bits choose what the proxy speaks, whether we have a password, and whether it is asked for a stream or for datagrams; all
/// of it says how long the parts are. The same bytes serve as a datagram that it brings, as the text that names a proxy, and
/// as a list of exceptions.
pub fn answers(data: &[u8]) {
    let Some((&first, answer)) = data.split_first() else { return };
    let texts = ["socks5://10.0.0.1", "socks5://u:p@10.0.0.1", "http://10.0.0.1", "http://u:p@10.0.0.1"];
    let text = texts[usize::from(first) % texts.len()];
    let Ok(proxy) = Proxy::parse(text) else { panic!("{text} is good") };
    let dialogue = || match Dialogue::for_datagrams(&proxy).filter(|_| first & 4 != 0) {
        Some(dialogue) => (dialogue, true),
        None => (Dialogue::new(&proxy, &Host::Name("t.example".into()), 80), false),
    };
    let whole = heard(dialogue(), answer, answer.len().max(1));
    assert_eq!(
        whole,
        heard(dialogue(), answer, usize::from(first) + 1),
        "parts of {}",
        usize::from(first) + 1
    );
    if answer.len() < 2_000 {
        assert_eq!(whole, heard(dialogue(), answer, 1), "byte by byte");
    }
    brought(answer);
    if let Ok(text) = core::str::from_utf8(answer) {
        texts_at_work(text);
    }
}

/// A datagram from the proxy: what it says to have come from an address is the same when it is sent there.
fn brought(datagram: &[u8]) {
    let Some((from, bytes)) = parcel::unpacked(datagram) else { return };
    assert!(datagram.ends_with(bytes) && datagram.len() >= bytes.len() + 7);
    if let Some(from) = from {
        let again = parcel::packed(&Host::Address(from.ip()), from.port(), bytes);
        assert_eq!(parcel::unpacked(&again), Some((Some(from), bytes)));
    }
}

/// What becomes of a dialogue: the bytes that were taken if the way is open. If it is one for datagrams, it knows where they
/// are taken.
fn heard(
    (mut dialogue, for_datagrams): (Dialogue, bool),
    answer: &[u8],
    part_bytes: usize,
) -> Result<Option<usize>, Fault> {
    let mut taken = 0;
    for part in answer.chunks(part_bytes) {
        let said = dialogue.outgoing().len();
        assert!(said < 1_000, "{said} bytes wait to be said");
        dialogue.sent(said);
        let count = dialogue.on_bytes(part)?;
        assert!(count <= part.len());
        assert!(dialogue.is_open() || count == part.len(), "what is not the proxy's comes after its words");
        taken += count;
        assert!(taken <= PROXY_HEAD_BYTES_MAX);
        if dialogue.is_open() {
            assert_eq!(dialogue.on_bytes(b"stream"), Ok(0));
            assert_eq!(dialogue.relay().is_some(), for_datagrams);
            return Ok(Some(taken));
        }
    }
    Ok(None)
}

/// What is shown of a proxy names the same proxy again, without its password.
fn texts_at_work(text: &str) {
    if let Ok(proxy) = Proxy::parse(text) {
        let Ok(again) = Proxy::parse(&proxy.to_string()) else { panic!("{proxy} is shown and not read") };
        assert_eq!((proxy.kind, proxy.port), (again.kind, again.port));
        assert_eq!(proxy.host, again.host);
    }
    let environment = |name: &str| match name {
        "ALL_PROXY" => Some(String::from("socks5://10.0.0.1")),
        "NO_PROXY" => Some(text.into()),
        _ => None,
    };
    let Ok(routes) = Routes::of_environment(environment) else { panic!("the proxy is good") };
    let is_exempt = routes.to_peer([9, 9, 9, 9].into()).is_none();
    assert!(!is_exempt || text.contains(['*', '9', '/']), "{text:?} exempts 9.9.9.9");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fuzzing::mutation::mutate;

    #[test]
    fn answers_of_proxies_survive_mutation() {
        let seeds: [&[u8]; 7] = [
            b"\x00\x05\x00\x05\x00\x00\x01\x01\x02\x03\x04\x00\x50rest",
            b"\x01\x05\x02\x01\x00\x05\x00\x00\x03\x02ab\x00\x50rest",
            b"\x04\x05\x00\x05\x00\x00\x04\x01\x02\x03\x04\x05\x06\x07\x08\x01\x02\x03\x04\x05\x06\x07\x08\x00\x50",
            b"\x00\x00\x00\x00\x01\x01\x02\x03\x04\x00\x50bytes",
            b"\x02HTTP/1.1 100 X\r\n\r\nHTTP/1.1 200 OK\r\nA: b\r\n\r\nrest",
            b"\x03HTTP/1.1 407 X\r\n\r\n",
            b"\x00socks5://u:p@[::1]:80, 9.9.9.0/24 *.example",
        ];
        mutate(8_000, &seeds, answers);
    }
}
