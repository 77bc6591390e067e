//! The contest: the same documents, indexed in several ways by the same number of processes.

use std::path::PathBuf;
use std::time::{Duration, Instant};
use std::{env, fs, process};

use memlock_testkit::{Memcached, Peer, PeerBuilder};

use crate::Result;
use crate::process::{self as worker, News, Work};
use crate::progress::Progress;
use crate::queue::Queue;
use crate::run::Run;
use crate::setting::{Job, Place, Setting, Task, paths};
use crate::ways::Way;

/// How long a process is listened to before the next one gets its turn.
const LISTEN: Duration = Duration::from_millis(5);
/// How long nothing may happen: longer than a dead holder's lock lasts.
const SILENCE_LIMIT: Duration = Duration::from_secs(90);

/// A memcached, and a folder for the files.
pub(crate) struct Stage {
    memcached: Memcached,
    folder: Folder,
    /// This program in the role of a writer.
    program: fn() -> PeerBuilder,
}

impl Stage {
    pub(crate) fn set(name: &str, program: fn() -> PeerBuilder) -> Result<Self> {
        Ok(Self {
            memcached: Memcached::start_young(),
            folder: Folder::new(name)?,
            program,
        })
    }

    /// A database server of its own, for as long as it is kept.
    #[cfg(feature = "postgres")]
    pub(crate) fn start_postgres(&self) -> Result<memlock_testkit::Postgres> {
        // The data need not survive a power failure, and neither demo nor tests should measure the disk.
        let arguments = ["-c", "fsync=off"];
        let is_ready = |address: &str| crate::postgres::Postgres::open(address).is_ok();
        memlock_testkit::Postgres::start(&self.folder.0, &arguments, is_ready)
            .ok_or_else(|| "PostgreSQL is not installed: \"cargo xtask demo catalog-postgres\" does that".into())
    }

    /// A file for one run.
    pub(crate) fn file(&self, way: Way) -> Place {
        Place::File(self.folder.0.join(format!("{}.sqlite", way.name())))
    }

    /// All documents once, into new catalogues in that place.
    pub(crate) fn run(&self, way: Way, setting: Setting, place: &Place) -> Result<Run> {
        // memlock does not use a server in its first two seconds. A run without locks need not wait for that.
        if way.locks() {
            self.memcached.wait_until_usable();
        }
        let store = place.create(&paths(setting.catalogues))?;
        let queue = self.folder.0.join(format!("{}.queue", way.name()));
        Queue::create(&queue)?;
        let start = |job| {
            let task = Task {
                job,
                way,
                catalogues: setting.catalogues,
                documents: setting.documents,
                effort: setting.effort,
                place: place.clone(),
            };
            let peer = worker::start((self.program)(), &task, &queue, &self.memcached.address());
            Process::new(peer)
        };
        let mut writers: Vec<Process> = (0..setting.writers).map(|_| start(Job::Index)).collect();
        let mut clicker: Vec<Process> = setting.clicks.then(|| start(Job::Click)).into_iter().collect();
        listen(&mut writers, |writer| writer.is_ready, |_| {})?;
        listen(&mut clicker, |clicker| clicker.is_ready, |_| {})?;

        let mut progress = Progress::new(way.name(), setting.documents);
        let began = Instant::now();
        for process in writers.iter_mut().chain(&mut clicker) {
            process.peer.send("go");
        }
        listen(
            &mut writers,
            |writer| writer.work.is_some(),
            |writers| {
                let sum = |count: fn(&Process) -> usize| writers.iter().map(count).sum();
                progress.show(sum(|writer| writer.committed), sum(|writer| writer.thrown_away));
            },
        )?;
        let elapsed = began.elapsed();
        for clicker in &mut clicker {
            clicker.peer.send("stop");
        }
        listen(&mut clicker, |clicker| clicker.work.is_some(), |_| {})?;

        let run = Run {
            way,
            setting,
            elapsed,
            writers: writers.into_iter().filter_map(|writer| writer.work).collect(),
            clicker: clicker.into_iter().find_map(|clicker| clicker.work).unwrap_or_default(),
            counted: store.documents()?,
        };
        progress.finish(setting.documents as usize, run.thrown_away());
        Ok(run)
    }
}

/// A process, as the contest sees it.
struct Process {
    peer: Peer,
    is_ready: bool,
    committed: usize,
    thrown_away: usize,
    work: Option<Work>,
}

impl Process {
    fn new(peer: Peer) -> Self {
        Self {
            peer,
            is_ready: false,
            committed: 0,
            thrown_away: 0,
            work: None,
        }
    }

    fn learn(&mut self, news: News) -> Result<()> {
        match news {
            News::Ready => self.is_ready = true,
            News::Progress(committed, thrown_away) => (self.committed, self.thrown_away) = (committed, thrown_away),
            News::Done(work) => self.work = Some(work),
            News::Failed(why) => return Err(format!("a process failed: {why}").into()),
        }
        Ok(())
    }
}

/// Listens to all processes, and calls `heard` after each round, until `is_there` holds for all of them.
fn listen(
    processes: &mut [Process],
    is_there: impl Fn(&Process) -> bool,
    mut heard: impl FnMut(&[Process]),
) -> Result<()> {
    let mut last_news = Instant::now();
    while !processes.iter().all(&is_there) {
        for process in processes.iter_mut().filter(|process| !is_there(process)) {
            // Asked before reading from it: lines that it wrote before it ended still count.
            let has_ended = process.peer.has_ended();
            // On a busy machine its last lines may take a while to arrive. After them the end of the pipe is seen at once.
            let listen = if has_ended { SILENCE_LIMIT } else { LISTEN };
            match process.peer.next_line(listen) {
                Some(line) => {
                    process.learn(News::from_line(&line)?)?;
                    last_news = Instant::now();
                }
                None if has_ended => return Err("a process ended early".into()),
                None if last_news.elapsed() > SILENCE_LIMIT => return Err("no process gets anything done".into()),
                None => {}
            }
        }
        heard(processes);
    }
    Ok(())
}

/// A folder for the files of one contest, removed in the end.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Result<Self> {
        let path = env::temp_dir().join(format!("memlock-catalog-{name}-{}", process::id()));
        fs::create_dir_all(&path)?;
        Ok(Self(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // The system removes from its temporary folder what cannot be removed here.
        let _ = fs::remove_dir_all(&self.0);
    }
}
