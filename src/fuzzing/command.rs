//! Fuzz bodies: what the user types.

use crate::base::units::KIB;
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
        Ok(Some(command)) => assert_eq!(Command::parse(&written(command)), Ok(Some(command))),
        Err(fault) => {
            let text = fault.to_string();
            assert!(!text.is_empty() && text.len() <= FAULT_BYTES_MAX, "{} bytes", text.len());
            assert!(!text.contains(char::is_control) && !text.ends_with('.'), "{text:?}");
        }
    }
}

/// The line that a careful user would have typed.
fn written(command: Command) -> String {
    let name = command.name();
    match command {
        Command::Add(address) => alloc::format!("{name} {address}"),
        Command::Limit { up, rate } => {
            let way = if up { "up" } else { "down" };
            alloc::format!("{name} {way} {}", rate / u64::from(KIB))
        }
        Command::Seed(on) => alloc::format!("{name} {}", if on { "on" } else { "off" }),
        _ => String::from(name),
    }
}
