//! The facts about memcached on which the protocol relies, checked against the installed server. If another version
//! differs, it shows here, and not as two holders of one lock. Each test is one fact, written by hand on a bare socket,
//! so that no code of memlock stands between the test and the server. A fact that depends on the version says from
//! which version it holds, and what holds before.

#![allow(clippy::unchecked_time_subtraction, reason = "a test may panic")]

use std::collections::BTreeSet;
use std::io;
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

// The constants that memlock derives from the facts, and nothing else of it.
use memlock_runtime::__internals::{CLOCK_ITEM_EXPIRY, CLOCK_ITEM_LIFE, LONGEST_TIMEOUT, YOUNGEST_SERVER};
use memlock_testkit::{Memcached, wait_until};

use crate::wire::{SMALL, Wire, first_cas};

#[allow(dead_code, reason = "the contract uses the rest of it")]
#[path = "contract/wire.rs"]
mod wire;

/// Long enough for a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// By how much an item may expire early: the server's clock has whole seconds and may be a second old when it dates the
/// item, and its ticks may be late.
const SHORTER_BY: Duration = Duration::from_millis(2150);

#[allow(clippy::disallowed_methods, reason = "real servers live in real time")]
fn now() -> Instant {
    Instant::now()
}

/// Waits between two reads of something that can only be polled.
#[allow(clippy::disallowed_methods, reason = "an expiry or a tick gives no other sign")]
fn let_time_pass() {
    thread::sleep(Duration::from_millis(20));
}

fn start() -> Memcached {
    Memcached::start_young()
}

/// The value of a flag in a reply line.
fn flag(line: &str, letter: char) -> u64 {
    let value = line.split(' ').skip(1).find_map(|flag| flag.strip_prefix(letter));
    value
        .and_then(|digits| digits.parse().ok())
        .unwrap_or_else(|| panic!("no number behind {letter} in {line:?}"))
}

fn add(key: &str, ttl: u64) -> String {
    format!("ms {key} 2 ME c T{ttl}\r\nhi\r\n")
}

/// The CAS of a store that succeeded.
fn stored(reply: &str) -> u64 {
    assert!(reply.starts_with("HD c"), "it was not stored: {reply:?}");
    flag(reply, 'c')
}

fn is_there(wire: &mut Wire, key: &str) -> bool {
    match wire.ask(&format!("mg {key} c\r\n")).as_str() {
        "EN" => false,
        hit => flag(hit, 'c') > 0,
    }
}

fn create_clock(wire: &mut Wire) {
    stored(&wire.ask(&add("clock", CLOCK_ITEM_EXPIRY)));
}

fn stat(wire: &mut Wire, command: &str, name: &str) -> String {
    wire.send(command);
    let mut found = None;
    loop {
        let line = wire.line();
        if line == "END" {
            return found.unwrap_or_else(|| panic!("no {name} in {command:?}"));
        }
        if let Some((key, value)) = line.strip_prefix("STAT ").and_then(|stat| stat.split_once(' '))
            && key == name
        {
            found = Some(value.to_owned());
        }
    }
}

/// `time` and `uptime` of one `stats`.
fn time_and_uptime(server: &Memcached) -> (u64, u64) {
    let stats = server.stats().expect("memcached answers");
    let number = |name: &str| stats[name].parse::<u64>().expect("a number");
    (number("time"), number("uptime"))
}

// ---- Replies
// -----------------------------------------------------------------------------------------------------------

/// The CAS numbers that a server has given, named `<a>`, `<b>` and so on in their order. The numbers themselves differ
/// between versions.
#[derive(Default)]
struct Given(Vec<u64>);

impl Given {
    /// `text`, with the names replaced by the numbers.
    fn spelled(&self, text: &str) -> String {
        let named = ('a'..).zip(&self.0);
        named.fold(text.to_owned(), |text, (name, cas)| {
            text.replace(&format!("<{name}>"), &cas.to_string())
        })
    }

    /// Sends `command`, and expects `reply`. The first name in `reply` that is not known yet becomes the name of the
    /// CAS in the server's reply, which must be higher than all before.
    fn expect(&mut self, wire: &mut Wire, command: &str, reply: &str) {
        let said = wire.ask(&self.spelled(command));
        let next = ('a'..).nth(self.0.len()).expect("few CAS have names");
        if reply.contains(&format!("<{next}>")) {
            let cas = flag(&said, 'c');
            assert!(self.0.last().is_none_or(|last| *last < cas), "{command:?}: {said:?}");
            self.0.push(cas);
        }
        assert_eq!(said, self.spelled(reply), "{command:?}");
    }
}

