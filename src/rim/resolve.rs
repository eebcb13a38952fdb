//! Names into addresses, without ever blocking the loop.

use crate::rim::hosts;
use std::collections::VecDeque;
use std::fs::File;
use std::io::BufReader;
use std::net::IpAddr;
use std::path::PathBuf;

/// The addresses of a name.
#[derive(Debug, PartialEq, Eq)]
pub struct Answer {
    /// The number of the question.
    pub query: u32,
    /// Best first; empty if there are none.
    pub addresses: Vec<IpAddr>,
}

/// Finds the addresses of names: `localhost`, then the hosts file.
#[derive(Debug)]
pub struct Resolver {
    hosts: PathBuf,
    answers: VecDeque<Answer>,
}

impl Resolver {
    /// A resolver that reads the hosts file `hosts`, anew for each question: it may change, and questions are rare.
    pub fn new(hosts: impl Into<PathBuf>) -> Self {
        Self { hosts: hosts.into(), answers: VecDeque::new() }
    }

    /// Asks for the addresses of `host`; [`Resolver::next_answer`] has them sooner or later.
    pub fn ask(&mut self, query: u32, host: &str) {
        let addresses = hosts::loopback(host).map(Vec::from).unwrap_or_else(|| self.in_hosts_file(host));
        self.answers.push_back(Answer { query, addresses });
    }

    /// The next answer that is there.
    pub fn next_answer(&mut self) -> Option<Answer> {
        self.answers.pop_front()
    }

    /// True if [`Resolver::next_answer`] has one.
    pub fn has_answer(&self) -> bool {
        !self.answers.is_empty()
    }

    fn in_hosts_file(&self, host: &str) -> Vec<IpAddr> {
        let file = File::open(&self.hosts);
        file.map(|file| hosts::lookup(BufReader::new(file), host)).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_what_it_knows_and_says_when_it_knows_nothing() {
        let mut resolver = Resolver::new("/nonexistent/hosts");
        resolver.ask(1, "localhost");
        resolver.ask(2, "tracker.example");
        assert!(resolver.has_answer());
        let first = resolver.next_answer().unwrap();
        assert_eq!((first.query, first.addresses.len()), (1, 2));
        assert_eq!(resolver.next_answer(), Some(Answer { query: 2, addresses: Vec::new() }));
        assert_eq!(resolver.next_answer(), None);
    }
}
