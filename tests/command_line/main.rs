//! The real binary, as a user or a script sees it: lines, streams, exit codes.

mod json;
mod surroundings;

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Nothing here may take longer, whatever it is given.
const PATIENCE: Duration = Duration::from_secs(1);

struct Ran {
    code: i32,
    out: String,
    err: String,
    took: Duration,
}

fn swarmlet() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_swarmlet"));
    command.stdin(Stdio::null()).env_remove("RUST_LOG");
    command
}

fn run<A: AsRef<OsStr>>(arguments: &[A]) -> Ran {
    ran(swarmlet().args(arguments))
}

fn ran(command: &mut Command) -> Ran {
    let start = Instant::now();
    let output = command.output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("all output is UTF-8");
    let code = output.status.code().expect("it ends by itself, not by a signal");
    Ran { code, out: text(output.stdout), err: text(output.stderr), took: start.elapsed() }
}

impl Ran {
    /// Ended with `code` and one line on stderr that has all of `parts`, in time.
    fn assert_fault(&self, code: i32, parts: &[&str]) {
        assert_eq!((self.code, self.out.as_str()), (code, ""), "{}", self.err);
        assert_eq!(self.err.lines().count(), 1, "{}", self.err);
        assert!(self.err.starts_with("swarmlet: ") && self.err.ends_with('\n'), "{}", self.err);
        assert!(!self.err.chars().any(|c| c.is_control() && c != '\n'), "{:?}", self.err);
        parts.iter().for_each(|part| assert!(self.err.contains(part), "{part:?} is not in {:?}", self.err));
        assert!(self.took < PATIENCE, "took {:?}", self.took);
    }
}

/// An empty directory of this test's own.
fn directory(test: &str) -> PathBuf {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(test);
    let _ = fs::remove_dir_all(&path);
    fs::create_dir_all(&path).unwrap();
    path
}

fn string(text: &str) -> String {
    format!("{}:{text}", text.len())
}

/// A torrent of one file; `changes` replaces parts of its `info`.
fn torrent(name: &str, changes: &[(&str, &str)]) -> Vec<u8> {
    let hashes = string(&"h".repeat(40));
    let mut info = format!("6:lengthi2000e4:name{}12:piece lengthi1024e6:pieces{hashes}", string(name));
    for (from, to) in changes {
        assert!(info.contains(from), "{from} is not in {info}");
        info = info.replace(from, to);
    }
    format!("d8:announce{}4:infod{info}ee", string("http://127.0.0.1:1/announce")).into_bytes()
}

#[test]
fn what_cannot_be_said_is_a_fault_unless_nobody_listens() {
    let folder = directory("full_output");
    let file = folder.join("a.torrent");
    fs::write(&file, torrent("a", &[])).unwrap();
    for arguments in
        [&[OsStr::new("--help")][..], &[OsStr::new("--version")], &[OsStr::new("--show"), file.as_os_str()]]
    {
        let full = fs::File::options().write(true).open("/dev/full").unwrap();
        let output = swarmlet().args(arguments).stdout(full).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(
            said.starts_with("swarmlet: cannot write to standard output: No space left on device"),
            "{said}"
        );
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = swarmlet().args(arguments).stdout(writer).output().unwrap();
        assert_eq!((output.status.code(), output.stderr), (Some(0), Vec::new()));
    }
}