#[test]
fn every_reply_has_the_code_and_the_opaque_that_is_relied_on() {
    let server = start();
    let mut wire = Wire::to(&server);
    // If a miss has no opaque, memlock knows that from the version.
    let miss = if server.version() >= [1, 6, 18] { "EN O7" } else { "EN" };
    let mut given = Given::default();
    for (command, reply) in [
        ("mg k v c O7\r\n", miss),
        ("mg k t O7\r\n", miss),
        ("md k C18446744073709551615 O7\r\n", "NF O7"),
        ("ms k 2 c T60 C18446744073709551615 O7\r\nhi\r\n", "NF c0 O7"),
        ("ms k 2 ME c T60 O7\r\nhi\r\n", "HD c<a> O7"),
        ("ms k 2 ME c T60 O7\r\nno\r\n", "NS c0 O7"),
        ("ms k 2 c T60 C18446744073709551615 O7\r\nno\r\n", "EX c0 O7"),
        ("md k C18446744073709551615 O7\r\n", "EX O7"),
        ("ms k 2 c T60 C<a> O7\r\nho\r\n", "HD c<b> O7"),
        ("ms k 2 c T60 C<a> O7\r\nno\r\n", "EX c0 O7"),
        ("md k C<a> O7\r\n", "EX O7"),
        ("md k C<b> O7\r\n", "HD O7"),
        ("md k C<b> O7\r\n", "NF O7"),
        ("ms k 2 ME c T60 O7\r\nhi\r\n", "HD c<c> O7"),
        ("mg k v c O7\r\n", "VA 2 c<c> O7"),
    ] {
        given.expect(&mut wire, command, reply);
    }
    assert_eq!(wire.line(), "hi");
}

#[test]
fn the_reply_to_a_delete_has_a_space_too_many_up_to_1_6_17() {
    let server = start();
    let mut wire = Wire::to(&server);
    let cas = stored(&wire.ask(&add("k", 60)));
    wire.send(&format!("md k C{} O7\r\nmd k C{cas}\r\n", u64::MAX));
    let space = if server.version() >= [1, 6, 18] { "" } else { " " };
    assert_eq!(wire.raw_line(), format!("EX{space} O7"));
    assert_eq!(wire.raw_line(), format!("HD{space}"));
}

#[test]
fn an_opaque_may_have_the_digits_of_any_64_bit_number() {
    let server = start();
    let mut wire = Wire::to(&server);
    let mut given = Given::default();
    let opaque = u64::MAX;
    given.expect(
        &mut wire,
        &format!("ms k 2 ME c O{opaque}\r\nhi\r\n"),
        &format!("HD c<a> O{opaque}"),
    );
    given.expect(
        &mut wire,
        &format!("mg k c O{opaque}\r\n"),
        &format!("HD c<a> O{opaque}"),
    );
}

#[test]
fn compare_and_set_never_creates() {
    let server = start();
    let mut wire = Wire::to(&server);
    let first = stored(&wire.ask(&add("k", 60)));
    assert_eq!(wire.ask(&format!("md k C{first}\r\n")), "HD");
    // Neither with the CAS that the item had, nor with any other.
    for cas in [first, first + 1, u64::MAX] {
        assert_eq!(wire.ask(&format!("ms k 2 c T60 C{cas}\r\nhi\r\n")), "NF c0");
        assert!(!is_there(&mut wire, "k"));
    }
}

#[test]
fn a_batch_is_executed_and_answered_in_its_order_beside_others() {
    let server = start();
    thread::scope(|scope| {
        for connection in 0..4 {
            let mut wire = Wire::to(&server);
            scope.spawn(move || {
                for round in 0..1000_u64 {
                    let first = round * 10;
                    let [one, two, three, four, five, six] = [1, 2, 3, 4, 5, 6].map(|place| first + place);
                    wire.send(&format!(
                        "mg k{connection} c O{one}\r\nms k{connection} 2 ME T60 O{two}\r\nhi\r\n\
                         ms k{connection} 2 ME T60 O{three}\r\nno\r\nmg k{connection} v O{four}\r\n\
                         md k{connection} O{five}\r\nmd k{connection} O{six}\r\n"
                    ));
                    // A miss may have its opaque or not.
                    assert!(wire.line().starts_with("EN"));
                    for expected in [
                        format!("HD O{two}"),
                        format!("NS O{three}"),
                        format!("VA 2 O{four}"),
                        "hi".to_owned(),
                        format!("HD O{five}"),
                        format!("NF O{six}"),
                    ] {
                        assert_eq!(wire.line(), expected, "round {round} of connection {connection}");
                    }
                }
            });
        }
    });
}

