//! The processes that do the work: writers, and one that clicks; and the lines that they send to the contest.

use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};
use std::{env, thread};

use memlock::Locks;
use memlock_testkit::{Parent, Peer, PeerBuilder};
use rustix::time::{ClockId, clock_gettime};

use crate::Result;
use crate::catalog::Catalog;
use crate::diary::{Deed, Diary, Entry};
use crate::queue::Queue;
use crate::setting::{Job, Task, paths};
use crate::store::Store;

const ROLE: &str = "catalog";
const TASK: &str = "CATALOG_TASK";
const QUEUE: &str = "CATALOG_QUEUE";

/// All begin together, when the last has started.
const START_LIMIT: Duration = Duration::from_secs(60);
const REPORT_EVERY: Duration = Duration::from_millis(100);

/// How long the server may take to answer. On shared processors, a writer or the server may stand still for longer than the
/// usual 300 ms, and should not go on without a lock for that.
const EXCHANGE_TIMEOUT: Duration = Duration::from_secs(5);

/// How long the releases that go on in the background may take in the end.
const FLUSH_LIMIT: Duration = Duration::from_secs(5);

/// The pause between two clicks.
const BETWEEN_CLICKS: Duration = Duration::from_millis(2);

/// A message of a process to the parent: one line of text each.
pub(crate) enum News {
    Ready,
    /// So many documents are committed, and so many computations thrown away, so far.
    Progress(usize, usize),
    Done(Work),
    Failed(String),
}

/// What a process has done.
#[derive(Debug, Default)]
pub(crate) struct Work {
    /// The processor time that it took.
    pub(crate) cpu: Duration,
    /// Bodies that ran without their lock, because memcached did not answer.
    pub(crate) unlocked: u64,
    pub(crate) entries: Vec<Entry>,
}

/// This program in the role of such a process.
pub(crate) fn program() -> PeerBuilder {
    Peer::of(ROLE)
}

/// Starts a process for a task; its documents are in this folder, and its locks on these servers.
pub(crate) fn start(program: PeerBuilder, task: &Task, queue: &Path, servers: &str) -> Peer {
    // The last variable is all that memlock needs.
    program
        .env(TASK, task.to_text())
        .env(QUEUE, queue)
        .env("MEMLOCK_SERVERS", servers)
        .start()
}

/// The parent of this process, if it is one of them.
pub(crate) fn role() -> Option<Parent> {
    Parent::of_role(ROLE)
}

/// Runs a process. Errors go to the parent, which reports them.
pub(crate) fn live(parent: Parent) -> ExitCode {
    let failed = |parent: &Parent, error: &dyn std::fmt::Display| {
        parent.say(&News::Failed(error.to_string()).to_line());
        ExitCode::FAILURE
    };
    let (task, store, locks) = match prepare() {
        Ok(prepared) => prepared,
        Err(error) => return failed(&parent, &error),
    };
    parent.say(&News::Ready.to_line());
    let _go: String = parent.hear(START_LIMIT);

    let before = processor_time();
    let diary = Diary::begin();
    let (parent, done) = match task.job {
        Job::Index => {
            let done = index(&task, &*store, &diary, &parent);
            (parent, done)
        }
        Job::Click => click(&*store, &diary, parent),
    };
    if let Err(error) = done {
        return failed(&parent, &error);
    }
    let work = Work {
        cpu: processor_time().saturating_sub(before),
        unlocked: locks.counts().soft_runs,
        entries: diary.into_entries(),
    };
    if !locks.flush(FLUSH_LIMIT) {
        return failed(&parent, &"some locks are left to the end of their leases");
    }
    parent.say(&News::Done(work).to_line());
    ExitCode::SUCCESS
}

fn prepare() -> Result<(Task, Box<dyn Store>, Locks)> {
    let task = Task::from_text(&env::var(TASK)?).ok_or("this is not a task")?;
    let store = task.place.open()?;
    // The attributes use these locks. They are kept here for their counts.
    let locks = Locks::builder().exchange_timeout(EXCHANGE_TIMEOUT).build()?;
    memlock::init(locks.clone())?;
    Ok((task, store, locks))
}

/// The work of a writer.
fn index(task: &Task, store: &dyn Store, diary: &Diary, parent: &Parent) -> Result<()> {
    let queue = Queue::open(env::var_os(QUEUE).ok_or("no queue is given")?.into());
    let paths = paths(task.catalogues);
    let mut reported = Instant::now();
    for document in queue.take(task.documents) {
        let document = document?;
        let path = &paths[document.catalogue(paths.len())];
        let catalog = Catalog::new(path, store, task.effort, diary);
        task.way.index(&catalog, &document)?;
        if reported.elapsed() >= REPORT_EVERY {
            reported = Instant::now();
            let progress = News::Progress(diary.count(Deed::Committed), diary.count(Deed::ThrewAway));
            parent.say(&progress.to_line());
        }
    }
    Ok(())
}

/// Clicks until the parent says that it is enough.
fn click(store: &dyn Store, diary: &Diary, parent: Parent) -> (Parent, Result<()>) {
    let stop = thread::spawn(move || {
        let _stop: String = parent.hear(Duration::MAX);
        parent
    });
    let mut done = Ok(());
    while done.is_ok() && !stop.is_finished() {
        thread::sleep(BETWEEN_CLICKS);
        diary.computes();
        done = store.click();
        diary.ended(&done);
    }
    let parent = stop.join().expect("it only listens");
    (parent, done.map_err(Into::into))
}

/// What this process has used so far, all threads together.
fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::try_from(time).expect("it is not negative")
}

impl News {
    fn to_line(&self) -> String {
        match self {
            Self::Ready => "ready".to_owned(),
            Self::Progress(committed, thrown_away) => format!("progress {committed} {thrown_away}"),
            Self::Done(work) => {
                let numbers = format!("done {} {}", work.cpu.as_micros(), work.unlocked);
                let entries = work.entries.iter().map(|entry| entry.to_text());
                [numbers].into_iter().chain(entries).collect::<Vec<_>>().join(" ")
            }
            Self::Failed(text) => format!("failed {}", text.replace('\n', " ")),
        }
    }

    pub(crate) fn from_line(line: &str) -> Result<Self> {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        let mut words = rest.split(' ');
        let mut number = || words.next().unwrap_or_default().parse::<u64>();
        Ok(match word {
            "ready" => Self::Ready,
            "progress" => Self::Progress(usize::try_from(number()?)?, usize::try_from(number()?)?),
            "done" => Self::Done(Work {
                cpu: Duration::from_micros(number()?),
                unlocked: number()?,
                entries: words.map(Entry::from_text).collect::<Option<_>>().ok_or("no entry")?,
            }),
            "failed" => Self::Failed(rest.to_owned()),
            _ => return Err(format!("a process said \"{line}\"").into()),
        })
    }
}
