//! Which server and instance a batch goes to, over which connection, and within which limit.

use super::*;
use crate::error::WrongSetup;
use crate::store::memcached::socket::transport::Limit;

in_both_modes! {
    servers_on_which_locks_are_not_safe_get_no_request
    two_servers_behind_one_address_get_no_request
    a_connection_to_an_earlier_instance_is_not_used_beside_a_newer_one
    the_reason_of_a_server_that_closes_at_once_is_reported
    a_young_server_gets_no_request_and_is_reported_as_such
    a_server_that_never_answers_blocks_no_caller_beyond_its_limit
    the_limit_holds_for_replies_that_trickle
    a_limit_shorter_than_the_last_one_is_kept
    a_limit_longer_than_the_last_one_is_used
    no_time_left_sends_nothing
    reads_on_a_dead_idle_connection_are_sent_again
    writes_on_a_dead_idle_connection_are_cut_and_never_sent_twice
    nothing_is_sent_to_another_instance
    a_dead_connection_to_the_old_instance_does_not_hide_the_new_one
    the_error_for_an_unreachable_server_says_what_to_do
    a_name_is_looked_up
    an_empty_list_of_servers_answers_without_a_panic
}

fn servers_on_which_locks_are_not_safe_get_no_request(mode: Mode) {
    for (said, part) in [
        (GREETING_REPLY.replace("1.6.18", "1.5.22"), "upgrade"),
        (GREETING_REPLY.replace("enabled yes", "enabled no"), "-C"),
        ("ERROR Too many open connections\r\n".to_owned(), "higher -c"),
        ("HTTP/1.1 400 Bad Request\r\n".to_owned(), "does not speak"),
        ("STAT pid".to_owned(), "closed the connection before"),
        (String::new(), "-S (SASL)"),
        (String::new(), "TLS (-Z)"),
        (String::new(), "twemproxy"),
        ("\u{15}\u{3}\u{1}\0\u{2}\u{2}F".to_owned(), "speaks TLS"),
        ("\u{15}\u{3}\u{1}\0\u{2}\u{2}\n".to_owned(), "speaks TLS"),
        (
            GREETING_REPLY.replace("STAT cas", "STAT proxy_enabled yes\r\nSTAT cas"),
            "memcached's own proxy",
        ),
    ] {
        let server = ScriptedServer::start(vec![vec![Await("stats settings\r\n"), SendBytes(said.into_bytes())]]);
        let answer = mode.ask(&server.store(), &[add()]);
        assert_eq!(unanswered(&answer), Some(Unanswered::NotSent), "{answer:?}");
        assert!(answer.replies.is_empty() && answer.pending.is_none());
        assert!(text(&answer).contains(part), "{}", text(&answer));
        server.join();
    }
}

/// A connection that leads to the instance of this start, and answers `reads` reads.
fn instance(start: &str, reads: u64) -> Vec<Act> {
    let said = GREETING_REPLY.replace("STAT time 18000", &format!("STAT time {start}"));
    let mut acts = vec![Await("stats settings\r\n"), SendBytes(said.into_bytes())];
    for opaque in 1..=reads {
        acts.extend([Await("v c O"), send(&format!("EN O{opaque}\r\n"))]);
    }
    acts.push(ReadToEnd);
    acts
}

fn two_servers_behind_one_address_get_no_request(mode: Mode) {
    // The one that was there first has the later start, and keeps its connection open.
    let server = ScriptedServer::start(vec![
        instance("18001", 1),
        instance("18000", 0),
        instance("18001", 0),
        instance("18000", 0),
    ]);
    let store = server.store();
    assert!(mode.ask(&store, &[read()]).unanswered.is_none());
    // The connection is lost to another caller's failure.
    store.servers[0].record_silence(&Limit::new(PATIENCE), PATIENCE);
    for _ in 0..3 {
        let answer = mode.ask(&store, &[add()]);
        assert_eq!(unanswered(&answer), Some(Unanswered::NotSent), "{answer:?}");
        for part in ["two servers", "started at 1800100000 s", "started at 1800000000 s"] {
            assert!(text(&answer).contains(part), "{}", text(&answer));
        }
        let source = answer.source.expect("a failure");
        assert!(source.is::<WrongSetup>(), "{source:?}");
        assert_eq!(mode.kept(&store), 0);
    }
    drop(store);
    server.join();
}

fn a_connection_to_an_earlier_instance_is_not_used_beside_a_newer_one(mode: Mode) {
    // The address has moved on to another server. Both are alive, and a router keeps open connections where they are.
    let server = ScriptedServer::start(vec![instance("18000", 1), instance("18001", 1), instance("18001", 1)]);
    let store = server.store();
    assert!(mode.ask(&store, &[read()]).unanswered.is_none());
    let other_mode = if mode == Blocking { Pipelined } else { Blocking };
    let newer = other_mode.ask(&store, &[read()]);
    assert_eq!(newer.instance.map(|instance| instance.start), Some(1_800_100_000));
    assert_eq!(mode.kept(&store), 0);
    let answer = mode.ask(&store, &[read()]);
    assert_eq!(answer.instance, newer.instance, "{answer:?}");
    drop(store);
    server.join();
}

