//! Numbered blocks in a known order.
//!
//! In step `n` a thread writes block `n` to the first disk, waits until it is durable, then to the
//! second, and so on. So at any one instant, for disks `i < j`, the newest number on `i` equals that
//! on `j` or is one higher; and whoever shows another picture has mixed instants.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use fleece_lab_guest::aligned::Block;
use fleece_lab_guest::block::Stamp;

use crate::Result;
use crate::disk::{Disk, Durability};

/// A write that takes longer is told of at once, also by a writer that is killed later.
const SLOW: Duration = Duration::from_secs(1);

pub(crate) fn run(seconds: u64, threads: u32, slots: u64, paths: &[&str]) -> Result<String> {
    let disks = paths
        .iter()
        .map(|path| Disk::open(path, Durability::Durable))
        .collect::<Result<Vec<_>>>()?;
    let until = match seconds {
        0 => None,
        seconds => Instant::now().checked_add(Duration::from_secs(seconds)),
    };
    let failed = AtomicBool::new(false);
    let steps = thread::scope(|scope| {
        let workers: Vec<_> = (0..threads)
            .map(|thread| {
                let (disks, failed) = (&disks, &failed);
                scope.spawn(move || write(thread, slots, disks, until, failed))
            })
            .collect();
        workers
            .into_iter()
            .map(|worker| {
                worker
                    .join()
                    .unwrap_or_else(|_| Err("a thread panicked".to_owned()))
            })
            .collect::<Result<Vec<u64>>>()
    })?;
    let steps: Vec<String> = steps.iter().map(u64::to_string).collect();
    Ok(format!("{{\"steps\":[{}]}}", steps.join(",")))
}

/// Returns the number of the last complete step.
fn write(
    thread: u32,
    slots: u64,
    disks: &[Disk],
    until: Option<Instant>,
    failed: &AtomicBool,
) -> Result<u64> {
    let mut block = Block::zeroed();
    let mut done = 0;
    for number in 1.. {
        if failed.load(Ordering::Relaxed) || until.is_some_and(|until| Instant::now() >= until) {
            break;
        }
        for (disk, index) in disks.iter().zip(0..) {
            let stamp = Stamp {
                thread,
                disk: index,
                number,
            };
            stamp.fill(&mut block);
            let offset = stamp.offset(slots).ok_or("the ring has no slots")?;
            let before = Instant::now();
            disk.write(&block.0, offset)
                .inspect_err(|_| failed.store(true, Ordering::Relaxed))?;
            let took = before.elapsed();
            if took >= SLOW {
                println!("{{\"slow_ms\":{}}}", took.as_millis());
            }
        }
        done = number;
    }
    Ok(done)
}
