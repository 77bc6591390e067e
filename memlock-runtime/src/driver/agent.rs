//! The agent: what must happen although no caller waits for it, as tasks on the background thread.
//!
//! *Renewing*: leases that are to be kept alive while their bodies run. *Releasing*: guards and futures that were dropped.
//! *Settling*: a write got no reply, or nobody waited for it. It may have been executed, or be executed later, and leave a
//! lock that nobody holds. A request cannot be recalled, so the agent goes on listening, and deletes what it did.
//!
//! Every task waits for itself alone: a server that hangs holds up nothing but what concerns it.

use std::future::Future;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::task::{Context, Waker};
use std::time::Duration;

use tokio::sync::{Notify, oneshot};

use super::hold::Hold;
use super::inherited::here;
use super::{Core, tasks};
use crate::background::{self, Timer, either};
use crate::error::Error;
use crate::key::ItemName;
use crate::lease::ttl_of;
use crate::protocol::{Grant, Released, Standing};
use crate::queue::Orphanage;
use crate::store::{Damage, Nonce, Pending};

/// When it first looks again after something that could not be settled; doubled each time up to [`LONGEST_BACKOFF`].
const FIRST_BACKOFF: Duration = Duration::from_millis(10);

/// Settling is to be done within 100 ms of the server's being back.
const LONGEST_BACKOFF: Duration = Duration::from_millis(50);

/// The same where the server is there, and its answers contradict one another: asking it more often would not help.
const LONGEST_BACKOFF_IN_CIRCLES: Duration = Duration::from_secs(5);

/// After how long it looks whether a place in line is kept for somebody who has not come back. Others wait for him in vain for
/// that long at the most, once.
const PLACE_KEPT: Duration = Duration::from_millis(5);

/// The longest that it goes without looking for an item whose write's reply is late.
const LONGEST_DISTANCE: Duration = Duration::from_secs(1);

/// For how long it listens for a late reply. A server that has not answered by then is not going to.
const LONGEST_LISTENING: Duration = Duration::from_mins(10);

/// What is still to be released or settled, for those who want to wait for it.
#[derive(Debug, Default)]
pub(crate) struct Chores {
    count: AtomicUsize,
    done: Notify,
}

impl Chores {
    /// Whether nothing is left to do.
    pub(crate) fn are_done(&self) -> bool {
        self.count.load(Ordering::Acquire) == 0
    }

    #[cfg(test)]
    pub(crate) fn count(&self) -> usize {
        self.count.load(Ordering::Acquire)
    }

    /// Waits until nothing is left to do, for up to `limit`. Whether that is so.
    pub(crate) async fn wait(&self, limit: Duration) -> bool {
        let all_done = async {
            loop {
                let mut done = std::pin::pin!(self.done.notified());
                // Before the count is looked at, so that the last one's end is not missed.
                done.as_mut().enable();
                if self.are_done() {
                    return;
                }
                done.await;
            }
        };
        either(all_done, Timer::after(limit)).await;
        self.are_done()
    }
}

/// One of the [`Chores`], until it is dropped.
struct Chore(Arc<Core>);

impl Chore {
    fn begin(core: &Arc<Core>) -> Chore {
        core.chores.count.fetch_add(1, Ordering::AcqRel);
        Chore(Arc::clone(core))
    }
}

impl Drop for Chore {
    fn drop(&mut self) {
        if self.0.chores.count.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.chores.done.notify_waiters();
        }
    }
}

/// Runs `work` in the background; those who wait for `core`'s chores wait for it.
pub(crate) fn spawn(core: &Arc<Core>, work: impl Future<Output = ()> + Send + 'static) {
    if core.is_inherited() {
        // The parent does it, for what is its own. In a child it would delete that.
        std::mem::forget(work);
        return;
    }
    let counted = Chore::begin(core);
    background::spawn(async move {
        work.await;
        drop(counted);
    });
}

/// The same, and begins it here, so that its request is on its way as soon as can be.
pub(crate) fn begin(core: &Arc<Core>, work: impl Future<Output = ()> + Send + 'static) {
    // In a task of tokio's that has used up what it may do at a time, nothing of tokio's would be ready.
    let mut work = Box::pin(tokio::task::unconstrained(work));
    let nobody = &mut Context::from_waker(Waker::noop());
    if work.as_mut().poll(nobody).is_pending() {
        spawn(core, work);
    }
}

/// Runs `work` to its end in the background, and waits for it. It goes on when nobody waits any more.
pub(crate) async fn finish<T: Send + 'static>(
    core: &Core,
    work: impl Future<Output = Result<T, Error>> + Send + 'static,
) -> Result<T, Error> {
    let (told, listener) = oneshot::channel();
    background::spawn(async move {
        // Nobody may be listening any more.
        let _ = told.send(work.await);
    });
    here(core, listener).await?.unwrap_or_else(|_| {
        Err(Error::config(
            "the background thread of memlock could not be started, or failed",
        ))
    })
}

/// Extends the lease of `hold` at each third of it, until it is released or lost, or `limit` is over.
pub(crate) fn keep_alive(hold: &Arc<Hold>, limit: Option<Duration>) {
    let began = hold.core().now();
    let clock = Arc::clone(&hold.core().clock);
    let third = hold.spec().timeout / 3;
    let kept = Arc::downgrade(hold);
    hold.run_meanwhile(async move {
        let mut due = began.instant + third;
        loop {
            clock.sleep_until(due).await;
            if limit.is_some_and(|limit| clock.now().since(began) >= limit) {
                return;
            }
            // From here on, as the lease counts: a renewal that was held up does not put off the next one.
            let asked = clock.now().instant;
            match renew(&kept).await {
                Some(Ok(())) => due = asked + third,
                // The old deadline stands: try again soon, several times before it passes.
                Some(Err(())) => due = clock.now().instant + third / 8,
                None => return,
            }
        }
    });
}

