//! Keeps the house as it was drawn: who may use whom, where `std`, `unsafe` and other people's crates may stand, and
//! how long things may be. The compiler checks that the core links no std; the rest is checked here, on the text of
//! the sources with comments and literals blanked.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

/// The rooms, floor by floor. A file may use its own room and lower floors; rooms of one floor meet in `session/`.
const FLOORS: &[&[&str]] = &[
    &["base"],
    &["wire"],
    &["meta", "resolver", "proxy"],
    &["peer", "download", "candidates", "tracker", "upload", "resume"],
    &["session"],
    &["rim"],
    &["app"],
];
/// The first floor that may use std; everything below is the pure core.
const RIM: usize = 5;
/// Other people's crates, and the rooms or files that may use them.
const CRATES: &[(&str, &[&str])] = &[
    ("httparse", &["wire/http.rs"]),
    // The rim only measures how fast this machine hashes.
    ("sha1", &["meta/", "download/", "upload/", "resume/", "rim/pace.rs", "app/create"]),
    ("slab", &["session/", "rim/"]),
    ("mio", &["rim/"]),
    ("memmap2", &["rim/"]),
    // Flags for opening files; the calls themselves are unsafe, and that only the rim may be.
    ("libc", &["rim/", "app/"]),
    ("log", &["rim/", "app/", "main.rs"]),
    ("argh", &["app/", "main.rs"]),
    ("lava_torrent", &["app/"]),
    ("rustls", &["rim/secure/"]),
    ("webpki", &["rim/secure/"]),
    ("webpki_roots", &["rim/secure/"]),
];
/// Everything that may stand at the top, besides dotfiles and what git ignores.
const TOP: &[&str] = &[
    "CHANGELOG.md",
    "Cargo.lock",
    "Cargo.toml",
    "LICENSE-APACHE",
    "LICENSE-MIT",
    "README.md",
    "fuzz",
    "rustfmt.toml",
    "scripts",
    "src",
    "tests",
];
/// Lines of a file, tests included. The aim is 400.
const FILE_LINES_MAX: usize = 500;
/// Lines of a function, from `fn` to its closing brace. The aim is 10.
const FUNCTION_LINES_MAX: usize = 70;

/// One source file; `path` is relative to the top of the project.
struct Source {
    path: String,
    text: String,
    code: String,
}

impl Source {
    fn new(path: &str, text: &str) -> Self {
        Self { path: path.to_string(), text: text.to_string(), code: blanked(text) }
    }

    /// The path below `src/`, for files of the crate itself.
    fn in_src(&self) -> Option<&str> {
        self.path.strip_prefix("src/")
    }

    /// The room and its floor; none for `lib.rs`, `main.rs` and `fuzzing/`, which may use everything.
    fn room(&self) -> Option<(&str, usize)> {
        let room = self.in_src()?.split('/').next()?.trim_end_matches(".rs");
        floor_of(room).map(|floor| (room, floor))
    }

    /// The code before the unit tests.
    fn without_tests(&self) -> &str {
        self.code.split("#[cfg(test)]\nmod ").next().unwrap_or_default()
    }
}

#[test]
fn rooms_use_only_lower_floors() {
    none(everywhere(floor_faults));
}

#[test]
fn the_core_does_without_std_and_only_the_rim_is_unsafe() {
    none(everywhere(std_faults));
    none(everywhere(unsafe_faults));
}

#[test]
fn crates_of_others_stay_in_their_rooms() {
    none(everywhere(crate_faults));
}

#[test]
fn files_and_functions_are_small_and_finished() {
    none(everywhere(length_faults));
    none(everywhere(finish_faults));
}

