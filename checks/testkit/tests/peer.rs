//! What the handle of a second process promises. Needs nothing installed.

use memlock_testkit::{Parent, Peer, wait_until};
use std::path::Path;
use std::time::Duration;
use std::{fs, process};

const LIMIT: Duration = Duration::from_secs(20);

#[test]
fn a_conversation_line_by_line() {
    if let Some(parent) = Parent::of_role("echo") {
        // What the harness, or the test itself, prints is not part of it.
        print!("noise on the same line ");
        println!("{}", std::env::var("COLOUR").unwrap());
        for _ in 0..2 {
            parent.say(&parent.hear(LIMIT).to_uppercase());
        }
        return;
    }
    let mut echo = Peer::of("echo")
        .test("a_conversation_line_by_line")
        .env("COLOUR", "blue")
        .start();
    assert_ne!(echo.pid(), process::id());
    for word in ["one", "two"] {
        echo.send(word);
        assert_eq!(echo.expect_line(LIMIT), word.to_uppercase());
    }
    assert!(echo.wait(LIMIT).success());
    assert_eq!(echo.next_line(LIMIT), None);
}

#[test]
fn a_role_is_played_only_by_its_peer() {
    assert!(Parent::of_role("nobody").is_none());
}

#[test]
fn a_peer_that_fails_is_seen_to_fail() {
    if Parent::of_role("failing").is_some() {
        process::exit(3);
    }
    let mut failing = Peer::of("failing").test("a_peer_that_fails_is_seen_to_fail").start();
    assert_eq!(failing.wait(LIMIT).code(), Some(3));
}

#[test]
fn a_paused_peer_is_silent_until_resumed() {
    if let Some(parent) = Parent::of_role("sleeper") {
        parent.say("awake");
        parent.say(&parent.hear(LIMIT));
        return;
    }
    let mut sleeper = Peer::of("sleeper")
        .test("a_paused_peer_is_silent_until_resumed")
        .start();
    assert_eq!(sleeper.expect_line(LIMIT), "awake");
    sleeper.pause();
    sleeper.send("again");
    assert_eq!(sleeper.next_line(Duration::from_millis(100)), None);
    sleeper.resume();
    assert_eq!(sleeper.expect_line(LIMIT), "again");
}

/// A grandchild of a test must not go on when the test's process is killed.
#[test]
fn a_peer_does_not_outlive_a_parent_that_is_killed() {
    const NAME: &str = "a_peer_does_not_outlive_a_parent_that_is_killed";
    if let Some(parent) = Parent::of_role("grandchild") {
        parent.say("here");
        let _: String = parent.hear(LIMIT);
        return;
    }
    if let Some(parent) = Parent::of_role("child") {
        let grandchild = Peer::of("grandchild").test(NAME).start();
        assert_eq!(grandchild.expect_line(LIMIT), "here");
        // Stopped, it cannot notice by itself that its parent is gone.
        grandchild.pause();
        parent.say(&grandchild.pid().to_string());
        let _: String = parent.hear(LIMIT);
        return;
    }
    let mut child = Peer::of("child").test(NAME).start();
    let grandchild = child.expect_line(LIMIT);
    child.kill();
    wait_until("the grandchild to be gone", LIMIT, || !runs(&grandchild));
}

/// Whether a process runs; one that has ended and waits for its new parent to notice does not.
fn runs(pid: &str) -> bool {
    if !Path::new("/proc/self/stat").exists() {
        // Where the system has no such files, `kill -0` is the question; init reaps at once.
        let ask = process::Command::new("sh")
            .args(["-c", "kill -0 \"$0\" 2>/dev/null", pid])
            .status();
        return ask.unwrap().success();
    }
    let state = fs::read_to_string(format!("/proc/{pid}/stat"));
    state.is_ok_and(|stat| !stat.rsplit_once(") ").unwrap().1.starts_with(['Z', 'X']))
}
