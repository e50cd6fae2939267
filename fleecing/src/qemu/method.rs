//! How the filters get in: the best way that this QEMU offers for these disks.
//!
//! | method | needs | guest is stopped |
//! |---|---|---|
//! | [`Method::Job`] | `blockdev-backup` with `on-cbw-error` (QAPI; seen first in QEMU 11.1) | no |
//! | [`Method::Reopen`] | every disk has a named throttle or raw node on top | no |
//! | [`Method::Insert`] | one disk | no |
//! | [`Method::PausedInsert`] | any disks whose device has a `drive` property | for milliseconds |
//!
//! All four put every disk's filter in at one instant. None of them ever hands a failure of the
//! fleecing image to the guest: a copy-before-write node has `on-cbw-error=break-snapshot`, and
//! `blockdev-backup` is used only where it has that option too (its default returns the failure to the
//! guest as a write error).

use std::fmt;

use crate::disk::{Disk, Top};
use crate::error::{Error, ErrorKind};

/// A way to get the filters in. In the order of preference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Method {
    /// One `transaction` of `blockdev-backup` jobs with `sync=none`: the jobs own the filters.
    ///
    /// Meanwhile QEMU refuses others' snapshots and jobs on the disks. It also swallows the guest's discards.
    ///
    /// A copy has no time limit here: a fleecing storage that hangs holds the guest's write. On one that
    /// can hang this is the last resort.
    Job,
    /// One `blockdev-reopen` that puts the filters below the disks' top nodes.
    Reopen,
    /// `qom-set` of the device's `drive` property.
    Insert,
    /// The same for several disks, between `stop` and `cont`.
    PausedInsert,
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Job => "transaction of backup jobs",
            Self::Reopen => "reopen of the disks' top nodes",
            Self::Insert => "insertion at the device",
            Self::PausedInsert => "insertion at the devices while stopped",
        })
    }
}

/// What this QEMU can do, from its schema (`query-qmp-schema`), never from its version; except for
/// `threads_are_safe`, a defect that no schema shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Features {
    /// `blockdev-backup` has `on-cbw-error`.
    pub(crate) job_on_cbw_error: bool,
    /// There is a `copy-before-write` driver that has `on-cbw-error`.
    pub(crate) filter: bool,
    /// There is a `snapshot-access` driver.
    pub(crate) snapshot_access: bool,
    /// `blockdev-reopen` exists.
    pub(crate) reopen: bool,
    /// `qom-set` exists (not in a storage daemon of a release without devices).
    pub(crate) qom_set: bool,
    /// Filters work on disks with an iothread: QEMU 9.0 and later. Before, adding a filter aborts
    /// QEMU (measured on 7.2: "qemu_mutex_unlock_impl: Operation not permitted").
    pub(crate) threads_are_safe: bool,
    /// A view may be read, and asked for its holes, across clusters: QEMU 8.0 and later. Before, of a
    /// range that begins with saved clusters and goes on with others the saved ones are taken from the
    /// disk, so the guest's new data comes out (`hbitmap_status()`; measured on 7.2, mended upstream in
    /// February 2023; 10.0 and 11.1 measured right).
    pub(crate) views_span_clusters: bool,
}