#[test]
fn a_key_of_250_bytes_is_taken_and_one_of_251_is_refused_and_its_data_is_a_command_up_to_1_6_39() {
    let server = start();
    let mut wire = Wire::to(&server);
    let (longest, longer) = ("k".repeat(250), "k".repeat(251));
    let store = |key: &str| format!("ms {key} 7 ME c T60 O7\r\nversion\r\n");
    let mut given = Given::default();
    given.expect(&mut wire, &store(&longest), "HD c<a> O7");
    given.expect(&mut wire, &format!("mg {longest} c O7\r\n"), "HD c<a> O7");
    // Error lines have no opaque.
    assert_eq!(wire.ask(&store(&longer)), "CLIENT_ERROR bad command line format");
    // So no value may begin like a command, and replies after such a refusal prove nothing.
    if server.version() < [1, 6, 40] {
        assert!(wire.line().starts_with("VERSION "));
    }
    assert!(wire.ask(&format!("mg {longer} c O7\r\n")).starts_with("CLIENT_ERROR"));
    assert!(wire.ask(&format!("md {longer} C1 O7\r\n")).starts_with("CLIENT_ERROR"));
}

#[test]
fn whether_cas_is_on_stands_in_the_settings() {
    let with = start();
    let without = Memcached::start_young_with(&["-C"]);
    let cas_enabled = |server| stat(&mut Wire::to(server), "stats settings\r\n", "cas_enabled");
    assert_eq!(cas_enabled(&with), "yes");
    assert_eq!(cas_enabled(&without), "no");
    // No holder could release a lock on such a server.
    let mut wire = Wire::to(&without);
    assert_eq!(wire.ask(&add("k", 60)), "HD c0");
    assert_eq!(wire.ask("md k C1\r\n"), "EX");
}

#[test]
fn stats_and_settings_asked_together_are_short_and_tell_who_it_is() {
    let server = start();
    let mut wire = Wire::to(&server);
    wire.send("stats\r\nstats settings\r\n");
    let mut length = 0;
    let mut names = BTreeSet::new();
    let mut ends = 0;
    while ends < 2 {
        let line = wire.line();
        length += line.len() + 2;
        if line == "END" {
            ends += 1;
        } else {
            let (name, _) = line
                .strip_prefix("STAT ")
                .and_then(|stat| stat.split_once(' '))
                .expect(&line);
            names.insert(format!("{ends} {name}"));
        }
    }
    for name in ["0 version", "0 time", "0 uptime", "0 pid", "1 cas_enabled"] {
        assert!(names.contains(name), "{name} is not among {names:?}");
    }
    assert!(length < 32 * 1024, "{length} bytes: memlock reads no more than 64 KiB");
    assert_eq!(server.stat("pid"), Some(u64::from(server.pid())));
}

// ---- CAS
// ---------------------------------------------------------------------------------------------------------------

