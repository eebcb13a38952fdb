//! What happens while it runs, as the user chose to see it: text or JSON, redrawn or line by line, loud or
//! quiet.

use crate::app::console::Shared;
use crate::app::logger::{self, Filter};
use crate::app::progress::Sum;
use crate::app::text::notes;
use crate::app::timetable::{Pace, Timetable};
use crate::app::torrents::Torrents;
use crate::app::{json, text};
use crate::base::Instant;
use crate::rim::Screen;
use crate::session::{Note, Report, Session, Status};
use std::sync::Arc;
use std::time::Duration;

/// What has a state to be shown: the session, and in tests whatever plays it.
pub trait Watched {
    /// [`Session::status`].
    fn status(&self, now: Instant) -> Status;
}

impl Watched for Session {
    fn status(&self, now: Instant) -> Status {
        Self::status(self, now)
    }
}

/// The user's side of a run.
#[derive(Debug)]
pub struct View {
    torrents: Arc<Torrents>,
    console: Shared,
    filter: Filter,
    json: bool,
    timetable: Timetable,
    /// How long each torrent took that is complete.
    took: Vec<Option<Duration>>,
}

impl View {
    /// A view of these torrents. `filter` says which news are wanted, `quiet` that no progress is.
    pub fn new(torrents: Arc<Torrents>, console: Shared, filter: Filter, json: bool, quiet: bool) -> Self {
        let pace = match (quiet, json, console.lock().redraws()) {
            (true, ..) => Pace::Silent,
            (_, true, _) => Pace::Objects,
            (.., true) => Pace::Redrawn,
            (.., false) => Pace::Lines,
        };
        let took = vec![None; torrents.len()];
        Self { torrents, console, filter, json, timetable: Timetable::new(pace), took }
    }

    /// How long torrent `index` took to complete, if it is complete and was not from the start.
    pub fn took(&self, index: usize) -> Option<Duration> {
        self.took.get(index).copied().flatten()
    }

    fn news(&mut self, note: &Note) {
        let level = logger::level_of(note.level());
        // Of a single torrent that ends with it, the summary that follows at once says the same.
        let is_said_later =
            matches!(note, Note::Complete { stays: false, .. }) && !self.json && self.torrents.len() == 1;
        if let Note::Complete { torrent, took, .. } = note
            && let Some(slot) = self.took.get_mut(torrent.0 as usize)
        {
            *slot = Some(*took);
        }
        if is_said_later || !self.filter.wants(logger::NEWS, level) {
            return;
        }
        let mut console = self.console.lock();
        if self.json {
            console.answer(&json::event(note, &self.torrents).end());
        } else {
            let line = logger::line(level, &notes::line(note, &self.torrents), console.colours());
            console.news(&line);
        }
    }
}

impl<M: Watched> Screen<M> for View {
    fn say(&mut self, _: Instant, report: &Report) {
        if let Report::Note(note) = report {
            return self.news(note);
        }
        let mut console = self.console.lock();
        if self.json {
            json::answer(report, &self.torrents).into_iter().for_each(|object| console.answer(&object.end()));
        } else if let Some(text) = text::answer(report, &self.torrents, console.answer_columns()) {
            console.answer(&text);
            self.timetable.forget();
        }
    }

    fn command_fault(&mut self, _: Instant, text: &str) {
        let mut console = self.console.lock();
        if self.json {
            console.answer(&json::Object::new("command_fault").text("text", text).end());
        } else {
            console.answer(&text::clean(text.as_bytes()));
            self.timetable.forget();
        }
    }

    fn refresh(&mut self, now: Instant, watched: &M) -> Option<Instant> {
        let due = self.timetable.due(now)?;
        if now < due {
            return Some(due);
        }
        let status = watched.status(now);
        let sum = Sum::of(&status);
        let (is_worth_it, again) = self.timetable.look(now, &sum);
        if is_worth_it {
            let mut console = self.console.lock();
            if self.json {
                console.offer(&json::progress(&status, &self.torrents).end());
            } else {
                let columns = console.columns();
                console.progress(&sum.line(columns));
            }
        }
        again
    }

    fn resized(&mut self) {
        self.console.lock().resized();
        self.timetable.forget();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::console::Console;
    use crate::base::TorrentId;

    struct Nothing;

    impl Watched for Nothing {
        fn status(&self, _: Instant) -> Status {
            unreachable!("who is quiet does not ask")
        }
    }

    #[test]
    fn a_quiet_view_never_asks_and_still_remembers_how_long_it_took() {
        let torrents = Arc::new(Torrents::samples(&["a"]));
        let console = Shared::new(Console::new(false));
        let mut view = View::new(torrents, console, Filter::chosen(true, 0, None), false, true);
        assert_eq!(view.refresh(Instant::from_micros(1), &Nothing), None);
        let took = Duration::from_secs(9);
        let note = Note::Complete { torrent: TorrentId(0), downloaded_bytes: 5, took, stays: false };
        Screen::<Nothing>::say(&mut view, Instant::ZERO, &Report::Note(note));
        assert_eq!((view.took(0), view.took(1)), (Some(took), None));
    }
}
