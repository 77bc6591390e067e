//! How long a held lock is renewed while its body runs.

use std::sync::{Arc, Weak};
use std::time::Duration;

use super::Hold;

/// How long a lease is kept alive while the body runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RenewPolicy {
    /// Until the body is done.
    Always,
    /// Until the body is done, at most this long after the lock was acquired.
    For(Duration),
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
pub(crate) async fn renew(hold: &Weak<Hold>) -> Option<Result<(), ()>> {
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