#[test]
fn cas_is_one_order_of_all_stores_on_all_connections() {
    const CONNECTIONS: usize = 4;
    const STORES: usize = 4000;
    struct Store {
        sent: Instant,
        received: Instant,
        cas: u64,
    }
    let server = Memcached::start_young_with(&["-t", "4"]);
    let together = Barrier::new(CONNECTIONS);
    let connection = |number: usize| {
        let mut wire = Wire::to(&server);
        together.wait();
        let mut stores: Vec<Store> = Vec::with_capacity(STORES);
        for round in 0..STORES {
            // Some keys belong to one connection, some are shared by all.
            let key = if round % 2 == 0 { number } else { 100 + round % 7 };
            let command = format!("ms {key} 2 c T60\r\nhi\r\n");
            let sent = now();
            let reply = wire.ask(&command);
            let (received, cas) = (now(), flag(&reply, 'c'));
            assert!(
                stores.last().is_none_or(|last| last.cas < cas),
                "it fell on one connection"
            );
            stores.push(Store { sent, received, cas });
        }
        stores
    };
    let mut stores: Vec<Store> = thread::scope(|scope| {
        let running: Vec<_> = (0..CONNECTIONS)
            .map(|number| scope.spawn(move || connection(number)))
            .collect();
        running
            .into_iter()
            .flat_map(|thread| thread.join().expect("no panic"))
            .collect()
    });
    let distinct: BTreeSet<u64> = stores.iter().map(|store| store.cas).collect();
    assert_eq!(distinct.len(), CONNECTIONS * STORES, "one was given twice");
    let span = distinct.first().zip(distinct.last()).map(|(first, last)| last - first);
    assert_eq!(
        span,
        Some((CONNECTIONS * STORES - 1) as u64),
        "each store takes one, and nothing else does"
    );

    // A store that was answered before another was sent has the smaller CAS.
    stores.sort_by_key(|store| store.received);
    let answered: Vec<(Instant, u64)> = stores.iter().map(|store| (store.received, store.cas)).collect();
    stores.sort_by_key(|store| store.sent);
    let mut earlier = answered.iter().peekable();
    let mut largest = 0;
    for store in &stores {
        while let Some((_, cas)) = earlier.next_if(|(received, _)| *received < store.sent) {
            largest = largest.max(*cas);
        }
        assert!(
            largest < store.cas,
            "{largest} was given before {} was asked for",
            store.cas
        );
    }
}

/// The line of a store is sent first, and its data later. From 1.6.27 on the server draws its CAS before the data has
/// come, so a lock that is granted later may have the lower CAS. The CAS of the counter, which is raised in the same
/// batch, is drawn when the counter is raised.
#[test]
fn the_cas_of_a_counter_rises_from_grant_to_grant_also_where_the_data_of_a_store_comes_late() {
    let server = start();
    let (mut slow, mut quick) = (Wire::to(&server), Wire::to(&server));
    let mut last = 0;
    let mut raised = |wire: &mut Wire, item: u64| {
        let raised = flag(&wire.line(), 'c');
        assert!(raised > last, "{raised} after {last}");
        assert!(raised > item, "{raised} behind a store of {item}");
        last = raised;
    };
    for round in 0..50 {
        slow.send("ms lock 2 ME c T60\r\n");
        // These requests are answered, so the line before them on the other connection has been read, as far as can be
        // told from outside.
        for _ in 0..3 {
            let item = flag(&quick.ask("ms lock 2 ME c T60\r\nhi\r\nma counter c N0 J1\r\n"), 'c');
            raised(&mut quick, item);
            assert!(quick.ask(&format!("md lock C{item}\r\n")).starts_with("HD"));
        }
        let item = flag(&slow.ask("hi\r\nma counter c N0 J1\r\n"), 'c');
        raised(&mut slow, item);
        assert!(slow.ask(&format!("md lock C{item}\r\n")).starts_with("HD"));
        if round % 10 == 9 {
            // The counter starts again, but its CAS goes on.
            server.flush_all();
        }
    }
}

#[test]
fn a_counter_is_created_without_an_expiry_and_raised_by_one() {
    let server = start();
    let mut wire = Wire::to(&server);
    let value = |wire: &mut Wire, command: &str| {
        let header = wire.ask(command);
        assert!(header.starts_with("VA ") && header.ends_with(" t-1"), "{header}");
        wire.line()
    };
    // A counter that is created has the initial number itself.
    assert_eq!(value(&mut wire, "ma counter v t N0 J1\r\n"), "1");
    for number in 2..=12_u64 {
        assert_eq!(value(&mut wire, "ma counter v t N0 J1\r\n"), number.to_string());
    }
    // A foreign value under the name stays as it is.
    assert!(wire.ask(&add("other", 60)).starts_with("HD"));
    let refused = wire.ask("ma other c N0 J1 O7\r\n");
    assert_eq!(refused, "CLIENT_ERROR cannot increment or decrement non-numeric value");
    assert!(is_there(&mut wire, "other"));
}

#[test]
fn cas_begins_anew_in_each_process_and_an_old_one_fits_another_item() {
    let server = start();
    // 1, and from 1.6.27 on 2.
    let first = first_cas(&server);
    assert_eq!(stored(&Wire::to(&server).ask(&add("k", 60))), first);
    server.restart_young();
    let mut wire = Wire::to(&server);
    assert_eq!(stored(&wire.ask(&add("k", 60))), first);
    assert_eq!(
        wire.ask(&format!("md k C{first}\r\n")),
        "HD",
        "this is why a CAS is used on its own instance only"
    );
}

