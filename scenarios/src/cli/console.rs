//! The streams of a command: what may fail about them, and what may not.

use super::{Color, Complaint};
use serde::Serialize;
use squall_ci::Exit;
use std::ffi::OsString;
use std::io::{self, IsTerminal, Write};
use std::path::MAIN_SEPARATOR;

/// Lines longer than this are hard to read, however wide the terminal.
const WIDTH_MAX: usize = 160;
/// Below this, tables are cut by the terminal rather than by us.
const WIDTH_MIN: usize = 60;
/// Where nobody says how wide it is.
const WIDTH: usize = 100;

/// What the program is called where it is on the PATH.
const PROGRAM: &str = "squall";

/// Stdout, stderr, and what is known about them.
pub struct Console<'a> {
    out: Box<dyn Write + 'a>,
    err: Box<dyn Write + 'a>,
    width: usize,
    auto_color: bool,
    color: bool,
    live: bool,
    broken: bool,
    program: String,
}

impl Console<'static> {
    /// The process's own.
    pub fn of_process() -> Console<'static> {
        let out = io::stdout();
        let auto = anstream::AutoStream::choice(&out);
        let auto_color = auto != anstream::ColorChoice::Never;
        Console {
            width: width(),
            auto_color,
            color: auto_color,
            live: io::stderr().is_terminal(),
            broken: false,
            program: PROGRAM.into(),
            out: Box::new(out),
            err: Box::new(io::stderr()),
        }
    }
}

impl<'a> Console<'a> {
    /// Plain streams of a given width: no terminal, no colour.
    pub fn plain(out: impl Write + 'a, err: impl Write + 'a, width: usize) -> Console<'a> {
        Console {
            out: Box::new(out),
            err: Box::new(err),
            width,
            auto_color: false,
            color: false,
            live: false,
            broken: false,
            program: PROGRAM.into(),
        }
    }

    pub(super) fn set_color(&mut self, color: Color) {
        self.color = match color {
            Color::Auto => self.auto_color,
            Color::Always => true,
            Color::Never => false,
        };
    }

    /// Takes the word by which the program was called. Where that is a path,
    /// lines to copy begin with it: the name alone would not be found.
    pub(super) fn set_program(&mut self, word: Option<&OsString>) {
        let word = word.and_then(|word| word.to_str()).unwrap_or(PROGRAM);
        let path = word.contains(MAIN_SEPARATOR);
        self.program = if path { quoted(word) } else { PROGRAM.into() };
    }

    /// How to call the program.
    pub(super) fn program(&self) -> &str {
        &self.program
    }

    /// Columns to draw in.
    pub(super) fn width(&self) -> usize {
        self.width
    }

    /// Whether somebody watches stderr.
    pub(super) fn live(&self) -> bool {
        self.live
    }

    /// Data, to stdout. Nobody reading it any more is no error; anything else
    /// is said once and changes no verdict.
    pub(super) fn print(&mut self, text: &str) {
        if self.broken {
            return;
        }
        let written = if self.color {
            self.out.write_all(text.as_bytes())
        } else {
            let plain = anstream::adapter::strip_str(text).to_string();
            self.out.write_all(plain.as_bytes())
        };
        if let Err(e) = written.and_then(|()| self.out.flush()) {
            self.broken = true;
            if e.kind() != io::ErrorKind::BrokenPipe {
                self.warn(&format!("cannot write to stdout: {e}"));
            }
        }
    }

    /// One JSON document, to stdout.
    pub(super) fn json(&mut self, value: &impl Serialize) -> Result<(), Complaint> {
        let text = serde_json::to_string_pretty(value).map_err(|e| Complaint {
            exit: Exit::Internal,
            text: format!("cannot be written as JSON: {e}"),
        })?;
        self.print(&text);
        self.print("\n");
        Ok(())
    }

    /// Narration, to stderr, as it is. It may get lost.
    pub(super) fn narrate(&mut self, text: &str) {
        let _ = self.err.write_all(text.as_bytes());
        let _ = self.err.flush();
    }

    /// Something that changes no verdict.
    pub(super) fn warn(&mut self, text: &str) {
        self.narrate(&format!("squall: warning: {text}\n"));
    }

    /// Why there is no result.
    pub(super) fn complain(&mut self, text: &str) {
        self.narrate(&format!("squall: {text}\n"));
    }
}

/// A word of a shell's command line.
pub(super) fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,+@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

/// Narration from where no console is at hand: a signal handler.
pub(super) fn narrate(text: &str) {
    let _ = writeln!(io::stderr(), "{text}");
}

fn width() -> usize {
    let terminal = terminal_size::terminal_size().map(|(width, _)| usize::from(width.0));
    let told = || std::env::var("COLUMNS").ok()?.parse().ok();
    terminal
        .or_else(told)
        .unwrap_or(WIDTH)
        .clamp(WIDTH_MIN, WIDTH_MAX)
}