/// One renewal. `None`: there is nothing more to renew.
async fn renew(hold: &Weak<Hold>) -> Option<Result<(), ()>> {
    let hold = hold.upgrade()?;
    if hold.is_released() {
        return None;
    }
    match hold.renew_unbroken(hold.core().each_exchange()).await {
        Ok(()) => Some(Ok(())),
        Err(error) if error.is_lost() => {
            if !hold.is_released() {
                tracing::warn!(target: "memlock", %error, "a lease that was to be kept alive is lost");
            }
            None
        }
        Err(_) => Some(Err(())),
    }
}

/// Finds out what became of a write under `nonce` of a lock with this lease, and deletes what it left behind. With `pending`
/// its outcome can still be heard.
pub(super) fn settle(
    core: &Arc<Core>,
    item: &ItemName,
    nonce: Nonce,
    lease: Duration,
    pending: Option<Box<dyn Pending>>,
) {
    let settle = Settle {
        core: Arc::clone(core),
        item: item.clone(),
        nonce,
        ttl: Duration::from_secs(ttl_of(lease).into()),
    };
    spawn(core, settle.run(pending));
}

impl Orphanage for Core {
    fn release_orphan(self: Arc<Self>, item: &ItemName, grant: &Grant) {
        settle(&self, item, grant.nonce, grant.lease, None);
    }

    fn leave_line(self: Arc<Self>, item: &ItemName, standing: Box<Standing>) {
        let (core, item) = (Arc::clone(&self), item.clone());
        spawn(&self, async move {
            let limit = core.each_exchange();
            tasks::leave(&core, &item, Duration::MAX, standing, limit).await;
        });
    }

    fn mind_place(self: Arc<Self>, item: &ItemName) {
        let (core, item) = (Arc::clone(&self), item.clone());
        spawn(&self, async move {
            let overdue = loop {
                core.clock.sleep_until(core.now().instant + PLACE_KEPT).await;
                if let Ok(overdue) = core.queues.overdue(&item, core.now()) {
                    break overdue;
                }
            };
            if let Some(standing) = overdue {
                core.leave_line(&item, standing);
            }
        });
    }
}

/// A write to be settled.
struct Settle {
    core: Arc<Core>,
    item: ItemName,
    nonce: Nonce,
    /// How long an item lives that it makes.
    ttl: Duration,
}

impl Settle {
    async fn run(self, mut pending: Option<Box<dyn Pending>>) {
        let mut backoff = FIRST_BACKOFF;
        let mut longest_backoff = LONGEST_BACKOFF;
        let mut distance = FIRST_BACKOFF;
        // Whether the write can no longer be executed.
        let mut is_over = false;
        let mut next_look = self.now();
        // By then the server has forgotten the item.
        let mut until = next_look + if pending.is_some() { LONGEST_LISTENING } else { self.ttl };
        loop {
            if let Some(open) = pending.take() {
                match open.wait(Duration::ZERO) {
                    // Whatever it said, reading tells the rest. The write is over now, but where the connection failed
                    // or was one too many: then it may be executed yet, and nobody will hear of it.
                    Ok(answer) => {
                        is_over = answer.fault.is_none_or(|fault| fault.damage != Damage::Late);
                        until = self.now() + self.ttl;
                    }
                    Err(open) => pending = Some(open),
                }
            }
            if pending.is_none() || self.now() >= next_look {
                match tasks::clean(&self.core, &self.item, self.nonce).await {
                    // Seen and deleted: a write is executed once, so this one is settled, whatever is still to be heard.
                    Released::Released => return,
                    // It may be executed yet. Meanwhile the connection may be silent for ever, and the server be well: so
                    // it is not only listened for, but also looked for on another, at growing distances.
                    Released::Gone | Released::Failed(_) if pending.is_some() => {
                        next_look = self.now() + distance;
                        distance = (distance * 2).min(LONGEST_DISTANCE);
                    }
                    Released::Gone if is_over => return,
                    Released::Gone => {
                        // Nobody listens for this write any more, and the server may have been just about to execute it.
                        is_over = true;
                        backoff = LONGEST_BACKOFF;
                    }
                    // Each try is a handful of exchanges, which would go on as fast as the server answers until its item expires.
                    Released::Failed(Damage::Contradicted) if longest_backoff < LONGEST_BACKOFF_IN_CIRCLES => {
                        longest_backoff = LONGEST_BACKOFF_IN_CIRCLES;
                        tracing::warn!(
                            target: "memlock", lock = %self.item,
                            "cleaning up after a lost reply is tried less often now: the server's answers contradict one another"
                        );
                    }
                    Released::Failed(_) => {}
                }
            }
            if self.now() > until {
                tracing::warn!(target: "memlock", lock = %self.item, "gave up cleaning up after a lost reply; its lease ends it");
                return;
            }
            self.core.clock.sleep_until(self.now() + backoff).await;
            backoff = (backoff * 2).min(longest_backoff);
        }
    }

    /// On the monotonic clock.
    fn now(&self) -> Duration {
        self.core.now().instant
    }
}