#[test]
fn a_store_in_vain_takes_a_cas_from_1_6_27_on_and_reads_and_deletes_take_none() {
    let server = start();
    let mut wire = Wire::to(&server);
    let first = stored(&wire.ask(&add("k", 60)));
    for (command, reply) in [
        ("mg k c\r\n", format!("HD c{first}")),
        ("mg other c\r\n", "EN".to_owned()),
        ("md k C18446744073709551615\r\n", "EX".to_owned()),
        ("md other C18446744073709551615\r\n", "NF".to_owned()),
        (&format!("md k C{first}\r\n"), "HD".to_owned()),
    ] {
        assert_eq!(wire.ask(command), reply, "{command:?}");
    }
    let second = stored(&wire.ask(&add("k", 60)));
    assert_eq!(second, first + 1);
    let in_vain = u64::from(server.version() >= [1, 6, 27]);
    assert_eq!(wire.ask(&add("k", 60)), "NS c0");
    let third = stored(&wire.ask(&add("other", 60)));
    assert_eq!(third, second + in_vain + 1);
    assert_eq!(wire.ask("ms k 2 c T60 C18446744073709551615\r\nhi\r\n"), "EX c0");
    let fourth = stored(&wire.ask(&add("another", 60)));
    assert_eq!(fourth, third + in_vain + 1);
}

#[test]
fn the_cas_of_a_store_is_drawn_before_its_data_has_come_from_1_6_27_on() {
    let server = start();
    let (mut late, mut other) = (Wire::to(&server), Wire::to(&server));
    late.send("ms late 2 ME c T60\r\n");
    wait_until("the store to wait for its data", PATIENCE, || {
        waits_for_data(&mut other)
    });
    let between = stored(&other.ask(&add("other", 60)));
    let drawn = stored(&late.ask("hi\r\n"));
    let is_drawn_early = server.version() >= [1, 6, 27];
    assert_eq!(drawn < between, is_drawn_early, "{drawn} and {between}");
    // So tokens are made from the CAS of a command without data instead.
    let raised = stored(&late.ask("ma counter N0 J1 c\r\n"));
    assert!(raised > drawn && raised > between);
}

/// Whether the server has received the first line of a store on some connection, and not its data.
fn waits_for_data(wire: &mut Wire) -> bool {
    wire.send("stats conns\r\n");
    let mut waits = false;
    loop {
        let line = wire.line();
        if line == "END" {
            return waits;
        }
        waits |= line.ends_with(":state conn_nread");
    }
}

// ---- Memory
// ------------------------------------------------------------------------------------------------------------

#[test]
fn a_store_that_is_refused_for_memory_deletes_the_item_under_it() {
    let server = Memcached::start_young_with(SMALL);
    let mut wire = Wire::to(&server);
    for key in ["a", "b"] {
        assert!(wire.ask(&add(key, 60)).starts_with("HD c"));
    }
    for (round, (key, store)) in [
        // Even an add, which could not have replaced the item, and even a store with a wrong CAS.
        ("a", "ms a 2 ME c T60 O7\r\nhi\r\n"),
        ("b", "ms b 2 c T60 C18446744073709551615 O7\r\nhi\r\n"),
    ]
    .into_iter()
    .enumerate()
    {
        wire.fill(round);
        assert!(is_there(&mut wire, key), "nothing is evicted");
        assert_eq!(wire.ask(store), "SERVER_ERROR out of memory storing object");
        assert!(!is_there(&mut wire, key));
    }
}

#[test]
fn a_store_that_is_refused_for_memory_takes_no_cas_but_from_1_6_27_to_1_6_39_and_its_data_is_no_command() {
    let server = Memcached::start_young_with(SMALL);
    let mut wire = Wire::to(&server);
    assert!(wire.ask(&add("k", 60)).starts_with("HD c"));
    wire.fill(0);
    // There is room for exactly one item again.
    assert_eq!(wire.ask("md k\r\n"), "HD");
    let before = stored(&wire.ask(&add("k", 60)));
    wire.send("ms x 7 ME c T60 O7\r\nversion\r\nmn\r\n");
    assert_eq!(wire.line(), "SERVER_ERROR out of memory storing object");
    assert_eq!(wire.line(), "MN");
    assert_eq!(wire.ask(&format!("md k C{before}\r\n")), "HD");
    let takes_one = ([1, 6, 27]..[1, 6, 40]).contains(&server.version());
    assert_eq!(stored(&wire.ask(&add("k", 60))), before + 1 + u64::from(takes_one));
}

