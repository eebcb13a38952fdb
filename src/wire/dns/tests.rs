//! Questions as the RFC lays them out, and answers good and bad.

use super::*;
use crate::base::limits::{DNS_MESSAGE_BYTES_MAX, DNS_RECORDS_MAX};

const POINTER_TO_QUESTION: &[u8] = &[0xc0, 12];

fn question() -> Vec<u8> {
    query("t.example", Family::V4, false, &mut Rng::new(1)).unwrap()
}

/// An answer to `query` with these flags and records.
fn reply(query: &[u8], flags: [u8; 2], records: &[Vec<u8>]) -> Vec<u8> {
    let mut message = query.to_vec();
    message[2..4].copy_from_slice(&flags);
    message[7] = records.len() as u8;
    [&message[..], &records.concat()].concat()
}

fn record(owner: &[u8], kind: u16, ttl: u32, data: &[u8]) -> Vec<u8> {
    let length = (data.len() as u16).to_be_bytes();
    [owner, &kind.to_be_bytes(), &[0, 1], &ttl.to_be_bytes(), &length, data].concat()
}

fn addresses(texts: &[&str], ttl_seconds: u32) -> Result<Answer, DnsFault> {
    let addresses = texts.iter().map(|text| text.parse().unwrap()).collect();
    Ok(Answer { addresses, ttl_seconds, truncated: false })
}

#[test]
fn a_question_is_laid_out_as_the_rfc_says() {
    let message = question();
    assert_eq!(&message[2..], b"\x01\0\0\x01\0\0\0\0\0\0\x01t\x07example\0\0\x01\0\x01");
    let disguised =
        query("ttttttttttttttttttttttttttttttt.example", Family::V6, true, &mut Rng::new(1)).unwrap();
    let letters = &disguised[13..44];
    assert!(letters.contains(&b't') && letters.contains(&b'T') && disguised.ends_with(&[0, 28, 0, 1]));
    for bad in ["", ".", "a..b", "a.", &"x".repeat(64), &"abcdefg.".repeat(40)] {
        assert_eq!(query(bad, Family::V4, false, &mut Rng::new(1)), None, "{bad}");
    }
}

#[test]
fn names_are_what_fits_into_a_question() {
    let longest = ["x".repeat(63), "y".repeat(63), "z".repeat(63), "w".repeat(61)].join(".");
    let good = ["a", "_tracker._tcp.example", "xn--bcher-kva.example", "b\u{fc}cher.example", &longest];
    for good in good {
        assert!(is_name(good), "{good}");
        let message = query(good, Family::V4, false, &mut Rng::new(1)).unwrap();
        assert_eq!(message.len(), 12 + good.len() + 2 + 4);
    }
    for bad in ["", ".", "a.", ".a", "a..b", &"x".repeat(64), &longest.replace('w', "ww")] {
        assert!(!is_name(bad), "{bad}");
    }
}

#[test]
fn addresses_are_found_also_behind_aliases() {
    let query = question();
    let alias = record(POINTER_TO_QUESTION, TYPE_CNAME, 50, b"\x01a\xc0\x0e");
    let chained = record(b"\x01A\x07Example\0", TYPE_CNAME, 500, b"\x01b\xc0\x0e");
    let end = record(b"\x01b\xc0\x0e", TYPE_A, 99, &[5, 6, 7, 8]);
    let one = record(POINTER_TO_QUESTION, TYPE_A, 60, &[1, 2, 3, 4]);
    let two = record(b"\x01T\x07examplE\0", TYPE_A, 70, &[1, 2, 3, 5]);
    let other = record(b"\x05other\0", TYPE_A, 70, &[6, 6, 6, 6]);
    let text = record(POINTER_TO_QUESTION, 16, 1, b"\x03txt");
    let wrong_family = record(POINTER_TO_QUESTION, TYPE_AAAA, 1, &[0; 16]);
    let cases = [
        (vec![one.clone(), two, other, text, wrong_family], addresses(&["1.2.3.4", "1.2.3.5"], 60)),
        (vec![alias.clone(), chained.clone(), end.clone()], addresses(&["5.6.7.8"], 50)),
        (vec![end, chained, alias.clone()], addresses(&["5.6.7.8"], 50)),
        (vec![alias, one], addresses(&[], 0)),
        (vec![], addresses(&[], 0)),
    ];
    for (nth, (records, wanted)) in cases.into_iter().enumerate() {
        assert_eq!(answer(&reply(&query, [0x81, 0x80], &records), &query), wanted, "case {nth}");
    }
}

#[test]
fn ipv6_addresses_are_found() {
    let query = query("t.example", Family::V6, true, &mut Rng::new(9)).unwrap();
    let mut ip = [0; 16];
    ip[15] = 1;
    let message = reply(&query, [0x81, 0x80], &[record(POINTER_TO_QUESTION, TYPE_AAAA, u32::MAX, &ip)]);
    assert_eq!(answer(&message, &query), addresses(&["::1"], 0));
}

#[test]
fn what_answers_another_question_is_stray() {
    let query = question();
    let good = reply(&query, [0x81, 0x80], &[record(POINTER_TO_QUESTION, TYPE_A, 1, &[1, 2, 3, 4])]);
    assert!(answer(&good, &query).is_ok());
    for at in [0, 1, 2, 4, 5, 13, 16, 24, 26] {
        let mut bad = good.clone();
        bad[at] ^= 0x81;
        assert_eq!(answer(&bad, &query), Err(DnsFault::Stray), "byte {at}");
    }
    let mut shouted = good.clone();
    shouted[15] ^= 0x20;
    assert_eq!(answer(&shouted, &query), Err(DnsFault::OtherCase));
    for cut in 0..query.len() {
        assert_eq!(answer(&good[..cut], &query), Err(DnsFault::Stray), "cut at {cut}");
    }
    assert_eq!(answer(&query, &query), Err(DnsFault::Stray), "our own question sent back");
}

