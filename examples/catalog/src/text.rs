//! The documents: this project's own texts, cut into passages.

use fastrand::Rng;

const SOURCES: [&str; 5] = [
    include_str!("../../../LICENSE-APACHE"),
    include_str!("../../../README.md"),
    include_str!("../../../docs/safety.md"),
    include_str!("../../../docs/choosing.md"),
    include_str!("../../../memlock-macros/docs/attribute.md"),
];

/// About a paragraph.
const WORDS_PER_PASSAGE: usize = 50;

/// A passage that can be found by its words.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Document {
    pub(crate) number: u32,
    text: String,
}

impl Document {
    /// Its words, as an index knows them.
    pub(crate) fn words(&self) -> impl Iterator<Item = String> {
        self.text
            .split(|letter: char| !letter.is_alphabetic())
            .filter(|word| word.len() > 1)
            .map(str::to_lowercase)
    }

    /// Which of so many catalogues it goes to: the same one in each run, in a random order, so that writers do not fall
    /// into step.
    pub(crate) fn catalogue(&self, catalogues: usize) -> usize {
        Rng::with_seed(u64::from(self.number)).usize(..catalogues)
    }
}

/// So many documents; the texts begin again when they are through.
pub(crate) fn documents(count: u32) -> impl Iterator<Item = Document> {
    let passages: Vec<String> = SOURCES.iter().flat_map(|source| passages(source)).collect();
    (0..count)
        .zip(passages.into_iter().cycle())
        .map(|(number, text)| Document { number, text })
}

fn passages(text: &str) -> Vec<String> {
    let words: Vec<&str> = text.split_whitespace().collect();
    words
        .chunks(WORDS_PER_PASSAGE)
        .map(|passage| passage.join(" "))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::documents;

    #[test]
    fn there_are_as_many_documents_as_asked_for_and_all_have_words() {
        let documents: Vec<_> = documents(1000).collect();
        assert_eq!(documents.len(), 1000);
        for document in documents {
            assert!(document.words().next().is_some(), "{document:?}");
        }
    }
}
