//! The contestants for threads: one lock and one unlock each, with a body between.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use memcache::exp::{MetaClient, Ttl};
use memlock::Locks;
use postgres::{Client, NoTls, Statement};
use rslock::LockManager;
use tokio::runtime::Runtime;

use crate::stage::Addresses;

/// The lifetime of a lock, for all contestants that need one: memlock's default.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(30);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The least that a lock on memcached can cost: no checks, no clock, no nonce, no waiting.
    Bare,
    Guard,
    Attribute,
    /// memlock with wake-ups: see `Builder::wake`.
    Woken,
    /// memlock with a `Locks` for each thread, as if each were a process: the queue goes round the server.
    Separate,
    /// The attribute on `memory:`.
    Memory,
    /// The client crate below memlock, with its own pooled connections. No lock for contended keys: it does not wait.
    MemcacheCrate,
    /// On Redis. It is async only, so each thread has a runtime.
    Rslock,
    /// `pg_advisory_lock`. The connection is its holder, so each thread has one.
    Postgres,
}

impl Kind {
    const ALL: [Kind; 9] = [
        Kind::Bare,
        Kind::Guard,
        Kind::Attribute,
        Kind::Woken,
        Kind::Separate,
        Kind::Memory,
        Kind::MemcacheCrate,
        Kind::Rslock,
        Kind::Postgres,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Kind::Bare => "bare socket, `ms` + `md`",
            Kind::Guard => "memlock guard",
            Kind::Attribute => "memlock attribute",
            Kind::Woken => "memlock guard, with wake-ups",
            Kind::Separate => "memlock, a `Locks` per thread",
            Kind::Memory => "memlock attribute on `memory:`",
            Kind::MemcacheCrate => "memcache crate, add + delete(cas)",
            Kind::Rslock => "rslock on Redis",
            Kind::Postgres => "PostgreSQL advisory lock",
        }
    }

    pub(crate) fn of_name(name: &str) -> Option<Kind> {
        Kind::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// Whether its server is there.
    pub(crate) fn can_play(self, addresses: &Addresses) -> bool {
        match self {
            Kind::Rslock => addresses.redis.is_some(),
            Kind::Postgres => addresses.postgres.is_some(),
            _ => true,
        }
    }

    pub(crate) fn process(self, addresses: &Addresses) -> Process {
        let memcached = addresses.memcached.as_str();
        let redis = || addresses.redis.clone().expect("asked for only where it is there");
        let postgres = || addresses.postgres.clone().expect("asked for only where it is there");
        match self {
            Kind::Bare => Process::Bare(memcached.to_owned()),
            Kind::Guard => Process::Guard(locks(memcached)),
            Kind::Attribute => Process::Attribute(locks(memcached)),
            Kind::Woken => Process::Guard(woken_locks(memcached)),
            Kind::Separate => Process::Separate(memcached.to_owned()),
            Kind::Memory => Process::Attribute(locks("memory:")),
            Kind::MemcacheCrate => {
                let client = MetaClient::builder().max_idle(64).connect(memcached);
                Process::MemcacheCrate(client.expect("memcached is up"))
            }
            Kind::Rslock => Process::Rslock(redis()),
            Kind::Postgres => Process::Postgres(postgres()),
        }
    }
}

/// memlock's locks on these servers.
pub(crate) fn locks(servers: &str) -> Locks {
    Locks::builder().servers(servers).build().expect("a server list")
}

/// The same, with wake-ups.
pub(crate) fn woken_locks(servers: &str) -> Locks {
    let loopback = SocketAddr::from(([127, 0, 0, 1], 0));
    Locks::builder()
        .servers(servers)
        .wake(loopback)
        .build()
        .expect("a server list")
}

/// The state that the threads of one process share.
pub(crate) enum Process {
    Bare(String),
    Guard(Locks),
    Attribute(Locks),
    Separate(String),
    MemcacheCrate(MetaClient),
    Rslock(String),
    Postgres(String),
}

/// The state of one thread.
pub(crate) trait Lock: Send {
    /// Acquires the lock on `key`, waits for it if it must, runs `body`, and releases it.
    fn locked(&mut self, key: u64, body: &mut dyn FnMut());
}