#[test]
fn nothing_unknown_lies_at_the_top() {
    let names = fs::read_dir(top()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let unknown = names.filter(|name| {
        !name.starts_with('.') && !name.starts_with("target") && !TOP.contains(&name.as_str())
    });
    none(
        unknown.map(|name| format!("{name}: does not belong at the top; see TOP in tests/tidy.rs")).collect(),
    );
    let missing = TOP.iter().filter(|name| !top().join(name).exists());
    none(missing.map(|name| format!("{name}: is missing at the top")).collect());
}

#[test]
fn scripts_are_strict_and_can_be_started() {
    let scripts = fs::read_dir(top().join("scripts")).unwrap().map(|entry| entry.unwrap().path());
    let scripts = scripts.filter(|path| path.is_file() && path.extension().is_none());
    let all: Vec<_> = scripts.chain([top().join(".ci/run")]).collect();
    assert!(all.len() >= 5, "only {all:?} found");
    none(all.iter().flat_map(|path| script_faults(path)).collect());
}

/// Every `crate::room` (or `super::super::room`) that reaches sideways or up.
fn floor_faults(source: &Source) -> Vec<String> {
    let Some((room, floor)) = source.room() else { return Vec::new() };
    let used = rooms_used(&source.code);
    let wrong = used.into_iter().filter(|other| other != room).filter_map(|other| {
        let other_floor = floor_of(&other)?;
        let reason = match other_floor.cmp(&floor) {
            std::cmp::Ordering::Less => return None,
            std::cmp::Ordering::Equal => "rooms of one floor meet in session/",
            std::cmp::Ordering::Greater => "it is on a higher floor",
        };
        Some(format!("{}: {room} may not use {other}: {reason}", source.path))
    });
    wrong.collect()
}

/// The names right after `crate::`, also of a `use crate::{a::b, c}` group.
fn rooms_used(code: &str) -> Vec<String> {
    let mut rooms = Vec::new();
    for (_, rest) in words(code, "crate").chain(words(code, "super")) {
        let rest = rest.trim_start_matches("::super");
        let Some(rest) = rest.strip_prefix("::") else { continue };
        match rest.strip_prefix('{') {
            None => rooms.push(word_at(rest).to_string()),
            Some(group) => rooms.extend(group_heads(group)),
        }
    }
    rooms
}

/// The first word of each member of a `use` group; `group` starts after its opening brace.
fn group_heads(group: &str) -> Vec<String> {
    let mut depth = 1;
    let end = group.find(|c: char| {
        depth += i32::from(c == '{') - i32::from(c == '}');
        depth == 0
    });
    let group = &group[..end.unwrap_or(group.len())];
    let mut depth = 0;
    let members = group.split(|c: char| {
        depth += i32::from(c == '{') - i32::from(c == '}');
        c == ',' && depth == 0
    });
    members.map(|member| word_at(member.trim_start()).to_string()).collect()
}

fn std_faults(source: &Source) -> Vec<String> {
    let in_core = source.room().is_some_and(|(_, floor)| floor < RIM);
    if !in_core || words(source.without_tests(), "std").all(|(_, rest)| !rest.starts_with("::")) {
        return Vec::new();
    }
    vec![format!("{}: std in the core: use core or alloc, or move it to rim/", source.path)]
}

/// The files that talk to the system or map memory, and so may say `unsafe`; each block gives its reason there, which
/// clippy checks.
const UNSAFE: &[&str] = &[
    "rim/bind.rs",
    "rim/signals.rs",
    "rim/stdin.rs",
    "rim/sys.rs",
    "rim/storage/aio.rs",
    "rim/storage/arena.rs",
    "rim/storage/era.rs",
    "rim/storage/pulse.rs",
    "rim/storage/sigbus.rs",
    "rim/storage/sys.rs",
    "rim/storage/window.rs",
];

/// `unsafe` stands at the edge of the rim, in few files: never in the turn of the loop, never elsewhere.
fn unsafe_faults(source: &Source) -> Vec<String> {
    let Some(path) = source.in_src() else { return Vec::new() };
    if UNSAFE.contains(&path) || words(&source.code, "unsafe").next().is_none() {
        return Vec::new();
    }
    vec![format!(
        "{}: unsafe belongs in the system-call files of rim/, which tests/tidy.rs lists",
        source.path
    )]
}

fn crate_faults(source: &Source) -> Vec<String> {
    let Some(path) = source.in_src() else { return Vec::new() };
    if path.starts_with("fuzzing/") {
        return Vec::new();
    }
    let used = CRATES.iter().filter(|(name, _)| {
        words(source.without_tests(), name).any(|(before, rest)| {
            rest.starts_with("::") && !before.ends_with([':', '.']) || before.trim_end().ends_with("use")
        })
    });
    let wrong = used.filter(|(_, places)| !places.iter().any(|place| path.starts_with(place)));
    wrong
        .map(|(name, places)| format!("{}: {name} may be used only in {}", source.path, places.join(" ")))
        .collect()
}

fn length_faults(source: &Source) -> Vec<String> {
    let lines = source.text.lines().count();
    let file = (lines > FILE_LINES_MAX)
        .then(|| format!("{}: {lines} lines, at most {FILE_LINES_MAX}: split it by concept", source.path));
    let long = functions(&source.code).into_iter().filter(|(_, _, lines)| *lines > FUNCTION_LINES_MAX);
    let functions = long.map(|(name, line, lines)| {
        format!("{}:{line}: fn {name} has {lines} lines, at most {FUNCTION_LINES_MAX}", source.path)
    });
    file.into_iter().chain(functions).collect()
}

/// Name, first line (from 1) and length in lines of every function; relies on rustfmt's indentation.
fn functions(code: &str) -> Vec<(String, usize, usize)> {
    let lines: Vec<&str> = code.lines().collect();
    let mut found = Vec::new();
    for (nth, line) in lines.iter().enumerate() {
        let Some(name) = function_name(line) else { continue };
        let indent = &line[..line.len() - line.trim_start().len()];
        let ends = |line: &str| line.strip_prefix(indent).is_some_and(|rest| rest.trim_end() == "}");
        let one_line = line.trim_end().ends_with(['}', ';']);
        let rest = if one_line { Some(0) } else { lines[nth..].iter().position(|line| ends(line)) };
        found.push((name.to_string(), nth + 1, rest.unwrap_or(0) + 1));
    }
    found
}

/// The name, if the line begins a function.
fn function_name(line: &str) -> Option<&str> {
    let (before, after) = line.split_once("fn ")?;
    let only_words = before.chars().all(|c| c.is_alphabetic() || " ()\"".contains(c));
    let name = word_at(after);
    (only_words && !name.is_empty() && (before.is_empty() || before.ends_with(' '))).then_some(name)
}

/// What is half done, and what a reader misses: a head that says what the file is for.
fn finish_faults(source: &Source) -> Vec<String> {
    let mut faults = Vec::new();
    let mut fault = |what: &str| faults.push(format!("{}: {what}", source.path));
    if !source.text.starts_with("//! ") {
        fault("does not begin with a //! line that says what it is for");
    }
    if source.text.contains('\t') {
        fault("has a tab; rustfmt indents by four spaces");
    }
    let half_done = ["todo", "unimplemented"];
    if half_done.iter().any(|name| words(&source.code, name).any(|(_, rest)| rest.starts_with('!'))) {
        fault("has a todo! or unimplemented!");
    }
    // Spelled in two parts so that this line is not found.
    let marks = [concat!("// TO", "DO"), concat!("// FIX", "ME"), concat!("// XX", "X")];
    if marks.iter().any(|mark| source.text.contains(mark)) {
        fault("has a note to finish something later");
    }
    faults
}

fn script_faults(path: &Path) -> Vec<String> {
    let text = fs::read_to_string(path).unwrap_or_default();
    let mut faults = Vec::new();
    if fs::metadata(path).is_ok_and(|data| data.permissions().mode() & 0o111 != 0o111) {
        faults.push(format!("{}: is not executable", path.display()));
    }
    if !text.starts_with("#!/usr/bin/env bash\n") || !text.contains("\nset -euo pipefail\n") {
        faults.push(format!("{}: is not strict bash (set -euo pipefail)", path.display()));
    }
    faults
}

/// Comments and the insides of literals replaced by spaces; the lines stay where they were.
fn blanked(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let (skipped, kept) = match literal_len(rest, code.chars().last()) {
            0 => (c.len_utf8(), true),
            len => (len, false),
        };
        let (token, after) = rest.split_at(skipped);
        rest = after;
        let blank = |c: char| if kept || c == '\n' { c } else { ' ' };
        code.extend(token.chars().map(blank));
    }
    code
}

