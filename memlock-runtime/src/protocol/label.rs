//! [`Label`]: the holder's name for people to read, in the lock's item, in errors and in warnings.

use std::fmt;
use std::sync::Arc;

use crate::text::shown::Shown;

/// The host and process of a holder, and its function. They are joined only when the label is displayed. Empty where
/// labels are switched off.
#[derive(Clone, PartialEq, Eq, Hash, Default)]
pub struct Label {
    process: Arc<str>,
    function: &'static str,
}

impl Label {
    /// Returns the label of `function` in `process`. If the process has no name, the function is left out, too.
    pub(crate) fn new(process: &Arc<str>, function: &'static str) -> Label {
        Label {
            process: Arc::clone(process),
            function: if process.is_empty() { "" } else { function },
        }
    }

    /// The parts of the label, in order.
    pub(crate) fn parts(&self) -> [&str; 3] {
        let space = if self.function.is_empty() { "" } else { " " };
        [&self.process, space, self.function]
    }

    /// Whether the label is empty.
    pub fn is_empty(&self) -> bool {
        self.process.is_empty()
    }
}

impl<T: Into<Arc<str>>> From<T> for Label {
    fn from(text: T) -> Label {
        Label {
            process: text.into(),
            function: "",
        }
    }
}

impl fmt::Display for Label {
    /// Displays the label escaped and shortened, since another process may have written it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [process, space, function] = self.parts();
        fmt::Display::fmt(&Shown::new(format_args!("{process}{space}{function}")), f)
    }
}

impl fmt::Debug for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Label(\"{self}\")")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_joins_the_process_and_the_function() {
        assert_eq!(Label::new(&"host:7".into(), "app::pay").to_string(), "host:7 app::pay");
        assert_eq!(Label::new(&"host:7".into(), "").to_string(), "host:7");
        assert_eq!(Label::new(&"".into(), "app::pay"), Label::default());
        assert!(Label::default().is_empty());
    }

    #[test]
    fn a_label_of_another_process_is_shown_escaped_and_short() {
        let label = Label::from(format!("host\u{1b}[2J\r\n\u{202e}{}", "x".repeat(60_000)));
        for shown in [label.to_string(), format!("{label:?}")] {
            assert!(shown.contains("host\\u{1b}[2J\\r\\n\\u{202e}xxx"), "{shown}");
            assert!(shown.len() < 300, "{} bytes", shown.len());
        }
    }
}