impl Process {
    pub(crate) fn thread(&self) -> Box<dyn Lock> {
        match self {
            Process::Bare(address) => Box::new(BareSocket::connect(address)),
            Process::Guard(locks) => Box::new(Guard(locks.clone())),
            Process::Attribute(locks) => Box::new(Attribute(locks.clone())),
            Process::Separate(address) => Box::new(Guard(locks(address))),
            Process::MemcacheCrate(client) => Box::new(Pooled(client.clone())),
            Process::Rslock(address) => Box::new(OnRedis::connect(address)),
            Process::Postgres(address) => Box::new(OnPostgres::connect(address)),
        }
    }
}

struct BareSocket {
    stream: BufReader<TcpStream>,
    line: String,
}

impl BareSocket {
    fn connect(address: &str) -> BareSocket {
        let stream = TcpStream::connect(address).expect("memcached is up");
        stream.set_nodelay(true).expect("a TCP socket");
        BareSocket {
            stream: BufReader::new(stream),
            line: String::new(),
        }
    }

    fn exchange(&mut self, request: &[u8]) {
        self.stream.get_mut().write_all(request).expect("memcached is up");
        self.line.clear();
        self.stream.read_line(&mut self.line).expect("memcached is up");
    }
}

impl Lock for BareSocket {
    fn locked(&mut self, key: u64, body: &mut dyn FnMut()) {
        // On a key that other threads use at the same moment it may find the lock taken, and goes on without it: it is a
        // yardstick, not a lock.
        self.exchange(format!("ms bare:{key} 16 ME T38 c\r\n0123456789abcdef\r\n").as_bytes());
        let cas = self.line.trim_end().strip_prefix("HD c").map(str::to_owned);
        body();
        if let Some(cas) = cas {
            self.exchange(format!("md bare:{key} C{cas}\r\n").as_bytes());
            assert_eq!(self.line, "HD\r\n");
        }
    }
}

struct Guard(Locks);

impl Lock for Guard {
    fn locked(&mut self, key: u64, body: &mut dyn FnMut()) {
        let guard = self.0.lock(key).acquire().expect("nothing is wrong with the server");
        body();
        guard.release();
    }
}

struct Attribute(Locks);

impl Lock for Attribute {
    fn locked(&mut self, key: u64, body: &mut dyn FnMut()) {
        annotated(&self.0, key, body).expect("nothing is wrong with the server");
    }
}

#[memlock::lock(key, locks = locks)]
fn annotated(locks: &Locks, key: u64, body: &mut dyn FnMut()) -> Result<(), memlock::Error> {
    body();
    Ok(())
}

struct Pooled(MetaClient);

impl Lock for Pooled {
    fn locked(&mut self, key: u64, body: &mut dyn FnMut()) {
        let key = format!("client:{key}");
        let stored = self.0.set(&key, "0123456789abcdef").ttl(Ttl::secs(38)).add();
        let stored = stored.return_cas().send().expect("memcached is up");
        body();
        // Taken by another thread, as with the bare socket: its reply has the CAS 0.
        if let Some(cas) = stored.cas.filter(|cas| *cas != 0) {
            let deleted = self.0.delete(&key).compare_cas(cas).send();
            deleted.expect("memcached is up");
        }
    }
}

struct OnRedis {
    runtime: Runtime,
    manager: LockManager,
}

impl OnRedis {
    fn connect(address: &str) -> OnRedis {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        OnRedis {
            runtime: runtime.expect("a runtime"),
            manager: LockManager::new(vec![address]),
        }
    }
}

impl Lock for OnRedis {
    fn locked(&mut self, key: u64, body: &mut dyn FnMut()) {
        let key = format!("bench:{key}");
        self.runtime.block_on(async {
            let guard = self
                .manager
                .acquire(key.as_bytes(), TIMEOUT)
                .await
                .expect("Redis is up");
            body();
            guard.release().await;
        });
    }
}

struct OnPostgres {
    client: Client,
    lock: Statement,
    unlock: Statement,
}

impl OnPostgres {
    fn connect(address: &str) -> OnPostgres {
        let mut client = Client::connect(address, NoTls).expect("PostgreSQL is up");
        let [lock, unlock] = ["SELECT pg_advisory_lock($1)", "SELECT pg_advisory_unlock($1)"]
            .map(|statement| client.prepare(statement).expect("PostgreSQL is up"));
        OnPostgres { client, lock, unlock }
    }
}

impl Lock for OnPostgres {
    fn locked(&mut self, key: u64, body: &mut dyn FnMut()) {
        let key = i64::try_from(key).expect("keys of benches are small");
        self.client.execute(&self.lock, &[&key]).expect("PostgreSQL is up");
        body();
        self.client.execute(&self.unlock, &[&key]).expect("PostgreSQL is up");
    }
}
