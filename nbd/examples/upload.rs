//! Copies a file to an NBD export of the same size: `upload FILE SOCKET EXPORT`.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{BufReader, Read};

use fleece_nbd::{Address, Client, Options, Pending, Zeroing};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, file, socket, export] = arguments.as_slice() else {
        return Err("usage: upload FILE SOCKET EXPORT".into());
    };
    let client = Client::connect(&Address::Unix(socket.into()), export, &Options::default())?;
    let mut file = BufReader::new(File::open(file)?);
    // Up to eight writes of 1 MiB are under way; zeroes are not sent as data.
    let mut queue: VecDeque<Pending> = VecDeque::new();
    for offset in (0..client.size()).step_by(1 << 20) {
        let mut data = Vec::new();
        file.by_ref().take(1 << 20).read_to_end(&mut data)?;
        if queue.len() == 8 {
            queue.pop_front().map(Pending::wait).transpose()?;
        }
        queue.push_back(if data.iter().all(|byte| *byte == 0) {
            client.submit_write_zeroes(offset, data.len() as u64, Zeroing::default())?
        } else {
            client.submit_write(offset, &data)?
        });
    }
    for write in queue {
        write.wait()?;
    }
    client.flush()?;
    client.disconnect();
    Ok(())
}
