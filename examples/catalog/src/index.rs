//! The inverted index of a catalogue: which word is in which document, and how much a word and a document weigh.
//!
//! It is stored as a whole, as an object database stores an object: a writer reads it, changes it and writes it back.

use std::collections::BTreeMap;
use std::fmt::Write as _;

/// The contents of a catalogue.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Index {
    words: BTreeMap<String, Word>,
    /// How many documents there are. A lost update would show here.
    documents: u32,
}

#[derive(Debug, Default, PartialEq)]
struct Word {
    weight: f64,
    /// The documents that it is in, and how often.
    places: Vec<(u32, u32)>,
}

impl Index {
    pub(crate) fn documents(&self) -> u32 {
        self.documents
    }

    /// Adds a document by its words.
    pub(crate) fn add(&mut self, document: u32, words: impl Iterator<Item = String>) {
        for word in words {
            let places = &mut self.words.entry(word).or_default().places;
            match places.last_mut() {
                Some((last, count)) if *last == document => *count += 1,
                _ => places.push((document, 1)),
            }
        }
        self.documents += 1;
    }

    /// Weighs all words anew: a word weighs as much as the documents that it is in, and a document as much as its words,
    /// so each new document changes the weight of all. The number of rounds is such that about `steps` steps from a word to
    /// a document are made. So the cost can be chosen, and does not depend on how full the catalogue is.
    pub(crate) fn weigh(&mut self, steps: u32) {
        let places: usize = self.words.values().map(|word| word.places.len()).sum();
        let rounds = (steps as usize).div_ceil(places.max(1));
        for word in self.words.values_mut() {
            word.weight = 1.0;
        }
        for _ in 0..rounds {
            let documents = self.weights_of_documents();
            for word in self.words.values_mut() {
                let weight = |(document, count): &(u32, u32)| documents[document] * f64::from(*count);
                // Divided by the number of places. Otherwise the most frequent words would weigh most.
                let count = u32::try_from(word.places.len()).unwrap_or(u32::MAX);
                word.weight = word.places.iter().map(weight).sum::<f64>() / f64::from(count);
            }
        }
    }

    /// The weights of the documents. Their sum is 1.
    fn weights_of_documents(&self) -> BTreeMap<u32, f64> {
        let mut weights = BTreeMap::new();
        for word in self.words.values() {
            for (document, count) in &word.places {
                *weights.entry(*document).or_default() += word.weight * f64::from(*count);
            }
        }
        let sum: f64 = weights.values().sum();
        for weight in weights.values_mut() {
            *weight /= sum;
        }
        weights
    }

    /// Input: a line with the number of documents, then a line for each word. Output of [`Index::to_text`].
    pub(crate) fn from_text(text: &str) -> Option<Self> {
        let mut lines = text.lines();
        let documents = lines.next()?.parse().ok()?;
        let words = lines.map(|line| {
            let mut parts = line.split(' ');
            let (word, weight) = (parts.next()?.to_owned(), parts.next()?.parse().ok()?);
            let places = parts.map(|part| {
                let (document, count) = part.split_once(':')?;
                Some((document.parse().ok()?, count.parse().ok()?))
            });
            let places = places.collect::<Option<_>>()?;
            Some((word, Word { weight, places }))
        });
        Some(Self {
            words: words.collect::<Option<_>>()?,
            documents,
        })
    }

    /// Output: `2`, `lock 0.25 0:3 1:1`, `process 0.125 1:2`, each on a line.
    pub(crate) fn to_text(&self) -> String {
        let mut text = self.documents.to_string();
        for (name, word) in &self.words {
            // Writing to a text cannot fail.
            let _ = write!(text, "\n{name} {}", word.weight);
            for (document, count) in &word.places {
                let _ = write!(text, " {document}:{count}");
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::Index;

    fn index_of(documents: &[&str]) -> Index {
        let mut index = Index::default();
        for (number, document) in (0..).zip(documents) {
            index.add(number, document.split(' ').map(str::to_owned));
        }
        index
    }

    #[test]
    fn an_index_survives_being_stored() {
        let mut index = index_of(&["lock the lock", "the process"]);
        index.weigh(100);
        let text = index.to_text();
        assert_eq!(text.lines().count(), 4, "{text}");
        assert_eq!(Index::from_text(&text), Some(index));
        assert_eq!(Index::from_text(&Index::default().to_text()), Some(Index::default()));
    }

    #[test]
    fn a_text_that_is_not_an_index_is_refused() {
        for text in ["", "two", "1\nlock", "1\nlock much", "1\nlock 0.5 3", "1\nlock 0.5 3:x"] {
            assert_eq!(Index::from_text(text), None, "{text}");
        }
    }

    #[test]
    fn a_new_document_changes_the_weight_of_words_that_it_does_not_have() {
        let mut before = index_of(&["lock the process", "the end"]);
        let mut after = index_of(&["lock the process", "the end", "process process end"]);
        before.weigh(100);
        after.weigh(100);
        let weight = |index: &Index| index.words["lock"].weight;
        assert!((weight(&before) - weight(&after)).abs() > 0.01);
    }
}
