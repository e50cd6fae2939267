//! Everything of ours out of a QEMU: the way back of a session, and of a session that was killed.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use fleece_qmp_client::{Client, ErrorKind as QmpErrorKind, Interrupt, Options};

use crate::address::GuestAddress;
use crate::advice::{Advice, CleanUp};
use crate::error::{Error, ErrorKind};
use crate::journal::ownership;
use crate::journal::record::Record;
use crate::journal::step::Step;
use crate::qemu::image;
use crate::qemu::lock::QemuLock;
use crate::qemu::names::Kind;
use crate::qemu::ours::Ours;
use crate::qemu::server::stray;
use crate::qemu::{export, histogram, interference, power, server, switch};

/// Removes exports, views, filters and image nodes of ours. All of it is found in QEMU itself, by its names
/// and by what it is; doing it twice does no harm.
///
/// `client` may have been cut off; then the monitor is connected to once more. A QEMU that is gone has
/// taken everything with it. One that runs is touched only if the images, which are at `known` places,
/// `answer`.
pub(crate) fn remove_all(
    client: Option<&Client>,
    address: &GuestAddress,
    interrupt: &Interrupt,
    record: &Record,
    known: &[PathBuf],
    answer: &dyn Fn() -> Result<(), Error>,
) -> Result<Removed, Error> {
    take_out(client, address, interrupt, record, known, answer)
        .map_err(|error| error.of(record.clean_up()))
}

fn take_out(
    client: Option<&Client>,
    address: &GuestAddress,
    interrupt: &Interrupt,
    record: &Record,
    known: &[PathBuf],
    answer: &dyn Fn() -> Result<(), Error>,
) -> Result<Removed, Error> {
    let contents = record.contents()?;
    let socket = contents.nbd_socket.as_deref();
    let socket = socket.filter(|socket| record.is_our_socket(socket));
    let remove = |client: &Client| {
        if contents.paused {
            resume(client)?;
        }
        answer()?;
        power::undo(client, record)?;
        remove(client, known, socket)
    };
    let was_cut_off = client.is_some();
    if let Some(client) = client {
        match remove(client) {
            Err(error) if is_cut_off(&error) => {}
            done => return done,
        }
    }
    let gone = || match socket {
        // Nobody but a QEMU that runs can have it open.
        Some(socket) if goes_on_listening(socket, interrupt) => {
            let message = format!(
                "the monitor {address} is gone, but QEMU still serves {}",
                socket.display()
            );
            Err(Error::new(ErrorKind::Qemu, message)
                .advise(Advice::OtherMonitor(record.clean_up())))
        }
        Some(socket) => {
            server::remove_socket(socket);
            Ok(Removed::default())
        }
        None => Ok(Removed::default()),
    };
    let mut options = Options::default();
    options.interrupt = interrupt.clone();
    match address.connect(&options) {
        Ok(client) => {
            // A session that was cut off holds it already.
            let _lock = match was_cut_off {
                true => None,
                false => Some(QemuLock::acquire(&client)?),
            };
            match remove(&client) {
                Err(error) if is_cut_off(&error) => gone(),
                done => done,
            }
        }
        Err(error) if error.is_gone() => gone(),
        Err(error) => Err(Error::caused(
            ErrorKind::Qemu,
            "cannot look for what is left inside QEMU while its monitor is not free",
            error,
        )
        .advise(Advice::CleanUpAfterwards(record.clean_up()))),
    }
}

/// What was in a QEMU.
#[derive(Debug, Default)]
pub(crate) struct Removed {
    /// Names of things of ours that are gone now.
    pub(crate) things: Vec<String>,
    /// The files or devices of the images among them, as QEMU described them.
    pub(crate) images: Vec<String>,
}