/// Chooses for `disks`, or says why nothing is safe and what would be.
///
/// `own_filters` come first where the fleecing images are on a storage that can hang, as one on a network can,
/// since the guest waits for each copy, and theirs have a time limit; and where the guest's discards reach
/// its disks, since a job swallows them.
pub(crate) fn choose(
    features: &Features,
    disks: &[Disk],
    own_filters: bool,
) -> Result<Method, Error> {
    let refuse = |message: String| Err(Error::new(ErrorKind::Unsafe, message));
    if !features.filter || !features.snapshot_access {
        return refuse(
            "this QEMU has no copy-before-write filter that keeps our failures from the guest (on-cbw-error), or \
             no snapshot-access; QEMU 7.2 or later is needed"
                .into(),
        );
    }
    if !features.threads_are_safe
        && let Some(disk) = disks.iter().find(|disk| disk.iothread)
    {
        return refuse(format!(
            "{} runs in an iothread, and a QEMU before 9.0 aborts when a filter is added to such a \
             disk; update QEMU, or start the guest without iothreads",
            disk.name
        ));
    }
    if features.job_on_cbw_error && !own_filters {
        return Ok(Method::Job);
    }
    if features.reopen && disks.iter().all(|disk| disk.top != Top::Fixed) {
        return Ok(Method::Reopen);
    }
    if let Some(disk) = disks
        .iter()
        .find(|disk| disk.device_path.is_none() || !features.qom_set)
    {
        if features.job_on_cbw_error {
            return Ok(Method::Job);
        }
        return refuse(format!(
            "{} ({}) can neither be reopened (it needs a named throttle or raw node on top) nor be \
             reached through a device; put a throttle node above it, or use a QEMU whose \
             blockdev-backup has on-cbw-error",
            disk.name, disk.root
        ));
    }
    Ok(if disks.len() == 1 {
        Method::Insert
    } else {
        Method::PausedInsert
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: Features = Features {
        job_on_cbw_error: false,
        filter: true,
        snapshot_access: true,
        reopen: true,
        qom_set: true,
        threads_are_safe: false,
        views_span_clusters: false,
    };
    const NEW: Features = Features {
        job_on_cbw_error: true,
        threads_are_safe: true,
        views_span_clusters: true,
        ..OLD
    };

    fn disk(name: &str) -> Disk {
        Disk {
            name: name.into(),
            root: "#block123".into(),
            base: "#block123".into(),
            size: 1 << 20,
            top: Top::Fixed,
            device_path: Some(format!("/machine/peripheral/{name}")),
            device_type: None,
            stats_id: None,
            iothread: false,
            image: String::new(),
            encrypted: false,
        }
    }

    fn throttled(name: &str) -> Disk {
        Disk {
            top: Top::Throttle(serde_json::Map::new()),
            root: name.into(),
            ..disk(name)
        }
    }

    #[test]
    fn the_order_of_preference_is_kept() {
        let plain = [disk("a"), disk("b")];
        let named = [throttled("a"), throttled("b")];
        assert_eq!(choose(&NEW, &plain, false).unwrap(), Method::Job);
        assert_eq!(choose(&NEW, &named, false).unwrap(), Method::Job);
        assert_eq!(choose(&OLD, &named, false).unwrap(), Method::Reopen);
        assert_eq!(choose(&OLD, &plain[..1], false).unwrap(), Method::Insert);
        assert_eq!(choose(&OLD, &plain, false).unwrap(), Method::PausedInsert);
        assert_eq!(
            choose(&OLD, &[disk("a"), throttled("b")], false).unwrap(),
            Method::PausedInsert
        );
    }

    /// There is no option to accept disks of different instants: no QEMU leaves only that.
    #[test]
    fn whatever_a_qemu_can_do_the_disks_are_of_one_instant_or_it_is_refused() {
        let unreachable = |name: &str| Disk {
            device_path: None,
            ..disk(name)
        };
        let kinds: [fn(&str) -> Disk; 3] = [disk, throttled, |name| Disk {
            device_path: None,
            ..throttled(name)
        }];
        let kinds = kinds.into_iter().map(|kind| kind("a"));
        let kinds: Vec<Disk> = kinds.chain([unreachable("a")]).collect();
        for bits in 0..128_u8 {
            let has = |bit: u8| bits & (1 << bit) != 0;
            let features = Features {
                job_on_cbw_error: has(0),
                filter: has(1),
                snapshot_access: has(2),
                reopen: has(3),
                qom_set: has(4),
                threads_are_safe: has(5),
                views_span_clusters: true,
            };
            let may_hang = has(6);
            for first in &kinds {
                for second in [None].into_iter().chain(kinds.iter().map(Some)) {
                    let disks: Vec<_> = [Some(first), second]
                        .into_iter()
                        .flatten()
                        .cloned()
                        .collect();
                    match choose(&features, &disks, may_hang) {
                        // One command for all disks, which QEMU does or refuses as a whole.
                        Ok(Method::Job) => assert!(features.job_on_cbw_error),
                        Ok(Method::Reopen) => {
                            assert!(features.reopen && disks.iter().all(|d| d.top != Top::Fixed));
                        }
                        // One disk.
                        Ok(Method::Insert) => assert_eq!(disks.len(), 1),
                        // The guest writes nothing meanwhile. (A storage daemon's clients cannot be
                        // stopped, but its disks have no device.)
                        Ok(Method::PausedInsert) => {
                            assert!(disks.iter().all(|disk| disk.device_path.is_some()));
                        }
                        Err(error) => assert_eq!(error.kind(), ErrorKind::Unsafe),
                    }
                }
            }
        }
    }

    #[test]
    fn on_a_storage_that_can_hang_copies_have_a_time_limit() {
        let plain = [disk("a"), disk("b")];
        let choose = |disks: &[Disk]| choose(&NEW, disks, true).unwrap();
        assert_eq!(choose(&plain), Method::PausedInsert);
        assert_eq!(choose(&plain[..1]), Method::Insert);
        assert_eq!(choose(&[throttled("a"), throttled("b")]), Method::Reopen);
        // Where nothing else works, a copy without a limit is better than no backup.
        let export = Disk {
            device_path: None,
            ..disk("node0")
        };
        assert_eq!(choose(&[export]), Method::Job);
    }

    #[test]
    fn an_old_qemu_with_an_iothread_is_refused_with_the_reason() {
        let disks = [
            disk("a"),
            Disk {
                iothread: true,
                ..disk("b")
            },
        ];
        let error = choose(&OLD, &disks, false).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsafe);
        assert!(
            error.to_string().contains("b runs in an iothread"),
            "{error}"
        );
        let fixed = Features {
            threads_are_safe: true,
            ..OLD
        };
        assert_eq!(choose(&fixed, &disks, false).unwrap(), Method::PausedInsert);
    }

    #[test]
    fn a_disk_that_cannot_be_reached_is_refused_by_name() {
        let export = Disk {
            device_path: None,
            ..disk("node0")
        };
        let error = choose(&OLD, std::slice::from_ref(&export), false).unwrap_err();
        assert!(error.to_string().contains("node0"), "{error}");
        assert_eq!(choose(&NEW, &[export], false).unwrap(), Method::Job);
    }

    #[test]
    fn without_a_filter_that_spares_the_guest_nothing_is_tried() {
        for features in [
            Features {
                filter: false,
                ..NEW
            },
            Features {
                snapshot_access: false,
                ..NEW
            },
        ] {
            let error = choose(&features, &[disk("a")], false).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Unsafe);
        }
    }
}
