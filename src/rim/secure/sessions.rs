//! TLS sessions that can be taken up again: the last one of each of a few servers. Those that rustls would keep are eight of
//! one server, each with a copy of its certificates.

use crate::base::limits::TLS_RESUMED_SERVERS_MAX;
use rustls::NamedGroup;
use rustls::client::{ClientSessionStore, Tls12ClientSessionValue, Tls13ClientSessionValue};
use rustls::pki_types::ServerName;
use std::collections::VecDeque;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// At most [`TLS_RESUMED_SERVERS_MAX`] servers; the one that was met the longest ago gives way.
#[derive(Default)]
pub struct Sessions(Mutex<VecDeque<Known>>);

/// What is kept of a server.
struct Known {
    name: ServerName<'static>,
    group: Option<NamedGroup>,
    tls12: Option<Tls12ClientSessionValue>,
    tls13: Option<Tls13ClientSessionValue>,
}

impl Sessions {
    fn all(&self) -> MutexGuard<'_, VecDeque<Known>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes what is known of a server, which is the last one met from now on.
    fn note(&self, name: ServerName<'static>, change: impl FnOnce(&mut Known)) {
        let mut all = self.all();
        let place = all.iter().position(|known| known.name == name);
        let known = place.and_then(|at| all.remove(at));
        let mut known = known.unwrap_or(Known { name, group: None, tls12: None, tls13: None });
        change(&mut known);
        if all.len() >= TLS_RESUMED_SERVERS_MAX {
            all.pop_front();
        }
        all.push_back(known);
    }

    fn look<T>(&self, name: &ServerName<'_>, take: impl FnOnce(&mut Known) -> Option<T>) -> Option<T> {
        self.all().iter_mut().find(|known| known.name == *name).and_then(take)
    }
}

impl fmt::Debug for Sessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Keys are nobody's business.
        f.write_str("Sessions")
    }
}

impl ClientSessionStore for Sessions {
    fn set_kx_hint(&self, name: ServerName<'static>, group: NamedGroup) {
        self.note(name, |known| known.group = Some(group));
    }

    fn kx_hint(&self, name: &ServerName<'_>) -> Option<NamedGroup> {
        self.look(name, |known| known.group)
    }

    fn set_tls12_session(&self, name: ServerName<'static>, value: Tls12ClientSessionValue) {
        self.note(name, |known| (known.tls12, known.tls13) = (Some(value), None));
    }

    fn tls12_session(&self, name: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        self.look(name, |known| known.tls12.clone())
    }

    fn remove_tls12_session(&self, name: &ServerName<'static>) {
        self.look(name, |known| known.tls12.take());
    }

    fn insert_tls13_ticket(&self, name: ServerName<'static>, value: Tls13ClientSessionValue) {
        self.note(name, |known| (known.tls12, known.tls13) = (None, Some(value)));
    }

    fn take_tls13_ticket(&self, name: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        self.look(name, |known| known.tls13.take())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_many_servers_the_last_ones_are_known() {
        let (sessions, count) = (Sessions::default(), TLS_RESUMED_SERVERS_MAX as u8);
        let name = |nth: u8| ServerName::from(std::net::IpAddr::from([10, 0, 0, nth]));
        (0..count).for_each(|nth| sessions.set_kx_hint(name(nth), NamedGroup::X25519));
        sessions.set_kx_hint(name(0), NamedGroup::secp256r1);
        sessions.set_kx_hint(name(count), NamedGroup::X25519);
        let known: Vec<u8> = (0..=count).filter(|&nth| sessions.kx_hint(&name(nth)).is_some()).collect();
        assert_eq!(known, (0..=count).filter(|&nth| nth != 1).collect::<Vec<_>>());
        assert_eq!(sessions.kx_hint(&name(0)), Some(NamedGroup::secp256r1));
        assert_eq!(format!("{sessions:?}"), "Sessions");
    }
}
