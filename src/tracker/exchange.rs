//! One announce or scrape by HTTP under way: connect, ask, read, and again for every redirect. It knows nothing of
//! tiers; each fact is answered with the next step.

use crate::base::Instant;
use crate::base::limits::{
    ADDRESSES_PER_NAME_MAX, ANSWERS_BYTES_MAX, CONNECT_TIMEOUT, REDIRECTS_MAX, TRACKER_CONNECT_TIMEOUT,
    UDP_TARGET_BYTES_MAX,
};
use crate::proxy::Routes;
use crate::tracker::places::{LOCAL_PATH, misplaced, refusal};
use crate::tracker::reply::{Counts, Reply, ReplyFault};
use crate::tracker::request::{Kind, request};
use crate::wire::Server;
use crate::wire::address::{is_local, is_local_name};
use crate::wire::http::{HttpFault, Progress, ReplyReader};
use crate::wire::url::{Host, Scheme, Url, UrlFault};
use alloc::collections::VecDeque;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::net::{IpAddr, SocketAddr};

/// An announce or scrape under way.
#[derive(Debug)]
pub(crate) struct Exchange {
    /// What is announced.
    pub kind: Kind,
    query: String,
    url: Url,
    routes: Arc<Routes>,
    redirects: u8,
    /// It speaks for us over IPv6, and goes on so after a redirect if it can.
    v6: bool,
    /// True once a server outside the local network has sent us elsewhere: it must not send us inside.
    confined: bool,
    /// Addresses still to be tried.
    untried: VecDeque<IpAddr>,
    address: Option<SocketAddr>,
    leg: Leg,
    /// When the whole announce has failed.
    deadline: Instant,
}

#[derive(Debug)]
enum Leg {
    Resolving,
    Connecting { until: Instant },
    Reading(ReplyReader),
}

/// What an exchange wants next.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Nothing until the next fact.
    Wait,
    /// The addresses of this name.
    Resolve(String),
    /// A stream to this address; an earlier one is of no more use.
    Connect(SocketAddr),
    /// The same, with TLS or through a proxy.
    Reach(Server),
    /// These bytes sent.
    Send(Vec<u8>),
    /// This datagram sent.
    Post(Server, Vec<u8>),
    /// Nothing more: here are status and body.
    Answered(u16, Vec<u8>),
    /// Nothing more: here is the reply to the announce.
    Told(Reply),
    /// Nothing more: here are the numbers.
    Counted(Counts),
    /// Nothing more: it has failed.
    Failed(Fault),
}

/// Why an announce has failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The name has no address, or the name servers do not answer.
    NoAddress(String),
    /// The name leads to an address that nobody can have, as name servers answer that block it.
    Nobody(IpAddr),
    /// The address is on this machine or in the local network, and the URL may be an order to something there.
    LocalPath,
    /// No stream could be opened or it broke; in words.
    Broken(String),
    /// It did not answer completely in time.
    Late,
    /// More than [`REDIRECTS_MAX`] redirects.
    Redirects,
    /// A redirect to a scheme that this build does not speak.
    RedirectScheme(Scheme, &'static str),
    /// A redirect from HTTPS to plain HTTP, where everybody on the way could read what was meant for one.
    RedirectPlain,
    /// A redirect to something that is no URL.
    RedirectUrl(UrlFault),
    /// A redirect from outside into the local network.
    RedirectInside,
    /// All answers together take more than [`ANSWERS_BYTES_MAX`], and this was the longest.
    NoRoom,
    /// The answer is not HTTP as it should be.
    Http(HttpFault),
    /// The answer is HTTP, but no reply to an announce.
    Reply(ReplyFault),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoAddress(name) => write!(f, "no address found for {name}"),
            Self::Nobody(ip) => write!(f, "its name leads to {ip}, and nobody can have that address"),
            Self::LocalPath => f.write_str(LOCAL_PATH),
            Self::Broken(why) => f.write_str(why),
            Self::Late => f.write_str("the tracker did not answer in time"),
            Self::Redirects => write!(f, "more than {REDIRECTS_MAX} redirects"),
            Self::RedirectScheme(scheme, why) => write!(f, "redirect to {}, but {why}", scheme.name()),
            Self::RedirectPlain => f.write_str("redirect from HTTPS to plain HTTP refused"),
            Self::RedirectUrl(fault) => write!(f, "redirect to nowhere: {fault}"),
            Self::RedirectInside => f.write_str("redirect from the internet into the local network refused"),
            Self::NoRoom => {
                write!(
                    f,
                    "its answer is the longest of many, which together are longer than {ANSWERS_BYTES_MAX} bytes"
                )
            }
            Self::Http(fault) => fault.fmt(f),
            Self::Reply(fault) => fault.fmt(f),
        }
    }
}

