//! A table that fills the terminal (`toa-tc top`).

mod columns;
mod full_screen;
mod keys;
mod rates;
mod view;

use std::{
    io::{self, BufWriter},
    sync::mpsc::Receiver,
    time::{Duration, Instant},
};

use anyhow::Result;
use ratatui::{
    Terminal, TerminalOptions, Viewport,
    backend::CrosstermBackend,
    layout::{Rect, Size},
};
use toa_userspace::{
    ledger::losses::Loss,
    live::host::clock,
    print::{
        count::{Count, plural},
        group_by::shown,
        summary_table::{Counts, Row, SummaryTable},
    },
};
use tokio::sync::oneshot;

use columns::Column;
use full_screen::FullScreen;
use keys::Key;
use rates::Rates;
use view::{Around, Body, Cells};

use crate::{format::age, stderr, stdout::Stdout, terminal};

/// Time between two updates without a key.
const INTERVAL: Duration = Duration::from_secs(1);

/// How long a message is shown.
const MESSAGE_TIME: Duration = Duration::from_secs(60);

/// The orders, which `s` selects in turn.
const ORDERS: [Column; 3] = [Column::Requests, Column::Rate, Column::LastSeen];

/// What a run keeps: the terminal, and what receives the wish to end.
#[derive(Debug)]
pub(crate) struct Session {
    quit: oneshot::Receiver<()>,
    _screen: FullScreen,
}