#[cfg(feature = "create")]
#[test]
fn a_result_that_cannot_be_said_is_a_fault() {
    let directory = directory("full_result");
    fs::write(directory.join("data"), [1; 2000]).unwrap();
    let run = |arguments: &[&str], out: Stdio| {
        let output = swarmlet().args(arguments).current_dir(&directory).stdout(out).output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    assert_eq!(run(&["--create", "data"], Stdio::null()).0, Some(0));
    let full = || Stdio::from(fs::File::options().write(true).open("/dev/full").unwrap());
    let line = "swarmlet: cannot write to standard output: No space left on device";
    let download = ["--port", "0", "--bind", "127.0.0.1", "data.torrent"];
    for arguments in [&["--check", "data.torrent"][..], &download, &["--create", "data", "-o", "b.torrent"]] {
        let (code, said) = run(arguments, full());
        assert!(code == Some(1) && said.lines().any(|said| said.starts_with(line)), "{code:?} {said}");
    }
    fs::write(directory.join("data"), [2; 2000]).unwrap();
    let (code, said) = run(&["--check", "data.torrent"], full());
    assert!(code == Some(7) && said.lines().any(|said| said.starts_with(line)), "{code:?} {said}");
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    fs::write(directory.join("data"), [1; 2000]).unwrap();
    assert_eq!(run(&["--check", "data.torrent"], writer.into()).0, Some(0));
}

#[test]
fn help_fits_on_one_screen_and_names_the_exit_codes() {
    for arguments in [&["--help"][..], &["-h"], &["-vh", "nothing.torrent"], &["--memory", "8", "--help"]] {
        let ran = run(arguments);
        assert_eq!((ran.code, ran.err.as_str()), (0, ""));
        assert!(ran.out.lines().count() <= 24, "{} lines", ran.out.lines().count());
        assert!(ran.out.lines().all(|line| line.chars().count() <= 80));
        assert!(
            ran.out.starts_with("Usage: swarmlet") && ran.out.contains("Exit codes: 0 done"),
            "{}",
            ran.out
        );
    }
}

#[test]
fn the_version_is_that_of_the_package() {
    let ran = run(&["--version"]);
    assert_eq!((ran.code, ran.out), (0, format!("swarmlet {}\n", env!("CARGO_PKG_VERSION"))));
}

#[test]
fn bad_arguments_are_one_line_and_code_2() {
    let cases: [(&[&str], &[&str]); 13] = [
        (&["-o", "", "a"], &["--output is empty"]),
        (&[], &["no FILE.torrent given"]),
        (&["--memory", "1", "a"], &["--memory", "'1'", "2 to 1024"]),
        (&["--memory=x", "a"], &["--memory", "'x'"]),
        (&["--port", "70000", "a"], &["--port", "'70000'", "0 to 65535"]),
        (&["--max-peers=0", "a"], &["--max-peers", "'0'", "1 to 5000"]),
        (&["--peer", "localhost:1", "a"], &["--peer", "'localhost:1'", "IP:PORT"]),
        (&["--give-up", "soon", "a"], &["--give-up", "'soon'", "seconds"]),
        (&["--allocate=some", "a"], &["--allocate", "'some'", "full or sparse"]),
        (&["--sow", "a"], &["--sow"]),
        (&["-vz", "a"], &["-z"]),
        (&["a", "-o"], &["--output needs a value"]),
        (&["--json=1", "\u{1b}[2J"], &["--json takes no value"]),
    ];
    for (arguments, parts) in cases {
        run(arguments).assert_fault(2, parts);
    }
}

#[test]
fn what_is_no_torrent_is_one_line_and_code_3() {
    let directory = directory("no_torrent");
    let whole = torrent("a", &[]);
    let cases: [(&str, &[u8], &[&str]); 7] = [
        ("page.torrent", b"\xef\xbb\xbf\n<!DOCTYPE html>", &["looks like a web page"]),
        ("packed.torrent", b"\x1f\x8b\x08\0", &["is compressed (gzip)", "gunzip"]),
        ("empty.torrent", b"", &["is empty"]),
        ("text.torrent", b"hello", &["byte"]),
        ("cut.torrent", &whole[..whole.len() - 9], &["byte"]),
        ("lists.torrent", &vec![b'l'; 1 << 20], &["byte"]),
        ("other.torrent", b"d3:fooi1ee", &["info is missing"]),
    ];
    for (name, bytes, parts) in cases {
        let path = directory.join(name);
        fs::write(&path, bytes).unwrap();
        for arguments in [&["--show"][..], &["--check"], &[]] {
            let arguments: Vec<&OsStr> = arguments.iter().map(OsStr::new).chain([path.as_os_str()]).collect();
            run(&arguments).assert_fault(3, &[&[name], parts].concat());
        }
    }
    let zeros = directory.join("zeros.torrent");
    fs::File::create(&zeros).unwrap().set_len(50 << 20).unwrap();
    run(&[&zeros]).assert_fault(3, &["zeros.torrent", "50.0 MiB"]);
    run(&[&directory.join("missing.torrent")]).assert_fault(3, &["missing.torrent", "No such file"]);
    run(&[&directory]).assert_fault(3, &["is a directory"]);
    for magnet in ["magnet:?xt=urn:btih:0", "MAGNET:?xt=urn:btih:0"] {
        run(&[magnet]).assert_fault(3, &["is a magnet link"]);
    }
    for url in ["http://example.com/a.torrent", "HTTPS://example.com/a.torrent"] {
        run(&[url]).assert_fault(3, &["is a URL", "wget"]);
    }
    let line_feed = directory.join("line\nfeed");
    run(&[&line_feed]).assert_fault(3, &["line\\x0afeed"]);
}

#[test]
fn a_torrent_that_makes_no_sense_names_the_field() {
    let directory = directory("no_sense");
    let cases: [(&str, &str, &str); 12] = [
        ("piece lengthi1024e", "piece lengthi0e", "piece length"),
        ("piece lengthi1024e", "piece lengthi-5e", "piece length"),
        ("piece lengthi1024e", "piece lengthi99999999999999999999999e", "byte"),
        ("piece lengthi1024e", "piece lengthi512e", "pieces"),
        ("6:pieces40:h", "6:pieces39:", "pieces"),
        ("lengthi2000e", "lengthi-1e", "length"),
        ("6:lengthi2000e", "5:filesle", "files"),
        ("6:lengthi2000e", "5:filesld6:lengthi-7e4:pathl1:aeee", "length"),
        (
            "6:lengthi2000e",
            "5:filesld6:lengthi9223372036854775807e4:pathl1:aeed6:lengthi9223372036854775807e4:pathl1:beed6:lengthi9223372036854775807e4:pathl1:ceee",
            "length",
        ),
        ("6:lengthi2000e", "6:length4:2000", "length"),
        ("4:name1:a", "4:name0:", "name"),
        (
            "12:piece lengthi1024e6:pieces40:",
            "12:meta versioni2e12:piece lengthi1024e6:other!40:",
            "version 2 only",
        ),
    ];
    for (number, (from, to, part)) in cases.into_iter().enumerate() {
        let path = directory.join(format!("{number}.torrent"));
        fs::write(&path, torrent("a", &[(from, to)])).unwrap();
        run(&[&path]).assert_fault(3, &[&format!("{number}.torrent: "), part]);
    }
}

#[test]
fn one_bad_torrent_stops_all_before_anything_is_written() {
    let directory = directory("one_bad");
    fs::write(directory.join("good.torrent"), torrent("good", &[])).unwrap();
    let [good, bad, out] = ["good.torrent", "bad.torrent", "out"].map(|name| directory.join(name));
    run(&[OsStr::new("-o"), out.as_os_str(), good.as_os_str(), bad.as_os_str()])
        .assert_fault(3, &["bad.torrent"]);
    assert!(!out.exists());
}

#[test]
fn show_says_what_a_torrent_says_and_nothing_dangerous() {
    let directory = directory("show");
    let path = directory.join("a.torrent");
    fs::write(&path, torrent("evil \u{1b}[2J\u{202e}.iso", &[])).unwrap();
    let ran = run(&[OsStr::new("--show"), path.as_os_str()]);
    assert_eq!((ran.code, ran.err.as_str()), (0, ""));
    assert!(!ran.out.chars().any(|c| (c.is_control() && c != '\n') || c == '\u{202e}'), "{:?}", ran.out);
    for part in
        ["\n  info-hash  ", "2.0 KiB (2000 bytes) in 1 file", "2 pieces of 1.0 KiB", "http://127.0.0.1:1/"]
    {
        assert!(ran.out.contains(part), "{part:?} is not in {}", ran.out);
    }
}

#[test]
fn real_torrents_are_shown_as_text_and_as_json() {
    let torrents = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/torrents");
    let cases = [
        (
            "alice_in_wonderland_librivox_archive",
            "55e5f8c36e7cb3208b164f31d3e0b28b0e687d04",
            458_775_682_u64,
            876,
        ),
        ("archlinux-2025.05.01-x86_64.iso", "2e34989b1c60df821b2d046c884d8f4d1858b97a", 1_243_643_904, 2373),
        ("debian-11.2.0-amd64-DVD-1.iso", "c9a337562cb0360fd6f5ab40fd2b1b81d5325dbd", 3_897_638_912, 3718),
    ];
    for (name, info_hash, size_bytes, pieces) in cases {
        let path = torrents.join(format!("{name}.torrent"));
        let text = run(&[OsStr::new("--show"), path.as_os_str()]);
        assert_eq!((text.code, text.err.as_str()), (0, ""));
        for part in
            [format!("  {info_hash}\n"), format!("({size_bytes} bytes)"), format!("  {pieces} pieces of ")]
        {
            assert!(text.out.contains(&part), "{part:?} is not in {}", text.out);
        }
        let object = run(&[OsStr::new("--show"), OsStr::new("--json"), path.as_os_str()]).out;
        json::check(object.trim_end()).unwrap();
        let numbers = format!("\"info_hash\":\"{info_hash}\",\"size_bytes\":{size_bytes},");
        assert!(object.contains(&numbers) && object.contains(&format!("\"pieces\":{pieces},")), "{object}");
        assert!(text.took < PATIENCE);
    }
}

#[test]
fn names_that_are_not_utf_8_are_names() {
    let directory = directory("bytes");
    let path = directory.join(OsString::from_vec(b"b\xff\xfe.torrent".to_vec()));
    fs::write(&path, torrent("a", &[])).unwrap();
    let ran = run(&[OsStr::new("--show"), path.as_os_str()]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    let ran = run(&[OsStr::new("--show"), OsStr::new("--json"), path.as_os_str()]);
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    assert!(
        ran.out.contains(&format!("\"file_hex\":\"{}\"", hex(path.as_os_str().as_bytes()))),
        "{}",
        ran.out
    );
    json::check(ran.out.trim_end()).unwrap();
}

#[test]
fn with_json_every_line_is_an_object_and_faults_are_too() {
    let directory = directory("json");
    let [good, bad] = ["good.torrent", "bad.torrent"].map(|name| directory.join(name));
    fs::write(&good, torrent("quote \" back \\ bell \u{7}", &[])).unwrap();
    let ran = run(&[OsStr::new("--json"), OsStr::new("--show"), good.as_os_str(), bad.as_os_str()]);
    assert_eq!((ran.code, ran.err.lines().count()), (3, 1), "{}", ran.err);
    let lines: Vec<&str> = ran.out.lines().collect();
    assert_eq!(lines.len(), 2, "{}", ran.out);
    lines.iter().for_each(|line| json::check(line).unwrap_or_else(|at| panic!("byte {at} of {line}")));
    assert!(lines.iter().any(|line| line.starts_with("{\"type\":\"torrent\",")));
    let error = lines.iter().find(|line| line.starts_with("{\"type\":\"error\","));
    assert!(error.is_some_and(|line| line.ends_with(",\"exit_code\":3}")), "{error:?}");
    let usage = run(&["--json", "--port", "0"]);
    assert!(usage.code == 2 && usage.out.ends_with(",\"exit_code\":2}\n"), "{}", usage.out);
}

#[test]
fn output_that_is_something_else_is_code_5_and_stays_as_it_is() {
    let directory = directory("taken");
    let path = directory.join("a.torrent");
    fs::write(&path, torrent("a", &[])).unwrap();
    let out = directory.join("out");
    fs::create_dir_all(out.join("a")).unwrap();
    let arguments = [OsStr::new("-o"), out.as_os_str(), path.as_os_str()];
    run(&arguments).assert_fault(5, &["a: ", "directory"]);
    fs::remove_dir(out.join("a")).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", out.join("a")).unwrap();
    run(&arguments).assert_fault(5, &["symbolic link"]);
    fs::remove_file(out.join("a")).unwrap();
    fs::write(out.join("a"), [7; 3000]).unwrap();
    run(&arguments).assert_fault(5, &["3000 bytes"]);
    assert_eq!(fs::read(out.join("a")).unwrap(), [7; 3000]);
    // Somebody's own file, shorter than the torrent's: nothing in it is of the torrent. It is refused each time.
    fs::write(out.join("a"), [7; 300]).unwrap();
    let ran = run(&arguments);
    assert_eq!((ran.code, ran.out.as_str()), (5, ""), "the same command does not go on from there");
    for _ in 0..2 {
        let ran = run(&[OsStr::new("-q"), OsStr::new("-o"), out.as_os_str(), path.as_os_str()]);
        ran.assert_fault(5, &["out/a: exists and holds nothing of this torrent"]);
        assert_eq!(fs::read(out.join("a")).unwrap(), [7; 300]);
        assert_eq!(fs::read_dir(&out).unwrap().count(), 1, "nothing is left beside it");
    }
}

#[test]
fn who_finds_nobody_hears_who_was_tried_and_what_went_wrong() {
    let directory = directory("nobody");
    let path = directory.join("a.torrent");
    let (tracker, closed) =
        (TcpListener::bind("127.0.0.1:0").unwrap(), TcpListener::bind("127.0.0.1:0").unwrap());
    let (place, peer) = (tracker.local_addr().unwrap(), closed.local_addr().unwrap().to_string());
    drop(closed);
    let (old, new) = (string("http://127.0.0.1:1/announce"), string(&format!("http://{place}/announce")));
    let file = String::from_utf8(torrent("a", &[])).unwrap().replace(&old, &new);
    fs::write(&path, file).unwrap();
    let refuses = |stream: std::io::Result<TcpStream>| {
        let mut stream = stream?;
        let _ = stream.read(&mut [0; 4096])?;
        stream.write_all(b"HTTP/1.0 200 OK\r\n\r\nd14:failure reason15:not registered.e")
    };
    std::thread::spawn(move || tracker.incoming().for_each(|stream| drop(refuses(stream))));
    let options = ["-q", "--give-up", "5", "--port", "0", "--peer", &peer, "-o"].map(OsStr::new);
    let ran = run(&[&options[..], &[directory.as_os_str(), path.as_os_str()]].concat());
    let expected = format!(
        "swarmlet: nobody was found within 5 s: tracker http://{place}/announce failed: the tracker says: not registered; peer {peer} \
         failed: connection refused\n"
    );
    assert_eq!((ran.code, ran.err), (8, expected));
}

#[test]
fn two_torrents_of_one_output_are_refused() {
    let directory = directory("clash");
    let [one, two] = ["one.torrent", "two.torrent"].map(|name| directory.join(name));
    fs::write(&one, torrent("a", &[])).unwrap();
    fs::write(&two, torrent("a", &[("i2000e", "i2001e")])).unwrap();
    run(&[&one, &two]).assert_fault(5, &["two.torrent", "output of another torrent"]);
}

#[test]
fn a_reader_that_leaves_early_is_no_fault() {
    let directory = directory("pipe");
    let files: String =
        (0..20_000).map(|n| format!("d6:lengthi0e4:pathl{}ee", string(&format!("file {n}")))).collect();
    let path = directory.join("many.torrent");
    let files = format!("5:filesld6:lengthi2000e4:pathl1:aee{files}e");
    fs::write(&path, torrent("many", &[("6:lengthi2000e", &files)])).unwrap();
    for mode in ["--show", "--help"] {
        let mut child =
            swarmlet().arg(mode).arg(&path).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        assert_eq!((output.status.code(), output.stderr.as_slice()), (Some(0), &b""[..]), "{mode}");
    }
}

#[cfg(feature = "create")]
#[test]
fn a_torrent_that_was_created_can_be_shown() {
    let directory = directory("create");
    let (data, out) = (directory.join("data.bin"), directory.join("made.torrent"));
    fs::write(&data, vec![1; 100_000]).unwrap();
    let arguments = [OsStr::new("--create"), data.as_os_str(), OsStr::new("-o"), out.as_os_str()];
    let ran = run(&arguments);
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(ran.out.contains("made.torrent"), "{}", ran.out);
    assert!(run(&[OsStr::new("--show"), out.as_os_str()]).out.starts_with("data.bin\n"));
    run(&arguments).assert_fault(5, &["made.torrent: exists already: ", "another with -o"]);
    let out = directory.join("private.torrent");
    let mut arguments =
        [OsStr::new("--create"), data.as_os_str(), OsStr::new("-o"), out.as_os_str()].to_vec();
    arguments.extend([OsStr::new("--private"), OsStr::new("--piece-size"), OsStr::new("32")]);
    assert_eq!(run(&arguments).code, 0);
    let shown = run(&[OsStr::new("--show"), out.as_os_str()]).out;
    assert!(
        shown.contains("  private    yes") && shown.contains("  pieces     4 pieces of 32.0 KiB"),
        "{shown}"
    );
}

/// A run of the program that ends with its test, whatever becomes of that.
#[cfg(feature = "create")]
struct Running(std::process::Child);

#[cfg(feature = "create")]
impl Running {
    fn start(directory: &std::path::Path, arguments: &[&str]) -> Self {
        let mut command = swarmlet();
        command.args(["--port", "0", "--bind", "127.0.0.1"]).args(arguments).current_dir(directory);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        Self(command.spawn().unwrap())
    }
}

#[cfg(feature = "create")]
impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[cfg(feature = "create")]
#[test]
fn a_seed_says_that_it_is_complete_and_stays_until_it_is_told_to_go() {
    use std::io::{BufRead as _, BufReader, Write as _};
    let directory = directory("seed");
    fs::write(directory.join("data"), vec![1; 100_000]).unwrap();
    assert_eq!(
        swarmlet().args(["--create", "data"]).current_dir(&directory).output().unwrap().status.code(),
        Some(0)
    );
    let mut child =
        Running::start(&directory, &["--seed", "--max-peers", "5000", "--up-limit", "7", "data.torrent"]);
    let mut said = Vec::new();
    for line in BufReader::new(child.0.stderr.take().unwrap()).lines().map_while(Result::ok) {
        let is_last = line.starts_with("complete: ");
        said.push(line);
        if is_last {
            break;
        }
    }
    assert_eq!(said.last().unwrap(), "complete: it was all there; now it is given to others");
    let lowered = "warning: --max-peers 5000 becomes ";
    assert!(said.iter().any(|line| line.starts_with(lowered)), "{said:?}");
    child.0.stdin.take().unwrap().write_all(b"status\nquit\n").unwrap();
    let out = std::io::read_to_string(child.0.stdout.take().unwrap()).unwrap();
    assert_eq!(child.0.wait().unwrap().code(), Some(0), "{out}");
    assert!(out.contains("data: 100.0%, complete, given to others\n"), "{out}");
    assert!(out.contains("\nlimits: down none, up 7 KiB/s\n"), "{out}");
    assert!(
        out.lines().last().unwrap().starts_with("data: 97.7 KiB complete, it was all there; it is in "),
        "{out}"
    );
}