fn the_reason_of_a_server_that_closes_at_once_is_reported(mode: Mode) {
    let server = ScriptedServer::start(vec![vec![send("ERROR Too many open connections\r\n")]]);
    let answer = mode.ask(&server.store(), &[add()]);
    assert_eq!(unanswered(&answer), Some(Unanswered::NotSent), "{answer:?}");
    server.join();
}

fn a_young_server_gets_no_request_and_is_reported_as_such(mode: Mode) {
    let young = GREETING_REPLY.replace("uptime 100", "uptime 3");
    let server = ScriptedServer::start(vec![vec![
        Await("stats settings\r\n"),
        SendBytes(young.into_bytes()),
        ReadToEnd,
    ]]);
    let store = server.store();
    let answer = mode.ask(&store, &[add()]);
    assert_eq!(unanswered(&answer), Some(Unanswered::TooYoung));
    assert_eq!(answer.instance.map(|instance| instance.start), Some(1_800_000_097));
    assert_eq!(mode.kept(&store), 0);
    server.join();
}

fn a_server_that_never_answers_blocks_no_caller_beyond_its_limit(mode: Mode) {
    let server = ScriptedServer::start(vec![vec![ReadToEnd]]);
    let began = clock::instant();
    let answer = mode.exchange(&server.store(), &[add()], None, SHORT);
    let took = clock::instant() - began;
    assert!(took < SHORT + Duration::from_millis(500), "{took:?}");
    assert_eq!(unanswered(&answer), Some(Unanswered::NotSent));
    server.join();
}

fn the_limit_holds_for_replies_that_trickle(mode: Mode) {
    let (stop, stopped) = channel();
    let (server, store) = connected(mode, vec![Await(ADDED), Trickle(stopped)]);
    let began = clock::instant();
    let answer = mode.exchange(&store, &[add()], None, SHORT);
    let took = clock::instant() - began;
    assert!(took >= SHORT && took < SHORT + Duration::from_millis(500), "{took:?}");
    assert_eq!(unanswered(&answer), Some(Unanswered::Late));
    drop(stop);
    server.join();
}

fn a_limit_shorter_than_the_last_one_is_kept(mode: Mode) {
    let (server, store) = connected(mode, vec![ReadToEnd]);
    let began = clock::instant();
    let answer = mode.exchange(&store, &[read()], None, SHORT);
    let took = clock::instant() - began;
    assert!(took < SHORT + Duration::from_millis(500), "{took:?}");
    assert_eq!(unanswered(&answer), Some(Unanswered::Late));
    server.join();
}

fn a_limit_longer_than_the_last_one_is_used(mode: Mode) {
    let shorter = Duration::from_secs(1);
    let server = ScriptedServer::greeting(vec![
        Await("v c O1\r\n"),
        send("EN O1\r\n"),
        Await("v c O2\r\n"),
        Delay(shorter + Duration::from_millis(200)),
        send("EN O2\r\n"),
    ]);
    let store = server.store();
    let answer = mode.exchange(&store, &[read()], None, shorter);
    assert!(answer.unanswered.is_none(), "{answer:?}");
    let answer = mode.exchange(&store, &[read()], None, PATIENCE);
    assert!(answer.unanswered.is_none(), "{answer:?}");
    server.join();
}

fn no_time_left_sends_nothing(mode: Mode) {
    let store = Memcached::new(vec![ServerAddress::parse("127.0.0.1:9").expect("valid")], "memlock");
    let answer = mode.exchange(&store, &[add()], None, Duration::ZERO);
    assert_eq!(unanswered(&answer), Some(Unanswered::NotSent));
    assert_eq!(answer.instance, None);
}

fn reads_on_a_dead_idle_connection_are_sent_again(mode: Mode) {
    let server = ScriptedServer::start(vec![
        greeted(vec![Await("v c O1\r\n"), send("EN O1\r\n")]),
        greeted(vec![Await("v c O1\r\n"), send("EN O1\r\n"), ReadToEnd]),
    ]);
    let store = server.store();
    assert!(mode.ask(&store, &[read()]).unanswered.is_none());
    if mode == Blocking {
        assert_eq!(mode.kept(&store), 1, "nothing checks whether it is still open");
    }
    let answer = mode.ask(&store, &[read()]);
    assert_eq!(answer.replies.as_slice(), [Reply::Missing], "{answer:?}");
    drop(store);
    server.join();
}