/// Bytes of the comment or literal with which `rest` begins; 0 if it begins with code.
fn literal_len(rest: &str, before: Option<char>) -> usize {
    let to = |end: &str, from: usize| rest[from..].find(end).map_or(rest.len(), |at| from + at + end.len());
    let after_word = before.is_some_and(|c| c.is_alphanumeric() || c == '_');
    let raw = rest.trim_start_matches('b');
    if rest.starts_with("//") {
        return rest.find('\n').unwrap_or(rest.len());
    }
    if rest.starts_with("/*") {
        return to("*/", 2);
    }
    if let Some(quoted) = raw.strip_prefix('r').filter(|_| !after_word) {
        let hashes = quoted.len() - quoted.trim_start_matches('#').len();
        if quoted[hashes..].starts_with('"') {
            let start = rest.len() - quoted.len() + hashes + 1;
            return to(&format!("\"{}", "#".repeat(hashes)), start);
        }
    }
    match rest.as_bytes() {
        [b'"', ..] => closing_quote(rest, '"'),
        [b'\'', b'\\', ..] => closing_quote(rest, '\''),
        // A lifetime has no second quote right after one character.
        [b'\'', ..] => {
            let len = 1 + rest[1..].chars().next().map_or(0, char::len_utf8);
            if rest[len..].starts_with('\'') { len + 1 } else { 0 }
        }
        _ => 0,
    }
}

