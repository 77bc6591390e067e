//! Forking, for tests of the locks that a forked child inherits from its parent. It is a crate of its own, since only this
//! needs `unsafe`: the other crates forbid it.

use std::io::{self, BufRead as _, BufReader, PipeReader, Write as _};
use std::panic::{self, AssertUnwindSafe};
use std::thread;
use std::time::{Duration, Instant};

/// How often a child is asked whether it has ended.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// A forked child. Killed and reaped when this is dropped.
#[derive(Debug)]
pub struct Child {
    pid: libc::pid_t,
    /// The pipe with its result.
    said: PipeReader,
    has_ended: bool,
}

/// Forks this process. The child has the calling thread alone. It runs `work`, sends the result, and ends without
/// destructors or exit handlers.
///
/// # Panics
///
/// If the system refuses to fork.
#[must_use]
pub fn fork(work: impl FnOnce() -> Result<String, String>) -> Child {
    let (said, mut say) = io::pipe().expect("a pipe");
    // SAFETY: `fork` has no preconditions. In the child, the work of the other threads stays half-done, which these tests are
    // about. glibc keeps its allocator usable there.
    let pid = unsafe { libc::fork() };
    match pid {
        -1 => panic!("the system does not fork: {}", io::Error::last_os_error()),
        0 => {
            let outcome = panic::catch_unwind(AssertUnwindSafe(work));
            let line = match outcome {
                Ok(Ok(text)) => format!("+{text}\n"),
                Ok(Err(text)) => format!("-{text}\n"),
                Err(_) => "-it panicked\n".to_owned(),
            };
            let told = say.write_all(line.as_bytes());
            // SAFETY: `_exit` ends the process at once, whatever state it is in.
            unsafe { libc::_exit(i32::from(told.is_err())) }
        }
        pid => Child {
            pid,
            said,
            has_ended: false,
        },
    }
}

impl Child {
    /// Returns the result of its work.
    ///
    /// # Panics
    ///
    /// If the work returned an error, or hangs for longer than `limit`.
    #[track_caller]
    #[must_use]
    pub fn result(mut self, limit: Duration) -> String {
        let began = Instant::now();
        while !self.ended(libc::WNOHANG) {
            assert!(began.elapsed() < limit, "the child has hung for {limit:?}");
            thread::sleep(LOOK_EVERY);
        }
        let mut line = String::new();
        BufReader::new(&self.said).read_line(&mut line).expect("what it said");
        match line.trim_end().split_at_checked(1) {
            Some(("+", text)) => text.to_owned(),
            Some((_, error)) => panic!("in the child: {error}"),
            None => panic!("the child died"),
        }
    }

    /// Whether it has ended.
    fn ended(&mut self, options: libc::c_int) -> bool {
        if !self.has_ended {
            let mut status = 0;
            // SAFETY: `status` is valid for the write, and the child has not been reaped, so the number is still its own.
            self.has_ended = unsafe { libc::waitpid(self.pid, &raw mut status, options) } == self.pid;
        }
        self.has_ended
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if !self.ended(libc::WNOHANG) {
            // SAFETY: as above, the number is still the child's own.
            unsafe { libc::kill(self.pid, libc::SIGKILL) };
            self.ended(0);
        }
    }
}
