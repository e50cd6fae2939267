use std::io;

use fleece_vma_format::{CLUSTER_SIZE, HeaderBuilder};

use super::*;
use crate::pace::effort::Pace;
use crate::pipeline::source::Extent;

/// A disk in memory that counts, checks and fails as told.
struct Disk {
    name: String,
    data: Vec<u8>,
    /// Reads of this offset fail.
    bad: Option<u64>,
    released: Mutex<Vec<(u64, u64)>>,
    in_flight: std::sync::atomic::AtomicUsize,
    most_in_flight: std::sync::atomic::AtomicUsize,
}

impl Disk {
    fn new(name: &str, size: usize) -> Self {
        let mut data = vec![0; size];
        let mut state = 88_172_645_463_325_252_u64;
        for (number, cluster) in data.chunks_mut(CLUSTER_SIZE).enumerate() {
            // A third holes, a third zero data, a third noise.
            if number % 3 == 2 {
                cluster.fill_with(|| {
                    state ^= state << 13;
                    state ^= state >> 7;
                    state ^= state << 17;
                    state as u8
                });
            }
        }
        Self {
            name: name.into(),
            data,
            bad: None,
            released: Mutex::new(Vec::new()),
            in_flight: 0.into(),
            most_in_flight: 0.into(),
        }
    }
}

impl Source for Disk {
    fn name(&self) -> &str {
        &self.name
    }

    fn size(&self) -> u64 {
        self.data.len() as u64
    }

    fn block_status(&self, offset: u64, length: u64) -> Result<Vec<Extent>, Error> {
        let range = offset as usize..(offset + length) as usize;
        Ok(self.data[range]
            .chunks(CLUSTER_SIZE)
            .zip(offset as usize / CLUSTER_SIZE..)
            .map(|(cluster, number)| Extent {
                length: cluster.len() as u64,
                zero: number % 3 == 0,
            })
            .collect())
    }

    fn read(&self, offset: u64, mut buffer: Vec<u8>) -> Result<Vec<u8>, Error> {
        let now = self.in_flight.fetch_add(1, Ordering::SeqCst) + 1;
        self.most_in_flight.fetch_max(now, Ordering::SeqCst);
        std::thread::yield_now();
        let start = offset as usize;
        let read = if self.bad == Some(offset) {
            Err(Error::new(ErrorKind::Snapshot, "bad spot"))
        } else {
            let length = buffer.len();
            buffer.copy_from_slice(&self.data[start..start + length]);
            Ok(buffer)
        };
        self.in_flight.fetch_sub(1, Ordering::SeqCst);
        read
    }

    fn release(&self, offset: u64, length: u64) -> Result<(), Error> {
        self.released.lock().unwrap().push((offset, length));
        Ok(())
    }
}

/// Takes bytes until `room` is used up.
struct Room {
    bytes: Vec<u8>,
    room: usize,
}