/// Bytes up to and with the closing quote, minding backslashes.
fn closing_quote(rest: &str, quote: char) -> usize {
    let mut escaped = false;
    let end = rest[1..].find(|c: char| {
        let closes = c == quote && !escaped;
        escaped = c == '\\' && !escaped;
        closes
    });
    end.map_or(rest.len(), |at| at + 2)
}

/// Every place where `word` stands as a whole word: what is before it, and what follows.
fn words<'a>(code: &'a str, word: &str) -> impl Iterator<Item = (&'a str, &'a str)> {
    let in_word = |c: char| c.is_alphanumeric() || c == '_';
    code.match_indices(word).filter_map(move |(at, found)| {
        let (before, rest) = (&code[..at], &code[at + found.len()..]);
        (!before.ends_with(in_word) && !rest.starts_with(in_word)).then_some((before, rest))
    })
}

fn word_at(text: &str) -> &str {
    let end = text.find(|c: char| !c.is_alphanumeric() && c != '_');
    &text[..end.unwrap_or(text.len())]
}

fn floor_of(room: &str) -> Option<usize> {
    FLOORS.iter().position(|rooms| rooms.contains(&room))
}

fn top() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// What `check` finds in the sources of the crate, its tests, tools and fuzz targets.
fn everywhere(check: fn(&Source) -> Vec<String>) -> Vec<String> {
    let mut folders: Vec<PathBuf> =
        ["src", "tests", "scripts", "fuzz/fuzz_targets"].iter().map(|folder| top().join(folder)).collect();
    let mut faults = Vec::new();
    let mut files = 0;
    while let Some(folder) = folders.pop() {
        for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let name = path.strip_prefix(top()).unwrap().to_string_lossy().into_owned();
                faults.extend(check(&Source::new(&name, &fs::read_to_string(&path).unwrap())));
                files += 1;
            }
        }
    }
    assert!(files > 20, "only {files} sources found");
    faults
}

fn none(mut faults: Vec<String>) {
    faults.sort();
    assert!(faults.is_empty(), "\n{}\n", faults.join("\n"));
}

mod the_checks_themselves {
    use super::*;