// ---- Requests cannot be recalled
// ---------------------------------------------------------------------------------------

/// How a client disconnects.
#[derive(Debug, Clone, Copy)]
enum Leaves {
    /// With FIN.
    InOrder,
    /// With RST, as when a process dies with unread replies.
    Abruptly,
}

fn check_that_requests_of_a_disconnected_client_are_executed(leaves: Leaves, paused: bool) {
    const CLIENTS: usize = 30;
    let server = start();
    let clients: Vec<Wire> = (0..CLIENTS)
        .map(|_| {
            let mut wire = Wire::to(&server);
            wire.send("mn\r\n");
            match leaves {
                Leaves::InOrder => assert_eq!(wire.line(), "MN"),
                Leaves::Abruptly => wire.leave_unread(),
            }
            wire
        })
        .collect();
    if paused {
        server.pause();
    }
    for (number, mut wire) in clients.into_iter().enumerate() {
        wire.send(&add(&format!("k{number}"), 60));
        drop(wire);
    }
    if paused {
        server.resume();
    }
    let mut wire = Wire::to(&server);
    wait_until("everything that was sent to be executed", PATIENCE, || {
        (0..CLIENTS).all(|number| is_there(&mut wire, &format!("k{number}")))
    });
}

#[test]
fn what_was_sent_before_a_close_is_executed() {
    check_that_requests_of_a_disconnected_client_are_executed(Leaves::InOrder, false);
}

#[test]
fn what_was_sent_before_a_reset_is_executed() {
    check_that_requests_of_a_disconnected_client_are_executed(Leaves::Abruptly, false);
}

#[test]
fn what_was_sent_to_a_paused_server_before_a_close_is_executed_when_it_goes_on() {
    check_that_requests_of_a_disconnected_client_are_executed(Leaves::InOrder, true);
}

#[test]
fn what_was_sent_to_a_paused_server_before_a_reset_is_executed_when_it_goes_on() {
    check_that_requests_of_a_disconnected_client_are_executed(Leaves::Abruptly, true);
}

#[test]
fn a_paused_server_executes_what_was_sent_when_it_goes_on_and_in_order() {
    let server = start();
    let mut wire = Wire::to(&server);
    assert_eq!(wire.ask("mn\r\n"), "MN");
    let (first, second) = (first_cas(&server), first_cas(&server) + 1);
    server.pause();
    wire.send("ms k 2 ME c T60 O1\r\nhi\r\n");
    wire.send(&format!("ms k 2 c T60 C{first} O2\r\nho\r\n"));
    wire.send(&format!("md k C{second} O3\r\n"));
    server.resume();
    assert_eq!(wire.line(), format!("HD c{first} O1"));
    assert_eq!(wire.line(), format!("HD c{second} O2"));
    assert_eq!(wire.line(), "HD O3");
}

// ---- Time
// --------------------------------------------------------------------------------------------------------------

#[test]
fn an_item_lives_no_shorter_than_its_ttl_less_two_seconds_and_no_longer_than_one_more() {
    const TTL: u64 = 3;
    struct Item {
        key: String,
        asked: Instant,
        answered: Instant,
    }
    let ttl = Duration::from_secs(TTL);
    let server = start();
    let mut wire = Wire::to(&server);
    let began = now();
    let mut living: Vec<Item> = Vec::new();
    let mut stored = 0;
    loop {
        // At all times within the server's second.
        if began.elapsed() < ttl {
            let key = format!("k{stored}");
            let asked = now();
            assert!(wire.ask(&add(&key, TTL)).starts_with("HD c"));
            living.push(Item {
                key,
                asked,
                answered: now(),
            });
            stored += 1;
        } else if living.is_empty() {
            break;
        }
        let asked = now();
        let keys: Vec<&str> = living.iter().map(|item| item.key.as_str()).collect();
        wire.send(&format!("mg {} c\r\n", keys.join(" c\r\nmg ")));
        let found: Vec<bool> = living.iter().map(|_| wire.line() != "EN").collect();
        let answered = now();
        let mut found = found.into_iter();
        living.retain(|item| {
            if found.next() == Some(true) {
                let age = asked - item.answered;
                assert!(age < ttl + Duration::from_secs(1), "still there after {age:?}");
                return true;
            }
            let age = answered - item.asked;
            assert!(age + SHORTER_BY >= ttl, "gone after {age:?}");
            false
        });
        let_time_pass();
    }
    assert!(stored > 10, "only {stored} items were watched");
}

