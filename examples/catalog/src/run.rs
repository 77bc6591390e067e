//! The results of one run, in numbers.

use std::mem;
use std::time::Duration;

use crate::diary::{Deed, Entry};
use crate::process::Work;
use crate::setting::Setting;
use crate::ways::Way;

/// All documents, indexed in one way.
pub(crate) struct Run {
    pub(crate) way: Way,
    pub(crate) setting: Setting,
    pub(crate) elapsed: Duration,
    pub(crate) writers: Vec<Work>,
    pub(crate) clicker: Work,
    /// How many documents the catalogues count, by their own account.
    pub(crate) counted: u32,
}

impl Run {
    /// Computations that were begun.
    pub(crate) fn started(&self) -> usize {
        self.committed() + self.thrown_away()
    }

    /// Computations that ended in a conflict.
    pub(crate) fn thrown_away(&self) -> usize {
        self.count(Deed::ThrewAway)
    }

    pub(crate) fn committed(&self) -> usize {
        self.count(Deed::Committed)
    }

    fn count(&self, deed: Deed) -> usize {
        let entries = self.writers.iter().flat_map(|writer| &writer.entries);
        entries.filter(|entry| entry.deed == deed).count()
    }

    /// The percentage of computations that were thrown away.
    pub(crate) fn percent_thrown_away(&self) -> usize {
        (100 * self.thrown_away()).div_ceil(self.started().max(1))
    }

    /// Documents that were committed, and are missing from the catalogues.
    pub(crate) fn lost_updates(&self) -> i64 {
        i64::from(self.setting.documents) - i64::from(self.counted)
    }

    /// Bodies that ran without their lock.
    pub(crate) fn unlocked(&self) -> u64 {
        self.writers.iter().map(|writer| writer.unlocked).sum()
    }

    /// The processor time that the writers used; not that of the servers.
    pub(crate) fn cpu_per_document(&self) -> Duration {
        self.writers.iter().map(|writer| writer.cpu).sum::<Duration>() / self.setting.documents
    }

    /// The time within which `percent` of the documents were done, from when a writer took one until it was committed.
    pub(crate) fn latency(&self, percent: usize) -> Duration {
        let times = self.writers.iter().flat_map(|writer| between_commits(&writer.entries));
        within(percent, times.collect())
    }

    /// How many clicks were committed while all writers were at work. After the first writer has found no more documents,
    /// there is less and less to wait for, so later clicks do not count.
    pub(crate) fn clicks(&self) -> usize {
        self.click_times().len()
    }

    pub(crate) fn click_latency(&self, percent: usize) -> Duration {
        within(percent, self.click_times())
    }

    fn click_times(&self) -> Vec<Duration> {
        let ends = self.writers.iter().filter_map(|writer| Some(writer.entries.last()?.to));
        let first_end = ends.min().unwrap_or_default();
        let clicks = self
            .clicker
            .entries
            .iter()
            .filter(|entry| entry.deed == Deed::Committed);
        clicks.filter(|entry| entry.from < first_end).map(Entry::took).collect()
    }
}

/// A writer takes up a document when it is done with the one before.
fn between_commits(entries: &[Entry]) -> Vec<Duration> {
    let mut last = Duration::ZERO;
    let commits = entries.iter().filter(|entry| entry.deed == Deed::Committed);
    commits
        .map(|entry| entry.to.saturating_sub(mem::replace(&mut last, entry.to)))
        .collect()
}

/// The time within which `percent` of them were done.
fn within(percent: usize, mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    let rank = (times.len() * percent).div_ceil(100).max(1) - 1;
    times.get(rank).copied().unwrap_or_default()
}
