//! Columns that fit, and paragraphs that wrap.

use crate::style::{DIM, paint, printable};
use std::fmt::Write as _;

/// How narrow a column may be made, in characters.
const SHRUNK_MIN: usize = 16;
const GAP: &str = "  ";

/// A column of a table.
pub struct Column {
    head: &'static str,
    align: Align,
    /// What it does when the table is too wide.
    yields: Yields,
}

/// How a column gives way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Yields {
    Never,
    Cut,
    Wrap,
}

enum Align {
    Left,
    Right,
}

impl Column {
    /// A column whose cells stand on the left.
    pub const fn left(head: &'static str) -> Column {
        Column {
            head,
            align: Align::Left,
            yields: Yields::Never,
        }
    }

    /// A column of numbers.
    pub const fn right(head: &'static str) -> Column {
        Column {
            head,
            align: Align::Right,
            yields: Yields::Never,
        }
    }

    /// The same, but cut when the table is too wide.
    #[must_use]
    pub const fn shrinking(mut self) -> Column {
        self.yields = Yields::Cut;
        self
    }

    /// The same, but wrapped when the table is too wide. For the last column.
    #[must_use]
    pub const fn wrapping(mut self) -> Column {
        self.yields = Yields::Wrap;
        self
    }
}

/// Draws rows under headings, indented by two, at most `width` wide as far as
/// shrinking columns allow. Cells that are cut end in `…`.
pub fn table(out: &mut String, columns: &[Column], rows: &[Vec<String>], width: usize) {
    draw(out, columns, rows, &[], width);
}

/// The same, with a note under each row, which takes the whole width.
pub fn table_with_notes(
    out: &mut String,
    columns: &[Column],
    rows: &[(Vec<String>, String)],
    width: usize,
) {
    let (rows, notes): (Vec<_>, Vec<_>) = rows.iter().cloned().unzip();
    draw(out, columns, &rows, &notes, width);
}

fn draw(
    out: &mut String,
    columns: &[Column],
    rows: &[Vec<String>],
    notes: &[String],
    width: usize,
) {
    let rows: Vec<Vec<String>> = rows
        .iter()
        .map(|row| row.iter().map(|cell| printable(cell)).collect())
        .collect();
    let mut widths: Vec<usize> = columns
        .iter()
        .enumerate()
        .map(|(i, column)| {
            let cells = rows.iter().map(|row| length(&row[i]));
            cells.chain([length(column.head)]).max().unwrap_or(0)
        })
        .collect();
    let gaps = GAP.len() * columns.len();
    while widths.iter().sum::<usize>() + gaps > width {
        let widest = (0..columns.len())
            .filter(|&i| columns[i].yields != Yields::Never && widths[i] > SHRUNK_MIN)
            .max_by_key(|&i| widths[i]);
        match widest {
            Some(i) => widths[i] -= 1,
            None => break,
        }
    }
    let heads: Vec<String> = columns.iter().map(|c| c.head.to_owned()).collect();
    let _ = writeln!(out, "{}", paint(DIM, line(columns, &widths, &heads)));
    let wraps = columns.last().is_some_and(|c| c.yields == Yields::Wrap);
    for (n, row) in rows.iter().enumerate() {
        match (row.split_last(), columns.split_last()) {
            (Some((last, cells)), Some((_, before))) if wraps => {
                let text = line(before, &widths, cells);
                let indent: usize = widths[..before.len()].iter().map(|w| w + GAP.len()).sum();
                match last.as_str() {
                    "" => {
                        let _ = writeln!(out, "{text}");
                    }
                    last => wrap(out, &format!("{text:<indent$}{GAP}"), last, width),
                }
            }
            _ => {
                let _ = writeln!(out, "{}", line(columns, &widths, row));
            }
        }
        if let Some(note) = notes.get(n) {
            wrap(out, &GAP.repeat(2), note, width);
        }
    }
}