#[test]
fn a_ttl_of_30_days_is_the_longest_and_one_more_second_is_a_date_long_past() {
    let server = start();
    let mut wire = Wire::to(&server);
    stored(&wire.ask(&add("k", 2_592_000)));
    assert_eq!(wire.ask(&add("k", 2_592_000)), "NS c0");
    // The allowance on top of the longest lease: four thousandths, and less than a minute.
    let longest = LONGEST_TIMEOUT.as_secs() * 1004 / 1000 + 60;
    assert!(longest < 2_592_000);
    for _two_owners_of_one_lock in 0..2 {
        stored(&wire.ask(&add("date", 2_592_001)));
        assert!(!is_there(&mut wire, "date"));
    }
}

#[test]
fn the_clock_item_tells_the_very_second_of_stats() {
    let server = start();
    let mut wire = Wire::to(&server);
    create_clock(&mut wire);
    let mut seconds = BTreeSet::new();
    wait_until("three ticks", PATIENCE, || {
        let before: u64 = stat(&mut wire, "stats\r\n", "time").parse().expect("a number");
        let second = CLOCK_ITEM_EXPIRY - flag(&wire.ask("mg clock t\r\n"), 't');
        let after: u64 = stat(&mut wire, "stats\r\n", "time").parse().expect("a number");
        assert!(
            (before..=after).contains(&second),
            "{second}, and {before} to {after} in stats"
        );
        seconds.insert(second);
        seconds.len() > 3
    });
}

#[test]
fn a_clock_item_without_a_date_runs_with_the_one_that_has_one() {
    let server = start();
    let mut wire = Wire::to(&server);
    create_clock(&mut wire);
    let created = flag(&wire.ask("mg clock t\r\n"), 't');
    stored(&wire.ask(&add("life", CLOCK_ITEM_LIFE)));
    assert!(flag(&wire.ask("mg life t\r\n"), 't') <= CLOCK_ITEM_LIFE);
    let mut ages = BTreeSet::new();
    wait_until("three ticks", PATIENCE, || {
        let before = flag(&wire.ask("mg clock t\r\n"), 't');
        let age = CLOCK_ITEM_LIFE - flag(&wire.ask("mg life t\r\n"), 't');
        let after = flag(&wire.ask("mg clock t\r\n"), 't');
        // It may have been stored a tick later.
        let expected = (created - before).saturating_sub(1)..=created - after;
        assert!(expected.contains(&age), "{age}, and not in {expected:?}");
        ages.insert(age);
        ages.len() > 3
    });
}

#[test]
fn an_item_with_a_date_is_gone_in_that_very_second_and_later_stored_in_vain() {
    let server = start();
    let mut wire = Wire::to(&server);
    create_clock(&mut wire);
    let second = |wire: &mut Wire| CLOCK_ITEM_EXPIRY - flag(&wire.ask("mg clock t\r\n"), 't');
    let date = second(&mut wire) + 3;
    stored(&wire.ask(&add("k", date)));
    wait_until("the date", PATIENCE, || {
        let before = second(&mut wire);
        let found = is_there(&mut wire, "k");
        let after = second(&mut wire);
        assert!(
            if found { before < date } else { after >= date },
            "{date}: {before} to {after}"
        );
        !found
    });
    // This would happen to a clock item with a date in 2038, so it has none then.
    stored(&wire.ask(&add("k", date)));
    assert!(!is_there(&mut wire, "k"));
}

#[test]
fn uptime_begins_at_2_and_a_server_old_enough_is_more_than_a_second_old() {
    let before = now();
    let server = start();
    let (_, first) = time_and_uptime(&server);
    let latest = 3 + before.elapsed().as_secs();
    assert!((2..=latest).contains(&first), "it begins at {first}, not at 2");
    assert!(
        first < YOUNGEST_SERVER || latest > YOUNGEST_SERVER,
        "none is ever too young"
    );
    wait_until("it to grow up", PATIENCE, || {
        time_and_uptime(&server).1 >= YOUNGEST_SERVER
    });
    let age = before.elapsed();
    assert!(age > Duration::from_secs(1), "it grew up in {age:?}");
}

