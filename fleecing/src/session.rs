//! One backup's things in QEMU, from the record of them to their removal.
//!
//! ```text
//! new       choose a method, look for obstacles          nothing is made
//! prepare   server → allocate → attach → make filters    the guest is not affected
//! switch    insert all filters at one instant            the guest may be stopped for milliseconds
//! export    views → exports                              the instant can be read
//! finish    undo all of it, in reverse
//! ```

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use fleece_guest_config::GuestId;
use fleece_qmp_client::commands::{QueryBlockGraph, QueryStatus};
use fleece_qmp_client::{Address, Client};
use fleece_storage::{Plugin, VolumeFormat, VolumeId};

use crate::address::GuestAddress;
use crate::discover::preflight;
use crate::disk::Disk;
use crate::domain;
use crate::error::{Error, ErrorKind};
use crate::journal::image;
use crate::journal::record::Record;
use crate::journal::step::Step;
use crate::liveness;
use crate::qemu::bitmaps::{self, Tracking};
use crate::qemu::image as attached;
use crate::qemu::interference::{Interference, Overlaid};
use crate::qemu::lock::QemuLock;
use crate::qemu::method::{Features, Method};
use crate::qemu::names;
use crate::qemu::ours;
use crate::qemu::switch::Switched;
use crate::qemu::teardown;
use crate::qemu::{discards, export, histogram, interference, method, power, server, switch};
use crate::usage::Usage;

/// The settings of a session.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Options {
    /// The guest in the fleecing images' names, `vm-<guest>-fleece-<n>`.
    pub guest: GuestId,
    /// The images' format: raw, or qcow2 for storages where raw images are not thin.
    pub format: VolumeFormat,
    /// After this long a copy to the fleecing image is given up, and with it the backup; the guest's
    /// write goes on. The default of 45 s is below the 60 s after which virtio-win resets a disk.
    pub cbw_timeout: Duration,
    /// The socket on which QEMU is told to serve the instant.
    pub nbd_socket: PathBuf,
    /// An NBD server that runs in this QEMU already, to be used instead of starting one: QEMU has
    /// one per process.
    pub running_server: Option<Address>,
    /// Stop the guest for the switch, even if the method does not need it.
    pub suspend: bool,
    /// The dirty bitmaps that are added and read; none, as a rule.
    pub tracking: Tracking,
}

impl Options {
    /// The defaults.
    #[must_use]
    pub fn new(guest: GuestId, nbd_socket: impl Into<PathBuf>) -> Self {
        Self {
            guest,
            format: VolumeFormat::Raw,
            cbw_timeout: Duration::from_secs(45),
            nbd_socket: nbd_socket.into(),
            running_server: None,
            suspend: false,
            tracking: Tracking::default(),
        }
    }
}

/// What copy-before-write saves at once is never less than this, and always a power of two: larger where
/// the fleecing image's own clusters are. So a request between two multiples of it is within one cluster.
const CLUSTER: u64 = 64 << 10;

/// Fleecing for some disks of one guest.
///
/// Dropped without [`Session::finish`], as by a panic, it undoes what it can; what it cannot stays on
/// record, and only a log hears of it.
#[derive(Debug)]
pub struct Session<'r> {
    client: Client,
    address: GuestAddress,
    storage: Arc<dyn Plugin>,
    record: &'r Record,
    disks: Vec<Disk>,
    options: Options,
    method: Method,
    may_hang: bool,
    request_boundary: Option<u64>,
    images: Vec<VolumeId>,
    usage: Usage,
    /// QEMU's NBD server.
    server: Address,
    /// There is something to undo.
    begun: bool,
    _lock: QemuLock,
}