fn line(columns: &[Column], widths: &[usize], cells: &[String]) -> String {
    let mut out = String::new();
    for ((column, &width), cell) in columns.iter().zip(widths).zip(cells) {
        let cell = cut(cell, width);
        out.push_str(GAP);
        let _ = match column.align {
            Align::Left => write!(out, "{cell:<width$}"),
            Align::Right => write!(out, "{cell:>width$}"),
        };
    }
    out.truncate(out.trim_end().len());
    out
}

fn length(text: &str) -> usize {
    text.chars().count()
}

/// `text`, at most `width` characters long.
pub(crate) fn cut(text: &str, width: usize) -> String {
    if length(text) <= width {
        return text.to_owned();
    }
    let mut out: String = text.chars().take(width.saturating_sub(1)).collect();
    out.push('…');
    out
}

/// Wraps `text` between words. The first line begins with `first`, all others
/// with as many spaces.
pub(crate) fn wrap(out: &mut String, first: &str, text: &str, width: usize) {
    let indent = length(first);
    let room = width.saturating_sub(indent).max(20);
    let mut prefix = first.to_owned();
    for paragraph in printable(text).lines() {
        let mut line = String::new();
        for word in paragraph.split(' ') {
            if !line.is_empty() && length(&line) + 1 + length(word) > room {
                let _ = writeln!(out, "{}", format!("{prefix}{line}").trim_end());
                prefix = " ".repeat(indent);
                line.clear();
            }
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
        let _ = writeln!(out, "{}", format!("{prefix}{line}").trim_end());
        prefix = " ".repeat(indent);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wide_column_gives_way_and_says_so() {
        let columns = [Column::right("op"), Column::left("operation").shrinking()];
        let rows = [vec![
            "#1".to_owned(),
            "put k3 = \"a long value\"".to_owned(),
        ]];
        let mut out = String::new();
        table(&mut out, &columns, &rows, 24);
        let row = out.lines().nth(1).unwrap();
        assert_eq!(row, "  #1  put k3 = \"a long …");
        out.clear();
        table(&mut out, &columns, &rows, 80);
        assert!(out.contains("a long value"), "{out}");
    }

    #[test]
    fn a_column_of_prose_wraps_under_itself() {
        let columns = [Column::right("op"), Column::left("about").wrapping()];
        let rows = [vec![
            "#1".to_owned(),
            "one two three four five six".to_owned(),
        ]];
        let mut out = String::new();
        table(&mut out, &columns, &rows, 26);
        let body: Vec<&str> = out.lines().skip(1).collect();
        assert_eq!(body, ["  #1  one two three four", "      five six"]);
    }

    #[test]
    fn a_row_whose_last_cell_is_empty_is_a_row() {
        let columns = [Column::right("op"), Column::left("about").wrapping()];
        let rows = [vec!["#1".to_owned(), String::new()]];
        let mut out = String::new();
        table(&mut out, &columns, &rows, 26);
        assert_eq!(out.lines().nth(1), Some("  #1"));
    }

    #[test]
    fn a_note_stands_under_its_row_and_takes_the_whole_width() {
        let columns = [Column::right("op"), Column::left("about").wrapping()];
        let note = "a note that is longer than one line".to_owned();
        let rows = [(vec!["#1".to_owned(), "get".to_owned()], note)];
        let mut out = String::new();
        table_with_notes(&mut out, &columns, &rows, 28);
        let body: Vec<&str> = out.lines().skip(1).collect();
        let notes = ["    a note that is longer", "    than one line"];
        assert_eq!(body, ["  #1  get", notes[0], notes[1]]);
    }

    #[test]
    fn paragraphs_hang_under_their_first_word() {
        let mut out = String::new();
        wrap(&mut out, "n2  ", "one two three four five six seven", 24);
        assert_eq!(out, "n2  one two three four\n    five six seven\n");
    }
}
