//! A guest, its disk, the filter, and a backup, event by event.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use fleece_backup_core::pace::{Collision, DiskWrites, GuestWrites, Pace, Pacer, Sample};

use crate::load::{Load, Request};
use crate::machine::{Disk, Host, Random, Storage, Threads};
use crate::order::{Order, Plan};

pub(crate) const CLUSTER: u64 = 64 << 10;
const CHUNK: u64 = 1 << 20;
/// Chunks that may be read and not yet encoded.
const BUFFERS: usize = 16;
/// Between two looks at the guest.
const LOOK: f64 = 0.2;

/// What there is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct World {
    pub(crate) storage: Storage,
    pub(crate) host: Host,
    pub(crate) load: Load,
    pub(crate) order: Order,
    /// Bytes of the disk, all of which are data.
    pub(crate) size: u64,
}

/// Who says how hard to read.
pub(crate) enum Steering {
    /// There is no backup, for so many seconds.
    None(f64),
    /// There is a filter, and hardly any reading, for so many seconds.
    Filter(f64),
    Fixed(Pace),
    Pacer(Box<Pacer>),
}

/// What came of it.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    /// Seconds until all was read, or until it was given up.
    pub(crate) took: f64,
    pub(crate) ended: bool,
    /// Most bytes in the fleecing images.
    pub(crate) peak: u64,
    /// Clusters that the filter has copied: what the guest waits for.
    pub(crate) copies: u64,
    /// What each of the guest's writes took, in order of length.
    latencies: Vec<f64>,
    pub(crate) collisions: Vec<Collision>,
}

impl Outcome {
    pub(crate) fn percentile(&self, part: f64) -> f64 {
        let last = self.latencies.len().saturating_sub(1);
        let place = (self.latencies.len() as f64 * part) as usize;
        self.latencies.get(place.min(last)).copied().unwrap_or(0.0)
    }

