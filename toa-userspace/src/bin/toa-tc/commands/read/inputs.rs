//! The captures of one reading, merged in the order of time.

use std::{
    collections::BTreeMap,
    fs::{File, Metadata},
    io::{self, IsTerminal as _, Seek as _},
    os::fd::AsFd as _,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Error, Result};
use toa_userspace::capture::{CaptureError, Names, Next, Packet, PacketBuf, Reader};

use crate::error::UsageError;

/// The captures.
pub(super) struct Inputs {
    /// Files that are not needed yet, the one that is needed first at the end. They are closed, because a ring of
    /// captures may have more files than a process may open.
    waiting: Vec<Waiting>,
    open: Vec<Input>,
    names: Names,
    /// Size of all captures in bytes, if all are files.
    size: Option<u64>,
    /// The number of bytes that were read of the captures that ended.
    ended: u64,
    /// The number of packets that were skipped in the captures that ended, by link type.
    skipped: BTreeMap<u16, u64>,
}

/// A file whose first packet is later than what is being read.
struct Waiting {
    first_ns: u64,
    path: PathBuf,
}

/// An open capture.
pub(super) struct Input {
    path: PathBuf,
    file: File,
    reader: Reader,
    /// Its next packet, if that was compared with those of other captures.
    next: Option<PacketBuf>,
}

/// The result of looking for the next packet.
pub(super) enum Step {
    /// There was one.
    Packet,
    /// The capture with this number needs input first.
    NeedsInput(usize),
    /// All captures have ended.
    Done,
}

impl Inputs {
    /// Opens captures, of which `-` is stdin.
    pub(super) fn open(paths: &[PathBuf]) -> Result<Self> {
        if paths.iter().filter(|path| is_stdin(path)).count() > 1 {
            return Err(UsageError("stdin (-) can be read only once".to_owned()).into());
        }
        let names = Names::default();
        let (mut waiting, mut open, mut size) = (Vec::new(), Vec::new(), Some(0_u64));
        for path in paths {
            let mut file = open_file(path)?;
            let len = file.metadata().ok().filter(Metadata::is_file).map(|metadata| metadata.len());
            size = size.zip(len).map(|(size, len)| size.saturating_add(len));
            // What is not a file cannot be opened again.
            if paths.len() > 1 && !is_stdin(path) && len.is_some() {
                waiting.push(Waiting { first_ns: first_time(&mut file), path: path.clone() });
            } else {
                open.push(Input::new(path.clone(), file, names.clone()));
            }
        }
        // Files of the same time are read in the order in which they were given.
        waiting.reverse();
        waiting.sort_by_key(|file| std::cmp::Reverse(file.first_ns));
        Ok(Self { waiting, open, names, size, ended: 0, skipped: BTreeMap::new() })
    }

    /// Returns the size of all captures in bytes, if all are files.
    pub(super) fn size(&self) -> Option<u64> {
        self.size
    }

    /// Returns how many bytes of them were read.
    pub(super) fn position(&self) -> u64 {
        self.open.iter().map(Input::position).fold(self.ended, u64::saturating_add)
    }

    /// Returns the names of the interfaces. More may be added as the captures are read.
    pub(super) fn names(&self) -> Names {
        self.names.clone()
    }

    /// Returns how many packets were skipped, by their unsupported link types.
    pub(super) fn skipped(&self) -> BTreeMap<u16, u64> {
        let mut skipped = self.skipped.clone();
        for input in &self.open {
            add(&mut skipped, input.reader.skipped());
        }
        skipped
    }

