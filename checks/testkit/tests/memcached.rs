//! What the handle of a memcached process promises. Starts memcached, hence behind the feature `server-tests`.

use memlock_testkit::{Memcached, Parent, Peer, unused_port, wait_until};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Duration;
use std::{env, fs, io, process};

const LIMIT: Duration = Duration::from_secs(20);

fn connect(port: u16) -> io::Result<TcpStream> {
    TcpStream::connect((Ipv4Addr::LOCALHOST, port))
}

/// The first line of the answer to a command.
fn ask(mut connection: impl Read + Write, command: &str) -> String {
    connection.write_all(command.as_bytes()).unwrap();
    let mut line = String::new();
    BufReader::new(connection).read_line(&mut line).unwrap();
    line.trim_end().to_owned()
}

#[test]
fn a_started_server_is_old_enough_and_is_the_process_that_it_says() {
    let server = Memcached::start();
    assert!(server.stat("uptime").unwrap() >= 4);
    assert_eq!(server.stat("pid"), Some(u64::from(server.pid())));
    assert_eq!(server.address(), format!("127.0.0.1:{}", server.port()));
    assert_eq!(server.stat("no such number"), None);
}

#[test]
fn a_young_server_does_not_keep_anyone_waiting() {
    let server = Memcached::start_young();
    assert!(server.stat("uptime").is_some());
}

#[test]
fn arguments_reach_the_server() {
    let server = Memcached::start_young_with(&["-m", "48"]);
    assert_eq!(server.stat("limit_maxbytes"), Some(48 * 1024 * 1024));
}

#[test]
fn a_server_tells_its_version_in_numbers() {
    let server = Memcached::start_young();
    let [major, minor, patch] = server.version();
    let said = &server.stats().unwrap()["version"];
    assert!(said.starts_with(&format!("{major}.{minor}.{patch}")), "{said}");
}

/// How one suite runs on several versions.
#[test]
fn the_program_that_the_environment_names_is_started() {
    const VARIABLE: &str = "MEMLOCK_TESTKIT_MEMCACHED";
    if let Some(parent) = Parent::of_role("starter") {
        let server = Memcached::start_young();
        return parent.say(&server.stat("limit_maxbytes").unwrap().to_string());
    }
    let usual = env::var(VARIABLE).unwrap_or_else(|_| "memcached".to_owned());
    let script = env::temp_dir().join(format!("memlock-testkit-{}.sh", process::id()));
    fs::write(&script, format!("#!/bin/sh\nexec \"{usual}\" -m 33 \"$@\"\n")).unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    let starter = Peer::of("starter")
        .test("the_program_that_the_environment_names_is_started")
        .env(VARIABLE, &script)
        .start();
    assert_eq!(starter.expect_line(LIMIT), (33 * 1024 * 1024).to_string());
    fs::remove_file(script).unwrap();
}

#[test]
#[should_panic(expected = "memcached ended at once")]
fn an_argument_that_memcached_refuses_is_shown_and_not_tried_again() {
    let _server = Memcached::start_young_with(&["--no-such-argument"]);
}

#[test]
fn servers_side_by_side_have_ports_of_their_own() {
    let servers: Vec<Memcached> = (0..4).map(|_| Memcached::start_young()).collect();
    let mut ports: Vec<u16> = servers.iter().map(Memcached::port).collect();
    ports.sort_unstable();
    ports.dedup();
    assert_eq!(ports.len(), 4);
}

#[test]
fn a_socket_file_serves_and_is_removed() {
    let path = env::temp_dir().join(format!("memlock-testkit-{}.sock", process::id()));
    let server = Memcached::start_on_socket(&path);
    assert_eq!(server.address(), format!("unix:{}", path.display()));
    assert!(ask(UnixStream::connect(&path).unwrap(), "version\r\n").starts_with("VERSION "));
    server.restart_young();
    assert!(server.stat("uptime").is_some());
    drop(server);
    assert!(!path.exists());
}

#[test]
fn a_paused_server_accepts_and_is_silent_until_resumed() {
    let server = Memcached::start_young();
    server.pause();
    let mut connection = connect(server.port()).unwrap();
    connection.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    connection.write_all(b"version\r\n").unwrap();
    assert!(connection.read(&mut [0; 64]).is_err());
    server.resume();
    connection.set_read_timeout(Some(LIMIT)).unwrap();
    assert!(connection.read(&mut [0; 64]).unwrap() > 0);
}

#[test]
fn a_killed_server_refuses_and_comes_back_empty_at_the_same_port() {
    let server = Memcached::start_young();
    let (port, pid) = (server.port(), server.pid());
    assert_eq!(ask(connect(port).unwrap(), "set colour 0 0 4\r\nblue\r\n"), "STORED");
    server.kill();
    assert_eq!(connect(port).unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
    server.restart();
    assert_eq!(server.port(), port);
    assert_ne!(server.pid(), pid);
    assert_eq!(ask(connect(port).unwrap(), "get colour\r\n"), "END");
}

#[test]
fn a_server_paused_for_ever_is_still_stopped() {
    let server = Memcached::start_young();
    let port = server.port();
    server.pause();
    drop(server);
    assert!(connect(port).is_err());
}

#[test]
fn a_flush_keeps_connections() {
    let server = Memcached::start_young();
    let connection = connect(server.port()).unwrap();
    assert_eq!(ask(&connection, "set colour 0 0 4\r\nblue\r\n"), "STORED");
    server.flush_all();
    assert_eq!(ask(&connection, "get colour\r\n"), "END");
}

#[test]
fn the_shared_server_is_one_and_ends_with_its_last_user() {
    let first = Memcached::shared();
    let second = Memcached::shared();
    assert!(Arc::ptr_eq(&first, &second));
    let port = first.port();
    drop(first);
    assert!(connect(port).is_ok());
    drop(second);
    assert!(connect(port).is_err());
}

#[test]
fn nothing_listens_on_an_unused_port() {
    let refuses = |_| connect(unused_port()).is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused);
    // Another process may have taken one of them meanwhile.
    assert!((0..3).any(refuses));
}

/// Without the watchdog, every test run that is cut short would leave servers behind.
#[test]
fn a_server_does_not_outlive_an_owner_that_is_killed() {
    if let Some(parent) = Parent::of_role("owner") {
        let servers = [Memcached::start_young(), Memcached::start_young()];
        // A stopped process does not die of a polite signal.
        servers[1].pause();
        parent.say(&format!("{} {}", servers[0].port(), servers[1].port()));
        let _: String = parent.hear(LIMIT);
        unreachable!("the owner is killed while it waits");
    }
    let mut owner = Peer::of("owner")
        .test("a_server_does_not_outlive_an_owner_that_is_killed")
        .start();
    let ports = owner.expect_line(LIMIT);
    let ports: Vec<u16> = ports.split(' ').map(|port| port.parse().unwrap()).collect();
    assert!(ports.iter().all(|&port| connect(port).is_ok()));
    owner.kill();
    wait_until("both servers to be gone", LIMIT, || {
        ports.iter().all(|&port| connect(port).is_err())
    });
}