/// Why the server of a URL cannot be spoken to, if so.
pub(crate) fn unsupported(url: &Url, routes: &Routes) -> Option<&'static str> {
    match url.scheme() {
        Scheme::Http => None,
        Scheme::Https if cfg!(feature = "tls") => None,
        Scheme::Https => Some("this build has no TLS"),
        Scheme::Udp if routes.is_closed_to(url.host()) && routes.for_datagrams().is_none() => {
            Some("UDP does not go through the proxy")
        }
        Scheme::Udp if url.target().len() > UDP_TARGET_BYTES_MAX => {
            Some("its path is too long for a datagram")
        }
        Scheme::Udp => None,
    }
}

/// True if a proxy leads to the server of a URL, and finds its name.
pub(crate) fn is_proxied(url: &Url, routes: &Routes) -> bool {
    routes.to_server(url.scheme(), url.host()).is_some()
}

impl Exchange {
    /// An announce with our `query` to `url`, which has failed at `deadline`. [`Exchange::begin`] starts it.
    pub fn new(kind: Kind, url: Url, query: String, routes: Arc<Routes>, deadline: Instant) -> Self {
        Self {
            kind,
            query,
            url,
            routes,
            redirects: 0,
            v6: false,
            confined: false,
            untried: VecDeque::new(),
            address: None,
            leg: Leg::Resolving,
            deadline,
        }
    }

    /// The first step: the first of `addresses` that can be reached is asked. There are none where a proxy finds them.
    pub fn begin(&mut self, now: Instant, addresses: &[IpAddr]) -> Step {
        if addresses.is_empty() {
            return self.reach(now, None);
        }
        self.v6 = addresses.first().is_some_and(IpAddr::is_ipv6);
        self.dial(now, addresses)
    }

    /// The first step after a redirect.
    fn begin_again(&mut self, now: Instant) -> Step {
        match self.url.host() {
            Host::Address(ip) => self.dial(now, &[*ip]),
            Host::Name(name) if is_proxied(&self.url, &self.routes) => {
                // Where the name leads only the proxy will know; that it leads inside may be plain all the same.
                let leads_inside = self.confined && is_local_name(name);
                let order = misplaced(&self.url).map(|_| Fault::LocalPath);
                let refusal = if leads_inside { Some(Fault::RedirectInside) } else { order };
                refusal.map_or_else(|| self.reach(now, None), Step::Failed)
            }
            Host::Name(name) => {
                let name = name.clone();
                self.leg = Leg::Resolving;
                Step::Resolve(name)
            }
        }
    }

    /// When [`Exchange::on_time`] has something to do.
    pub fn deadline(&self) -> Instant {
        match self.leg {
            Leg::Connecting { until } => self.deadline.min(until),
            _ => self.deadline,
        }
    }

    /// Fails it at `deadline` if it would have waited longer.
    pub fn hurry(&mut self, deadline: Instant) {
        self.deadline = self.deadline.min(deadline);
    }

    /// True once the request may have reached the tracker.
    pub fn is_sent(&self) -> bool {
        matches!(self.leg, Leg::Reading(_))
    }

    /// Bytes that are kept of an answer that is not whole.
    pub fn held_bytes(&self) -> usize {
        match &self.leg {
            Leg::Reading(reader) => reader.held_bytes(),
            Leg::Resolving | Leg::Connecting { .. } => 0,
        }
    }

    /// True while there is a stream, open or being opened.
    pub fn has_stream(&self) -> bool {
        !matches!(self.leg, Leg::Resolving)
    }

    /// Where the present stream leads, or the last one led.
    pub fn address(&self) -> Option<SocketAddr> {
        self.address
    }

    /// True if it has not left the server that its URL names, so that the address may serve again.
    pub fn is_direct(&self) -> bool {
        self.redirects == 0
    }

    /// The name has these addresses.
    pub fn on_resolved(&mut self, now: Instant, addresses: &[IpAddr]) -> Step {
        match self.leg {
            Leg::Resolving => self.dial(now, addresses),
            _ => Step::Wait,
        }
    }

    fn dial(&mut self, now: Instant, addresses: &[IpAddr]) -> Step {
        let one_family = addresses.iter().any(|ip| ip.is_ipv6() == self.v6);
        let refusal = |ip: &IpAddr| refusal(&self.url, *ip, self.confined);
        let fits = |ip: &&IpAddr| refusal(ip).is_none() && (!one_family || ip.is_ipv6() == self.v6);
        self.untried = addresses.iter().filter(fits).take(ADDRESSES_PER_NAME_MAX).copied().collect();
        let fault = addresses.iter().find_map(refusal).unwrap_or_else(|| match self.url.host() {
            Host::Name(name) => Fault::NoAddress(name.clone()),
            Host::Address(ip) => Fault::NoAddress(ip.to_string()),
        });
        self.connect(now, fault)
    }

