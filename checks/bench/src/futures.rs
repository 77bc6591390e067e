//! The contestants for tasks of tokio: one lock and one unlock each.

use std::time::Duration;

use memcache::exp::{AsyncMetaClient, Ttl};
use memlock::Locks;
use rslock::LockManager;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::contestants::{Kind, TIMEOUT, locks};
use crate::measure::rate;
use crate::stage::Addresses;

/// How long to wait until all tasks have started.
const MUSTER: Duration = Duration::from_millis(10);

/// The state that the tasks of one process share.
#[derive(Clone)]
pub(crate) enum Process {
    /// A socket for each task.
    Bare(String),
    Guard(Locks),
    Attribute(Locks),
    MemcacheCrate(AsyncMetaClient),
    Rslock(LockManager),
}

impl Process {
    /// For one runtime only: clients belong to the runtime that connected them.
    pub(crate) async fn open(kind: Kind, addresses: &Addresses) -> Process {
        let memcached = addresses.memcached.as_str();
        match kind {
            Kind::Bare => Process::Bare(memcached.to_owned()),
            Kind::Guard | Kind::Woken => Process::Guard(locks(memcached)),
            Kind::Attribute => Process::Attribute(locks(memcached)),
            Kind::MemcacheCrate => {
                // As many connections as there are tasks, or it would open most of them anew each time.
                let client = memcache::exp::MetaClientBuilder::new().max_idle(64);
                Process::MemcacheCrate(client.connect_async(memcached).await.expect("memcached is up"))
            }
            Kind::Rslock => {
                let redis = addresses.redis.as_deref().expect("asked for only where it is there");
                Process::Rslock(LockManager::new(vec![redis]))
            }
            Kind::Separate | Kind::Memory | Kind::Postgres => unreachable!("{kind:?} does not take part in tasks"),
        }
    }

    async fn task(&self) -> Task {
        match self.clone() {
            Process::Bare(address) => {
                let stream = TcpStream::connect(address).await.expect("memcached is up");
                stream.set_nodelay(true).expect("a TCP socket");
                Task::Bare(BufReader::new(stream))
            }
            shared => Task::Shared(shared),
        }
    }
}

/// The state of one task.
enum Task {
    Bare(BufReader<TcpStream>),
    Shared(Process),
}

impl Task {
    /// Acquires the lock on `key`, waits for it if it must, and releases it.
    async fn pair(&mut self, key: u64) {
        match self {
            Task::Bare(socket) => bare_pair(socket, key).await,
            Task::Shared(Process::Guard(locks)) => {
                let guard = locks.lock(key).acquire_async().await;
                guard.expect("nothing is wrong with the server").release().await;
            }
            Task::Shared(Process::Attribute(locks)) => {
                annotated(locks, key).await.expect("nothing is wrong with the server");
            }
            Task::Shared(Process::MemcacheCrate(client)) => client_pair(client, key).await,
            Task::Shared(Process::Rslock(manager)) => {
                let key = format!("bench:{key}");
                let guard = manager.acquire(key.as_bytes(), TIMEOUT).await.expect("Redis is up");
                guard.release().await;
            }
            Task::Shared(Process::Bare(_)) => unreachable!("each task has a socket of its own"),
        }
    }
}

/// As the bare socket of threads does it.
async fn bare_pair(socket: &mut BufReader<TcpStream>, key: u64) {
    let mut line = String::new();
    let set = format!("ms bare:{key} 16 ME T38 c\r\n0123456789abcdef\r\n");
    socket.write_all(set.as_bytes()).await.expect("memcached is up");
    socket.read_line(&mut line).await.expect("memcached is up");
    if let Some(cas) = line.trim_end().strip_prefix("HD c") {
        let delete = format!("md bare:{key} C{cas}\r\n");
        socket.write_all(delete.as_bytes()).await.expect("memcached is up");
        line.clear();
        socket.read_line(&mut line).await.expect("memcached is up");
        assert_eq!(line, "HD\r\n");
    }
}

#[memlock::lock(key, locks = locks)]
async fn annotated(locks: &Locks, key: u64) -> Result<(), memlock::Error> {
    Ok(())
}

async fn client_pair(client: &AsyncMetaClient, key: u64) {
    let key = format!("client:{key}");
    let stored = client.set(&key, "0123456789abcdef").ttl(Ttl::secs(38)).add();
    let stored = stored.return_cas().send().await.expect("memcached is up");
    if let Some(cas) = stored.cas.filter(|cas| *cas != 0) {
        let deleted = client.delete(&key).compare_cas(cas).send().await;
        deleted.expect("memcached is up");
    }
}

/// Lets `tasks` tasks take locks for as long as `window`, each on the keys that `keys(task)` gives, one after the other.
/// Returns acquisitions per second.
pub(crate) fn crowd<K>(
    runtime: &Runtime,
    process: &Process,
    tasks: usize,
    window: Duration,
    keys: impl Fn(usize) -> K,
) -> f64
where
    K: Iterator<Item = u64> + Send + 'static,
{
    let acquired: u64 = runtime.block_on(async {
        // Connections are made before the start.
        let mut opened = Vec::with_capacity(tasks);
        for _ in 0..tasks {
            opened.push(process.task().await);
        }
        let start = Instant::now() + MUSTER;
        let end = start + window;
        let mut running = JoinSet::new();
        for (me, mut task) in opened.into_iter().enumerate() {
            let keys = keys(me);
            running.spawn(async move {
                tokio::time::sleep_until(start).await;
                let mut acquired = 0;
                for key in keys {
                    task.pair(key).await;
                    if Instant::now() >= end {
                        break;
                    }
                    acquired += 1;
                }
                acquired
            });
        }
        running.join_all().await.into_iter().sum()
    });
    rate(acquired, window)
}
