//! Behaviour against moto, with faults on the way. One moto serves all: its start takes seconds.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    reason = "a test may fail by a panic"
)]

mod support;

use std::io::Write as _;
use std::sync::Arc;
use std::time::Duration;

use fleece_object_storage::{
    Credentials, Error, ErrorKind, Keys, Lock, LockMode, ObjectReader, Store, StoreConfig, Upload,
    UploadOptions,
};
use support::Moto;
use support::proxy::{Fault, Proxy};

const SECRET: &str = "not/to+be/shown";

struct Bench {
    moto: Moto,
    proxy: Proxy,
    store: Arc<Store>,
}

fn store(endpoint: String, bucket: &str) -> Arc<Store> {
    let keys = Keys::new("AKIDNOTSHOWN", SECRET, Some("tokennotshown".into()));
    let config = StoreConfig::new(endpoint, bucket)
        .with_credentials(Credentials::Keys(keys))
        .with_retry_for(Duration::from_secs(60));
    Arc::new(Store::new(&config).unwrap())
}

fn bytes(size: usize) -> Vec<u8> {
    (0..size as u64)
        .map(|n| (n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8)
        .collect()
}

/// Parts of 5 MiB, the smallest there are.
fn options() -> UploadOptions {
    let mut options = UploadOptions::default();
    options.part = 5 << 20;
    options
}

fn upload(store: &Arc<Store>, key: &str, data: &[u8]) -> Result<(), Error> {
    let mut upload = store.begin(key, &options())?;
    match upload.write_all(data) {
        Ok(()) => upload.commit().map(drop),
        Err(error) => Err(*error.into_inner().unwrap().downcast::<Error>().unwrap()),
    }
}

fn read(store: &Arc<Store>, key: &str) -> Vec<u8> {
    let reader = ObjectReader::open(Arc::clone(store), key).unwrap();
    let mut there = vec![0; reader.size() as usize];
    reader.read_exact_at(&mut there, 0).unwrap();
    there
}

fn nothing_stays(store: &Store, key: &str) {
    assert_eq!(store.look(key).unwrap(), None, "{key}");
    assert_eq!(store.unfinished(key).unwrap(), [], "{key}");
}

#[test]
fn a_store_behaves_and_so_do_we() {
    let Some(moto) = Moto::start() else {
        return;
    };
    let proxy = Proxy::before(moto.port);
    let store = store(proxy.endpoint(), "backups");
    let bench = Bench { moto, proxy, store };
    an_object_appears_complete_and_once(&bench);
    what_passes_is_tried_again(&bench);
    what_does_not_pass_ends_at_once_and_is_named(&bench);
    what_is_not_what_was_sent_never_appears(&bench);
    an_upload_that_is_kept_is_gone_on_with(&bench);
    reading_costs_few_requests(&bench);
    small_objects_and_lists(&bench);
    what_is_locked_stays(&bench);
}

fn an_object_appears_complete_and_once(bench: &Bench) {
    let store = &bench.store;
    let data = bytes((11 << 20) + 7);
    let begin = |key: &str| -> Upload { store.begin(key, &options()).unwrap() };
    let mut first = begin("once");
    let mut second = begin("once");
    first.write_all(&data).unwrap();
    second.write_all(b"other").unwrap();
    assert_eq!(store.look("once").unwrap(), None);
    let checked = first.commit().unwrap();
    assert!(checked.size == data.len() as u64 && checked.by_checksum);
    assert_eq!(second.commit().unwrap_err().kind(), ErrorKind::Exists);
    let again = store.begin("once", &options()).unwrap_err();
    assert_eq!(again.kind(), ErrorKind::Exists);
    assert!(read(store, "once") == data);
    assert_eq!(store.unfinished("once").unwrap(), []);
    // Nothing is an object, too.
    begin("empty").commit().unwrap();
    assert_eq!(read(store, "empty"), b"");
    drop(begin("dropped"));
    nothing_stays(store, "dropped");
}

fn what_passes_is_tried_again(bench: &Bench) {
    let data = bytes((6 << 20) + 1);
    let slow = "<Error><Code>SlowDown</Code><Message>wait</Message></Error>";
    let faults = [
        ("HEAD", Fault::Reset),
        ("uploads=", Fault::Answer(503, slow)),
        ("partNumber=1", Fault::CutRequest(1 << 20)),
        ("partNumber=1", Fault::Answer(500, "")),
        ("partNumber=2", Fault::LoseAnswer),
        ("partNumber=1", Fault::WrongTag),
        ("POST /backups/f8?uploadId", Fault::Answer(200, slow)),
        ("POST", Fault::LoseAnswer),
        ("POST /backups/f9?uploadId", Fault::LoseAnswer),
    ];
    for ((what, fault), number) in faults.into_iter().zip(2..) {
        let key = match what.contains("uploadId") {
            true => what.split(['/', '?']).nth(2).unwrap().to_owned(),
            false => format!("g{number}"),
        };
        bench.proxy.once(what, fault.clone());
        let sent = upload(&bench.store, &key, &data);
        sent.unwrap_or_else(|error| panic!("{what} {fault:?}: {error} {:?}", bench.proxy.seen()));
        assert!(read(&bench.store, &key) == data, "{what} {fault:?}");
    }
    for fault in [
        Fault::Reset,
        Fault::CutAnswer(1000),
        Fault::Answer(429, ""),
        Fault::LoseAnswer,
    ] {
        bench.proxy.once("GET /backups/g2", fault.clone());
        assert!(read(&bench.store, "g2") == data, "{fault:?}");
    }
    bench.proxy.rule(|_| Fault::None);
}

fn what_does_not_pass_ends_at_once_and_is_named(bench: &Bench) {
    let expired = "<Error><Code>ExpiredToken</Code><Message>The provided token has expired.</Message></Error>";
    let skewed = "<Error><Code>RequestTimeTooSkewed</Code><Message>x</Message></Error>";
    let denied = "<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>";
    for (fault, kind, says, tries) in [
        (
            Fault::Answer(403, denied),
            ErrorKind::Denied,
            "Access Denied",
            1,
        ),
        // They are asked for once more: a file may have newer ones.
        (
            Fault::Answer(400, expired),
            ErrorKind::Expired,
            "expired",
            2,
        ),
        (Fault::Answer(403, skewed), ErrorKind::ClockSkew, "clock", 1),
        (Fault::Answer(400, "<html/>"), ErrorKind::Refused, "400", 1),
        (Fault::Answer(301, ""), ErrorKind::Refused, "region", 1),
    ] {
        bench
            .proxy
            .rule(move |line| match line.contains("partNumber") {
                true => fault.clone(),
                false => Fault::None,
            });
        let error = upload(&bench.store, "refused", &bytes(100)).unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        let shown = format!("{error} {error:?}");
        assert!(shown.contains(says), "{shown}");
        for hidden in [
            SECRET,
            "AKIDNOTSHOWN",
            "tokennotshown",
            "X-Amz",
            "Signature",
        ] {
            assert!(!shown.contains(hidden), "{shown}");
        }
        let parts = bench
            .proxy
            .seen()
            .iter()
            .filter(|line| line.contains("partNumber"))
            .count();
        assert_eq!(parts, tries, "{kind:?}");
        bench.proxy.rule(|_| Fault::None);
        nothing_stays(&bench.store, "refused");
    }
    let none = "<Error><Code>NoSuchBucket</Code><Message>there is none</Message></Error>";
    bench.proxy.once("uploads=", Fault::Answer(404, none));
    let error = upload(&bench.store, "refused", b"x").unwrap_err();
    assert!(error.to_string().contains("NoSuchBucket"), "{error}");
    // Nobody is there.
    let config = StoreConfig::new("http://127.0.0.1:1", "backups")
        .with_credentials(Credentials::Keys(Keys::new("a", "b", None)))
        .with_retry_for(Duration::ZERO);
    let error = Store::new(&config).unwrap().look("x").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unreachable);
}