    /// Tries the next address; without one, `fault` is why the announce has failed.
    fn connect(&mut self, now: Instant, fault: Fault) -> Step {
        let Some(ip) = self.untried.pop_front() else { return Step::Failed(fault) };
        self.reach(now, Some(SocketAddr::new(ip, self.url.port())))
    }

    /// Opens a stream to `address`; without one, a proxy finds it. Where there are proxies, which way a server is reached
    /// may depend on its name.
    fn reach(&mut self, now: Instant, address: Option<SocketAddr>) -> Step {
        self.address = address;
        let patience = if self.untried.is_empty() { CONNECT_TIMEOUT } else { TRACKER_CONNECT_TIMEOUT };
        self.leg = Leg::Connecting { until: now + patience };
        let (scheme, port) = (self.url.scheme(), self.url.port());
        match address {
            Some(address) if scheme != Scheme::Https && self.routes.is_straight() => Step::Connect(address),
            _ => Step::Reach(Server { scheme, host: self.url.host().clone(), port, address }),
        }
    }

    /// The stream is open.
    pub fn on_connected(&mut self) -> Step {
        if !matches!(self.leg, Leg::Connecting { .. }) {
            return Step::Wait;
        }
        self.leg = Leg::Reading(ReplyReader::default());
        Step::Send(request(&self.url, &self.query).into_bytes())
    }

    /// Bytes came.
    pub fn on_bytes(&mut self, now: Instant, bytes: &[u8]) -> Step {
        match &mut self.leg {
            Leg::Reading(reader) => {
                let progress = reader.on_bytes(bytes);
                self.progressed(now, progress)
            }
            _ => Step::Wait,
        }
    }

    /// The stream is gone; `why` in words, or `None` if the other side closed it in good order.
    pub fn on_closed(&mut self, now: Instant, why: Option<&str>) -> Step {
        let why = why.map(|why| Fault::Broken(why.into()));
        match &mut self.leg {
            Leg::Resolving => Step::Wait,
            Leg::Connecting { .. } => self.connect(now, why.unwrap_or(Fault::Http(HttpFault::Silent))),
            // A body that only the close ends may be whole even if the stream broke: bencode will tell.
            Leg::Reading(reader) => match (reader.on_close(), why) {
                (Err(_), Some(why)) => Step::Failed(why),
                (progress, _) => self.progressed(now, progress),
            },
        }
    }

    /// Does what is due: gives up an address that does not answer, or the whole announce.
    pub fn on_time(&mut self, now: Instant) -> Step {
        match self.leg {
            _ if now >= self.deadline => Step::Failed(Fault::Late),
            Leg::Connecting { until } if now >= until => self.connect(now, Fault::Late),
            _ => Step::Wait,
        }
    }

    fn progressed(&mut self, now: Instant, progress: Result<Progress, HttpFault>) -> Step {
        match progress {
            Ok(Progress::NeedMore) => Step::Wait,
            Ok(Progress::Done { status, body }) => Step::Answered(status, body),
            Ok(Progress::Redirect(location)) => {
                self.redirected(&location).map_or_else(Step::Failed, |()| self.begin_again(now))
            }
            Err(fault) => Step::Failed(Fault::Http(fault)),
        }
    }

    /// Follows a `Location`.
    fn redirected(&mut self, location: &str) -> Result<(), Fault> {
        self.redirects += 1;
        if self.redirects > REDIRECTS_MAX {
            return Err(Fault::Redirects);
        }
        let url = self.url.join(location).map_err(Fault::RedirectUrl)?;
        let unsupported = match url.scheme() {
            Scheme::Udp => Some("only HTTP can be redirected"),
            _ => unsupported(&url, &self.routes),
        };
        if let Some(why) = unsupported {
            return Err(Fault::RedirectScheme(url.scheme(), why));
        }
        if (self.url.scheme(), url.scheme()) == (Scheme::Https, Scheme::Http) {
            return Err(Fault::RedirectPlain);
        }
        // A server that only the proxy knows the address of may be anywhere, unless its name is one of the house.
        let is_in_house = matches!(self.url.host(), Host::Name(name) if is_local_name(name));
        self.confined |= self.address.map_or(!is_in_house, |address| !is_local(address.ip()));
        self.url = url;
        Ok(())
    }
}