    pub(crate) fn iops(&self) -> f64 {
        self.latencies.len() as f64 / self.took
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Event {
    /// The guest's thread has something to write.
    Issue(usize),
    /// The guest's thread has come so far with its request.
    Write(usize, Stage),
    /// A reader has done this.
    Reader(usize, Step),
    /// The disk sends or takes so many bytes for the event of this number.
    Flow(u64, usize),
    Encoded,
    Look,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Stage {
    Submitted,
    OldRead,
    OldSaving,
    OldSaved,
    Writing,
    Written,
    Done,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Step {
    Enter,
    Asked,
    Read,
    Sent,
    /// Valid if nothing else has happened to the reader since.
    Rested(u64),
}

#[derive(Clone, Copy, Debug)]
struct Writer {
    request: Request,
    begun: f64,
    number: u64,
    copies: u64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Reader {
    inside: bool,
    /// The chunk, and what is read of it.
    chunk: Option<(u64, u64)>,
    piece: u64,
    asked: f64,
    took: f64,
    resting: Option<f64>,
    generation: u64,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Cluster {
    /// To be saved before it is written.
    Fresh,
    Saving,
    Saved,
    /// Read, or of no interest.
    Released,
}

pub(crate) struct Model {
    world: World,
    steering: Steering,
    now: f64,
    queue: BinaryHeap<Reverse<(u64, u64, usize)>>,
    events: Vec<Event>,
    pushed: u64,
    disk: Disk,
    main_loop: Threads,
    encoder: Threads,
    guest: Threads,
    random: Random,
    pace: Pace,
    writers: Vec<Writer>,
    readers: Vec<Reader>,
    clusters: Vec<Cluster>,
    plan: Plan,
    unencoded: usize,
    read: u64,
    got: u64,
    held: u64,
    reading: f64,
    counted: DiskWrites,
    outcome: Outcome,
}

impl Model {
    pub(crate) fn run(world: World, steering: Steering) -> Outcome {
        let clusters = (world.size / CLUSTER) as usize;
        let mut counted = DiskWrites::default();
        let mut bound = 50_171_u64;
        while bound < 10_000_000_000 {
            counted.classes.push((Duration::from_nanos(bound), 0));
            bound += bound / 4;
        }
        counted.classes.push((Duration::MAX, 0));
        let mut model = Self {
            world,
            now: 0.0,
            queue: BinaryHeap::new(),
            events: Vec::new(),
            pushed: 0,
            disk: Disk::new(world.storage),
            main_loop: Threads::new(1),
            encoder: Threads::new(2),
            guest: Threads::new(world.load.threads.len().max(1)),
            random: Random::new(4711),
            pace: Pace::full(8),
            writers: Vec::new(),
            readers: vec![Reader::default(); 8],
            clusters: vec![Cluster::Fresh; clusters],
            plan: Plan::new(world.order, (world.size / CHUNK) as usize),
            unencoded: 0,
            read: 0,
            got: 0,
            held: 0,
            reading: 0.0,
            counted,
            outcome: Outcome::default(),
            steering,
        };
        model.start();
        model.go_on();
        model.outcome.took = model.now;
        model.outcome.latencies.sort_by(f64::total_cmp);
        model.outcome
    }

    fn start(&mut self) {
        for number in 0..self.world.load.threads.len() {
            self.writers.push(Writer {
                request: Request {
                    offset: 0,
                    bytes: 0,
                    is_discard: false,
                },
                begun: 0.0,
                number: 0,
                copies: 0,
            });
            self.next_request(number);
        }
        match &self.steering {
            Steering::None(_) => self.clusters.fill(Cluster::Released),
            Steering::Filter(_) => {}
            Steering::Fixed(pace) => self.pace = *pace,
            Steering::Pacer(pacer) => self.pace = pacer.pace(),
        }
        if matches!(self.steering, Steering::Fixed(_) | Steering::Pacer(_)) {
            for reader in 0..self.readers.len() {
                self.at(0.0, Event::Reader(reader, Step::Enter));
            }
        }
        self.at(0.0, Event::Look);
    }

    fn go_on(&mut self) {
        while let Some(Reverse((time, _, event))) = self.queue.pop() {
            self.now = time as f64 / 1e9;
            let given_up = match self.steering {
                Steering::None(seconds) | Steering::Filter(seconds) => seconds,
                _ => 1000.0,
            };
            if self.now >= given_up {
                return;
            }
            if self.read >= self.world.size && self.unencoded == 0 {
                self.outcome.ended = true;
                return;
            }
            match self.events[event] {
                Event::Issue(thread) => self.issue(thread),
                Event::Write(thread, stage) => self.write(thread, stage),
                Event::Reader(reader, step) => self.reader(reader, step),
                Event::Flow(bytes, event) => {
                    let time = self.disk.end(self.now, bytes);
                    self.push(time, event);
                }
                Event::Encoded => {
                    self.unencoded -= 1;
                    self.admit();
                }
                Event::Look => self.look(),
            }
        }
    }

    fn at(&mut self, time: f64, event: Event) {
        self.events.push(event);
        self.push(time, self.events.len() - 1);
    }

    fn push(&mut self, time: f64, event: usize) {
        self.pushed += 1;
        let time = (time * 1e9) as u64;
        self.queue.push(Reverse((time, self.pushed, event)));
    }

    /// `event` when the disk has done a request.
    fn on_disk(&mut self, is_write: bool, offset: u64, bytes: u64, event: Event) {
        let flows = self.disk.begin(self.now, is_write, offset, bytes);
        self.events.push(event);
        self.at(flows, Event::Flow(bytes, self.events.len() - 1));
    }

    /// The part of a processor that each gets who wants one.
    fn share(&self) -> f64 {
        let busy = self.main_loop.busy(self.now)
            + self.guest.busy(self.now)
            // They stand back, but not entirely.
            + self.encoder.busy(self.now);
        (self.world.host.cores as f64 / busy.max(1) as f64).min(1.0)
    }

    /// When QEMU's main loop has done something with so many bytes.
    fn looped(&mut self, bytes: u64) -> f64 {
        let host = self.world.host;
        let work = host.request + host.byte * bytes as f64;
        let share = self.share();
        self.main_loop.serve(self.now, work, share)
    }

    fn next_request(&mut self, number: usize) {
        let thread = self.world.load.threads[number];
        let begun = self.writers[number].begun;
        let Some(next) = thread.next(begun, self.now, &mut self.random) else {
            return;
        };
        self.at(next, Event::Issue(number));
    }

    fn issue(&mut self, number: usize) {
        let share = self.share();
        let thinks = self.world.host.think;
        let next = self.guest.serve(self.now, thinks, share);
        let thread = self.world.load.threads[number];
        let writer = self.writers[number];
        let request = thread.request(writer.number, self.world.size, &mut self.random);
        self.writers[number] = Writer {
            request,
            begun: next,
            number: writer.number + 1,
            copies: 0,
        };
        self.at(next, Event::Write(number, Stage::Submitted));
    }

    fn write(&mut self, thread: usize, stage: Stage) {
        let request = self.writers[thread].request;
        let Request { offset, bytes, .. } = request;
        let copied = |writer: Writer| writer.copies * CLUSTER;
        let next = |stage| Event::Write(thread, stage);
        let (time, stage) = match stage {
            Stage::Submitted => {
                let clusters = &mut self.clusters[request.clusters()];
                for cluster in clusters.iter_mut().filter(|it| **it == Cluster::Fresh) {
                    *cluster = Cluster::Saving;
                    self.writers[thread].copies += 1;
                    self.outcome.copies += 1;
                }
                self.plan.written((offset / CHUNK) as usize);
                let stage = match self.writers[thread].copies {
                    0 => Stage::Writing,
                    _ => Stage::OldRead,
                };
                (self.looped(0), stage)
            }
            Stage::OldRead => {
                let bytes = copied(self.writers[thread]);
                let start = offset / CLUSTER * CLUSTER;
                return self.on_disk(false, start, bytes, next(Stage::OldSaving));
            }
            Stage::OldSaving => {
                let bytes = copied(self.writers[thread]);
                let start = (1 << 50) + offset / CLUSTER * CLUSTER;
                return self.on_disk(true, start, bytes, next(Stage::OldSaved));
            }
            Stage::OldSaved => {
                let clusters = &mut self.clusters[request.clusters()];
                for cluster in clusters.iter_mut().filter(|it| **it == Cluster::Saving) {
                    *cluster = Cluster::Saved;
                    self.held += CLUSTER;
                }
                self.outcome.peak = self.outcome.peak.max(self.held);
                // Two answers of the disk.
                let done = self.looped(0).max(self.looped(0));
                (done, Stage::Writing)
            }
            Stage::Writing if request.is_discard => (self.now, Stage::Written),
            Stage::Writing => {
                return self.on_disk(true, offset, bytes, next(Stage::Written));
            }
            Stage::Written => (self.looped(0), Stage::Done),
            Stage::Done => {
                if !request.is_discard {
                    self.count(self.now - self.writers[thread].begun);
                }
                return self.next_request(thread);
            }
        };
        self.at(time, next(stage));
    }

    fn count(&mut self, took: f64) {
        self.outcome.latencies.push(took);
        let took = Duration::from_secs_f64(took);
        self.counted.operations += 1;
        self.counted.time += took;
        let class = self
            .counted
            .classes
            .iter_mut()
            .find(|class| took <= class.0);
        class.unwrap().1 += 1;
    }

    /// Lets readers in for whom there is a place and a buffer.
    fn admit(&mut self) {
        for reader in 0..self.readers.len() {
            if !self.readers[reader].inside {
                self.reader(reader, Step::Enter);
            }
        }
    }

    fn reader(&mut self, number: usize, step: Step) {
        let mut reader = self.readers[number];
        match step {
            Step::Enter => {
                let inside = self.readers.iter().filter(|reader| reader.inside).count();
                let started = self.readers.iter().filter(|reader| reader.chunk.is_some());
                if inside >= self.pace.places()
                    || self.plan.is_empty()
                    || self.unencoded + started.count() >= BUFFERS
                {
                    return;
                }
                reader.inside = true;
                reader.chunk = Some((self.plan.take() as u64 * CHUNK, 0));
                self.ask(&mut reader, number);
            }
            Step::Asked => {
                let (chunk, done) = reader.chunk.unwrap();
                let event = Event::Reader(number, Step::Read);
                self.on_disk(false, chunk + done, reader.piece, event);
            }
            Step::Read => {
                let time = self.looped(reader.piece);
                self.at(time, Event::Reader(number, Step::Sent));
            }
            Step::Sent => {
                reader.took = self.now - reader.asked;
                self.reading += reader.took;
                self.got += reader.piece;
                reader.resting = Some(self.now);
                reader.generation += 1;
                let rest = (reader.took * self.pace.rest()).min(1.0);
                let event = Event::Reader(number, Step::Rested(reader.generation));
                self.at(self.now + rest, event);
            }
            Step::Rested(generation) if generation != reader.generation => return,
            Step::Rested(_) => {
                reader.resting = None;
                let (chunk, done) = reader.chunk.unwrap();
                let done = done + reader.piece;
                reader.chunk = Some((chunk, done));
                if done < CHUNK {
                    self.ask(&mut reader, number);
                } else {
                    self.release(chunk);
                    reader.chunk = None;
                    reader.inside = false;
                    self.readers[number] = reader;
                    return self.admit();
                }
            }
        }
        self.readers[number] = reader;
    }

    fn ask(&mut self, reader: &mut Reader, number: usize) {
        let (_, done) = reader.chunk.unwrap();
        reader.piece = (self.pace.piece as u64).min(CHUNK - done);
        reader.asked = self.now;
        let time = self.looped(0);
        self.at(time, Event::Reader(number, Step::Asked));
    }

    fn release(&mut self, chunk: u64) {
        let first = (chunk / CLUSTER) as usize;
        let last = ((chunk + CHUNK) / CLUSTER) as usize;
        for cluster in &mut self.clusters[first..last] {
            if *cluster == Cluster::Saved {
                self.held -= CLUSTER;
            }
            *cluster = Cluster::Released;
        }
        self.read += CHUNK;
        self.unencoded += 1;
        let share = self.share();
        let work = self.world.host.encode * CHUNK as f64;
        let time = self.encoder.serve(self.now, work, share);
        self.at(time, Event::Encoded);
    }

    fn look(&mut self) {
        self.plan.cool();
        if let Steering::Pacer(pacer) = &mut self.steering {
            let at = Duration::from_secs_f64(self.now);
            let pace = pacer.observe(Sample {
                at,
                writes: Some(GuestWrites::of(vec![self.counted.clone()])),
                read: self.got,
                left: self.world.size - self.read,
                reading: Duration::from_secs_f64(self.reading),
                held: Some(self.held),
            });
            self.outcome.collisions.extend(pacer.news(at));
            self.set_pace(pace);
        }
        self.at(self.now + LOOK, Event::Look);
    }

    fn set_pace(&mut self, pace: Pace) {
        if pace == self.pace {
            return;
        }
        self.pace = pace;
        for number in 0..self.readers.len() {
            let Some(since) = self.readers[number].resting else {
                continue;
            };
            let reader = &mut self.readers[number];
            reader.generation += 1;
            let event = Event::Reader(number, Step::Rested(reader.generation));
            let until = since + (reader.took * pace.rest()).min(1.0);
            self.at(until.max(self.now), event);
        }
        self.admit();
    }
}
