//! Addresses that are not spoken to again.

use crate::base::limits::BANS_MAX;
use alloc::collections::VecDeque;
use core::net::{IpAddr, Ipv6Addr, SocketAddr};

/// At most [`BANS_MAX`] bans; the oldest gives way.
#[derive(Debug, Default)]
pub(super) struct Bans(VecDeque<SocketAddr>);

impl Bans {
    pub fn add(&mut self, address: SocketAddr) {
        if self.has(address) {
            return;
        }
        if self.0.len() >= BANS_MAX {
            self.0.pop_front();
        }
        self.0.push_back(culprit(address));
    }

    pub fn has(&self, address: SocketAddr) -> bool {
        !self.0.is_empty() && self.0.contains(&culprit(address))
    }
}

/// Whom a ban of `address` hits: the machine. On IPv6 that is its network of 64 bits, in which it may take any
/// address; on loopback, where many share an address, it is the port.
fn culprit(address: SocketAddr) -> SocketAddr {
    match address.ip() {
        ip if ip.is_loopback() => address,
        IpAddr::V4(_) => SocketAddr::new(address.ip(), 0),
        IpAddr::V6(ip) => {
            let [a, b, c, d, ..] = ip.segments();
            SocketAddr::new(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into(), 0)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ban_hits_the_machine() {
        let mut bans = Bans::default();
        for address in ["1.2.3.4:5", "[2001:db8:1:2:3::4]:5", "127.0.0.1:5"] {
            bans.add(address.parse().unwrap());
        }
        for hit in ["1.2.3.4:5", "1.2.3.4:99", "[2001:db8:1:2:ffff::1]:7", "127.0.0.1:5"] {
            assert!(bans.has(hit.parse().unwrap()), "{hit}");
        }
        for spared in ["1.2.3.5:5", "[2001:db8:1:3::4]:5", "127.0.0.1:6", "[::1]:5"] {
            assert!(!bans.has(spared.parse().unwrap()), "{spared}");
        }
    }

    #[test]
    fn the_oldest_ban_gives_way() {
        let mut bans = Bans::default();
        let address = |at: usize| SocketAddr::from(([10, 0, (at >> 8) as u8, at as u8], 1));
        (0..=BANS_MAX).for_each(|at| bans.add(address(at)));
        assert_eq!(
            (bans.0.len(), bans.has(address(0)), bans.has(address(BANS_MAX))),
            (BANS_MAX, false, true)
        );
    }
}
