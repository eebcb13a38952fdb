//! The limits of both directions, over all torrents.

use super::{Action, Session};
use crate::base::limits::LINE_INTERVAL;
use crate::base::units::KIB;
use crate::base::{Instant, StreamId};
use alloc::format;
use alloc::string::String;

impl Session {
    /// Bytes that may be read from `stream` at `now`; with 0, [`Action::Resume`] follows.
    pub fn allowance(&mut self, now: Instant, stream: StreamId) -> usize {
        let heard = self.hear(stream);
        if heard == 0 || self.down_pacer.rate().is_none() {
            return heard;
        }
        let Some((_, open)) = self.streams.open(stream) else { return usize::MAX };
        let bytes = self.down_pacer.allowed(now, stream, &mut open.service.down);
        usize::try_from(bytes).unwrap_or(usize::MAX).min(heard)
    }

    /// `count` bytes have come.
    pub(super) fn count_received(&mut self, now: Instant, stream: StreamId, count: usize) {
        self.on_sign_of_life(now);
        self.measure_line(now);
        if self.down_pacer.rate().is_some()
            && let Some((_, open)) = self.streams.open(stream)
        {
            self.down_pacer.took(now, &mut open.service.down, count as u64);
        }
    }

    /// Memory is promised by how much the line brings; that is looked at now and then.
    fn measure_line(&mut self, now: Instant) {
        if now >= self.reading.next_measure {
            self.reading.next_measure = now + LINE_INTERVAL;
            self.pool.set_line(self.torrents.iter().map(|torrent| torrent.down.per_second(now)).sum());
        }
    }

    /// When those who wait for a limit are served.
    pub(super) fn pace_deadline(&self) -> Option<Instant> {
        [self.up_pacer.next_deadline(), self.down_pacer.next_deadline()].into_iter().flatten().min()
    }

    /// Serves those who wait for a limit.
    pub(super) fn pace(&mut self, now: Instant) {
        if let Some(round) = self.up_pacer.round(now) {
            for _ in 0..round.peers {
                let Some(stream) = self.up_pacer.next_waiting() else { break };
                if let Some((_, open)) = self.streams.open(stream) {
                    open.service.up.deal(now, round.bytes);
                    // It has waited for us, not we for it.
                    open.service.progress = now;
                    self.flush(stream);
                }
            }
        }
        if let Some(round) = self.down_pacer.round(now) {
            for _ in 0..round.peers {
                let Some(stream) = self.down_pacer.next_waiting() else { break };
                if let Some((_, open)) = self.streams.open(stream) {
                    let waited = open.service.down.deal(now, round.bytes);
                    self.actions.push_back(Action::Resume { stream });
                    open.pipeline.was_held_up(waited);
                    let silence = open.pipeline.snub_deadline();
                    silence.into_iter().for_each(|due| self.walk_by(due));
                }
            }
        }
    }

    /// Sets a limit in bytes per second; 0: none. Answers what is so from now on.
    pub(super) fn set_limit(&mut self, now: Instant, up: bool, rate: u64) -> String {
        let (pacer, limit, way) = if up {
            (&mut self.up_pacer, &mut self.giving.up_limit, "up")
        } else {
            (&mut self.down_pacer, &mut self.giving.down_limit, "down")
        };
        pacer.set_rate(now, rate);
        *limit = rate;
        if up {
            self.choke_by(now);
        }
        match rate {
            0 => format!("{way} is not limited"),
            _ => format!("{way} is limited to {} KiB/s", rate / u64::from(KIB)),
        }
    }
}
