//! What can go wrong at a proxy, and whose fault it is.

use crate::base::limits::PROXY_HEAD_BYTES_MAX;
use core::fmt;

/// Why no way led through the proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The proxy itself could not be reached.
    Unreached(Unreached),
    /// It closed the stream before it had said yes or no.
    Closed,
    /// It does not speak SOCKS 5.
    NotSocks,
    /// It does not speak HTTP.
    NotHttp,
    /// The head of its answer is longer than [`PROXY_HEAD_BYTES_MAX`].
    HeadTooLong,
    /// It wants a user and a password, and we have none.
    PasswordWanted,
    /// It does not take our user and password.
    PasswordRefused,
    /// It offers no way to log in that we know.
    NoMethod,
    /// Its rules forbid it.
    Forbidden,
    /// It failed and does not say why.
    Failed,
    /// It cannot do what was asked for.
    Unsupported,
    /// It names an address of a kind that does not exist.
    AddressKind(u8),
    /// It answers with a code that means nothing here: SOCKS below 256, HTTP above.
    Code(u16),
    /// It finds no way to the address.
    TargetUnreachable,
    /// Nobody listens at the address.
    TargetRefused,
    /// The address did not answer it in time.
    TargetSilent,
}

/// Why a proxy could not be reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unreached {
    /// Its name has no address, or the name servers do not answer.
    NoAddress,
    /// Nobody listens there.
    Refused,
    /// No route, or the network is down.
    NoRoute,
    /// It did not answer.
    Silent,
    /// Anything else.
    Broken,
}

impl Fault {
    /// True if a proxy that was asked to carry datagrams means to carry none, however often it is asked.
    pub fn is_no_to_datagrams(self) -> bool {
        matches!(self, Self::Unsupported | Self::Forbidden)
    }

    /// True if the proxy has heard whom we want, so that the fault may be theirs: many proxies say no more of an address
    /// that does not answer than that they failed, or just close.
    pub fn is_the_targets(self) -> bool {
        let is_said = matches!(self, Self::TargetUnreachable | Self::TargetRefused | Self::TargetSilent);
        is_said || matches!(self, Self::Closed | Self::Failed | Self::Forbidden | Self::Code(500))
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreached(why) => why.fmt(f),
            Self::Closed => f.write_str("the proxy closed the connection without an answer"),
            Self::NotSocks => f.write_str("the proxy does not speak SOCKS 5"),
            Self::NotHttp => f.write_str("the proxy does not speak HTTP"),
            Self::HeadTooLong => {
                write!(f, "the answer of the proxy is longer than {PROXY_HEAD_BYTES_MAX} bytes")
            }
            Self::PasswordWanted => f.write_str("the proxy wants a user and a password"),
            Self::PasswordRefused => f.write_str("the proxy refuses our user or password"),
            Self::NoMethod => f.write_str("the proxy wants a way to log in that is not known here"),
            Self::Forbidden => f.write_str("the rules of the proxy forbid it"),
            Self::Failed => f.write_str("the proxy failed without saying why"),
            Self::Unsupported => f.write_str("the proxy cannot do that"),
            Self::AddressKind(kind) => write!(f, "the proxy names an address of the unknown kind {kind}"),
            Self::Code(code @ ..=255) => write!(f, "the proxy answers with the unknown code {code}"),
            Self::Code(code) => write!(f, "the proxy answers with HTTP status {code}"),
            Self::TargetUnreachable => f.write_str("unreachable for the proxy"),
            Self::TargetRefused => f.write_str("connection refused, says the proxy"),
            Self::TargetSilent => f.write_str("no answer in time, says the proxy"),
        }
    }
}

impl fmt::Display for Unreached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoAddress => "no address found for the proxy",
            Self::Refused => "the proxy refuses the connection",
            Self::NoRoute => "the proxy is unreachable",
            Self::Silent => "the proxy does not answer",
            Self::Broken => "the connection to the proxy broke",
        })
    }
}