fn what_is_not_what_was_sent_never_appears(bench: &Bench) {
    let keys = Credentials::Keys(Keys::new("a", "b", None));
    let config = StoreConfig::new(bench.proxy.endpoint(), "backups")
        .with_credentials(keys)
        .with_retry_for(Duration::from_millis(300));
    let hurried = Arc::new(Store::new(&config).unwrap());
    bench.proxy.rule(|line| match line.contains("partNumber") {
        true => Fault::WrongTag,
        false => Fault::None,
    });
    let error = upload(&hurried, "wrong", &bytes(100)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
    assert!(error.to_string().contains("tries"), "{error}");
    bench.proxy.rule(|_| Fault::None);
    nothing_stays(&bench.store, "wrong");
}

fn an_upload_that_is_kept_is_gone_on_with(bench: &Bench) {
    let data = bytes(16 << 20);
    let mut first = bench.store.begin("resumed", &options()).unwrap();
    first.keep();
    first.write_all(&data[..11 << 20]).unwrap();
    first.sync().unwrap();
    drop(first);
    assert_eq!(bench.store.unfinished("resumed").unwrap().len(), 1);
    let mut again = options();
    again.resume = true;
    bench.proxy.rule(|_| Fault::None);
    let mut second = bench.store.begin("resumed", &again).unwrap();
    second.write_all(&data).unwrap();
    let checked = second.commit().unwrap();
    assert_eq!(checked.resumed, 10 << 20);
    let seen = bench.proxy.seen();
    let sent = seen.iter().filter(|line| line.starts_with("PUT"));
    // The third was shorter then.
    assert_eq!(sent.count(), 2, "{seen:?}");
    assert!(read(&bench.store, "resumed") == data);
    assert_eq!(bench.store.unfinished("resumed").unwrap(), []);
}

fn reading_costs_few_requests(bench: &Bench) {
    let data = bytes(16 << 20);
    let reader = ObjectReader::open(Arc::clone(&bench.store), "resumed").unwrap();
    let mut there = [0; 100];
    for at in [0_usize, (16 << 20) - 100, 5 << 20, (5 << 20) + 500_000] {
        reader.read_exact_at(&mut there, at as u64).unwrap();
        assert!(there == data[at..at + 100]);
    }
    assert_eq!(reader.cost().requests, 3);
    assert!(reader.read_exact_at(&mut there, (16 << 20) - 99).is_err());
    // In sequence, several blocks come at once, from several threads.
    let whole = ObjectReader::open(Arc::clone(&bench.store), "resumed").unwrap();
    let mut all = vec![0; data.len()];
    for (piece, at) in all.chunks_mut(300_000).zip((0_u64..).step_by(300_000)) {
        whole.read_exact_at(piece, at).unwrap();
    }
    assert!(
        all == data && whole.cost().requests <= 8,
        "{:?}",
        whole.cost()
    );
    // What is replaced meanwhile is not mixed.
    bench.store.delete("once").unwrap();
    upload(&bench.store, "once", &bytes(4 << 20)).unwrap();
    let reader = ObjectReader::open(Arc::clone(&bench.store), "once").unwrap();
    bench
        .store
        .put("once", &data[..3 << 20], false, None)
        .unwrap();
    let error = reader.read_exact_at(&mut there, 2 << 20).unwrap_err();
    let inner = error
        .get_ref()
        .and_then(|error| error.downcast_ref::<Error>());
    assert_eq!(inner.map(Error::kind), Some(ErrorKind::Changed), "{error}");
    let missing = ObjectReader::open(Arc::clone(&bench.store), "nothing").unwrap_err();
    assert_eq!(missing.kind(), ErrorKind::NotFound);
}

fn small_objects_and_lists(bench: &Bench) {
    let store = &bench.store;
    let odd = "a/ü & <b> +%20.notes";
    store.put(odd, b"text", true, None).unwrap();
    let taken = store.put(odd, b"other", true, None).unwrap_err();
    assert_eq!(taken.kind(), ErrorKind::Exists);
    assert_eq!(store.get(odd, 100).unwrap().unwrap(), b"text");
    assert_eq!(store.get("a/none", 100).unwrap(), None);
    assert!(store.get(odd, 2).is_err());
    store.put("a/deep/er", b"x", false, None).unwrap();
    let keys: Vec<_> = store
        .list("a/")
        .unwrap()
        .into_iter()
        .map(|it| (it.key, it.size))
        .collect();
    assert_eq!(keys, [(odd.to_owned(), 4)]);
    store.delete(odd).unwrap();
    store.delete(odd).unwrap();
    assert_eq!(store.list("a/").unwrap(), []);
    store
        .begin("left", &options())
        .map(|mut upload| upload.keep())
        .unwrap();
    assert_eq!(store.abort_all("lef").unwrap(), 0);
    assert_eq!(store.abort_all("left").unwrap(), 1);
    assert_eq!(store.abort_all("left").unwrap(), 0);
}

fn what_is_locked_stays(bench: &Bench) {
    let store = store(bench.moto.endpoint(), "locked");
    let lock = Lock {
        mode: LockMode::Compliance,
        until: "2099-01-02T03:04:05Z".parse().unwrap(),
    };
    let mut options = options();
    options.lock = Some(lock);
    let mut upload = store.begin("kept", &options).unwrap();
    upload.write_all(b"archive").unwrap();
    upload.commit().unwrap();
    assert_eq!(store.look("kept").unwrap().unwrap().lock, Some(lock));
    let error = store.delete("kept").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Locked);
    assert!(error.to_string().contains("2099-01-02"), "{error}");
    assert_eq!(store.get("kept", 100).unwrap().unwrap(), b"archive");
    // What was not locked can be later, and goes before that.
    store.put("free", b"x", true, None).unwrap();
    store.delete("free").unwrap();
    assert_eq!(store.look("free").unwrap(), None);
    store.put("later", b"x", true, None).unwrap();
    store.lock("later", &lock).unwrap();
    assert_eq!(store.delete("later").unwrap_err().kind(), ErrorKind::Locked);
}
