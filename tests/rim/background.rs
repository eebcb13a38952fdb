//! A job in the background of a real terminal: it must neither be stopped (SIGTTIN) nor take what is typed
//! for others, and it must hear commands once it comes to the front. Three processes of this same program
//! take part.

use crate::script::{Fact, Paper, play_with};
use core::time::Duration;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Write};
use std::os::fd::{FromRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::{env, process, thread};
use swarmlet::session::Command;

/// Tells the program which part it plays.
const PART: &str = "SWARMLET_TEST_PART";

/// Says so on stdout, in a line of its own among those of the test runner.
fn say(what: &str) {
    let _ = writeln!(io::stdout(), "\n> {what}");
}

/// This program again, in the part `name` of the same test.
fn part(name: &str) -> process::Command {
    let mut command = process::Command::new(env::current_exe().unwrap());
    let test = concat!("background::", "a_background_job_is_not_stopped_and_hears_commands_once_in_front");
    command.args(["--exact", test, "--nocapture", "--test-threads=1"]).env(PART, name);
    command
}

/// A job that tells what it hears and ends at `quit`; it wakes up now and then, as a download does.
fn play_job() {
    say("job runs");
    let wait = Duration::from_millis(20);
    play_with(&io::stdin(), Paper::default(), |desk, fact| match fact {
        Fact::Start | Fact::Time => desk.deadline = Some(desk.now + wait),
        fact => {
            say(&format!("{fact:?}"));
            if fact == Fact::Command(Command::Quit) {
                desk.finish();
            }
        }
    });
}

/// What a shell does: starts a job in the background and brings it to the front half a second later.
fn play_shell() {
    let mut job = part("job").process_group(0).spawn().unwrap();
    thread::sleep(Duration::from_millis(500));
    say("to the front");
    // SAFETY: the call takes numbers; standard input is the terminal that controls this process.
    assert_eq!(unsafe { libc::tcsetpgrp(0, job.id().cast_signed()) }, 0);
    assert!(job.wait().unwrap().success());
    say("job has ended");
}

#[test]
fn a_background_job_is_not_stopped_and_hears_commands_once_in_front() {
    match env::var(PART).as_deref() {
        Ok("job") => play_job(),
        Ok("shell") => play_shell(),
        _ => play_user(),
    }
}

/// Types at the terminal of the shell, and looks at what the other two say.
fn play_user() {
    let (mut master, mut slave) = (0, 0);
    let null = core::ptr::null_mut();
    // SAFETY: two exclusive places for numbers; nulls ask for no name and for defaults.
    assert_eq!(unsafe { libc::openpty(&mut master, &mut slave, null, null.cast(), null.cast()) }, 0);
    // SAFETY: both are new and ours alone.
    let (mut master, slave) = unsafe { (File::from_raw_fd(master), OwnedFd::from_raw_fd(slave)) };
    let mut shell = part("shell");
    shell.stdin(slave).stdout(process::Stdio::piped());
    // SAFETY: between fork and exec only two system calls are made; neither allocates nor locks.
    unsafe {
        shell.pre_exec(|| {
            if libc::setsid() < 0 || libc::ioctl(0, libc::TIOCSCTTY, 0) < 0 {
                Err(io::Error::last_os_error())
            } else {
                Ok(())
            }
        })
    };
    let mut shell = shell.spawn().unwrap();
    let lines = BufReader::new(shell.stdout.take().unwrap()).lines().map_while(Result::ok);
    let mut said = Vec::new();
    for line in lines.filter_map(|line| Some(line.strip_prefix("> ")?.to_string())) {
        match line.as_str() {
            "job runs" => master.write_all(b"status\n").unwrap(),
            "Command(Status)" => master.write_all(b"quit\n").unwrap(),
            _ => {}
        }
        said.push(line);
    }
    assert!(shell.wait().unwrap().success());
    assert_eq!(said, ["job runs", "to the front", "Command(Status)", "Command(Quit)", "job has ended"]);
}
