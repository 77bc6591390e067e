//! The documents that are still to be indexed: whichever writer is free takes the next one.
//!
//! There is no fixed share for each writer: the last writers at work would then have no conflicts.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use crate::text::{Document, documents};

/// A folder, with a file for each document that is taken. The process that creates the file has the document.
#[derive(Debug)]
pub(crate) struct Queue {
    folder: PathBuf,
}

impl Queue {
    /// Makes the folder, for other processes.
    pub(crate) fn create(folder: &Path) -> io::Result<()> {
        fs::create_dir(folder)
    }

    pub(crate) fn open(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// Takes those of `count` documents that no other process takes.
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
