//! The part of the network that our sockets keep to (`--bind`), and the system calls that keep them there.

use crate::rim::sys;
use core::mem::{MaybeUninit, size_of};
use mio::net::{TcpStream, UdpSocket};
use std::ffi::{CStr, OsStr, OsString};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// A part of the network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Bind {
    /// An address of this machine.
    Address(IpAddr),
    /// A network interface, by its name.
    Interface(OsString),
}

impl Bind {
    /// Lets `socket`, which is of the family of `to` and neither bound nor connected, send from there only.
    ///
    /// # Errors
    /// The address is of the other family or not of this machine; there is no such interface, or it has no address of
    /// that family.
    pub fn apply(&self, socket: BorrowedFd<'_>, to: IpAddr) -> io::Result<()> {
        match self {
            Self::Address(ip) => bind(socket, *ip, to),
            Self::Interface(name) => match sys::bind_to_interface(socket, name) {
                // Linux before 5.7 lets only root do that. The address does nearly the same.
                Err(error) if error.raw_os_error() == Some(libc::EPERM) => {
                    let address = interface_address(name, to.is_ipv6())
                        .ok_or_else(|| io::Error::from_raw_os_error(libc::EADDRNOTAVAIL))?;
                    bind(socket, address, to)
                }
                answer => answer,
            },
        }
    }

    /// Whether it is a part of this machine's network as it is.
    ///
    /// # Errors
    /// The address is none of ours; there is no such interface, or none that we may choose.
    pub fn exists(&self) -> io::Result<()> {
        match self {
            Self::Address(ip) => datagram_socket(*ip, Some(self)).map(drop),
            Self::Interface(_) => {
                let v4 = datagram_socket(Ipv4Addr::UNSPECIFIED.into(), Some(self));
                v4.or_else(|_| datagram_socket(Ipv6Addr::UNSPECIFIED.into(), Some(self))).map(drop)
            }
        }
    }

    /// Begins to open a stream from there to `address`.
    ///
    /// # Errors
    /// Those of [`Bind::apply`] and of `connect(2)`.
    pub fn connect(&self, address: SocketAddr) -> io::Result<TcpStream> {
        let socket = socket(address.is_ipv6(), libc::SOCK_STREAM)?;
        self.apply(socket.as_fd(), address.ip())?;
        match call_with(address, |pointer, length| {
            // SAFETY: the pointer and the length are those of an address that lives during the call.
            unsafe { libc::connect(socket.as_raw_fd(), pointer, length) }
        }) {
            Err(error) if error.raw_os_error() != Some(libc::EINPROGRESS) => return Err(error),
            _ => {}
        }
        Ok(TcpStream::from_std(socket.into()))
    }
}

/// A datagram socket for addresses of the family of `to`, which sends from `place` only, if there is one.
///
/// # Errors
/// Those of [`Bind::apply`]; no descriptor is left.
pub(super) fn datagram_socket(to: IpAddr, place: Option<&Bind>) -> io::Result<UdpSocket> {
    let socket = socket(to.is_ipv6(), libc::SOCK_DGRAM)?;
    place.map_or(Ok(()), |place| place.apply(socket.as_fd(), to))?;
    Ok(UdpSocket::from_std(socket.into()))
}

/// Binds `socket` to `ip`; the port is chosen when it connects, so that bound sockets do not use ports up.
fn bind(socket: BorrowedFd<'_>, ip: IpAddr, to: IpAddr) -> io::Result<()> {
    if ip.is_ipv6() != to.is_ipv6() {
        return Err(io::Error::from_raw_os_error(libc::EAFNOSUPPORT));
    }
    let (one, length): (libc::c_int, _) = (1, size_of::<libc::c_int>() as libc::socklen_t);
    // SAFETY: the pointer and the length are those of one integer, which is only read. Kernels that lack the option
    // refuse it and choose the port at once.
    unsafe {
        let option = libc::IP_BIND_ADDRESS_NO_PORT;
        libc::setsockopt(socket.as_raw_fd(), libc::IPPROTO_IP, option, (&raw const one).cast(), length)
    };
    call_with(SocketAddr::new(ip, 0), |pointer, length| {
        // SAFETY: the pointer and the length are those of an address that lives during the call.
        unsafe { libc::bind(socket.as_raw_fd(), pointer, length) }
    })
}

