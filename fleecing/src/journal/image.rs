//! Fleecing images on their storage: allocated, and freed.

use std::sync::Arc;

use fleece_guest_config::GuestId;
use fleece_qmp_client::Interrupt;
use fleece_storage::{AllocationRequest, Plugin, VolumeFormat, VolumeId, free_names};

use crate::advice::Advice;
use crate::disk::Disk;
use crate::error::{Error, ErrorKind};
use crate::journal::record::Record;
use crate::journal::step::Step;
use crate::liveness;

/// Allocates an image of exactly the size of each disk. Each is on record before it exists.
pub(crate) fn allocate(
    storage: &dyn Plugin,
    record: &Record,
    guest: &GuestId,
    format: VolumeFormat,
    disks: &[Disk],
) -> Result<Vec<VolumeId>, Error> {
    let failed = |disk: &Disk| {
        let message = format!(
            "{}: cannot allocate a fleecing image on {}",
            disk.name,
            storage.id()
        );
        move |error| Error::caused(ErrorKind::Storage, message, error)
    };
    storage.activate().map_err(|error| {
        Error::caused(
            ErrorKind::Storage,
            format!("cannot use the fleecing storage {}", storage.id()),
            error,
        )
    })?;
    let mut images = Vec::new();
    for disk in disks {
        let name = free_names(storage, guest, "fleece", 1)
            .map_err(failed(disk))?
            .pop()
            .ok_or_else(|| Error::new(ErrorKind::Storage, "no free name for a fleecing image"))?;
        let id = storage.volume_id(&name, format).map_err(failed(disk))?;
        record.add_image(&id)?;
        match storage.allocate(&AllocationRequest::new(name, format, disk.size)) {
            Ok(id) => {
                Step::ImageAllocated.reached();
                images.push(id);
            }
            Err(error) => {
                if error.kind() == fleece_storage::ErrorKind::AlreadyExists {
                    // Somebody was faster; what is there is not ours.
                    record.remove_image(&id.to_string())?;
                }
                return Err(failed(disk)(error));
            }
        }
    }
    Ok(images)
}

/// Refuses a format that the storage does not have.
pub(crate) fn check_format(storage: &dyn Plugin, format: VolumeFormat) -> Result<(), Error> {
    // What cannot tell says so when it is asked for an image.
    let formats = storage.capabilities().map(|able| able.formats);
    match formats {
        Ok(formats) if !formats.contains(&format) => {
            let has: Vec<_> = formats.iter().map(ToString::to_string).collect();
            let message = format!(
                "the fleecing storage {} has no {format} images, only {}",
                storage.id(),
                has.join(" and ")
            );
            Err(Error::new(ErrorKind::Storage, message).advise(Advice::OtherFleecingFormat))
        }
        _ => Ok(()),
    }
}

/// Frees an image that may or may not exist, and takes it off the record.
pub(crate) fn free(
    storage: &Arc<dyn Plugin>,
    record: &Record,
    image: &VolumeId,
    interrupt: &Interrupt,
) -> Result<(), Error> {
    let images = std::slice::from_ref(image);
    liveness::must_answer(storage, images, interrupt, liveness::FREEING)
        .map_err(|error| error.of(record.clean_up()))?;
    storage.free(image).map_err(|error| {
        Error::caused(
            ErrorKind::Storage,
            format!("cannot free the fleecing image {image}, which stays on record"),
            error,
        )
        .advise(Advice::CleanUpAfterwards(record.clean_up()))
    })?;
    Step::ImageFreed.reached();
    record.remove_image(&image.to_string())
}

#[cfg(test)]
mod tests {
    use fleece_storage::DirPlugin;

    use super::*;
    use crate::journal::record::Place;

    #[test]
    fn of_an_image_that_hangs_when_it_is_freed_nothing_is_said_to_be_in_qemu() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("vm-100-fleece-0.raw");
        // To open a FIFO waits for a writer, which never comes.
        let fifo = rustix::fs::FileType::Fifo;
        rustix::fs::mknodat(rustix::fs::CWD, &path, fifo, 0o600.into(), 0).unwrap();
        let storage: Arc<dyn Plugin> = Arc::new(DirPlugin::plain(dir.path()).unwrap());
        let image = VolumeId::at(&path).unwrap();
        let record = Record::open(&Place::new(dir.path(), "100".parse().unwrap(), None)).unwrap();
        record.add_image(&image).unwrap();
        let error = free(&storage, &record, &image, &Interrupt::default()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Hangs);
        let told = error.to_string();
        assert!(
            told.contains("its storage hangs. The image cannot be freed"),
            "{told}"
        );
        assert!(!told.contains("QEMU"), "{told}");
        assert_eq!(record.contents().unwrap().images, [image.to_string()]);
    }
}
