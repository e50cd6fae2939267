use std::cell::Cell;
use std::fs;

use fleece_qmp_client::Address;
use proptest::prelude::*;

use super::*;

const UUID_A: &str = "6a3f0f3e-8c0e-4b0f-9c3e-2f7f4a1d8b10";
const UUID_B: &str = "00000000-0000-0000-0000-000000000001";

fn reported(uuid: Option<&str>) -> Reported {
    Reported {
        text: Some("web".to_owned()),
        uuid: uuid.map(str::to_owned),
    }
}

fn monitor(path: &str) -> Endpoint {
    Endpoint::monitor(&Address::unix(path).into())
}

/// Takes the claim to `web` in `directory`; `alive` tells whether the one who has it answers.
fn take(
    directory: &Path,
    endpoint: &Endpoint,
    uuid: Option<&str>,
    given: bool,
    alive: bool,
) -> Result<Option<String>, Error> {
    let (id, reported) = ("web".parse().unwrap(), reported(uuid));
    let claimant = Claimant {
        id: &id,
        endpoint,
        reported: &reported,
        given,
    };
    claimant.take(&file(directory, &id), &|_| alive)
}

/// What becomes of the claim of a guest at `/nowhere/a` with uuid `before`.
fn second(
    endpoint: &Endpoint,
    before: Option<&str>,
    now: Option<&str>,
    given: bool,
    alive: bool,
) -> Result<Option<String>, Error> {
    let dir = tempfile::tempdir().unwrap();
    let first = monitor("/nowhere/a");
    assert_eq!(take(dir.path(), &first, before, false, true).unwrap(), None);
    let path = file(dir.path(), &"web".parse().unwrap());
    let old = fs::read(&path).unwrap();
    let taken = take(dir.path(), endpoint, now, given, alive);
    if taken.is_err() {
        assert_eq!(fs::read(&path).unwrap(), old, "a refusal changes nothing");
    } else {
        let claim = Claim::load(&path).unwrap().unwrap();
        assert_eq!(claim.place(endpoint.kind), Some(&*endpoint.place));
    }
    taken.inspect_err(|error| assert_eq!(error.kind(), ErrorKind::Identity))
}

#[test]
fn a_guest_has_its_name_every_time() {
    let same = monitor("/nowhere/a");
    for (before, now) in [
        (None, None),
        (Some(UUID_A), Some(UUID_A)),
        (None, Some(UUID_A)),
        (Some(UUID_A), None),
    ] {
        for given in [false, true] {
            assert_eq!(second(&same, before, now, given, true).unwrap(), None);
        }
    }
}

#[test]
fn another_guest_gets_a_derived_name_never_whether_the_first_lives_or_not() {
    for (before, now) in [
        (None, None),
        (None, Some(UUID_A)),
        (Some(UUID_A), None),
        (Some(UUID_A), Some(UUID_B)),
    ] {
        for alive in [false, true] {
            let refused = second(&monitor("/nowhere/b"), before, now, false, alive).unwrap_err();
            assert!(refused.to_string().contains("/nowhere/a"), "{refused}");
            let confirm = Advice::ConfirmGuest("web".parse().unwrap());
            assert_eq!(refused.advice(), Some(&confirm));
        }
    }
    let other = second(
        &monitor("/nowhere/a"),
        Some(UUID_A),
        Some(UUID_B),
        false,
        false,
    );
    assert!(other.unwrap_err().to_string().contains(UUID_A));
}

#[test]
fn who_says_that_it_is_the_guest_is_believed_once_the_first_is_gone() {
    for (before, now) in [(None, None), (Some(UUID_A), Some(UUID_B))] {
        let endpoint = monitor("/nowhere/b");
        let note = second(&endpoint, before, now, true, false)
            .unwrap()
            .unwrap();
        assert!(note.contains("/nowhere/a"), "{note}");
        let refused = second(&endpoint, before, now, true, true).unwrap_err();
        assert!(refused.to_string().contains("answers"), "{refused}");
    }
    let note = second(
        &monitor("/nowhere/a"),
        Some(UUID_A),
        Some(UUID_B),
        true,
        false,
    );
    assert!(note.unwrap().unwrap().contains("another uuid"));
}

