//! Reservations during a renewal, and their end.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::Duration;

use super::*;
use crate::attribute::call_guard::AwaitRelease;
use crate::attribute::enter::FunctionCall;
use crate::call_tree::lock_kind::LockKind;
use crate::driver::caller::Caller;
use crate::driver::core::Core;
use crate::error::conflict::Told;
use crate::hold::options::LockOptions;
use crate::key::IntoKey;
use crate::locks::Locks;
use crate::locks::builder::Builder;
use crate::locks::policy::Reporting;
use crate::locks::tests::wait_until;
use crate::protocol::{Batch, Exchanged, Instance, Request};
use crate::store::memory::Memory;
use crate::store::{Exchange, Ready, Store};
use crate::system::clock::Clock;
use crate::system::on_thread;

/// A server on which renewals wait while a gate is shut.
#[derive(Debug)]
struct Gated {
    memory: Arc<Memory>,
    gate: Arc<Gate>,
}

#[derive(Debug, Default)]
struct Gate {
    is_shut: AtomicBool,
    arrived: AtomicUsize,
}

impl Store for Gated {
    fn exchange(
        &self,
        server: usize,
        item: &ItemName,
        batch: &[Request],
        only_on: Option<Instance>,
        limit: Duration,
    ) -> Exchanged {
        if batch.iter().any(|request| matches!(request, Request::Replace { .. })) {
            self.gate.arrived.fetch_add(1, Ordering::SeqCst);
            wait_until("the gate to open", || !self.gate.is_shut.load(Ordering::SeqCst));
        }
        self.memory.exchange(server, item, batch, only_on, limit)
    }

    /// The gate is only for threads, and not for the background.
    fn begin(
        &self,
        server: usize,
        item: &ItemName,
        batch: Batch,
        only_on: Option<Instance>,
        limit: Duration,
    ) -> Box<dyn Exchange> {
        Box::new(Ready::new(self.memory.exchange(server, item, &batch, only_on, limit)))
    }

    fn server_name(&self, _: usize) -> &'static str {
        "gated"
    }

    fn route(&self, _: &ItemName) -> usize {
        0
    }

    fn servers(&self) -> usize {
        1
    }
}

struct Stage {
    locks: Locks,
    others: Locks,
    clock: Arc<Clock>,
    gate: Arc<Gate>,
}

/// The clock stands, so nothing ends by itself.
fn stage() -> Stage {
    let clock = Arc::new(Clock::standing());
    let memory = Arc::new(Memory::on(Arc::clone(&clock)));
    let gate = Arc::<Gate>::default();
    let store = Gated {
        memory: Arc::clone(&memory),
        gate: Arc::clone(&gate),
    };
    let locks = Builder::new().servers("memory:").build().expect("a server list");
    let limit = Duration::from_secs(60);
    Stage {
        others: locks.on(Core::on(Arc::clone(&clock), memory, limit)),
        locks: locks.on(Core::on(Arc::clone(&clock), Arc::new(store), limit)),
        clock,
        gate,
    }
}

impl Stage {
    fn call(&self) -> FunctionCall {
        let keys = ["k".into_key()];
        FunctionCall::new(
            Some(&self.locks),
            LockKind::Zlock,
            "reserved",
            LockOptions::of("f"),
            &keys,
        )
        .expect("locks")
    }

    fn is_reserved(&self, caller: Caller) -> bool {
        let item = ItemName::of_lock("memlock", "reserved", "k");
        self.locks.reservations().is_reserved(&item, caller)
    }

    fn is_free(&self) -> bool {
        self.others.lock("k").name("reserved").try_acquire().is_ok()
    }

    /// Renews `lease` on another thread, which waits at the gate when this returns.
    fn renew_elsewhere<'scope>(&'scope self, scope: &'scope thread::Scope<'scope, '_>, lease: crate::Lease) {
        self.gate.is_shut.store(true, Ordering::SeqCst);
        scope.spawn(move || lease.renew().expect("it is held"));
        wait_until("the renewal to be under way", || {
            self.gate.arrived.load(Ordering::SeqCst) == 1
        });
    }

    fn open(&self) {
        self.gate.is_shut.store(false, Ordering::SeqCst);
    }
}

#[test]
fn an_unclaimed_reservation_is_released_when_it_is_over() {
    let stage = stage();
    let held = stage.call().enter(Reporting::Yes).expect("it is free");
    held.end(true);
    stage.clock.advance(Duration::from_millis(999));
    assert!(!stage.is_free());
    stage.clock.advance(Duration::from_millis(1));
    // The clock stands, so no waiter can have watched the lease to its end.
    wait_until("it to be released", || stage.is_free());
}

#[test]
fn a_thread_reserves_its_lock_after_a_renewal_under_way() {
    let stage = stage();
    let ends = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            let held = stage.call().enter(Reporting::Yes).expect("it is free");
            stage.renew_elsewhere(scope, crate::call_tree::current().expect("it runs locked"));
            ends.store(true, Ordering::SeqCst);
            held.end(true);
            assert!(stage.is_reserved(Caller::Thread), "a retry that comes at once finds it");
            assert!(!stage.is_free());
        });
        wait_until("the body to be done", || ends.load(Ordering::SeqCst));
        stage.open();
    });
    wait_until("it to end with its thread", || stage.is_free());
}

/// Ends a task's body in a conflict while its lease is being renewed, and calls `then` with the future, which waits for
/// the renewal.
fn with_waiting_reservation(stage: &Stage, then: impl FnOnce(Pin<Box<dyn Future<Output = Result<(), ()>> + '_>>)) {
    thread::scope(|scope| {
        let held = on_thread::block_on(stage.call().enter_async(Reporting::Yes)).expect("it is free");
        let body = async {
            stage.renew_elsewhere(scope, crate::call_tree::current().expect("it runs locked"));
            Err::<(), ()>(())
        };
        let mut run = Box::pin(held.run_zlock(AwaitRelease, Told(|(): &()| true), body));
        let polled = run.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        assert_eq!(polled, Poll::Pending, "a retry would not find it yet");
        then(run);
    });
}

#[test]
fn a_task_reserves_its_lock_after_a_renewal_under_way() {
    let stage = stage();
    with_waiting_reservation(&stage, |run| {
        stage.open();
        assert_eq!(on_thread::block_on(run), Err(()));
        assert!(stage.is_reserved(Caller::Task));
        assert!(!stage.is_free());
    });
    stage.locks.reservations().abandon();
    wait_until("it to be given up", || stage.is_free());
}

#[test]
fn dropping_a_task_whose_reservation_waits_releases_its_lock() {
    let stage = stage();
    with_waiting_reservation(&stage, |run| {
        drop(run);
        stage.open();
    });
    wait_until("it to be released", || stage.is_free());
    assert!(!stage.is_reserved(Caller::Task));
}
