//! Requests of one peer: how many there are, when they go out, and what becomes of them.

use super::*;
use crate::base::limits::{FIRST_BLOCK_PATIENCE, SNUB_MAX, SNUB_MIN};

fn block(nth: u32) -> Block {
    Block { piece: nth, begin: 0, length: BLOCK_BYTES }
}

/// A peer that answers after `latency_us` at `rate` bytes per second; returns the rate that was reached in the last
/// half of `seconds`, and the largest window.
fn run(latency_us: u64, rate: u64, seconds: u64, share: u32) -> (u64, u32) {
    let mut pipeline = Pipeline::default();
    pipeline.set_reqq(2000);
    let block_us = (u64::from(BLOCK_BYTES) * 1_000_000 / rate).max(1);
    let (mut wire, mut now, mut free_at, mut nth) = (VecDeque::new(), 1_000_000u64, 0u64, 0);
    let (mut late_bytes, mut widest, end) = (0u64, 0, 1_000_000 + seconds * 1_000_000);
    while now < end {
        while pipeline.outstanding() < pipeline.window(share) {
            pipeline.sent(Instant::from_micros(now), block(nth));
            free_at = free_at.max(now + latency_us) + block_us;
            wire.push_back((free_at, nth));
            nth += 1;
        }
        widest = widest.max(pipeline.outstanding());
        let (at, which) = wire.pop_front().unwrap();
        now = at;
        pipeline.arrived(Instant::from_micros(now), block(which)).unwrap();
        if now > end - seconds * 500_000 {
            late_bytes += u64::from(BLOCK_BYTES);
        }
    }
    (late_bytes * 2 / seconds, widest)
}

#[test]
fn the_window_fills_the_link_whatever_its_latency() {
    for (latency_us, rate) in
        [(200, 100 << 20), (1_000, 50 << 20), (20_000, 10 << 20), (100_000, 4 << 20), (300_000, 64 << 10)]
    {
        let (reached, widest) = run(latency_us, rate, 10, 64);
        assert!(reached * 100 >= rate * 95, "{latency_us} µs, {rate} B/s: only {reached} B/s");
        assert!(widest <= 512, "{widest}");
    }
}

#[test]
fn memory_narrows_the_queue_but_not_below_the_round_trip() {
    let (_, wide) = run(10_000, 10 << 20, 5, 500);
    let (reached, narrow) = run(10_000, 10 << 20, 5, 8);
    assert!(narrow < 40 && wide > 100, "{narrow} {wide}");
    assert!(reached * 100 >= (10 << 20) * 95);
}

#[test]
fn silence_is_judged_by_the_peers_own_rhythm() {
    let at = |ms: u64| Instant::from_micros(ms * 1000);
    let mut pipeline = Pipeline::default();
    assert_eq!(pipeline.snub_deadline(), None);
    pipeline.sent(at(1000), block(0));
    assert_eq!(pipeline.snub_deadline(), Some(at(1000) + FIRST_BLOCK_PATIENCE));
    for nth in 0..50 {
        pipeline.sent(at(1000 + 100 * u64::from(nth)), block(nth + 1));
        pipeline.arrived(at(1100 + 100 * u64::from(nth)), block(nth)).unwrap();
    }
    assert_eq!(
        pipeline.snub_deadline(),
        Some(at(6000) + SNUB_MIN),
        "a quick peer has little patience to ask for"
    );
    pipeline.snub();
    pipeline.release(|_| {});
    let owes = (0, Some(at(5_900) + SNUB_MAX * 2));
    assert_eq!((pipeline.window(100), pipeline.snub_deadline()), owes, "it owes a block");
    pipeline.arrived(at(9000), block(50)).unwrap();
    assert!(!pipeline.is_snubbed() && pipeline.window(100) > 1);
}

#[test]
fn a_snubbed_peer_that_owes_nothing_is_given_one_block_for_a_while() {
    let at = |ms: u64| Instant::from_micros(ms * 1000);
    let mut pipeline = Pipeline::default();
    pipeline.sent(at(1000), block(0));
    pipeline.snub();
    pipeline.release(|_| {});
    pipeline.forget_released();
    assert_eq!((pipeline.window(100), pipeline.snub_deadline()), (1, None));
    pipeline.sent(at(9000), block(1));
    assert_eq!(pipeline.window(100), 0);
    assert_eq!(pipeline.snub_deadline(), Some(at(9000) + FIRST_BLOCK_PATIENCE));
}

#[test]
fn a_block_that_is_still_owed_is_taken_up_again_and_not_asked_for_twice() {
    let mut pipeline = Pipeline::default();
    pipeline.set_reqq(2);
    (0..2).for_each(|nth| pipeline.sent(Instant::ZERO, block(nth)));
    pipeline.release(|_| {});
    assert!(!pipeline.has_room(100), "the peer's queue is full");
    assert!(pipeline.adopt(Instant::ZERO, block(1)) && !pipeline.adopt(Instant::ZERO, block(7)));
    assert_eq!(pipeline.live().collect::<Vec<_>>(), [block(1)]);
}