#[test]
fn a_guest_that_moved_is_known_by_its_uuid_and_a_clone_is_refused() {
    let endpoint = monitor("/nowhere/b");
    for given in [false, true] {
        let moved = second(&endpoint, Some(UUID_A), Some(UUID_A), given, false);
        assert!(moved.unwrap().unwrap().contains("moved from /nowhere/a"));
        let clone = second(&endpoint, Some(UUID_A), Some(UUID_A), given, true).unwrap_err();
        let reported = clone.advice();
        assert!(
            matches!(reported, Some(Advice::ReleaseName(_))),
            "{reported:?}"
        );
    }
}

#[test]
fn in_another_way_a_guest_is_reached_only_if_somebody_says_so() {
    let image = Endpoint::image(Path::new("/nowhere/web.raw"), None);
    assert!(second(&image, None, None, false, false).is_err());
    let dir = tempfile::tempdir().unwrap();
    let live = monitor("/nowhere/a");
    take(dir.path(), &live, Some(UUID_A), false, false).unwrap();
    take(dir.path(), &image, None, true, true).unwrap();
    // Both stand, and a copy of the image does not have to be gone for the next.
    take(dir.path(), &image, None, false, true).unwrap();
    take(dir.path(), &live, Some(UUID_A), false, true).unwrap();
    let copy = Endpoint::image(Path::new("/nowhere/monday/web.raw"), None);
    assert!(take(dir.path(), &copy, None, false, true).is_err());
    take(dir.path(), &copy, None, true, true).unwrap();
}

#[test]
fn who_has_it_is_asked_only_where_that_decides() {
    let asked = Cell::new(false);
    let dir = tempfile::tempdir().unwrap();
    let (id, reported, endpoint) = (
        "web".parse().unwrap(),
        reported(None),
        monitor("/nowhere/a"),
    );
    let claimant = Claimant {
        id: &id,
        endpoint: &endpoint,
        reported: &reported,
        given: false,
    };
    for _ in 0..2 {
        let answers = |_: &Claim| asked.replace(true);
        claimant.take(&file(dir.path(), &id), &answers).unwrap();
    }
    assert!(!asked.get());
}

#[test]
fn a_damaged_claim_is_an_error_that_names_its_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = file(dir.path(), &"web".parse().unwrap());
    for damage in [&b"uuid: x\n"[..], b"rubbish", b"monitor\n", b"\xff\xfe"] {
        fs::write(&path, damage).unwrap();
        let error = take(dir.path(), &monitor("/nowhere/a"), None, true, false).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Record);
        let mut said = error.to_string();
        if let Some(source) = std::error::Error::source(&error) {
            said = format!("{said}: {source}");
        }
        assert!(said.contains("web.claim"), "{said}");
        assert_eq!(fs::read(&path).unwrap(), damage);
    }
}

proptest! {
    #[test]
    fn two_guests_that_live_never_have_one_name(
        guests in prop::collection::vec((0..4_u8, prop::option::of(1..4_u8), any::<bool>()), 1..12),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let mut owner: Option<u8> = None;
        for (place, uuid, given) in guests {
            let uuid = uuid.map(|n| format!("00000000-0000-0000-0000-00000000000{n}"));
            let endpoint = monitor(&format!("/nowhere/{place}"));
            let taken = take(dir.path(), &endpoint, uuid.as_deref(), given, true).is_ok();
            // Everybody is alive, so the first keeps it.
            prop_assert!(!taken || owner.is_none_or(|owner| owner == place));
            if taken {
                owner = Some(place);
            }
        }
    }
}
