//! Copies an NBD export to a sparse file: `download SOCKET EXPORT FILE`.
#![expect(clippy::arithmetic_side_effects, reason = "offsets within a disk")]

use std::collections::VecDeque;
use std::fs::File;
use std::os::unix::fs::FileExt;

use fleece_nbd::{Address, Client, Options, Pending};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, socket, export, file] = arguments.as_slice() else {
        return Err("usage: download SOCKET EXPORT FILE".into());
    };
    let client = Client::connect(&Address::Unix(socket.into()), export, &Options::default())?;
    let file = File::create(file)?;
    file.set_len(client.size())?;
    // Up to eight reads of 1 MiB are under way; what is known to be zero is not read.
    let mut queue: VecDeque<(u64, Pending)> = VecDeque::new();
    let mut start = 0;
    for extent in client.block_status(0, client.size())? {
        let end = start + extent.length;
        for offset in (start..end).step_by(1 << 20).filter(|_| !extent.zero) {
            if queue.len() == 8
                && let Some((offset, read)) = queue.pop_front()
            {
                file.write_all_at(&read.wait()?, offset)?;
            }
            let buffer = vec![0; usize::try_from((end - offset).min(1 << 20))?];
            queue.push_back((offset, client.submit_read(offset, buffer)?));
        }
        start = end;
    }
    for (offset, read) in queue {
        file.write_all_at(&read.wait()?, offset)?;
    }
    Ok(file.sync_all()?)
}
