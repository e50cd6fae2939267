//! The checks themselves, each one sentence that must be true.

use std::thread;

use fleece_guest_config::GuestId;

use super::check::Check;
use super::io::{Disk, disk_failed, opened};
use super::qemu::QemuImage;
use super::subject::{Checked, Subject, Verdict, ensure, ensure_eq, failed, guest};
use crate::error::{Error, ErrorKind};
use crate::name::VolumeFormat;
use crate::plugin::{AllocationRequest, Freed, free_names};
use crate::volume::VolumeId;

/// A small size that no storage rounds to by chance.
const SIZE: u64 = (3 << 20) + 512;
const MIB: u64 = 1 << 20;

pub(super) const ALL: [Check; 20] = [
    Check {
        name: "activating twice is as good as once",
        function: activating,
    },
    Check {
        name: "total, used and available space make sense",
        function: status,
    },
    Check {
        name: "a volume gets the predicted id, and predicting it creates nothing",
        function: foretold_id,
    },
    Check {
        name: "a new volume is there, and listed with what it is",
        function: listed,
    },
    Check {
        name: "a new volume has exactly the size asked for, after rounding",
        function: exact_size,
    },
    Check {
        name: "every format can be allocated; others are refused",
        function: formats,
    },
    Check {
        name: "a new volume reads as zeroes",
        function: zeroes,
    },
    Check {
        name: "a new volume takes no space until it is written",
        function: thin,
    },
    Check {
        name: "discarding frees space",
        function: discard,
    },
    Check {
        name: "what is written is read back by path",
        function: written,
    },
    Check {
        name: "what a restore writes, in any order, is read back",
        function: filled,
    },
    Check {
        name: "QEMU opens and writes a volume by its block device options",
        function: qemu,
    },
    Check {
        name: "a taken name is refused and its volume untouched",
        function: taken_name,
    },
    Check {
        name: "of several who want one name one gets it",
        function: race,
    },
    Check {
        name: "what cannot fit is refused, and nothing is left of it",
        function: no_space,
    },
    Check {
        name: "freeing twice is no error, and says so",
        function: freeing,
    },
    Check {
        name: "a volume grows, and never shrinks",
        function: resizing,
    },
    Check {
        name: "free names pass over taken ones",
        function: numbering,
    },
    Check {
        name: "volumes of other storages and guests are not touched",
        function: foreign_ids,
    },
    Check {
        name: "a guest without a number has fleecing images of its own",
        function: named,
    },
];

fn activating(subject: &Subject<'_>) -> Checked {
    subject.storage.activate()?;
    subject.storage.activate()?;
    let id = subject.allocate(0, SIZE)?;
    subject.storage.activate_volume(&id)?;
    subject.storage.activate_volume(&id)?;
    Ok(())
}

fn status(subject: &Subject<'_>) -> Checked {
    let status = subject.storage.status()?;
    ensure(status.total > 0, || "there is no space at all".to_owned())?;
    ensure(
        status.used <= status.total && status.available <= status.total,
        || format!("{status:?}"),
    )
}

fn foretold_id(subject: &Subject<'_>) -> Checked {
    let request = subject.request(0, subject.format()?, SIZE)?;
    let foretold = subject.storage.volume_id(&request.name, request.format)?;
    ensure(!subject.storage.exists(&foretold)?, || {
        "telling the id made the volume".to_owned()
    })?;
    ensure_eq("id", subject.storage.allocate(&request)?, foretold)
}

fn listed(subject: &Subject<'_>) -> Checked {
    let (format, rounded) = (subject.format()?, subject.rounded(SIZE)?);
    let ids = [subject.allocate(0, SIZE)?, subject.allocate(1, SIZE)?];
    let volumes = subject.storage.list(Some(&subject.guest))?;
    ensure_eq("number of volumes", volumes.len(), 2)?;
    for (n, (volume, id)) in volumes.iter().zip(&ids).enumerate() {
        ensure(subject.storage.exists(id)?, || format!("{id} is not there"))?;
        ensure_eq("id", &volume.id, id)?;
        ensure_eq("guest", &volume.guest, &subject.guest)?;
        ensure_eq(
            "name",
            &volume.name,
            &format!("vm-{}-conform-{n}", subject.vmid),
        )?;
        ensure_eq("format", volume.format, format)?;
        ensure_eq("size", volume.size, Some(rounded))?;
    }
    let all = subject.storage.list(None)?;
    ensure(volumes.iter().all(|volume| all.contains(volume)), || {
        "not all are in all".to_owned()
    })?;
    ensure(all.is_sorted_by_key(|volume| &volume.id), || {
        "the list is not sorted".to_owned()
    })
}