/// A socket that does not block; `kind` is `SOCK_STREAM` or `SOCK_DGRAM`.
fn socket(is_v6: bool, kind: libc::c_int) -> io::Result<OwnedFd> {
    let family = if is_v6 { libc::AF_INET6 } else { libc::AF_INET };
    // SAFETY: plain numbers.
    let fd = unsafe { libc::socket(family, kind | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC, 0) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just given us this descriptor, and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Passes `address` to a system call as the kernel wants it.
fn call_with(
    address: SocketAddr,
    call: impl FnOnce(*const libc::sockaddr, libc::socklen_t) -> libc::c_int,
) -> io::Result<()> {
    let answer = match address {
        SocketAddr::V4(address) => {
            let raw = raw_v4(address);
            call((&raw const raw).cast(), size_of::<libc::sockaddr_in>() as libc::socklen_t)
        }
        SocketAddr::V6(address) => {
            let raw = raw_v6(address);
            call((&raw const raw).cast(), size_of::<libc::sockaddr_in6>() as libc::socklen_t)
        }
    };
    if answer < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

fn raw_v4(address: SocketAddrV4) -> libc::sockaddr_in {
    // SAFETY: numbers only; zero is a good value for each.
    let mut raw: libc::sockaddr_in = unsafe { MaybeUninit::zeroed().assume_init() };
    raw.sin_family = libc::AF_INET as libc::sa_family_t;
    raw.sin_port = address.port().to_be();
    raw.sin_addr = libc::in_addr { s_addr: u32::from_ne_bytes(address.ip().octets()) };
    raw
}

fn raw_v6(address: SocketAddrV6) -> libc::sockaddr_in6 {
    // SAFETY: numbers only; zero is a good value for each.
    let mut raw: libc::sockaddr_in6 = unsafe { MaybeUninit::zeroed().assume_init() };
    raw.sin6_family = libc::AF_INET6 as libc::sa_family_t;
    raw.sin6_port = address.port().to_be();
    raw.sin6_addr = libc::in6_addr { s6_addr: address.ip().octets() };
    raw.sin6_scope_id = address.scope_id();
    raw
}

/// The first address of a family that the interface `name` has; one of the whole network rather than of the link.
pub(super) fn interface_address(name: &OsStr, is_v6: bool) -> Option<IpAddr> {
    let mut first: *mut libc::ifaddrs = core::ptr::null_mut();
    // SAFETY: the pointer is valid for the one write of the call.
    if unsafe { libc::getifaddrs(&raw mut first) } < 0 {
        return None;
    }
    let (mut next, mut link_local) = (first, None);
    let mut found = None;
    // SAFETY: the list is the C library's, unchanged until it is given back below, and ends with null.
    while let Some(entry) = unsafe { next.as_ref() } {
        next = entry.ifa_next;
        // SAFETY: each entry has a name that ends with a zero byte.
        let is_it = unsafe { CStr::from_ptr(entry.ifa_name) }.to_bytes() == name.as_encoded_bytes();
        // SAFETY: as above; the address is null or that of the family it names.
        match unsafe { address_of(entry) }.filter(|ip| is_it && ip.is_ipv6() == is_v6) {
            Some(IpAddr::V6(ip)) if ip.is_unicast_link_local() => link_local = Some(IpAddr::V6(ip)),
            Some(ip) => found = found.or(Some(ip)),
            None => {}
        }
    }
    // SAFETY: the list that `getifaddrs` made, once.
    unsafe { libc::freeifaddrs(first) };
    found.or(link_local)
}

/// The address of an entry of `getifaddrs`.
///
/// # Safety
/// `ifa_addr` is null, or points to an address as long as its family's are.
unsafe fn address_of(entry: &libc::ifaddrs) -> Option<IpAddr> {
    // SAFETY: the caller's promise; the family stands in front of every address.
    let family = libc::c_int::from(unsafe { entry.ifa_addr.as_ref() }?.sa_family);
    match family {
        libc::AF_INET => {
            // SAFETY: the caller's promise; read without a demand on alignment.
            let raw: libc::sockaddr_in =
                unsafe { entry.ifa_addr.cast::<libc::sockaddr_in>().read_unaligned() };
            Some(Ipv4Addr::from(raw.sin_addr.s_addr.to_ne_bytes()).into())
        }
        libc::AF_INET6 => {
            // SAFETY: the caller's promise; read without a demand on alignment.
            let raw: libc::sockaddr_in6 =
                unsafe { entry.ifa_addr.cast::<libc::sockaddr_in6>().read_unaligned() };
            Some(Ipv6Addr::from(raw.sin6_addr.s6_addr).into())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    /// From where a stream that is bound to `place` comes to a listener at `at`.
    fn origin(place: &Bind, at: &str) -> io::Result<IpAddr> {
        let listener = TcpListener::bind(at)?;
        let _stream = place.connect(listener.local_addr()?)?;
        Ok(listener.accept()?.1.ip())
    }

    #[test]
    fn what_this_machine_does_not_have_does_not_exist() {
        let there = [Bind::Address(LOOPBACK), Bind::Interface("lo".into())];
        assert!(there.iter().all(|place| place.exists().is_ok()));
        // A network for documentation (RFC 5737).
        let missing = [Bind::Address([192, 0, 2, 1].into()), Bind::Interface("no-such-if0".into())];
        assert!(missing.iter().all(|place| place.exists().is_err()));
    }

    #[test]
    fn a_stream_comes_from_the_address_that_was_chosen() {
        let place = Bind::Address([127, 0, 0, 7].into());
        assert_eq!(origin(&place, "127.0.0.1:0").unwrap(), IpAddr::from([127, 0, 0, 7]));
        let v6 = Bind::Address(Ipv6Addr::LOCALHOST.into());
        if TcpListener::bind("[::1]:0").is_ok() {
            assert_eq!(origin(&v6, "[::1]:0").unwrap(), IpAddr::from(Ipv6Addr::LOCALHOST));
        }
    }

    #[test]
    fn many_bound_streams_share_one_address() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let place = Bind::Address(LOOPBACK);
        let streams: Vec<_> =
            (0..50).map(|_| place.connect(listener.local_addr().unwrap()).unwrap()).collect();
        assert!(streams.iter().all(|stream| stream.local_addr().unwrap().ip() == LOOPBACK));
    }

    #[test]
    fn the_other_family_a_strange_address_and_no_interface_are_faults() {
        let error = |place: Bind, to: &str| place.connect(to.parse().unwrap()).unwrap_err().raw_os_error();
        assert_eq!(error(Bind::Address(LOOPBACK), "[::1]:9"), Some(libc::EAFNOSUPPORT));
        assert_eq!(error(Bind::Address([192, 0, 2, 1].into()), "127.0.0.1:9"), Some(libc::EADDRNOTAVAIL));
        assert!(error(Bind::Interface("no-such-if0".into()), "127.0.0.1:9").is_some());
    }

    #[test]
    fn the_loopback_interface_has_its_address_and_reaches_itself() {
        assert_eq!(interface_address(OsStr::new("lo"), false), Some(LOOPBACK));
        assert_eq!(interface_address(OsStr::new("no-such-if0"), false), None);
        assert_eq!(origin(&Bind::Interface("lo".into()), "127.0.0.1:0").unwrap(), LOOPBACK);
    }
}