fn writes_on_a_dead_idle_connection_are_cut_and_never_sent_twice(mode: Mode) {
    let (go, hold) = channel();
    let server = ScriptedServer::greeting(vec![
        Await("v c O1\r\n"),
        send("EN O1\r\n"),
        Await(ADDED),
        WaitFor(hold),
    ]);
    let store = server.store();
    assert!(mode.ask(&store, &[read()]).unanswered.is_none());
    let asker = std::thread::spawn(move || (mode.ask(&store, &[add()]), store));
    go.send(()).expect("held");
    let (answer, store) = asker.join().expect("no panic");
    assert_eq!(unanswered(&answer), Some(Unanswered::Cut));
    assert_eq!(answer.instance, Some(INSTANCE));
    assert_eq!(mode.kept(&store), 0);
    // There is no script for a second connection.
    server.join();
}

fn nothing_is_sent_to_another_instance(mode: Mode) {
    let server = ScriptedServer::greeting(vec![Await("v c O1\r\n"), send("EN O1\r\n"), ReadToEnd]);
    let store = server.store();
    let other = Instance { pid: 78, ..INSTANCE };
    for _ in 0..2 {
        let answer = mode.exchange(&store, &[delete()], Some(other), PATIENCE);
        assert_eq!(unanswered(&answer), Some(Unanswered::OtherInstance));
        assert_eq!(answer.instance, Some(INSTANCE));
        assert_eq!(mode.kept(&store), 1, "it is as good as before");
    }
    let answer = mode.exchange(&store, &[read()], Some(INSTANCE), PATIENCE);
    assert_eq!(answer.replies.as_slice(), [Reply::Missing]);
    drop(store);
    server.join();
}

fn a_dead_connection_to_the_old_instance_does_not_hide_the_new_one(mode: Mode) {
    let new = GREETING_REPLY.replace("pid 77", "pid 78");
    let (go, hold) = channel();
    let server = ScriptedServer::start(vec![
        greeted(vec![Await("v c O1\r\n"), send("EN O1\r\n"), WaitFor(hold)]),
        vec![
            Await("stats settings\r\n"),
            SendBytes(new.into_bytes()),
            Await("C5 O1\r\n"),
            send("EX O1\r\n"),
            ReadToEnd,
        ],
    ]);
    let store = server.store();
    assert!(mode.ask(&store, &[read()]).unanswered.is_none());
    go.send(()).expect("held");
    let wanted = Instance { pid: 78, ..INSTANCE };
    let deadline = clock::instant() + PATIENCE;
    // Until the end of the old connection has arrived, it looks alive.
    let answer = loop {
        let answer = mode.exchange(&store, &[delete()], Some(wanted), PATIENCE);
        if unanswered(&answer) != Some(Unanswered::OtherInstance) || clock::instant() > deadline {
            break answer;
        }
    };
    assert_eq!(answer.replies.as_slice(), [Reply::Exists], "{answer:?}");
    assert_eq!(answer.instance, Some(wanted));
    drop(store);
    server.join();
}

fn the_error_for_an_unreachable_server_says_what_to_do(mode: Mode) {
    let free = TcpListener::bind("127.0.0.1:0")
        .expect("bind")
        .local_addr()
        .expect("bound");
    let store = Memcached::new(vec![ServerAddress::parse(&free.to_string()).expect("valid")], "memlock");
    let answer = mode.ask(&store, &[add()]);
    assert_eq!(unanswered(&answer), Some(Unanswered::NotSent));
    assert!(text(&answer).contains("is memcached running"), "{}", text(&answer));
    let store = Memcached::new(
        vec![ServerAddress::parse("unix:/nonexistent/sock").expect("valid")],
        "memlock",
    );
    let answer = mode.ask(&store, &[add()]);
    assert_eq!(unanswered(&answer), Some(Unanswered::NotSent));
    assert!(text(&answer).contains("-s"), "{}", text(&answer));
    let store = Memcached::new(
        vec![ServerAddress::parse("no-such-host.invalid").expect("valid")],
        "memlock",
    );
    let answer = mode.ask(&store, &[add()]);
    assert_eq!(unanswered(&answer), Some(Unanswered::NotSent));
    assert!(text(&answer).contains("`no-such-host.invalid`"), "{}", text(&answer));
}

fn a_name_is_looked_up(mode: Mode) {
    let server = ScriptedServer::greeting(vec![Await("v c O1\r\n"), send("EN O1\r\n"), ReadToEnd]);
    let entry = format!("LocalHost:{}", server.address.port());
    let store = Memcached::new(vec![ServerAddress::parse(&entry).expect("valid")], "memlock");
    assert_eq!(mode.ask(&store, &[read()]).replies.as_slice(), [Reply::Missing]);
    assert_eq!(store.server_name(store.route(&item())), entry);
    drop(store);
    server.join();
}

fn an_empty_list_of_servers_answers_without_a_panic(mode: Mode) {
    let store = Memcached::new(Vec::new(), "memlock");
    assert_eq!(unanswered(&mode.ask(&store, &[read()])), Some(Unanswered::NotSent));
    assert_eq!((store.server_name(store.route(&item())), store.servers()), ("", 0));
}
