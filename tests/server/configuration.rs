//! Which servers are used, and the errors for server lists that are refused.

use std::ffi::OsStr;
use std::{env, process};

use memlock::Locks;
use memlock_testkit::Memcached;

use crate::actor::{Actor, first_use_with};
use crate::stage::{Share, Stage, hold, ms};

#[test]
fn a_socket_file_serves() {
    let _share = Share::part();
    let path = env::temp_dir().join(format!("memlock-server-test-{}.sock", process::id()));
    let server = Memcached::start_on_socket(&path);
    let locks = |()| {
        Locks::builder()
            .servers(server.address())
            .build()
            .expect("a good address")
    };
    let (one, other) = (locks(()), locks(()));
    let guard = hold(one.lock("k"));
    // Enough time to connect, also on a machine that stands still for a moment.
    let busy = other.lock("k").wait(ms(500)).acquire().expect_err("it is held");
    assert!(busy.is_busy(), "{busy}");
    let token = guard.token();
    guard.release();
    assert!(hold(other.lock("k")).token() > token);
    drop(server);
    let error = one.lock("k").acquire().expect_err("the server is gone").to_string();
    assert!(error.contains(&format!("unix:{}", path.display())), "{error}");
}

#[test]
fn a_server_without_cas_is_refused_with_what_to_do() {
    let stage = Stage::with(&["-C"]);
    let error = stage.locks().lock("k").acquire().expect_err("it cannot be used safely");
    let text = error.to_string();
    assert!(error.is_unavailable(), "{text}");
    for part in [&*stage.address(), "-C", "start it without"] {
        assert!(text.contains(part), "{text:?} does not say {part:?}");
    }
    assert_eq!(stage.number("cmd_set"), 0, "nothing was stored there");
}

#[test]
fn a_wrong_variable_is_named_with_the_part_that_is_wrong() {
    let _share = Share::part();
    for (value, parts) in [
        ("localhost:notaport", ["`localhost:notaport`", "port"]),
        ("127.0.0.1:11211,,127.0.0.2:11211", ["empty", "comma"]),
        ("", ["empty", "host:port"]),
        (
            "127.0.0.1:11211 127.0.0.2:11211",
            ["127.0.0.1:11211 127.0.0.2", "commas"],
        ),
        ("127.0.0.1:1, 127.0.0.1:1", ["`127.0.0.1:1`", "twice"]),
        ("127.0.0.1:1,memory:", ["`memory:`", "alone"]),
        ("http://127.0.0.1:1", ["`http://127.0.0.1:1`", "scheme"]),
    ] {
        for variable in ["MEMLOCK_SERVERS", "MEMCACHEDLOCK_SERVERS"] {
            let (_, said) = Actor::in_environment(&[(variable, value)]);
            assert!(said.starts_with("config: "), "{variable}={value:?}: {said}");
            for part in [variable, parts[0], parts[1]] {
                assert!(
                    said.contains(part),
                    "{variable}={value:?}: {said:?} does not say {part:?}"
                );
            }
        }
    }
}

/// Entries that hold a password, in likely spellings, and the text by which an error may name each.
const WITH_PASSWORD: [(&str, &str); 8] = [
    ("memcache://user:hunter2@cache:11211", "@cache:11211"),
    ("memcache+tls://user:hunter2@cache:11211", "@cache:11211"),
    ("user:hunter2@cache:11211", "@cache:11211"),
    ("user:hun@ter2:hunter2@cache:11211", "@cache:11211"),
    ("user%3Ahunter2%40cache:11211", "@cache:11211"),
    (
        "127.0.0.1:11211, user:hunter2 hunter2,hunter2@cache:11211",
        "@cache:11211",
    ),
    ("user:hunter2@", "@"),
    ("memcache://user:hunter2", "memcache://…"),
];

#[test]
fn a_password_in_the_list_is_refused_and_repeated_by_nothing() {
    let _share = Share::part();
    for (list, name) in WITH_PASSWORD {
        for variable in ["MEMLOCK_SERVERS", "MEMCACHEDLOCK_SERVERS"] {
            let said = first_use_with(&[(variable, list)]);
            // Errors, the log and panics.
            assert!(said.len() >= 9, "{said:?}");
            for text in said {
                assert!(!text.contains("hunter2") && !text.contains("ter2"), "{list}: {text}");
                assert!(text.contains(name) && text.contains(variable), "{list}: {text}");
            }
        }
        let builder = Locks::builder().servers(list);
        let debug = format!("{builder:?} {builder:#?}");
        let error = builder.clone().build().expect_err("it cannot be sent");
        for text in [debug, error.to_string(), format!("{error:?} {error:#?}")] {
            assert!(!text.contains("hunter2") && !text.contains("ter2"), "{list}: {text}");
        }
        let inits = builder.build().and_then(memlock::init);
        assert!(inits.is_err_and(|error| error.is_config() && !error.to_string().contains("hunter2")));
    }
}

#[test]
fn a_variable_with_strange_characters_is_shown_escaped_and_short() {
    let _share = Share::part();
    let evil = format!("a\u{1b}[2J\u{202e}\u{7}{}", "x".repeat(60_000));
    for variables in [
        [("MEMLOCK_SERVERS", &*evil), ("MEMLOCK_WAKE", "")],
        [("MEMLOCK_SERVERS", "127.0.0.1:1"), ("MEMLOCK_WAKE", &*evil)],
    ] {
        for text in first_use_with(&variables) {
            assert!(
                !text.contains(['\u{1b}', '\u{202e}', '\u{7}']) && text.len() < 2000,
                "{text}"
            );
            assert!(text.contains("\\u{1b}[2J\\u{202e}"), "{text}");
        }
    }
}

#[test]
fn a_variable_that_is_not_utf_8_is_an_error() {
    use std::os::unix::ffi::OsStrExt as _;
    let _share = Share::part();
    for variable in ["MEMLOCK_SERVERS", "MEMCACHEDLOCK_SERVERS", "MEMLOCK_WAKE"] {
        for text in first_use_with(&[(variable, OsStr::from_bytes(b"10.0.0.7:\xff"))]) {
            assert!(text.contains(variable) && text.contains("not UTF-8"), "{text}");
        }
    }
}

#[test]
fn memcachedlock_servers_is_read_and_memlock_servers_comes_first() {
    assert_eq!(
        env::var_os("MEMLOCK_SERVERS"),
        None,
        "this test needs the variable not to be set"
    );
    let stage = Stage::set();
    let other = Stage::beside(&stage);
    let held = hold(stage.locks().lock("k"));

    let (mut actor, greeting) = Actor::in_environment(&[("MEMCACHEDLOCK_SERVERS", &stage.address())]);
    assert_eq!(greeting, "ready");
    assert!(
        actor.tries("k").starts_with("busy: "),
        "it does not look at this server"
    );

    let (mut actor, greeting) = Actor::in_environment(&[
        ("MEMCACHEDLOCK_SERVERS", &stage.address()),
        ("MEMLOCK_SERVERS", &other.address()),
    ]);
    assert_eq!(greeting, "ready");
    assert!(
        actor.tries("k").starts_with("granted "),
        "it does not look at the other server"
    );
    drop(held);
}