fn exact_size(subject: &Subject<'_>) -> Checked {
    for (n, size) in (0..).zip([512, (4 << 20) - 512, 4 << 20, (4 << 20) + 512]) {
        let id = subject.allocate(n, size)?;
        ensure_eq("size", subject.storage.size(&id)?, subject.rounded(size)?)?;
    }
    Ok(())
}

fn formats(subject: &Subject<'_>) -> Checked {
    let known = &subject.capabilities.formats;
    for (n, format) in (0..).zip([VolumeFormat::Raw, VolumeFormat::Qcow2]) {
        let request = subject.request(n, format, SIZE)?;
        match subject.storage.allocate(&request) {
            Ok(id) if known.contains(&format) => {
                // Only raw volumes are rounded.
                let size = match format {
                    VolumeFormat::Raw => subject.rounded(SIZE)?,
                    VolumeFormat::Qcow2 => SIZE,
                };
                ensure_eq("size", subject.storage.size(&id)?, size)?;
            }
            Ok(id) => {
                return Err(failed(format!(
                    "{id} was made though {format} is not offered"
                )));
            }
            Err(error) if known.contains(&format) => return Err(error.into()),
            Err(error) => ensure_eq("kind of error", error.kind(), ErrorKind::Unsupported)?,
        }
    }
    Ok(())
}

fn zeroes(subject: &Subject<'_>) -> Checked {
    if !subject.capabilities.zero_initialised {
        return Err(Verdict::NotApplicable("not zero-initialised".to_owned()));
    }
    // What a freed volume held must not shine through in the next one.
    let id = subject.allocate(0, SIZE)?;
    Disk::open(subject, &id)?.write(0, MIB)?;
    subject.storage.free(&id)?;
    let id = subject.allocate(0, SIZE)?;
    let disk = Disk::open(subject, &id)?;
    ensure(disk.is_zero(0, 3 * MIB)?, || "it does not".to_owned())
}

fn thin(subject: &Subject<'_>) -> Checked {
    if !subject.capabilities.thin {
        return Err(Verdict::NotApplicable("not thin".to_owned()));
    }
    // A terabyte fits on no storage that this runs on, unless it is thin.
    let id = subject.allocate(0, 1 << 40)?;
    match used(subject, &id)? {
        Some(used) => ensure(used < 4 * MIB, || format!("it takes {used} bytes")),
        None => Ok(()),
    }
}

fn discard(subject: &Subject<'_>) -> Checked {
    let Some(granularity) = subject.capabilities.discard_granularity else {
        return Err(Verdict::NotApplicable(
            "discarding frees nothing".to_owned(),
        ));
    };
    ensure(granularity.is_power_of_two(), || {
        format!("the granularity is {granularity}")
    })?;
    let id = subject.allocate(0, 16 * MIB)?;
    let disk = Disk::open(subject, &id)?;
    disk.write(0, 16 * MIB)?;
    let Some(full) = used(subject, &id)? else {
        return Err(Verdict::NotApplicable(
            "the space used is not reported".to_owned(),
        ));
    };
    disk.discard(0, 8 * MIB)?;
    let left = used(subject, &id)?.unwrap_or(full);
    ensure(left <= full.saturating_sub(7 * MIB), || {
        format!("{full} bytes before and {left} after 8 MiB were discarded")
    })
}

fn written(subject: &Subject<'_>) -> Checked {
    let id = subject.allocate(0, SIZE)?;
    let disk = Disk::open(subject, &id)?;
    disk.write(MIB, MIB)?;
    drop(disk);
    subject.storage.activate_volume(&id)?;
    let disk = Disk::open(subject, &id)?;
    ensure(disk.is_written(MIB, MIB)?, || "it is not".to_owned())
}