#[test]
fn released_requests_fill_no_window_but_are_still_known() {
    let mut pipeline = Pipeline::default();
    (0..3).for_each(|nth| pipeline.sent(Instant::ZERO, block(nth)));
    let mut given_back = 0;
    pipeline.release(|_| given_back += 1);
    assert_eq!((given_back, pipeline.outstanding()), (3, 0));
    assert!(pipeline.arrived(Instant::ZERO, block(1)).is_some_and(|request| request.released));
    assert!(pipeline.arrived(Instant::ZERO, block(1)).is_none());
    pipeline.sent(Instant::ZERO, block(9));
    assert_eq!(pipeline.clear().collect::<Vec<_>>(), [block(9)]);
    assert_eq!(pipeline.outstanding(), 0);
}

#[test]
fn a_released_request_is_not_taken_back_but_taken_up() {
    let mut pipeline = Pipeline::default();
    (0..2).for_each(|nth| pipeline.sent(Instant::ZERO, block(nth)));
    assert!(pipeline.take_back(Instant::ZERO, block(0)) && !pipeline.take_back(Instant::ZERO, block(0)));
    pipeline.release(drop);
    assert!(
        !pipeline.take_back(Instant::ZERO, block(1)) && pipeline.adopt(Instant::ZERO, block(1)),
        "it is still owed"
    );
    assert!(pipeline.take_back(Instant::ZERO, block(1)) && !pipeline.adopt(Instant::ZERO, block(1)));
}

#[test]
fn what_is_withdrawn_is_welcome_and_asked_for_again() {
    let (mut pipeline, mut given_back) = (Pipeline::default(), Vec::new());
    (0..3).for_each(|nth| pipeline.sent(Instant::ZERO, block(nth)));
    pipeline.withdraw(Instant::ZERO, |_| panic!("nothing is released"));
    pipeline.release(|block| given_back.push(block));
    let mut room = 2;
    pipeline.withdraw(Instant::ZERO, |_| core::mem::replace(&mut room, 1) > 1);
    assert_eq!((given_back.len(), pipeline.expected().collect::<Vec<_>>()), (3, vec![block(1), block(2)]));
    assert!(pipeline.awaits(block(0)) && !pipeline.adopt(Instant::ZERO, block(0)));
    pipeline.withdraw(Instant::ZERO, |_| true);
    assert!(pipeline.has_room(16) && pipeline.expected().next().is_none());
    pipeline.sent(Instant::ZERO, block(0));
    assert!(pipeline.settle_cancelled(Instant::ZERO, block(0)), "the first answer is for the first request");
    pipeline.sent(Instant::ZERO, block(1));
    assert!(pipeline.arrived(Instant::ZERO, block(1)).is_some() && pipeline.awaits(block(1)));
    assert!(
        pipeline.arrived(Instant::ZERO, block(1)).is_none()
            && pipeline.settle_cancelled(Instant::ZERO, block(1))
    );
    assert!(pipeline.awaits(block(2)) && pipeline.arrived(Instant::ZERO, block(0)).is_some());
    assert!(!pipeline.awaits(block(2)), "it has left that out: what comes is what was asked for later");
}

#[test]
fn requests_go_out_in_batches() {
    let mut pipeline = Pipeline::default();
    let window = pipeline.window(16);
    let fill = |pipeline: &mut Pipeline, count| {
        (0..count).for_each(|nth| pipeline.sent(Instant::ZERO, block(nth)));
    };
    fill(&mut pipeline, window);
    assert!(!pipeline.is_low(16));
    pipeline.remove(block(0)).unwrap();
    assert!(pipeline.has_room(16) && !pipeline.is_low(16), "one of {window}");
    assert!((1..window / 4).all(|nth| pipeline.remove(block(nth)).is_some()));
    assert!(pipeline.is_low(16));
    pipeline.set_reqq(1);
    assert!(!pipeline.is_low(16));
    pipeline.clear().for_each(drop);
    assert!(pipeline.is_low(16));
}

#[test]
fn reqq_is_honoured() {
    let mut pipeline = Pipeline::default();
    pipeline.set_reqq(3);
    assert_eq!(pipeline.window(100), 3);
    pipeline.set_reqq(0);
    assert_eq!(pipeline.window(100), 1);
}

#[test]
fn what_was_taken_back_waits_in_the_peers_queue_until_it_is_answered_or_cannot_be_any_more() {
    let at = |ms: u64| Instant::from_micros(ms * 1000);
    for fast in [false, true] {
        let mut pipeline = Pipeline::new(fast);
        pipeline.set_reqq(3);
        (0..3).for_each(|nth| pipeline.sent(at(1_000), block(nth)));
        pipeline.release(|_| {});
        pipeline.withdraw(at(1_000), |_| true);
        assert!(!pipeline.has_room(100) && pipeline.is_held_up());
        assert!(pipeline.settle_cancelled(at(1_100), block(0)) && pipeline.has_room(100));
        pipeline.sent(at(1_100), block(3));
        assert!(!pipeline.has_room(100) && pipeline.outstanding() == 1);
        pipeline.arrived(at(1_200), block(3)).unwrap();
        pipeline.sent(at(1_200), block(4));
        assert_eq!(pipeline.has_room(100), !fast, "who need not answer has left the others out");
        pipeline.forget_unanswered(at(1_200) + SNUB_MIN);
        assert!(pipeline.has_room(100), "it does not answer them");
        assert!(pipeline.take_back(at(9_000), block(4)));
        (5..7).for_each(|nth| pipeline.sent(at(9_000), block(nth)));
        assert!(!pipeline.has_room(100), "one that another peer was faster with waits there like others");
    }
}
