//! What is remembered of names: their addresses, or that they have none.

use crate::base::Instant;
use crate::base::limits::{DNS_CACHE_MAX, DNS_NEGATIVE_TTL, DNS_TTL_MAX, DNS_TTL_MIN};
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;
use core::net::IpAddr;
use core::time::Duration;

/// At most [`DNS_CACHE_MAX`] names.
#[derive(Debug, Default)]
pub(super) struct Cache(BTreeMap<String, (Instant, Vec<IpAddr>)>);

impl Cache {
    /// What is known of `name` and still true.
    pub fn get(&self, now: Instant, name: &str) -> Option<&[IpAddr]> {
        let (until, addresses) = self.0.get(name)?;
        (now < *until).then_some(addresses)
    }

    /// Remembers the addresses of `name`, for `ttl_seconds` within reason; for a short while that there are none.
    pub fn put(&mut self, now: Instant, name: String, addresses: Vec<IpAddr>, ttl_seconds: u32) {
        if self.0.len() >= DNS_CACHE_MAX && !self.0.contains_key(&name) {
            self.drop_the_first_to_end();
        }
        let ttl = match addresses.is_empty() {
            true => DNS_NEGATIVE_TTL,
            false => Duration::from_secs(u64::from(ttl_seconds)).clamp(DNS_TTL_MIN, DNS_TTL_MAX),
        };
        self.0.insert(name, (now + ttl, addresses));
    }

    fn drop_the_first_to_end(&mut self) {
        let first = self.0.iter().min_by_key(|(_, (until, _))| *until).map(|(name, _)| name.clone());
        first.map(|name| self.0.remove(&name));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_remembered_for_their_time() {
        let ip: IpAddr = "1.2.3.4".parse().unwrap();
        let table = [(vec![ip], 0, 10), (vec![ip], 60, 60), (vec![ip], u32::MAX, 3600), (vec![], 9999, 30)];
        for (addresses, ttl, seconds) in table {
            let mut cache = Cache::default();
            cache.put(Instant::ZERO, "a".into(), addresses.clone(), ttl);
            let end = Instant::ZERO + Duration::from_secs(seconds);
            let before = Instant::from_micros(end.as_micros() - 1);
            assert_eq!((cache.get(before, "a"), cache.get(end, "a")), (Some(&addresses[..]), None), "{ttl}");
        }
    }

    #[test]
    fn the_number_of_names_is_bounded() {
        let mut cache = Cache::default();
        for nth in 0..=DNS_CACHE_MAX as u32 {
            cache.put(Instant::ZERO, alloc::format!("{nth}"), vec!["1.2.3.4".parse().unwrap()], 1000 - nth);
        }
        assert_eq!(cache.0.len(), DNS_CACHE_MAX);
        let newest = alloc::format!("{DNS_CACHE_MAX}");
        assert!(cache.get(Instant::ZERO, &newest).is_some() && cache.get(Instant::ZERO, "0").is_some());
    }
}