impl<'r> Session<'r> {
    /// Chooses the method, and looks for obstacles. Nothing is touched, and nothing put on record.
    ///
    /// # Errors
    /// [`ErrorKind::Unsafe`](crate::error::ErrorKind::Unsafe), or [`ErrorKind::Busy`](crate::error::ErrorKind::Busy)
    /// if this QEMU is being backed up under another name, among others.
    pub fn new(
        client: Client,
        address: impl Into<GuestAddress>,
        storage: Arc<dyn Plugin>,
        record: &'r Record,
        disks: Vec<Disk>,
        options: Options,
    ) -> Result<Self, Error> {
        // A storage on the network can hang, and so can one that cannot tell what it is.
        let may_hang = storage.capabilities().map_or(true, |able| able.shared);
        let address = address.into();
        let features = Features::probe(&client)?;
        // Only where there is a choice at all.
        let own = may_hang || (features.job_on_cbw_error && discards::reach(&client, &disks)?);
        let method = method::choose(&features, &disks, own)?;
        image::check_format(storage.as_ref(), options.format)?;
        let server = Address::unix(&options.nbd_socket);
        let lock = QemuLock::acquire(&client)?;
        teardown::must_be_free(&client, &address, disks.len())?;
        preflight::check_disks(&client, &disks)?;
        Ok(Self {
            client,
            address,
            storage,
            record,
            disks,
            options,
            method,
            may_hang,
            request_boundary: (!features.views_span_clusters).then_some(CLUSTER),
            images: Vec::new(),
            usage: Usage::of(Vec::new()),
            server,
            begun: false,
            _lock: lock,
        })
    }

    /// Puts the monitor on record, starts the NBD server, puts the images on record, allocates and attaches
    /// them, and makes the filters.
    ///
    /// # Errors
    /// What failed. [`Session::finish`] undoes what was made.
    pub fn prepare(&mut self) -> Result<(), Error> {
        self.begun = true;
        self.record.note_qmp(&self.address)?;
        // Whether somebody else's server runs shows only when ours does not start.
        self.server = match &self.options.running_server {
            Some(server) => server::running(server)?,
            None => {
                let socket = &self.options.nbd_socket;
                server::start(&self.client, self.record, socket)?;
                Address::unix(socket)
            }
        };
        let Options {
            ref guest,
            format,
            cbw_timeout,
            ..
        } = self.options;
        self.images = image::allocate(
            self.storage.as_ref(),
            self.record,
            guest,
            format,
            &self.disks,
        )?;
        let paths = self
            .images
            .iter()
            .map(|image| self.storage.path(image).ok());
        self.usage = Usage::of(paths.collect::<Option<_>>().unwrap_or_default());
        attached::attach(
            &self.client,
            self.storage.as_ref(),
            &self.images,
            &self.disks,
        )?;
        switch::make_filters(&self.client, self.method, &self.disks, cbw_timeout)?;
        Step::FiltersMade.reached();
        histogram::start(&self.client, &self.disks)
    }

    /// The method that [`Session::switch`] will use.
    #[must_use]
    pub fn method(&self) -> Method {
        self.method
    }

    /// How long the guest will stand still at least, beyond what QEMU itself needs: each command between `stop` and
    /// `cont` travels on its own through some monitors. `None` if it need not stop.
    ///
    /// # Errors
    /// If QEMU cannot be asked whether the guest runs.
    pub fn expected_pause(&self) -> Result<Option<Duration>, Error> {
        if !self.stops() {
            return Ok(None);
        }
        let round_trip = self.client.round_trip().unwrap_or_default();
        let status = self
            .client
            .execute(&QueryStatus {})
            .map_err(Error::qemu("cannot ask whether the guest runs"))?;
        let commands = match self.method {
            Method::Insert | Method::PausedInsert => self.disks.len(),
            Method::Job | Method::Reopen => 1,
        };
        // From the effect of `stop` to that of `cont`.
        let trips = commands.saturating_add(1);
        let trips = u32::try_from(trips).unwrap_or(u32::MAX);
        Ok(status.running.then(|| round_trip.saturating_mul(trips)))
    }

    /// Whether the switch stops a guest that runs.
    fn stops(&self) -> bool {
        self.options.suspend || self.method == Method::PausedInsert
    }