    /// Hands the next packet to `take`. After an error, the capture that caused it has ended.
    pub(super) fn step(&mut self, take: impl FnOnce(Packet<'_>)) -> Result<Step> {
        loop {
            let first_waiting = self.waiting.last().map_or(u64::MAX, |file| file.first_ns);
            // Not compared, and so not copied, if it must be the next one.
            if let [input] = &mut *self.open
                && input.next.is_none()
            {
                match input.reader.next_packet() {
                    Ok(Next::Packet(packet)) if packet.time_ns <= first_waiting => {
                        take(packet);
                        return Ok(Step::Packet);
                    }
                    Ok(Next::Packet(packet)) => input.next = Some(packet.into()),
                    Ok(Next::NeedMore) => return Ok(Step::NeedsInput(0)),
                    Err(error) => return Err(self.fail(0, error)),
                }
            }
            for number in 0..self.open.len() {
                match self.open.get_mut(number).map_or(Ok(true), Input::advance) {
                    Ok(true) => {}
                    Ok(false) => return Ok(Step::NeedsInput(number)),
                    Err(error) => return Err(self.fail(number, error)),
                }
            }
            let earlier = |input: &&mut Input| input.next_ns() <= first_waiting;
            let first = self.open.iter_mut().min_by_key(|input| input.next_ns()).filter(earlier);
            if let Some(packet) = first.and_then(|input| input.next.take()) {
                take(packet.packet());
                return Ok(Step::Packet);
            }
            let Some(Waiting { path, .. }) = self.waiting.pop() else { return Ok(Step::Done) };
            let file = open_file(&path)?;
            self.open.push(Input::new(path, file, self.names.clone()));
        }
    }

    /// Returns the open capture with this number.
    pub(super) fn get(&mut self, number: usize) -> Option<&mut Input> {
        self.open.get_mut(number)
    }

    /// Ends a capture of which there is no more input.
    pub(super) fn end(&mut self, number: usize) -> Result<()> {
        let input = self.remove(number);
        input.map_or(Ok(()), |input| input.reader.end().map_err(|error| cannot_read(&input.path, error)))
    }

    /// Ends a capture that cannot be read any further.
    pub(super) fn fail(&mut self, number: usize, error: impl Into<Error>) -> Error {
        let path = self.remove(number).map(|input| input.path).unwrap_or_default();
        cannot_read(&path, error)
    }

    fn remove(&mut self, number: usize) -> Option<Input> {
        let input = (number < self.open.len()).then(|| self.open.remove(number))?;
        add(&mut self.skipped, input.reader.skipped());
        self.ended = self.ended.saturating_add(input.position());
        Some(input)
    }
}

impl Input {
    fn new(path: PathBuf, file: File, names: Names) -> Self {
        Self { path, file, reader: Reader::new(names), next: None }
    }

    /// Returns its file.
    pub(super) fn file(&self) -> &File {
        &self.file
    }

    /// Returns how many bytes of its file were read.
    fn position(&self) -> u64 {
        (&self.file).stream_position().unwrap_or(0)
    }

    /// Returns whether [`Self::fill`] has something to add without reading from the file.
    pub(super) fn is_ready(&self) -> bool {
        self.reader.is_ready()
    }

    /// Reads at most once. Returns how many bytes were read, 0 at the end of the file.
    pub(super) fn fill(&mut self) -> io::Result<usize> {
        self.reader.fill(&mut self.file)
    }

    /// Returns when its next packet was captured, as far as that is known.
    fn next_ns(&self) -> u64 {
        self.next.as_ref().map_or(u64::MAX, |packet| packet.packet().time_ns)
    }

    /// Returns whether its next packet is known.
    fn advance(&mut self) -> Result<bool, CaptureError> {
        if self.next.is_none()
            && let Next::Packet(packet) = self.reader.next_packet()?
        {
            self.next = Some(packet.into());
        }
        Ok(self.next.is_some())
    }
}

/// Opens a capture, or stdin for `-`.
fn open_file(path: &Path) -> Result<File> {
    if !is_stdin(path) {
        return File::open(path).with_context(|| format!("cannot open {}", path.display()));
    }
    let stdin = io::stdin();
    if stdin.is_terminal() {
        return Err(UsageError("stdin is a terminal, not a capture".to_owned()).into());
    }
    Ok(File::from(stdin.as_fd().try_clone_to_owned().context("cannot read stdin")?))
}

fn is_stdin(path: &Path) -> bool {
    path == Path::new("-")
}

/// Returns when the first packet of a file was captured, 0 if it has none that can be read.
fn first_time(file: &mut File) -> u64 {
    let mut reader = Reader::default();
    loop {
        match reader.next_packet() {
            Ok(Next::Packet(packet)) => return packet.time_ns,
            Ok(Next::NeedMore) => {}
            Err(_) => return 0,
        }
        if !reader.fill(file).is_ok_and(|bytes| bytes > 0) {
            return 0;
        }
    }
}

fn cannot_read(path: &Path, error: impl Into<Error>) -> Error {
    error.into().context(format!("cannot read {}", path.display()))
}

fn add(sum: &mut BTreeMap<u16, u64>, counts: &BTreeMap<u16, u64>) {
    for (link_type, count) in counts {
        let total = sum.entry(*link_type).or_default();
        *total = total.saturating_add(*count);
    }
}
