//! Fuzz bodies: what the user types.

use crate::session::Command;
use alloc::string::{String, ToString};

/// Longest text of a fault, in bytes: forty escaped characters and the list of commands.
const FAULT_BYTES_MAX: usize = 600;

/// One line of stdin, as bytes. Whatever it is, it is a command, nothing, or a fault that fits a terminal's line
/// and cannot move its cursor; blanks around it mean nothing.
pub fn line(bytes: &[u8]) {
    let line = String::from_utf8_lossy(bytes);
    let parsed = Command::parse(&line);
    assert_eq!(parsed, Command::parse(&alloc::format!(" \t{line} \r\n")));
    match parsed {
        Ok(None) => assert!(line.trim().is_empty()),
        Ok(Some(command @ Command::Add(address))) => {
            assert_eq!(Command::parse(&alloc::format!("{} {address}", command.name())), Ok(Some(command)));
        }
        Ok(Some(command)) => assert_eq!(Command::parse(command.name()), Ok(Some(command))),
        Err(fault) => {
            let text = fault.to_string();
            assert!(!text.is_empty() && text.len() <= FAULT_BYTES_MAX, "{} bytes", text.len());
            assert!(!text.contains(char::is_control) && !text.ends_with('.'), "{text:?}");
        }
    }
}
