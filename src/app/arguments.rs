//! Arguments as users write them, made plain for argh, which knows neither `--memory=8` nor `-vvq` nor
//! `-oDIR`, and takes text only where Linux has bytes.

use crate::app::cli::Fault;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

/// Short letter, long name, and whether a value follows.
pub const OPTIONS: [(Option<char>, &str, bool); 27] = [
    (Some('o'), "output", true),
    (None, "peer", true),
    (None, "port", true),
    (None, "bind", true),
    (None, "proxy", true),
    (None, "max-peers", true),
    (None, "down-limit", true),
    (None, "up-limit", true),
    (None, "up-slots", true),
    (None, "seed", false),
    (None, "super-seed", false),
    (None, "seed-ratio", true),
    (None, "seed-time", true),
    (None, "memory", true),
    (None, "allocate", true),
    (None, "give-up", true),
    (None, "show", false),
    (None, "check", false),
    (None, "create", true),
    (None, "announce", true),
    (None, "private", false),
    (None, "piece-size", true),
    (None, "json", false),
    (Some('q'), "quiet", false),
    (Some('v'), "verbose", false),
    (Some('h'), "help", false),
    (None, "version", false),
];

/// Arguments in the one form that argh reads: each option by its long name, its value after it, then the
/// operands after `--`.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Plain {
    /// Options and their values.
    pub options: Vec<String>,
    /// What is no option: the files.
    pub operands: Vec<String>,
}

impl Plain {
    /// True if this option, by its long name, is among the options (and not a value of one).
    pub fn has(&self, long: &str) -> bool {
        let mut words = self.options.iter();
        while let Some(word) = words.next() {
            let name = word.trim_start_matches('-');
            if name == long {
                return true;
            }
            if find_long(name).is_some_and(|(_, _, takes_value)| *takes_value) {
                words.next();
            }
        }
        false
    }
}

/// Sorts the arguments into options and operands.
///
/// # Errors
/// A value given to an option that takes none, or missing where one is needed; what else is wrong, argh
/// finds.
pub fn plain(arguments: impl IntoIterator<Item = OsString>) -> Result<Plain, Fault> {
    let mut rest = arguments.into_iter().map(|argument| to_text(&argument));
    let mut plain = Plain::default();
    while let Some(argument) = rest.next() {
        if argument == "--" {
            plain.operands.extend(rest);
            break;
        } else if let Some(long) = argument.strip_prefix("--") {
            take_long(&mut plain.options, long, &mut rest)?;
        } else if argument.len() > 1 && argument.starts_with('-') {
            take_short(&mut plain.options, &argument[1..], &mut rest)?;
        } else {
            plain.operands.push(argument);
        }
    }
    Ok(plain)
}

fn take_long(
    options: &mut Vec<String>,
    text: &str,
    rest: &mut impl Iterator<Item = String>,
) -> Result<(), Fault> {
    let (name, attached) = text.split_once('=').map_or((text, None), |(name, value)| (name, Some(value)));
    options.push(format!("--{name}"));
    match (find_long(name), attached) {
        (Some((_, _, true)), Some(value)) => options.push(value.to_string()),
        (Some((_, _, true)), None) => options.push(rest.next().ok_or_else(|| missing(name))?),
        (Some((_, _, false)), Some(_)) => return Err(Fault::new(format!("--{name} takes no value"))),
        _ => {}
    }
    Ok(())
}

fn take_short(
    options: &mut Vec<String>,
    letters: &str,
    rest: &mut impl Iterator<Item = String>,
) -> Result<(), Fault> {
    for (at, letter) in letters.char_indices() {
        let Some((_, name, takes_value)) = OPTIONS.iter().find(|(short, ..)| *short == Some(letter)) else {
            options.push(format!("-{letter}"));
            continue;
        };
        options.push(format!("--{name}"));
        if *takes_value {
            let attached = Some(&letters[at + letter.len_utf8()..]).filter(|rest| !rest.is_empty());
            let value = attached.map(str::to_string).or_else(|| rest.next());
            options.push(value.ok_or_else(|| missing(name))?);
            break;
        }
    }
    Ok(())
}

fn missing(name: &str) -> Fault {
    Fault::new(format!("--{name} needs a value; swarmlet --help shows which"))
}

fn find_long(name: &str) -> Option<&'static (Option<char>, &'static str, bool)> {
    OPTIONS.iter().find(|(_, long, _)| *long == name)
}

/// Bytes that are not UTF-8 are carried through argh as characters of this block, the last of the last
/// private plane. Where the user writes such a character himself, its bytes are carried the same way, so that
/// the way back is exact.
const CARRIER: u32 = 0x10_ff00;

/// Text that [`to_os`] turns back into exactly these bytes.
pub fn to_text(bytes: &OsStr) -> String {
    let mut text = String::new();
    let carried =
        |byte: &u8| char::from_u32(CARRIER + u32::from(*byte)).unwrap_or(char::REPLACEMENT_CHARACTER);
    for chunk in bytes.as_bytes().utf8_chunks() {
        for character in chunk.valid().chars() {
            if u32::from(character) >= CARRIER {
                text.extend(character.encode_utf8(&mut [0; 4]).as_bytes().iter().map(carried));
            } else {
                text.push(character);
            }
        }
        text.extend(chunk.invalid().iter().map(carried));
    }
    text
}

/// The bytes that [`to_text`] was given.
pub fn to_os(text: &str) -> OsString {
    let mut bytes = Vec::with_capacity(text.len());
    for character in text.chars() {
        match u8::try_from(u32::from(character).wrapping_sub(CARRIER)) {
            Ok(byte) => bytes.push(byte),
            Err(_) => bytes.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    OsString::from_vec(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options_of(line: &str) -> String {
        let words = line.split(' ').map(OsString::from);
        let plain = plain(words).unwrap();
        format!("{} | {}", plain.options.join(" "), plain.operands.join(" "))
    }

    #[test]
    fn every_way_of_writing_an_option_comes_out_the_same() {
        let cases = [
            ("--memory=8 a", "--memory 8 | a"),
            ("a --memory 8", "--memory 8 | a"),
            ("-vvq a b", "--verbose --verbose --quiet | a b"),
            ("-oDIR a", "--output DIR | a"),
            ("-vo DIR a", "--verbose --output DIR | a"),
            ("-o -- a", "--output -- | a"),
            ("--json -- -v --", "--json | -v --"),
            ("--announce=http://t/?a=b -", "--announce http://t/?a=b | -"),
            ("-vx --what=3", "--verbose -x --what | "),
        ];
        for (line, expected) in cases {
            assert_eq!(options_of(line), expected, "{line}");
        }
        assert!(
            plain([OsString::from("--json=yes")]).unwrap_err().to_string().contains("--json takes no value")
        );
    }

    #[test]
    fn a_value_that_looks_like_help_is_a_value() {
        let plain = |line: &str| plain(line.split(' ').map(OsString::from)).unwrap();
        assert!(!plain("-o --help a").has("help"));
        assert!(plain("-vh").has("help"));
    }

    #[test]
    fn any_bytes_come_back_unchanged() {
        let cases: [&[u8]; 5] =
            [b"plain", b"\xff\xfe", "é\u{10ffff}\u{10ff41}".as_bytes(), b"", b"\xf4\x8f\xbf"];
        for bytes in cases {
            assert_eq!(to_os(&to_text(OsStr::from_bytes(bytes))).as_bytes(), bytes);
        }
    }
}