fn filled(subject: &Subject<'_>) -> Checked {
    for (n, format) in (0..).zip(subject.capabilities.formats.iter().copied()) {
        let id = subject
            .storage
            .allocate(&subject.request(n, format, SIZE)?)?;
        subject.storage.activate_volume(&id)?;
        let disk = subject.storage.open_writable(&id)?;
        ensure(disk.size() >= SIZE, || {
            format!("it has {} bytes", disk.size())
        })?;
        let piece = vec![0x5a; 64 << 10];
        for offset in [2 * MIB, 0] {
            disk.write_at(&piece, offset).map_err(disk_failed)?;
        }
        disk.flush().map_err(disk_failed)?;
        // What was written before a flush is not touched by what comes after.
        disk.write_at(&piece, MIB).map_err(disk_failed)?;
        disk.write_zeroes(2 * MIB, MIB).map_err(disk_failed)?;
        disk.flush().map_err(disk_failed)?;
        drop(disk);
        // Where the volume can be opened by others than QEMU, it reads the same.
        if let Some(disk) = opened(subject, &id)? {
            for (offset, byte) in [(0, 0x5a), (MIB, 0x5a), (2 * MIB, 0)] {
                let mut piece = vec![1; 64 << 10];
                disk.read_at(&mut piece, offset).map_err(disk_failed)?;
                ensure(piece.iter().all(|read| *read == byte), || {
                    format!("something else is read from the open volume at {offset}")
                })?;
            }
        }
        let image = QemuImage::new(&subject.storage.blockdev(&id)?);
        let length = 64 << 10;
        for (offset, byte) in [(0, 0x5a), (MIB, 0x5a), (2 * MIB, 0)] {
            ensure(image.holds(offset, length, byte)?, || {
                format!("something else is read at {offset}")
            })?;
        }
    }
    Ok(())
}

fn qemu(subject: &Subject<'_>) -> Checked {
    for (n, format) in (0..).zip(subject.capabilities.formats.iter().copied()) {
        let id = subject
            .storage
            .allocate(&subject.request(n, format, SIZE)?)?;
        let image = QemuImage::new(&subject.storage.blockdev(&id)?);
        image.write(0, 64 << 10, 0x5a)?;
        ensure(image.holds(0, 64 << 10, 0x5a)?, || {
            "QEMU reads something else".to_owned()
        })?;
    }
    Ok(())
}

fn taken_name(subject: &Subject<'_>) -> Checked {
    let id = subject.allocate(0, SIZE)?;
    let request = subject.request(0, subject.format()?, 2 * SIZE)?;
    let error = refused(subject.storage.allocate(&request))?;
    ensure_eq("kind of error", error.kind(), ErrorKind::AlreadyExists)?;
    ensure_eq("size", subject.storage.size(&id)?, subject.rounded(SIZE)?)
}

fn race(subject: &Subject<'_>) -> Checked {
    let request = subject.request(0, subject.format()?, SIZE)?;
    let results: Vec<_> = thread::scope(|scope| {
        let allocate = || subject.storage.allocate(&request);
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(allocate)).collect();
        threads
            .into_iter()
            .map(thread::ScopedJoinHandle::join)
            .collect()
    });
    let mut winners: u32 = 0;
    for result in results {
        match result.map_err(|_| failed("a thread panicked"))? {
            Ok(_) => winners = winners.saturating_add(1),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error.into()),
        }
    }
    ensure_eq("winners", winners, 1)
}

fn no_space(subject: &Subject<'_>) -> Checked {
    if subject.capabilities.thin {
        return Err(Verdict::NotApplicable(
            "thin: everything fits at first".to_owned(),
        ));
    }
    let total = subject.storage.status()?.total;
    let request = subject.request(0, subject.format()?, total.saturating_mul(2))?;
    let error = refused(subject.storage.allocate(&request))?;
    ensure_eq("kind of error", error.kind(), ErrorKind::NoSpace)?;
    ensure_eq(
        "volumes",
        subject.storage.list(Some(&subject.guest))?.len(),
        0,
    )
}

fn freeing(subject: &Subject<'_>) -> Checked {
    let id = subject.allocate(0, SIZE)?;
    ensure_eq("the first time", subject.storage.free(&id)?, Freed::Removed)?;
    ensure(!subject.storage.exists(&id)?, || {
        "it is still there".to_owned()
    })?;
    ensure_eq(
        "volumes",
        subject.storage.list(Some(&subject.guest))?.len(),
        0,
    )?;
    ensure_eq("the second time", subject.storage.free(&id)?, Freed::Absent)?;
    let error = refused(subject.storage.size(&id))?;
    ensure_eq("kind of error", error.kind(), ErrorKind::NotFound)?;
    let error = refused(subject.storage.activate_volume(&id))?;
    ensure_eq("kind of error", error.kind(), ErrorKind::NotFound)
}

fn resizing(subject: &Subject<'_>) -> Checked {
    for (n, format) in (0..).zip(subject.capabilities.formats.iter().copied()) {
        let id = subject
            .storage
            .allocate(&subject.request(n, format, 4 * MIB)?)?;
        let grown = 32 * MIB;
        subject.storage.resize(&id, grown)?;
        ensure_eq("size", subject.storage.size(&id)?, subject.rounded(grown)?)?;
        subject.storage.resize(&id, grown)?;
        let error = refused(subject.storage.resize(&id, 4 * MIB))?;
        ensure_eq("kind of error", error.kind(), ErrorKind::Unsupported)?;
        ensure_eq("size", subject.storage.size(&id)?, subject.rounded(grown)?)?;
    }
    Ok(())
}

