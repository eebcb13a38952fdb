//! Answers that fit into no datagram.

use super::*;
use crate::base::limits::{DNS_ROUNDS, DNS_STREAMS_MAX};
use crate::wire::dns::framed;

/// The answer says that there is more.
fn truncated(question: &Asked, ips: &[&str]) -> Vec<u8> {
    let mut message = answer(question, ips, 60);
    message[2] |= 0x02;
    message
}

/// A stream that was wished for, as if its question had come in a datagram.
fn opened(world: &mut World) -> (u32, Asked) {
    let wishes = world.wishes();
    let [Wish::Open { stream, server, bytes }] = &wishes[..] else { panic!("{wishes:?}") };
    assert_eq!(bytes[..2], [0, bytes.len() as u8 - 2]);
    (*stream, Asked { server: *server, bytes: bytes[2..].to_vec() })
}

impl World {
    fn feed(&mut self, stream: u32, bytes: &[u8]) {
        self.resolver.on_stream_bytes(self.now, stream, bytes, &mut self.rng);
    }

    fn close(&mut self, stream: u32) {
        self.resolver.on_stream_closed(self.now, stream, &mut self.rng);
    }

    /// A name of which IPv6 is settled, and the stream for its IPv4 addresses.
    fn streaming(servers: u8, ips: &[&str]) -> (Self, u32, Asked) {
        let mut world = Self::new(servers);
        let asked = world.resolve(1, "t.example");
        world.hear(server(1), &answer(&asked[1], &[], 60));
        world.hear(server(1), &truncated(&asked[0], ips));
        let (stream, question) = opened(&mut world);
        assert_eq!(question, asked[0]);
        (world, stream, question)
    }
}

#[test]
fn a_truncated_answer_is_asked_for_again_on_a_stream() {
    let (mut world, stream, question) = World::streaming(1, &["1.2.3.4"]);
    assert_eq!(world.resolved(), [], "a part of the answer is not enough");
    let bytes = framed(&answer(&question, &["1.2.3.4", "1.2.3.5"], 60));
    for byte in &bytes[..bytes.len() - 1] {
        world.feed(stream, &[*byte]);
    }
    assert_eq!((world.wishes(), world.resolved()), (vec![], vec![]));
    world.feed(stream, &bytes[bytes.len() - 1..]);
    assert_eq!(world.wishes(), [Wish::Close { stream }]);
    assert_eq!(world.resolved(), [(1, "1.2.3.4 1.2.3.5".into())]);
    world.feed(stream, &bytes);
    world.close(stream);
    assert_eq!((world.wishes(), world.partly_resolved()), (vec![], vec![]), "nobody listens any more");
}

#[test]
fn a_stream_that_breaks_or_lies_costs_no_time() {
    let end: [fn(&mut World, u32, &Asked); 4] = [
        |world, stream, _| world.close(stream),
        |world, stream, _| world.feed(stream, &[0, 0]),
        |world, stream, question| world.feed(stream, &framed(&code(question, 2))),
        |world, stream, question| {
            let mut other = answer(question, &["6.6.6.6"], 60);
            other[0] ^= 1;
            world.feed(stream, &framed(&other));
        },
    ];
    for end in end {
        let (mut world, stream, question) = World::streaming(2, &[]);
        end(&mut world, stream, &question);
        let wishes = world.wishes();
        let [Wish::Close { .. }, Wish::Send { server: other, bytes }] = &wishes[..] else {
            panic!("{wishes:?}")
        };
        assert_eq!(*other, server(2));
        world.hear(server(2), &answer(&Asked { server: *other, bytes: bytes.clone() }, &["1.2.3.4"], 60));
        assert_eq!(world.resolved(), [(1, "1.2.3.4".into())]);
    }
}

#[test]
fn a_server_without_streams_has_its_datagram_believed_in_the_end() {
    for (ips, wanted) in [(&["1.2.3.4"][..], "1.2.3.4"), (&[], "")] {
        let (mut world, stream, _) = World::streaming(1, ips);
        world.close(stream);
        assert_eq!(world.wishes(), [Wish::Close { stream }]);
        assert_eq!(world.resolved(), [(1, wanted.into())]);
    }
}

#[test]
fn a_stream_that_dribbles_does_not_keep_the_next_server_waiting() {
    let (mut world, stream, question) = World::streaming(2, &[]);
    let bytes = framed(&answer(&question, &["1.2.3.4"], 60));
    world.feed(stream, &bytes[..5]);
    let second = world.pass(DNS_PATIENCE);
    assert_eq!(servers_of(&second), [server(2)]);
    world.feed(stream, &bytes[5..6]);
    world.hear(server(2), &answer(&second[0], &["1.2.3.9"], 60));
    assert_eq!(
        (world.wishes(), world.resolved()),
        (vec![Wish::Close { stream }], vec![(1, "1.2.3.9".into())])
    );
}

#[test]
fn a_stream_that_never_ends_ends_with_the_name() {
    let (mut world, stream, _) = World::streaming(1, &[]);
    let mut asked = 0;
    while let Some(deadline) = world.resolver.next_deadline() {
        world.now = deadline;
        world.feed(stream, &[7]);
        world.resolver.on_time(deadline, &mut world.rng);
        for wish in world.wishes() {
            match wish {
                Wish::Send { server, bytes } => {
                    asked += 1;
                    world.hear(server, &truncated(&Asked { server, bytes }, &[]));
                }
                closed => {
                    assert_eq!((closed, world.resolver.next_deadline()), (Wish::Close { stream }, None));
                }
            }
        }
    }
    assert_eq!((asked, world.resolved()), (usize::from(DNS_ROUNDS) - 1, vec![(1, String::new())]));
}

#[test]
fn the_number_of_streams_is_bounded() {
    let mut world = World::new(1);
    let mut asked = Vec::new();
    for query in 0..100 {
        asked.extend(world.resolve(query, &format!("h{query}.example")));
    }
    let (mut open, mut most) = (0, 0);
    for round in 0..10 {
        for one in core::mem::take(&mut asked) {
            world.hear(one.server, &truncated(&one, &[]));
            for wish in world.wishes() {
                match wish {
                    Wish::Send { server, bytes } => asked.push(Asked { server, bytes }),
                    Wish::Open { .. } => open += 1,
                    Wish::Close { .. } => open -= 1,
                }
            }
            most = most.max(open);
        }
        if asked.is_empty() && round > 0 {
            break;
        }
    }
    assert_eq!(most, DNS_STREAMS_MAX, "one for each question under way");
}