#[test]
fn two_instances_that_are_old_enough_to_grant_have_different_start_seconds() {
    let server = start();
    let mut last = None;
    for _ in 0..3 {
        let mut start = 0;
        wait_until("it to grow up", PATIENCE, || {
            let (time, uptime) = time_and_uptime(&server);
            start = time - uptime;
            uptime >= YOUNGEST_SERVER
        });
        assert!(last.is_none_or(|last| last < start), "{last:?} and then {start}");
        last = Some(start);
        // At once, so that the next instance starts as soon as possible.
        server.restart_young();
    }
}

#[test]
fn time_less_uptime_is_constant_for_a_process() {
    let server = start();
    let (time, uptime) = time_and_uptime(&server);
    wait_until("four ticks", PATIENCE, || {
        let (later, grown) = time_and_uptime(&server);
        assert_eq!(later - grown, time - uptime);
        grown >= uptime + 4
    });
}

#[test]
fn no_item_expires_before_the_second_read_ahead_of_its_store_plus_its_ttl_even_after_a_pause() {
    const TTL: u64 = 4;
    let server = Memcached::start_young_with(&["-t", "4"]);
    let mut wires: Vec<Wire> = (0..8).map(|_| Wire::to(&server)).collect();
    create_clock(&mut wires[0]);
    for (round, pause) in [0, 700, 1300, 2600].map(Duration::from_millis).into_iter().enumerate() {
        if !pause.is_zero() {
            server.pause();
        }
        let began = now();
        for (number, wire) in wires.iter_mut().enumerate() {
            wire.send(&format!("mg clock t\r\n{}", add(&format!("k{round}.{number}"), TTL)));
        }
        while began.elapsed() < pause {
            let_time_pass();
        }
        if !pause.is_zero() {
            server.resume();
        }
        let readings: Vec<u64> = wires
            .iter_mut()
            .map(|wire| {
                let reading = CLOCK_ITEM_EXPIRY - flag(&wire.line(), 't');
                assert!(wire.line().starts_with("HD c"));
                reading
            })
            .collect();
        // A stale clock makes the item expire too early, but never before the second that was read plus the TTL.
        let mut living: Vec<(usize, u64)> = readings.into_iter().enumerate().collect();
        wait_until("all items to expire", PATIENCE, || {
            living.retain(|(number, reading)| {
                let wire = &mut wires[*number];
                wire.send(&format!("mg k{round}.{number} c\r\nmg clock t\r\n"));
                let found = wire.line() != "EN";
                let second = CLOCK_ITEM_EXPIRY - flag(&wire.line(), 't');
                assert!(
                    found || second >= reading + TTL,
                    "after a pause of {pause:?}: read {reading}, gone in {second}"
                );
                found
            });
            living.is_empty()
        });
    }
}

// ---- Processes
// ---------------------------------------------------------------------------------------------------------

#[test]
fn a_held_connection_ends_with_its_process() {
    let server = start();
    let mut wire = Wire::to(&server);
    assert_eq!(wire.ask("mn\r\n"), "MN");
    let began = now();
    server.kill();
    let end = wire.next_line().expect_err("nobody is there");
    assert!(
        matches!(
            end.kind(),
            io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset
        ),
        "{end:?}"
    );
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
}

#[test]
fn a_flush_takes_a_cas_up_to_1_6_24() {
    let server = start();
    let mut wire = Wire::to(&server);
    let before = stored(&wire.ask(&add("k", 60)));
    server.flush_all();
    let taken = u64::from(server.version() < [1, 6, 25]);
    assert_eq!(stored(&wire.ask(&add("k", 60))), before + 1 + taken);
}

#[test]
fn a_flush_leaves_the_process_its_connections_and_the_order_of_cas() {
    let server = start();
    let mut wire = Wire::to(&server);
    let before = flag(&wire.ask(&add("k", 60)), 'c');
    let pid = server.stat("pid");
    server.flush_all();
    assert!(!is_there(&mut wire, "k"));
    // Stored in the same second, and kept.
    let after = flag(&wire.ask(&add("k", 60)), 'c');
    assert!(before < after);
    assert!(is_there(&mut wire, "k"));
    assert_eq!(server.stat("pid"), pid);
}