    fn found(check: fn(&Source) -> Vec<String>, path: &str, text: &str) -> String {
        check(&Source::new(path, text)).join("\n")
    }

    #[test]
    fn a_use_sideways_or_up_is_named() {
        for (path, text, fault) in [
            (
                "src/download/mod.rs",
                "use crate::peer::Peer;",
                "download may not use peer: rooms of one floor",
            ),
            (
                "src/meta/layout.rs",
                "use crate::{base::x, session::{a, rim}, wire::y};",
                "may not use session",
            ),
            (
                "src/wire/http.rs",
                "fn f() -> crate::meta::Metainfo {}",
                "wire may not use meta: it is on a higher",
            ),
            ("src/peer/x.rs", "use super::super::tracker::X;", "peer may not use tracker"),
            ("src/peer/x.rs", "use crate::base::x; // crate::session\nconst A: &str = \"crate::rim\";", ""),
            ("src/session/mod.rs", "use crate::{base, peer, session::x};", ""),
            ("src/fuzzing/wire.rs", "use crate::session::x;", ""),
        ] {
            let faults = found(floor_faults, path, text);
            assert!(
                if fault.is_empty() { faults.is_empty() } else { faults.contains(fault) },
                "{text}: {faults}"
            );
        }
    }

    #[test]
    fn misplaced_words_are_found_and_comments_are_not() {
        for (check, path, text, wrong) in [
            (std_faults as fn(&Source) -> Vec<String>, "src/peer/x.rs", "use std::io;", true),
            (std_faults, "src/peer/x.rs", "// std::io\n#[cfg(test)]\nmod tests { use std::io; }", false),
            (std_faults, "src/rim/x.rs", "use std::io;", false),
            (unsafe_faults, "src/app/x.rs", "unsafe { f() }", true),
            (unsafe_faults, "src/rim/mod.rs", "unsafe { f() }", true),
            (unsafe_faults, "src/rim/resolve.rs", "unsafe { f() }", true),
            (unsafe_faults, "src/rim/storage/window.rs", "unsafe { f() }", false),
            (unsafe_faults, "src/lib.rs", "#![forbid(unsafe_code)] // unsafe", false),
            (crate_faults, "src/wire/framer.rs", "use httparse::Response;", true),
            (crate_faults, "src/wire/http.rs", "use httparse::Response;", false),
            (crate_faults, "src/session/x.rs", "mio::Poll::new()", true),
            (crate_faults, "src/session/x.rs", "self.log::<u8>(); crate::base::log::x();", false),
            (finish_faults, "src/app/x.rs", "//! X.\nfn f() { todo!() }", true),
            (finish_faults, "src/app/x.rs", "fn f() {}", true),
            (finish_faults, "src/app/x.rs", "//! X: \"todo!\".\nfn f() {}", false),
        ] {
            assert_eq!(!found(check, path, text).is_empty(), wrong, "{path}: {text}");
        }
    }

    #[test]
    fn long_functions_are_measured() {
        let body = "        x();\n".repeat(FUNCTION_LINES_MAX - 1);
        let text = format!("impl X {{\n    pub const fn f(\n{body}    }}\n    fn g() {{}}\n}}\n");
        let expected = [("f".to_string(), 2, FUNCTION_LINES_MAX + 1), ("g".to_string(), 73, 1)];
        assert_eq!(functions(&blanked(&text)), expected);
        assert!(found(length_faults, "src/x.rs", &text).contains("src/x.rs:2: fn f has 71 lines"));
        assert!(found(length_faults, "src/x.rs", &"x\n".repeat(501)).contains("501 lines"));
    }

    #[test]
    fn literals_are_blanked_and_lifetimes_are_not() {
        let text = r##"f::<'a>('\'', b"\"x", r#"y"z"#, 'q'); // w"##;
        let code = blanked(text);
        assert_eq!(code.len(), text.len());
        assert!(code.starts_with("f::<'a>(") && code.contains(");"), "{code}");
        assert!(!code.contains(['x', 'y', 'z', 'q', 'w']), "{code}");
    }
}
