//! Texts that other programs write on a server, or that a server answers, are shown escaped and short.

use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::thread;
use std::time::Duration;

use memlock::{Error, Locks};

use crate::log::Log;
use crate::stage::{Stage, ms, tried};

/// Characters that a terminal obeys, or hides.
const EVIL: &str = "\u{1b}[2J\u{1b}]0;x\u{7}\r\n\u{202e}\u{2066}\u{200b}\u{feff}";

#[track_caller]
fn is_fit_for_a_terminal(text: &str) {
    let bad = text
        .chars()
        .find(|c| c.is_control() || "\u{202e}\u{2066}\u{200b}\u{feff}".contains(*c));
    assert_eq!(bad, None, "{text}");
    assert!(text.len() < 3000, "{} bytes", text.len());
}

/// All texts of an error that a person may see.
fn shown(error: &Error) -> String {
    let mut text = format!("{error} {error:?}");
    let mut below = std::error::Error::source(error);
    while let Some(source) = below {
        write!(text, " {source} {source:?}").expect("a text");
        below = source.source();
    }
    text
}

/// `text`, as a label stands in an item: control characters and spaces are encoded.
fn encoded(text: &str) -> String {
    let encode = |c: char| {
        if c.is_control() || c == ' ' || c == '%' {
            c.to_string()
                .bytes()
                .fold(String::new(), |encoded, byte| format!("{encoded}%{byte:02X}"))
        } else {
            c.to_string()
        }
    };
    text.chars().map(encode).collect()
}

#[test]
fn a_label_written_by_another_program_is_shown_escaped_and_short() {
    let stage = Stage::set();
    let label = encoded(&format!("host{EVIL}{}", "x".repeat(60_000)));
    let value = format!("1 {:032x} 30000000 0 {label}", 7);
    let stored = stage.ask(&format!("set memlock:lock:k 0 60 {}\r\n{value}", value.len()));
    assert_eq!(stored.trim_end(), "STORED");
    let locks = stage.locks();
    let error = tried(|| locks.lock("k").try_acquire()).expect_err("it is held");
    is_fit_for_a_terminal(&shown(&error));
    assert!(error.to_string().contains("host\\u{1b}[2J"), "{error}");
    let Error::Busy {
        holder: Some(holder), ..
    } = &error
    else {
        panic!("{error}");
    };
    is_fit_for_a_terminal(holder);
}

#[test]
fn a_key_chosen_by_a_user_is_shown_escaped_and_short() {
    let stage = Stage::set();
    let (locks, others) = (stage.locks(), stage.locks());
    for key in [
        EVIL.to_owned(),
        format!("{EVIL}{}", "x".repeat(40_000)),
        EVIL.repeat(1000),
    ] {
        let _held = tried(|| others.lock(&*key).try_acquire()).expect("it is free");
        let error = tried(|| locks.lock(&*key).try_acquire()).expect_err("it is held");
        assert!(error.is_busy(), "{error}");
        is_fit_for_a_terminal(&shown(&error));
        let (locks, server) = Locks::in_memory();
        let outlasted = locks.lock(&*key).acquire().expect("it is free");
        server.advance(Duration::from_secs(60));
        is_fit_for_a_terminal(&shown(&outlasted.check().expect_err("it ran out")));
        let ((), lines) = Log::of(|| drop(outlasted));
        assert!(
            matches!(lines.as_slice(), [line] if line.contains("ran out")),
            "{lines:?}"
        );
        for line in lines {
            is_fit_for_a_terminal(&line);
        }
    }
    let long = format!("{EVIL}{}", "x".repeat(60_000));
    let _held = locks.lock(&*long).acquire().expect("it is free");
    let error = locks.lock(&*long).try_acquire().expect_err("it is held");
    is_fit_for_a_terminal(&shown(&error));
}

/// A server whose `stats` begin with `first`, and that answers `reply` to everything else.
fn server(first: String, reply: String) -> String {
    const STATS: &str = "STAT pid 77\r\nSTAT uptime 100\r\nSTAT time 1800000100\r\nSTAT version 1.6.18\r\nEND\r\n\
                         STAT evictions on\r\nSTAT cas_enabled yes\r\nEND\r\n";
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    let address = listener.local_addr().expect("a port").to_string();
    thread::spawn(move || {
        while let Ok((mut caller, _)) = listener.accept() {
            let (first, reply) = (first.clone(), reply.clone());
            thread::spawn(move || {
                let mut asked = [0; 4096];
                let mut answer = format!("{first}{STATS}");
                while caller.read(&mut asked).is_ok_and(|length| length > 0)
                    && caller.write_all(answer.as_bytes()).is_ok()
                {
                    answer.clone_from(&reply);
                }
            });
        }
    });
    address
}

#[test]
fn a_reply_of_a_server_is_shown_escaped_and_short() {
    // One line, and its end.
    let evil = format!("{}{}", EVIL.replace("\r\n", "\r"), "x".repeat(1000));
    let none = String::new;
    for (first, reply) in [
        (none(), format!("SERVER_ERROR {evil}\r\nSERVER_ERROR {evil}\r\n")),
        (none(), format!("CLIENT_ERROR {evil}\r\nCLIENT_ERROR {evil}\r\n")),
        (none(), format!("ERROR {evil}\r\nERROR {evil}\r\n")),
        (none(), format!("HD {evil}\r\n")),
        (none(), format!("{evil}\r\n")),
        (none(), "x".repeat(60_000)),
        (format!("{evil}\r\n"), none()),
        (format!("SERVER_ERROR {evil}\r\n"), none()),
        (format!("CLIENT_ERROR unauthenticated {evil}\r\n"), none()),
        (
            format!("STAT version {evil}\r\nEND\r\nSTAT cas_enabled yes\r\nEND\r\n"),
            none(),
        ),
        (
            format!("STAT version 1.4.{evil}\r\nEND\r\nSTAT cas_enabled yes\r\nEND\r\n"),
            none(),
        ),
        (
            format!("STAT version 1.4.5{evil}\r\nEND\r\nSTAT cas_enabled yes\r\nEND\r\n"),
            none(),
        ),
    ] {
        let said = format!("{first}{reply}");
        let builder = Locks::builder().servers(server(first, reply));
        let locks = builder.exchange_timeout(ms(1000)).build().expect("an address");
        let (errors, lines) = Log::of(|| {
            [
                locks.lock("k").try_acquire().map(drop).expect_err("it grants nothing"),
                smol::block_on(locks.lock("k").try_acquire_async())
                    .map(drop)
                    .expect_err("it grants nothing"),
            ]
        });
        for error in errors {
            assert!(error.is_unavailable(), "{said:.60?}: {error}");
            is_fit_for_a_terminal(&shown(&error));
        }
        for line in lines {
            is_fit_for_a_terminal(&line);
        }
    }
}