impl Write for Room {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        if self.bytes.len() + buffer.len() > self.room {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.bytes.extend_from_slice(buffer);
        Ok(buffer.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn start(disks: &[Arc<Disk>], readers: usize, room: usize) -> Pipeline<Room> {
    let mut header = HeaderBuilder::new([7; 16], 1_700_000_000);
    let disks = disks
        .iter()
        .map(|disk| PipelineDisk {
            device: header.add_device(&disk.name, disk.size()).unwrap(),
            source: Arc::clone(disk) as Arc<dyn Source>,
        })
        .collect();
    let limits = Limits {
        gate: Arc::new(DepthGate::new(Pace::full(readers), readers)),
        rate: None,
    };
    let output = Room {
        bytes: Vec::new(),
        room,
    };
    Pipeline::start(
        disks,
        header.build().unwrap(),
        plain(output),
        limits,
        Arc::default(),
    )
}

fn plain(room: Room) -> Output<Room> {
    Output::new(room, &fleece_vma_format::Compression::None, None).unwrap()
}

fn finish(mut pipeline: Pipeline<Room>) -> Result<Vec<u8>, Error> {
    let ended = pipeline
        .wait(Duration::from_secs(60))
        .expect("the pipeline ends");
    ended.map(|(output, summary)| {
        assert_eq!(summary.bytes(), output.bytes.len() as u64);
        output.bytes
    })
}

fn disks() -> [Arc<Disk>; 2] {
    [("drive-scsi0", 40 << 20), ("drive-scsi1", (5 << 20) + 1536)]
        .map(|(name, size)| Arc::new(Disk::new(name, size)))
}

#[test]
fn the_archive_holds_the_disks_and_does_not_depend_on_the_number_of_readers() {
    let disks = disks();
    let archive = finish(start(&disks, 1, usize::MAX)).unwrap();
    for readers in [2, 8] {
        assert!(finish(start(&disks, readers, usize::MAX)).unwrap() == archive);
    }
    let mut found = [
        vec![0xee; disks[0].data.len()],
        vec![0xee; disks[1].data.len()],
    ];
    let mut reader = fleece_vma_format::Reader::new(archive.as_slice()).unwrap();
    while let Some(extent) = reader.next_extent().unwrap() {
        for cluster in extent.clusters() {
            let disk = &mut found[usize::from(cluster.entry().device().get()) - 1];
            let from = cluster.entry().offset() as usize;
            let to = disk.len().min(from + CLUSTER_SIZE);
            cluster.copy_to(&mut disk[from..to]);
        }
    }
    assert!(found[0] == disks[0].data && found[1] == disks[1].data);
}

#[test]
fn everything_is_released_once_and_no_more_reads_run_than_allowed() {
    let disks = disks();
    finish(start(&disks, 3, usize::MAX)).unwrap();
    for disk in &disks {
        let mut released = disk.released.lock().unwrap().clone();
        released.sort_unstable();
        let mut at = 0;
        for (offset, length) in released {
            assert_eq!(offset, at);
            at += length;
        }
        assert_eq!(at, disk.size());
        assert!(disk.most_in_flight.load(Ordering::SeqCst) <= 3);
    }
}

#[test]
fn a_bad_read_ends_the_pipeline_with_its_own_error() {
    // Every third cluster is a hole, so reads start at the one after.
    for number in [1, 400] {
        let mut disk = Disk::new("drive-scsi0", 40 << 20);
        disk.bad = Some(number * CLUSTER_SIZE as u64);
        let error = finish(start(&[Arc::new(disk)], 4, usize::MAX)).unwrap_err();
        assert_eq!(
            (error.kind(), error.to_string().as_str()),
            (ErrorKind::Snapshot, "bad spot")
        );
    }
}

#[test]
fn a_full_target_ends_the_pipeline_and_is_named_as_the_cause() {
    let error = finish(start(&disks(), 4, 6 << 20)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Target);
    assert!(error.to_string().contains("full"), "{error}");
}

#[test]
fn an_abort_ends_the_pipeline() {
    assert!(
        start(&disks(), 2, usize::MAX).abort(),
        "the output is dropped"
    );
}

#[test]
fn a_guest_without_disks_makes_an_archive_without_devices() {
    let mut header = HeaderBuilder::new([0; 16], 0);
    header
        .add_config("qemu-server.conf", b"name: x\n".as_slice())
        .unwrap();
    let limits = Limits {
        gate: Arc::new(DepthGate::new(Pace::full(1), 1)),
        rate: None,
    };
    let output = Room {
        bytes: Vec::new(),
        room: usize::MAX,
    };
    let pipeline = Pipeline::start(
        Vec::new(),
        header.build().unwrap(),
        plain(output),
        limits,
        Arc::default(),
    );
    let archive = finish(pipeline).unwrap();
    let reader = fleece_vma_format::Reader::new(archive.as_slice()).unwrap();
    assert_eq!(
        reader.header().config("qemu-server.conf"),
        Some(b"name: x\n".as_slice())
    );
}
