//! An instance of the service: a process that opens a port, serves until it is asked to stop, and leaves no lock behind.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{env, thread};

use memlock::Locks;
use memlock_testkit::{Parent, Peer, PeerBuilder};
use tokio::net::TcpListener;
use tokio::select;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;

use crate::Result;
use crate::box_office::BoxOffice;
use crate::service::{self, Shop};

const ROLE: &str = "server";
const FILE: &str = "TICKETS_FILE";
const PAYMENT: &str = "TICKETS_PAYMENT_MS";
const LOCKED: &str = "TICKETS_LOCKED";

const START_LIMIT: Duration = Duration::from_secs(60);
/// How long the end of an instance may take: the requests that have begun are answered.
const STOP_LIMIT: Duration = Duration::from_secs(60);
/// How long the releases that go on in the background may take then.
const FLUSH_LIMIT: Duration = Duration::from_secs(5);

/// The parent of this process, if it is an instance.
pub(crate) fn role() -> Option<Parent> {
    Parent::of_role(ROLE)
}

/// Runs an instance.
#[tokio::main]
pub(crate) async fn run(parent: Parent) -> Result<()> {
    let file = PathBuf::from(env::var_os(FILE).ok_or("no file is given")?);
    let shop = Shop {
        box_office: BoxOffice::open(&file)?,
        payment: Duration::from_millis(env::var(PAYMENT)?.parse()?),
    };
    let is_locked = env::var_os(LOCKED).is_some();
    // The attributes use these locks. They are kept here for `flush`. A mistake in MEMLOCK_SERVERS shows now, not at the first
    // request.
    let locks = is_locked.then(Locks::from_env).transpose()?;
    if let Some(locks) = &locks {
        memlock::init(locks.clone())?;
    }

    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    parent.say(&listener.local_addr()?.to_string());
    axum::serve(listener, service::router(shop, is_locked))
        .with_graceful_shutdown(asked_to_stop(parent)?)
        .await?;

    // If a customer hung up, the handler's future was dropped, and its lock is released in the background.
    if let Some(locks) = locks
        && !locks.flush_async(FLUSH_LIMIT).await
    {
        return Err("some locks are left to the end of their leases".into());
    }
    Ok(())
}

/// Ends when the parent or the system asks for it. (If the parent is gone, the process has ended already.)
fn asked_to_stop(parent: Parent) -> Result<impl Future<Output = ()>> {
    let (sender, told) = oneshot::channel();
    // Not by `spawn_blocking`, for which the end of the process would wait.
    thread::spawn(move || {
        let _stop: String = parent.hear(Duration::MAX);
        sender.send(())
    });
    let signalled = signalled()?;
    Ok(async {
        select! {
            _ = told => {}
            () = signalled => {}
        }
    })
}

/// Ends with Ctrl-C and with SIGTERM.
pub(crate) fn signalled() -> Result<impl Future<Output = ()>> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    Ok(async move {
        select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}

/// An instance, as its parent sees it.
pub(crate) struct Instance {
    process: Peer,
    pub(crate) address: SocketAddr,
}

impl Instance {
    /// This program in the role of an instance.
    pub(crate) fn program() -> PeerBuilder {
        Peer::of(ROLE)
    }

    /// Starts an instance, and waits until it listens. It locks if servers are given.
    pub(crate) fn start(program: PeerBuilder, file: &Path, payment: Duration, servers: Option<&str>) -> Result<Self> {
        let program = program.env(FILE, file).env(PAYMENT, payment.as_millis().to_string());
        let program = match servers {
            // The first variable is all that memlock needs.
            Some(servers) => program.env("MEMLOCK_SERVERS", servers).env(LOCKED, "yes"),
            None => program,
        };
        let process = program.start();
        let said = process.next_line(START_LIMIT).ok_or("an instance does not start")?;
        Ok(Self {
            process,
            address: said.parse()?,
        })
    }

    /// Has it answer the requests that have begun, release its locks and end.
    pub(crate) fn stop(mut self) -> Result<()> {
        self.process.send("stop");
        self.ended()
    }

    fn ended(mut self) -> Result<()> {
        let status = self.process.wait(STOP_LIMIT);
        if status.success() {
            Ok(())
        } else {
            Err(format!("an instance ended with {status}").into())
        }
    }
}

/// Signals to an instance.
#[cfg(all(test, feature = "server-tests"))]
impl Instance {
    /// Asks it to end, as the system does (SIGTERM).
    pub(crate) fn terminate(self) -> Result<()> {
        let pid = self.process.pid().to_string();
        std::process::Command::new("sh")
            .args(["-c", "kill -s TERM \"$0\"", &pid])
            .status()?;
        self.ended()
    }

    /// Ends it in the middle of its work (SIGKILL).
    pub(crate) fn kill(mut self) {
        self.process.kill();
    }

    /// Has it stand still (SIGSTOP).
    pub(crate) fn pause(&self) {
        self.process.pause();
    }

    /// Lets it go on (SIGCONT).
    pub(crate) fn resume(&self) {
        self.process.resume();
    }
}
