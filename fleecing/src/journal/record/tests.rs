use super::*;

fn guest(text: &str) -> GuestId {
    text.parse().unwrap()
}

fn image(path: &str) -> VolumeId {
    path.parse().unwrap()
}

#[test]
fn a_record_grows_and_shrinks_and_leaves_no_file() {
    let dir = tempfile::tempdir().unwrap();
    let place = Place::new(dir.path(), guest("100"), None);
    let record = Record::open(&place).unwrap();
    assert!(record.contents().unwrap().is_empty());
    record.note_qmp(&Address::unix("/run/q").into()).unwrap();
    record.add_image(&image("/f/vm-100-fleece-0.raw")).unwrap();
    record.add_image(&image("/f/vm-100-fleece-1.raw")).unwrap();
    record.note_nbd_socket(Some(Path::new("/s"))).unwrap();
    record
        .add_files(&["/b/.x, \"y\".tmp".into(), "/b/.z".into()])
        .unwrap();
    record.remove_files(&["/b/.z".into()]).unwrap();
    assert_eq!(Place::guests(dir.path()).unwrap(), [guest("100")]);
    assert_eq!(
        record.contents().unwrap(),
        Contents {
            images: vec![
                "/f/vm-100-fleece-0.raw".into(),
                "/f/vm-100-fleece-1.raw".into()
            ],
            qmp: Some("/run/q".into()),
            nbd_socket: Some("/s".into()),
            files: vec!["/b/.x, \"y\".tmp".into()],
            ..Contents::default()
        }
    );
    record.remove_image("/f/vm-100-fleece-0.raw").unwrap();
    record.forget().unwrap();
    let left = record.contents().unwrap();
    assert_eq!(
        left.images,
        ["/f/vm-100-fleece-1.raw"],
        "what is not freed stays on record"
    );
    assert!(left.qmp.is_some());
    record.remove_image("/f/vm-100-fleece-1.raw").unwrap();
    record.forget().unwrap();
    record.remove_files(&left.files).unwrap();
    drop(record);
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn a_configuration_on_record_is_found_from_any_working_directory() {
    let dir = tempfile::tempdir().unwrap();
    let place = Place::new(dir.path(), guest("100"), None);
    let record = Record::open(&place).unwrap();
    record.begin_restore(Path::new("configs/100.conf")).unwrap();
    let restores = record.contents().unwrap().restores.unwrap();
    assert!(restores.is_absolute(), "{}", restores.display());
    assert!(restores.ends_with("configs/100.conf"));
    record.end_restore(&[]).unwrap();
}

#[test]
fn the_guests_own_configuration_names_the_images_and_is_otherwise_untouched() {
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("100.conf");
    let text = "# a guest\nscsi0: a:b\n\n[snap]\nscsi0: a:c\n";
    std::fs::write(&config, text).unwrap();
    let place = Place::new(dir.path().join("state"), guest("100"), Some(config.clone()));
    let record = Record::open(&place).unwrap();
    record.add_image(&image("/f/vm-100-fleece-0.raw")).unwrap();
    let with = std::fs::read_to_string(&config).unwrap();
    assert!(with.contains("[special:fleecing]\nfleecing-images: /f/vm-100-fleece-0.raw\n"));
    assert_eq!(
        record.contents().unwrap().images.len(),
        1,
        "named twice, counted once"
    );
    record.remove_image("/f/vm-100-fleece-0.raw").unwrap();
    assert_eq!(std::fs::read_to_string(&config).unwrap(), text);
}

#[test]
fn guests_whose_names_look_like_files_have_files_of_their_own() {
    let dir = tempfile::tempdir().unwrap();
    let guests = ["web", "web.state", "web.lock", "web.state.tmp", "a.b-c_d"].map(guest);
    let records = guests.clone().map(|guest| {
        let record = Record::open(&Place::new(dir.path(), guest, None)).unwrap();
        record.note_qmp(&Address::unix("/run/q").into()).unwrap();
        record
    });
    std::fs::write(dir.path().join("notes.txt"), "somebody else's").unwrap();
    let mut sorted = guests.to_vec();
    sorted.sort();
    assert_eq!(Place::guests(dir.path()).unwrap(), sorted);
    for record in &records {
        record.forget().unwrap();
    }
    drop(records);
    assert_eq!(Place::guests(dir.path()).unwrap(), []);
}

#[test]
fn a_list_of_files_that_is_none_is_kept_and_told() {
    let dir = tempfile::tempdir().unwrap();
    let place = Place::new(dir.path(), "100".parse().unwrap(), None);
    let record = Record::open(&place).unwrap();
    let line = r#"["/b/.x.vma.tmp","#;
    std::fs::write(dir.path().join("100.state"), format!("files: {line}\n")).unwrap();
    let contents = record.contents().unwrap();
    assert!(!contents.is_empty());
    assert_eq!(contents.illegible.as_deref(), Some(line));
    let error = record.add_files(&["/b/.y.tmp".into()]).unwrap_err();
    assert!(error.to_string().contains("remove the line"), "{error}");
    let kept = std::fs::read_to_string(dir.path().join("100.state")).unwrap();
    assert!(kept.contains(line), "{kept}");
}