impl Session {
    /// Waits until a key asks for the end.
    pub(crate) async fn quit(&mut self) {
        // If keys cannot be read, the run goes on.
        if (&mut self.quit).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

/// What draws the table.
pub(crate) struct Top {
    terminal: Terminal<CrosstermBackend<BufWriter<Stdout>>>,
    size: Size,
    title: String,
    keys: Receiver<Key>,
    start: Instant,
    updated: Option<Instant>,
    rates: Rates,
    /// What was lost, by reason, with the sum of each.
    lost: Vec<(Loss, u64)>,
    /// Position in [`ORDERS`].
    order: usize,
    /// Number of rows above those that are shown.
    above: usize,
    /// Number of rows on a page.
    page: usize,
    /// How far the wall clock is ahead of what it was at the start.
    shift_ns: i64,
}

/// Takes over the terminal. `title` says what the run is attached to and watches.
pub(crate) fn open(title: String, stdout: Stdout) -> Result<(Session, Top)> {
    let screen = FullScreen::enter()?;
    let (keys, quit) = keys::start()?;
    let options = TerminalOptions { viewport: Viewport::Fixed(Rect::default()) };
    let backend = CrosstermBackend::new(BufWriter::new(stdout));
    let start = Instant::now();
    let top = Top {
        terminal: Terminal::with_options(backend, options)?,
        size: Size::default(),
        title,
        keys,
        start,
        updated: None,
        rates: Rates::new(start),
        lost: Vec::new(),
        order: 0,
        above: 0,
        page: 0,
        shift_ns: 0,
    };
    Ok((Session { quit, _screen: screen }, top))
}

impl Top {
    /// Adds `ns` nanoseconds to the times of the table from now on.
    pub(crate) fn shift_times(&mut self, ns: i64) {
        self.shift_ns = ns;
    }

    /// Takes what was lost.
    pub(crate) fn loss(&mut self, loss: &Loss) {
        match self.lost.iter_mut().find(|(known, _)| known.reason.name == loss.reason.name) {
            Some((_, count)) => *count = count.saturating_add(loss.count),
            None => self.lost.push((*loss, loss.count)),
        }
    }

    /// Draws the table if it is time, or a key was pressed.
    pub(crate) fn update(&mut self, table: &SummaryTable) -> io::Result<()> {
        let now = Instant::now();
        let is_time = self.updated.is_none_or(|updated| now.duration_since(updated) >= INTERVAL);
        let mut has_key = false;
        while let Ok(key) = self.keys.try_recv() {
            has_key = true;
            self.press(key);
        }
        if is_time {
            self.updated = Some(now);
            self.rates.add(now, table.requests());
        }
        if is_time || has_key { self.draw(table) } else { Ok(()) }
    }

    fn press(&mut self, key: Key) {
        match key {
            Key::Up => self.above = self.above.saturating_sub(1),
            Key::Down => self.above = self.above.saturating_add(1),
            Key::PageUp => self.above = self.above.saturating_sub(self.page),
            Key::PageDown => self.above = self.above.saturating_add(self.page),
            Key::Sort => (self.order, self.above) = ((self.order + 1) % ORDERS.len(), 0),
            Key::Resized | Key::Quit => {}
        }
    }

    fn draw(&mut self, table: &SummaryTable) -> io::Result<()> {
        // Without a size, the terminal is not shown to anybody.
        let Some((width, height)) = terminal::size() else { return Ok(()) };
        let (size, area) = (Size { width, height }, Rect::new(0, 0, width, height));
        if size != self.size {
            self.terminal.resize(area)?;
            self.size = size;
        }
        let around = self.around(table);
        let areas = around.areas(area);
        self.page = areas.rows();
        self.above = self.above.min(table.len().saturating_sub(self.page));
        let body = self.body(table);
        self.terminal.draw(|frame| around.draw(frame, &areas, &body)).map(drop)
    }

    fn around(&self, table: &SummaryTable) -> Around {
        let Counts { requests, connections, .. } = table.total();
        let rate = self.rate(self.rates.recent_of_all());
        let lost: Vec<_> = self
            .lost
            .iter()
            .map(|(loss, count)| format!("{} {}", plural(*count, loss.reason.noun), loss.reason.fate))
            .collect();
        let message = stderr::latest_since(self.start);
        Around {
            title: self.title.clone(),
            run_time: age(self.start.elapsed()),
            found: format!(
                "{} ({rate} per s) on {}",
                plural(requests, "request"),
                plural(connections, "connection")
            ),
            lost: (!lost.is_empty()).then(|| lost.join(", ")),
            message: message.filter(|(written, _)| written.elapsed() < MESSAGE_TIME).map(|(_, text)| text),
        }
    }

    fn body(&self, table: &SummaryTable) -> Body {
        let order = ORDERS.get(self.order).copied().unwrap_or(Column::Requests);
        let limit = self.above.saturating_add(self.page);
        let rows = match order {
            Column::Rate => table.first_rows(limit, |group, _| u64::MAX - self.rates.recent(group)),
            Column::LastSeen => table.first_rows(limit, |_, counts| u64::MAX - counts.last_ns),
            _ => table.first_rows(limit, |_, _| ()),
        };
        let now_ns = clock::unix_ns();
        let rows: Vec<_> = rows.into_iter().skip(self.above).map(|row| self.cells(&row, now_ns)).collect();
        let first = self.above.saturating_add(1);
        let last = self.above.saturating_add(rows.len());
        let others = if table.others() == Counts::default() { "" } else { " and others" };
        let position =
            format!("{}-{} of {}{others}", Count::from(first), Count::from(last), Count::from(table.len()));
        Body {
            keys: table.by().names().collect(),
            position: if rows.is_empty() { String::new() } else { position },
            rows,
            sorted_by: order,
        }
    }

    fn cells(&self, row: &Row<'_>, now_ns: u64) -> Cells {
        let Row { values, number, counts } = row;
        let ago = |time_ns: u64| {
            let time_ns = time_ns.saturating_add_signed(self.shift_ns);
            age(Duration::from_nanos(now_ns.saturating_sub(time_ns))) + " ago"
        };
        let others = [
            Count(counts.requests).to_string(),
            self.rate(self.rates.recent(*number)),
            Count(counts.connections).to_string(),
            ago(counts.first_ns),
            ago(counts.last_ns),
        ];
        (values.iter().map(|value| shown(*value).to_owned()).collect(), others)
    }

    /// Returns a number of requests in the last seconds as a rate.
    fn rate(&self, recent: u64) -> String {
        let span_ms = u64::try_from(self.rates.span().as_millis()).unwrap_or(u64::MAX).max(1);
        let tenths = recent.saturating_mul(10_000) / span_ms;
        match tenths {
            0 if recent == 0 => "0".to_owned(),
            0..100 => format!("{}.{}", tenths / 10, tenths % 10),
            _ => Count((tenths + 5) / 10).to_string(),
        }
    }
}
