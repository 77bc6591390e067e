//! The locks that the cases use, and what a body can find out about its own.

use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, LazyLock};
use std::task::{Context, Poll, Wake};
use std::thread::Thread;

use memlock::Locks;

/// In-process locks of this test binary.
pub(crate) static LOCKS: LazyLock<Locks> = LazyLock::new(|| build("memory:"));

/// Locks on a server that is not there.
pub(crate) static UNREACHABLE: LazyLock<Locks> =
    LazyLock::new(|| build(&format!("127.0.0.1:{}", memlock_testkit::unused_port())));

/// Locks on `servers`.
pub(crate) fn build(servers: &str) -> Locks {
    Locks::builder().servers(servers).build().expect("good settings")
}

/// The locks that the innermost body holds, as `module::function:key`, sorted.
pub(crate) fn held() -> Vec<String> {
    let Some(lease) = memlock::current() else {
        return Vec::new();
    };
    assert!(lease.is_valid());
    let mut names: Vec<String> = lease
        .tokens()
        .map(|(name, _)| name.trim_start_matches("memlock:").to_owned())
        .collect();
    names.sort();
    names
}

/// The one key that the innermost body holds.
pub(crate) fn key() -> String {
    match held().as_slice() {
        [one] => {
            let function_ends = one.rfind("::").map_or(0, |at| at + 2);
            let (_, key) = one[function_ends..].split_once(':').expect("a key");
            key.to_owned()
        }
        several_or_none => std::panic::panic_any(format!("not one lock: {several_or_none:?}")),
    }
}

/// Runs a future to its end, on this thread.
pub(crate) fn block_on<F: Future>(future: F) -> F::Output {
    struct Unpark(Thread);

    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }

    let waker = Arc::new(Unpark(std::thread::current())).into();
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(output) => return output,
            Poll::Pending => std::thread::park(),
        }
    }
}

/// Yields once, so that the rest runs in another poll.
pub(crate) async fn pause() {
    let mut paused = false;
    std::future::poll_fn(|context| {
        if paused {
            return Poll::Ready(());
        }
        paused = true;
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}