fn remove(client: &Client, known: &[PathBuf], socket: Option<&Path>) -> Result<Removed, Error> {
    let ours = Ours::find(client, known)?;
    export::remove(client, &ours, socket)?;
    if socket.is_none() {
        stray::stop_unreachable(client)?;
    }
    Step::ViewsRemoved.reached();
    switch::remove(client, &ours)?;
    Step::FiltersRemoved.reached();
    image::detach(client, &ours)?;
    Step::ImagesDetached.reached();
    histogram::remove(client)?;
    Ok(Removed {
        things: ours.all().map(str::to_owned).collect(),
        images: ours.files,
    })
}

/// Refuses a QEMU in which something of ours is, which our way back would take away, or in which somebody
/// else has given away the names that `disks` disks need.
pub(crate) fn must_be_free(
    client: &Client,
    address: &GuestAddress,
    disks: usize,
) -> Result<(), Error> {
    let ours = Ours::find(client, &[])?;
    let held = |filter: &String| interference::holder_in_use(client, filter);
    if let Some(holder) = ours.filters.iter().find_map(held) {
        return Err(Error::new(ErrorKind::Qemu, holder)
            .advise(Advice::CleanUpAfterwards(CleanUp::default())));
    }
    if let Some(thing) = ours.all().next() {
        let message = format!(
            "this QEMU is being backed up under another name or with another state directory, or such a \
             backup was killed (it has {thing})"
        );
        let clean_up = clean_up(client, &ours, address);
        return Err(Error::new(ErrorKind::Busy, message).advise(Advice::CleanUpAbandoned(clean_up)));
    }
    let in_the_way = |name: &&String| {
        let numbers = Kind::ALL.iter().filter_map(|kind| kind.number(name));
        numbers.into_iter().any(|n| n < disks)
    };
    match ours.impostors.iter().find(in_the_way) {
        None => Ok(()),
        Some(name) => Err(Error::new(
            ErrorKind::Unsafe,
            format!(
                "this QEMU has something called {name} that is none of Fleece's, and a backup needs that \
                 name; give it another"
            ),
        )),
    }
}

/// The clean-up of a backup of which nobody has the record: the images tell the guest.
fn clean_up(client: &Client, ours: &Ours, address: &GuestAddress) -> CleanUp {
    let (state_directory, guest) = match stray::record_of(client) {
        Some((directory, guest)) => (Some(directory), Some(guest)),
        None => {
            let guest = ours.files.iter().find_map(|file| ownership::image_in(file));
            (None, guest.and_then(|guest| guest.parse().ok()))
        }
    };
    CleanUp {
        guest,
        state_directory,
        monitor: Some(address.clone()),
    }
}

/// Whether QEMU lives, although its monitor is closed. One that ends closes its monitor first, and may
/// then wait for its disks.
fn goes_on_listening(socket: &Path, interrupt: &Interrupt) -> bool {
    let start = Instant::now();
    let waiting = interrupt.wait();
    while server::listens(socket) {
        if start.elapsed() >= LAST_MOMENTS || waiting.is_interrupted() {
            return true;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    false
}

/// How long a QEMU may take to end after it has closed its monitor.
const LAST_MOMENTS: Duration = Duration::from_secs(10);

/// Continues a guest that was stopped for the switch by a backup that died in that instant.
fn resume(client: &Client) -> Result<(), Error> {
    use fleece_qmp_client::commands::{Cont, QueryStatus};
    let status = client
        .execute(&QueryStatus {})
        .map_err(Error::qemu("cannot query whether the guest is running"))?;
    if status.status == "paused" {
        client
            .execute(&Cont {})
            .map_err(Error::qemu("cannot continue the guest"))?;
    }
    Ok(())
}

/// Whether the monitor connection is gone, as opposed to a command that was refused.
fn is_cut_off(error: &Error) -> bool {
    std::error::Error::source(error)
        .and_then(|source| source.downcast_ref::<fleece_qmp_client::Error>())
        .is_some_and(|error| error.kind() == QmpErrorKind::Closed || error.is_gone())
}