#[test]
fn servers_that_will_not_answer_are_told_apart() {
    let query = question();
    assert_eq!(answer(&reply(&query, [0x81, 0x83], &[]), &query), addresses(&[], 0), "no such name");
    assert_eq!(answer(&reply(&query, [0x81, 0x82], &[]), &query), Err(DnsFault::Refused(2)));
    assert_eq!(answer(&reply(&query, [0x81, 0x85], &[]), &query), Err(DnsFault::Refused(5)));
    assert_eq!(answer(&reply(&query, [0x81, 0x00], &[]), &query), Err(DnsFault::NotRecursive));
    assert_eq!(answer(&reply(&query, [0x85, 0x00], &[]), &query), addresses(&[], 0), "its own zone");
}

#[test]
fn a_truncated_answer_says_so_and_has_what_there_was_room_for() {
    let query = question();
    let nothing = answer(&reply(&query, [0x83, 0x80], &[]), &query).unwrap();
    assert!(nothing.truncated && nothing.addresses.is_empty());
    let one = record(POINTER_TO_QUESTION, TYPE_A, 9, &[1, 2, 3, 4]);
    let cut = reply(&query, [0x83, 0x80], &[one.clone(), one[..7].to_vec()]);
    let wanted = addresses(&["1.2.3.4"], 9).map(|answer| Answer { truncated: true, ..answer });
    assert_eq!(answer(&cut, &query), wanted);
}

#[test]
fn the_zone_says_for_how_long_nothing_is_remembered() {
    let query = question();
    let numbers = [1, 2, 3, 4, 300_u32].map(u32::to_be_bytes).concat();
    let zone =
        |ttl| record(b"\x07example\0", TYPE_SOA, ttl, &[&b"\x02ns\xc0\x0e\x01x\0"[..], &numbers].concat());
    for (ttl, code, wanted) in [(60, 0x83, 60), (9999, 0x83, 300), (9999, 0x80, 300)] {
        let mut message = reply(&query, [0x81, code], &[zone(ttl)]);
        message.swap(7, 9); // it stands among the authorities
        assert_eq!(answer(&message, &query), addresses(&[], wanted), "{ttl}");
        message.truncate(message.len() - 3);
        assert_eq!(answer(&message, &query), addresses(&[], 0), "cut off");
    }
    let one = record(POINTER_TO_QUESTION, TYPE_A, 9, &[1, 2, 3, 4]);
    let mut message = reply(&query, [0x81, 0x80], &[one, zone(1)]);
    (message[7], message[9]) = (1, 1);
    assert_eq!(answer(&message, &query), addresses(&["1.2.3.4"], 9), "an address has its own time");
}

#[test]
fn sixty_four_kibibytes_of_records_are_not_all_looked_at() {
    let query = question();
    let one = record(POINTER_TO_QUESTION, TYPE_A, 9, &[1, 2, 3, 4]);
    let mut message = reply(&query, [0x81, 0x80], &vec![one; 4000]);
    message[6..8].copy_from_slice(&4000_u16.to_be_bytes());
    assert_eq!(answer(&message, &query).unwrap().addresses.len(), DNS_RECORDS_MAX);
    let mut reader = StreamReader::default();
    let cut = reader.on_bytes(&framed(&message)).unwrap();
    assert_eq!(cut.len(), DNS_MESSAGE_BYTES_MAX);
    assert_eq!(answer(cut, &query).unwrap().addresses.len(), DNS_RECORDS_MAX);
    // Names without compression fill it sooner.
    let text = record(&[&[63][..], &[b'x'; 63], &[0]].concat(), 16, 9, &[1; 200]);
    let mut message = reply(&query, [0x81, 0x80], &vec![text; 60]);
    message[7] = 60;
    let mut reader = StreamReader::default();
    let answer = answer(reader.on_bytes(&framed(&message)).unwrap(), &query).unwrap();
    assert!(answer.truncated && answer.addresses.is_empty());
}

#[test]
fn broken_records_are_broken_answers() {
    let query = question();
    let here = query.len() as u8;
    let cases = [
        vec![0xc0, here],                                                     // a pointer to itself
        vec![0xc0],                                                           // half a pointer
        vec![0x40, 0],                                                        // a label of no kind
        vec![63, 1],                                                          // a label that is cut off
        record(POINTER_TO_QUESTION, TYPE_A, 1, &[1, 2, 3]),                   // an address too short
        record(POINTER_TO_QUESTION, TYPE_AAAA, 1, &[1; 17]),                  // too long
        record(POINTER_TO_QUESTION, TYPE_CNAME, 1, &[0xff, 0xff]),            // an alias beyond the end
        record(POINTER_TO_QUESTION, TYPE_A, 1, &[1, 2, 3, 4])[..13].to_vec(), // data cut off
        [&[63][..], &[b'x'; 63], &[0xc0, here]].concat(),                     // a name that grows for ever
    ];
    for (nth, broken) in cases.into_iter().enumerate() {
        assert_eq!(
            answer(&reply(&query, [0x81, 0x80], &[broken]), &query),
            Err(DnsFault::Malformed),
            "case {nth}"
        );
    }
}

#[test]
fn aliases_in_a_circle_end() {
    let query = question();
    let circle = record(POINTER_TO_QUESTION, TYPE_CNAME, 1, POINTER_TO_QUESTION);
    assert_eq!(answer(&reply(&query, [0x81, 0x80], &[circle]), &query), addresses(&[], 0));
}
