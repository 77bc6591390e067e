//! The documents that are still to be indexed: whichever writer is free takes the next one.
//!
//! Not a share for each: writers who are done with theirs would leave the last ones without anybody to be in conflict with.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use crate::text::{Document, documents};

/// A folder, with a file for each document that is taken. Who manages to create the file has it.
#[derive(Debug)]
pub(crate) struct Queue {
    folder: PathBuf,
}

impl Queue {
    /// A new one, for other processes.
    pub(crate) fn create(folder: &Path) -> io::Result<()> {
        fs::create_dir(folder)
    }

    pub(crate) fn open(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// What of so many documents nobody else takes.
    pub(crate) fn take(&self, count: u32) -> impl Iterator<Item = io::Result<Document>> {
        documents(count).filter_map(|document| match self.is_mine(&document) {
            Ok(true) => Some(Ok(document)),
            Ok(false) => None,
            Err(error) => Some(Err(error)),
        })
    }

    fn is_mine(&self, document: &Document) -> io::Result<bool> {
        match File::create_new(self.folder.join(document.number.to_string())) {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
            Err(error) => Err(error),
        }
    }
}
