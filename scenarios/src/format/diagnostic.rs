//! Errors that point at their place, printed as a compiler prints them.

use std::fmt;
use std::ops::Range;

/// One thing that is wrong with a text, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// What the text is called: a path, or `--set`.
    pub source: String,
    /// The line, from 1. 0 if the trouble is not in the text.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
    /// What is wrong.
    pub message: String,
    /// What was expected instead; may be empty.
    pub expected: String,
    /// What else helps, a line each.
    pub notes: Vec<String>,
    /// The line's text, up to where it is worth showing.
    excerpt: String,
    /// How many characters are underlined.
    width: usize,
}

impl Diagnostic {
    /// Something wrong at the bytes `span` of `text`.
    pub(crate) fn new(
        source: &str,
        text: &str,
        span: Range<usize>,
        message: String,
        expected: String,
    ) -> Diagnostic {
        let start = floor_boundary(text, span.start);
        let line_start = text[..start].rfind('\n').map_or(0, |at| at + 1);
        let line_end = text[start..].find('\n').map_or(text.len(), |at| start + at);
        let excerpt = text[line_start..line_end].trim_end_matches('\r');
        let end = floor_boundary(text, span.end).min(line_start + excerpt.len());
        let width = text
            .get(start..end)
            .map_or(0, |shown| shown.chars().count());
        Diagnostic {
            source: source.into(),
            line: text[..line_start].matches('\n').count() + 1,
            column: text[line_start..start].chars().count() + 1,
            message,
            expected,
            notes: Vec::new(),
            excerpt: excerpt.into(),
            width: width.max(1),
        }
    }

    /// Something wrong with a source as a whole.
    pub(crate) fn of_source(source: &str, message: String) -> Diagnostic {
        Diagnostic {
            source: source.into(),
            line: 0,
            column: 0,
            message,
            expected: String::new(),
            notes: Vec::new(),
            excerpt: String::new(),
            width: 0,
        }
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Diagnostic {
            source,
            line,
            column,
            message,
            expected,
            notes,
            excerpt,
            width,
        } = self;
        if *line == 0 {
            return write!(f, "{source}: {message}");
        }
        let margin = " ".repeat(line.to_string().len());
        // Tabs stay tabs, so that the caret stands where the terminal puts the text.
        let indent: String = excerpt
            .chars()
            .take(column - 1)
            .map(|c| if c == '\t' { '\t' } else { ' ' })
            .collect();
        let shown: String = excerpt
            .chars()
            .map(|c| {
                if c.is_control() && c != '\t' {
                    '\u{fffd}'
                } else {
                    c
                }
            })
            .collect();
        writeln!(f, "{source}:{line}:{column}: {message}")?;
        writeln!(f, "{margin} |")?;
        writeln!(f, "{line} | {shown}")?;
        write!(f, "{margin} | {indent}{}", "^".repeat(*width))?;
        if !expected.is_empty() {
            write!(f, " {expected}")?;
        }
        for note in notes {
            write!(f, "\n{margin} = {note}")?;
        }
        Ok(())
    }
}

/// The start of the character that `at` falls into.
fn floor_boundary(text: &str, at: usize) -> usize {
    let mut at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}