fn numbering(subject: &Subject<'_>) -> Checked {
    subject.allocate(1, SIZE)?;
    let names = free_names(subject.storage, &subject.guest, "conform", 2)?;
    ensure_eq("names", names, vec![subject.name(0)?, subject.name(2)?])
}

fn foreign_ids(subject: &Subject<'_>) -> Checked {
    let storage = subject.storage;
    subject.allocate(0, SIZE)?;
    let others: [VolumeId; 3] = [
        VolumeId::configured("fleece-other", &format!("vm-{}-conform-0", subject.vmid))?,
        VolumeId::configured(
            "fleece-other",
            &format!("{0}/vm-{0}-conform-0.raw", subject.vmid),
        )?,
        VolumeId::at("/fleece-other/vm-1-conform-0.raw".as_ref())?,
    ];
    for id in &others {
        let errors = [
            refused(storage.free(id))?,
            refused(storage.path(id))?,
            refused(storage.blockdev(id))?,
            refused(storage.size(id))?,
            refused(storage.exists(id))?,
            refused(storage.resize(id, SIZE))?,
        ];
        for error in errors {
            ensure_eq("kind of error", error.kind(), ErrorKind::InvalidName)?;
        }
    }
    let stranger = subject
        .vmid
        .checked_add(1)
        .ok_or_else(|| failed("the vmid is too large"))?;
    let stranger = guest(stranger)?;
    let volumes = storage.list(Some(&stranger))?;
    ensure(
        volumes.iter().all(|volume| volume.guest == stranger),
        || format!("the list of guest {stranger} has others in it"),
    )
}

fn named(subject: &Subject<'_>) -> Checked {
    let storage = subject.storage;
    let guest = |text: String| {
        let guest = text.parse::<GuestId>();
        guest.map_err(|error| failed(error.to_string()))
    };
    // The second's name is how a volume of the first one begins.
    let first = guest(format!("conform-{}", subject.vmid))?;
    let second = guest(format!("{first}-fleece-0"))?;
    let mut ids = Vec::new();
    for guest in [&first, &second] {
        ensure(storage.list(Some(guest))?.is_empty(), || {
            format!("guest {guest} has volumes already")
        })?;
        let names = free_names(storage, guest, "fleece", 1)?;
        let name = names.into_iter().next();
        let name = name.ok_or_else(|| failed("there is no free name"))?;
        ensure_eq("name", name.as_str(), &*format!("vm-{guest}-fleece-0"))?;
        let request = AllocationRequest::new(name, subject.format()?, SIZE);
        let id = storage.volume_id(&request.name, request.format)?;
        ensure_eq("id", storage.allocate(&request)?, id.clone())?;
        ids.push(id);
    }
    let checked = owned(subject, &[first, second], &ids);
    for id in &ids {
        let freed = storage.free(id)?;
        ensure_eq("freeing", freed, Freed::Removed)?;
        ensure(!storage.exists(id)?, || format!("{id} is still there"))?;
    }
    checked
}

/// Each guest has its own volume, and only that.
fn owned(subject: &Subject<'_>, guests: &[GuestId], ids: &[VolumeId]) -> Checked {
    for (guest, id) in guests.iter().zip(ids) {
        subject.storage.activate_volume(id)?;
        let volumes = subject.storage.list(Some(guest))?;
        ensure_eq("number of volumes", volumes.len(), 1)?;
        for volume in &volumes {
            ensure_eq("guest", &volume.guest, guest)?;
            ensure_eq("id", &volume.id, id)?;
        }
        ensure_eq("size", subject.storage.size(id)?, subject.rounded(SIZE)?)?;
        let all = subject.storage.list(None)?;
        ensure(volumes.iter().all(|volume| all.contains(volume)), || {
            "not all are in all".to_owned()
        })?;
    }
    let numbered = subject.storage.list(Some(&subject.guest))?;
    ensure_eq("volumes of the number", numbered.len(), 0)
}

/// The bytes that a volume takes, as the list tells.
fn used(subject: &Subject<'_>, id: &VolumeId) -> Checked<Option<u64>> {
    let volumes = subject.storage.list(Some(&subject.guest))?;
    let volume = volumes.into_iter().find(|volume| volume.id == *id);
    Ok(volume
        .ok_or_else(|| failed("the volume is not listed"))?
        .used)
}

fn refused<T>(result: Result<T, Error>) -> Checked<Error> {
    result
        .err()
        .ok_or_else(|| failed("what must be refused was done"))
}