    /// Asks the guest to power down, and waits until it has, for at most `limit`; its QEMU stays. Returns whether it
    /// did: one that stands still stays as it is. [`Session::start_again`] or [`Session::finish`] brings it back.
    ///
    /// # Errors
    /// What QEMU refused, or that the guest does not power down.
    pub fn power_down(&self, limit: Duration) -> Result<bool, Error> {
        power::down(&self.client, self.record, limit)
    }

    /// Boots the guest again.
    ///
    /// # Errors
    /// What QEMU refused.
    pub fn start_again(&self) -> Result<(), Error> {
        match self.record.contents()?.shut_down {
            Some(shut_down) => {
                domain::power::go_on(&shut_down, self.record, self.client.interrupt())
            }
            None => power::start_again(&self.client, self.record),
        }
    }

    /// Whether the images are on a storage that can hang. Then whoever reads the instant should not ask
    /// for holes in it: QEMU asks the images for theirs in the thread that serves the guest.
    #[must_use]
    pub fn may_hang(&self) -> bool {
        self.may_hang
    }

    /// If given, no request to a view may cross a multiple of this: where saved and unsaved clusters are in one
    /// request, this QEMU returns wrong data.
    ///
    /// Nor may any two requests overlap that are under way at once: QEMU before 9.1 aborts then.
    #[must_use]
    pub fn request_boundary(&self) -> Option<u64> {
        self.request_boundary
    }

    /// The fleecing images, one for each disk in their order.
    #[must_use]
    pub fn images(&self) -> &[VolumeId] {
        &self.images
    }

    /// The disks.
    #[must_use]
    pub fn disks(&self) -> &[Disk] {
        &self.disks
    }

    /// The record of what was made.
    #[must_use]
    pub fn record(&self) -> &Record {
        self.record
    }

    /// Puts the filters in. From the instant of this call on, old data goes to the fleecing images.
    ///
    /// # Errors
    /// What QEMU refused. [`Session::finish`] takes out what got in.
    pub fn switch(&self) -> Result<Switched, Error> {
        let tracking = &self.options.tracking;
        if let Some(archive) = &tracking.new {
            bitmaps::add(&self.client, &self.disks, archive)?;
        }
        let switched = switch::insert(
            &self.client,
            self.record,
            self.method,
            &self.disks,
            self.stops(),
        )?;
        Step::Switched.reached();
        bitmaps::freeze(&self.client, &self.disks, tracking)?;
        Ok(switched)
    }

    /// Exports the instant, each disk under its [`Session::export_name`], at the address returned.
    ///
    /// # Errors
    /// What QEMU refused.
    pub fn export(&self) -> Result<Address, Error> {
        export::add_views(&self.client, &self.disks)?;
        Step::ViewsMade.reached();
        export::add_exports(&self.client, &self.disks, &self.options.tracking)?;
        Step::Exported.reached();
        Ok(self.server.clone())
    }

    /// The dirty bitmap that tells what had changed on disk `n` at the instant.
    #[must_use]
    pub fn bitmap(&self, n: usize) -> Option<String> {
        self.options.tracking.bitmap(n)
    }

    /// What disk `n` is called at the NBD server, which may serve others too.
    #[must_use]
    pub fn export_name(n: usize) -> String {
        names::export(n)
    }

    /// The monitor connection.
    #[must_use]
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// The storage that holds the images.
    #[must_use]
    pub fn storage(&self) -> &Arc<dyn Plugin> {
        &self.storage
    }

    /// Bytes that the images hold now, where they are files of a storage that answers.
    #[must_use]
    pub fn used(&self) -> Option<u64> {
        self.usage.look()
    }

    /// How long the storage of the images has not answered the last [`Session::used`].
    #[must_use]
    pub fn hangs_for(&self) -> Option<Duration> {
        self.usage.waits()
    }

    /// The disk whose filter QEMU has taken away, if it did: with [`Method::Job`] that happens when the
    /// disk is unplugged or somebody cancels the job.
    #[must_use]
    pub fn lost(&self) -> Option<&Disk> {
        if self.method != Method::Job {
            return None;
        }
        let jobs = ours::jobs(&self.client).ok()?;
        let has_job = |n| jobs.iter().any(|job| job.id == names::job(n));
        self.disks
            .iter()
            .enumerate()
            .find_map(|(n, disk)| (!has_job(n)).then_some(disk))
    }

