//! What is remembered of names: their addresses, or that they have none.

use super::lookup::Found;
use crate::base::Instant;
use crate::base::limits::DNS_CACHE_MAX;
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;
use core::net::IpAddr;

/// At most [`DNS_CACHE_MAX`] names.
#[derive(Debug, Default)]
pub(super) struct Cache(BTreeMap<String, (Instant, Vec<IpAddr>)>);

impl Cache {
    /// What is known of `name` and still true.
    pub fn get(&self, now: Instant, name: &str) -> Option<&[IpAddr]> {
        let (until, addresses) = self.0.get(name)?;
        (now < *until).then_some(addresses)
    }

    /// Remembers what was found out about `name`, for as long as that may be.
    pub fn put(&mut self, now: Instant, name: String, found: Found) {
        if self.0.len() >= DNS_CACHE_MAX && !self.0.contains_key(&name) {
            self.drop_the_first_to_end();
        }
        self.0.insert(name, (now + found.ttl, found.addresses));
    }

    fn drop_the_first_to_end(&mut self) {
        let first = self.0.iter().min_by_key(|(_, (until, _))| *until).map(|(name, _)| name.clone());
        first.map(|name| self.0.remove(&name));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::time::Duration;

    #[test]
    fn names_are_remembered_for_their_time() {
        for addresses in [vec!["1.2.3.4".parse().unwrap()], vec![]] {
            let mut cache = Cache::default();
            let found = Found { addresses: addresses.clone(), ttl: Duration::from_secs(60) };
            cache.put(Instant::ZERO, "a".into(), found);
            let end = Instant::from_micros(60_000_000);
            let before = Instant::from_micros(end.as_micros() - 1);
            assert_eq!((cache.get(before, "a"), cache.get(end, "a")), (Some(&addresses[..]), None));
        }
    }

    #[test]
    fn the_number_of_names_is_bounded() {
        let mut cache = Cache::default();
        for nth in 0..=DNS_CACHE_MAX as u64 {
            let found = Found { addresses: Vec::new(), ttl: Duration::from_secs(1000 - nth) };
            cache.put(Instant::ZERO, alloc::format!("{nth}"), found);
        }
        assert_eq!(cache.0.len(), DNS_CACHE_MAX);
        let newest = alloc::format!("{DNS_CACHE_MAX}");
        assert!(cache.get(Instant::ZERO, &newest).is_some() && cache.get(Instant::ZERO, "0").is_some());
    }
}
