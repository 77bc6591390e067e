//! Tables, for people and (as JSON lines) for programs.

use serde_json::{Map, Value, json};

/// One table of a contest.
#[derive(Debug)]
pub(crate) struct Table {
    /// The name for programs: `tasks/multi-thread`.
    name: &'static str,
    title: String,
    columns: Vec<String>,
    rows: Vec<(String, Vec<Cell>)>,
    notes: Vec<String>,
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum Cell {
    /// No value for this contestant.
    Empty,
    /// A number, and how many of its decimals are significant.
    Number(f64, usize),
    /// The quartiles of many rounds, and how many of their decimals are significant.
    Spread([f64; 3], usize),
    /// From one number to another, and how many of their decimals are significant.
    Range([f64; 2], usize),
}

impl Table {
    pub(crate) fn new<C: ToString>(
        name: &'static str,
        title: impl Into<String>,
        columns: impl IntoIterator<Item = C>,
    ) -> Table {
        Table {
            name,
            title: title.into(),
            columns: columns.into_iter().map(|column| column.to_string()).collect(),
            rows: Vec::new(),
            notes: Vec::new(),
        }
    }

    pub(crate) fn row(&mut self, contestant: impl Into<String>, cells: impl IntoIterator<Item = Cell>) {
        self.rows.push((contestant.into(), cells.into_iter().collect()));
    }

    /// A sentence that stands below the table.
    pub(crate) fn note(&mut self, note: impl Into<String>) {
        self.notes.push(note.into());
    }

    pub(crate) fn print(&self) {
        let texts: Vec<Vec<String>> = self
            .rows
            .iter()
            .map(|(_, cells)| cells.iter().map(Cell::text).collect())
            .collect();
        let widths: Vec<usize> = self
            .columns
            .iter()
            .enumerate()
            .map(|(index, column)| {
                let cells = texts.iter().filter_map(|row| row.get(index)).map(String::len);
                cells.chain([column.len()]).max().unwrap_or(0) + 2
            })
            .collect();
        let line = |cells: &[String]| -> String {
            let padded = cells.iter().zip(&widths).map(|(cell, width)| format!("{cell:>width$}"));
            padded.collect()
        };
        let first = self.rows.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
        println!("{}", self.title);
        println!("{:<first$}{}", "", line(&self.columns));
        for ((name, _), cells) in self.rows.iter().zip(&texts) {
            println!("{name:<first$}{}", line(cells));
        }
        for note in &self.notes {
            println!("{note}");
        }
        println!();
    }

    /// One line for each row.
    pub(crate) fn lines(&self) -> impl Iterator<Item = Value> + '_ {
        self.rows.iter().map(|(contestant, cells)| {
            let values: Map<String, Value> = self
                .columns
                .iter()
                .zip(cells)
                .map(|(column, cell)| (column.clone(), cell.value()))
                .collect();
            json!({ "table": self.name, "contestant": contestant, "values": values })
        })
    }
}

impl Cell {
    fn text(&self) -> String {
        match self {
            Cell::Empty => "-".to_owned(),
            Cell::Number(value, _) if value.is_nan() => "-".to_owned(),
            Cell::Number(value, decimals) => format!("{value:.decimals$}"),
            Cell::Spread([low, median, high], decimals) => {
                format!("{median:.decimals$} ({low:.decimals$} to {high:.decimals$})")
            }
            Cell::Range([from, to], decimals) => format!("{from:.decimals$} to {to:.decimals$}"),
        }
    }

    fn value(&self) -> Value {
        match self {
            Cell::Empty => Value::Null,
            Cell::Number(value, _) => json!(value),
            Cell::Spread([low, median, high], _) => json!({ "median": median, "low": low, "high": high }),
            Cell::Range([from, to], _) => json!({ "from": from, "to": to }),
        }
    }
}