    /// Checks whether anybody else has changed the block graph around the filters since the switch, and repairs
    /// what would harm a disk. Returns what is new since the last check.
    ///
    /// # Errors
    /// What would harm a disk and cannot be repaired.
    pub fn check_interference(&self, seen: &mut Interference) -> Result<Vec<String>, Error> {
        const TIMEOUT: Duration = Duration::from_secs(2);
        let mut news = Vec::new();
        let Ok(graph) = self.client.execute_within(&QueryBlockGraph {}, TIMEOUT) else {
            return Ok(news);
        };
        for (n, disk) in self.disks.iter().enumerate() {
            let filter = names::filter(n);
            let has_leaked = seen.has_leaked(&graph, n);
            let overlaid = interference::overlaid(&graph, &filter);
            if overlaid.is_some() {
                self.images_must_answer()?;
                switch::pass_by(&self.client, &[&filter])?;
            }
            let what = match overlaid {
                Some(Overlaid::Filter) => {
                    let message = format!(
                        "{}: somebody has taken a snapshot of the disk since the backup began, which has \
                         ended the point in time. The snapshot is sound: its overlay named Fleece's filter \
                         as its backing file, and names the disk again. Start the backup again",
                        disk.name
                    );
                    return Err(Error::new(ErrorKind::Qemu, message));
                }
                Some(Overlaid::Top) => {
                    "somebody has taken a snapshot of the disk since the backup began; its overlay must name \
                     no filter of Fleece's, and does not now"
                }
                None if has_leaked => {
                    "somebody has tried to start a block job on the disk since the backup began; QEMU has \
                     refused it, but will not let go of Fleece's filter"
                }
                None => continue,
            };
            let what = format!("{}: {what}", disk.name);
            if seen.is_new(&what) {
                news.push(what);
            }
        }
        Ok(news)
    }

    /// Undoes everything, in reverse, as far as it can.
    ///
    /// # Errors
    /// All that failed; it stays on record for [`cleanup`](crate::cleanup()).
    pub fn finish(mut self) -> Result<(), Vec<Error>> {
        self.undo()
    }

    /// What waits for an image that hangs, QEMU waits with it.
    fn images_must_answer(&self) -> Result<(), Error> {
        let interrupt = self.client.interrupt();
        liveness::must_answer(&self.storage, &self.images, interrupt, liveness::ATTACHED)
            .map_err(|error| error.of(self.record.clean_up()))
    }

    fn undo(&mut self) -> Result<(), Vec<Error>> {
        if !std::mem::take(&mut self.begun) {
            return Ok(());
        }
        // Whatever was interrupted: what was made is taken back.
        self.client.interrupt().hear();
        // The guest first.
        let mut errors: Vec<Error> = Vec::new();
        errors.extend(domain::power::undo(self.record, self.client.interrupt()).err());
        let answers = || self.images_must_answer();
        let paths = self.images.iter();
        let known: Vec<_> = paths.filter_map(|id| self.storage.path(id).ok()).collect();
        let client = Some(&self.client);
        let removed = teardown::remove_all(
            client,
            &self.address,
            self.client.interrupt(),
            self.record,
            &known,
            &answers,
        );
        if let Err(error) = removed {
            // What QEMU may still use must not be freed.
            errors.push(error);
            return Err(errors);
        }
        errors.extend(self.record.note_nbd_socket(None).err());
        for image in self.images.drain(..) {
            errors.extend(
                image::free(&self.storage, self.record, &image, self.client.interrupt()).err(),
            );
        }
        if errors.is_empty() {
            errors.extend(self.record.forget().err());
        }
        if errors.is_empty() {
            Ok(())
        } else {
            Err(errors)
        }
    }
}

impl Drop for Session<'_> {
    fn drop(&mut self) {
        if self.begun
            && let Err(errors) = self.undo()
        {
            for error in errors {
                tracing::warn!(%error, "clean-up");
            }
        }
    }
}
